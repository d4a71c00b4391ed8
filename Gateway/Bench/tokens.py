"""A signing key, its public key set, a certificate, and many valid access tokens.

The openssl program makes the keys. Tokens are signed by libcrypto, called through ctypes in one process per core: starting
`openssl dgst` for each would take minutes, and the standard library alone cannot sign.
"""

import base64
import ctypes
import ctypes.util
import json
import multiprocessing
import os
import pathlib
import subprocess
import time
import uuid

LIFETIME = 3_600
KEY_ID = "bench-1"
ISSUER = "trionex-auth-service"
AUDIENCE = "trionex-platform"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """RS256 by libcrypto's EVP interface, with the private key read once."""

    def __init__(self, key: pathlib.Path):
        self.library = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for name in ("BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "EVP_MD_CTX_new", "EVP_sha256"):
            getattr(self.library, name).restype = ctypes.c_void_p
        pem = key.read_bytes()
        bio = ctypes.c_void_p(self.library.BIO_new_mem_buf(pem, len(pem)))
        self.key = ctypes.c_void_p(self.library.PEM_read_bio_PrivateKey(bio, None, None, None))
        if not self.key:
            raise RuntimeError(f"libcrypto cannot read {key}")

    def sign(self, text: bytes) -> bytes:
        crypto = self.library
        context = ctypes.c_void_p(crypto.EVP_MD_CTX_new())
        signature = ctypes.create_string_buffer(512)
        length = ctypes.c_size_t(len(signature))
        try:
            digest = ctypes.c_void_p(crypto.EVP_sha256())
            if crypto.EVP_DigestSignInit(context, None, digest, None, self.key) != 1:
                raise RuntimeError("EVP_DigestSignInit failed")
            if crypto.EVP_DigestSign(context, signature, ctypes.byref(length), text, ctypes.c_size_t(len(text))) != 1:
                raise RuntimeError("EVP_DigestSign failed")
        finally:
            crypto.EVP_MD_CTX_free(context)
        return signature.raw[: length.value]


def claims(now: int) -> dict:
    """What the auth service puts into an access token of a signed-in editor."""
    return {
        "iss": ISSUER, "aud": AUDIENCE, "sub": str(uuid.uuid4()), "sid": str(uuid.uuid4()), "org": str(uuid.uuid4()),
        "jti": str(uuid.uuid4()), "iat": now, "nbf": now, "exp": now + LIFETIME, "roles": ["editor"],
        "permissions": ["content:*", "files:*", "docs:read", "search:read"], "plan": "professional", "amr": ["pwd", "otp"],
    }


def _signed(arguments: tuple) -> list:
    key, count, now = arguments
    signer = Signer(key)
    header = base64url(json.dumps({"alg": "RS256", "typ": "JWT", "kid": KEY_ID}, separators=(",", ":")).encode())
    tokens = []
    for _ in range(count):
        text = header + "." + base64url(json.dumps(claims(now), separators=(",", ":")).encode())
        tokens.append(text + "." + base64url(signer.sign(text.encode())))
    return tokens


def make_keys(directory: pathlib.Path) -> None:
    """The token key, its JWKS (for the gateway and Envoy) and PEM (for HAProxy), and a self-signed P-256 certificate for TLS."""
    private, public = directory / "token.key", directory / "token.pub"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], **quiet)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], **quiet)
    modulus = subprocess.run(["openssl", "rsa", "-in", private, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
    key = {
        "kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256", "e": "AQAB",
        "n": base64url(bytes.fromhex(modulus.strip().removeprefix("Modulus="))),
    }
    (directory / "jwks.json").write_text(json.dumps({"keys": [key]}))
    certificate, tls_key = directory / "tls.crt", directory / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", tls_key, "-out", certificate],
        **quiet)
    (directory / "tls.both").write_bytes(certificate.read_bytes() + tls_key.read_bytes())


class TokenStore:
    """Tokens in a file, one a line; signed anew when the ones there would end during the measuring."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.file = directory / "tokens.txt"
        self.signed_at = 0.0
        self.count = 0

    def ensure(self, count: int) -> bool:
        """Whether they had to be signed."""
        if self.count >= count and time.time() - self.signed_at < LIFETIME / 2:
            return False
        now = int(time.time()) - 5
        cores = os.cpu_count() or 1
        share = (count + cores - 1) // cores
        with multiprocessing.Pool(cores) as pool:
            parts = pool.map(_signed, [(self.directory / "token.key", share, now)] * cores)
        tokens = [token for part in parts for token in part][:count]
        self.file.write_text("\n".join(tokens) + "\n")
        self.signed_at, self.count = time.time(), count
        return True

    def one(self) -> str:
        with self.file.open() as lines:
            return lines.readline().strip()
