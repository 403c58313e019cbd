"""What a run shows: Run -> arrays and tidy frames, ready to draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from engine.datasets import Data
from engine.run import Run, quiet_cpu
from engine.theory import free_decay
from engine.variants import Variant

GRID = 64
EQUAL = 1e-6
"""Largest max|Δw| that the screen calls equal."""


@dataclass(frozen=True)
class Window:
    """The rectangle of data space that pictures show."""

    x: tuple[float, float]
    y: tuple[float, float]


def window(data: Data, margin: float = 0.08) -> Window:
    """All training points and nearly all test points, with a margin (a share of the width)."""

    def span(column: int) -> tuple[float, float]:
        train, test = data.x_train[:, column], data.x_test[:, column]
        low, high = np.quantile(test, [0.01, 0.99])
        low, high = min(low, train.min()), max(high, train.max())
        return float(low - margin * (high - low)), float(high + margin * (high - low))

    return Window(span(0), span(1))


def boundary_logits(run: Run, shown: Window, grid: int = GRID, frames: slice = slice(None)) -> NDArray:
    """Logits of every variant on a grid over the window, (T, R, grid, grid), float32; rows from the top down."""
    x, y = np.linspace(*shown.x, grid), np.linspace(*shown.y, grid)[::-1]
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    film = run.film[frames]
    flat = torch.as_tensor(film.reshape(-1, film.shape[2]), dtype=torch.float32)
    with quiet_cpu(), torch.inference_mode():
        logits = run.architecture.logits(flat, torch.as_tensor(points, dtype=torch.float32))
    return logits.numpy().reshape(*film.shape[:2], grid, grid)


def pairs(run: Run) -> list[tuple[Variant, Variant]]:
    """Every pair of variants of the same optimizer that differ in where λ enters: (L2, decay)."""
    chosen = run.experiment.chosen
    return [
        (a, b)
        for a, b in combinations(chosen, 2)
        if a.family == b.family and (a.where, b.where) == ("gradient", "weight")
    ]


def pair_difference(run: Run, a: Variant, b: Variant, frames: slice = slice(None)) -> NDArray:
    """max|Δw| over all parameters between two variants, at recorded steps (T,)."""
    difference = run.film[frames, run.row(a.key)].astype(np.float64) - run.film[frames, run.row(b.key)]
    return np.abs(difference).max(axis=1)


def layer_series(run: Run) -> list[dict[str, NDArray]]:
    """‖W‖ of every weight matrix at every recorded step: for each layer, input to output, variant to (T,)."""
    shape = run.film.shape
    layers = run.architecture.layers(torch.from_numpy(run.film.reshape(-1, shape[2])))
    norms = [layer.weight.flatten(1).norm(dim=1).numpy().reshape(shape[:2]) for layer in layers]
    return [dict(zip(run.experiment.variants, norm.T, strict=True)) for norm in norms]


def weight_trajectories(run: Run, count: int = 24) -> tuple[pd.DataFrame, float]:
    """Single weights over training, evenly spaced among all, and the largest of them in size.

    Returns:
        A tidy frame variant, weight (index), step, value, and max|w| over the variants that did not diverge.
    """
    total = run.architecture.weights
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    frames = [
        pd.DataFrame(
            {
                "variant": name,
                "weight": np.repeat(chosen, len(run.steps)),
                "step": np.tile(run.steps, len(chosen)),
                "value": run.film[:, run.row(name), chosen].T.reshape(-1),
            }
        )
        for name in run.experiment.variants
    ]
    return pd.concat(frames, ignore_index=True), float(np.abs(run.film[:, _calm(run)][:, :, chosen]).max())


def histogram(run: Run, bins: int = 31) -> pd.DataFrame:
    """Share of weights in equal bins at every recorded step, tidy: variant, step, low, high, share.

    The bins span the 0.2 % to 99.8 % quantiles over all variants that did not diverge; weights beyond count in the
    outer bins.
    """
    weights = run.film[:, :, : run.architecture.weights]
    reach = max(float(np.abs(np.quantile(weights[:, _calm(run)], [0.002, 0.998])).max()), 1e-3)
    edges = np.linspace(-reach, reach, bins + 1)
    where = np.clip(np.digitize(weights, edges) - 1, 0, bins - 1)
    shares = np.stack([(where == i).mean(axis=2) for i in range(bins)], axis=-1)
    frames, runs = shares.shape[:2]
    return pd.DataFrame(
        {
            "variant": np.tile(np.repeat(run.experiment.variants, bins), frames),
            "step": np.repeat(run.steps, runs * bins),
            "low": np.tile(edges[:-1], frames * runs),
            "high": np.tile(edges[1:], frames * runs),
            "share": shares.reshape(-1),
        }
    )


def _calm(run: Run) -> list[int]:
    """Rows of the variants that did not diverge, or all where every one did."""
    rows = [run.row(name) for name, step in run.diverged.items() if step is None]
    return rows or list(range(len(run.experiment.variants)))


def free_decay_curves(run: Run) -> dict[str, NDArray]:
    """‖w‖ if decay acted alone from the shared initial weights, for variants with λ on the weight: variant to (T,).

    Where a variant decays some weights otherwise than others (AdamC), the norms of both parts are put together.
    """
    film, feeds = run.film[0, 0, : run.architecture.weights], run.architecture.normalised()
    feeds = feeds[: run.architecture.weights] > 0
    curves = {}
    for variant in run.experiment.chosen:
        if variant.where == "weight":
            parts = ((feeds, True), (~feeds, False))
            norms = [
                free_decay(float(np.linalg.norm(film[part])), run.experiment.shrinks_of(variant, normed), run.steps)
                for part, normed in parts
            ]
            curves[variant.key] = np.hypot(*norms)
    return curves
