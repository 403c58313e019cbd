"""Page 3, Gaussian prior: decay as a belief about the weights, in a model small enough to draw."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from engine import VARIANTS, Experiment, Run
from engine.charts.bayes import plug_in_field, predictive_field
from engine.charts.corrections import distance_curves
from engine.charts.evidence import linear_evidence, logistic_evidence
from engine.charts.networks import prior_networks
from engine.charts.picture import Picture, short
from engine.charts.prior import data_space, weight_space
from engine.charts.sparse import coefficients, two_paths
from engine.claims import prior as claims
from engine.corrections import far_beyond
from engine.figures import Shot
from engine.figures.prior_views import belief_of, draws_of, evidence_of, journey_of, other_ends, shape_of, sparse_of
from engine.prior import Fit
from engine.run import architecture_of
from engine.scene import Scene, scene, two_weight
from pages import _controls, _exports, _ui
from pages import _prior_words as words


def body(experiment: Experiment) -> None:
    _controls.prior_bar(experiment)
    titles = {key: title for key, (title, _) in VIEWS.items()}
    if asked := SHOWN_IN.get(_controls.opened_with().get("figure", "")):
        st.session_state.prior_view = asked
    chosen = st.segmented_control("Show", list(titles), format_func=titles.__getitem__, default="fit", key="prior_view")
    run = _ui.trained(far_beyond(experiment) if chosen == "ends" else experiment)
    _, view = VIEWS[chosen or "fit"]
    view(run, _ui.shared("scene", run, lambda: scene(run)))
    _ui.rules(run.experiment)


def fit(run: Run, view: Scene) -> None:
    """Weight space and data space, with the real trainings as a film."""
    _ui.play(run, "prior", lambda: [weight_space(view), data_space(view)], fields=False)
    say(story(view))
    st.markdown(table(view))
    export("fit")
    _ui.measured(run, [claims.map_is_sklearn, claims.penalty_ends_at_map, claims.momentum_ends_at_less])


def predictive(run: Run, view: Scene) -> None:
    """What the MAP predicts beside what the whole posterior does."""
    try:
        belief = belief_of(view)
    except ValueError as error:
        st.info(str(error))
        return
    still(
        run,
        "predictive",
        "predictive",
        [partial(plug_in_field, run, belief), partial(predictive_field, run, belief)],
        words.predictive(view, belief),
    )
    _ui.measured(run, [claims.predictive_is_average])


def networks(run: Run, view: Scene) -> None:
    """Networks of the sidebar's shape, drawn from priors of several widths."""
    asked = st.session_state.experiment
    shape = architecture_of(asked)
    drawn = _ui.shared(f"networks {shape}", run, lambda: draws_of(asked, run))
    still(
        run,
        "networks",
        f"networks {shape}",
        [partial(prior_networks, drawn, shape_of(asked))],
        words.networks(drawn, asked),
    )


def width(run: Run, view: Scene) -> None:
    """Evidence over σ, for the logistic and for the linear model."""
    found = _ui.shared("evidence", run, lambda: evidence_of(view))
    if isinstance(found, str):
        st.info(found)
        return
    still(
        run,
        "evidence",
        "evidence",
        [partial(logistic_evidence, found, view.sigma), partial(linear_evidence, found, view.sigma)],
        words.width(view, found),
    )
    _ui.measured(run, [claims.linear_evidence_is_exact, claims.peak_is_mackays])


def laplace(run: Run, view: Scene) -> None:
    """The L1 penalty's path beside the L2 penalty's."""
    found = _ui.shared("sparse", run, lambda: sparse_of(view))
    if isinstance(found, str):
        st.info(found)
        return
    still(
        run,
        "l1",
        "sparse",
        [partial(two_paths, view, found), partial(coefficients, found, view.weight_decay)],
        words.laplace(view, found),
    )
    _ui.measured(run, [claims.l1_slopes])


def ends(run: Run, view: Scene) -> None:
    """The same optimizers, trained far longer: who reaches the MAP."""
    if not view.map.finite:
        st.info(view.map.why)
        return
    found = _ui.shared("journey", run, lambda: journey_of(run))
    _ui.play(
        run,
        "ends",
        lambda: [distance_curves(found), weight_space(view, other_ends(found)), data_space(view)],
        fields=False,
    )
    say(words.ends(found, view))
    export("ends")
    _ui.measured(run, [claims.map_is_sklearn, claims.penalty_ends_at_map, claims.momentum_ends_at_less])


