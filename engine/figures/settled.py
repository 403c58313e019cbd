"""Pictures and takeaways of the two views of page 2 that train an experiment of their own: equilibrium and box."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.averages import box, largest, side_name
from engine.charts.curves import CEILING, norm_curves
from engine.charts.picture import Picture
from engine.charts.settled import settled_curves
from engine.claims.norms import outside_theory
from engine.equilibrium import Motion, layer_norms, unsettled
from engine.figures.sentences import course, ends_of, figures_of, gone, sentence, tidy
from engine.probe import affordable
from engine.run import Run

HEIGHT = 260
"""Pixels of the height of the charts of one layer."""

LISTED = 4
"""Variants that are held against theory one by one; of more the extremes are said."""


def settled_pictures(run: Run, moved: list[Motion]) -> list[Picture]:
    """For each hidden layer its norm and, where the training is short enough to be taken again, how far a step turns
    it, with theory where it applies."""
    charts = (settled_picture, turn_picture)[: 1 + affordable(run.experiment)]
    return [chart(run, moved, layer) for layer in range(1, len(run.experiment.hidden) + 1) for chart in charts]


def settled_picture(run: Run, moved: list[Motion], layer: int) -> Picture:
    """The norm of a hidden layer's weights and biases together."""
    theory = {key: norm for key, (norm, _) in expected(run, moved, layer).items() if norm}
    return _picture(run, layer_norms(run)[layer - 1], theory, f"‖(W, b)‖ of layer {layer}")


def turn_picture(run: Run, moved: list[Motion], layer: int) -> Picture:
    """The angle by which a step turns a hidden layer."""
    theory = {key: float(np.degrees(turn)) for key, (_, turn) in expected(run, moved, layer).items() if turn}
    return _picture(run, turns_of(moved, layer), theory, f"Turn of layer {layer} a step, degrees")


