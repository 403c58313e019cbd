"""What page 3 says under its pictures: sentences of this run's numbers, without Streamlit."""

from __future__ import annotations

import numpy as np

from engine import Experiment
from engine.bayes import Posterior
from engine.bayes import plug_in as alone
from engine.bayes import predictive as averaged
from engine.charts.bayes import SHARES, grid_of
from engine.charts.picture import short
from engine.corrections import Journey, still_falls
from engine.evidence import Evidence, peak
from engine.networks import PriorDraws
from engine.prior import map_path, weight_decay_of
from engine.scene import Scene
from engine.sparse import Sparse


def predictive(view: Scene, belief: Posterior) -> list[str]:
    """How much less certain the average over the posterior is than the MAP."""
    points = grid_of(view.run)[2]
    low, _, high = SHARES
    one, many = (float(((p > low) & (p < high)).mean()) for p in (alone(belief, points), averaged(belief, points)))
    sure = float(np.abs(alone(belief, points) - averaged(belief, points)).max())
    return [
        f"**Left, one set of weights**: the MAP leaves {one:.0%} of this window between P = {low:g} and {high:g}. "
        f"**Right, all plausible weights**: averaged over the posterior it is {many:.0%}; the two differ by up to "
        f"{sure:.2f} in probability. The line P = 1/2 is the same in both, since the posterior's mean is the MAP.",
        "The posterior is Laplace's: a Gaussian around the MAP over (w₁, w₂, b) with the curvature of the loss and of "
        "the prior. Then every logit is Gaussian, and the average at each point is one integral, done numerically.",
    ]


def networks(drawn: PriorDraws, asked: Experiment) -> list[str]:
    """What σ does to the functions, as measured on the draws."""
    n = asked.points
    decays = ", ".join(f"{weight_decay_of(float(s), n):.2g}" for s in drawn.sigmas)
    steeper, longer = drawn.slope[-1] / max(drawn.slope[0], 1e-300), drawn.length[-1] / max(drawn.length[0], 1e-300)
    low, high = drawn.sigmas[0], drawn.sigmas[-1]
    lines = [
        f"No data yet: every weight and bias of these networks is drawn from N(0, σ²). From σ = {low:g} to {high:g} "
        f"the mean slope of the logit grows {short(steeper)} times and the line P = 1/2 becomes {short(longer)} times "
        f"as long (means of {drawn.count} draws; lengths in units of standardised x)."
    ]
    if asked.hidden and longer > 1.2:
        lines[0] += " **Small weights are smooth functions**: that is what the penalty prefers before it sees a point."
    elif not asked.hidden:
        lines[0] += " Without a hidden layer every line is straight, and σ only sets how steep the field is."
    else:
        lines[0] += " For this network σ sets how steep the field is, and hardly the shape of the line."
    lines.append(f"With N = {n} points these σ stand for λ = 1/(Nσ²) = {decays}, if biases were penalised too.")
    if asked.layer_norm:
        lines.append("LayerNorm's gain is 1 and its shift 0 here; it undoes the scale of the weights before it.")
    return lines


def width(view: Scene, found: Evidence) -> list[str]:
    """The best σ, what the current one loses, and how good Laplace's approximation is."""
    data, n = view.run.data, len(view.run.data.y_train)
    sigma, top, inside = peak(found.sigmas, found.logistic)
    lines = []
    if inside:
        lam = weight_decay_of(sigma, n)
        line = f"**The logistic evidence is highest at σ = {short(sigma)}**, that is λ = 1/(Nσ²) = {lam:.2g}."
    elif sigma == found.sigmas[0]:
        line = "**The logistic evidence is highest at the smallest σ**: these points say nothing for a line at all."
    elif not view.mle.finite:
        line = (
            "**The logistic evidence still rises at the largest σ**: a line separates the classes, and with a flat "
            "intercept ever larger weights explain the labels ever better."
        )
    else:
        line = "**The logistic evidence still rises at the largest σ.**"
    if np.isfinite(view.sigma):
        lost = top - float(np.interp(np.log(view.sigma), np.log(found.sigmas), found.logistic))
        less = f"e^{lost:.2g} = {np.exp(lost):.3g}" if lost < 14 else f"e^{lost:.0f}"
        line += f" Under the current σ = {short(view.sigma)} the labels are {less} times less probable."
    lines.append(line)
    path = map_path(data.x_train, data.y_train, 1 / (n * np.append(found.sigmas, sigma) ** 2))
    losses = np.logaddexp(0, (1 - 2 * data.y_test) * (path[:, :2] @ data.x_test.T + path[:, 2:])).mean(axis=1)
    best = int(np.argmin(losses[:-1]))
    lines.append(
        f"No test point was used. On the {len(data.y_test):,} test points the MAP at that σ has loss {losses[-1]:.3f}; "
        f"the best of all σ is {losses[best]:.3f}, at σ = {short(float(found.sigmas[best]))}."
    )
    exact = np.interp(np.log(found.checked), np.log(found.sigmas), found.logistic)
    worst = float(np.abs(exact - found.integrated).max())
    lines.append(
        f"Left is Laplace's approximation; integrated numerically (rings) it differs by up to {worst:.2g} nats. "
        "Right is exact: linear regression on the same points with targets ±1 and noise "
        f"s = {found.noise:.2f}, the deviation of the least-squares residuals, taken as known; there σ stands for "
        "λ = s²/(Nσ²). A flat prior on the intercept leaves the level of both curves open, so only differences count."
    )
    return lines


