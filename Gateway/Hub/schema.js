// JSON Schema as words, as a tree to read, and as an example.
import { code, element } from "/docs/elements.js";
import { referenceName, resolve } from "/docs/document.js";

// Deeper than anything that a reader follows; what refers to itself ends earlier, by name.
const MAXIMUM_DEPTH = 24;

/** A schema as nested lists. */
export function tree(api, schema, trail = []) {
  if (trail.length > MAXIMUM_DEPTH) return element("p", { class: "note" }, "And so on.");
  const [whole, names] = follow(api, schema, trail);
  if (!whole) return element("p", { class: "note" }, "As above: ", link(schema));
  const inner = children(api, whole, names);
  return element("div", { class: "schema" }, element("p", { class: "type" }, named(schema), words(api, whole)), notes(whole), inner);
}

function children(api, schema, trail) {
  const parts = [];
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required ?? []);
  if (properties.length > 0) {
    // What must be there is read first.
    properties.sort(([a], [b]) => Number(required.has(b)) - Number(required.has(a)));
    parts.push(element("ul", {}, properties.map(([name, inner]) => property(api, name, inner, required.has(name), trail))));
  }
  const alternatives = (schema.oneOf ?? schema.anyOf ?? []).filter((one) => one.type !== "null");
  for (const alternative of alternatives) {
    if (isDeep(api, alternative)) parts.push(nested(api, alternatives.length > 1 ? "One of" : "If it is there", alternative, trail));
  }
  if (schema.items && isDeep(api, schema.items)) parts.push(nested(api, "Each item", schema.items, trail));
  if (isDeep(api, schema.additionalProperties)) parts.push(nested(api, "Each value", schema.additionalProperties, trail));
  return parts;
}

function property(api, name, schema, isRequired, trail) {
  const whole = follow(api, schema, [])[0] ?? {};
  const type = element("span", { class: "type" }, words(api, schema));
  const must = isRequired && element("span", { class: "must" }, "required");
  const row = element("li", {}, element("div", { class: "property" }, code(name), " ", type, must), notes(whole));
  const [inner, names] = follow(api, schema, trail);
  if (!inner) {
    row.append(element("p", { class: "note" }, "As above: ", link(schema)));
  } else if (names.length <= MAXIMUM_DEPTH) {
    for (const child of children(api, inner, [...names, `.${name}`])) row.append(child);
  }
  return row;
}

function nested(api, title, schema, trail) {
  return element("div", { class: "nested" }, element("p", { class: "note" }, `${title}:`), tree(api, schema, [...trail, `[${title}]`]));
}

function notes(schema) {
  const said = constraints(schema);
  return [
    schema.description && element("p", { class: "note" }, schema.description),
    said.length > 0 && element("p", { class: "note" }, said.join("; ")),
  ];
}

function named(schema) {
  return schema?.$ref ? [link(schema), ": "] : null;
}

export function link(schema) {
  const name = schema?.$ref ? referenceName(schema.$ref) : "";
  return element("a", { href: `#/schemas/${encodeURIComponent(name)}` }, name);
}

/** The schema itself, and the names of what was followed to it; nothing where a name comes a second time. */
function follow(api, schema, trail) {
  if (schema?.$ref) {
    if (trail.includes(schema.$ref)) return [null, trail];
    return [flatten(api, resolve(api, schema)), [...trail, schema.$ref]];
  }
  return [flatten(api, schema ?? {}), trail];
}

/** `allOf` taken together. */
function flatten(api, schema) {
  if (!Array.isArray(schema.allOf)) return schema;
  const parts = schema.allOf.map((part) => resolve(api, part));
  return parts.reduce(
    (all, part) => ({
      ...part, ...all, properties: { ...part.properties, ...all.properties }, required: [...(all.required ?? []), ...(part.required ?? [])],
    }),
    { ...schema, allOf: undefined },
  );
}

function isDeep(api, schema) {
  if (!schema || typeof schema !== "object") return false;
  const whole = flatten(api, resolve(api, schema));
  return Boolean(whole.properties || whole.anyOf || whole.oneOf || isDeep(api, whole.items) || isDeep(api, whole.additionalProperties));
}

/** "array of string (uuid)". */
export function words(api, schema, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > MAXIMUM_DEPTH) return "anything";
  if (schema.$ref) {
    const inner = words(api, resolve(api, schema), depth + 1);
    return inner === "object" ? `object ${referenceName(schema.$ref)}` : inner;
  }
  const whole = flatten(api, schema);
  const alternatives = whole.oneOf ?? whole.anyOf;
  if (alternatives) return [...new Set(alternatives.map((one) => words(api, one, depth + 1)))].join(" or ");
  if (Object.hasOwn(whole, "const")) return JSON.stringify(whole.const);
  if (whole.enum) return whole.enum.map((one) => JSON.stringify(one)).join(" or ");
  const types = [whole.type ?? (whole.properties ? "object" : "anything")].flat();
  return types.map((type) => typed(api, type, whole, depth)).join(" or ");
}

