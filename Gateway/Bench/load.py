"""The load generators and what they report: wrk (HTTP/1.1), h2load (HTTP/2), steady (constant rate, distinct tokens), and
connections that do nothing."""

import functools
import json
import pathlib
import re
import socket
import ssl
import subprocess

CONNECTIONS = 64
H2_CONNECTIONS, H2_STREAMS = 16, 4
SMALL, LARGE = "/api/v1/content/articles/small", "/api/v1/content/articles/large"
SPARE_SECONDS = 60


class Load:
    """Runs a generator to its end, on the cores of this script."""

    def __init__(self, here: pathlib.Path, directory: pathlib.Path):
        self.here, self.directory = here, directory
        # wrk has no option for it: TLS 1.3 with the same cipher suite for every proxy.
        self.openssl = directory / "openssl.cnf"
        self.openssl.write_text(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n"
            "MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n")
        self.commands: dict = {}

    def build(self) -> None:
        """Compiles steady.c."""
        subprocess.run(["cc", "-O2", "-o", self.directory / "steady", self.here / "steady.c"], check=True)

    def _run(self, kind: str, command: list, seconds: float, environment: dict | None = None) -> str:
        words = [str(word) for word in command]
        self.commands.setdefault(kind, words)
        result = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds + SPARE_SECONDS, env=environment, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"{words[0]} failed: {result.stderr.strip()[-500:] or result.stdout[-500:]}")
        return result.stdout

    def wrk(self, port: int, path: str, token: str, seconds: float, tls: bool) -> dict:
        scheme = "https" if tls else "http"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", self.here / "wrk.lua", "-H", f"Authorization: Bearer {token}",
                   f"{scheme}://127.0.0.1:{port}{path}"]
        output = self._run("wrk over TLS" if tls else "wrk", command, seconds, {"PATH": "/usr/bin:/bin", "OPENSSL_CONF": str(self.openssl)})
        return json.loads(output.strip().splitlines()[-1])

    def steady(self, port: int, path: str, tokens: pathlib.Path, seconds: float, rate: float) -> dict:
        command = [self.directory / "steady", port, path, CONNECTIONS, f"{seconds:g}", f"{rate:.0f}", tokens]
        figures = json.loads(self._run("steady at a rate" if rate else "steady with distinct tokens", command, seconds))
        figures["broken"] += figures.pop("unanswered")
        return figures

    def h2load(self, port: int, path: str, token: str, seconds: float) -> dict:
        log = self.directory / "h2load.log"
        log.unlink(missing_ok=True)
        command = ["h2load", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", "-t1", f"-D{seconds:g}s", "-H", f"authorization: Bearer {token}",
                   f"--log-file={log}", f"https://127.0.0.1:{port}{path}"]
        output = self._run("h2load", command, seconds)
        if "Application protocol: h2" not in output:
            raise RuntimeError("h2load did not get HTTP/2")
        answers = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
        times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
        if not answers or not failed or not times:
            raise RuntimeError(f"h2load said something else: {output[-500:]}")
        good, *others = (int(text) for text in answers.groups())
        return {
            "requests": good + sum(others), "seconds": seconds, "refused": sum(others), "broken": int(failed[2]) + int(failed[3]),
            "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "p999": times[len(times) * 999 // 1000],
        }


def request(path: str, port: int, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


@functools.cache
def client_context(protocols: tuple) -> ssl.SSLContext:
    """One for all connections, without the system's certificates: a context of its own each would cost a megabyte and 20 ms."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


def connect(port: int, tls: bool, protocols: list | None = None) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    # Otherwise a request waits for the acknowledgement of what ended the handshake: 40 ms.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return plain
    return client_context(tuple(protocols or ["http/1.1"])).wrap_socket(plain, server_hostname="localhost")


def ask(connection: socket.socket, port: int, path: str, token: str) -> tuple:
    """Status and length of the body of one answer."""
    connection.sendall(request(path, port, token))
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            raise RuntimeError("the connection was closed before an answer")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", head, re.IGNORECASE)
    if not length:
        raise RuntimeError(f"an answer without Content-Length: {head.decode(errors='replace')}")
    left = int(length[1]) - len(body)
    while left > 0:
        piece = connection.recv(65_536)
        if not piece:
            raise RuntimeError("the connection was closed in the middle of an answer")
        left -= len(piece)
    return int(head.split(b" ", 2)[1]), int(length[1])


class Idle:
    """Connections that have each had one answer and are kept open."""

    def __init__(self, count: int, port: int, token: str, tls: bool = False):
        self.connections = []
        for _ in range(count):
            connection = connect(port, tls)
            self.connections.append(connection)
            status, _ = ask(connection, port, SMALL, token)
            if status != 200:
                raise RuntimeError(f"an idle connection was answered {status}")

    def lost(self) -> int:
        """How many the proxy has closed meanwhile."""
        lost = 0
        for connection in self.connections:
            connection.setblocking(False)
            try:
                lost += connection.recv(1) == b""
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                lost += 1
        return lost

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
