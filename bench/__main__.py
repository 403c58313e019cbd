"""The figures of the README: ``python -m bench`` measures, prints, and writes bench/RESULTS.md and the README's table.

Every figure is a ratio within one run: the two sides alternate, each repeat gives one ratio, and the table holds the
median of these ratios with the smallest and the largest, so that a machine whose speed wanders does not matter.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

import streamlit
import torch

from bench import latency, training
from tools.browser import find_browser

RESULTS = Path(__file__).parent / "RESULTS.md"
README = Path(__file__).parent.parent / "README.md"
TABLE = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
HEAD = (
    "| what | against | theirs | ours | ratio | min–max | repeats | target |",
    "|---|---|---|---|---|---|---|---|",
)
REPEATS, QUICK_REPEATS = 11, 3


@dataclass(frozen=True)
class Figure:
    """One row of the table: what is compared, the milliseconds and the ratio of every repeat, and the target."""

    name: str
    reference: str
    reference_ms: list[float]
    ours_ms: list[float]
    ratios: list[float]
    target: str

    def row(self) -> str:
        """The row in Markdown."""
        spread = f"{min(self.ratios):.1f}–{max(self.ratios):.1f}"
        return (
            f"| {self.name} | {self.reference} | {median(self.reference_ms):.0f} ms | {median(self.ours_ms):.0f} ms "
            f"| **{median(self.ratios):.1f}** | {spread} | {len(self.ratios)} | {self.target} |"
        )


def training_figure(repeats: int) -> Figure:
    """How many times faster one batched training is than six torch.optim loops."""
    times = training.compare(repeats)
    return Figure(
        "six variants × 400 steps, film and curves included; MLP 2-16-16-1, 200 points, float32",
        "six plain torch.optim loops, one thread",
        [1e3 * plain for plain, _ in times],
        [1e3 * ours for _, ours in times],
        [plain / ours for plain, ours in times],
        "≥ 12 times faster",
    )


def axis_figure(repeats: int) -> Figure:
    """How many times faster the whole λ axis is than as many torch.optim loops."""
    times = training.compare_axis(repeats)
    return Figure(
        "λ axis: 246 such models × 400 steps, both cores",
        "246 plain torch.optim loops, timed at one λ",
        [1e3 * plain for plain, _ in times],
        [1e3 * ours for _, ours in times],
        [plain / ours for plain, ours in times],
        "≥ 30 times faster",
    )


def latency_figure(blocks: int) -> Figure:
    """How many times longer a slider takes to a new picture than to a line of text in a bare app."""
    measured = latency.measure(blocks)
    return Figure(
        "λ slider → picture of page 1, p50 of λ never seen before",
        "slider → line of text in a bare Streamlit app, p50",
        [median(bare) for bare, _ in measured],
        [median(ours) for _, ours in measured],
        [median(ours) / median(bare) for bare, ours in measured],
        "≤ 2.5 times as long",
    )


def report(table: str, notes: Sequence[str]) -> str:
    """The table as a Markdown page."""
    how = "Written by `make bench`. Theirs, ours: medians. Ratio: median of the ratios of alternating repeats."
    return "\n\n".join(["# Measured", how, table, *notes, machine()]) + "\n"


def machine() -> str:
    """The machine and the packages, in a sentence."""
    return (
        f"Machine: {os.cpu_count()} cores, {_cpu()}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"Streamlit {streamlit.__version__}. Measured on {date.today():%Y-%m-%d}."
    )


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats, and no file is written")
    quick = parser.parse_args().quick
    repeats = QUICK_REPEATS if quick else REPEATS
    figures, notes = [training_figure(repeats), axis_figure(repeats)], []
    if find_browser() is None:
        notes.append("Slider → picture was not measured: no browser was found (`make browser` looks for one).")
    else:
        figures.append(latency_figure(1 if quick else latency.BLOCKS))
    table = "\n".join([*HEAD, *(figure.row() for figure in figures)])
    print(report(table, notes))
    if not quick:
        RESULTS.write_text(report(table, notes), encoding="utf-8")
        README.write_text(TABLE.sub(lambda _: f"{table}\n", README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
