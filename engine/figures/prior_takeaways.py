"""What page 3's figures show, in a sentence each with the numbers of the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bayes import Posterior
from engine.bayes import plug_in as alone
from engine.bayes import predictive as average
from engine.charts.bayes import SHARES, grid_of
from engine.corrections import Journey
from engine.evidence import Evidence, peak
from engine.figures.figure import number
from engine.networks import PriorDraws
from engine.prior import weight_decay_of
from engine.run import Run
from engine.scene import Scene
from engine.sparse import Sparse
from engine.variants import VARIANTS

VISIBLE = 1e-9
"""A MAP with smaller weights has no line P = 1/2 on the picture."""

FEW = 14.0
"""Nats up to which a ratio of probabilities is said as a number, beyond as a power of e."""


def weights(view: Scene) -> str:
    """What σ the λ stands for, and how far it draws the weights in."""
    if not view.map.finite:
        return view.map.why
    here = number(length(view.map.w))
    if view.weight_decay == 0:
        return f"λ = 0 is no prior (σ = ∞): the MAP is the MLE, at ‖w‖ = {here}."
    far = f"‖w‖ = {number(length(view.mle.w))} (MLE)" if view.mle.finite else "infinity (no finite MLE)"
    return (
        f"λ = {view.weight_decay:g} with N = {len(view.run.data.y_train):,} points is a prior of σ = "
        f"{number(view.sigma)}: it draws the best weights in from {far} to ‖w‖ = {here} (MAP)."
    )


def length(w: NDArray) -> float:
    """‖w‖."""
    return float(np.linalg.norm(w))


def data(view: Scene) -> str:
    """How sharply the MAP's line divides, and which training's line is turned from it most."""
    if not view.map.finite:
        return view.map.why
    size = length(view.map.w)
    if size < VISIBLE:
        return "The MAP's weights are 0: it says the same everywhere and has no line P = 1/2."
    line = f"The MAP rises from P = 0.1 to 0.9 over {number(2 * np.log(9) / size)} units of x"
    turned = {key: turn(trail[-1, :2], view.map.w) for key, trail in view.trails.items() if calm(view.run, key)}
    if not turned:
        return f"{line}; every training diverged."
    most = max(turned, key=turned.__getitem__)
    among = f"the most of {len(turned)} trainings" if len(turned) > 1 else "as the only one"
    gone = " that did not diverge" if len(turned) < len(view.trails) else ""
    return (
        f"{line}; {after(view.run.steps[-1])} the line of {VARIANTS[most].title} is turned from it by "
        f"{_degrees(turned[most])}, {among}{gone}."
    )


def _degrees(angle: float) -> str:
    if angle < 0.01:
        return "less than 0.01°"
    return f"{angle:.2g}°" if angle < 99.5 else f"{angle:.0f}°"


def after(steps: int) -> str:
    """The end of a training."""
    return f"after {steps:,} {'step' if steps == 1 else 'steps'}"


def listed(names: list[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def turn(w: NDArray, other: NDArray) -> float:
    """The angle between two vectors (2,), in degrees."""
    across = w[0] * other[1] - w[1] * other[0]
    return float(np.degrees(np.arctan2(abs(across), w @ other)))


def calm(run: Run, key: str) -> bool:
    """Whether a training did not diverge."""
    return run.diverged[key] is None


def plug_in(run: Run, belief: Posterior) -> str:
    """How much of the window the MAP alone is unsure about."""
    share = unsure(alone(belief, grid_of(run)[2]))
    return (
        f"The MAP alone leaves {share:.0%} of the window between P = {SHARES[0]:g} and {SHARES[-1]:g}; it is at least "
        f"{SHARES[-1]:.0%} sure of the other {1 - share:.0%}."
    )


def averaged(run: Run, belief: Posterior) -> str:
    """How much more of it the average over the posterior is unsure about."""
    points = grid_of(run)[2]
    one, many = alone(belief, points), average(belief, points)
    return (
        f"Averaged over the posterior, {unsure(many):.0%} of the window lies between P = {SHARES[0]:g} and "
        f"{SHARES[-1]:g}, for the MAP alone {unsure(one):.0%}; the two differ by up to {np.abs(one - many).max():.2g} "
        "in P."
    )


def unsure(p: NDArray) -> float:
    """The share of probabilities between the outer two of SHARES."""
    return float(((p > SHARES[0]) & (p < SHARES[-1])).mean())


def networks(drawn: PriorDraws, shape: str) -> str:
    """What σ does to the functions."""
    steeper, longer = (
        number(values[-1] / values[0]) if values[0] > 0 else "" for values in (drawn.slope, drawn.length)
    )
    said = [f"the logit becomes {steeper} times as steep"] * bool(steeper)
    said += [f"the line P = 1/2 becomes {longer} times as long"] * bool(longer)
    low, high = drawn.sigmas[0], drawn.sigmas[-1]
    if not said:
        return f"At σ = {low:g} all {drawn.count} networks {shape} are flat."
    return f"From σ = {low:g} to {high:g} {' and '.join(said)} (means of {drawn.count} networks {shape})."


def evidence(found: Evidence, view: Scene, logistic: bool) -> str:
    """The best σ, and what the current one loses."""
    curve = found.logistic if logistic else found.linear
    sigma, top, inside = peak(found.sigmas, curve)
    name = "The logistic evidence" if logistic else "Linear regression's exact evidence"
    if inside:
        line = f"{name} is highest at σ = {number(sigma)}, {_as_decay(found, view, sigma, logistic)}"
    elif sigma == found.sigmas[0]:
        line = f"{name} is highest at the smallest σ: these points say nothing for a line at all"
    else:
        why = ": a line separates the classes" if logistic and not view.mle.finite else ""
        line = f"{name} still rises at the largest σ{why}"
    if not np.isfinite(view.sigma):
        return f"{line}."
    lost = top - float(np.interp(np.log(view.sigma), np.log(found.sigmas), curve))
    what = "labels" if logistic else "targets"
    return f"{line}; under the current σ = {number(view.sigma)} the {what} are {_less(lost)} probable."


def _as_decay(found: Evidence, view: Scene, sigma: float, logistic: bool) -> str:
    n = len(view.run.data.y_train)
    if logistic:
        return f"that is λ = 1/(Nσ²) = {weight_decay_of(sigma, n):.2g}"
    return f"that is λ = s²/(Nσ²) = {found.noise**2 * weight_decay_of(sigma, n):.2g} with noise s = {found.noise:.2f}"


def _less(lost: float) -> str:
    if np.exp(lost) < 1.005:
        return "as"
    return f"{np.exp(lost):.3g} times less" if lost < FEW else f"e^{lost:.0f} times less"


def paths(found: Sparse) -> str:
    """Where the L1 path has exact zeros, and that the L2 path has none."""
    least, low = float(np.abs(found.gauss[0, :2]).min()), found.weight_decays[-1]
    zeros = [
        f"{name} is exactly 0 " + ("at every λ shown" if value <= low else f"from about λ = {_decay(value)} on")
        for name, value in zip(("w₁", "w₂"), found.zero_from.tolist(), strict=True)
        if np.isfinite(value)
    ]
    still = f"; under the Gaussian prior the smaller one is still {least:.2g} at λ = {_decay(found.weight_decays[0])}"
    return f"Under the Laplace prior {' and '.join(zeros)}{still if least > 0 else ''}."


def coefficients(found: Sparse, view: Scene) -> str:
    """The weights under both priors at the current λ; without one, where their paths begin and end."""
    if found.here is None:
        low, high = (_decay(found.weight_decays[end]) for end in (-1, 0))
        ends = [f"from {number(np.abs(path[-1, :2]).max())} to {number(np.abs(path[0, :2]).max())}"
                for path in (found.laplace, found.gauss)]  # fmt: skip
        return (
            f"From λ = {low} to {high} the larger weight falls {ends[0]} under the Laplace prior and {ends[1]} under "
            "the Gaussian."
        )
    count = ("no weight is", "one weight is", "both weights are")[int((found.here[:2] == 0).sum())]
    return (
        f"At λ = {view.weight_decay:g} (w₁, w₂) is {_pair(found.here)} under the Laplace prior and "
        f"{_pair(view.map.w)} under the Gaussian: {count} exactly 0 under the first."
    )


def _decay(value: float) -> str:
    return number(value) if value >= 0.01 else f"{value:.2g}"


def _pair(w: NDArray) -> str:
    return "(" + ", ".join(number(value).replace("-", "−", 1 if value < 0 else 0) for value in w[:2]) + ")"


def distance(found: Journey) -> str:
    """How far from the MAP every training is in the end."""
    ends = [f"{away(values[-1])} ({VARIANTS[key].title})" for key, values in found.to_map.items()
            if calm(found.run, key)]  # fmt: skip
    gone = [VARIANTS[key].title for key in found.to_map if not calm(found.run, key)]
    if not ends:
        return "Every training diverged."
    tail = f"; {listed(gone)} diverged" if gone else ""
    return f"A{after(found.steps[-1])[1:]} the distance from the MAP is {listed(ends)}{tail}."


def instead(found: Journey) -> str:
    """How near decay on the weight is to where it goes instead of the MAP."""
    run, lines = found.run, []
    own = {key: values[-1] for key, values in found.to_own.items() if calm(run, key)}
    for key, left in own.items():
        end = "the MAP at (1 − μ)λ" if VARIANTS[key].has_momentum else "the least loss in its ±1/λ box"
        lines.append(f"{VARIANTS[key].title} is {away(left)} from {end}")
    if not lines or run.experiment.weight_decay == 0:
        return distance(found)
    itself = " and ".join(away(found.to_map[key][-1]) for key in own)
    they = "they are" if len(own) > 1 else "it is"
    return f"A{after(found.steps[-1])[1:]} {' and '.join(lines)}; from the MAP itself {they} {itself} away."


def away(value: float) -> str:
    """A distance: two digits, tiny ones as a power of ten."""
    return f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}"
