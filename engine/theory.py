"""Closed forms that runs are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def free_decay(norm: float, shrinks: ArrayLike, steps: ArrayLike) -> NDArray:
    """‖w‖ after t steps of decay alone, with no gradient: ‖w_t‖ = ‖w₀‖ · Π|1 − η_kλ| over k = 1 … t.

    Args:
        norm: ‖w₀‖.
        shrinks: the fraction that each step takes off, η_kλ (s_kλ in the paper's form), (T,).
        steps: step numbers t from 0 to T, any shape.

    Returns:
        Norms of the shape of ``steps``; inf where they leave float64.

    Reference:
        Loshchilov & Hutter 2019, arXiv 1711.05101.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        left = np.cumprod(np.concatenate([[1.0], np.abs(1 - np.asarray(shrinks, dtype=np.float64))]))
        curve = norm * left[np.asarray(steps)]
    return np.where(norm == 0, 0.0, curve)


def time_scale(shrink: float) -> float:
    """τ = 1/(ηλ), the number of steps in which decay alone takes a weight to about a third; inf without decay.

    Reference:
        Wang & Aitchison 2024, arXiv 2405.13698.
    """
    return 1 / shrink if shrink > 0 else float("inf")


def momentum_factors(shrink: float, momentum: float) -> NDArray:
    """The two factors by which a weight under momentum + L2 with no gradient changes a step: z² − (1+μ−ηλ)z + μ = 0.

    The larger one leads: 1 − ηλ/(1−μ) for small ηλ. They are complex, so that the weight swings through zero, once
    ηλ > (1−√μ)².

    Args:
        shrink: ηλ.
        momentum: μ.

    Returns:
        Both roots, complex, the larger in size first, (2,).

    Reference:
        Polyak 1964; the quadratic of heavy-ball momentum as in Goh 2017, Distill, doi 10.23915/distill.00006.
    """
    roots = np.roots([1.0, -(1 + momentum - shrink), momentum]).astype(complex)
    return roots[np.argsort(-np.abs(roots))]


def explodes_beyond(momentum: float, nesterov: bool = False) -> float:
    """The ηλ beyond which L2 alone makes a weight grow: 2, 2(1+μ) with momentum, 1 + 1/(1+2μ) with Nesterov's.

    There a root of the quadratic passes −1: z² − (1+μ−ηλ)z + μ, and z² − (1+μ)(1−ηλ)z + μ(1−ηλ) for Nesterov's.

    Reference:
        Polyak 1964; Sutskever et al. 2013.
    """
    return 1 + 1 / (1 + 2 * momentum) if nesterov else 2 * (1 + momentum)


def eigen_shrinkage(curvature: ArrayLike, weight_decay: float) -> NDArray:
    """The share h/(h+λ) of the optimum that L2 leaves along an eigenvector of curvature h, any shape.

    Reference:
        Goodfellow, Bengio & Courville 2016, Deep Learning, section 7.1.1.
    """
    h = np.asarray(curvature, dtype=np.float64)
    return h / (h + weight_decay)


def early_stopping(curvature: ArrayLike, lr: float, steps: int) -> NDArray:
    """The share 1 − (1−ηh)^t of the optimum that t steps from zero reach along an eigenvector of curvature h.

    L2 with λ = 1/(ηt) leaves h/(h + λ): near it, never equal; the gap is at most 0.204 where ηh ≪ 1.

    Reference:
        Goodfellow, Bengio & Courville 2016, Deep Learning, section 7.8.
    """
    return 1 - (1 - lr * np.asarray(curvature, dtype=np.float64)) ** steps


def moving_average(start: NDArray, updates: NDArray, lr: float, weight_decay: float) -> NDArray:
    """Decayed weights as an exponential average of their updates: w_t = (1−ηλ)^t w₀ + Σ_s ηλ(1−ηλ)^(t−1−s)·(−u_s/λ).

    Args:
        start: w₀, (P,).
        updates: u_0 … u_{t−1}, the steps without η, (t, P).
        lr: η.
        weight_decay: λ > 0.

    Returns:
        w_t, (P,).

    Reference:
        Wang & Aitchison 2024, arXiv 2405.13698.
    """
    keep, steps = 1 - lr * weight_decay, len(updates)
    shares = lr * weight_decay * keep ** np.arange(steps - 1, -1, -1.0)
    return keep**steps * start - shares @ updates / weight_decay


@dataclass(frozen=True)
class Equilibrium:
    """Where the norm of a scale-invariant weight settles under random gradients, and how fast it then turns.

    Attributes:
        norm: ‖w‖.
        rotation: root mean square angle of a step, radians.
    """

    norm: float
    rotation: float


def sgd_l2_equilibrium(lr: float, weight_decay: float, momentum: float, gradient: float) -> Equilibrium:
    """SGD with momentum μ (0 for none) and L2: ‖w‖ = (η‖g̃‖²/(2λ(1−μ)))^¼, rotation √(2ηλ/(1+μ)).

    Args:
        lr: η.
        weight_decay: λ > 0.
        momentum: μ.
        gradient: ‖g̃‖, the root mean square norm that the gradient has where ‖w‖ = 1.

    Reference:
        Kosson, Messmer & Jaggi 2023, arXiv 2305.17212, table 1.
    """
    norm = (lr * gradient**2 / (2 * weight_decay * (1 - momentum))) ** 0.25
    return Equilibrium(norm, math.sqrt(2 * lr * weight_decay / (1 + momentum)))


def sgdw_equilibrium(lr: float, weight_decay: float, momentum: float, gradient: float) -> Equilibrium:
    """SGD with momentum and decay on the weight: ‖w‖ = (η‖g̃‖²/(2λ(1−μ)²))^¼, rotation √(2ηλ(1−μ)/(1+μ)).

    Arguments and reference as of ``sgd_l2_equilibrium``.
    """
    norm = (lr * gradient**2 / (2 * weight_decay * (1 - momentum) ** 2)) ** 0.25
    return Equilibrium(norm, math.sqrt(2 * lr * weight_decay * (1 - momentum) / (1 + momentum)))


def adamw_equilibrium(lr: float, weight_decay: float, size: int, beta1: float = 0.9) -> Equilibrium:
    """AdamW: ‖w‖ = √(ηC/(2λ)) whatever the gradient, rotation √(2ηλ(1−β₁)/(1+β₁)).

    Args:
        lr: η.
        weight_decay: λ > 0.
        size: C, the number of entries of the weight.
        beta1: β₁.

    Reference:
        Kosson, Messmer & Jaggi 2023, arXiv 2305.17212, table 1.
    """
    norm = math.sqrt(lr * size / (2 * weight_decay))
    return Equilibrium(norm, math.sqrt(2 * lr * weight_decay * (1 - beta1) / (1 + beta1)))


def adam_l2_equilibrium_norm(lr: float, weight_decay: float, gradients: ArrayLike) -> float:
    """Adam + L2: ‖w‖ = (η/(2λ) · Σ_i √E g̃_i²)^⅓.

    Args:
        lr: η.
        weight_decay: λ > 0.
        gradients: √E g̃_i², the root mean square of every entry of the gradient where ‖w‖ = 1, (C,).

    Reference:
        Kosson, Messmer & Jaggi 2023, arXiv 2305.17212, table 1.
    """
    return float((lr / (2 * weight_decay) * np.sum(gradients)) ** (1 / 3))