def _picture(run: Run, values: dict[str, NDArray], theory: dict[str, float], title: str) -> Picture:
    return settled_curves(run.steps, values, theory, run.experiment.steps // 2, run.diverged, title, HEIGHT)


def turns_of(moved: list[Motion], layer: int) -> dict[str, NDArray]:
    """Degrees a step of every variant at the recorded steps."""
    return {motion.variant.key: np.degrees(motion.turns) for motion in moved if motion.layer == layer}


def expected(run: Run, moved: list[Motion], layer: int) -> dict[str, tuple[float | None, float | None]]:
    """Norm and turn (radians) of a layer by theory, of the variants that it applies to."""
    own = [motion for motion in moved if motion.layer == layer and unsettled(run, motion.variant) is None]
    return {motion.variant.key: motion.predicted for motion in own}


def settled_words(run: Run, moved: list[Motion], layer: int) -> str:
    """Where the norm of a layer settles, beside theory."""
    found = {m.variant.title: (m.norm, norm) for m, (norm, _) in _beside(run, moved, layer) if norm}
    if found:
        return _against_theory(f"‖(W, b)‖ of layer {layer}", _window(moved), found, gone(run))
    why = "no theory applies here" if affordable(run.experiment) else "theory needs a shorter training"
    calm = None in run.diverged.values()
    return course(run, f"‖(W, b)‖ of layer {layer}", layer_norms(run)[layer - 1], why if calm else "")


def turn_words(run: Run, moved: list[Motion], layer: int) -> str:
    """How far a step turns a layer, beside theory."""
    beside = _beside(run, moved, layer)
    found = {m.variant.title: (math.degrees(m.rotation), math.degrees(turn)) for m, (_, turn) in beside if turn}
    what = f"Degrees a step turns layer {layer}"
    if found:
        return _against_theory(what, _window(moved), found, gone(run))
    ends = {m.variant.title: math.degrees(m.rotation) for m, _ in beside}
    if not ends:
        return sentence(gone(run))
    low, high = (pick(ends, key=ends.__getitem__) for pick in (min, max))
    words = " to ".join(dict.fromkeys(f"{figures_of(ends[title])} ({title})" for title in (low, high)))
    return sentence(f"{what}, over {_window(moved)}: {words}", gone(run), "no theory applies here")


def _beside(run: Run, moved: list[Motion], layer: int) -> list[tuple[Motion, tuple[float | None, float | None]]]:
    theory = expected(run, moved, layer)
    return [(m, theory.get(m.variant.key, (None, None))) for m in moved if m.layer == layer]


def _window(moved: list[Motion]) -> str:
    first, last = moved[0].first, moved[0].last
    return f"steps {first:,} to {last:,}" if first < last else f"step {last:,}"


def _against_theory(what: str, window: str, found: dict[str, tuple[float, float]], *more: str) -> str:
    """A few measured values with their theory; of many the smallest and the largest ratio."""
    if len(found) <= LISTED:
        words = ", ".join(
            f"{t} {figures_of(value)} (theory {figures_of(theory)})" for t, (value, theory) in found.items()
        )
        return sentence(f"{what}, over {window}: {words}", *more)
    ratios = {title: value / theory for title, (value, theory) in found.items()}
    low, high = (pick(ratios, key=ratios.__getitem__) for pick in (min, max))
    words = f"{figures_of(ratios[low])} ({low}) to {figures_of(ratios[high])} ({high}) times what theory says"
    return sentence(f"{what}, over {window}: {words}, for {len(found)} variants", *more)


def settled_frame(run: Run, moved: list[Motion], layer: int) -> pd.DataFrame:
    """Norm of a layer at the recorded steps, and the norm by theory."""
    theory = {key: np.full(len(run.steps), norm) for key, (norm, _) in expected(run, moved, layer).items() if norm}
    return tidy(run, norm=layer_norms(run)[layer - 1], norm_by_theory=theory).assign(layer=layer)


def turn_frame(run: Run, moved: list[Motion], layer: int) -> pd.DataFrame:
    """Turn of a layer a step between the recorded steps, and the turn by theory."""
    length, known = len(run.steps), expected(run, moved, layer).items()
    theory = {key: np.full(length, math.degrees(turn)) for key, (_, turn) in known if turn}
    turns = {key: np.full(length, np.nan) for key in run.experiment.variants} | turns_of(moved, layer)
    return tidy(run, turn_degrees=turns, turn_degrees_by_theory=theory).assign(layer=layer)


# ---- the box ----------------------------------------------------------------------------------------------------


def box_picture(run: Run) -> Picture:
    """max|w| of the variants that have a box, and 1/λ beside it."""
    reached, sides = largest(run), sides_of(run)
    top = max((float(values.max()) for values in reached.values()), default=0.0)
    near = any(side[0] <= CEILING * top for side in sides.values())
    sizes = " and ".join(dict.fromkeys(side_name(v) for v in run.experiment.chosen if v.key in reached)) or "1/λ"
    far = "is" if " and " not in sizes else "are"
    title = f"max|w| of any weight; dashed: {sizes}" if near else f"max|w| of any weight; {sizes} {far} far above"
    return norm_curves(run.steps, reached, sides, run.diverged, title, 300, "max|w|")


def sides_of(run: Run) -> dict[str, NDArray]:
    """Half the side of the box at the recorded steps, inf without decay."""
    exp = run.experiment
    return {key: np.full(len(run.steps), box(exp, exp.chosen[run.row(key)])) for key in largest(run)}


def box_words(run: Run) -> str:
    """Who ends inside the box, and why somebody may not."""
    ends = ends_of(run, largest(run))
    plain = {key: _box_clause(run, key, last) for key, last in ends.items()}
    left = gone(run, among=largest(run))
    whole = sentence(*(f"{words}{_excuse(run, key)}" for key, words in plain.items()), left)
    return whole if all(words in whole for words in (*plain.values(), left)) else sentence(*plain.values(), left)


def _box_clause(run: Run, key: str, last: float) -> str:
    variant = run.experiment.chosen[run.row(key)]
    side, reached = box(run.experiment, variant), f"{variant.title} ends at max|w| = {figures_of(last)}"
    if not math.isfinite(side):
        return f"{reached}, and λ = 0 makes no box"
    return f"{reached}, {place_of(last, side)} {side_name(variant)} = {figures_of(side)}"


def place_of(last: float, side: float) -> str:
    """Where a largest weight is, with a hundredth for the edge."""
    return "inside" if last <= side else "at the edge of" if last <= 1.01 * side else "outside"


def _excuse(run: Run, key: str) -> str:
    """Why a variant outside the box was not promised to be inside, in parentheses."""
    variant = run.experiment.chosen[run.row(key)]
    outside = largest(run)[key][-1] > 1.01 * box(run.experiment, variant)
    why = outside_theory(run, key) if outside else None
    return f" ({why})" if why else ""


def box_frame(run: Run) -> pd.DataFrame:
    """The largest weight in size at the recorded steps, and half the side of the box."""
    return tidy(run, largest_weight=largest(run), box=sides_of(run))
