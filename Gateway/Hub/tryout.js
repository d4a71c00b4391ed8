// The form that calls an operation, the curl command for the same, and what was answered.
import { announce, append, copyable, element, replace, table, unique } from "/docs/elements.js";
import { credential, state } from "/docs/access.js";
import { resolve } from "/docs/document.js";
import { constraints, example, words } from "/docs/schema.js";
import { curl, formFields, prettyJSON, sizeText, target } from "/docs/request.js";

// What is read of an answer's body, in bytes.
const MAXIMUM_BODY = 1_048_576;

/** `nodes` to show, and `focus`, which leads to the first of the form's fields. */
export function tryOut(model, operation) {
  const fields = operation.parameters.map((parameter) => parameterField(model, parameter));
  const body = operation.body && bodyField(model, operation.body);
  const sender = credentialField(operation.access);
  const more = moreHeaders();
  const command = copyable("The same with curl", "");
  const send = element("button", { type: "submit", class: "primary" }, "Send");
  const cancel = element("button", { type: "button", hidden: true }, "Cancel");
  const answer = element("div", { class: "answer" });
  const form = element(
    "form", { class: "try", "aria-label": "Call this operation" },
    fields.length > 0 && element("div", { class: "parameters" }, fields.map((field) => field.node)),
    body?.node, sender.node, more.node, element("p", { class: "buttons" }, send, cancel),
  );

  const given = (place) => fields.filter((field) => field.parameter.in === place && field.value() !== "");
  const request = () => ({
    method: operation.method.toUpperCase(),
    path: target(operation.path, fields.map((field) => ({ ...field.parameter, value: field.value() }))),
    headers: [
      ...given("header").map((field) => [field.parameter.name, field.value()]),
      ...(body?.headers() ?? []),
      ...more.value(),
    ],
    body: body?.value() ?? null,
    credential: sender.value(),
  });
  const refresh = () => command.set(curl(request(), location.origin));
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh);
  refresh();

  let running = null;
  cancel.addEventListener("click", () => running?.abort());
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) running.abort();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    cancel.hidden = false;
    send.setAttribute("aria-disabled", "true");
    try {
      await call(request(), answer, running.signal);
    } finally {
      running = null;
      // The focus must not be lost with the button.
      if (document.activeElement === cancel) send.focus();
      cancel.hidden = true;
      send.removeAttribute("aria-disabled");
    }
  });
  return { nodes: [form, answer, element("h3", {}, "With curl"), command.box], focus: () => form.elements[0].focus() };
}

function parameterField(model, parameter) {
  const id = unique("parameter");
  const schema = resolve(model.api, parameter.schema);
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const said = choices ? [] : [words(model.api, parameter.schema), ...constraints(schema)];
  const hint = [...said, `in the ${parameter.in}`].join("; ");
  const attributes = { id, name: parameter.name, required: parameter.required === true, "aria-describedby": `${id}-hint` };
  const options = (choices ?? []).map((one) => element("option", { value: one }, String(one)));
  const inputmode = schema.type === "integer" ? "numeric" : null;
  const input = choices
    ? element("select", attributes, element("option", { value: "" }, "not given"), options)
    : element("input", { ...attributes, type: "text", autocomplete: "off", spellcheck: "false", maxlength: schema.maxLength, inputmode });
  const must = parameter.required && element("span", { class: "must" }, "required");
  const node = element(
    "p", { class: "field" }, element("label", { for: id }, parameter.name, must), input,
    element("span", { class: "hint", id: `${id}-hint` }, hint),
  );
  return { node, parameter, value: () => input.value };
}

