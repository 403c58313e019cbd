"""Where the optimizers of the two-weight model really go, trained far beyond the shared experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from engine import prior
from engine.experiment import KNOBS, Experiment
from engine.knobs import Number
from engine.prior import Fit
from engine.run import Run
from engine.train import train

LONG = 6000
SHORT = (40, 400)
"""A log axis needs early steps closer together than a film records them: the same training, stopped earlier."""

SMALLEST = 1e-16
"""Distances below rounding are drawn here, since a log axis has no zero."""

REST = 1e-9
"""A training counts as at rest if it moved less than this between the last two recorded steps, which alone could be an
even number of steps apart in a cycle of two, and less than this in one further step."""

FALLS = 0.99
"""Over the last quarter of the recorded steps a distance that still falls is below this share of the quarter before,
or falls from record to record."""


@dataclass(frozen=True)
class Journey:
    """Distances of the trainings from the points where they are said to go, in (w₁, w₂, b).

    Attributes:
        run: the long training.
        steps: (T,), from 1.
        to_map: variant to its distance from the MAP, (T,).
        to_own: variant to its distance from the point where its rule ends instead, (T,).
        momentum_end: the MAP at (1 − μ)λ.
        box: the least data loss among weights of size at most 1/λ, or None where it is nowhere finite.
    """

    run: Run
    steps: NDArray
    to_map: dict[str, NDArray]
    to_own: dict[str, NDArray]
    momentum_end: Fit
    box: NDArray | None


def far_beyond(experiment: Experiment) -> Experiment:
    """The experiment with a constant η and ten times its steps, 6,000 at least, within the budget of a page."""
    knob = KNOBS["steps"]
    assert isinstance(knob, Number)
    steps = min(int(knob.high), max(LONG, 10 * experiment.steps))
    return replace(experiment, steps=steps, schedule="constant").within_budget()[0]


def journey(run: Run, train: Callable[[Experiment], Run]) -> Journey:
    """Distances over the steps of a long run, with the first steps closer together.

    Args:
        run: of ``far_beyond``.
        train: trains an experiment in float64; the first steps are trained once more.
    """
    exp = run.experiment
    runs = [train(replace(exp, steps=steps)) for steps in SHORT if steps < exp.steps] + [run]
    taken, last = [], 0
    for one in runs:
        taken.append(one.steps > last)
        last = int(one.steps[-1])
    steps = np.concatenate([one.steps[new] for one, new in zip(runs, taken, strict=True)])
    x, y, weight_decay = run.data.x_train, run.data.y_train, exp.weight_decay

    def distances(key: str, end: NDArray) -> NDArray:
        path = np.concatenate([one.film[new, one.row(key)] for one, new in zip(runs, taken, strict=True)])
        return np.maximum(np.linalg.norm(path - end, axis=1), SMALLEST)

    best, weaker = prior.map_fit(x, y, weight_decay), momentum_end(run)
    box = box_optimum(x, y, 1 / weight_decay) if weight_decay > 0 else None
    on_weight = [variant for variant in exp.chosen if variant.where == "weight"]
    to_own = {v.key: distances(v.key, theta(weaker)) for v in on_weight if v.has_momentum and weaker.finite}
    if box is not None:
        to_own |= {v.key: distances(v.key, box) for v in on_weight if v.adaptive}
    to_map = {key: distances(key, theta(best)) for key in exp.variants} if best.finite else {}
    return Journey(run, steps, to_map, to_own, weaker, box)


def theta(fit: Fit) -> NDArray:
    """(w₁, w₂, b) of a fit."""
    return np.array([*fit.w, fit.b])


def momentum_end(run: Run) -> Fit:
    """Where decay on the weight goes under momentum: its fixed point η λw = −η g/(1 − μ) is the MAP at (1 − μ)λ."""
    exp = run.experiment
    return prior.map_fit(run.data.x_train, run.data.y_train, (1 - exp.momentum) * exp.weight_decay)


def box_optimum(x: NDArray, y: NDArray, bound: float) -> NDArray | None:
    """(w₁, w₂, b) of least mean NLL among |w₁|, |w₂| ≤ bound, b free; None where there is none that is finite or
    within reach (separable classes in a large box).

    Reference: Xie & Li 2024, arXiv 2404.04454: where full-batch AdamW goes if it converges, with bound = 1/λ.
    """
    end = prior.mle(x, y)
    if np.isinf(end.b) or (not end.finite and bound > prior.FAR):
        return None
    if end.finite and np.abs(end.w).max() <= bound:
        return theta(end)
    signs = 2.0 * y - 1
    design = signs[:, None] * np.column_stack([x, np.ones(len(y))])

    def loss(at: NDArray) -> tuple[float, NDArray]:
        margins = design @ at
        return float(np.logaddexp(0, -margins).mean()), -expit(-margins) @ design / len(design)

    bounds = [(-bound, bound)] * 2 + [(None, None)]
    options = {"ftol": 0.0, "gtol": 1e-11, "maxiter": 5000, "maxls": 60}
    return minimize(loss, np.zeros(3), jac=True, bounds=bounds, method="L-BFGS-B", options=options).x


def still_moving(run: Run, variant: str) -> float:
    """How far a variant moved between the last two recorded steps, in (w₁, w₂, b)."""
    film = run.film[:, run.row(variant)]
    return float(np.linalg.norm(film[-1] - film[-2])) if len(film) > 1 else np.inf


def one_more_step(run: Run, variant: str) -> float:
    """How far the training would move a variant in one step after its last, in (w₁, w₂, b)."""
    further = _longer(run.experiment, torch.float64 if run.film.dtype == np.float64 else torch.float32)
    return float(np.linalg.norm(further.film[-1, run.row(variant)] - run.film[-1, run.row(variant)]))


@lru_cache(maxsize=4)
def _longer(experiment: Experiment, dtype: torch.dtype) -> Run:
    """The same training, at a constant η, with its next step; beyond the bounds of the knob, without its last one."""
    knob = KNOBS["steps"]
    assert isinstance(knob, Number)
    steps = experiment.steps + (1 if experiment.steps < knob.high else -1)
    return train(replace(experiment, steps=steps), dtype=dtype, device="cpu")


def still_falls(values: NDArray) -> bool:
    """Whether a distance at recorded steps (T,) still falls towards the end."""
    quarter = max(len(values) // 4, 1)
    late, before = values[-quarter:], values[-2 * quarter : -quarter]
    if not before.size:
        return True
    return bool(late.max() < FALLS * before.max() or (np.diff(values[-2 * quarter :]) < 0).all())


def not_arrived(run: Run, variant: str) -> str:
    """Why a variant's last weights are not where its rule ends, in a sentence; "" where it has come to rest there."""
    exp = run.experiment
    if run.diverged[variant] is not None:
        return f"it diverged at step {run.diverged[variant]:,}"
    if exp.batch < exp.points:
        return "minibatches keep it jittering"
    if exp.schedule != "constant":
        return "a schedule that lowers η stops it wherever it is"
    moved = still_moving(run, variant)
    if moved > REST:
        return f"it still moves, by {moved:.0e} between the last two recorded steps"
    step = one_more_step(run, variant)
    return "" if step <= REST else f"it does not settle at this η, but goes to and fro by {step:.2g} a step"
