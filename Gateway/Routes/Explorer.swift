/// A page that lists the operations of the platform, in plain HTML, CSS and JavaScript of our own.
///
/// It works with the keyboard and a screen reader: headings, `details`, a labelled filter, and results announced politely.
enum Explorer {
    static let contentSecurity =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'"

    static let page = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Trionex API</title>
        <link rel="stylesheet" href="/docs/explorer.css">
        <script src="/docs/explorer.js" defer></script>
        </head>
        <body>
        <a class="skip" href="#operations">Skip to the operations</a>
        <header>
        <h1>Trionex API</h1>
        <p>Every operation that the platform offers, from <a href="/api/v1/openapi.json">its OpenAPI document</a>.</p>
        <label for="filter">Filter by path, method or words</label>
        <input id="filter" type="search" autocomplete="off">
        <p id="count" role="status" aria-live="polite">Loading …</p>
        </header>
        <main id="operations" tabindex="-1"></main>
        <noscript><p>This page needs JavaScript; the document itself does not.</p></noscript>
        </body>
        </html>
        """

    static let style = """
        :root { color-scheme: light dark; --line: #8886; }
        body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
        .skip { position: absolute; left: -99rem; }
        .skip:focus { position: static; }
        label { display: block; font-weight: 600; }
        input { box-sizing: border-box; font: inherit; padding: .4rem .6rem; width: 100%; }
        details { border-top: 1px solid var(--line); padding: .4rem 0; }
        summary { cursor: pointer; }
        summary:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
        code, pre { font: .9rem/1.4 ui-monospace, monospace; }
        pre { overflow: auto; padding: .6rem; border: 1px solid var(--line); }
        .method { display: inline-block; font-weight: 700; min-width: 4.5rem; }
        .note { opacity: .8; }
        table { border-collapse: collapse; }
        th, td { border: 1px solid var(--line); padding: .2rem .6rem; text-align: left; }
        """

    static let script = """
        "use strict";
        const main = document.getElementById("operations");
        const count = document.getElementById("count");
        const filter = document.getElementById("filter");
        const entries = [];

        function element(name, text, className) {
          const made = document.createElement(name);
          if (text !== undefined) made.textContent = text;
          if (className) made.className = className;
          return made;
        }

        function schemaText(content) {
          const [type, media] = Object.entries(content || {})[0] || [];
          if (!media) return null;
          return type + "\\n" + JSON.stringify(media.schema, null, 2);
        }

        function parameters(list) {
          const table = element("table");
          table.append(element("caption", "Parameters"));
          const head = element("tr");
          for (const title of ["Name", "In", "Required"]) {
            const cell = element("th", title);
            cell.scope = "col";
            head.append(cell);
          }
          table.append(head);
          for (const parameter of list) {
            const row = element("tr");
            const values = [parameter.name, parameter.in, parameter.required ? "yes" : "no"];
            for (const value of values) row.append(element("td", value));
            table.append(row);
          }
          return table;
        }

        function show(path, method, operation) {
          const details = element("details");
          const summary = element("summary");
          summary.append(element("span", method.toUpperCase(), "method"), element("code", path), " " + (operation.summary || ""));
          details.append(summary);
          const isPublic = Array.isArray(operation.security) && operation.security.length === 0;
          const right = operation["x-permission"] ? "Needs the permission " + operation["x-permission"] + "." : "Needs an access token.";
          details.append(element("p", isPublic ? "Anybody may call this." : right, "note"));
          if (operation.parameters && operation.parameters.length) details.append(parameters(operation.parameters));
          const body = operation.requestBody && schemaText(operation.requestBody.content);
          if (body) details.append(element("h3", "Request"), element("pre", body));
          for (const [status, response] of Object.entries(operation.responses || {})) {
            details.append(element("h3", "Answer " + status + ": " + (response.description || "")));
            const text = schemaText(response.content);
            if (text) details.append(element("pre", text));
          }
          return details;
        }

        function apply() {
          const words = filter.value.toLowerCase().split(/\\s+/).filter(Boolean);
          let shown = 0;
          for (const entry of entries) {
            entry.node.hidden = !words.every((word) => entry.text.includes(word));
            if (!entry.node.hidden) shown += 1;
          }
          for (const section of main.querySelectorAll("section")) {
            section.hidden = !section.querySelector("details:not([hidden])");
          }
          count.textContent = shown + " of " + entries.length + " operations";
        }

        async function load() {
          const response = await fetch("/api/v1/openapi.json");
          const api = await response.json();
          const sections = new Map();
          for (const [path, item] of Object.entries(api.paths)) {
            for (const [method, operation] of Object.entries(item)) {
              const tag = (operation.tags || ["other"])[0];
              if (!sections.has(tag)) {
                const section = element("section");
                section.append(element("h2", tag));
                sections.set(tag, section);
                main.append(section);
              }
              const node = show(path, method, operation);
              sections.get(tag).append(node);
              entries.push({ node, text: (method + " " + path + " " + (operation.summary || "") + " " + tag).toLowerCase() });
            }
          }
          filter.addEventListener("input", apply);
          apply();
        }

        load().catch(() => { count.textContent = "The document could not be loaded."; });
        """
}
