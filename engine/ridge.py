"""What is read off a λ × η map: its best cell, how the best λ goes with η, and their interaction.

All take test losses (seeds, η, λ), infinite in cells that diverged, as ``Landscape.scores`` gives them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.landscape import GUESSING

WELL = 1.1
"""A row makes the ridge whose best is within this factor of the map's, and whose ends are worse by it than that."""

WINDOW = 2
"""Cells on both sides of the lowest that its parabola is fitted to."""


class Best(NamedTuple):
    """The cell with the lowest mean test loss over seeds: its place, the mean, the standard error of the mean (NaN with
    one seed), and which cells (η, λ) cannot be told from it."""

    eta: int
    weight_decay: int
    loss: float
    error: float
    near: NDArray


def best_cell(losses: NDArray) -> Best | None:
    """The best cell, or None where every cell diverged.

    A cell is near when its mean is within a standard error of the best's, and the mean of the differences on the same
    seeds, which share data and initial weights, within the standard error of these.
    """
    mean = losses.mean(0)
    eta, weight_decay = (int(place) for place in np.unravel_index(np.argmin(mean), mean.shape))
    loss, there = float(mean[eta, weight_decay]), losses[:, eta, weight_decay]
    if not math.isfinite(loss):
        return None
    error = float(standard_error(there))
    apart = np.where(np.isfinite(mean), losses - there[:, None, None], 0.0)
    near = np.isfinite(mean) & (apart.mean(0) <= np.nan_to_num(standard_error(apart)))
    return Best(eta, weight_decay, loss, error, near & (mean <= loss + np.nan_to_num(error)))


def standard_error(values: NDArray) -> NDArray:
    """Of the mean over the first axis; NaN for one value."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(0, ddof=1) / math.sqrt(len(values))


class Ridge(NamedTuple):
    """How the best λ goes with η: λ* ∝ η^slope, its standard error (NaN with one seed), the factor by which single λ*
    are off that line (root mean square), the rows that it was fitted to, and λ* in each of them."""

    slope: float
    error: float
    factor: float
    rows: NDArray
    weight_decays: NDArray


def ridge(losses: NDArray, eta: NDArray, weight_decay: NDArray) -> Ridge | None:
    """The ridge over axes eta (η,) and weight_decay (λ,), or None where fewer than three rows make one.

    λ* is the vertex of a parabola in log λ fitted to the lowest cell of the mean over seeds and two on each side; the
    slope a least-squares fit of log λ* over log η. A row counts when its best is within WELL of the map's and beats
    guessing, and when both ends of its λ axis are clearly worse: a row chosen by where its own λ* lies would pull the
    slope to 0. The error is the jackknife's over seeds.
    """
    mean, x, y = losses.mean(0), np.log(weight_decay), np.log(eta)
    lowest = mean.min(1)
    good = (lowest <= WELL * lowest.min()) & (lowest < GUESSING) & (mean[:, [0, -1]].min(1) >= WELL * lowest)
    rows = np.array(
        [row for row in np.flatnonzero(good) if np.isfinite(mean[row][_window(mean[row])]).all()], dtype=int
    )
    if len(rows) < 3:
        return None

    def slope(of: NDArray) -> float:
        return float(np.polyfit(y[rows], _lowest(of[rows], x), 1)[0])

    seeds, error = len(losses), math.nan
    if seeds > 1:
        without = np.array([slope(np.delete(losses, seed, 0).mean(0)) for seed in range(seeds)])
        error = float(np.sqrt((seeds - 1) / seeds * ((without - without.mean()) ** 2).sum()))
    best = _lowest(mean[rows], x)
    off = best - np.polyval(np.polyfit(y[rows], best, 1), y[rows])
    return Ridge(slope(mean), error, float(np.exp(np.sqrt((off**2).mean()))), rows, np.exp(best))


def _window(row: NDArray) -> slice:
    middle = int(np.clip(row.argmin(), WINDOW, len(row) - 1 - WINDOW))
    return slice(middle - WINDOW, middle + WINDOW + 1)


def _lowest(losses: NDArray, x: NDArray) -> NDArray:
    """Where each row of losses (r, L) over x (L,) is lowest, by its parabola."""
    found = []
    for row in losses:
        there = _window(row)
        bend, tilt, _ = np.polyfit(x[there], row[there], 2)
        vertex = -tilt / (2 * bend) if bend > 0 else x[row.argmin()]
        found.append(np.clip(vertex, x[there.start], x[there.stop - 1]))
    return np.array(found)


class Interaction(NamedTuple):
    """How much of log test loss no sum of a part of η and a part of λ explains: the share of its variance over cells,
    the share that seeds alone would make look like that (NaN with one), and the number of cells."""

    share: float
    noise: float
    cells: int


def interaction(losses: NDArray) -> Interaction | None:
    """The interaction of η and λ in the cells where every seed beats guessing; None where few or all equal.

    The two-way analysis of variance of log loss with unequal cells: a least-squares fit of row plus column effects to
    each seed; the mean of their residuals is the interaction, its standard error over seeds the noise in it.
    """
    inside = ((losses < GUESSING) & (losses > 0)).all(0)
    rows, columns = np.nonzero(inside)
    logs = np.log(losses[:, inside])  # (seeds, cells)
    total = float(((logs.mean(0) - logs.mean()) ** 2).sum()) if len(rows) else 0.0
    design = np.concatenate([np.eye(losses.shape[1])[rows], np.eye(losses.shape[2])[columns]], 1)
    if total <= 1e-20 or len(rows) - int(np.linalg.matrix_rank(design)) < 10:
        return None
    residuals = logs - (design @ np.linalg.lstsq(design, logs.T, rcond=None)[0]).T
    share = float((residuals.mean(0) ** 2).sum()) / total
    return Interaction(share, float((standard_error(residuals) ** 2).sum()) / total, len(rows))
