"""Page 4's figures: how far L2 and decay of one optimizer run apart, and the rate of decay of every weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.charts.pairs import pair_curves, size
from engine.charts.picture import Picture
from engine.charts.rates import Frame, frame, rate_panel, short_rate, slope_words
from engine.claims.coupling import dying
from engine.experiment import Experiment
from engine.figures.figure import Panel, Shot, figure, trained
from engine.figures.sentences import percent, same_on_paper
from engine.measure import EQUAL, pair_difference, pairs
from engine.probe import TOO_LONG, affordable
from engine.rates import Rates, effective_rates, measurable, paired
from engine.run import Run
from engine.variants import Variant

LISTED = 5
"""Pairs that a sentence lists; of more it says the extremes."""

Pair = tuple[Variant, Variant]


def both_ways(shot: Shot) -> Experiment:
    """The shared experiment as this page trains it: every optimizer both ways."""
    return paired(shot.experiment).within_budget()[0]


def run_of(shot: Shot) -> Run:
    """The run that the page compares."""
    return trained(both_ways(shot))


def families(experiment: Experiment) -> dict[str, list[Variant]]:
    """The variants that decay, by optimizer: one panel each."""
    found: dict[str, list[Variant]] = {}
    for variant in experiment.chosen:
        if variant.where in ("gradient", "weight"):
            found.setdefault(variant.family, []).append(variant)
    return found


def every_family(experiment: Experiment) -> list[str]:
    """Panels of the page."""
    return list(families(paired(experiment)))


@figure(
    "coupling.apart", "L2 against decay", "Does L2 stay weight decay?",
    "Each curve compares the same optimizer with λ in the gradient and with λ on the weight: the largest difference of "
    "any weight, max|Δw|, over training, on a log axis that ends in “exactly 0”. Both start at the same weights with "
    "the same λ. In the grey band no parameter differs by more than 0.000001.",
    seen=both_ways,
)  # fmt: skip
def apart(shot: Shot, theme: str) -> Panel:
    run = run_of(shot)
    curves = differences(run)
    return Panel(pair_curves(run.steps, curves), apart_words(run, curves), apart_frame(run, curves))


def differences(run: Run) -> dict[Pair, NDArray]:
    """max|Δw| of every pair at the recorded steps, nan from the step on at which one of the two diverged."""
    found = {}
    for l2, decay in pairs(run):
        gone = [step for variant in (l2, decay) if (step := run.diverged[variant.key]) is not None]
        difference = pair_difference(run, l2, decay)
        found[l2, decay] = np.where(run.steps >= min(gone), np.nan, difference) if gone else difference
    return found


def apart_words(run: Run, curves: dict[Pair, NDArray]) -> str:
    """How far each pair is apart in the end; of many pairs, the equal ones, the nearest and the farthest."""
    names, ends = names_of(list(curves)), {pair: float(values[-1]) for pair, values in curves.items()}
    start = f"max|Δw| at step {run.steps[-1]:,}"
    if len(ends) <= LISTED:
        return f"{start}: " + ", ".join(f"{names[pair]} {told(run, pair, end)}" for pair, end in ends.items()) + "."
    equal = sum(end <= EQUAL for end in ends.values())
    more = sorted(((end, names[pair]) for pair, end in ends.items() if end > EQUAL), key=lambda one: one[0])
    parts = [f"{equal} of {len(ends)} pairs are equal to 0.000001"] * bool(equal)
    if more:
        (low, near), (high, far) = more[0], more[-1]
        parts.append(f"from {size(low)} ({near}) to {size(high)} ({far})" if len(more) > 1 else f"{size(high)} ({far})")
    lost = sum(np.isnan(end) for end in ends.values())
    parts += [f"{lost} {'pair has' if lost == 1 else 'pairs have'} a diverged variant"] * bool(lost)
    return f"{start}: {'; '.join(parts)}."


def told(run: Run, pair: Pair, end: float) -> str:
    """A difference in words, and whether it is rounding."""
    if not (end > 0 and same_on_paper(run.experiment, *pair)):
        return size(end)
    return f"{size(end)} ({'rounding' if end <= EQUAL else 'the same on paper, rounding has grown'})"


def names_of(compared: list[Pair]) -> dict[Pair, str]:
    """What each pair is called: its optimizer, or its decay where an optimizer has several."""
    owners = [l2.family for l2, _ in compared]
    return {pair: pair[0].family if owners.count(pair[0].family) == 1 else pair[1].title for pair in compared}


def apart_frame(run: Run, curves: dict[Pair, NDArray]) -> pd.DataFrame:
    """The curves, one row a pair and recorded step."""
    parts = [
        pd.DataFrame({"l2": l2.key, "decay": decay.key, "step": run.steps, "max_difference": values})
        for (l2, decay), values in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)


@figure(
    "coupling.rates", "Decay rates", "How fast is each weight decayed?",
    "Each mark is a weight: the share that λ took off it per step in the last half of training, over the size of its "
    "gradient, both on log axes. Dashed lines are theory: decay that takes the same share off "
    "every weight is flat; L2 that is divided by √v falls with slope −1, the larger a weight's gradients, the less it "
    "is decayed.",
    seen=both_ways, part=every_family,
)  # fmt: skip
def rates(shot: Shot, theme: str) -> Panel:
    run = run_of(shot)
    if not affordable(run.experiment):
        raise ValueError(f"The rate of decay of every weight is left out: {TOO_LONG}")
    found, family = effective_rates(run), shot.option("part")
    members = families(run.experiment)[family]
    picture = family_panel(run, family, members, found, frame(list(found.values())))
    own = [found[key] for key in keys(run, members)]
    return Panel(picture, rate_words(run, family, members, own), rate_frame(run, members, own))


def family_panel(run: Run, family: str, members: list[Variant], found: dict[str, Rates], shared: Frame) -> Picture:
    """The rates of one optimizer's variants, on the axes of all; weights that have died out have no slope."""
    own = [found[key] for key in keys(run, members)]
    picture = rate_panel(family, own, shared, missing(run, members))
    dead = {slope_words(one): f"{one.variant.title}: no slope, its weights have died out"
            for one in own if one.kept.any() and dying(run, one.variant.key)}  # fmt: skip
    if not dead:
        return picture
    rows = [{**row, "text": dead.get(row["text"], row["text"])} for row in picture.data["words"]]
    alt = picture.alt
    for old, new in dead.items():
        alt = alt.replace(old, new)
    return replace(picture, data={**picture.data, "words": rows}, alt=alt)


