"""Measure a classroom: ``python -m bench.loadtest`` prints the table and writes bench/CLASSROOM.md.

Each server has one core to itself, the students have the others; nothing but Streamlit's own protocol is between them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.__main__ import machine
from bench.loadtest.process import PROC, cores
from bench.loadtest.rows import QUICK, ROWS, Scale
from bench.loadtest.table import HEAD, Line

RESULTS = Path(__file__).parents[1] / "CLASSROOM.md"
HOW = (
    "Written by `make loadtest`. Students are websocket sessions that speak Streamlit's protocol as its frontend does. "
    "A time runs from sending a move to reading the message with the picture, of openings from before connecting. "
    "Below each row is the same load on a bare Streamlit app, or what else it is held against."
)


def report(lines: Sequence[Line]) -> str:
    """The table as a Markdown page."""
    notes = [f"- {line.what.partition(':')[0]}: {'; '.join(line.notes)}." for line in lines if line.notes]
    errors = [f"- {line.what.partition(':')[0]}, error: {text}" for line in lines for text in sorted(set(line.errors))]
    theirs, mine = cores()
    pinning = "The server was held to one core, the students to the others." if theirs != mine else "One core for all."
    table = "\n".join([*HEAD, *(line.row() for line in lines)])
    return "\n\n".join(["# Classroom", HOW, table, "\n".join([*notes, *errors]), f"{pinning} {machine()}"]) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.loadtest", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="some of the rows: %(default)s")
    parser.add_argument("--reruns", type=int, help="of the row flat; 20,000 by default")
    parser.add_argument("--quick", action="store_true", help="few students, a few seconds, and no file is written")
    options = parser.parse_args()
    chosen = options.rows.split(",")
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not (PROC / "self" / "stat").exists():
        parser.error("costs are read from Linux's /proc, which is not here")
    scale = QUICK if options.quick else Scale()
    if options.reruns:
        scale = replace(scale, reruns=options.reruns)
    lines: list[Line] = []
    print("\n".join(HEAD), flush=True)
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            lines += (found := ROWS[name](scale, Path(folder)))
        for line in found:
            print("\n".join([line.row(), *line.notes, *sorted(set(line.errors))[:10]]), flush=True)
    if not options.quick and chosen == list(ROWS):
        RESULTS.write_text(report(lines), encoding="utf-8")
    else:
        print(f"\n{report(lines)}")


if __name__ == "__main__":
    main()
