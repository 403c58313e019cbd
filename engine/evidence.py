"""The evidence for a prior width σ: how probable the labels are, averaged over every model that the prior allows.

The prior is w ~ N(0, σ²I) and flat on the intercept b, with density 1 per unit of b. A flat density has no scale of
its own, so every log evidence here is known only up to a constant that does not depend on σ: differences between
two σ mean something, the level does not. Arrays of σ have shape (S,), x (N, 2), logs are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray

from engine import prior
from engine.bayes import hessian, posterior
from engine.prior import Fit

LOWEST, HIGHEST, COUNT = 0.03, 60.0, 67
"""The axis of σ, in units of a weight, and its number of points."""

CHECKED = 7
"""Number of σ at which the integral is done by brute force, to see how good the Laplace approximation is."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Log evidence over σ, for the logistic model and for linear regression on the targets ±1.

    Attributes:
        sigmas: σ, (S,), rising.
        logistic: Laplace approximation, (S,).
        linear: exact, (S,).
        noise: deviation of the regression's noise, taken as known.
        checked: σ at which the logistic integral was done numerically, (C,).
        integrated: the integral there, (C,).
    """

    sigmas: NDArray
    logistic: NDArray
    linear: NDArray
    noise: float
    checked: NDArray
    integrated: NDArray


def evidence(x: NDArray, y: NDArray, sigma: float) -> Evidence | str:
    """Both evidence curves on an axis that holds the current σ, or the reason why there are none.

    Args:
        sigma: the current σ; inf is left out of the axis.
    """
    if len(np.unique(y)) < 2:
        return (
            "All labels are of one class: with a flat prior on the intercept the evidence is infinite for every σ, "
            "so these data say nothing about σ."
        )
    low, high = (min(LOWEST, sigma / 2), max(HIGHEST, 2 * sigma)) if np.isfinite(sigma) else (LOWEST, HIGHEST)
    sigmas = np.geomspace(low, high, COUNT)
    noise = residual_deviation(x, y)
    checked = sigmas[np.linspace(0, COUNT - 1, CHECKED).round().astype(int)]
    return Evidence(
        sigmas,
        laplace(x, y, sigmas),
        linear(x, 2.0 * y - 1, sigmas, noise),
        noise,
        checked,
        integrated(x, y, checked),
    )


def linear(x: ArrayLike, t: ArrayLike, sigmas: ArrayLike, noise: float) -> NDArray:
    """Exact log evidence of t = Xw + b + ε, ε ~ N(0, s²), over σ, shape (S,).

    The flat b takes the mean away: what is left of t in the N − 1 directions across (1, …, 1) is Gaussian with
    covariance σ²X_cX_cᵀ + s²I, X_c the centred points. With a_i = u_iᵀt and l_i the singular values of X_c:
    −½[(N−1) log 2π + (N−1−r) log s² + Σ log(σ²l_i² + s²) + Σ a_i²/(σ²l_i² + s²) + (‖t_c‖² − Σa_i²)/s² + log N].

    Args:
        t: targets (N,).
        sigmas: σ ≥ 0, (S,).
        noise: s > 0, in units of t.

    Raises:
        ValueError: s is not above zero.

    Reference: Bishop 2006, section 3.5.1; MacKay, Bayesian Interpolation, Neural Computation 4(3), 1992.
    """
    if not noise > 0:
        raise ValueError(f"noise must be above zero, not {noise}")
    points, targets = np.asarray(x, dtype=np.float64), np.asarray(t, dtype=np.float64)
    n, centred = len(targets), targets - targets.mean()
    u, lengths, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    across = u.T @ centred
    keep = lengths > 1e-12 * max(lengths.max(initial=0.0), 1.0)
    across, lengths = across[keep], lengths[keep]
    variances = np.asarray(sigmas, dtype=np.float64)[:, None] ** 2 * lengths**2 + noise**2
    fixed = (n - 1) * np.log(2 * np.pi) + (n - 1 - len(lengths)) * np.log(noise**2) + np.log(n)
    rest = max(float(centred @ centred - across @ across), 0.0) / noise**2
    return -0.5 * (fixed + np.log(variances).sum(axis=1) + (across**2 / variances).sum(axis=1) + rest)


def laplace(x: ArrayLike, y: ArrayLike, sigmas: ArrayLike) -> NDArray:
    """Log evidence of the logistic model over σ by Laplace's method, shape (S,).

    log p(y|θ̂) − ‖ŵ‖²/(2σ²) − log(2πσ²) + (3/2) log 2π − ½ log det H, θ̂ = (ŵ, b̂) the MAP at λ = 1/(Nσ²) and H its
    curvature. Off by a term of order 1/N; it is exact for a Gaussian posterior.

    Args:
        sigmas: σ > 0 and finite, (S,).

    Raises:
        ValueError: as ``prior.map_path``; both classes are needed.

    Reference: MacKay, Neural Computation 4(5), 1992; Bishop 2006, sections 4.4.1 and 4.5.1.
    """
    points, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    widths = np.asarray(sigmas, dtype=np.float64)
    decays = 1 / (len(labels) * widths**2)
    path = prior.map_path(points, labels, decays)
    out = np.empty(len(widths))
    for i, (sigma, decay, at) in enumerate(zip(widths, decays, path, strict=True)):
        curvature = np.linalg.slogdet(hessian(points, labels, Fit(at[:2], at[2], True, ""), decay))[1]
        out[i] = _log_joint(points, labels, at[None], sigma)[0] + 1.5 * np.log(2 * np.pi) - 0.5 * curvature
    return out


def integrated(x: ArrayLike, y: ArrayLike, sigmas: ArrayLike) -> NDArray:
    """Log evidence of the logistic model by quadrature: a Gauss-Hermite grid in (w₁, w₂, b) about the MAP, (S,).

    14 nodes a direction up to 100 points, 8 beyond, where the posterior is close to Gaussian.

    Args:
        sigmas: σ > 0 and finite, (S,).

    Raises:
        ValueError: as ``prior.map_fit``; both classes are needed.

    Reference: Naylor & Smith, Applications of a method for the efficient computation of posterior distributions,
        Applied Statistics 31, 1982.
    """
    points, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    nodes, shares = hermegauss(14 if len(labels) <= 100 else 8)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    logs = np.log(np.prod(np.stack(np.meshgrid(shares, shares, shares, indexing="ij"), -1).reshape(-1, 3), axis=1))
    out = []
    for sigma in np.asarray(sigmas, dtype=np.float64):
        decay = 1 / (len(labels) * sigma**2)
        belief = posterior(points, labels, prior.map_fit(points, labels, decay), decay)
        root = np.linalg.cholesky(belief.covariance)
        terms = _log_joint(points, labels, belief.mean + grid @ root.T, sigma) + (grid**2).sum(axis=1) / 2 + logs
        out.append(np.logaddexp.reduce(terms) + np.log(np.diag(root)).sum())
    return np.array(out)


def residual_deviation(x: NDArray, y: NDArray) -> float:
    """Deviation of the residuals of least squares on the targets ±1, (N − 3 degrees of freedom); 1 where it fits
    exactly, since then the data do not tell the noise."""
    design = np.column_stack([x, np.ones(len(y))])
    targets = 2.0 * y - 1
    left = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    deviation = float(np.sqrt(left @ left / max(len(y) - 3, 1)))
    return deviation if deviation > 1e-6 else 1.0


def peak(sigmas: NDArray, values: NDArray) -> tuple[float, float, bool]:
    """(σ, log evidence, whether it is inside the axis) at a curve's maximum, by a parabola in log σ."""
    i = int(np.argmax(values))
    if i in (0, len(values) - 1):
        return float(sigmas[i]), float(values[i]), False
    left, middle, right = values[i - 1 : i + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    step = np.log(sigmas[i + 1] / sigmas[i])
    return float(sigmas[i] * np.exp(shift * step)), float(middle - 0.25 * (left - right) * shift), True


def _log_joint(points: NDArray, labels: NDArray, thetas: NDArray, sigma: float) -> NDArray:
    """log p(y | θ) + log N(w | 0, σ²I) at rows θ = (w₁, w₂, b) of (K, 3), shape (K,)."""
    margins = (thetas[:, :2] @ points.T + thetas[:, 2:]) * (2 * labels - 1)
    losses = np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins)))
    squares = (thetas[:, :2] ** 2).sum(axis=1)
    return -losses.sum(axis=1) - squares / (2 * sigma**2) - np.log(2 * np.pi * sigma**2)
