#!/usr/bin/env python3
"""Signing in with others, against an issuer that is none of ours: oidc-provider-mock, which is Authlib's server.

    sso_authlib.py http://127.0.0.1:8080 http://127.0.0.1:8025     the gateway, and where the mail sink shows what has arrived

Needs the packages oidc-provider-mock, httpx and dnslib, and a platform that was started with
    TRIONEX_AUTH_SSO_PRIVATE_ISSUERS=true            the issuer is on this machine
    TRIONEX_USERS_DNS_SERVER=127.0.0.1:<port>        where this script answers for the domain that is verified
and the same TRIONEX_USERS_DNS_SERVER in this script's environment. Without it the part that needs a verified domain
is left out, and the script says so.
"""
import base64
import hashlib
import os
import secrets
import re
import sys
import time
import warnings
from urllib.parse import parse_qs, urlsplit

warnings.simplefilter("ignore")

import httpx  # noqa: E402
import oidc_provider_mock  # noqa: E402

BASE = sys.argv[1].rstrip("/")
MAIL = sys.argv[2].rstrip("/")
MARK = secrets.token_hex(6)
DOMAIN = f"corp-{MARK}.example"
checks = 0


def check(what, condition, more=""):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what} {more}")
    print(f"ok: {what}")


def call(method, path, token=None, **more):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, BASE + path, headers=headers, timeout=30, **more)


def register(email):
    answer = call(
        "POST", "/api/v1/auth/register", json={"email": email, "password": f"a very good secret {MARK}", "organization": {"name": f"Corp {MARK}"}}
    )
    check(f"registered {email}", answer.status_code == 201, answer.text)
    return answer.json()


def verify(email):
    """Proves the address by the link in the letter that the mail sink has taken: nobody can link an identity before."""
    for _ in range(100):
        letters = httpx.get(f"{MAIL}/messages", params={"to": email}, timeout=30).json()
        links = [re.search(r"email/verify\?token=([^\s&]+)", letter["body"]) for letter in letters]
        proof = next((link.group(1) for link in links if link), None)
        if proof:
            answer = call("POST", "/api/v1/auth/email/verify", json={"token": proof, "password": f"a very good secret {MARK}"})
            return check(f"verified {email}", answer.status_code == 200, answer.text)
        time.sleep(0.2)
    sys.exit(f"FAILED: no letter to {email} has come")


class Issuer:
    """Authlib's server, with a client registered for each connection (RFC 7591)."""

    def __init__(self, server):
        self.url = f"http://localhost:{server.server_port}"

    def client(self, redirect):
        answer = httpx.post(f"{self.url}/oauth2/clients", json={"redirect_uris": [redirect]})
        answer.raise_for_status()
        return answer.json()

    def person(self, sub, **claims):
        httpx.put(f"{self.url}/users/{sub}", json=claims).raise_for_status()

    def consent(self, address, sub=None):
        """What the person does on the issuer's page. Where they are sent then."""
        form = {"sub": sub} if sub else {"action": "deny"}
        answer = httpx.post(address, data=form)
        check("the issuer sends the browser back", answer.status_code in (302, 303), answer.text[:300])
        return answer.headers["location"]


def connect(issuer, token, **settings):
    """The issuer has to know our redirect before it gives a client, and we its client before there is a redirect:
    so the connection is made with a stand-in, and gets its client afterwards."""
    draft = {"name": "Corporate sign-in", "preset": "oidc", "issuer": issuer.url, "clientId": "later", "clientSecret": "later"} | settings
    made = call("POST", "/api/v1/auth/sso/connections", token, json=draft)
    check("a connection is made from the issuer's discovery", made.status_code == 201, made.text)
    connection = made.json()
    client = issuer.client(connection["redirectUri"])
    changed = call(
        "PATCH", f"/api/v1/auth/sso/connections/{connection['id']}", token,
        json={"clientId": client["client_id"], "clientSecret": client["client_secret"]},
    )
    check("the connection takes the client of the issuer", changed.status_code == 200, changed.text)
    check("the secret is not shown", client["client_secret"] not in changed.text)
    return changed.json()


def local(address):
    """The platform's public address may be another than the one this script was given."""
    parts = urlsplit(address)
    return BASE + parts.path + (f"?{parts.query}" if parts.query else "")


def sign_in(issuer, connection, sub, browser=None, **query):
    browser = browser or httpx.Client(timeout=30)
    first = browser.get(local(connection["startUrl"]), params=query)
    check("the browser is sent to the issuer", first.status_code == 303 and first.headers["location"].startswith(issuer.url), first.text)
    asked = parse_qs(urlsplit(first.headers["location"]).query)
    check("with state, nonce and PKCE", all(name in asked for name in ("state", "nonce", "code_challenge")))
    back = local(issuer.consent(first.headers["location"], sub))
    last = browser.get(back)
    check("and from there to the application", last.status_code == 303, last.text)
    return parse_qs(urlsplit(last.headers["location"]).query), back, browser


def exchange(code, **more):
    return call("POST", "/api/v1/auth/sso/token", json={"code": code} | more)


