"""Networks drawn from the prior N(0, σ²I) before any data: what a width σ says about functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from contourpy import contour_generator
from numpy.typing import NDArray

from engine.mlp import Architecture
from engine.run import quiet_cpu

SIGMAS = (0.2, 0.5, 1.2, 3.0)
COUNT, SHOWN = 24, 3
GRID = 57


@dataclass(frozen=True, eq=False)
class PriorDraws:
    """Functions that priors of several widths draw, and how rough they are.

    Attributes:
        sigmas: σ, (S,).
        x, y: axes of the grid, (G,) each; y falls.
        logits: of the first draws, (S, SHOWN, G, G); the same normal draw times each σ.
        slope: mean |∇ logit| over the grid and all draws, per unit of standardised x, (S,).
        length: mean length of the contour P = 1/2 inside the grid, in units of standardised x, (S,).
        count: number of draws behind the two means.
    """

    sigmas: NDArray
    x: NDArray
    y: NDArray
    logits: NDArray
    slope: NDArray
    length: NDArray
    count: int


def prior_draws(
    architecture: Architecture,
    across: tuple[float, float],
    up: tuple[float, float],
    seed: int,
    sigmas: tuple[float, ...] = SIGMAS,
    count: int = COUNT,
) -> PriorDraws:
    """Draw networks with every weight and bias from N(0, σ²); LayerNorm's gain stays 1 and its shift 0.

    Every σ scales the same ``count`` normal draws, so that what differs between them is σ alone.

    Args:
        architecture: the shape of the networks.
        across, up: the range of the first and of the second input that is looked at.
        seed: of the draws.

    Reference: Neal, Bayesian Learning for Neural Networks, 1996, chapter 2.
    """
    x, y = np.linspace(*across, GRID), np.linspace(*up, GRID)[::-1]
    points = torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).float()
    normal = torch.from_numpy(np.random.default_rng(seed).standard_normal((count, architecture.parameters)))
    flat = (torch.tensor(sigmas, dtype=torch.float64)[:, None, None] * normal).reshape(-1, architecture.parameters)
    for layer in architecture.layers(flat):
        if layer.gain is not None and layer.shift is not None:
            layer.gain.fill_(1)
            layer.shift.fill_(0)
    with quiet_cpu(), torch.inference_mode():
        logits = architecture.logits(flat.float(), points).numpy().astype(np.float64)
    fields = logits.reshape(len(sigmas), count, GRID, GRID)
    return PriorDraws(
        np.array(sigmas),
        x,
        y,
        fields[:, :SHOWN],
        np.array([[mean_slope(field, x, y) for field in row] for row in fields]).mean(axis=1),
        np.array([[contour_length(field, x, y) for field in row] for row in fields]).mean(axis=1),
        count,
    )


def mean_slope(field: NDArray, x: NDArray, y: NDArray) -> float:
    """Mean |∇f| of a field (len(y), len(x)) over its grid, by central differences."""
    return float(np.hypot(*np.gradient(field, y, x)).mean())


def contour_length(field: NDArray, x: NDArray, y: NDArray) -> float:
    """Length of the contour f = 0 of a field (len(y), len(x)), in units of the axes."""
    lines = contour_generator(x, y, field).lines(0.0)
    return float(sum(np.hypot(*np.diff(np.asarray(line), axis=0).T).sum() for line in lines))
