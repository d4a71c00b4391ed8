#!/usr/bin/env python3
"""Authlib as relying party: the whole way of a browser through our pages, tokens, userinfo, refresh, introspection, revocation, sign-out.

    oidc_authlib.py http://127.0.0.1:8080
"""
import secrets
import sys
import warnings
from urllib.parse import parse_qs, urlsplit

warnings.simplefilter("ignore")

import requests  # noqa: E402
from authlib.integrations.requests_client import OAuth2Session  # noqa: E402
from authlib.jose import JsonWebKey, JsonWebToken  # noqa: E402
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # noqa: E402
from authlib.oidc.core import CodeIDToken  # noqa: E402
from authlib.oidc.discovery import OpenIDProviderMetadata  # noqa: E402

from support.browser import Browser, Page  # noqa: E402
from support.platform import Checks, Person  # noqa: E402

BASE = sys.argv[1].rstrip("/")
REDIRECT = "https://rp.example/callback"
AFTER = "https://rp.example/bye"
check = Checks()


def session(client, **more):
    return OAuth2Session(
        client["clientId"], client.get("clientSecret"), redirect_uri=REDIRECT, code_challenge_method="S256", **more
    )


def authorize(oauth, browser, person, metadata, **more):
    """Returns the tokens, the nonce and the parameters that our server sent back."""
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    address, state = oauth.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, **more
    )
    back = browser.sign_in(address, person)
    returned = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    check("the answer names its issuer (RFC 9207)", returned.get("iss") == metadata["issuer"], str(returned))
    token = oauth.fetch_token(
        metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
    )
    return token, nonce, returned


def validated(token, keys, metadata, client, nonce):
    claims = JsonWebToken(["RS256"]).decode(
        token["id_token"], keys, claims_cls=CodeIDToken,
        claims_options={
            "iss": {"essential": True, "value": metadata["issuer"]}, "aud": {"essential": True, "value": client["clientId"]},
        },
        claims_params={"nonce": nonce, "client_id": client["clientId"], "access_token": token["access_token"]},
    )
    claims.validate(leeway=5)
    return claims


def confidential(person, metadata, keys):
    client = person.register_client(REDIRECT, AFTER)
    browser = Browser(BASE)
    oauth = session(client, scope="openid profile email offline_access content:read")
    token, nonce, _ = authorize(oauth, browser, person, metadata)
    claims = validated(token, keys, metadata, client, nonce)
    check("the ID token is good by Authlib's rules, at_hash and nonce included", claims["sub"] == person.id)
    check("it says how and when the person signed in", claims["amr"] == ["pwd"] and claims["auth_time"] > 0)
    check("scopes are those that were asked for", token["scope"].split() == oauth.scope.split(), token["scope"])
    titles = [page.soup.title.get_text() for page in browser.pages]
    check("every page has a title and a language", all(titles) and all(p.soup.html.get("lang") for p in browser.pages), str(titles))

    info = oauth.get(metadata["userinfo_endpoint"])
    check("userinfo knows the person", info.json() == {**info.json(), "sub": person.id, "email": person.email}, info.text)
    check("the token works where the scope says", oauth.get(f"{BASE}/api/v1/content/articles").status_code == 200)
    check("and nowhere else", oauth.get(f"{BASE}/api/v1/users").status_code == 403)
    check("nor on what is the person's alone", oauth.get(f"{BASE}/api/v1/auth/me").status_code == 403)

    old = token["refresh_token"]
    fresh = oauth.refresh_token(metadata["token_endpoint"], refresh_token=old)
    check("a refresh gives other tokens", fresh["access_token"] != token["access_token"] and fresh["refresh_token"] != old)
    state = oauth.introspect_token(metadata["introspection_endpoint"], token=fresh["access_token"]).json()
    check("introspection knows the token", state["active"] and state["sub"] == person.id and state["client_id"] == client["clientId"])
    given = oauth.revoke_token(metadata["revocation_endpoint"], token=fresh["refresh_token"], token_type_hint="refresh_token")
    check("a token is given back", given.status_code == 200)
    state = oauth.introspect_token(metadata["introspection_endpoint"], token=fresh["access_token"]).json()
    check("and dead with the others of its session", state == {"active": False}, str(state))

    silent, _, _ = authorize(session(client, scope="openid"), browser, person, metadata, prompt="none")
    check("who is signed in is not asked again", "id_token" in silent)
    out = browser.visit(
        f"{metadata['end_session_endpoint']}?id_token_hint={silent['id_token']}&post_logout_redirect_uri={AFTER}&state=xyz"
    )
    check("signing out leads back", out == f"{AFTER}?state=xyz", str(out))
    dead = requests.get(
        metadata["userinfo_endpoint"], headers={"authorization": f"Bearer {silent['access_token']}"}, timeout=30
    )
    check("and ends the session", dead.status_code == 401 and "invalid_token" in dead.headers["www-authenticate"])
    return client