def linking(issuer):
    """A signed-in person links an identity; needs no domain."""
    owner = register(f"owner@{DOMAIN}")
    token = owner["accessToken"]
    connection = connect(issuer, token)
    issuer.person("ada-elsewhere", email="ada@elsewhere.example", email_verified=True)
    query, _, _ = sign_in(issuer, connection, "ada-elsewhere")
    check("a stranger of no verified domain is refused", query.get("error") == ["sso-untrusted-email"], str(query))
    verify(f"owner@{DOMAIN}")
    begun = call("POST", f"/api/v1/auth/sso/{connection['id']}/link", token, json={})
    check("linking begins", begun.status_code == 200, begun.text)
    browser = httpx.Client(timeout=30)
    # The cookie goes to our own path alone; a browser would have kept it from this answer.
    cookie = begun.headers["set-cookie"].split(";")[0]
    back = local(issuer.consent(begun.json()["location"], "ada-elsewhere"))
    end = browser.get(back, headers={"cookie": cookie})
    check("the identity is linked", "linked=true" in end.headers.get("location", ""), end.text)
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query, back, browser = sign_in(issuer, connection, "ada-elsewhere", codeChallenge=challenge, returnTo="/welcome")
    check("the sign-in ends in a code", "code" in query, str(query))
    check("an answer is good once", browser.get(back).status_code == 400)
    tokens = exchange(query["code"][0], codeVerifier=verifier)
    check("the code is exchanged for tokens", tokens.status_code == 200, tokens.text)
    check("of the account that was linked", tokens.json()["user"]["id"] == owner["user"]["id"])
    check("once", exchange(query["code"][0], codeVerifier=verifier).status_code == 400)
    me = call("GET", "/api/v1/auth/me", tokens.json()["accessToken"])
    check("the tokens are good", me.status_code == 200, me.text)
    check("and say how", "fed" in me.json()["session"]["methods"], me.text)
    listed = call("GET", "/api/v1/auth/identities", tokens.json()["accessToken"]).json()["data"]
    check("the identity is listed", [i["subject"] for i in listed] == ["ada-elsewhere"], str(listed))
    browser = httpx.Client(timeout=30)
    began = browser.get(local(connection["startUrl"]))
    refused = browser.get(local(issuer.consent(began.headers["location"])))
    # This issuer leaves the state out when somebody says no: then there is no sign-in that the answer belongs to.
    check("an answer without its state is refused with a page", refused.status_code == 400 and "<h1>" in refused.text, refused.text)
    return owner, connection


class Names:
    """A name server that knows one TXT record."""

    def __init__(self, address):
        from dnslib import QTYPE, RR, TXT
        from dnslib.server import BaseResolver, DNSServer

        names = self
        self.records = {}

        class Resolver(BaseResolver):
            def resolve(self, request, handler):
                reply = request.reply()
                name = str(request.q.qname).rstrip(".").lower()
                if name in names.records:
                    reply.add_answer(RR(request.q.qname, QTYPE.TXT, rdata=TXT(names.records[name]), ttl=1))
                return reply

        host, port = address.rsplit(":", 1)
        self.server = DNSServer(Resolver(), address=host, port=int(port))
        self.server.start_thread()


def own_domain(owner, names):
    token, organization = owner["accessToken"], owner["organization"]["id"]
    asked = call("PUT", f"/api/v1/organizations/{organization}/domain", token, json={"domain": DOMAIN})
    check("the organization asks for its domain", asked.status_code in (200, 201, 202), asked.text)
    record = asked.json()["record"]
    check("and is told what to publish", record["type"] == "TXT", asked.text)
    names.records[record["name"].rstrip(".").lower()] = record["value"]
    done = call("POST", f"/api/v1/organizations/{organization}/domain/verify", token)
    check("the domain is verified", done.status_code == 200, done.text)


def joining(issuer, owner, connection):
    """With a verified domain: people join, and are sent by their domain."""
    changed = call(
        "PATCH", f"/api/v1/auth/sso/connections/{connection['id']}", owner["accessToken"], json={"domains": [DOMAIN], "joins": True, "defaultRole": "viewer"}
    )
    check("the connection takes people of the domain in", changed.status_code == 200, changed.text)
    issuer.person("grace", email=f"grace@{DOMAIN}", email_verified=True, given_name="Grace", family_name="Hopper")
    query, _, _ = sign_in(issuer, connection, "grace")
    grace = exchange(query["code"][0])
    check("somebody new joins", grace.status_code == 200 and grace.json()["user"]["roles"] == ["viewer"], grace.text)
    check("under the name the issuer gave", grace.json()["user"]["lastName"] == "Hopper")
    issuer.person("mallory", email=f"owner@{DOMAIN}", email_verified=False)
    query, _, _ = sign_in(issuer, connection, "mallory")
    check("an address that is not verified opens nothing", query.get("error") == ["sso-no-verified-email"], str(query))
    found = call("POST", "/api/v1/auth/sso/discover", json={"email": f"whoever@{DOMAIN}"}).json()
    check("people are sent by their domain", found["methods"][0] == "sso" and found["connection"]["id"] == connection["id"], str(found))


with oidc_provider_mock.run_server_in_thread(require_client_registration=True, require_nonce=True) as server:
    issuer = Issuer(server)
    owner, connection = linking(issuer)
    address = os.environ.get("TRIONEX_USERS_DNS_SERVER")
    if address:
        names = Names(address)
        own_domain(owner, names)
        joining(issuer, owner, connection)
        names.server.stop()
    else:
        print("LEFT OUT: joining by a verified domain (TRIONEX_USERS_DNS_SERVER is not set)")
print(f"{checks} checks passed")
