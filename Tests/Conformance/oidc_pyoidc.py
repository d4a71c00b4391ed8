#!/usr/bin/env python3
"""pyoidc, a certified relying party of another school than Authlib: discovery, sign-in, ID token, userinfo, refresh, sign-out.

    oidc_pyoidc.py http://127.0.0.1:8080
"""
import base64
import hashlib
import secrets
import sys
import warnings

warnings.simplefilter("ignore")

from oic.oauth2.message import ErrorResponse  # noqa: E402
from oic.oic import Client  # noqa: E402
from oic.oic.message import (  # noqa: E402
    AccessTokenResponse, AuthorizationErrorResponse, AuthorizationResponse, OpenIDSchema, RegistrationResponse,
)
from oic.utils.authn.client import CLIENT_AUTHN_METHOD  # noqa: E402

from support.browser import Browser  # noqa: E402
from support.platform import Checks, Person  # noqa: E402

BASE = sys.argv[1].rstrip("/")
REDIRECT = "https://rp.example/callback"
AFTER = "https://rp.example/bye"
check = Checks()


def relying_party(registered):
    party = Client(client_authn_method=CLIENT_AUTHN_METHOD)
    # Holds the issuer, and everything OpenID Connect Discovery demands, against the document.
    information = party.provider_config(BASE)
    check("pyoidc takes our discovery document", information["issuer"] == BASE)
    check("it has read our keys", any(key.kid for bundle in party.keyjar[BASE] for key in bundle.keys()))
    party.store_registration_info(
        RegistrationResponse(client_id=registered["clientId"], client_secret=registered["clientSecret"])
    )
    party.redirect_uris = [REDIRECT]
    return party


def ask(party, browser, person, scope, **more):
    verifier, state, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    request = party.construct_AuthorizationRequest(
        request_args={
            "response_type": "code", "scope": scope, "redirect_uri": REDIRECT, "state": state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256", **more,
        }
    )
    back = browser.sign_in(request.request(party.authorization_endpoint), person)
    answer = party.parse_response(AuthorizationResponse, info=back.split("?", 1)[1], sformat="urlencoded")
    return answer, state, nonce, verifier


def whole_way(person, registered):
    party, browser = relying_party(registered), Browser(BASE)
    answer, state, nonce, verifier = ask(party, browser, person, ["openid", "profile", "email", "offline_access"])
    check("the answer is one", isinstance(answer, AuthorizationResponse) and answer["state"] == state, str(answer))
    tokens = party.do_access_token_request(
        state=state, request_args={"code": answer["code"], "redirect_uri": REDIRECT, "code_verifier": verifier},
        authn_method="client_secret_basic",
    )
    # Signature, issuer, audience, times and at_hash are checked while it is read.
    check("tokens came, and the ID token is good by pyoidc's rules", isinstance(tokens, AccessTokenResponse), str(tokens))
    identity = tokens["id_token"]
    check("it is the answer to this request", identity["nonce"] == nonce)
    check("it is about the person, for this client", identity["sub"] == person.id and identity["aud"] == [registered["clientId"]])
    info = party.do_user_info_request(state=state)
    check("userinfo is about the same person", isinstance(info, OpenIDSchema) and info["sub"] == identity["sub"], str(info))
    check("and says what was asked for", info["email"] == person.email and info["given_name"] == "Ada")

    fresh = party.do_access_token_refresh(state=state, authn_method="client_secret_basic")
    check("a refresh gives tokens", isinstance(fresh, AccessTokenResponse) and fresh["access_token"] != tokens["access_token"], str(fresh))
    again = party.do_access_token_request(
        state=state, request_args={"code": answer["code"], "redirect_uri": REDIRECT, "code_verifier": verifier},
        authn_method="client_secret_basic",
    )
    check("a code is good once", isinstance(again, ErrorResponse) and again["error"] == "invalid_grant", str(again))
    after = party.do_access_token_refresh(state=state, authn_method="client_secret_basic")
    check("and showing it twice ends what it began", isinstance(after, ErrorResponse) and after["error"] == "invalid_grant", str(after))
    return party, browser


def silence(party, browser, person):
    answer, *_ = ask(party, browser, person, ["openid"], prompt="none")
    check("who is signed in and has allowed it gets a code at once", isinstance(answer, AuthorizationResponse) and "code" in answer)
    answer, *_ = ask(party, Browser(BASE), person, ["openid"], prompt="none")
    check(
        "who is not is reported as the standard says",
        isinstance(answer, AuthorizationErrorResponse) and answer["error"] == "login_required", str(answer),
    )
    answer, *_ = ask(party, browser, person, ["openid", "users:write"])
    check("a scope beyond the client's is refused", answer.get("error") == "invalid_scope", str(answer))


def denial(party, person, registered):
    browser = Browser(BASE)
    request = party.construct_AuthorizationRequest(
        request_args={
            "response_type": "code", "scope": ["openid"], "redirect_uri": REDIRECT, "state": "s", "nonce": "n", "prompt": "consent",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
        }
    )
    back = browser.sign_in(request.request(party.authorization_endpoint), person, press="deny")
    answer = party.parse_response(AuthorizationResponse, info=back.split("?", 1)[1], sformat="urlencoded")
    check("a no is heard", isinstance(answer, AuthorizationErrorResponse) and answer["error"] == "access_denied", str(answer))


person = Person(BASE)
registered = person.register_client(REDIRECT, AFTER)
party, browser = whole_way(person, registered)
silence(party, browser, person)
denial(party, person, registered)
check.done()
