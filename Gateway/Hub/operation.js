// The pages of an operation, a service and a schema.
import { code, copyable, element, method, path, section, table } from "/docs/elements.js";
import { resolve } from "/docs/document.js";
import { constraints, example, link, tree, words } from "/docs/schema.js";
import { tryOut } from "/docs/tryout.js";

export function operationPage(model, operation) {
  const caller = tryOut(model, operation);
  const jump = element("button", { type: "button", class: "quiet" }, "Call it");
  jump.addEventListener("click", caller.focus);
  return [
    element("p", { class: "kicker" }, element("a", { href: `#/services/${encodeURIComponent(operation.tag)}` }, operation.tag)),
    element("h1", { tabindex: -1 }, operation.summary || operation.path),
    element("p", { class: "endpoint large" }, method(operation.method), " ", path(operation.path), " ", jump),
    operation.isDeprecated && element("p", { class: "notice" }, "Deprecated: see the Deprecation and Sunset headers of its answers."),
    operation.description && element("p", {}, operation.description),
    section("Who may call", 2, element("p", {}, who(operation.access))),
    parameters(model, operation),
    body(model, operation),
    section("Answers", 2, operation.answers.map((answer) => answerPart(model, answer))),
    refusals(operation),
    section("Call it", 2, caller.nodes),
  ];
}

export function who(access) {
  if (access.isPublic) return "Anybody: no token or key is needed.";
  const credentials = [access.takesToken && "an access token", access.takesKey && "an API key"].filter(Boolean).join(" or ");
  const said = [`Callers with ${credentials}`];
  if (access.permission) said.push(`and the permission ${access.permission}`);
  const age = access.maximumAge ? ` The sign-in must be at most ${Math.round(access.maximumAge / 60)} minutes old.` : "";
  return `${said.join(" ")}.${age}${access.takesKey ? "" : " API keys are not taken."}`;
}

function parameters(model, operation) {
  if (operation.parameters.length === 0) return null;
  const rows = operation.parameters.map((one) => {
    const said = [one.description, ...constraints(resolve(model.api, one.schema))].filter(Boolean).join("; ");
    return [code(one.name), one.in, words(model.api, one.schema), one.required ? "yes" : "no", said];
  });
  const titles = ["Name", "In", "Type", "Required", "Rules"];
  return section("Parameters", 2, table("What the path, the query and the headers take", titles, rows));
}

function body(model, operation) {
  if (!operation.body) return null;
  const parts = operation.body.content.map(([type, media]) => mediaPart(model, type, media, 3));
  return section("Request body", 2, element("p", {}, operation.body.isRequired ? "Required." : "Optional."), parts);
}

function answerPart(model, answer) {
  const content = Object.entries(answer.content ?? {});
  // The same everywhere, and named: its page tells the rest.
  if (answer.status === "default" && content.every(([, media]) => media.schema?.$ref)) {
    const links = content.map(([type, media]) => element("p", {}, `${type}: `, link(media.schema)));
    return section(`Otherwise: ${answer.description ?? ""}`, 3, links);
  }
  const status = answer.status === "default" ? "Otherwise" : answer.status;
  return section(
    `${status}: ${answer.description ?? ""}`, 3, content.length === 0 && element("p", {}, "Without a body."),
    content.map(([type, media]) => mediaPart(model, type, media, 4)),
  );
}

function mediaPart(model, type, media, level) {
  const isJSON = /json/.test(type);
  const shown = media.example ?? (isJSON || type.includes("form") ? example(model.api, media.schema ?? {}) : null);
  if (shown === null) return section(type, level, tree(model.api, media.schema ?? {}));
  const box = copyable(`Example of ${type}`, JSON.stringify(shown, null, 2)).box;
  return section(type, level, tree(model.api, media.schema ?? {}), element("details", {}, element("summary", {}, "Example"), box));
}

/** What this operation may be refused with, by the conventions that all services share. */
function refusals(operation) {
  const { access, method: verb } = operation;
  const rows = [["400", "What was sent is malformed or invalid; errors names every bad field."]];
  if (!access.isPublic) rows.push(["401", "No credentials, or bad ones."], ["403", "Known, but not allowed."]);
  if (operation.path.includes("{")) rows.push(["404", "Not there, for this caller."]);
  if (verb === "post") rows.push(["409", "A conflict, or the first request with this Idempotency-Key still runs."]);
  if (["put", "patch", "delete"].includes(verb)) rows.push(["409", "A conflict."], ["412", "If-Match is stale."]);
  if (operation.body) rows.push(["413", "Too large."], ["415", "Another media type than is listed above."]);
  if (verb === "post") rows.push(["422", "The Idempotency-Key was used with another body."]);
  rows.push(["429", "Limited; Retry-After says for how long."], ["503", "Something needed is down; Retry-After says when to try again."]);
  return section("What may go wrong", 2, table("Problems by status", ["Status", "When"], rows));
}

export function servicePage(group) {
  const rows = group.operations.map((one) => [
    element("a", { href: `#/operations/${encodeURIComponent(one.id)}` }, one.summary || one.id),
    element("span", { class: "endpoint" }, method(one.method), " ", path(one.path)),
    one.access.isPublic ? "anybody" : one.access.permission ?? "signed in",
  ]);
  return [
    element("p", { class: "kicker" }, element("a", { href: "#/" }, "Trionex API")),
    element("h1", { tabindex: -1 }, group.name),
    group.description && element("p", { class: "lead" }, group.description),
    table(`${group.operations.length} operations`, ["Operation", "Call", "Who"], rows),
  ];
}

export function schemaPage(model, name) {
  const schema = model.api.components?.schemas?.[name];
  const users = model.operations.filter((one) => mentions([one.body, one.answers], `#/components/schemas/${name}`));
  return [
    element("p", { class: "kicker" }, "Schema"),
    element("h1", { tabindex: -1 }, name),
    tree(model.api, schema),
    section("Example", 2, copyable(`Example of ${name}`, JSON.stringify(example(model.api, schema), null, 2)).box),
    // Every operation can be refused with a problem: that list would tell nothing.
    users.length > 0 && users.length < model.operations.length && section("Used by", 2, element("ul", {}, users.map((one) =>
      element("li", {}, element("a", { href: `#/operations/${encodeURIComponent(one.id)}` }, one.summary || one.id)),
    ))),
  ];
}

function mentions(value, reference) {
  if (!value || typeof value !== "object") return false;
  return value.$ref === reference || Object.values(value).some((inner) => mentions(inner, reference));
}
