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
from importlib.metadata import version
from pathlib import Path
from statistics import median

import streamlit
import torch

from bench import arithmetic, gpu, latency, rivals, training
from tools.browser import find_browser

RESULTS = Path(__file__).parent / "RESULTS.md"
README = Path(__file__).parent.parent / "README.md"
TABLE = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
HEAD = (
    "| what | against | theirs | ours | ratio | min–max | repeats | target |",
    "|---|---|---|---|---|---|---|---|",
)
REPEATS, QUICK_REPEATS = 11, 3
SIX = "six variants × 400 steps"
AXIS = "246 such models × 400 steps"


@dataclass(frozen=True)
class Figure:
    """One row of the table: what is compared, what both sides measured in every repeat, their ratios, and the target.

    Attributes:
        name, reference: ours and theirs, in words.
        theirs, ours: medians are printed, with their unit.
        ratios: one a repeat, printed in ``form``.
        target: in words.
    """

    name: str
    reference: str
    theirs: list[float]
    ours: list[float]
    ratios: list[float]
    target: str
    unit: str = "ms"
    form: str = ".1f"

    def row(self) -> str:
        """The row in Markdown."""
        ratio, least, most = (format(f(self.ratios), self.form) for f in (median, min, max))
        return (
            f"| {self.name} | {self.reference} | {median(self.theirs):.0f} {self.unit} "
            f"| {median(self.ours):.0f} {self.unit} | **{ratio}** | {least}–{most} | {len(self.ratios)} "
            f"| {self.target} |"
        )


@dataclass(frozen=True)
class Unmeasured:
    """A row of the table that could not be measured here, and why."""

    name: str
    reference: str
    why: str

    def row(self) -> str:
        """The row in Markdown."""
        return f"| {self.name} | {self.reference} | – | – | unmeasured: {self.why} | – | 0 | none: a comparison |"


def speed_figure(name: str, reference: str, times: list[tuple[float, float]], target: str, form: str = ".1f") -> Figure:
    """How many times faster ours is: (theirs, ours) in seconds for each repeat."""
    theirs, ours = ([1e3 * value for value in side] for side in zip(*times, strict=True))
    return Figure(name, reference, theirs, ours, [a / b for a, b in times], target, form=form)


def training_figures(repeats: int) -> list[Figure]:
    """Batched trainings beside torch: plain loops and ``vmap(grad)``."""
    return [
        speed_figure(
            f"{SIX}, film and curves included; MLP 2-16-16-1, 200 points, float32",
            "six plain torch.optim loops, one thread",
            training.compare(repeats),
            "≥ 16 times faster",
        ),
        speed_figure(
            f"{SIX}, film included",
            "`torch.func`: `vmap(grad)` over the six, one thread",
            rivals.compare_vmap(repeats),
            "none: a comparison",
        ),
        speed_figure(
            f"λ axis: {AXIS}, both cores",
            "246 plain torch.optim loops, timed at one λ",
            training.compare_axis(repeats),
            "≥ 30 times faster",
        ),
    ]


def jax_figures(repeats: int) -> tuple[list[Figure], list[str]]:
    """Batched trainings beside JAX, and a note on its compiling, or on its absence."""
    if not rivals.has_jax():
        return [], ["Beside JAX: not measured: JAX is not installed (`make bench` installs it)."]
    tutorial, _ = rivals.compare_jax(repeats, "by_points")
    six, compiling = rivals.compare_jax(repeats, "by_units")
    axis, compiling_axis = rivals.compare_jax_axis(repeats)
    jax, film, least = "JAX: `jit(vmap(scan))`", f"{SIX}, film and curves included", "≥ 1.0 times as fast"
    figures = [
        speed_figure(film, f"{jax}, one core, (points, units) as in its tutorials", tutorial, least, ".2f"),
        speed_figure(film, f"{jax}, one core, (units, points) as in the engine", six, least, ".2f"),
        speed_figure(
            f"λ axis: {AXIS}, both cores", f"{jax}, both cores, (units, points)", axis, "≥ 1.8 times as fast", ".2f"
        ),
    ]
    note = (
        f"JAX {version('jax')} had compiled before it was timed: {compiling:.1f} s for the six variants and "
        f"{compiling_axis:.1f} s for the λ axis, again for every new shape; ours compiles nothing."
    )
    return figures, [note]


