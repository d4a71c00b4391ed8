"""What is measured: each scenario runs one proxy once and returns the figures of that run."""

import dataclasses
import time
from collections.abc import Callable

import load
from processes import Program, accepts, wait_for
from proxies import START_SECONDS, Proxy, Trionex, start_redis

WARM_SECONDS = 1.0
CALIBRATION_SECONDS = 2.0
IDLE_BUSY = 1_000
IDLE_MEMORY = 10_000
IDLE_FILES = IDLE_MEMORY + 1_000
SETTLE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Scenario:
    id: str
    title: str
    run: Callable
    tls: bool = False
    http2: bool = False
    memory: bool = False
    rated: bool = False
    distinct: bool = False


class Bench:
    """What a scenario needs: the load, the tokens, and a proxy that runs."""

    def __init__(self, load_: load.Load, tokens, seconds: float, distinct: int):
        self.load, self.tokens, self.seconds, self.distinct = load_, tokens, seconds, distinct
        self.single = load_.directory / "token.txt"
        self.maximum: dict = {}
        self.handshakes: dict = {}

    def measure(self, scenario: Scenario, proxy: Proxy) -> dict:
        """Starts the proxy, runs the scenario, ends the proxy."""
        token = self.tokens.one()
        self.single.write_text(token + "\n")
        redis = start_redis(proxy.place) if isinstance(proxy, Trionex) and proxy.redis else None
        proxy.distinct = scenario.distinct
        program = proxy.start(scenario.tls)
        try:
            port = proxy.port(scenario.tls)
            self.wait(proxy, program, port, token, scenario)
            return scenario.run(self, proxy, program, port, token)
        except RuntimeError as error:
            raise RuntimeError(f"{proxy.name}: {error}" if program.alive else f"{proxy.name} ended by itself: {program.last_words()}") from error
        finally:
            program.stop()
            if redis:
                redis.stop()

    def wait(self, proxy: Proxy, program: Program, port: int, token: str, scenario: Scenario) -> None:
        """Until both answers come back whole, through TLS 1.3 where the scenario asks for it, and a bad token is refused."""
        wait_for(lambda: accepts(port), START_SECONDS, program, f"{proxy.name} does not listen on {port}")

        def status(path: str, secret: str) -> tuple:
            try:
                with load.connect(port, scenario.tls) as connection:
                    return load.ask(connection, port, path, secret)
            except (OSError, RuntimeError):
                return 0, 0

        for path, size in ((load.SMALL, 500), (load.LARGE, 65_536)):
            wait_for(lambda p=path, s=size: status(p, token) == (200, s), START_SECONDS, program, f"{proxy.name} does not answer {path}")
        if proxy.name != "nginx":
            refused = status(load.SMALL, token[:-8] + "AAAAAAAA")[0]
            if refused != 401:
                raise RuntimeError(f"{proxy.name} answers a bad token with {refused}")
        if scenario.tls:
            with load.connect(port, True, ["h2"] if scenario.http2 else None) as connection:
                self.handshakes.setdefault(proxy.name, {})[scenario.id] = [connection.version(), connection.selected_alpn_protocol()]
                if connection.version() != "TLSv1.3" or (scenario.http2 and connection.selected_alpn_protocol() != "h2"):
                    raise RuntimeError(f"{proxy.name} speaks {connection.version()}, {connection.selected_alpn_protocol()}")

    def timed(self, program: Program, action: Callable) -> dict:
        """The figures of a load run, with what the proxy used for it."""
        cpu = program.cpu_seconds()
        figures = action()
        cpu = program.cpu_seconds() - cpu
        requests = max(1, figures["requests"])
        figures["rate"] = figures["requests"] / max(figures["seconds"], 1e-6)
        figures["cpu_us"] = cpu * 1e6 / requests
        figures["busy"] = cpu / max(figures["seconds"], 1e-6)
        return figures

    def closed(self, program: Program, port: int, path: str, token: str, tls: bool) -> dict:
        self.load.wrk(port, path, token, WARM_SECONDS, tls)
        return self.timed(program, lambda: self.load.wrk(port, path, token, self.seconds, tls))


def cached(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    figures = bench.closed(program, port, load.SMALL, token, False)
    bench.maximum.setdefault(proxy.name, []).append(figures["rate"])
    return figures


def uncached(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    bench.load.wrk(port, load.SMALL, token, WARM_SECONDS, False)
    # The first token has been seen during the warm-up; one hit in so many does no harm.
    return bench.timed(program, lambda: bench.load.steady(port, load.SMALL, bench.tokens.file, bench.seconds, 0))


def large(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    return bench.closed(program, port, load.LARGE, token, False)


def tls(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    return bench.closed(program, port, load.SMALL, token, True)


def tls_large(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    return bench.closed(program, port, load.LARGE, token, True)


def http2(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    bench.load.h2load(port, load.SMALL, token, WARM_SECONDS)
    return bench.timed(program, lambda: bench.load.h2load(port, load.SMALL, token, bench.seconds))


def idle(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    others = load.Idle(IDLE_BUSY, port, token)
    try:
        figures = bench.closed(program, port, load.SMALL, token, False)
        figures["broken"] += others.lost()
        return figures
    finally:
        others.close()


def half(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    bench.load.wrk(port, load.SMALL, token, WARM_SECONDS, False)
    known = bench.maximum.get(proxy.name)
    if not known:
        known = [bench.load.steady(port, load.SMALL, bench.single, CALIBRATION_SECONDS, 0)]
        known = [known[0]["requests"] / known[0]["seconds"]]
        bench.maximum[proxy.name] = known
    rate = sorted(known)[len(known) // 2] / 2
    figures = bench.timed(program, lambda: bench.load.steady(port, load.SMALL, bench.single, bench.seconds, rate))
    return figures | {"asked": rate}


def memory(bench: Bench, proxy: Proxy, program: Program, port: int, token: str, through_tls: bool = False) -> dict:
    # Without a warm-up: what the allocator keeps of it would be filled by the connections, and hide them.
    time.sleep(SETTLE_SECONDS)
    before = program.memory_bytes()
    others = load.Idle(IDLE_MEMORY, port, token, through_tls)
    try:
        time.sleep(SETTLE_SECONDS)
        after = program.memory_bytes()
        lost = others.lost()
    finally:
        others.close()
    return {
        "rss_before": before[0], "pss_before": before[1], "rss_after": after[0], "pss_after": after[1],
        "refused": 0, "broken": lost, "connections": IDLE_MEMORY,
    }


def memory_tls(bench: Bench, proxy: Proxy, program: Program, port: int, token: str) -> dict:
    return memory(bench, proxy, program, port, token, through_tls=True)


ALL = [
    Scenario("cached", "Cached token, 500 B", cached),
    Scenario("uncached", "Uncached token (another with each request), 500 B", uncached, distinct=True),
    Scenario("large", "Cached token, 64 KB", large),
    Scenario("tls", "TLS 1.3, keep-alive, 500 B", tls, tls=True),
    Scenario("tls-large", "TLS 1.3, keep-alive, 64 KB", tls_large, tls=True),
    Scenario("http2", "HTTP/2 over TLS 1.3, 500 B", http2, tls=True, http2=True),
    Scenario("idle", "1,000 idle and 64 busy connections, 500 B", idle),
    Scenario("half", "Half of its own maximum, constant rate, 500 B", half, rated=True),
    Scenario("memory", "10,000 idle connections", memory, memory=True),
    Scenario("memory-tls", "10,000 idle TLS connections", memory_tls, tls=True, memory=True),
]
