"""What takeaways of curves over training have in common: where they start and end, and who diverged."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pandas as pd

from engine.charts.curves import Series
from engine.experiment import Experiment
from engine.figures.figure import number
from engine.run import Run
from engine.variants import VARIANTS, Variant

LONGEST = 200
"""Characters of a takeaway; what does not fit is left to the picture."""

SAME = 1e-6
"""Share of a number by which two that are called equal may differ."""

NAMED = 3
"""Variants of one value that a sentence names."""


def sentence(*clauses: str) -> str:
    """Clauses as one sentence, the most important first: as many as fit."""
    said = [clause for clause in clauses if clause]
    while len(said) > 1 and len("; ".join(said)) > LONGEST:
        said.pop()
    return "; ".join(said) + "."


def figures_of(value: float) -> str:
    """A number, or the words that it is none."""
    return number(value) if math.isfinite(value) else "not finite"


def percent(share: float) -> str:
    """A share of 1 in per cent."""
    return f"{figures_of(100 * share)} %" if math.isfinite(share) else figures_of(share)


def lost(run: Run, by: int | None = None) -> dict[str, int]:
    """The step of divergence of every variant that has diverged, by a step or at all."""
    return {key: step for key, step in run.diverged.items() if step is not None and (by is None or step <= by)}


def gone(run: Run, by: int | None = None, among: Collection[str] | None = None) -> str:
    """Who diverged, and when; "" for nobody.

    Args:
        run: the training.
        by: up to this step, by default at all.
        among: keys of the variants that a figure is about, each of them named; by default all, counted where many.
    """
    shown = run.diverged if among is None else among
    left = {VARIANTS[key].title: step for key, step in lost(run, by).items() if key in shown}
    if len(left) > 2:
        whole = "All " if len(left) == len(run.diverged) else ""
        who = f"{whole}{len(left)} variants" if among is None else listed(list(left))
        return f"{who} diverged, the first at step {min(left.values()):,}"
    if len(set(left.values())) == 1:
        return f"{' and '.join(left)} diverged at step {min(left.values()):,}"
    return ", ".join(f"{title} diverged at step {step:,}" for title, step in left.items())


def ends_of(run: Run, series: Series) -> dict[str, float]:
    """Where the curves of the variants that did not diverge end."""
    return {key: float(values[-1]) for key, values in series.items() if run.diverged[key] is None}


def extremes(values: dict[str, float]) -> tuple[list[str], list[str]]:
    """The variants with the smallest value and those with the largest, all that are equal but for rounding."""
    low, high = (
        [key for key, value in values.items() if math.isclose(value, end, rel_tol=SAME, abs_tol=1e-12)]
        for end in (min(values.values()), max(values.values()))
    )
    return low, high


def names(keys: list[str]) -> str:
    """Variants by name; of many, how many."""
    titles = [VARIANTS[key].title for key in keys]
    return listed(titles) if len(titles) <= NAMED else f"{titles[0]} and {len(titles) - 1} others"


def same_on_paper(experiment: Experiment, l2: Variant, decay: Variant) -> bool:
    """Whether L2 and decay are one rule, so that only rounding can part them: under plain SGD, or where λ = 0."""
    if not experiment.weight_decay_of(l2) and not experiment.weight_decay_of(decay):
        return True
    return not l2.adaptive and not (l2.has_momentum and experiment.momentum > 0)


def spread(values: dict[str, float], most: int = 2) -> str:
    """A few values with their variants; of more than ``most`` the smallest and the largest."""
    shown = {key: f"{figures_of(value)} ({VARIANTS[key].title})" for key, value in values.items()}
    if len(shown) <= most:
        return listed(list(shown.values()))
    low, high = (pick(values, key=values.__getitem__) for pick in (min, max))
    return f"{shown[low]} to {shown[high]}"


def grouped(experiment: Experiment, values: dict[str, float]) -> str:
    """Values without decay, with it, and with another prior or constraint."""
    groups: dict[str, dict[str, float]] = {"without decay": {}, "with decay": {}, "with another prior": {}}
    for key, value in values.items():
        groups[group_of(experiment, VARIANTS[key])][key] = value
    return ", at ".join(f"{spread(own)} {name}" for name, own in groups.items() if own)


def group_of(experiment: Experiment, variant: Variant) -> str:
    """Whether a variant decays in an experiment, or has another prior or constraint."""
    if variant.where == "none" or (variant.has_weight_decay and experiment.weight_decay_of(variant) == 0):
        return "without decay"
    return "with another prior" if variant.where == "other" else "with decay"


def listed(words: list[str]) -> str:
    """Words as a list: a, b and c."""
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), *words[-1:]])


def compared(what: str, cells: dict[str, dict[str, str | int]], *more: str) -> str:
    """Where a number ends for a few variants that were each trained in the same few ways.

    Args:
        what: the number.
        cells: title of a variant, and a way of training, to the number as it is printed or the step of divergence.
        more: further clauses.
    """
    ends: list[str] = []
    gone: list[str] = []
    order: list[str] = []
    for title, ways in cells.items():
        steps = {way: step for way, step in ways.items() if isinstance(step, int)}
        values = {way: value for way, value in ways.items() if way not in steps}
        words = [f"{value}{f' {way}' if list(values) != order else ''}" for way, value in values.items()]
        order = list(values) or order
        if words:
            ends.append(f"of {title} at {listed(words)}" if ends else f"{what} of {title} ends at {listed(words)}")
        if steps and not words and len(set(steps.values())) == 1:
            gone.append(f"{title} diverged at step {min(steps.values()):,} in every run")
        elif steps:
            gone.append(f"{title} diverged {listed([f'{way} at step {step:,}' for way, step in steps.items()])}")
    return sentence(", ".join(ends), *gone, *more)


def course(run: Run, what: str, series: Series, *more: str) -> str:
    """Where a number starts, the same for all variants, and where it ends."""
    start = figures_of(float(next(iter(series.values()))[0]))
    found = grouped(run.experiment, ends_of(run, series))
    return sentence(f"{what} starts at {start} and ends at {found}" if found else "", gone(run), *more)


def tidy(run: Run, **columns: Series) -> pd.DataFrame:
    """One row a variant of the first column and recorded step; nan where another has no value for a variant."""
    keys = list(next(iter(columns.values())))
    frame = pd.DataFrame({"variant": np.repeat(keys, len(run.steps)), "step": np.tile(run.steps, len(keys))})
    empty = np.full(len(run.steps), np.nan)
    for name, series in columns.items():
        frame[name] = np.concatenate([np.asarray(series.get(key, empty), dtype=float) for key in keys])
    return frame
