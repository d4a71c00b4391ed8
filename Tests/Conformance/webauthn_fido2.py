#!/usr/bin/env python3
"""Security keys and passkeys over the real HTTP interface, answered by Yubico's python-fido2: its own CBOR, COSE and WebAuthn types.

    webauthn_fido2.py http://127.0.0.1:8080

Needs the packages fido2 (2.x), cryptography and pyotp. The argument is the public address (TRIONEX_PUBLIC_URL); keys are for its host,
by the name localhost where that is a loopback address.
"""
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2.cose import ES256, RS256, EdDSA
from fido2.utils import sha256, websafe_decode, websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorAttestationResponse,
    AuthenticatorAssertionResponse,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
    RegistrationResponse,
)

BASE = sys.argv[1].rstrip("/")


def usual_origin():
    parts = urlsplit(BASE)
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


ORIGIN = usual_origin()
FLAG = AuthenticatorData.FLAG
checks = 0


def check(what, condition, more=""):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what} {more}")
    print(f"ok: {what}")


def call(method, path, body=None, token=None):
    request = urllib.request.Request(BASE + "/api/v1/auth" + path, method=method)
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("authorization", f"Bearer {token}")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refusal:
            problem = json.loads(refusal.read() or b"null")
            # One address asks more here than a person would: as a client should, it comes back when it is told to.
            if refusal.code == 429 and problem["type"] == "/problems/rate-limited":
                time.sleep(int(refusal.headers["retry-after"]))
                continue
            return refusal.code, problem


class Authenticator:
    """One key pair, as python-fido2 writes it down."""

    def __init__(self, kind="es256", flags=FLAG.UP | FLAG.UV, counter=0):
        self.id = secrets.token_bytes(48)
        self.flags, self.counter = flags, counter
        self.origin, self.rp_id, self.handle = ORIGIN, None, None
        if kind == "es256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            self.cose = ES256.from_cryptography_key(self.private.public_key())
        elif kind == "eddsa":
            self.private = ed25519.Ed25519PrivateKey.generate()
            self.cose = EdDSA.from_cryptography_key(self.private.public_key())
        else:
            self.private = rsa.generate_private_key(65537, 2048)
            self.cose = RS256.from_cryptography_key(self.private.public_key())

    def sign(self, data):
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def client_data(self, kind, challenge):
        return CollectedClientData.create(type=kind, origin=self.origin, challenge=challenge)

    def register(self, options, attestation="none"):
        parsed = PublicKeyCredentialCreationOptions.from_dict(options)
        self.rp_id, self.handle = parsed.rp.id, parsed.user.id
        client = self.client_data("webauthn.create", parsed.challenge)
        attested = AttestedCredentialData.create(Aaguid(secrets.token_bytes(16)), self.id, self.cose)
        data = AuthenticatorData.create(sha256(self.rp_id.encode()), self.flags | FLAG.AT, self.counter, attested)
        statement = {}
        if attestation == "packed":
            statement = {"alg": self.cose[3], "sig": self.sign(data + client.hash)}
        object = AttestationObject.create(attestation, data, statement)
        response = AuthenticatorAttestationResponse(client_data=client, attestation_object=object)
        return self.json(RegistrationResponse(raw_id=self.id, response=response))

    def answer(self, options, tamper=False):
        parsed = PublicKeyCredentialRequestOptions.from_dict(options)
        if self.counter:
            self.counter += 1
        client = self.client_data("webauthn.get", parsed.challenge)
        data = AuthenticatorData.create(sha256((self.rp_id or parsed.rp_id).encode()), self.flags, self.counter)
        signature = self.sign(data + client.hash)
        if tamper:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        response = AuthenticatorAssertionResponse(
            client_data=client, authenticator_data=data, signature=signature, user_handle=self.handle
        )
        return self.json(AuthenticationResponse(raw_id=self.id, response=response))

    @staticmethod
    def json(response):
        """The JSON form of WebAuthn Level 3, as python-fido2 serializes it: bytes are base64url."""

        def plain(value):
            if isinstance(value, (bytes, bytearray)):
                return websafe_encode(bytes(value))
            if hasattr(value, "items"):
                return {key: plain(member) for key, member in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(member) for member in value]
            return value.value if hasattr(value, "value") else value

        return plain(dict(response))


class Person:
    def __init__(self):
        mark = secrets.token_hex(6)
        self.email, self.password = f"fido2.{mark}@example.org", f"a very good secret {mark}"
        status, answer = call(
            "POST", "/register", {"email": self.email, "password": self.password, "organization": {"name": f"Keys {mark}"}}
        )
        check("a person registers", status == 201, answer)
        self.token, self.id = answer["accessToken"], answer["user"]["id"]

    def add(self, authenticator, attestation="none"):
        status, setup = call("POST", "/mfa/setup", {"method": "webauthn", "name": "python-fido2"}, self.token)
        assert status == 200, setup
        credential = authenticator.register(setup["publicKey"], attestation)
        return call("POST", "/mfa/verify", {"method": "webauthn", "credential": credential}, self.token)

    def login(self):
        status, answer = call("POST", "/login", {"email": self.email, "password": self.password})
        assert status == 200 and answer.get("mfaRequired"), answer
        return answer

    def second(self, authenticator, tamper=False, token=None):
        token = token or self.login()["mfaToken"]
        status, challenge = call("POST", "/mfa/challenge", {"mfaToken": token, "method": "webauthn"})
        assert status == 200, challenge
        return call("POST", "/mfa/verify", {"mfaToken": token, "credential": authenticator.answer(challenge["publicKey"], tamper)})


