// The OpenAPI document as the pages need it: operations by service, found by id and by words.

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];

export async function load() {
  const response = await fetch("/api/v1/openapi.json", { credentials: "omit" });
  if (!response.ok) throw new Error(`The document answered ${response.status}.`);
  return index(await response.json());
}

export function index(api) {
  const operations = [];
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS) {
      if (item && typeof item[method] === "object") operations.push(operation(api, path, method, item[method], item.parameters ?? []));
    }
  }
  operations.sort((a, b) => compare(a.path, b.path) || METHODS.indexOf(a.method) - METHODS.indexOf(b.method));
  const described = new Map((api.tags ?? []).map((tag) => [tag.name, tag.description ?? ""]));
  const names = [...new Set([...described.keys(), ...operations.map((one) => one.tag)])];
  const groups = names
    .map((name) => ({ name, description: described.get(name) ?? "", operations: operations.filter((one) => one.tag === name) }))
    .filter((group) => group.operations.length > 0);
  return { api, operations, groups, byID: new Map(operations.map((one) => [one.id, one])), info: api.info ?? {} };
}

function operation(api, path, method, declared, shared) {
  const own = (declared.parameters ?? []).map((one) => resolve(api, one));
  const isOwn = (one) => own.some((other) => other.name === one.name && other.in === one.in);
  const inherited = shared.map((one) => resolve(api, one)).filter((one) => !isOwn(one));
  const body = declared.requestBody ? resolve(api, declared.requestBody) : null;
  const made = {
    id: declared.operationId ?? `${method}${path.replace(/[^A-Za-z0-9]+/g, "-")}`,
    method,
    path,
    tag: declared.tags?.[0] ?? "other",
    summary: declared.summary ?? "",
    description: declared.description ?? "",
    isDeprecated: declared.deprecated === true,
    parameters: [...inherited, ...own],
    body: body && { isRequired: body.required === true, content: Object.entries(body.content ?? {}) },
    answers: Object.entries(declared.responses ?? {}).map(([status, answer]) => ({ status, ...resolve(api, answer) })),
    access: access(declared.security ?? api.security ?? [], declared),
  };
  made.words = [method, path, made.tag, made.summary, made.id, made.access.permission ?? ""].join(" ").toLowerCase();
  return made;
}

/** Who may call: by the security requirements, and what the services say beside them. */
function access(security, declared) {
  const schemes = security.flatMap((one) => Object.keys(one));
  return {
    isPublic: schemes.length === 0,
    takesToken: schemes.includes("bearer"),
    takesKey: schemes.includes("apiKey"),
    permission: declared["x-permission"] ?? null,
    maximumAge: declared["x-max-authentication-age"] ?? null,
  };
}

/** All words must be found. */
export function search(model, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return model.operations.filter((one) => words.every((word) => one.words.includes(word)));
}

/** What a reference inside the document stands for; anything else as it is. References to references are followed, but not around. */
export function resolve(api, value) {
  const seen = new Set();
  let found = value;
  while (found && typeof found === "object" && typeof found.$ref === "string") {
    if (seen.has(found.$ref)) return {};
    seen.add(found.$ref);
    found = target(api, found.$ref);
  }
  return found ?? {};
}

function target(api, reference) {
  if (!reference.startsWith("#/")) return {};
  let found = api;
  for (const part of reference.slice(2).split("/")) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (!found || typeof found !== "object" || !Object.hasOwn(found, key)) return {};
    found = found[key];
  }
  return found;
}

/** The last part of a reference: how a schema is called. */
export function referenceName(reference) {
  return decodeURIComponent(reference.split("/").at(-1)).replaceAll("~1", "/").replaceAll("~0", "~");
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
