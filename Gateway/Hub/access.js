// Who is calling: a token or a key, kept in this module's memory and nowhere else.
import { announce, element, replace, section, unique } from "/docs/elements.js";

// A token that ends sooner than this is exchanged before it is used.
const REFRESH_MILLISECONDS = 20_000;

const held = { token: null, refreshToken: null, expires: Infinity, who: "", apiKey: null };
const watchers = new Set();

export function watch(watcher) {
  watchers.add(watcher);
}

export function state() {
  return { hasToken: held.token !== null, hasKey: held.apiKey !== null, who: held.who };
}

/** The header that carries the credential. `kind`: "token", "key" or "none". */
export async function credential(kind) {
  if (kind === "key" && held.apiKey) return ["X-API-Key", held.apiKey];
  if (kind !== "token" || !held.token) return null;
  if (held.refreshToken && held.expires - performance.now() < REFRESH_MILLISECONDS) await refresh();
  return held.token ? ["Authorization", `Bearer ${held.token}`] : null;
}

async function refresh() {
  try {
    keep(await call("refresh", { refreshToken: held.refreshToken }), held.who);
  } catch {
    // The service says better what is wrong with the old token.
    held.refreshToken = null;
  }
}

function keep(answer, who) {
  Object.assign(held, {
    token: answer.accessToken, refreshToken: answer.refreshToken ?? null, who: answer.user?.email ?? who,
    expires: answer.expiresIn ? performance.now() + answer.expiresIn * 1000 : Infinity,
  });
  changed();
}

function changed() {
  for (const watcher of watchers) watcher(state());
}

async function call(name, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(`/api/v1/auth/${name}`, {
    method: "POST", headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store", redirect: "error",
  });
  const text = await response.text();
  const answer = text && /json/.test(response.headers.get("Content-Type") ?? "") ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(answer.detail ?? answer.title ?? `Answered ${response.status}.`);
  return answer;
}

/** The page where somebody signs in. */
export function page() {
  const box = element("div");
  draw(box);
  return box;
}

function draw(box, message = "") {
  const status = element("p", { role: "status", class: "status" }, message);
  replace(box, element("h1", { tabindex: -1 }, held.token || held.apiKey ? "Signed in" : "Sign in"), status, summary(box), forms(box, status));
}

function redraw(box, message) {
  draw(box, message);
  box.querySelector("h1").focus();
  announce(message);
}

function summary(box) {
  const said = [
    held.token && element("li", {}, held.who ? `An access token of ${held.who}.` : "An access token."),
    held.apiKey && element("li", {}, "An API key."),
  ].filter(Boolean);
  if (said.length === 0) {
    return element("p", {}, "A token or a key is kept in this page's memory alone. It is gone when the page is closed or loaded again.");
  }
  const out = element("button", { type: "button" }, held.refreshToken ? "Sign out" : "Forget");
  out.addEventListener("click", () => leave(box));
  return [element("p", {}, "This page holds:"), element("ul", {}, said), out];
}

async function leave(box) {
  const { token, refreshToken } = held;
  Object.assign(held, { token: null, refreshToken: null, expires: Infinity, who: "", apiKey: null });
  changed();
  redraw(box, "Nothing is kept any more.");
  // Only a session that was begun here is ended: a token that was brought along may be in use elsewhere.
  if (token && refreshToken) await call("logout", null, token).catch(() => announce("The session could not be ended; it ends by itself."));
}

function forms(box, status) {
  return [
    section("With a password", 2, form(box, status, [
      field("E-mail", "email", { type: "email", autocomplete: "username", required: true }),
      field("Password", "password", { type: "password", autocomplete: "current-password", required: true }),
      field("Organization (its slug, if you are in several)", "organization", { type: "text" }),
    ], "Sign in", (values) => signIn(box, values))),
    section("With an access token", 2, form(box, status, [
      field("Access token", "token", { type: "password", autocomplete: "off", required: true, spellcheck: "false" }),
    ], "Use this token", ({ token }) => {
      keep({ accessToken: token.trim().replace(/^Bearer\s+/i, "") }, "");
      redraw(box, "The token is kept.");
    })),
    section("With an API key", 2, form(box, status, [
      field("API key", "key", { type: "password", autocomplete: "off", required: true, spellcheck: "false" }),
    ], "Use this key", ({ key }) => {
      held.apiKey = key.trim();
      changed();
      redraw(box, "The key is kept.");
    })),
  ];
}

async function signIn(box, { email, password, organization }) {
  const answer = await call("login", organization ? { email, password, organization } : { email, password });
  if (!answer.mfaRequired) {
    if (!answer.accessToken) throw new Error("This account must set up a second factor first.");
    keep(answer, email);
    redraw(box, `Signed in as ${held.who}.`);
    return;
  }
  const methods = (answer.methods ?? []).filter((one) => one !== "webauthn");
  if (methods.length === 0) throw new Error("This account needs a security key: sign in at /api/v1/auth/passkey, or use a token.");
  secondFactor(box, answer.mfaToken, methods, email);
}

function secondFactor(box, mfaToken, methods, email) {
  const status = element("p", { role: "status", class: "status" });
  const id = unique("field");
  const choice = element("select", { id, name: "method" }, methods.map((one) => element("option", { value: one }, one)));
  const send = element("button", { type: "button" }, "Send a code");
  const isSent = () => ["sms", "email"].includes(choice.value);
  send.hidden = !isSent();
  choice.addEventListener("change", () => { send.hidden = !isSent(); });
  const challenge = () => call("mfa/challenge", { mfaToken, method: choice.value });
  send.addEventListener("click", () => say(status, challenge, "A code is on its way."));
  const fields = [
    element("p", { class: "field" }, element("label", { for: id }, "Second factor"), choice, send),
    field("Code", "code", { type: "text", autocomplete: "one-time-code", required: true }),
  ];
  replace(box, element("h1", { tabindex: -1 }, "Second factor"), status, form(box, status, fields, "Go on", async ({ method, code }) => {
    const answer = method === "recovery" ? { mfaToken, method, recoveryCode: code } : { mfaToken, method, code };
    keep(await call("mfa/verify", answer), email);
    redraw(box, `Signed in as ${held.who}.`);
  }));
  box.querySelector("h1").focus();
}

function field(label, name, attributes) {
  const id = unique("field");
  return element("p", { class: "field" }, element("label", { for: id }, label), element("input", { id, name, ...attributes }));
}

function form(box, status, fields, action, submitted) {
  const made = element("form", {}, fields, element("button", { type: "submit" }, action));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    say(status, () => submitted(Object.fromEntries(new FormData(made))));
  });
  return made;
}

async function say(status, work, done = "") {
  status.textContent = "One moment …";
  try {
    await work();
    status.textContent = done;
  } catch (error) {
    status.textContent = error.message;
  }
}
