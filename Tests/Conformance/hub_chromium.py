#!/usr/bin/env python3
"""The developer hub in a real browser: found, searched, read and called by keyboard, in headless Chromium.

    hub_chromium.py http://127.0.0.1:8080

Needs the packages websocket-client and requests, and a Chromium.
"""
import base64
import json
import os
import sys
from urllib.parse import urlsplit

import requests

from support.chromium import Chromium
from support.platform import Checks, Person

BASE = sys.argv[1].rstrip("/")
HUB = BASE + "/docs"
SERVICES = ["auth", "users", "content", "assistant", "analytics", "notifications", "files", "search"]
# Where pictures of the pages are left, if anybody wants to look at them.
PICTURES = os.environ.get("HUB_PICTURES")
CONTROLS = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "listbox", "DisclosureTriangle"}

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""

# Every text that can be seen against what is painted under it: WCAG 2.2, 1.4.3.
CONTRAST = """
(() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const under = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === "" || !node.checkVisibility() || ["OPTION", "SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName)) continue;
    const [a, b] = [light(colour(getComputedStyle(node).color)), light(under(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(node.tagName + "." + node.className + " " + ratio.toFixed(2) + " " + walker.currentNode.data.slice(0, 30));
  }
  return poor;
})()
"""

# A document that means harm, and one schema that is in itself.
HOSTILE = {
    "openapi": "3.1.0", "info": {"title": "x", "version": "<b>1</b>"}, "tags": [{"name": "<script>window.harmed = 1</script>"}],
    "paths": {
        "//evil.example/x": {"get": {"operationId": "evil", "security": [], "responses": {}}},
        "/api/v1/<img src=x onerror=window.harmed=1>/{id}": {
            "post": {
                "operationId": "\"><img src=x onerror=window.harmed=1>", "summary": "<img src=x onerror=window.harmed=1>", "security": [],
                "tags": ["<script>window.harmed = 1</script>"],
                "parameters": [{"name": "<i>id</i>", "in": "query", "description": "<svg onload=window.harmed=1>", "schema": {"type": "string", "enum": ["<u>"]}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}},
                "responses": {"200": {"description": "<a href=javascript:window.harmed=1>x</a>", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}}}},
            }
        },
    },
    "components": {
        "schemas": {
            "Node": {"type": "object", "required": ["name", "next"], "properties": {
                "name": {"type": "string", "pattern": "([", "description": "<img src=x onerror=window.harmed=1>"},
                "next": {"$ref": "#/components/schemas/Node"}, "others": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                "other": {"anyOf": [{"$ref": "#/components/schemas/Node"}, {"type": "null"}]},
            }},
            "Loop": {"$ref": "#/components/schemas/Loop"},
        }
    },
}