def public(person, metadata, keys):
    client = person.register_client(REDIRECT, kind="public", grantTypes=["authorization_code", "refresh_token"])
    check("a public client has no secret", client.get("clientSecret") is None)
    oauth = session(client, scope="openid email", token_endpoint_auth_method="none")
    token, nonce, _ = authorize(oauth, Browser(BASE), person, metadata)
    claims = validated(token, keys, metadata, client, nonce)
    check("a public client signs people in with PKCE alone", claims["email"] == person.email)


def by_itself(person, metadata, client):
    for method in ["client_secret_basic", "client_secret_post"]:
        oauth = OAuth2Session(client["clientId"], client["clientSecret"], scope="content:read", token_endpoint_auth_method=method)
        token = oauth.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        check(f"client credentials with {method}", token["scope"] == "content:read")
        check("the client reads what it may", oauth.get(f"{BASE}/api/v1/content/articles").status_code == 200)

    key = JsonWebKey.generate_key("RSA", 2048, {"kid": "one", "use": "sig"}, is_private=True)
    signed = person.register_client(REDIRECT, jwks={"keys": [key.as_dict(is_private=False)]})
    oauth = OAuth2Session(signed["clientId"], key.as_pem(is_private=True), scope="users:read", token_endpoint_auth_method="private_key_jwt")
    oauth.register_client_auth_method(PrivateKeyJWT(metadata["token_endpoint"], headers={"kid": "one"}))
    token = oauth.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    check("client credentials with private_key_jwt", token["scope"] == "users:read")
    check("the client lists people", oauth.get(f"{BASE}/api/v1/users").status_code == 200)


def refusals(person, metadata, client):
    browser = Browser(BASE)
    plain = OAuth2Session(client["clientId"], client["clientSecret"], redirect_uri=REDIRECT, scope="openid")
    address, _ = plain.create_authorization_url(metadata["authorization_endpoint"])
    back = browser.visit(address)
    check("without PKCE there is no code", "error=invalid_request" in back, str(back))
    oauth = session(client, scope="openid")
    oauth.redirect_uri = "https://evil.example/callback"
    address, _ = oauth.create_authorization_url(metadata["authorization_endpoint"], code_verifier=secrets.token_urlsafe(48))
    page = browser.visit(address)
    check("nobody is sent to an address that was not registered", isinstance(page, Page) and page.status == 400, str(page))
    check("the page says so to a screen reader first", page.soup.find(attrs={"role": "alert"}) is not None)


metadata = OpenIDProviderMetadata(requests.get(f"{BASE}/.well-known/openid-configuration", timeout=30).json())
if BASE.startswith("https://"):
    metadata.validate()
check("discovery is at the issuer", metadata["issuer"] == BASE, metadata["issuer"])
keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=30).json())
person = Person(BASE)
client = confidential(person, metadata, keys)
public(person, metadata, keys)
by_itself(person, metadata, client)
refusals(person, metadata, client)
check.done()
