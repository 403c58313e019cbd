"""What the page of the Gaussian prior shows: a run of the two-weight model, and the Bayesian view of its data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

from engine import prior
from engine.experiment import Experiment
from engine.prior import Fit
from engine.run import Run

GRID = 49
LEVELS = (0.5, 2.0, 4.5, 8.0, 14.0, 24.0, 40.0)
"""Contours of the likelihood, in nats below its best value on the picture: 0.5, 2 and 4.5 are 1, 2 and 3 deviations."""

TRAINED = ("sgd_l2", "momentum_w", "adam_l2", "adamw")
"""Variants whose real end points the page compares with the MAP."""

FAR = 1e3
"""End points beyond this (diverged variants) do not set the scale of the picture."""


@dataclass(frozen=True)
class Scene:
    """Weight space and data space of logistic regression with two weights and an unpenalised intercept.

    Attributes:
        run: the real training of the same experiment.
        weight_decay: λ, one for all variants.
        sigma: standard deviation of the prior, 1/√(λN); inf at λ = 0.
        mle: the maximum-likelihood fit.
        map: the maximum-a-posteriori fit.
        sklearn: scikit-learn's answer to the same problem.
        path: MAP(λ) for λ from large to small, (L, 3): w1, w2, b.
        reach: the picture shows weights from −reach to reach.
        likelihood: contours of the negative log-likelihood (level in nats, points (K, 2)).
        covariance: of the weights' posterior under the Laplace approximation, or None where there is none.
        trails: variant to its weights and intercept over training, (T, 3).
    """

    run: Run
    weight_decay: float
    sigma: float
    mle: Fit
    map: Fit
    sklearn: Fit
    path: NDArray
    reach: float
    likelihood: list[tuple[float, NDArray]]
    covariance: NDArray | None
    trails: dict[str, NDArray]


def two_weight(experiment: Experiment) -> Experiment:
    """The experiment as this page takes it: logistic regression, and one λ for all, since there is one prior."""
    return replace(
        experiment,
        hidden=(),
        layer_norm=False,
        weight_decay_adaptive=experiment.weight_decay,
        decayed="weights",
        variants=TRAINED,
    )


def scene(run: Run) -> Scene:
    """Everything that the page draws of a run of ``two_weight``."""
    x, y, weight_decay = run.data.x_train, run.data.y_train, run.experiment.weight_decay
    trails = {name: run.film[:, run.row(name)].astype(np.float64) for name in run.experiment.variants}
    ends = np.array([trail[-1, :2] for trail in trails.values()])
    low, high = prior.window(x, y, weight_decay, extra=ends[np.abs(ends).max(axis=1) < FAR])
    axis = np.linspace(low, high, GRID)
    best = prior.map_fit(x, y, weight_decay)
    return Scene(
        run=run,
        weight_decay=weight_decay,
        sigma=prior.sigma_of(weight_decay, len(y)),
        mle=prior.mle(x, y),
        map=best,
        sklearn=prior.sklearn_map(x, y, weight_decay) if weight_decay > 0 else best,
        path=prior.map_path(x, y, np.logspace(2, -3.5, 60)),
        reach=high,
        likelihood=_contours(axis, prior.profile_nll(x, y, axis, axis)),
        covariance=prior.laplace_covariance(x, y, best, weight_decay) if best.finite else None,
        trails=trails,
    )


def _contours(axis: NDArray, values: NDArray) -> list[tuple[float, NDArray]]:
    generator = contour_generator(axis, axis, values)
    lowest = float(values.min())
    return [(level, np.asarray(line)) for level in LEVELS for line in generator.lines(lowest + level)]
