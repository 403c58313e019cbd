"""The Laplace posterior of the two-weight logistic model over (w₁, w₂, b), its draws, and what it predicts.

Conventions of ``engine.prior``: x standardised (N, 2), y labels 0 or 1 (N,), λ for the mean loss, flat prior on b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from engine.prior import Fit

REACH, NODES = 8.0, 161
"""The average over a Gaussian logit is a sum at this many even steps, to this many deviations either side."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian over θ = (w₁, w₂, b): mean (3,), and covariance (3, 3)."""

    mean: NDArray
    covariance: NDArray

    def draws(self, count: int, seed: int) -> NDArray:
        """Independent draws of (w₁, w₂, b), shape (count, 3)."""
        normal = np.random.default_rng(seed).standard_normal((count, 3))
        return self.mean + normal @ np.linalg.cholesky(self.covariance).T

    def logits(self, points: ArrayLike) -> tuple[NDArray, NDArray]:
        """Mean and standard deviation of the logit w·x + b at points (..., 2): two arrays (...)."""
        design = np.asarray(points, dtype=np.float64)
        design = np.concatenate([design, np.ones((*design.shape[:-1], 1))], axis=-1)
        variance = np.einsum("...i,ij,...j->...", design, self.covariance, design)
        return design @ self.mean, np.sqrt(np.maximum(variance, 0))


def hessian(x: ArrayLike, y: ArrayLike, fit: Fit, weight_decay: float) -> NDArray:
    """Curvature (3, 3) of minus the log posterior at a fit: Σ_n p(1 − p)·x̃x̃ᵀ + Nλ·diag(1, 1, 0), x̃ = (x, 1).

    Reference: Bishop 2006, section 4.5.1.
    """
    design = np.column_stack([np.asarray(x, dtype=np.float64), np.ones(len(np.asarray(y)))])
    z = design @ [*fit.w, fit.b]
    curvature = (design.T * (expit(z) * expit(-z))) @ design
    return curvature + len(design) * weight_decay * np.diag([1.0, 1.0, 0.0])


def posterior(x: ArrayLike, y: ArrayLike, fit: Fit, weight_decay: float) -> Posterior:
    """The Laplace approximation at the MAP: N(θ | θ_MAP, H⁻¹), weights and intercept together.

    Args:
        fit: the MAP at this λ.

    Raises:
        ValueError: there is no optimum, or the data leave a direction open (λ = 0 and all points on a line).

    Reference: MacKay, Neural Computation 4(5), 1992; Bishop 2006, section 4.5.1.
    """
    if not fit.finite:
        raise ValueError(fit.why or "There is no finite optimum to put a posterior around.")
    curvature = hessian(x, y, fit, weight_decay)
    if np.linalg.cond(curvature) > 1e13:
        raise ValueError("With λ = 0 these data leave the weights open: the posterior has no finite width.")
    return Posterior(np.array([*fit.w, fit.b]), np.linalg.inv(curvature))


def predictive(belief: Posterior, points: ArrayLike) -> NDArray:
    """P(y=1|x) averaged over the posterior: ∫ sigmoid(a) N(a | m(x), s²(x)) da, at points (..., 2), shape (...).

    w·x + b is Gaussian under a Gaussian posterior, so the average over (w, b) is this one integral, taken as a sum
    over 161 even steps within 8 deviations (right to 1e-9 for s ≤ 9, to 1e-5 for s ≤ 15).

    Reference: MacKay, Neural Computation 4(5), 1992; Bishop 2006, section 4.5.2.
    """
    mean, deviation = belief.logits(points)
    steps = np.linspace(-REACH, REACH, NODES)
    share = np.exp(-(steps**2) / 2)
    return expit(mean[..., None] + deviation[..., None] * steps) @ (share / share.sum())


def plug_in(belief: Posterior, points: ArrayLike) -> NDArray:
    """P(y=1|x) of the single most probable (w, b), at points (..., 2), shape (...)."""
    return expit(belief.logits(points)[0])


def as_logits(p: NDArray) -> NDArray:
    """Probabilities as logits, finite also where rounding made them 0 or 1."""
    return logit(np.clip(p, 1e-15, 1 - 1e-15))