def claims(token):
    return json.loads(websafe_decode(token.split(".")[1]))


def passkey(authenticator, tamper=False):
    _, options = call("POST", "/passkey/options")
    return call("POST", "/passkey/login", {"credential": authenticator.answer(options["publicKey"], tamper)})


def registrations_and_sign_ins():
    for kind in ("es256", "eddsa", "rs256"):
        for attestation in ("none", "packed"):
            person, authenticator = Person(), Authenticator(kind)
            status, answer = person.add(authenticator, attestation)
            check(f"{kind} with attestation {attestation} is registered, with recovery codes", status == 200 and len(answer["recoveryCodes"]) == 10, answer)
            check("the sign-in asks for it", "webauthn" in person.login()["methods"])
            status, answer = person.second(authenticator)
            check("it is the second factor of a sign-in", status == 200 and claims(answer["accessToken"])["amr"] == ["pwd", "hwk"], answer)
            status, answer = passkey(authenticator)
            check("it signs in alone, as a passkey", status == 200 and answer["user"]["id"] == person.id, answer)
            check("which counts as such", claims(answer["accessToken"])["amr"] == ["hwk"])


def attacks():
    person, honest = Person(), Authenticator(counter=7)
    check("a key that counts is registered", person.add(honest, "packed")[0] == 200)
    # One sign-in for all of them: the platform lets an account begin five in a quarter of an hour.
    token = person.login()["mfaToken"]
    check("a tampered signature is refused", person.second(honest, tamper=True, token=token)[0] == 401)
    check("a tampered passkey is refused", passkey(honest, tamper=True)[0] == 401)
    for what, change in {
        "another origin": {"origin": "https://evil.example"},
        "another relying party": {"rp_id": "evil.example"},
        "nobody present": {"flags": FLAG(0)},
        "another account's handle": {"handle": secrets.token_bytes(16)},
        "another key": {"private": ec.generate_private_key(ec.SECP256R1())},
    }.items():
        before = {name: getattr(honest, name) for name in change}
        vars(honest).update(change)
        status, answer = person.second(honest, token=token)
        check(f"{what} is refused", status == 401 and answer["type"] == "/problems/invalid-credential", answer)
        vars(honest).update(before)
    honest.flags = FLAG.UP
    status, answer = passkey(honest)
    check("a passkey that was not unlocked is refused", status == 401 and answer["type"] == "/problems/user-verification-missing", answer)
    honest.flags = FLAG.UP | FLAG.UV
    check("the honest key still signs in", person.second(honest, token=token)[0] == 200)
    honest.counter = 1
    status, answer = person.second(honest)
    check("a counter that goes back is refused", status == 401 and answer["type"] == "/problems/security-key-copied", answer)

    _, setup = call("POST", "/mfa/setup", {"method": "webauthn"}, person.token)
    check("a known key is excluded", websafe_encode(honest.id) in [key["id"] for key in setup["publicKey"]["excludeCredentials"]])
    fresh = Authenticator()
    fresh.origin = "https://evil.example"
    credential = fresh.register(setup["publicKey"])
    check("a registration from another origin is refused", call("POST", "/mfa/verify", {"method": "webauthn", "credential": credential}, person.token)[0] == 401)
    check("a key cannot be registered twice", person.add(honest)[0] == 409)

    _, options = call("POST", "/passkey/options")
    other = Authenticator()
    check("another key is registered", person.add(other)[0] == 200)
    credential = other.answer(options["publicKey"])
    check("a challenge is answered once", call("POST", "/passkey/login", {"credential": credential})[0] == 200)
    check("and not a second time", call("POST", "/passkey/login", {"credential": credential})[0] == 401)


def one_time_codes():
    person = Person()
    status, setup = call("POST", "/mfa/setup", {"method": "totp"}, person.token)
    check("an authenticator app is set up", status == 200 and setup["qrCode"].startswith("<svg"), setup)
    app = pyotp.parse_uri(setup["otpauthUri"])
    check("pyotp reads the link, and it says what the key says", app.secret == setup["secret"] and app.issuer == "Trionex")
    status, answer = call("POST", "/mfa/verify", {"method": "totp", "code": app.now()}, person.token)
    check("pyotp's code confirms it", status == 200, answer)
    token = person.login()["mfaToken"]
    code = app.at(time.time() + 30)
    status, answer = call("POST", "/mfa/verify", {"mfaToken": token, "method": "totp", "code": code})
    check("pyotp's code signs in", status == 200 and claims(answer["accessToken"])["amr"] == ["pwd", "otp"], answer)
    status, _ = call("POST", "/mfa/verify", {"mfaToken": person.login()["mfaToken"], "method": "totp", "code": code})
    check("and not a second time", status == 401)


registrations_and_sign_ins()
attacks()
one_time_codes()
print(f"{checks} checks passed")
