// Makes elements. Text is only ever inserted as text: the page's policy forbids everything else.

/** `element("a", { href: "#/", class: "x" }, "text", child)`. True sets an empty attribute; false, null and undefined set none. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(key, value === true ? "" : String(value));
  }
  append(made, children);
  return made;
}

export function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

export const code = (text) => element("code", {}, text);

export function method(name) {
  return element("span", { class: `method ${/^[a-z]+$/.test(name) ? name : ""}` }, name.toUpperCase());
}

/** Where lines may break in a path: after slashes. */
export function path(text) {
  const parts = text.split("/");
  return element("code", { class: "path" }, parts.map((part, index) => (index === 0 ? part : ["/", element("wbr"), part])));
}

/** A section with a heading that names it. */
export function section(title, level, ...children) {
  const id = unique("section");
  return element("section", { "aria-labelledby": id }, element(`h${level}`, { id }, title), children);
}

/** A table that scrolls by itself where the page is narrow. `rows` are lists of cells; the first of each is its heading. */
export function table(caption, titles, rows) {
  const id = unique("caption");
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": id },
    element(
      "table",
      {},
      element("caption", { id }, caption),
      element("thead", {}, element("tr", {}, titles.map((title) => element("th", { scope: "col" }, title)))),
      element(
        "tbody",
        {},
        rows.map(([first, ...others]) =>
          element("tr", {}, element("th", { scope: "row" }, first), others.map((cell) => element("td", {}, cell))),
        ),
      ),
    ),
  );
}

/** Preformatted text that can be scrolled by keyboard, with a button that copies it. */
export function copyable(label, text) {
  const shown = code(text);
  const button = element("button", { type: "button", class: "quiet" }, "Copy");
  button.setAttribute("aria-label", `Copy: ${label}`);
  button.addEventListener("click", async () => announce((await copy(shown)) ? "Copied." : "The browser did not let this be copied."));
  const box = element("div", { class: "copyable" }, button, element("pre", { tabindex: 0, "aria-label": label }, shown));
  return { box, set: (value) => { shown.textContent = value; } };
}

/** The clipboard is there on secure origins only; elsewhere the selection is copied. */
async function copy(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }
}

/** Told by screen readers when they have time. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  // Put in later, or the same words twice would be told once.
  setTimeout(() => { announcer.textContent = text; }, 50);
}

let made = 0;

export function unique(prefix) {
  made += 1;
  return `${prefix}-${made}`;
}
