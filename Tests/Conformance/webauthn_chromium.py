#!/usr/bin/env python3
"""Passkeys in a real browser: headless Chromium with a virtual authenticator, at the page that auth serves.

    webauthn_chromium.py http://localhost:8080

Needs the packages websocket-client and requests, and a Chromium (apt install chromium; CHROMIUM names another). The page is reached by the name
localhost where the first argument is a loopback address: a browser gives keys to names only, over https or on localhost.
"""
import base64
import json
import secrets
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from support.chromium import Chromium
from support.platform import Checks

parts = urlsplit(sys.argv[1].rstrip("/"))
HOST = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.hostname
BASE = f"{parts.scheme}://{HOST}" + (f":{parts.port}" if parts.port else "")
PAGE = BASE + "/api/v1/auth/passkey"
TIMEOUT = 20
check = Checks()


class Browser(Chromium):
    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait("the page is there", lambda: self.run("document.readyState") == "complete" and self.run("location.href") == address)

    def status(self):
        return self.run("(document.getElementById('status') || {}).textContent")

    def says(self, text):
        self.wait(f"the page says {text!r}", lambda: text in (self.status() or ""))

    def reaches(self, id):
        self.wait(f"the page shows {id}", lambda: self.shows(id))

    def shows(self, id):
        return self.run(f"!document.getElementById({json.dumps(id)}).hidden")

    def lists(self, name):
        return self.wait(f"{name} is listed", lambda: name in self.run("document.getElementById('keys').textContent"))

    def fill(self, id, text):
        self.run(f"document.getElementById({json.dumps(id)}).value = {json.dumps(text)}")

    def click(self, id):
        self.run(f"document.getElementById({json.dumps(id)}).click()")

    def submit(self, id):
        self.run(f"document.getElementById({json.dumps(id)}).requestSubmit()")

    def authenticator(self, **options):
        standard = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }
        return self.call("WebAuthn.addVirtualAuthenticator", options=standard | options)["authenticatorId"]

    def credentials(self, authenticator):
        return self.call("WebAuthn.getCredentials", authenticatorId=authenticator)["credentials"]


def call(method, path, body=None, token=None):
    request = urllib.request.Request(BASE + "/api/v1/auth" + path, method=method)
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read() or b"null")


def register():
    mark = secrets.token_hex(6)
    person = {"email": f"chromium.{mark}@example.org", "password": f"a very good secret {mark}"}
    status, answer = call("POST", "/register", person | {"organization": {"name": f"Browser {mark}"}})
    check("a person registers", status == 201, answer)
    return person


def sign_in_with_password(browser, person):
    browser.open(PAGE)
    browser.fill("email", person["email"])
    browser.fill("password", person["password"])
    browser.submit("password-form")


def passkey(browser):
    person = register()
    authenticator = browser.authenticator()
    sign_in_with_password(browser, person)
    browser.says(f"You are signed in as {person['email']}.")
    browser.reaches("signed-in")
    check("the page signs in with a password", browser.shows("signed-in"))
    browser.fill("name", "Chromium's passkey")
    browser.submit("register-form")
    browser.says("The passkey is set up.")
    check("the browser registers a passkey, and the page lists it", browser.lists("Chromium's passkey"))
    check("the recovery codes are shown", browser.run("document.getElementById('codes').children.length") == 10)
    kept = browser.credentials(authenticator)
    check("the authenticator keeps it, for us, as a discoverable one", len(kept) == 1 and kept[0]["isResidentCredential"] and kept[0]["rpId"] == HOST, kept)

    browser.open(PAGE)
    check("the page forgets the sign-in when it is loaded again", browser.shows("signed-out"))
    browser.click("passkey")
    browser.says(f"You are signed in as {person['email']}.")
    browser.reaches("signed-in")
    check("the passkey signs in alone, without a name or a password", browser.shows("signed-in"))
    browser.click("sign-out")
    browser.says("You are signed out.")
    check("the page signs out", browser.shows("signed-out"))

    sign_in_with_password(browser, person)
    browser.wait("the page asks for the second factor", lambda: browser.shows("second-factor"))
    browser.click("use-key")
    browser.says(f"You are signed in as {person['email']}.")
    browser.reaches("signed-in")
    check("after a password the same key is the second factor", browser.shows("signed-in"))

    browser.submit("register-form")
    browser.wait("the page refuses", lambda: browser.status() and "is set up" not in browser.status() and "signed in as" not in browser.status())
    check("the browser does not register it again: it is excluded", len(browser.credentials(authenticator)) == 1)

    # Somebody who holds the device but cannot unlock it.
    browser.call("WebAuthn.setUserVerified", authenticatorId=authenticator, isUserVerified=False)
    browser.open(PAGE)
    browser.click("passkey")
    browser.wait("the browser gives nothing", lambda: browser.status())
    check("a passkey that cannot be unlocked does not sign in", browser.shows("signed-out"), browser.status())
    browser.call("WebAuthn.setUserVerified", authenticatorId=authenticator, isUserVerified=True)

    # The key's counter is set back, as that of a copy would be.
    credential = browser.credentials(authenticator)[0]
    check("Chromium's authenticator counts", credential["signCount"] > 0, credential["signCount"])
    browser.call("WebAuthn.removeCredential", authenticatorId=authenticator, credentialId=credential["credentialId"])
    browser.call("WebAuthn.addCredential", authenticatorId=authenticator, credential=credential | {"signCount": 0})
    browser.open(PAGE)
    browser.click("passkey")
    browser.says("seems to have been copied")
    check("a copied passkey is found out by its counter", browser.shows("signed-out"))
    browser.call("WebAuthn.removeVirtualAuthenticator", authenticatorId=authenticator)


