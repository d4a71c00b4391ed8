"""Starts programs on chosen cores, reads what they used, and ends them whatever happens."""

import ctypes
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10
_libc = ctypes.CDLL(None)
_running: list = []


class Program:
    """One program with its children, in a process group of its own that does not outlive this script."""

    def __init__(self, command: list, cores: set, log: pathlib.Path, environment: dict | None = None):
        def prepare():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, cores)

        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=prepare, env=environment)
        _running.append(self)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def pids(self) -> list:
        """The program and all that descend from it."""
        found = [self.process.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
                try:
                    found += [int(child) for child in (task / "children").read_text().split()]
                except OSError:
                    continue
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far, dead children included."""
        ticks = 0
        for index, pid in enumerate(self.pids()):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
            if index == 0:
                ticks += int(fields[13]) + int(fields[14])
        return ticks / TICKS

    def memory_bytes(self) -> tuple:
        """RSS and PSS of all its processes; a page that several share counts once in PSS."""
        resident = proportional = 0
        for pid in self.pids():
            try:
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Rss:"):
                        resident += int(line.split()[1]) * 1024
                    elif line.startswith("Pss:"):
                        proportional += int(line.split()[1]) * 1024
            except OSError:
                continue
        return resident, proportional

    def last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 2_000))
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        if self in _running:
            _running.remove(self)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            # The leader is gone; a child that lingers must not hold the port.
            if number == signal.SIGTERM:
                continue
        self.process.wait()


def stop_all() -> None:
    for program in list(_running):
        program.stop()


def wait_for(condition, seconds: float, program: Program, what: str) -> None:
    """Waits until the condition holds; says what the program wrote when it ends or never gets there."""
    end = time.monotonic() + seconds
    while not condition():
        if not program.alive or time.monotonic() > end:
            raise RuntimeError(f"{what}. Its last words:\n{program.last_words()}")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def raise_file_limit(wanted: int) -> int:
    """The number of files this script and its children may open, after trying to raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