def arithmetic_figure(repeats: int, threads: int) -> Figure:
    """The share of SGEMM's rate that a training reaches."""
    rates = arithmetic.compare(repeats, threads)
    sgemm, ours = (list(side) for side in zip(*rates, strict=True))
    size, cores = arithmetic.SIZE, "one core" if threads == 1 else "both cores"
    return Figure(
        f"arithmetic of {arithmetic.MODELS} models 2-32-32-1 (AdamW, 200 points), {cores}",
        f"`torch.mm` of {size} × {size} matrices, {cores}",
        sgemm,
        ours,
        [b / a for a, b in rates],
        "≥ 40 % of its rate",
        unit="GF/s",
        form=".0%",
    )


def gpu_figures(repeats: int) -> Sequence[Figure | Unmeasured]:
    """The share of a GPU's memory or compute limit, the lower of the two, that trainings reach."""
    what = "models 2-16-16-1 × 400 steps (AdamW, 200 points, float32) on a GPU: thousand models·steps a second"
    against = "its limit for the same calls: memory by a large copy, arithmetic by a large `torch.mm`, the lower"
    if not torch.cuda.is_available():
        counts = " / ".join(f"{models // 1000}k" for models in gpu.MODELS)
        return [Unmeasured(f"{counts} {what}", against, "no GPU at hand")]
    figures = []
    for models in gpu.MODELS:
        limits, ours = (list(side) for side in zip(*gpu.compare(models, repeats), strict=True))
        ratios = [mine / most for most, mine in zip(limits, ours, strict=True)]
        thousands = ([rate / 1000 for rate in side] for side in (limits, ours))
        name = f"{models // 1000}k {what}"
        figures.append(Figure(name, against, *thousands, ratios, "none: a comparison", "k/s", ".0%"))
    return figures


def browser_figures(blocks: int) -> list[Figure]:
    """What a visitor waits for on page 1, beside a bare app in the same browser."""
    moves, openings, scrub = latency.measure(blocks), latency.openings(), latency.scrub(blocks)
    bare = [median(block.bare) for block in moves]
    figures = []
    for name, side, target in (
        ("λ slider → picture, a λ never seen, before the λ axis has arrived", "unseen", "≤ 2.0 times as long"),
        ("λ slider → picture, a λ that the λ axis has trained", "trained", "≤ 1.3 times as long"),
    ):
        ours = [median(getattr(block, side)) for block in moves]
        ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
        reference = "slider → line of text in a bare Streamlit app, p50"
        figures.append(Figure(f"{name}; page 1, p50", reference, bare, ours, ratios, target))
    for name, reference, pairs, target, unit, form in (
        (
            "opening page 1 on a warm server",
            "opening a bare Streamlit app",
            openings,
            "≤ 1.6 times as long",
            "ms",
            ".2f",
        ),
        ("scrubbing page 1: pictures a second", "display refreshes a second", scrub, "1.0: one each", "/s", ".2f"),
    ):
        theirs, mine = (list(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        figures.append(Figure(name, reference, theirs, mine, ratios, target, unit, form))
    return figures


def report(table: str, notes: Sequence[str]) -> str:
    """The table as a Markdown page."""
    how = "Written by `make bench`. Theirs, ours: medians. Ratio: median of the ratios of alternating repeats."
    return "\n\n".join(["# Measured", how, table, *notes, machine()]) + "\n"


def machine() -> str:
    """The machine and the packages, in a sentence."""
    return (
        f"Machine: {os.cpu_count()} cores, {_cpu()}{_gpu()}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, Streamlit {streamlit.__version__}. Measured on {date.today():%Y-%m-%d}."
    )


def _gpu() -> str:
    return f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""


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
    beside_jax, notes = jax_figures(repeats)
    figures: list[Figure | Unmeasured] = [*training_figures(repeats), *beside_jax]
    figures += [arithmetic_figure(repeats, threads) for threads in (1, 2)]
    figures += gpu_figures(repeats)
    if find_browser() is None:
        notes.append("Slider → picture was not measured: no browser was found (`make browser` looks for one).")
    else:
        figures += browser_figures(1 if quick else latency.BLOCKS)
    table = "\n".join([*HEAD, *(figure.row() for figure in figures)])
    print(report(table, notes))
    if not quick:
        RESULTS.write_text(report(table, notes), encoding="utf-8")
        README.write_text(TABLE.sub(lambda _: f"{table}\n", README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