def keys(run: Run, members: list[Variant]) -> tuple[str, ...]:
    """The variants of an optimizer that have a rate."""
    return tuple(variant.key for variant in members if variant in measurable(run))


def missing(run: Run, members: list[Variant]) -> str:
    """Why a panel lacks some of its variants, or nothing."""
    gone = [f"{v.title} diverged at step {run.diverged[v.key]}" for v in members if run.diverged[v.key] is not None]
    free = [v.title for v in members if run.experiment.weight_decay_of(v) == 0]
    return "; ".join([*gone, *["λ = 0: no decay to measure"] * bool(free)])


def rate_words(run: Run, family: str, members: list[Variant], own: list[Rates]) -> str:
    """Slope and median rate of up to two variants; of more, the extremes of each."""
    gone, shown = missing(run, members), [one for one in own if one.kept.any()]
    if len(members) > 2 and (lost := sum(run.diverged[variant.key] is not None for variant in members)):
        gone = f"{lost} of {len(members)} variants of {family} diverged"
    if len(shown) > 2:
        parts = [f"{family}: {extremes(run, shown)}"]
    else:
        parts = [rate_clause(run, one) for one in (shown or own)[:2]]
    return "; ".join([*parts, *[gone] * bool(gone)]) + "."


def rate_clause(run: Run, one: Rates) -> str:
    """Slope and median rate of a variant; where its weights have died out, that a slope says nothing."""
    if not one.kept.any():
        return slope_words(one)
    words = (
        f"{one.variant.title}: no slope, ‖w‖ is {left_of(run, one)}"
        if dying(run, one.variant.key)
        else slope_words(one)
    )
    return f"{words}, median {short_rate(one)}"


def left_of(run: Run, one: Rates) -> str:
    """What share of its norm a variant has kept."""
    norms = run.metrics["weight_norm"][:, run.row(one.variant.key)]
    return f"down to {percent(float(norms[-1] / norms[0]))} of its start"


def extremes(run: Run, shown: list[Rates]) -> str:
    """The smallest and the largest median rate, and the steepest slope of weights that have not died out."""
    ordered = sorted(shown, key=lambda rates: float(np.median(rates.rate[rates.kept])))
    low, high = ordered[0], ordered[-1]
    sloped = [rates for rates in shown if np.isfinite(rates.slope) and not dying(run, rates.variant.key)]
    steepest = f"; steepest, {slope_words(min(sloped, key=lambda rates: rates.slope))}" if sloped else ""
    return (
        f"median rates from {short_rate(low)} ({low.variant.title}) to {short_rate(high)} ({high.variant.title})"
        + steepest
    )


def rate_frame(run: Run, members: list[Variant], own: list[Rates]) -> pd.DataFrame:
    """Rate, gradient and prediction of every weight; a variant without a rate has one row without numbers."""
    parts = [
        pd.DataFrame({
            "variant": one.variant.key, "weight": np.arange(len(one.rate)), "gradient_rms": one.gradient,
            "rate": one.rate, "predicted": one.expected, "shown": one.kept,
        })
        for one in own
    ]  # fmt: skip
    left = [variant.key for variant in members if variant not in [one.variant for one in own]]
    empty = pd.DataFrame({"variant": left, "weight": np.nan, "gradient_rms": np.nan, "rate": np.nan,
                          "predicted": np.nan, "shown": False})  # fmt: skip
    return pd.concat([part for part in (*parts, empty) if len(part)], ignore_index=True)