function bodyField(model, body) {
  const [type, media] = body.content[0] ?? ["application/json", {}];
  const id = unique("body");
  if (/octet-stream|^image\/|^video\//.test(type)) {
    const input = element("input", { id, type: "file", required: body.isRequired });
    const node = element("p", { class: "field" }, element("label", { for: id }, "Body: a file"), input);
    const headers = () => [["Content-Type", input.files[0]?.type || type]];
    return { node, headers, value: () => ({ kind: "file", file: input.files[0] ?? null }) };
  }
  const isForm = type.includes("urlencoded");
  const input = element("textarea", { id, rows: 10, spellcheck: "false", autocomplete: "off", "aria-describedby": `${id}-hint` });
  const fill = (isWhole) => {
    input.value = JSON.stringify(example(model.api, media.schema ?? {}, isWhole), null, 2);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const short = element("button", { type: "button", class: "quiet" }, "Required fields");
  const long = element("button", { type: "button", class: "quiet" }, "All fields");
  short.addEventListener("click", () => fill(false));
  long.addEventListener("click", () => fill(true));
  fill(false);
  const hint = isForm ? `An object of fields, sent as ${type}. Ctrl and Enter send it.` : `${type}. Ctrl and Enter send it.`;
  const node = element(
    "div", { class: "field" }, element("label", { for: id }, "Body"), input, element("p", { class: "hint", id: `${id}-hint` }, hint),
    element("p", { class: "buttons" }, "Fill in: ", short, " ", long),
  );
  return {
    node, headers: () => [["Content-Type", type]],
    value: () => (isForm ? { kind: "form", fields: formFields(input.value) } : { kind: "text", text: input.value }),
  };
}

function credentialField(access) {
  const id = unique("credential");
  const { hasToken, hasKey } = state();
  const mayToken = hasToken && (access.takesToken || access.isPublic);
  const mayKey = hasKey && (access.takesKey || access.isPublic);
  const choice = element(
    "select", { id, name: "credential" }, element("option", { value: "none" }, "nobody: no token or key"),
    mayToken && element("option", { value: "token" }, "the access token"), mayKey && element("option", { value: "key" }, "the API key"),
  );
  if (!access.isPublic) choice.value = mayToken ? "token" : mayKey ? "key" : "none";
  const isMissing = !access.isPublic && !mayToken && !mayKey;
  const node = element(
    "p", { class: "field" }, element("label", { for: id }, "Call as"), choice,
    isMissing && element("span", { class: "hint" }, "This operation needs more: ", element("a", { href: "#/access" }, "sign in"), "."),
  );
  return { node, value: () => choice.value };
}

function moreHeaders() {
  const id = unique("headers");
  const input = element("textarea", { id, rows: 2, spellcheck: "false", autocomplete: "off", placeholder: "If-None-Match: \"…\"" });
  const node = element(
    "details", {}, element("summary", {}, "More headers"),
    element("p", { class: "field" }, element("label", { for: id }, "One header in a line, as Name: value"), input),
  );
  const value = () => input.value.split("\n").filter((line) => line.includes(":"))
    .map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
  return { node, value };
}

async function call(request, box, signal) {
  const status = element("p", { class: "status", role: "status" }, "Sending …");
  replace(box, element("h3", {}, "Answer"), status);
  const began = performance.now();
  try {
    const headers = new Headers(request.headers);
    const own = await credential(request.credential);
    if (own) headers.set(...own);
    // The origin stands in front, or a path of two slashes would be another host's.
    const response = await fetch(location.origin + request.path, {
      method: request.method, headers, body: payload(request), signal, credentials: "omit", cache: "no-store", redirect: "manual",
    });
    if (response.type === "opaqueredirect") {
      status.textContent = "A redirect. Browsers do not show scripts where it leads; curl does.";
      return;
    }
    const head = performance.now() - began;
    await show(response, box, status, head, began);
  } catch (error) {
    status.textContent = error.name === "AbortError" ? "Cancelled." : `There was no answer: ${error.message}`;
  }
}

function payload({ body }) {
  switch (body?.kind) {
    case "file": return body.file;
    case "form": return new URLSearchParams(body.fields);
    case "text": return body.text;
    default: return null;
  }
}

async function show(response, box, status, head, began) {
  const line = `${response.status} ${response.statusText}`.trim();
  status.classList.add(response.ok ? "good" : "bad");
  status.textContent = `${line}, after ${Math.round(head)} ms`;
  box.scrollIntoView({ block: "nearest" });
  const rows = [...response.headers].map(([name, value]) => [name, value]);
  const type = response.headers.get("Content-Type") ?? "";
  const text = element("code");
  const body = element("pre", { tabindex: 0, "aria-label": "Body of the answer", class: "body" }, text);
  const list = table("Headers of the answer", ["Name", "Value"], rows);
  const isText = type === "" || /^text\/|json|xml|javascript|urlencoded|svg/.test(type);
  append(box, [isText && body, element("details", { open: true }, element("summary", {}, `${rows.length} headers`), list)]);
  const { bytes, isCut } = await read(response, isText ? text : null, type.includes("event-stream"));
  if (isText && !isCut && /json/.test(type)) text.textContent = prettyJSON(text.textContent);
  if (bytes === 0) body.remove();
  const size = isCut ? `cut after ${sizeText(bytes)}` : sizeText(bytes);
  const note = isText || bytes === 0 ? "" : `; ${type} is not shown`;
  status.textContent = `${line}, ${size} in ${Math.round(performance.now() - began)} ms${note}`;
  box.scrollIntoView({ block: "nearest" });
  announce(status.textContent);
}

/** Reads up to the limit. A stream of events is shown as it comes, anything else when all of it is there. */
async function read(response, text, isLive) {
  if (!response.body) return { bytes: 0, isCut: false };
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parts = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const kept = value.subarray(0, MAXIMUM_BODY - bytes);
    bytes += kept.length;
    const part = text ? decoder.decode(kept, { stream: true }) : "";
    if (isLive) text.append(part);
    else parts.push(part);
    if (kept.length < value.length || bytes === MAXIMUM_BODY) {
      await reader.cancel();
      if (text && !isLive) text.textContent = parts.join("");
      return { bytes, isCut: true };
    }
  }
  if (text && !isLive) text.textContent = parts.join("") + decoder.decode();
  return { bytes, isCut: false };
}
