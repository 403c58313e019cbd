"""Page 2, Weight norms: what decay does to the size of weights, with theory beside it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import streamlit as st

from engine import Experiment, Run
from engine.averages import averages, boxed
from engine.charts import Picture
from engine.charts.weights import weight_paths
from engine.claims import norms as claims
from engine.equilibrium import Motion, motions, settling
from engine.figures import FIGURES, Shot
from engine.figures.figure import shot_of
from engine.figures.norms import histogram_picture, layer_picture, norm_picture
from engine.figures.settled import box_picture, settled_pictures
from engine.measure import histogram, layer_series, weight_trajectories
from engine.probe import affordable
from pages import _controls, _exports, _ui
from pages import _norms_words as words

T = TypeVar("T")
VIEWS: dict[str, str] = {
    "layers": "By layer",
    "weights": "Single weights",
    "histogram": "Histogram",
    "settled": "Equilibrium (LayerNorm)",
    "box": "Box ±1/λ",
}
VIEW_OF = {"turns": "settled"} | {view: view for view in VIEWS}
"""The view that shows a figure, by its name in links."""

SEEN: dict[str, Callable[[Experiment], Experiment]] = {"settled": settling, "box": boxed}
"""What a view makes of the shared experiment."""

CLAIMS = {
    "settled": [claims.norm_settles, claims.rotation_settles, claims.scale_does_not_matter],
    "box": [claims.weights_in_box, claims.free_decay_factor],
}


def body(experiment: Experiment) -> None:
    if (asked := _controls.opened_with().get("figure")) in VIEW_OF:
        st.session_state.view = VIEW_OF[asked]
    view = st.segmented_control(
        "Below the norms, show", list(VIEWS), format_func=VIEWS.__getitem__, default="layers", key="view"
    )
    view = view or "layers"
    seen = SEEN.get(view, lambda exp: exp)(experiment)
    if seen != experiment:
        st.caption(words.changed(seen, experiment))
    run = _ui.trained(seen)

    def norms(theme: str = "light") -> Picture:
        return norm_picture(run, theory=view != "settled")

    replays = view == "settled" and affordable(run.experiment)
    late = (lambda: [norms(), *details(run, view)]) if replays else None
    first = (lambda: [norms(), *unmeasured(run)]) if late else (lambda: [norms(), *details(run, view)])
    _ui.play(run, f"norms {view}", first, fields=False, late=late)
    for line in words.story(run, view):
        st.markdown(line)
    if view == "settled":
        for line in words.settled(run, found(run)):
            st.markdown(line)
    _exports.exports([Shot("norms.norms", seen), *shots(st.session_state.experiment, view)])
    if view != "settled" and affordable(run.experiment):
        _ui.replayed("averages", run, averages)  # what the claims ask for, where a newer move can end it
    _ui.measured(run, CLAIMS.get(view, [claims.free_decay_factor, claims.ema_view]))
    _ui.rules(run.experiment)


def shots(experiment: Experiment, view: str) -> list[Shot]:
    """The charts under the norms, as links name them."""
    if view == "box":
        return [Shot("norms.box", experiment)]
    names = ("settled", "turns")[: 1 + affordable(settling(experiment))] if view == "settled" else (view,)
    parts = FIGURES[f"norms.{names[0]}"].options["part"](experiment)
    return [shot_of(f"norms.{name}", experiment, part=part) for part in parts for name in names]


def details(run: Run, view: str) -> list[Picture]:
    """The charts under the norms."""
    keys = run.experiment.variants
    if view == "layers":
        return [layer_picture(run, layer, series) for layer, series in enumerate(layer_series(run), 1)]
    if view == "settled":
        return settled_pictures(run, found(run))
    if view == "box":
        return [box_picture(run)]
    if view == "weights":
        paths, reach = weight_trajectories(run)
        return [weight_paths(paths, reach, key) for key in keys]
    shares = histogram(run)
    return [histogram_picture(shares, key) for key in keys]


# ---- the equilibrium -------------------------------------------------------------------------------------------


def found(run: Run) -> list[Motion]:
    """The motion of the layers."""
    return _ui.replayed("motions", run, motions)


def unmeasured(run: Run) -> list[Picture]:
    """The same charts before the replay: norms without theory, turns as they were on screen."""
    pictures = settled_pictures(run, [])
    for i, picture in enumerate(pictures):
        kept = {"curves", "labels", "cursor"} if i % 2 == 0 else {"cursor"}
        pictures[i] = replace(picture, data={name: rows for name, rows in picture.data.items() if name in kept})
    return pictures


_ui.page("What holds the weights down?", body)