class Hub(Chromium):
    def __init__(self):
        super().__init__()
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility", "Audits"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def open(self, address=HUB):
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait("the hub is ready", lambda: self.run("document.documentElement?.dataset.state === 'ready' && location.href") == address)

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def heading(self):
        return self.run("[...document.querySelectorAll('h1')].filter((one) => one.checkVisibility()).map((one) => one.innerText).join('|')")

    def focused(self):
        return self.run("document.activeElement.innerText || document.activeElement.id || document.activeElement.tagName")

    def search(self, words):
        self.press("/")
        self.run("document.activeElement.select()")
        self.write(words)

    def shows(self, heading):
        self.wait(f"the page shows {heading!r}", lambda: self.heading() == heading)

    def tab_to(self, what, condition):
        """Goes on with the Tab key alone until the focus is where it should be."""
        for _ in range(80):
            self.press("Tab")
            if self.run(condition):
                return
        raise SystemExit(f"FAILED: the Tab key does not lead to {what}")

    def fill(self, label, text):
        """A field by its label, as its only content."""
        found = self.run(
            f"(() => {{ const label = [...document.querySelectorAll('main label')].find((one) => one.checkVisibility() && one.innerText.startsWith({json.dumps(label)}));"
            " const field = label?.control; if (!field) return false; field.focus(); field.select(); return true; })()"
        )
        if not found:
            raise SystemExit(f"FAILED: there is no field {label!r}")
        self.write(text)

    def answered(self):
        return self.wait("there is an answer", lambda: self.run("/ in \\d+ ms/.test(document.querySelector('.answer .status')?.innerText ?? '') && document.querySelector('.answer').innerText"))

    def picture(self, name):
        if PICTURES:
            data = self.call("Page.captureScreenshot", format="png")["data"]
            with open(os.path.join(PICTURES, name + ".png"), "wb") as file:
                file.write(base64.b64decode(data))

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, **features):
        self.call("Emulation.setEmulatedMedia", features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def check_accessible(self, page):
        tree = self.accessible()
        nameless = [role for role, name, _ in tree if role in CONTROLS and not name.strip()]
        check(f"{page}: every control has a name for a screen reader", not nameless, nameless)
        levels = [property["value"]["value"] for role, _, node in tree if role == "heading" for property in node["properties"] if property["name"] == "level"]
        check(f"{page}: there is one heading of the first level", levels.count(1) == 1, levels)
        roles = [role for role, _, _ in tree]
        check(f"{page}: banner, main part, list, search and foot are landmarks", {"banner", "main", "navigation", "search", "contentinfo"} <= set(roles), set(roles))
        ids = self.run("(() => { const ids = [...document.querySelectorAll('[id]')].map((one) => one.id); return ids.length === new Set(ids).size; })()")
        check(f"{page}: no id is given twice", ids)


def files():
    """What every client sees of the files, browser or not."""
    for path, kind in (("/docs", "text/html"), ("/docs/", "text/html"), ("/docs/hub.js", "text/javascript"), ("/docs/hub.css", "text/css"),
                       ("/favicon.ico", "image/svg+xml"), ("/robots.txt", "text/plain"), ("/api/v1/openapi.json", "application/json")):
        answer = requests.get(BASE + path, timeout=20)
        check(f"{path} is {kind}", answer.status_code == 200 and answer.headers["content-type"].startswith(kind), answer.headers)
        check(f"{path} may do nothing but what it needs", answer.headers["content-security-policy"].startswith("default-src 'none';"))
        again = requests.get(BASE + path, headers={"if-none-match": answer.headers["etag"]}, timeout=20)
        check(f"{path} is not sent twice", again.status_code == 304 and not again.content, again.status_code)
        head = requests.head(BASE + path, timeout=20)
        check(f"{path} has a head", head.status_code == 200 and head.headers["etag"] == answer.headers["etag"] and not head.content)
    check("nothing is written there", requests.post(BASE + "/docs", timeout=20).status_code == 405)
    for path in ("/docs/hub.swift", "/docs/../Package.swift", "/docs/%2e%2e/robots.txt", "/docs/index.html"):
        status = requests.Session().send(raw_path(path), timeout=20).status_code
        check(f"{path} is not there", status in (400, 404), status)


def raw_path(path):
    """A request whose path stays as it is written."""
    request = requests.Request("GET", BASE).prepare()
    request.url = BASE + path
    return request


def begin(hub):
    hub.size(1280)
    hub.open()
    hub.picture("start-light")
    check("the page names itself", hub.heading() == "Trionex API" and hub.run("document.title") == "Trionex API")
    document = requests.get(BASE + "/api/v1/openapi.json", timeout=20).json()
    count = sum(len(item) for item in document["paths"].values())
    check(f"it counts the document's {count} operations", hub.text("#count") == f"{count} operations", hub.text("#count"))
    names = hub.run("[...document.querySelectorAll('#groups h2 button')].map((one) => one.innerText)")
    check("every service has its group", sorted(names) == sorted(SERVICES), names)
    per = hub.run("Object.fromEntries([...document.querySelectorAll('#groups section')].map((one) => [one.querySelector('button').innerText, one.querySelectorAll('a').length]))")
    check("and operations in it", all(per[name] > 0 for name in SERVICES) and sum(per.values()) == count, per)
    check("the start page says where it came from", BASE in hub.text("#start"))
    hub.check_accessible("the start page")


def walk(hub):
    """Only keys from here: what is searched is opened, and the focus is where reading goes on."""
    hub.open()
    hub.press("/")
    check("a slash leads to the search", hub.focused() == "search")
    hub.write("PUBLISH article content:publish")
    found = hub.run("[...document.querySelectorAll('#groups a')].filter((one) => one.checkVisibility()).map((one) => one.innerText)")
    check("all words are searched for, in names, paths and permissions", len(found) == 2 and all("publish" in one.lower() for one in found), found)
    check("how many were found is told", hub.text("#count").startswith("2 of "))
    hub.press("ArrowDown")
    first = hub.focused()
    hub.press("ArrowDown")
    check("arrows move through what was found", first in found and hub.focused() in found and hub.focused() != first)
    hub.press("ArrowUp", "Enter")
    hub.shows("Publish an article")
    check("Enter opens it", hub.run("location.hash") == "#/operations/postContentArticlesByIdOrSlugPublish")
    check("the focus is on its heading", hub.focused() == "Publish an article")
    check("the list says which is read", hub.run("document.querySelector('[aria-current=page]').innerText").startswith("Publish an article"))
    check("the title says it, too", hub.run("document.title").startswith("Publish an article"))
    check("it says who may call", "permission content:publish" in hub.text("#view"))
    hub.search("zzz")
    hub.press("Escape")
    check("Escape empties the search", hub.run("document.getElementById('search').value") == "" and not hub.text("#count").startswith("0"))
    hub.press("Escape")
    check("and then leads to the page", hub.run("document.activeElement.id") == "main")
    hub.press("/", "ArrowDown", "ArrowRight", "ArrowDown")
    group = hub.run("document.querySelector('#groups section button').getAttribute('aria-expanded')")
    check("an arrow opens a group, and leads into it", group == "true" and hub.run("document.activeElement.tagName") == "A")
    hub.press("ArrowLeft")
    check("and closes it again", hub.run("document.activeElement.getAttribute('aria-expanded')") == "false")
    hub.run("history.back()")
    hub.shows("Trionex API")
    check("the browser's own way back leads back", hub.run("location.hash") in ("", "#/"))
    hub.run("document.activeElement.blur(); document.getElementById('skip').focus()")
    hub.press("Enter")
    check("the skip link leads to the main part", hub.run("document.activeElement.id") == "main")


def read(hub):
    hub.open(HUB + "#/operations/postContentArticles")
    check("an operation has an address of its own", hub.heading() == "Write a draft")
    page = hub.text("#view")
    check("its body is read with types and rules", "title" in page and "required" in page and "1 to 500 characters" in page and "array of string" in page)
    check("its parameters are listed", "Idempotency-Key" in page and "255 characters" in page)
    check("the problem that it may answer is named, and leads to its page", hub.run("document.querySelector('#view a[href=\"#/schemas/Problem\"]') !== null"))
    hub.run("[...document.querySelectorAll('#view button')].find((one) => one.innerText === 'Call it').click()")
    check("a button leads to the form", hub.run("document.activeElement.name") == "Idempotency-Key")
    example = json.loads(hub.run("document.querySelector('form.try textarea').value"))
    check("an example is made of what is required", set(example) == {"title", "content"}, example)
    curl = hub.text("form.try ~ .copyable code")
    check("curl does the same", curl.startswith(f"curl -X POST '{BASE}/api/v1/content/articles'") and "Content-Type: application/json" in curl, curl)
    hub.fill("Idempotency-Key", "it's mine")
    check("and follows what is filled in, quoted for a shell", "-H 'Idempotency-Key: it'\\''s mine'" in hub.text("form.try ~ .copyable code"))
    hub.check_accessible("an operation's page")
    hub.picture("operation-light")
    for address in ("#/services/users", "#/schemas/Problem", "#/access", "#/operations/nothing"):
        hub.open(HUB + address)
        hub.check_accessible(address)
    check("what is not there is said to be not there", hub.heading() == "Not found")
    problems = hub.run(
        """(async () => {
          const { load } = await import("/docs/document.js");
          const { example } = await import("/docs/schema.js");
          const { operationPage } = await import("/docs/operation.js");
          const model = await load();
          const failed = [];
          for (const operation of model.operations) {
            try {
              operationPage(model, operation);
              for (const [, media] of operation.body?.content ?? []) JSON.stringify(example(model.api, media.schema));
            } catch (error) { failed.push(operation.id + ": " + error.message); }
          }
          return failed;
        })()"""
    )
    check("every operation's page can be made", problems == [], problems)


def call(hub, person):
    hub.open(HUB + "#/operations/getContentArticles")
    check("without a token the page says that more is needed", "needs more" in hub.text("form.try"))
    hub.run("document.querySelector('form.try button[type=submit]').focus()")
    hub.press("Enter")
    answer = hub.answered()
    check("and the service says the same", "401" in answer and "www-authenticate" in answer.lower(), answer)

    hub.run("location.hash = '#/access'")
    hub.shows("Sign in")
    hub.fill("E-mail", person.email)
    hub.fill("Password", "wrong " + person.password)
    hub.press("Enter")
    hub.wait("the refusal is told", lambda: hub.text("#view .status") not in ("", "One moment …"))
    check("a wrong password is refused in words", hub.heading() == "Sign in" and "object" not in hub.text("#view .status"), hub.text("#view .status"))
    hub.fill("Password", person.password)
    hub.press("Enter")
    hub.shows("Signed in")
    check("signing in is told, and who it is", person.email in hub.text("#view") and hub.text("#access-link") == person.email)
    kept = hub.run("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    check("the token is in no storage, cookie or address", kept == json.dumps([{}, {}, "", HUB + "#/access"], separators=(",", ":")), kept)

    hub.search("list articles get /api/v1/content/articles")
    hub.press("Enter")
    hub.shows("List articles")
    hub.tab_to("the first parameter", "document.activeElement.name === 'limit'")
    hub.write("5")
    hub.tab_to("the button that sends", "document.activeElement.innerText === 'Send'")
    hub.press("Enter")
    answer = hub.answered()
    check("a signed-in call is answered", "200" in answer, answer)
    check("its headers are shown", "ratelimit" in answer.lower() and "x-request-id" in answer.lower(), answer)
    check("and its body, set in lines", '\n  "data": ' in hub.text(".answer .body"), hub.text(".answer .body"))
    hub.wait("the result is told to screen readers", lambda: "200" in hub.run("document.getElementById('announcer').textContent"))
    check("the focus stays where it was", hub.focused() == "Send")
    hub.picture("answer-light")

    hub.run("location.hash = '#/operations/postContentArticles'")
    hub.shows("Write a draft")
    hub.fill("Body", '{"title": 7, "colour": "red"}')
    hub.run("document.querySelector('form.try').requestSubmit()")
    answer = hub.answered()
    problem = json.loads(hub.text(".answer .body"))
    check("a bad body is answered with a problem", "400" in answer and "application/problem+json" in answer and problem["status"] == 400, answer)
    check("that names what is wrong", any(error["pointer"] == "/title" for error in problem["errors"]), problem)
    hub.fill("Body", '{"title": "Written in the hub", "content": "<p>By hand.</p>"}')
    hub.run("document.querySelector('form.try').requestSubmit()")
    hub.wait("the draft is written", lambda: "201" in hub.text(".answer .status"))
    check("a good one is created", "Written in the hub" in hub.text(".answer .body"))
    large = hub.run("import('/docs/request.js').then(({ prettyJSON }) => prettyJSON('{\"n\":12345678901234567890,\"s\":\"a,{\\\\\"b:\",\"e\":[],\"o\":{}}'))")
    check("numbers stay as they were sent", large == '{\n  "n": 12345678901234567890,\n  "s": "a,{\\"b:",\n  "e": [],\n  "o": {}\n}', large)

    hub.run("location.hash = '#/access'")
    hub.shows("Signed in")
    hub.run("[...document.querySelectorAll('#view button')].find((one) => one.innerText === 'Sign out').click()")
    hub.shows("Sign in")
    check("signing out forgets the token", hub.text("#access-link") == "Sign in")


def looks(hub):
    for scheme in ("light", "dark"):
        hub.size(1280)
        hub.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        for address in ("", "#/operations/postContentArticles", "#/services/auth", "#/access"):
            hub.open(HUB + address)
            poor = hub.run(CONTRAST)
            check(f"{scheme}: all text of {address or 'the start'} stands out from what is under it", poor == [], poor)
            hub.picture(f"{scheme}-{address.strip('#/').replace('/', '-') or 'start'}")
        check(f"{scheme}: nothing moves for those who do not want it", hub.run(
            "[...document.querySelectorAll('*')].every((one) => getComputedStyle(one).transitionDuration === '0s' && getComputedStyle(one).animationName === 'none')"))
    hub.media()
    hub.size(320, 640)
    for address in ("", "#/operations/postContentArticles", "#/operations/postAuthMfaVerify", "#/services/auth", "#/schemas/Problem", "#/access"):
        hub.open(HUB + address)
        width = hub.run("document.documentElement.scrollWidth")
        check(f"{address or 'the start'} fits 320 pixels", width <= 320, width)
        hub.picture(f"narrow-{address.strip('#/').replace('/', '-') or 'start'}")
    hub.open()
    check("there the list waits behind its button", hub.run("document.getElementById('operations').hidden"))
    hub.press("/")
    hub.write("list articles")
    hub.press("Enter")
    hub.shows("List articles")
    check("and goes away when something was opened", hub.run("document.getElementById('operations').hidden"))
    hub.size(1280)


def clean(hub):
    """Looked at last, over all that was done."""
    addresses = {event["request"]["url"] for event in hub.said("Network.requestWillBeSent")}
    foreign = [one for one in addresses if urlsplit(one).netloc != urlsplit(BASE).netloc and one != "about:blank"]
    check(f"nobody but the gateway was asked, with {len(addresses)} addresses", not foreign and len(addresses) > 10, foreign)
    errors = [event["exceptionDetails"]["text"] for event in hub.said("Runtime.exceptionThrown")]
    errors += [str(event["args"])[:300] for event in hub.said("Runtime.consoleAPICalled") if event["type"] in ("error", "warning", "assert")]
    # A refused call is told by the browser as well; those were wanted.
    errors += [entry["text"] for entry in (event["entry"] for event in hub.said("Log.entryAdded")) if entry["level"] == "error" and entry["source"] != "network"]
    check("no script failed and nothing was complained about", not errors, errors)
    missing = [event["response"]["url"] for event in hub.said("Network.responseReceived") if event["response"]["status"] >= 400 and "/docs" in event["response"]["url"]]
    check("no file was missing", not missing, missing)
    issues = [event["issue"]["code"] for event in hub.said("Audits.issueAdded") if event["issue"]["code"] == "ContentSecurityPolicyIssue"]
    check("the content security policy was never broken", hub.run("window.violations.length") == 0 and not issues, issues)


def hostile(hub):
    document = json.dumps(json.dumps(HOSTILE))
    script = hub.call("Page.addScriptToEvaluateOnNewDocument", source=f"window.fetch = async (address) => {{ window.asked = String(address); return new Response({document}); }};")["identifier"]
    name = "%22%3E%3Cimg%20src%3Dx%20onerror%3Dwindow.harmed%3D1%3E"
    for address in ("", f"#/operations/{name}", "#/operations/evil", "#/schemas/Node", "#/schemas/Loop", "#/services/%3Cscript%3Ewindow.harmed%20%3D%201%3C%2Fscript%3E"):
        hub.open(HUB + address)
        check(f"a hostile document is only text at {address or 'the start'}", hub.run("window.harmed === undefined && !document.querySelector('main img, main script, main i, main u')"))
        check("and is shown", hub.heading() not in ("", "Not found"), hub.heading())
    hub.open(HUB + f"#/operations/{name}")
    check("a schema that is in itself ends", "As above: Node" in hub.text("#view"))
    check("and so does its example", json.loads(hub.run("document.querySelector('form.try textarea').value")) == {"name": "text"})
    hub.open(HUB + "#/operations/evil")
    hub.run("document.querySelector('form.try').requestSubmit()")
    hub.answered()
    asked = hub.run("window.asked")
    check("a path that looks like another host's is asked of this one", asked == BASE + "//evil.example/x", asked)
    hub.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    hub.open()
    refused = hub.run("(() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch (error) { return error instanceof TypeError; } })()")
    check("the browser lets no script make markup", refused)
    intruded = hub.run(
        "new Promise((done) => { const script = document.createElement('script'); window.intruded = false;"
        " try { script.text = 'window.intruded = true'; document.body.append(script); } catch {} setTimeout(() => done(window.intruded), 200); })"
    )
    check("nor run one that was slipped in", intruded is False)


def without_scripts(hub):
    hub.call("Emulation.setScriptExecutionDisabled", value=True)
    hub.call("Page.navigate", url="about:blank")
    hub.call("Page.navigate", url=HUB)
    hub.wait("the page without scripts is there", lambda: any("needs JavaScript" in name for _, name, _ in hub.accessible()))
    names = [name for role, name, _ in hub.accessible() if role == "link"]
    check("without scripts the page says so, and leads to the document", "The OpenAPI document" in names, names)
    hub.call("Emulation.setScriptExecutionDisabled", value=False)


check = Checks()
person = Person(BASE)
hub = Hub()
try:
    files()
    begin(hub)
    walk(hub)
    read(hub)
    call(hub, person)
    looks(hub)
    clean(hub)
    hostile(hub)
    without_scripts(hub)
finally:
    hub.close()
check.done()
