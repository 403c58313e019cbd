"""Closed forms that runs are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def free_decay(norm: float, shrink: float, steps: ArrayLike) -> NDArray:
    """‖w‖ after t steps of decay alone, with no gradient: ‖w_t‖ = ‖w₀‖ · |1 − ηλ|^t.

    Args:
        norm: ‖w₀‖.
        shrink: the fraction that one step takes off, ηλ (λ in the paper's form).
        steps: step numbers t, any shape.

    Returns:
        Norms of the shape of ``steps``; inf where they leave float64.

    Reference:
        Loshchilov & Hutter 2019, arXiv 1711.05101: with a constant schedule Π(1 − η_tλ) is this power.
    """
    with np.errstate(over="ignore"):
        return norm * np.abs(1 - shrink) ** np.asarray(steps, dtype=np.float64)


def time_scale(shrink: float) -> float:
    """τ = 1/(ηλ), the number of steps in which decay alone takes a weight to about a third; inf without decay.

    Reference:
        Wang & Aitchison 2024, arXiv 2405.13698.
    """
    return 1 / shrink if shrink > 0 else float("inf")
