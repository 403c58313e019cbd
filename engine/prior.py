"""The Gaussian-prior view of the two-weight logistic model P(y=1|x) = sigmoid(w·x + b).

The loss is the mean binary cross-entropy; the prior is w ~ N(0, σ²I), flat on b, so λ = 1/(Nσ²) and b is
never penalised. Everywhere `x` is standardised points of shape (N, 2), `y` labels 0 or 1 of shape (N,), and
`weight_decay` λ ≥ 0; anything else is a ValueError that says what is wrong.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]

WAY_OUT = 1e-6  # where there is no finite MLE, the MAP at this λ stands for the way out
OUTWARD = 1e-3  # and the picture shows the path as far as this λ
FAR = 12.0  # an MLE beyond this is a step in data space and must not set the scale of the picture


@dataclass(frozen=True, eq=False)
class Fit:
    """An optimum of the (penalised) likelihood, or the reason why there is none.

    Args:
        w: weights, shape (2,), finite always.
        b: intercept; ±inf when all labels are one class.
        finite: whether (w, b) is an optimum.
        why: one sentence when it is not, else "".
    """

    w: Floats
    b: float
    finite: bool
    why: str


def sigma_of(weight_decay: float, n: int) -> float:
    """Standard deviation of the prior that a decay stands for: σ = 1/√(λN), inf (a flat prior) at λ = 0.

    Args:
        weight_decay: λ ≥ 0, for the mean loss.
        n: number of training points.

    Raises:
        ValueError: λ is negative or not finite, or n < 1.

    Reference: Bishop, Pattern Recognition and Machine Learning, 2006, section 1.2.5.
    """
    _check(weight_decay, n)
    return math.inf if weight_decay == 0 else 1 / math.sqrt(weight_decay) / math.sqrt(n)


def weight_decay_of(sigma: float, n: int) -> float:
    """Decay that a prior of standard deviation σ stands for: λ = 1/(Nσ²), 0 at σ = inf.

    Args:
        sigma: σ > 0, in units of a weight.
        n: number of training points.

    Raises:
        ValueError: σ is not above zero, or n < 1.

    Reference: Bishop, Pattern Recognition and Machine Learning, 2006, section 1.2.5.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above zero, not {sigma}")
    _check(0.0, n)
    return (1 / sigma) ** 2 / n


def map_fit(x: ArrayLike, y: ArrayLike, weight_decay: float) -> Fit:
    """The MAP, argmin over (w, b) of mean NLL + λ/2·‖w‖², by damped Newton to a gradient norm of 1e-12.

    Where λ = 0 and the points leave w open (all on one line) it is the optimum of least ‖w‖, the limit λ → 0.

    Raises:
        ValueError: wrong shapes, points that are not finite, labels other than 0 and 1, λ < 0.

    Reference: Bishop 2006, section 4.3.3; when the MLE exists: Albert & Anderson, Biometrika 71, 1984.
    """
    points, signs = _checked(x, y)
    _check(weight_decay, len(signs))
    if one_class := _one_class(signs):
        return one_class
    if weight_decay == 0 and _separable(points, signs):
        w, b = _newton(points, signs, WAY_OUT)
        return Fit(w, b, False, _no_mle(w))
    return Fit(*_newton(points, signs, weight_decay), True, "")


def mle(x: ArrayLike, y: ArrayLike) -> Fit:
    """The maximum-likelihood fit: `map_fit` at λ = 0, not finite when a line separates the classes."""
    return map_fit(x, y, 0.0)


def map_path(x: ArrayLike, y: ArrayLike, weight_decays: ArrayLike) -> Floats:
    """MAP(λ) along an array of decays: rows (w1, w2, b) in the order given, shape (L, 3).

    Args:
        weight_decays: λ > 0, shape (L,), in any order.

    Raises:
        ValueError: as `map_fit`, or a λ that is not above zero.
    """
    points, signs = _checked(x, y)
    decays = np.asarray(weight_decays, dtype=np.float64)
    if decays.ndim != 1 or not np.all(np.isfinite(decays) & (decays > 0)):
        raise ValueError("weight_decays must be a row of finite numbers above zero")
    path = np.zeros((len(decays), 3))
    if one_class := _one_class(signs):
        path[:, 2] = one_class.b
        return path
    start = None
    for i in np.argsort(-decays):  # from the prior outwards: each optimum is a good start for the next
        start = w, b = _newton(points, signs, decays[i], start)
        path[i] = *w, b
    return path