function typed(api, type, schema, depth) {
  if (type === "array") return `array of ${words(api, schema.items, depth + 1)}`;
  if (type === "object" && typeof schema.additionalProperties === "object" && !schema.properties) {
    return `map to ${words(api, schema.additionalProperties, depth + 1)}`;
  }
  return schema.format ? `${type} (${schema.format})` : type;
}

export function constraints(schema) {
  const said = [];
  const range = (from, to, unit) => {
    if (from !== undefined && to !== undefined) said.push(`${grouped(from)} to ${grouped(to)}${unit}`);
    else if (from !== undefined) said.push(`at least ${grouped(from)}${unit}`);
    else if (to !== undefined) said.push(`at most ${grouped(to)}${unit}`);
  };
  range(schema.minLength, schema.maxLength, " characters");
  range(schema.minimum, schema.maximum, "");
  range(schema.minItems, schema.maxItems, " items");
  if (schema.pattern) said.push(`must match ${schema.pattern}`);
  if (schema.default !== undefined) said.push(`${JSON.stringify(schema.default)} unless given`);
  if (schema.deprecated) said.push("deprecated");
  return said;
}

function grouped(number) {
  return typeof number === "number" ? number.toLocaleString("en") : String(number);
}

const FORMATS = {
  uuid: "0190b6a2-7c1e-7d3a-9b52-3f8e6a1c4d70",
  "date-time": "2026-01-31T09:30:00.000Z",
  date: "2026-01-31",
  email: "ada@example.org",
  uri: "https://example.org/",
  "uri-reference": "/problems/validation-failed",
  hostname: "example.org",
  password: "a very good secret",
  binary: "…",
};

// Tried against a pattern in turn.
const SAMPLES = ["example", "en", "articles:read", "2026-01-31", "+4915112345678", "#0b5cad", "A".repeat(43), "EUR", "123456"];

/** A value that the schema allows, as far as it says. `isWhole`: with all that is optional, too. */
export function example(api, schema, isWhole = true, trail = []) {
  const [whole, names] = follow(api, schema, trail);
  if (!whole || names.length > MAXIMUM_DEPTH) return null;
  if (whole.example !== undefined) return whole.example;
  if (whole.examples?.length > 0) return whole.examples[0];
  if (whole.default !== undefined) return whole.default;
  if (Object.hasOwn(whole, "const")) return whole.const;
  if (whole.enum) return whole.enum[0];
  const alternatives = whole.oneOf ?? whole.anyOf;
  if (alternatives) return example(api, alternatives.find((one) => one.type !== "null") ?? {}, isWhole, [...names, "|"]);
  const type = [whole.type ?? (whole.properties ? "object" : "any")].flat().find((one) => one !== "null");
  switch (type) {
    case "object": return objectExample(api, whole, isWhole, names);
    case "array": return [example(api, whole.items ?? {}, isWhole, [...names, "[]"])].filter((one) => one !== null);
    case "string": return text(whole);
    case "integer": return Math.max(whole.minimum ?? 1, Math.min(1, whole.maximum ?? 1));
    case "number": return whole.minimum ?? 1.5;
    case "boolean": return true;
    case undefined: return null;
    default: return {};
  }
}

function objectExample(api, schema, isWhole, names) {
  const required = new Set(schema.required ?? []);
  // Where nothing must be there, an example without anything would tell nothing.
  const shown = Object.entries(schema.properties ?? {}).filter(([name]) => isWhole || required.size === 0 || required.has(name));
  const made = {};
  for (const [name, inner] of shown) {
    const isCycle = inner?.$ref && names.includes(inner.$ref);
    if (!isCycle) made[name] = example(api, inner, isWhole, [...names, `.${name}`]);
  }
  if (typeof schema.additionalProperties === "object" && shown.length === 0) {
    made.key = example(api, schema.additionalProperties, isWhole, [...names, ".key"]);
  }
  return made;
}

function text(schema) {
  const sample = FORMATS[schema.format] ?? (schema.pattern && SAMPLES.find((one) => matches(schema.pattern, one))) ?? "text";
  const minimum = schema.minLength ?? 0;
  const long = sample.length < minimum && !schema.pattern && !schema.format ? sample.padEnd(minimum, "x") : sample;
  return schema.maxLength !== undefined ? long.slice(0, schema.maxLength) : long;
}

function matches(pattern, sample) {
  try {
    return new RegExp(pattern, "u").test(sample);
  } catch {
    return false;
  }
}
