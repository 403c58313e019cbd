"""Closed forms that runs are held against."""

from __future__ import annotations

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
