"""Another visitor's slider while twenty exports are made at once: ``python -m bench.exports``.

One tab moves λ on page 1, over values that the server has not seen and over the same again, before, while and after
twenty others each ask for an export. All are websocket sessions that speak Streamlit's protocol. Page 1 and the exports
are of one server, in which exports go through ``pages._studio`` as they do from the export menu.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.__main__ import machine
from bench.latency import ROOT, served
from bench.loadtest.client import Answer, App, Tab
from bench.loadtest.process import PROC, Server, child_at, pinned
from bench.loadtest.students import playground, seeded
from bench.loadtest.table import percentile, problems
from engine.axis import lambdas
from pages._studio import IDLE

WORK = """
from engine.slides.entry import read_entry
from engine.slides.make import export as work

def asked(seed):
    return "png", read_entry(f"?v=1&seed={seed}")[0], "light"
"""
"""What is exported, ``work(*asked(seed))`` in the studio: a PNG of page 1's table, each of an experiment of its own."""

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import streamlit as st
if "export" in st.query_params:
    from pages._studio import STUDIO
{work}
    seed = int(st.query_params["export"])
    st.text(len(STUDIO.make(work, *asked(seed), who=seed)))
    st.stop()
exec(compile(open({app!r}, encoding="utf-8").read(), {app!r}, "exec"))
"""
EXPORTS = 20
PATIENCE = 900.0
"""Seconds that an export may wait."""
QUIET = 20.0
"""Seconds of moves before the exports."""
PAUSE = 0.1
"""Seconds between two moves."""
VALUES = tuple(f"{value:g}" for value in lambdas()[1:])


REPORT = ROOT / "bench" / "EXPORTS.md"
HEAD = """# Exports