def sklearn_map(x: ArrayLike, y: ArrayLike, weight_decay: float) -> Fit:
    """scikit-learn's answer to `map_fit`: LogisticRegression(C=1/(λN)), with the same conventions.

    Raises:
        ValueError: as `map_fit`.

    Reference: Pedregosa et al., JMLR 12, 2011 (1201.0490).
    """
    points, signs = _checked(x, y)
    _check(weight_decay, len(signs))
    if one_class := _one_class(signs):
        return one_class
    separable = weight_decay == 0 and _separable(points, signs)
    decay = WAY_OUT if separable else weight_decay
    c = 1 / (decay * len(signs)) if decay else math.inf
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    with warnings.catch_warnings():  # on a nearly singular Hessian it says that it goes on with lbfgs
        warnings.simplefilter("ignore")
        model.fit(points, signs)
    w = model.coef_[0].astype(np.float64)
    return Fit(w, float(model.intercept_[0]), not separable, _no_mle(w) if separable else "")


def profile_nll(x: ArrayLike, y: ArrayLike, w1: ArrayLike, w2: ArrayLike) -> Floats:
    """Summed NLL on a grid of weights, b maximised out: min over b of Σ_n NLL_n(w, b), in nats, shape (B, A).

    Its lowest point is the w of the joint optimum over (w, b). With one class it is 0 everywhere.

    Args:
        w1, w2: first weight, shape (A,), the columns; second weight, shape (B,), the rows.

    Raises:
        ValueError: as `map_fit`.

    Reference: Murphy & van der Vaart, On profile likelihood, JASA 95, 2000.
    """
    points, signs = _checked(x, y)
    columns, rows = np.asarray(w1, dtype=np.float64), np.asarray(w2, dtype=np.float64)
    out = np.zeros((len(rows), len(columns)))
    if _one_class(signs):
        return out
    across, before, b = np.outer(columns, points[:, 0]), np.zeros(len(columns)), np.zeros(len(columns))
    for j, weight in enumerate(rows):  # row by row: memory stays (A, N), and two rows foretell b of the next
        logits = across + weight * points[:, 1]
        before, b = b, _best_intercepts(logits, signs, 2 * b - before)
        margins = signs * (logits + b[:, None])
        out[j] = np.sum(np.log1p(np.exp(-np.abs(margins))) - np.minimum(margins, 0), axis=1)
    return out


def penalty(w1: ArrayLike, w2: ArrayLike, weight_decay: float, n: int) -> Floats:
    """Minus log prior on a grid, up to a constant: N·λ/2·‖w‖² = ‖w‖²/(2σ²), in nats, shape (B, A).

    Args:
        w1, w2: first weight, shape (A,), the columns; second weight, shape (B,), the rows.
        n: number of training points.

    Raises:
        ValueError: λ < 0 or n < 1.
    """
    _check(weight_decay, n)
    columns, rows = np.asarray(w1, dtype=np.float64), np.asarray(w2, dtype=np.float64)
    return 0.5 * n * weight_decay * (columns**2 + rows[:, None] ** 2)


def laplace_covariance(x: ArrayLike, y: ArrayLike, fit: Fit, weight_decay: float) -> Floats:
    """Covariance (2, 2) of w in the Laplace approximation at the MAP, b marginalised.

    Σ⁻¹ = H_ww − H_wb H_bw / H_bb = Σ_n d_n (x_n − m)(x_n − m)ᵀ + NλI, d = p(1 − p), m the d-weighted mean.

    Args:
        fit: the MAP at this λ.

    Raises:
        ValueError: as `map_fit`, or λ = 0 and data that leave w open, so that no finite covariance exists.

    Reference: MacKay, Neural Computation 4(5), 1992; Bishop 2006, section 4.5.1.
    """
    points, signs = _checked(x, y)
    _check(weight_decay, len(signs))
    if weight_decay == 0 and (not fit.finite or _spread(points)[1].shape[1] < 2):
        raise ValueError("With λ = 0 these data leave the weights open: the posterior has no finite width.")
    z = points @ fit.w + fit.b
    d = expit(z) * expit(-z)
    centred = points - (d @ points / d.sum() if d.sum() > 0 else 0)
    return np.linalg.inv((centred.T * d) @ centred + len(points) * weight_decay * np.eye(2))


