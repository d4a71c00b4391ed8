// The developer hub: what the address says after its hash is what is shown.
import { announce, element, replace } from "/docs/elements.js";
import * as access from "/docs/access.js";
import { load } from "/docs/document.js";
import { Navigation } from "/docs/navigation.js";
import { operationPage, schemaPage, servicePage } from "/docs/operation.js";

const TITLE = "Trionex API";
const start = document.getElementById("start");
const view = document.getElementById("view");
const main = document.getElementById("main");

function showAccess() {
  const link = document.getElementById("access-link");
  document.getElementById("who").hidden = false;
  document.getElementById("start-access").hidden = false;
  const tell = ({ hasToken, hasKey, who }) => {
    link.textContent = who !== "" ? who : hasToken ? "With a token" : hasKey ? "With a key" : "Sign in";
  };
  access.watch(tell);
  tell(access.state());
}

/** The start page knows where it came from. */
function fillStart(model) {
  document.getElementById("base").textContent = location.origin;
  const call = document.getElementById("first-call");
  call.textContent = call.textContent.replace(/(^\s*)\/api/m, `$1${location.origin}/api`);
  if (!model) return;
  document.getElementById("version").textContent = model.info.version ? `version ${model.info.version}` : "";
  const cards = model.groups.map((group) =>
    element(
      "li", {}, element("a", { href: `#/services/${encodeURIComponent(group.name)}` }, group.name),
      ` ${group.operations.length} operations`,
      group.description && element("p", {}, group.description),
    ),
  );
  replace(document.getElementById("service-cards"), cards);
  document.getElementById("services").hidden = false;
}

/** What a hash stands for: a title and the page. Nothing where it is the start. */
function page(model, hash) {
  const [kind, rest = ""] = hash.slice(2).split(/\/(.*)/s);
  const name = decoded(rest);
  if (kind === "" && rest === "") return null;
  if (kind === "access") return { title: "Sign in", content: access.page() };
  if (!model) return { title: "Not loaded", content: failure() };
  if (kind === "operations" && model.byID.has(name)) {
    const operation = model.byID.get(name);
    return { title: operation.summary || operation.path, content: operationPage(model, operation), operation: name };
  }
  const group = model.groups.find((one) => one.name === name);
  if (kind === "services" && group) return { title: name, content: servicePage(group) };
  const isSchema = kind === "schemas" && Object.hasOwn(model.api.components?.schemas ?? {}, name);
  if (isSchema) return { title: name, content: schemaPage(model, name) };
  return { title: "Not found", content: missing() };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function missing() {
  const start = element("a", { href: "#/" }, "begin at the start");
  return [
    element("h1", { tabindex: -1 }, "Not found"), element("p", {}, "There is nothing by this name here. Search for it, or ", start, "."),
  ];
}

function failure() {
  const document = element("a", { href: "/api/v1/openapi.json" }, "Look at it");
  return [
    element("h1", { tabindex: -1 }, "The operations are not known"),
    element("p", {}, "The document could not be read. ", document, ", or load this page again."),
  ];
}

function show(model, navigation, isFirst) {
  const hash = location.hash;
  // The skip link's and the like are places in the page.
  if (hash !== "" && !hash.startsWith("#/")) return;
  const shown = page(model, hash);
  start.hidden = shown !== null;
  view.hidden = shown === null;
  replace(view, shown?.content ?? []);
  document.title = shown ? `${shown.title} – ${TITLE}` : TITLE;
  navigation?.mark(shown?.operation ?? null);
  if (isFirst) return;
  navigation?.close();
  scrollTo(0, 0);
  (shown ? view : start).querySelector("h1").focus({ preventScroll: true });
}

async function begin() {
  document.getElementById("skip").addEventListener("click", (event) => {
    // The hash stays what is shown.
    event.preventDefault();
    main.focus();
  });
  showAccess();
  let model = null;
  let navigation = null;
  try {
    model = await load();
    navigation = new Navigation(model);
  } catch (error) {
    announce("The operations could not be loaded.");
    document.getElementById("version").textContent = `It could not be loaded: ${error.message}`;
  }
  fillStart(model);
  show(model, navigation, true);
  addEventListener("hashchange", () => show(model, navigation, false));
  document.documentElement.dataset.state = model ? "ready" : "failed";
}

begin();
