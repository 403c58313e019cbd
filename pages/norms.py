"""Page 2, Weight norms: what decay does to the size of weights, with theory beside it."""

from functools import partial

import streamlit as st

from engine import Experiment, Run
from engine.charts import Picture
from engine.charts.curves import norm_curves
from engine.charts.picture import short
from engine.charts.weights import weight_histogram, weight_paths
from engine.measure import free_decay_curves, histogram, layer_series, weight_trajectories
from pages import _ui

VIEWS: dict[str, str] = {"layers": "By layer", "weights": "Single weights", "histogram": "Histogram"}


def body(experiment: Experiment) -> None:
    run = _ui.trained(experiment)

    def norms(theme: str = "light") -> Picture:
        title = "‖w‖ over training; dashed: decay alone"
        return norm_curves(
            run.steps, run.series("weight_norm"), free_decay_curves(run), run.diverged, title, height=330
        )

    view = st.segmented_control(
        "Below the norms, show", list(VIEWS), format_func=VIEWS.__getitem__, default="layers", key="view"
    )
    view = view or "layers"
    _ui.play(run, f"norms {view}", lambda: [norms(), *details(run, view)], fields=False)
    for line in story(run):
        st.markdown(line)
    shown = {"Norms": norms}
    for i in range(_count(run, view)):
        shown[f"{VIEWS[view]} {i + 1}"] = partial(detail, run, view, i)
    _ui.downloads(shown)
    _ui.rules(run)


def _count(run: Run, view: str) -> int:
    return len(run.experiment.hidden) + 1 if view == "layers" else len(run.experiment.variants)


def detail(run: Run, view: str, i: int, theme: str = "light") -> Picture:
    return details(run, view)[i]


def details(run: Run, view: str) -> list[Picture]:
    """The charts under the norms."""
    if view == "layers":
        return [
            norm_curves(run.steps, series, {}, run.diverged, f"‖W‖ of layer {number}", height=230)
            for number, series in enumerate(layer_series(run), 1)
        ]
    if view == "weights":
        paths, reach = weight_trajectories(run)
        return [weight_paths(paths, reach, key) for key in run.experiment.variants]
    shares = histogram(run)
    top = float(shares[shares.step > 0].share.max())
    return [weight_histogram(shares, key, top) for key in run.experiment.variants]


def story(run: Run) -> list[str]:
    """Norms of this run in words, and what the dashed line is."""
    start = run.metrics["weight_norm"][0, 0]
    ends = dict(zip(run.experiment.chosen, run.metrics["weight_norm"][-1], strict=True))
    free = {v: n for v, n in ends.items() if v.where == "none"}
    held = {v: n for v, n in ends.items() if v.where != "none"}
    lines = [f"All variants start at ‖w‖ = {short(start)}, from the same weights."]
    if free:
        lines[0] += " Without decay: " + ", ".join(f"{v.title} ends at {short(n)}" for v, n in free.items()) + "."
    if held:
        lines[0] += " With it: " + ", ".join(f"{v.title} {short(n)}" for v, n in held.items()) + "."
    if any(v.where == "weight" for v in held):
        lines.append(
            "The dashed line is decay alone, ‖w₀‖ · |1 − ηλ|ᵗ: where the norm would go if the data never pushed. "
            "The gap above it is what the gradient of the data wins back at every step."
        )
    return lines


_ui.page("What holds the weights down?", body)
