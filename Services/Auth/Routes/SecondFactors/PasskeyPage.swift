import Crypto
import Foundation
import HTTPTypes
import ServiceKit

/// A small page with which people sign in and set up a passkey or security key: no framework, nothing loaded from elsewhere,
/// usable with a keyboard and a screen reader alone. The access token stays in the page's memory.
enum PasskeyPage {
    static let page = HTMLPage(html, headers: [.contentSecurityPolicy: policy])

    /// The page's own script and calls to its own origin, nothing else.
    private static let policy =
        "default-src 'none'; script-src 'sha256-\(Data(SHA256.hash(data: Data(script.utf8))).base64EncodedString())'; "
        + "style-src 'unsafe-inline'; connect-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

    private static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Sign in with a passkey</title>
        <style>
        :root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
        body { max-width: 28rem; margin: 2rem auto; padding: 0 1rem }
        section { margin: 2rem 0 }
        label { display: block; margin-top: .75rem }
        input { width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }
        button { font: inherit; margin-top: 1rem; padding: .6rem 1rem; min-height: 2.75rem }
        [role=status] { min-height: 1.5rem; font-weight: 600 }
        :focus-visible { outline: 3px solid; outline-offset: 2px }
        [hidden] { display: none }
        </style>
        </head>
        <body>
        <main>
        <h1>Sign in</h1>
        <p id="status" role="status"></p>
        <section id="signed-out" aria-label="Sign in">
        <button id="passkey" type="button">Sign in with a passkey</button>
        <form id="password-form">
        <h2>With your password</h2>
        <label for="email">E-mail address</label>
        <input id="email" name="email" type="email" autocomplete="username webauthn" required>
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required>
        <button type="submit">Continue</button>
        </form>
        </section>
        <section id="second-factor" aria-label="Second factor" hidden>
        <h2>One more step</h2>
        <button id="use-key" type="button">Use your security key</button>
        <form id="code-form">
        <label for="code">Or a code of your authenticator app</label>
        <input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9 ]{6,7}" required>
        <button type="submit">Continue</button>
        </form>
        </section>
        <section id="signed-in" aria-label="Your passkeys" hidden>
        <h2>Your passkeys and security keys</h2>
        <ul id="keys"></ul>
        <form id="register-form">
        <label for="name">Name of the new key</label>
        <input id="name" name="name" maxlength="255" value="My passkey" required>
        <button type="submit">Add a passkey</button>
        </form>
        <div id="recovery" hidden>
        <h3>Recovery codes</h3>
        <p>Keep them where you keep papers. Each is good once, and they are shown this once.</p>
        <ul id="codes"></ul>
        </div>
        <button id="sign-out" type="button">Sign out</button>
        </section>
        </main>
        <script>\(script)</script>
        </body>
        </html>
        """

    private static let script = """
        "use strict";
        const base = location.pathname.replace(/\\/passkey$/, "");
        const part = id => document.getElementById(id);
        let access = null, pending = null;
        function say(text) { part("status").textContent = text; }
        function show(id) {
          for (const name of ["signed-out", "second-factor", "signed-in"]) part(name).hidden = name !== id;
          const first = part(id).querySelector("button, input");
          if (first) first.focus();
        }
        async function call(method, path, body) {
          const headers = {};
          if (body !== undefined) headers["Content-Type"] = "application/json";
          if (access) headers["Authorization"] = "Bearer " + access;
          const answer = await fetch(base + path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
          const text = await answer.text();
          const json = text ? JSON.parse(text) : null;
          if (!answer.ok) throw new Error((json && (json.detail || json.title)) || "The request failed.");
          return json;
        }
        function list(id, texts) {
          part(id).replaceChildren(...texts.map(text => {
            const item = document.createElement("li");
            item.textContent = text;
            return item;
          }));
        }
        async function showKeys() {
          const factors = await call("GET", "/mfa");
          const keys = factors.data.filter(factor => factor.method === "webauthn");
          list("keys", keys.length ? keys.map(key => key.name) : ["None yet"]);
        }
        async function enter(answer) {
          if (answer.mfaRequired) {
            pending = answer;
            say(answer.mustEnrol ? "Your organization demands a second factor. Set one up in your app." : "");
            part("use-key").hidden = !answer.methods.includes("webauthn");
            part("code-form").hidden = !answer.methods.includes("totp");
            return show("second-factor");
          }
          access = answer.accessToken;
          await showKeys();
          show("signed-in");
          say("You are signed in as " + answer.user.email + ".");
        }
        async function get(options) {
          const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
          return (await navigator.credentials.get({publicKey})).toJSON();
        }
        function on(id, event, action) {
          part(id).addEventListener(event, async happening => {
            happening.preventDefault();
            try { await action(); } catch (error) {
              say(error.name === "NotAllowedError" ? "Nothing was chosen, or it took too long. Try again." : error.message);
            }
          });
        }
        on("passkey", "click", async () => {
          const options = await call("POST", "/passkey/options");
          await enter(await call("POST", "/passkey/login", {credential: await get(options.publicKey)}));
        });
        on("password-form", "submit", async () => {
          await enter(await call("POST", "/login", {email: part("email").value, password: part("password").value}));
        });
        on("use-key", "click", async () => {
          const options = await call("POST", "/mfa/challenge", {mfaToken: pending.mfaToken, method: "webauthn"});
          const credential = await get(options.publicKey);
          await enter(await call("POST", "/mfa/verify", {mfaToken: pending.mfaToken, credential}));
        });
        on("code-form", "submit", async () => {
          await enter(await call("POST", "/mfa/verify", {mfaToken: pending.mfaToken, method: "totp", code: part("code").value}));
        });
        on("register-form", "submit", async () => {
          const setup = await call("POST", "/mfa/setup", {method: "webauthn", name: part("name").value});
          const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(setup.publicKey);
          const credential = (await navigator.credentials.create({publicKey})).toJSON();
          const answer = await call("POST", "/mfa/verify", {method: "webauthn", credential});
          if (answer.recoveryCodes) {
            list("codes", answer.recoveryCodes);
            part("recovery").hidden = false;
          }
          await showKeys();
          say("The passkey is set up.");
        });
        on("sign-out", "click", async () => {
          await call("POST", "/logout");
          access = null;
          say("You are signed out.");
          show("signed-out");
        });
        if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) {
          part("passkey").hidden = true;
          say("This browser cannot use passkeys on this page.");
        }
        """
}