def security_key(browser):
    """A key without a PIN, that keeps nothing and knows nobody: a second factor, and no more."""
    person = register()
    authenticator = browser.authenticator(
        transport="usb", hasResidentKey=False, hasUserVerification=False, isUserVerified=False
    )
    sign_in_with_password(browser, person)
    browser.says("You are signed in as")
    browser.reaches("signed-in")
    browser.submit("register-form")
    browser.says("The passkey is set up.")
    kept = browser.credentials(authenticator)
    check("a plain security key is registered, and is not discoverable", len(kept) == 1 and not kept[0]["isResidentCredential"], kept)
    sign_in_with_password(browser, person)
    browser.wait("the page asks for the second factor", lambda: browser.shows("second-factor"))
    browser.click("use-key")
    browser.says("You are signed in as")
    browser.reaches("signed-in")
    check("it is the second factor after a password", browser.shows("signed-in"))
    browser.call("WebAuthn.removeVirtualAuthenticator", authenticatorId=authenticator)


def attested(browser):
    """A key whose certificate is asked for: the statement is Chromium's, packed, as a maker's would be."""
    person = register()
    authenticator = browser.authenticator(transport="usb")
    sign_in_with_password(browser, person)
    browser.reaches("signed-in")
    # The page's own functions, with another wish than the settings have.
    object = browser.run(
        """(async () => {
          const setup = await call("POST", "/mfa/setup", {method: "webauthn", name: "Attested"});
          setup.publicKey.attestation = "direct";
          const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(setup.publicKey);
          const credential = (await navigator.credentials.create({publicKey})).toJSON();
          await call("POST", "/mfa/verify", {method: "webauthn", credential});
          return credential.response.attestationObject;
        })()"""
    )
    object = base64.urlsafe_b64decode(object + "=" * (-len(object) % 4))
    check("a packed statement with a certificate is verified", b"packed" in object and b"x5c" in object)
    browser.open(PAGE)
    browser.click("passkey")
    browser.says(f"You are signed in as {person['email']}.")
    browser.reaches("signed-in")
    check("and its key signs in", len(browser.credentials(authenticator)) == 1)
    browser.call("WebAuthn.removeVirtualAuthenticator", authenticatorId=authenticator)


def page_itself(browser):
    browser.open(PAGE)
    browser.run("document.getElementById('email').focus()")
    labelled = browser.run("[...document.querySelectorAll('input')].every(field => field.labels.length === 1)")
    check("every field has a label", labelled)
    blocked = browser.run(
        "new Promise(done => { const script = document.createElement('script'); window.intruded = false;"
        " script.textContent = 'window.intruded = true'; document.body.append(script); setTimeout(() => done(!window.intruded), 200) })"
    )
    check("a script that was slipped into the page does not run", blocked)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    names = {node["role"]["value"]: node.get("name", {}).get("value", "") for node in tree if "role" in node}
    buttons = [node for node in tree if node.get("role", {}).get("value") == "button" and not node.get("ignored")]
    check("screen readers find a heading and named buttons", "heading" in names and all(b["name"]["value"] for b in buttons) and len(buttons) >= 2)


browser = Browser()
try:
    browser.call("Page.enable")
    browser.call("Runtime.enable")
    browser.call("WebAuthn.enable", enableUI=False)
    page_itself(browser)
    passkey(browser)
    security_key(browser)
    attested(browser)
finally:
    browser.close()
check.done()
