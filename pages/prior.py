"""Page 3, Gaussian prior: decay as a belief about the weights, in a model small enough to draw."""

import numpy as np
import streamlit as st

from engine import VARIANTS, Experiment
from engine.charts.picture import short
from engine.charts.prior import data_space, weight_space
from engine.prior import Fit
from engine.scene import Scene, scene, two_weight
from pages import _controls, _ui


def body(experiment: Experiment) -> None:
    _controls.prior_bar(experiment)
    run = _ui.trained(experiment)
    view = _ui.shared("scene", run, lambda: scene(run))
    _ui.play(run, "prior", lambda: [weight_space(view), data_space(view)], fields=False)
    for line in story(view):
        st.markdown(line)
    st.markdown(table(view))
    _ui.downloads({"Weight space": lambda theme: weight_space(view), "Data space": lambda theme: data_space(view)})
    _ui.rules(run)


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


_ui.page("What does λ believe about the weights?", body, two_weight)