def ellipse(center: ArrayLike, covariance: ArrayLike, radius: float = 1.0, points: int = 64) -> Floats:
    """Contour of a Gaussian as a closed polygon: c + r·Σ^½·(cos t, sin t), shape (points, 2).

    Args:
        center: c, shape (2,).
        covariance: Σ, shape (2, 2); σ²I about 0 is the circle of the prior.
        radius: r, in standard deviations.
        points: number of vertices, the last on the first.

    Raises:
        ValueError: Σ is not finite, symmetric and positive semi-definite.
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.shape != (2, 2) or not np.all(np.isfinite(matrix)) or not np.allclose(matrix, matrix.T, atol=0):
        raise ValueError("covariance must be a finite symmetric 2×2 matrix")
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -1e-12 * abs(values[1]):
        raise ValueError("covariance has a negative eigenvalue")
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    t = np.linspace(0, 2 * np.pi, points)
    return np.asarray(center, dtype=np.float64) + radius * np.column_stack([np.cos(t), np.sin(t)]) @ root


def window(
    x: ArrayLike, y: ArrayLike, weight_decay: float, extra: Sequence[ArrayLike] | Floats = ()
) -> tuple[float, float]:
    """A square axis range about zero that shows 0, the MAP, the MLE, the path between, and other points.

    A slider of λ does not rescale it: it moves with λ only where the MAP is beyond the bound FAR on the MLE
    or, where there is no MLE, beyond MAP(OUTWARD).

    Args:
        extra: weights to show as well, shape (K, 2); those that are not finite are left out.

    Raises:
        ValueError: as `map_fit`.
    """
    end, here = mle(x, y), map_fit(x, y, weight_decay)
    if not end.finite:
        end = map_fit(x, y, OUTWARD)
    others = np.asarray(extra, dtype=np.float64).reshape(-1, 2)
    others = others[np.all(np.isfinite(others), axis=1)]
    # ‖MAP(λ)‖ falls with λ, so the norm of the far end bounds the whole path
    reach = [1.0, min(FAR, np.linalg.norm(end.w)), np.abs(others).max(initial=0)]
    if weight_decay > 0:
        reach.append(np.linalg.norm(here.w))
    return -1.15 * float(max(reach)), 1.15 * float(max(reach))


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """The points, and the labels as signs −1 and +1."""
    points, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != (len(points),) or not len(points):
        raise ValueError(f"x must be (N, 2) and y (N,) with N ≥ 1, not {points.shape} and {labels.shape}")
    if not np.all(np.isfinite(points)):
        raise ValueError("x holds values that are not finite")
    if not np.all((labels == 0) | (labels == 1)):
        raise ValueError("y must hold only 0 and 1")
    return points, 2 * labels - 1


def _check(weight_decay: float, n: int) -> None:
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be zero or more and finite, not {weight_decay}")
    if n < 1:
        raise ValueError(f"n must be at least one point, not {n}")


def _one_class(signs: Floats) -> Fit | None:
    if np.any(signs != signs[0]):
        return None
    label, end = ("1", "+∞") if signs[0] > 0 else ("0", "−∞")
    why = f"All labels are {label}: the intercept runs off to {end} and the weights have nothing to explain."
    return Fit(np.zeros(2), math.copysign(math.inf, signs[0]), False, why)


def _no_mle(w: Floats) -> str:
    u = w / np.linalg.norm(w)
    return (
        "No finite MLE: a line separates the classes, so the likelihood keeps growing as the weights run off "
        f"along ({u[0]:.2f}, {u[1]:.2f}); any λ > 0 stops them."
    )


def _spread(points: Floats) -> tuple[Floats, Floats]:
    """Centred points in the r directions in which they spread, (N, r), and these unit directions, (2, r).

    A weight across the other directions changes no likelihood, so fits leave it at zero.
    """
    centred = points - points.mean(axis=0)
    lengths, directions = np.linalg.svd(centred, full_matrices=False)[1:]
    basis = directions[lengths > 1e-12 * math.sqrt(len(points)) * np.abs(points).max()].T
    return centred @ basis, basis


def _separable(points: Floats, signs: Floats) -> bool:
    """Whether some line has no point on its wrong side and at least one on its right side.

    One linear program: the greatest sum of margins m over (v, c) in the unit box, for whitened points, is 0
    if not and at least 1 if so, because scaled to touch the box the mean of m² is ‖v‖² + c² ≥ 1.
    """
    inner, _ = _spread(points)
    white = inner / np.sqrt(np.mean(inner**2, axis=0))
    design = signs[:, None] * np.column_stack([white, np.ones(len(white))])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    best = linprog(-design.sum(axis=0), -design, np.zeros(len(design)), bounds=(-1, 1), options=tight)
    return bool(-best.fun > 0.5)


def _newton(
    points: Floats, signs: Floats, weight_decay: float, start: tuple[Floats, float] | None = None
) -> tuple[Floats, float]:
    """Minimise mean NLL + λ/2·‖w‖² over (a, c): w = basis·a, and c is the intercept of the centred points."""
    inner, basis = _spread(points)
    centre = points.mean(axis=0)
    design = signs[:, None] * np.column_stack([inner, np.ones(len(inner))])
    ridge = np.append(np.full(inner.shape[1], weight_decay), 0.0)
    w, b = start or (np.zeros(2), logit(np.mean(signs > 0)))
    theta = np.append(w @ basis, b + centre @ w)

    def loss(at: Floats) -> float:
        return float(np.mean(np.logaddexp(0, -(design @ at))) + 0.5 * ridge @ at**2)

    for _ in range(200):
        margins = design @ theta
        wrong = expit(-margins)
        gradient = ridge * theta - wrong @ design / len(design)
        hessian = (design.T * (wrong * expit(margins))) @ design / len(design) + np.diag(ridge)
        step = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        size, now, slope = 1.0, loss(theta), gradient @ step
        # without the slack, rounding of the loss would refuse the last, tiny steps
        while loss(theta + size * step) > now + 1e-4 * size * slope + 1e-15 * now and size > 1e-9:
            size /= 2
        theta = theta + size * step
        # the step counts too: at tiny λ a small gradient can still be far from the optimum
        if np.linalg.norm(gradient) <= 1e-12 and np.linalg.norm(step) <= 1e-9 * (1 + np.linalg.norm(theta)):
            break
    w = basis @ theta[:-1]
    return w, float(theta[-1] - centre @ w)


def _best_intercepts(logits: Floats, signs: Floats, start: Floats) -> Floats:
    """The b of highest likelihood for each row of w·x, shape (A, N): Newton kept in a shrinking bracket."""
    positives = np.count_nonzero(signs > 0)
    middle = logit(positives / len(signs))
    low, high = middle - logits.max(axis=1), middle - logits.min(axis=1)
    b = np.clip(start, low, high)
    for _ in range(100):
        p = expit(logits + b[:, None])
        excess = p.sum(axis=1) - positives
        low, high = np.where(excess < 0, b, low), np.where(excess < 0, high, b)
        newton = b - excess / np.maximum(np.einsum("ij,ij->i", p, 1 - p), 1e-300)
        new = np.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
        # by convexity |excess|·bracket bounds the error of the likelihood, also where it is flat in b;
        # and a last Newton step of s leaves an error near s²/2, since the curvature changes by less than e^s
        done = (np.abs(excess) * (high - low) <= 1e-11) | (np.abs(new - b) <= 1e-5)
        b = new
        if done.all():
            break
    return b
