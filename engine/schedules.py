"""Learning-rate schedules: the multiplier s_t = η_t/η_max of every step. One entry each; nothing else lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        title: name on screen.
        multiplier: s as a function of the share of training done, x in [0, 1), shape (T,) to (T,).
        code: the same in Python, an expression in ``x``, for LambdaLR.
        paper: source with year and arXiv id.
    """

    title: str
    multiplier: Callable[[NDArray], NDArray]
    code: str
    paper: str


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule("constant", np.ones_like, "1.0", "–"),
    "linear": Schedule("linear to 0", lambda x: 1 - x, "1 - x", "Defazio et al. 2023, arXiv 2310.07831"),
    "cosine": Schedule(
        "cosine to 0",
        lambda x: 0.5 * (1 + np.cos(np.pi * x)),
        "0.5 * (1 + math.cos(math.pi * x))",
        "Loshchilov & Hutter 2017, arXiv 1608.03983",
    ),
    "step": Schedule(
        "step: ÷10 at 1/2 and 3/4",
        lambda x: np.where(x < 0.5, 1.0, np.where(x < 0.75, 0.1, 0.01)),
        "1.0 if x < 0.5 else 0.1 if x < 0.75 else 0.01",
        "He et al. 2016, arXiv 1512.03385",
    ),
    "warmup_cosine": Schedule(
        "warm-up + cosine",
        lambda x: np.minimum((x + 0.01) / 0.11, 0.5 * (1 + np.cos(np.pi * np.maximum(x - 0.1, 0) / 0.9))),
        "min((x + 0.01) / 0.11, 0.5 * (1 + math.cos(math.pi * max(x - 0.1, 0) / 0.9)))",
        "Goyal et al. 2017, arXiv 1706.02677, with the cosine of 1608.03983",
    ),
}


def multipliers(schedule: str, steps: int) -> NDArray:
    """s_t for t = 1 … steps, shape (steps,), at x = (t − 1)/steps; the largest is η_max itself or just below.

    Raises:
        KeyError: an unknown schedule.
    """
    return SCHEDULES[schedule].multiplier(np.arange(steps) / steps)