def still(run: Run, view: str, name: str, pictures: list[Callable[[], Picture]], lines: list[str]) -> None:
    """Show pictures that do not follow the training, so without its slider; say what they show, offer them as files."""
    last = replace(run, steps=run.steps[-1:], film=run.film[-1:])
    _ui.play(last, name, lambda: [make() for make in pictures], fields=False)
    say(lines)
    export(view)


def export(view: str) -> None:
    """The figures of a view as files."""
    shared = st.session_state.experiment
    shots = [Shot(f"prior.{name}", shared) for name, shown_in in SHOWN_IN.items() if shown_in == view]
    _exports.exports(shots)


def say(lines: list[str]) -> None:
    for line in lines:
        st.markdown(line)


def story(view: Scene) -> list[str]:
    """What this λ means as a prior, and where each optimizer really ended."""
    n, lam = len(view.run.data.y_train), view.weight_decay
    lines = []
    if lam > 0:
        lines.append(
            f"With N = {n} points, λ = {lam:g} is the belief w ~ N(0, σ²I) with **σ = 1/√(λN) = {view.sigma:.3g}** "
            "(orange circles: σ and 2σ). The most probable weights after seeing the data are the MAP, between the "
            "likelihood's best and zero; the bold ellipses are 1 and 2 deviations of the posterior (Laplace)."
        )
    else:
        lines.append("λ = 0 is no prior (σ = ∞): the MAP is the MLE.")
    lines += [fit.why for fit in (view.mle, view.map) if not fit.finite][:1]
    if "adamw" in view.trails and view.map.finite and lam > 0:
        away = np.linalg.norm(view.trails["adamw"][-1, :2] - view.map.w)
        lines.append(
            f"**AdamW's end point is not the MAP** in general: it is {away:.2g} away from it here. At full batch it "
            f"goes where the data loss is least among weights of size at most 1/λ = {1 / lam:.3g} (arXiv 2404.04454)."
        )
        if view.run.experiment.momentum > 0:
            lines.append(
                "**Nor is it the end of SGDW with momentum**, which goes to the MAP at (1 − μ)λ = "
                f"{(1 - view.run.experiment.momentum) * lam:.2g}: choose “Who reaches the MAP” above."
            )
    if view.run.experiment.batch < n:
        lines.append("With minibatches the paths keep jittering around where they would go, so distances stay larger.")
    return lines


def table(view: Scene) -> str:
    """The fits as numbers, beside scikit-learn's and the real trainings."""
    lam, n = view.weight_decay, len(view.run.data.y_train)
    rows = [("MLE", view.mle), ("**MAP**", view.map)]
    if lam > 0:
        rows.append((f"scikit-learn, `LogisticRegression(C=1/(λN) = {1 / (lam * n):.4g})`", view.sklearn))
    for key, trail in view.trails.items():
        end, where = trail[-1], f"at step {view.run.steps[-1]:,}"
        if view.run.diverged[key] is not None:
            where = f"diverged at step {view.run.diverged[key]:,}"
        rows.append((f"{VARIANTS[key].title} {where}", Fit(end[:2], float(end[2]), True, "")))
    lines = ["| | w₁ | w₂ | b | distance to the MAP |", "|---|--:|--:|--:|--:|"]
    for name, fit in rows:
        distance = np.hypot(*(fit.w - view.map.w))
        shown = f"{distance:.1e}" if fit.finite and view.map.finite and fit is not view.map else "–"
        numbers = [short(v) for v in (*fit.w, fit.b)] if fit.finite else ["not finite", "", ""]
        lines.append(f"| {name} | {numbers[0]} | {numbers[1]} | {numbers[2]} | {shown} |")
    return "\n".join(lines)


VIEWS: dict[str, tuple[str, Callable[[Run, Scene], None]]] = {
    "fit": ("Fit", fit),
    "predictive": ("Predictive", predictive),
    "networks": ("Drawn from the prior", networks),
    "evidence": ("Evidence over σ", width),
    "l1": ("L1 for contrast", laplace),
    "ends": ("Who reaches the MAP", ends),
}
"""Views of the page: title, and what draws it from the page's run and its scene."""

SHOWN_IN = {
    "weights": "fit",
    "data": "fit",
    "plug_in": "predictive",
    "averaged": "predictive",
    "networks": "networks",
    "evidence": "evidence",
    "linear_evidence": "evidence",
    "paths": "l1",
    "coefficients": "l1",
    "distance": "ends",
    "weights_long": "ends",
    "data_long": "ends",
}
"""The view of each figure, in the order in which the view shows them."""

_ui.page("What does λ believe about the weights?", body, two_weight)
