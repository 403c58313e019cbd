"""Page 2, Weight norms: what decay does to the size of weights, with theory beside it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import streamlit as st

from engine import Experiment, Run
from engine.averages import averages, box, boxed, largest, side_name
from engine.charts import Picture
from engine.charts.curves import CEILING, norm_curves
from engine.charts.settled import settled_curves
from engine.charts.weights import weight_histogram, weight_paths
from engine.claims import norms as claims
from engine.equilibrium import Motion, layer_norms, motions, settling, unsettled
from engine.measure import free_decay_curves, histogram, layer_series, weight_trajectories
from engine.probe import affordable
from pages import _norms_words as words
from pages import _ui

T = TypeVar("T")
VIEWS: dict[str, str] = {
    "layers": "By layer",
    "weights": "Single weights",
    "histogram": "Histogram",
    "settled": "Equilibrium (LayerNorm)",
    "box": "Box ±1/λ",
}
SEEN: dict[str, Callable[[Experiment], Experiment]] = {"settled": settling, "box": boxed}
"""What a view makes of the shared experiment."""

CLAIMS = {
    "settled": [claims.norm_settles, claims.rotation_settles, claims.scale_does_not_matter],
    "box": [claims.weights_in_box, claims.free_decay_factor],
}
LAYER = 260
"""Pixels of the height of the smaller charts."""


def body(experiment: Experiment) -> None:
    view = st.segmented_control(
        "Below the norms, show", list(VIEWS), format_func=VIEWS.__getitem__, default="layers", key="view"
    )
    view = view or "layers"
    seen = SEEN.get(view, lambda exp: exp)(experiment)
    if seen != experiment:
        st.caption(words.changed(seen, experiment))
    run = _ui.trained(seen)

    def norms(theme: str = "light") -> Picture:
        title = "‖w‖ over training; dashed: decay alone"
        theory = free_decay_curves(run) if view != "settled" else {}
        return norm_curves(run.steps, run.series("weight_norm"), theory, run.diverged,
                           title if theory else "‖w‖ over training", 330, marks=words.marks(run))  # fmt: skip

    replays = view == "settled" and affordable(run.experiment)
    late = (lambda: [norms(), *details(run, view)]) if replays else None
    first = (lambda: [norms(), *unmeasured(run)]) if late else (lambda: [norms(), *details(run, view)])
    _ui.play(run, f"norms {view}", first, fields=False, late=late)
    for line in words.story(run, view):
        st.markdown(line)
    if view == "settled":
        for line in words.settled(run, found(run)):
            st.markdown(line)
    shown = {"Norms": norms}
    for i in range(_count(run, view)):
        shown[f"{VIEWS[view]} {i + 1}"] = partial(detail, run, view, i)
    _ui.downloads(shown)
    if view != "settled" and affordable(run.experiment):
        _ui.replayed("averages", run, averages)  # what the claims ask for, where a newer move can end it
    _ui.measured(run, CLAIMS.get(view, [claims.free_decay_factor, claims.ema_view]))
    _ui.rules(run.experiment)


def _count(run: Run, view: str) -> int:
    layers = len(run.experiment.hidden)
    counts = {"layers": layers + 1, "settled": (1 + affordable(run.experiment)) * layers, "box": 1}
    return counts.get(view, len(run.experiment.variants))


def detail(run: Run, view: str, i: int, theme: str = "light") -> Picture:
    return details(run, view)[i]


def details(run: Run, view: str) -> list[Picture]:
    """The charts under the norms."""
    if view == "layers":
        return [
            norm_curves(run.steps, series, {}, run.diverged, f"‖W‖ of layer {number}", LAYER, "‖W‖")
            for number, series in enumerate(layer_series(run), 1)
        ]
    if view == "settled":
        return settled(run, found(run))
    if view == "box":
        return [boxes(run)]
    if view == "weights":
        paths, reach = weight_trajectories(run)
        return [weight_paths(paths, reach, key) for key in run.experiment.variants]
    shares = histogram(run)
    top = float(shares[shares.step > 0].share.max())
    return [weight_histogram(shares, key, top) for key in run.experiment.variants]


def boxes(run: Run) -> Picture:
    """max|w| of the variants that have a box, and 1/λ beside it."""
    reached = largest(run)
    sides = {key: np.full(len(run.steps), box(run.experiment, run.experiment.chosen[run.row(key)])) for key in reached}
    top = max((float(values.max()) for values in reached.values()), default=0.0)
    near = any(side[0] <= CEILING * top for side in sides.values())
    sizes = " and ".join(dict.fromkeys(side_name(v) for v in run.experiment.chosen if v.key in reached)) or "1/λ"
    far = "is" if " and " not in sizes else "are"
    title = f"max|w| of any weight; dashed: {sizes}" if near else f"max|w| of any weight; {sizes} {far} far above"
    return norm_curves(run.steps, reached, sides, run.diverged, title, 300, "max|w|")


# ---- the equilibrium -------------------------------------------------------------------------------------------


def found(run: Run) -> list[Motion]:
    """The motion of the layers."""
    return _ui.replayed("motions", run, motions)


def settled(run: Run, moved: list[Motion]) -> list[Picture]:
    """For each hidden layer its norm and, where the training is short enough to be taken again, how far a step turns
    it, with theory where it applies."""
    pictures = []
    since = run.experiment.steps // 2
    for number, norms in enumerate(layer_norms(run), 1):
        layer = {motion.variant.key: motion for motion in moved if motion.layer == number}
        turns = {key: np.degrees(motion.turns) for key, motion in layer.items()}
        theory: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for key, motion in layer.items():
            if unsettled(run, motion.variant) is None:
                norm, turn = motion.predicted
                theory[0].update({key: norm} if norm else {})
                theory[1].update({key: float(np.degrees(turn))} if turn else {})
        titles = f"‖(W, b)‖ of layer {number}", f"Turn of layer {number} a step, degrees"
        shown = list(zip((norms, turns), theory, titles, strict=True))[: 1 + affordable(run.experiment)]
        for values, expected, title in shown:
            pictures.append(settled_curves(run.steps, values, expected, since, run.diverged, title, LAYER))
    return pictures


def unmeasured(run: Run) -> list[Picture]:
    """The same charts before the replay: norms without theory, turns as they were on screen."""
    pictures = settled(run, [])
    for i, picture in enumerate(pictures):
        kept = {"curves", "labels", "cursor"} if i % 2 == 0 else {"cursor"}
        pictures[i] = replace(picture, data={name: rows for name, rows in picture.data.items() if name in kept})
    return pictures


_ui.page("What holds the weights down?", body)