def laplace(view: Scene, found: Sparse) -> list[str]:
    """Where the L1 path has exact zeros, and that the L2 path has none."""
    parts = [
        f"{name} is exactly 0 from about λ = {short(float(v)) if v >= 0.01 else f'{v:.2g}'}"
        for name, v in zip(("w₁", "w₂"), found.zero_from, strict=True)
        if np.isfinite(v)
    ]
    least = float(np.abs(found.gauss[0, :2]).min())
    lines = [
        "**A Laplace prior, p(w) ∝ exp(−Nλ(|w₁| + |w₂|)), sets weights to exactly zero**: " + ", ".join(parts) + ". "
        f"Under the Gaussian prior no weight is; at λ = {found.weight_decays[0]:.2g} the smaller one is still "
        f"{least:.2g}."
    ]
    if found.here is not None:
        zeros = int((found.here[:2] == 0).sum())
        count = {0: "no weight is zero", 1: "one of the two weights is zero", 2: "both weights are zero"}[zeros]
        lines.append(
            f"At the current λ = {view.weight_decay:g}, {count} under L1. The dashed diamond and circle are the sets "
            "of equal prior through the two MAPs: the diamond has corners on the axes, where the likelihood meets it."
            if zeros
            else f"At the current λ = {view.weight_decay:g}, {count} under L1. The dashed diamond and circle are the "
            "sets of equal prior through the two MAPs; raise λ until the path meets a corner of the diamond."
        )
    lines.append("The same λ is not the same strength: one penalty is λ‖w‖₁, the other λ/2·‖w‖². b is free in both.")
    return lines


def ends(found: Journey, view: Scene) -> list[str]:
    """Who reaches the MAP, when, and where the others go instead."""
    run, last = found.run, int(found.steps[-1])
    exp, lam = run.experiment, view.weight_decay
    lines = []
    for variant in exp.chosen:
        values, where = found.to_map[variant.key], found.to_own.get(variant.key)
        title = f"**{variant.title}**"
        if run.diverged[variant.key] is not None:
            lines.append(f"{title} diverged at step {run.diverged[variant.key]:,}.")
        elif variant.where == "gradient":
            arrived = "is on its way to the MAP"
            if exp.batch < exp.points:
                arrived = "is kept jittering by its minibatches"
            elif not still_falls(values):
                arrived = "**does not settle at this η**, its distance from the MAP no longer falls"
            if values[-1] <= 1e-3:
                step = _settled(found.steps, values)
                arrived = f"**ends at the MAP**: it is within 0.001 of it from step {step:,} on"
            lines.append(f"{title} {arrived}, and {_away(values[-1])} away at step {last:,}.")
        else:
            line = f"{title} is **not at the MAP**, but {_away(values[-1])} away, after {last:,} steps"
            if values[-1] <= 1e-3:
                line = f"{title} is {_away(values[-1])} away from the MAP here after {last:,} steps"
            closest = int(np.argmin(values))
            if variant.adaptive and values[closest] < 0.5 * values[-1]:
                line += f" (it passed by at {_away(values[closest])}, step {int(found.steps[closest]):,})"
            if where is not None and variant.has_momentum:
                line += f"; from the MAP at **(1 − μ)λ** = {(1 - exp.momentum) * lam:.2g} it is {_away(where[-1])} away"
            elif where is not None:
                line += (
                    f"; it is {_away(where[-1])} away from the least data loss in the box of weights up to 1/λ = "
                    f"{1 / lam:.3g}, where full-batch AdamW goes if it converges (arXiv 2404.04454)"
                )
            lines.append(line + ".")
    if lam == 0:
        lines.append("At λ = 0 there is no prior, and all rules are after the same MLE.")
    elif exp.momentum == 0:
        lines.append("At μ = 0 the two points are one: SGDW is SGD + L2 only there.")
    if exp.batch < exp.points:
        lines.append("With minibatches nobody arrives: the noise of the gradients keeps the weights moving.")
    lines.append(
        f"All of them start at the same weights and train {last:,} steps at a constant η, whatever the sidebar's steps "
        "and schedule. Distances are in (w₁, w₂, b)."
    )
    return ["\n".join(f"- {line}" for line in lines)]


def _away(value: float) -> str:
    """A distance: two digits, tiny ones as a power of ten."""
    return f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}"


def _settled(steps: np.ndarray, values: np.ndarray) -> int:
    """The first recorded step from which on a distance stays within 0.001, where it does in the end."""
    beyond = np.flatnonzero(values > 1e-3)
    return int(steps[beyond[-1] + 1]) if beyond.size else int(steps[0])
