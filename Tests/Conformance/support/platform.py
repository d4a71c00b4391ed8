"""The platform as its own clients see it: people who register, applications that are registered."""
import secrets

import requests

TIMEOUT = 30


class Checks:
    """Counts what was checked, and ends the script at the first thing that is wrong."""

    def __init__(self):
        self.count = 0

    def __call__(self, what, condition, detail=""):
        self.count += 1
        if not condition:
            raise SystemExit(f"FAILED: {what} {detail}")
        print(f"ok: {what}")

    def done(self):
        print(f"{self.count} checks passed")


class Person:
    """Somebody new, with an organization of their own."""

    def __init__(self, base):
        mark = secrets.token_hex(6)
        self.base = base
        self.email = f"ada.{mark}@example.org"
        self.password = f"a very good secret {mark}"
        answer = requests.post(
            f"{base}/api/v1/auth/register",
            json={
                "email": self.email, "password": self.password, "firstName": "Ada", "lastName": "Lovelace",
                "organization": {"name": f"Engines {mark}"},
            },
            timeout=TIMEOUT,
        )
        if answer.status_code != 201:
            raise SystemExit(f"FAILED: registering answered {answer.status_code} {answer.text}")
        self.answer = answer.json()
        self.id = self.answer["user"]["id"]
        self.token = self.answer["accessToken"]

    def call(self, method, path, **more):
        headers = {"authorization": f"Bearer {self.token}"}
        return requests.request(method, self.base + path, headers=headers, timeout=TIMEOUT, **more)

    def register_client(self, redirect, after_logout=None, **more):
        """An application of the person's organization: what registering it answered."""
        body = {
            "name": "Conformance", "redirectUris": [redirect], "postLogoutRedirectUris": [after_logout] if after_logout else [],
            "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
            "scopes": ["openid", "profile", "email", "offline_access", "content:read", "users:read"],
        }
        body.update(more)
        answer = self.call("POST", "/api/v1/auth/clients", json=body)
        if answer.status_code != 201:
            raise SystemExit(f"FAILED: registering a client answered {answer.status_code} {answer.text}")
        return answer.json()
