// The list of operations beside the page: searched, and walked by arrow keys.
import { element, method, path, replace, unique } from "/docs/elements.js";
import { search } from "/docs/document.js";

const WIDE = matchMedia("(min-width: 56rem)");

export class Navigation {
  constructor(model) {
    this.model = model;
    this.box = document.getElementById("operations");
    this.field = document.getElementById("search");
    this.count = document.getElementById("count");
    this.toggle = document.getElementById("toggle");
    this.groups = model.groups.map((group) => this.group(group));
    replace(document.getElementById("groups"), this.groups.map((group) => group.node));
    this.listen();
    this.apply();
    this.fit();
  }

  group(group) {
    const id = unique("group");
    const button = element("button", { type: "button", "aria-expanded": "false", "aria-controls": id }, group.name);
    const items = group.operations.map((operation) => {
      const link = element(
        "a",
        { href: `#/operations/${encodeURIComponent(operation.id)}` },
        element("span", { class: "title" }, operation.summary || operation.path),
        " ",
        element("span", { class: "endpoint" }, method(operation.method), " ", path(operation.path)),
      );
      return { operation, link, node: element("li", {}, link) };
    });
    const list = element("ul", { id, hidden: true }, items.map((item) => item.node));
    const made = { name: group.name, button, list, items, node: element("section", {}, element("h2", {}, button), list) };
    button.addEventListener("click", () => this.expand(made, list.hidden));
    return made;
  }

  expand(group, isOpen) {
    group.list.hidden = !isOpen;
    group.button.setAttribute("aria-expanded", String(isOpen));
  }

  /** Shows what is found; without words the groups are closed again, but for that of the operation that is read. */
  apply() {
    const text = this.field.value.trim();
    const found = new Set(search(this.model, text));
    for (const group of this.groups) {
      const shown = group.items.filter((item) => (item.node.hidden = !found.has(item.operation)) === false);
      group.node.hidden = shown.length === 0;
      this.expand(group, text !== "" || group.items.some((item) => item.link.hasAttribute("aria-current")));
    }
    const all = this.model.operations.length;
    this.count.textContent = text === "" ? `${all} operations` : `${found.size} of ${all} operations`;
  }

  /** Marks the operation that is read. */
  mark(id) {
    for (const group of this.groups) {
      for (const item of group.items) {
        const isCurrent = item.operation.id === id;
        item.link.toggleAttribute("aria-current", isCurrent);
        if (isCurrent) {
          item.link.setAttribute("aria-current", "page");
          this.expand(group, true);
          item.link.scrollIntoView({ block: "nearest" });
        }
      }
    }
  }

  listen() {
    this.field.addEventListener("input", () => this.apply());
    document.getElementById("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const first = this.links()[0];
      if (first && this.field.value.trim() !== "") location.hash = new URL(first.href).hash;
    });
    this.box.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isEditable(event.target)) return;
      event.preventDefault();
      this.open(true);
      this.field.focus();
      this.field.select();
    });
    this.toggle.addEventListener("click", () => {
      this.open(this.box.hidden);
      if (!this.box.hidden) this.field.focus();
    });
    WIDE.addEventListener("change", () => this.fit());
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const stops = this.stops();
    const at = stops.indexOf(document.activeElement);
    const isSearching = document.activeElement === this.field;
    const group = this.groups.find((one) => one.button === document.activeElement);
    switch (event.key) {
      case "ArrowDown": (isSearching && this.field.value.trim() !== "" ? this.links()[0] : stops[at + 1])?.focus(); break;
      case "ArrowUp": (at > 0 ? stops[at - 1] : this.field).focus(); break;
      case "Home": if (isSearching) return; stops[0]?.focus(); break;
      case "End": if (isSearching) return; stops.at(-1)?.focus(); break;
      case "ArrowRight": if (!group) return; this.expand(group, true); break;
      case "ArrowLeft": if (isSearching || !this.fold(group)) return; break;
      case "Escape": this.back(isSearching); break;
      default: return;
    }
    event.preventDefault();
  }

  /** Closes the group that has the focus, and leaves the focus on its name. */
  fold(group) {
    const own = group ?? this.groups.find((one) => one.list.contains(document.activeElement));
    if (!own) return false;
    this.expand(own, false);
    own.button.focus();
    return true;
  }

  /** From the list to the search, from the search to nothing searched, from there to the page. */
  back(isSearching) {
    if (!isSearching) {
      this.field.focus();
    } else if (this.field.value !== "") {
      this.field.value = "";
      this.apply();
    } else {
      if (!WIDE.matches) this.open(false);
      document.getElementById("main").focus();
    }
  }

  shown() {
    return this.groups.filter((group) => !group.node.hidden);
  }

  links() {
    return this.shown().flatMap(linksOf);
  }

  /** All that the arrows stop at. */
  stops() {
    return this.shown().flatMap((group) => [group.button, ...(group.list.hidden ? [] : linksOf(group))]);
  }

  open(isOpen) {
    this.box.hidden = !isOpen;
    this.toggle.setAttribute("aria-expanded", String(isOpen));
  }

  /** Beside the page where there is room for it, else behind its button. */
  fit() {
    this.toggle.hidden = WIDE.matches;
    this.open(WIDE.matches);
  }

  /** Something was opened: on a narrow page the list makes room for it. */
  close() {
    if (!WIDE.matches) this.open(false);
  }
}

function linksOf(group) {
  return group.items.filter((item) => !item.node.hidden).map((item) => item.link);
}

function isEditable(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}
