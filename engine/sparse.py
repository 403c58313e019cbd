"""The Laplace prior for contrast: the MAP under an L1 penalty, whose weights become exactly zero.

The prior is p(w) ∝ exp(−Nλ(|w₁| + |w₂|)), a Laplace density of scale 1/(Nλ), flat on the intercept, so the MAP is
argmin of mean NLL + λ‖w‖₁. Conventions of ``engine.prior``: x (N, 2), y 0 or 1 (N,), λ for the mean loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from engine import prior

COUNT = 40
ABOVE, DEPTH = 3.0, 1e-3
"""The path starts at so many times the λ at which both weights are zero, and runs down to this share of its start."""


@dataclass(frozen=True, eq=False)
class Sparse:
    """MAPs of the two priors along λ.

    Attributes:
        weight_decays: λ, (L,), falling.
        laplace: MAP under the Laplace prior, rows (w₁, w₂, b), (L, 3).
        gauss: MAP under the Gaussian prior, (L, 3).
        zero_from: for each weight the λ from which on it stays exactly zero, to 1 %, (2,).
        here: MAP under the Laplace prior at the current λ, (3,), or None at λ = 0.
    """

    weight_decays: NDArray
    laplace: NDArray
    gauss: NDArray
    zero_from: NDArray
    here: NDArray | None


def sparse(x: NDArray, y: NDArray, weight_decay: float) -> Sparse | str:
    """Both paths, and the Laplace prior's MAP at the current λ; or the reason why there are none."""
    if len(np.unique(y)) < 2:
        return "All labels are of one class: under either prior both weights are zero at every λ."
    top = all_zero_from(x, y)
    if top < 1e-9:
        return "The class means coincide: under the Laplace prior both weights are zero at every λ."
    decays = ABOVE * top * np.geomspace(1, DEPTH, COUNT)
    laplace = l1_path(x, y, decays)
    zero_from = np.array([_zero_from(x, y, decays, laplace[:, j] == 0, j) for j in (0, 1)])
    here = l1_path(x, y, [weight_decay])[0] if weight_decay > 0 else None
    return Sparse(decays, laplace, prior.map_path(x, y, decays), zero_from, here)


def all_zero_from(x: ArrayLike, y: ArrayLike) -> float:
    """The λ from which on both weights are zero under L1: max_j |Σ_n (y_n − ȳ) x_nj| / N.

    Reference: Friedman, Hastie & Tibshirani, Regularization Paths, J. Statistical Software 33(1), 2010.
    """
    points, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return float(np.abs((labels - labels.mean()) @ points).max() / len(labels))


def l1_path(x: ArrayLike, y: ArrayLike, weight_decays: ArrayLike) -> NDArray:
    """argmin of mean NLL + λ‖w‖₁ over (w, b) for each λ, rows (w₁, w₂, b), shape (L, 3).

    Proximal Newton: each step minimises the quadratic model of the loss plus λ‖w‖₁ exactly, so zeros are exact.
    scikit-learn's SAGA solves it too, but where all weights are zero it stops before the intercept is right; it is the
    reference of the tests.

    Args:
        weight_decays: λ > 0, (L,), best from large to small: each starts from the last one's answer.

    Raises:
        ValueError: labels of one class, or a λ that is not above zero.

    Reference: Tibshirani, JRSS B 58, 1996; Lee, Sun & Saunders, Proximal Newton-type methods, 2014, arXiv 1206.1623.
    """
    points, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    decays = np.asarray(weight_decays, dtype=np.float64)
    if len(np.unique(labels)) < 2:
        raise ValueError("labels of both classes are needed")
    if not np.all(np.isfinite(decays) & (decays > 0)):
        raise ValueError("weight_decays must be finite numbers above zero")
    design = (2 * labels - 1)[:, None] * np.column_stack([points, np.ones(len(labels))])
    out = np.empty((len(decays), 3))
    at = np.array([0.0, 0.0, logit(labels.mean())])
    for i, decay in enumerate(decays):
        out[i] = at = _proximal_newton(design, decay, at)
    return out


def _proximal_newton(design: NDArray, decay: float, at: NDArray) -> NDArray:
    """argmin of mean NLL + λ(|θ₁| + |θ₂|) for rows of signed points (N, 3), from a start (3,)."""

    def loss(theta: NDArray) -> float:
        return float(np.logaddexp(0, -(design @ theta)).mean() + decay * np.abs(theta[:2]).sum())

    for _ in range(100):
        wrong = expit(-(design @ at))
        gradient = -wrong @ design / len(design)
        # a whisker of ridge on the step, not on the weights: where the curvature vanishes a step must stay finite
        curvature = (design.T * (wrong * (1 - wrong))) @ design / len(design) + 1e-10 * np.eye(3)
        step = _lasso(curvature, curvature @ at - gradient, decay) - at
        size, now = 1.0, loss(at)
        while loss(at + size * step) > now + 1e-15 * abs(now) and size > 1e-6:
            size /= 2
        at = at + step if size == 1 else at + size * step
        if np.abs(step).max() <= 1e-10 * (1 + np.abs(at).max()):
            break
    return at


def _lasso(curvature: NDArray, pull: NDArray, decay: float) -> NDArray:
    """argmin of ½θᵀHθ − cᵀθ + λ(|θ₁| + |θ₂|): of the nine patterns of signs the one that fits its conditions best."""
    best, least = np.zeros(3), np.inf
    for signs in product((0.0, 1.0, -1.0), repeat=2):
        free = np.array([*(sign != 0 for sign in signs), True])
        theta = np.zeros(3)
        theta[free] = np.linalg.solve(curvature[np.ix_(free, free)], (pull - decay * np.array([*signs, 0.0]))[free])
        slopes = np.abs(pull - curvature @ theta)[:2]
        off = [max(-t * s, 0.0) if s else max(g - decay, 0.0) for t, s, g in zip(theta, signs, slopes, strict=False)]
        if max(off) < least:
            best, least = theta, max(off)
    return best


def _zero_from(x: NDArray, y: NDArray, decays: NDArray, zero: NDArray, j: int) -> float:
    """The λ from which on weight j is zero, by bisection between the points of a falling path where it ends to be."""
    if zero.all():
        return float(decays[-1])
    first = int(zero.argmin())
    high, low = (decays[first - 1], decays[first]) if first else (np.inf, decays[0])
    while low * 1.01 < high < np.inf:
        middle = np.sqrt(low * high)
        high, low = (middle, low) if l1_path(x, y, [middle])[0, j] == 0 else (high, middle)
    return float(high)