{} visitors each ask for a PNG of 1920 × 1080 of an experiment of its own at once, while another moves λ on page 1.
Written by `make exports`. {}
"""


@dataclass
class Moves:
    """Answers to the moves of one time, of λ that were new to the server and of others."""

    unseen: list[Answer] = field(default_factory=list)
    seen: list[Answer] = field(default_factory=list)

    def p50(self, kind: str) -> float:
        """Seconds from the move to the picture."""
        times = [answer.picture for answer in getattr(self, kind) if answer.picture is not None]
        return percentile(times, 50) if times else float("nan")


class Visitor:
    """Moves λ on page 1, over experiments that nobody else asks for; ``moves`` takes the answers."""

    def __init__(self, url: str) -> None:
        self.app, self.moves = playground(url), Moves()
        self.seed, self.problems = 5_000, list[str]()

    async def stay(self) -> None:
        """Open page 1 at one seed after the other, and move over every λ twice."""
        while True:
            self.seed += 1
            tab = Tab(self.app, "", seeded(self.seed))
            opened = await tab.open()
            self.problems += problems([opened])
            values = random.Random(self.seed).sample(VALUES, len(VALUES))
            for kind in ("unseen", "seen"):
                for value in values:
                    await asyncio.sleep(PAUSE)
                    moves = self.moves
                    answer = await tab.move(value)
                    self.problems += problems([answer])
                    if moves is self.moves:  # neither began in one time and ended in another
                        getattr(moves, kind).append(answer)
            tab.drop()


class Memory:
    """Resident megabytes of a server and of the processes that it has started."""

    def __init__(self, server: Server) -> None:
        self.server, self.peak = server, (0.0, 0.0)

    def now(self) -> tuple[float, float]:
        """(the server, all its processes together)."""
        others = 0.0
        for pid in children(self.server.pid):
            try:
                others += Server("", pid).memory()
            except OSError:
                continue  # ended since
        return self.server.memory(), others

    async def watch(self) -> None:
        """Keep the largest of each."""
        while True:
            here, others = self.now()
            self.peak = max(self.peak[0], here), max(self.peak[1], others)
            await asyncio.sleep(0.1)


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    text = [path.read_text(encoding="ascii") for path in (PROC / str(parent) / "task").glob("*/children")]
    return [int(pid) for pid in " ".join(text).split()]


async def exported(url: str, count: int) -> tuple[list[float], list[str]]:
    """Ask for so many exports at once: seconds until each was there, and what went wrong."""
    app = App(url, "", lambda element: element.WhichOneof("type") == "text")
    tabs = [Tab(app, "", f"export={seed}") for seed in range(1, count + 1)]
    answers = await asyncio.gather(*(tab.open(PATIENCE) for tab in tabs))
    for tab in tabs:
        tab.drop()
    return [answer.picture for answer in answers if answer.picture is not None], problems(answers)


async def measured(server: Server, count: int, quiet: float) -> list[tuple[str, str]]:
    """What was measured, and how much."""
    visitor, memory = Visitor(server.url), Memory(server)
    tasks = [asyncio.create_task(visitor.stay())]
    while len(visitor.moves.seen) < 3:  # the first moves are a warm-up
        await asyncio.sleep(0.1)
    calm = visitor.moves = Moves()
    await asyncio.sleep(quiet)
    before = memory.now()
    tasks.append(asyncio.create_task(memory.watch()))
    busy = visitor.moves = Moves()
    started = time.perf_counter()
    arrived, wrong = await exported(server.url, count)
    took = time.perf_counter() - started
    visitor.moves = calm
    await asyncio.sleep(IDLE + 5)
    after = memory.now()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    rows = [
        ("exports that arrived", f"{len(arrived)} of {count}"),
        ("the first, and all of them, after", f"{min(arrived, default=0):.1f} s, {took:.1f} s"),
    ]
    for kind, name in (("unseen", "that the server has not seen"), ("seen", "that it has seen")):
        quiet_p50, busy_p50 = calm.p50(kind), busy.p50(kind)
        rows.append((
            f"another visitor's slider → picture, a λ {name}, p50: quiet, meanwhile, ratio",
            f"{1e3 * quiet_p50:.0f} ms ({len(getattr(calm, kind))} moves), {1e3 * busy_p50:.0f} ms "
            f"({len(getattr(busy, kind))} moves), **{busy_p50 / quiet_p50:.2f}**",
        ))  # fmt: skip
    for name, side in (("the server, with what it keeps of the moves", 0), ("its processes", 1)):
        sizes = f"{before[side]:.0f} MB, {memory.peak[side]:.0f} MB, {after[side]:.0f} MB"
        rows.append((f"memory of {name}: before, at most, {IDLE + 5:.0f} s after", sizes))
    return rows + [("error", problem) for problem in sorted({*visitor.problems, *wrong})]


@contextmanager
def anywhere(script: Path) -> Iterator[Server]:
    """A server on whatever cores there are."""
    with served(script) as url:
        yield Server(url, child_at(url.rpartition(":")[2]))


def prepared(folder: Path) -> Path:
    """The playground with exports behind ``?export=SEED``, in a folder of its own."""
    for name in ("pages", "static"):
        (folder / name).symlink_to(ROOT / name)
    work = "\n".join(f"    {line}" for line in WORK.strip().splitlines())
    script = folder / "app.py"
    script.write_text(SCRIPT.format(root=str(ROOT), app=str(ROOT / "app.py"), work=work), encoding="utf-8")
    return script


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__.splitlines()[0])
    parser.add_argument("--exports", type=int, default=EXPORTS, help="at once; %(default)s by default")
    parser.add_argument("--quiet", type=float, default=QUIET, help="seconds of moves before; %(default)s by default")
    parser.add_argument("--one-core", action="store_true", help="server and exports share one core")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        start = pinned if options.one_core else anywhere
        with start(prepared(Path(folder))) as server:
            rows = asyncio.run(measured(server, options.exports, options.quiet))
    lines = [HEAD.format(options.exports, machine()), "| what | measured |", "|---|---|"]
    text = "\n".join([*lines, *(f"| {what} | {value} |" for what, value in rows)]) + "\n"
    print(text)
    if options.exports == EXPORTS and not options.one_core:
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
