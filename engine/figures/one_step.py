"""Page 5's figures: push against pull of every weight in one step, and the pull against the weight."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pandas as pd

from engine.anatomy import Anatomy, anatomy, steps_to_show
from engine.charts.steps import FATES, Forces, pulls, race, tally
from engine.experiment import Experiment
from engine.figures.figure import Panel, Shot, figure, number, shared, trained
from engine.groups import entry_of
from engine.run import Run, architecture_of
from engine.train import FRAMES
from engine.variants import VARIANTS, Variant

PICKS = {
    "largest": "the largest weight",
    "pulled": "the weight that λ pulls hardest",
    "pushed": "the weight that the data push hardest",
    "close": "the closest race",
}


def opening(experiment: Experiment) -> int:
    """The step that is shown at first, of those that a run records."""
    recorded = {1, *np.linspace(0, experiment.steps, FRAMES).round().astype(int).tolist()}
    return nearest(sorted(recorded - {0}), experiment.steps / 8)


def first_variant(experiment: Experiment) -> Variant:
    """The first with λ in its gradient, or else with λ anywhere, or else the first."""
    chosen = experiment.chosen
    first = next((variant for variant in chosen if variant.where == "gradient"), None)
    return first or next((variant for variant in chosen if variant.where != "none"), chosen[0])


def variants(experiment: Experiment) -> list[str]:
    """Variants whose step can be shown."""
    first = first_variant(experiment).key
    return [first, *(key for key in experiment.variants if key != first)]


def steps(experiment: Experiment) -> list[str]:
    """All steps, after the one that is shown at first."""
    first = opening(experiment)
    return [str(first), *(str(t) for t in range(1, experiment.steps + 1) if t != first)]


def weights(experiment: Experiment) -> list[str]:
    """What is special about a weight, or its place in the flat row of weights."""
    return [*PICKS, *(str(i) for i in range(architecture_of(experiment).weights))]


def nearest(showable: list[int], wanted: float) -> int:
    """The step that can be shown and is nearest to any number."""
    return min(showable, key=lambda t: abs(t - wanted))


def picked(step: Anatomy, run: Run, pick: str) -> int:
    """The index of a weight that a key of PICKS names."""
    count = run.architecture.weights
    size, push, pull = (np.nan_to_num(np.abs(a[:count])) for a in (step.before, step.push, step.pull))
    even = np.minimum(push, pull) / np.maximum(np.maximum(push, pull), 1e-300)
    by = {"largest": size, "pulled": pull, "pushed": push, "close": size * even * ((step.push * step.pull)[:count] < 0)}
    return int(by[pick].argmax())


def forces_of(step: Anatomy, run: Run) -> Forces:
    """Push and pull of all weights in the step."""
    weights = slice(run.architecture.weights)
    title = f"{step.variant.title}, step {step.t:,}"
    shrinks = step.shrink[weights]
    shrink = float(shrinks[0]) if (shrinks == shrinks[0]).all() else 0.0
    return Forces(
        step.before[weights], step.push[weights], step.pull[weights], shrink, step.variant.where, title, rate_of(step)
    )


def rate_of(step: Anatomy) -> str:
    """``Experiment.shrinks_of`` in symbols: what λ on the weight takes off it in the step; s is η_t/η_max."""
    if not step.variant.shrinks_by_lr:
        return "λ" if step.experiment.schedule == "constant" else "sλ"
    return "ηλ/(1 − μ)" if step.variant.uses("shrink_weights", over_momentum=True) else "ηλ"


@lru_cache(maxsize=4)
def _anatomy(experiment: Experiment, key: str, wanted: int) -> tuple[Run, Anatomy]:
    run, variant = trained(experiment), VARIANTS[key]
    return run, anatomy(run, variant, nearest(steps_to_show(run, variant), wanted))


def taken(shot: Shot) -> tuple[Run, Anatomy, int]:
    """The run, its step taken apart, and the marked weight."""
    run, step = _anatomy(shared(shot), shot.option("of"), int(shot.option("at")))
    pick = shot.option("part")
    return run, step, picked(step, run, pick) if pick in PICKS else int(pick)


@figure(
    "one_step.race", "Push and pull", "Who wins one step: the data's push or λ's pull?",
    "Each mark is a weight in one real step: across, how far λ pulls it towards zero; upwards, how far the data push "
    "it away from zero. Above the diagonal the push outruns the pull and the weight grows (▲), below it shrinks (●); ◇ "
    "passes zero. The ring marks one weight by name.",
    of=variants, at=steps, part=weights,
)  # fmt: skip
def push_and_pull(shot: Shot, theme: str) -> Panel:
    run, step, i = taken(shot)
    forces, name = forces_of(step, run), entry_of(run.architecture, i)
    return Panel(race(forces, i, name), race_words(step, forces, i, name), table(run, forces))


def race_words(step: Anatomy, forces: Forces, i: int, name: str) -> str:
    """How many weights grow and shrink, and what happens to the marked one."""
    if not finite(step):
        return f"{step.variant.title} leaves the finite numbers in step {step.t:,}."
    counts = tally(forces)
    crosses = f", {counts['crosses']:,} pass zero" if counts["crosses"] else ""
    push, pull = float(forces.outwards[i]), -float(forces.inwards[i])
    return (
        f"{forces.title}: of {len(forces.before):,} weights {counts['grows']:,} grow, {counts['shrinks']:,} shrink"
        f"{crosses}; {name} {FATES[str(forces.fates[i])]}: away from zero, push {signed(push)}, pull {signed(pull)}."
    )


def finite(step: Anatomy) -> bool:
    """Whether the weights after the step are."""
    return bool(np.isfinite(step.after).all())


def signed(value: float) -> str:
    """A number with its sign; 0 has none."""
    return number(0) if value == 0 else f"{'−' if value < 0 else '+'}{number(abs(value))}"


@figure(
    "one_step.pulls", "Pull on every weight", "Does λ take the same share off every weight?",
    "Each mark is a weight in one real step: across, the weight before the step; upwards, what λ did to it. Decay on "
    "the weight, as in AdamW, puts all marks on one falling line: each weight loses the same share. L2 through Adam or "
    "RMSProp scatters them, since each pull is divided by its own √v.",
    of=variants, at=steps, part=weights,
)  # fmt: skip
def every_pull(shot: Shot, theme: str) -> Panel:
    run, step, i = taken(shot)
    forces = forces_of(step, run)
    return Panel(pulls(forces, i, entry_of(run.architecture, i)), pull_words(step, forces), table(run, forces))


def pull_words(step: Anatomy, forces: Forces) -> str:
    """The share that λ takes off the weights, or the range of shares of the middle half."""
    if not finite(step):
        return f"{step.variant.title} leaves the finite numbers in step {step.t:,}."
    if not forces.pull.any():
        return f"{forces.title}: no weight is pulled, the data decide alone."
    if step.variant.where == "other":
        size = np.abs(forces.pull)
        return (
            f"{forces.title}: beside the data, {int((size > 0).sum()):,} of {len(size):,} weights are moved, by "
            f"{number(np.median(size[size > 0]))} in the median and {number(size.max())} at most."
        )
    shares = -forces.pull / np.where(forces.before == 0, math.nan, forces.before)
    low, high = np.nanpercentile(shares, [25, 75])
    rate = f"{rate_of(step)} = {percent(float(step.shrink.max()))}"
    if np.nanmax(shares) - np.nanmin(shares) < 1e-9 * abs(high):
        return f"{forces.title}: λ takes the same share off every weight, {rate}."
    return (
        f"{forces.title}: λ's share of the weight is between {percent(low)} and {percent(high)} for half of all "
        f"weights, for the others beyond; {rate}."
    )


def percent(share: float) -> str:
    """A share of 1 in per cent."""
    size = abs(100 * share)
    return ("−" if share < 0 else "") + (f"{size:.3g} %" if size < 999.5 else f"{size:,.0f} %")


def table(run: Run, forces: Forces) -> pd.DataFrame:
    """Push and pull of every weight, one row a weight."""
    names = [entry_of(run.architecture, i) for i in range(len(forces.before))]
    return pd.DataFrame({
        "weight": names, "before": forces.before, "push": forces.push, "pull": forces.pull,
        "after": forces.before + forces.push + forces.pull, "fate": [FATES[fate] for fate in forces.fates.tolist()],
    })  # fmt: skip
