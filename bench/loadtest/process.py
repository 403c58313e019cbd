"""A server on a core of its own, and what it costs, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.latency import served

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server process and its URL."""

    url: str
    pid: int

    def cpu(self) -> float:
        """CPU seconds so far, of all threads."""
        # The name of the program, in brackets, may hold spaces.
        fields = (PROC / str(self.pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> float:
        """Resident megabytes."""
        pages = int((PROC / str(self.pid) / "statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def threads(self) -> int:
        """How many threads it has."""
        return len(list((PROC / str(self.pid) / "task").iterdir()))


@dataclass(frozen=True)
class Clock:
    """Seconds of the wall, of the server's CPU, of this process's, and of all CPUs together."""

    wall: float
    server: float
    client: float
    machine: float

    @classmethod
    def read(cls, server: Server) -> Clock:
        """Now."""
        ticks = (PROC / "stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
        busy = sum(int(ticks[i]) for i in (0, 1, 2, 5, 6)) / TICK
        return cls(time.perf_counter(), server.cpu(), time.process_time(), busy)

    def since(self, start: Clock) -> Clock:
        """What has passed."""
        return Clock(
            self.wall - start.wall,
            self.server - start.server,
            self.client - start.client,
            self.machine - start.machine,
        )

    @property
    def others(self) -> float:
        """Share of one core that all other processes took."""
        return max(0.0, self.machine - self.server - self.client) / self.wall


def cores() -> tuple[set[int], set[int]]:
    """(the server's core, the client's cores), the same one where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[-1]}, set(mine[:-1]) or {mine[-1]}


@contextmanager
def pinned(script: Path) -> Iterator[Server]:
    """A server of its own for one app, on one core; this process leaves that core to it."""
    before = os.sched_getaffinity(0)
    theirs, mine = cores()
    try:
        os.sched_setaffinity(0, theirs)  # a new process has its parent's cores
        with served(script) as url:
            os.sched_setaffinity(0, mine)
            yield Server(url, child_at(url.rpartition(":")[2]))
    finally:
        os.sched_setaffinity(0, before)


def child_at(port: str) -> int:
    """The process that this one has started for a port."""
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == os.getpid() and port.encode() in command:
            return int(entry.name)
    raise LookupError(f"no server process on port {port}")
