"""The λ × η map: what two variants end with at every λ and η of a grid, for a few seeds, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.experiment import Experiment, budgeted
from engine.run import METRICS
from engine.train import train_finals
from engine.variants import VARIANTS, Variant

SIDE = 24
"""Values of λ, and of η."""

SEEDS = 4
STRIDE = 3
"""A tile takes every third λ and every third η: 64 models that together are a coarse map."""

BUDGET = 1e12
"""Largest cost of a whole map: half a minute on two cores."""

GUESSING = math.log(2)
"""The cross-entropy of saying P(y=1) = ½ everywhere."""

WELL = 1.1
"""Rows of the map whose best test loss is within this factor of the map's best make the ridge."""

_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


class Tile(NamedTuple):
    """One batch of a map: the seed and the variant by their places, and where on the grid it starts."""

    seed: int
    variant: int
    eta: int
    weight_decay: int


@dataclass(frozen=True)
class Plan:
    """What a map trains: two variants of an experiment whose own λ and η do not matter.

    Attributes:
        experiment: data, model and training; the seeds are its own and the next three.
        pair: the keys of two variants with a λ.
    """

    experiment: Experiment
    pair: tuple[str, str]

    @property
    def variants(self) -> tuple[Variant, Variant]:
        """The registry's entries of the pair."""
        left, right = self.pair
        return VARIANTS[left], VARIANTS[right]

    @property
    def seeds(self) -> list[int]:
        """The seeds that are averaged."""
        first = min(self.experiment.seed, 9999 - SEEDS + 1)
        return list(range(first, first + SEEDS))

    @property
    def models(self) -> int:
        """Models of the whole map."""
        return len(self.pair) * SEEDS * SIDE * SIDE

    def at(self, variant: int, eta: int, weight_decay: int, seed: int = 0) -> Experiment:
        """The experiment of one cell, with both variants: those of the other family keep the experiment's η and λ."""
        chosen = self.variants[variant]
        lr, decay = ("lr_adaptive", "weight_decay_adaptive") if chosen.adaptive else ("lr", "weight_decay")
        cell: dict[str, Any] = {lr: etas(chosen)[eta], decay: weight_decays()[weight_decay]}
        return replace(self.experiment, seed=self.seeds[seed], variants=self.pair, **cell)

    def tiles(self) -> Iterator[Tile]:
        """Every tile: first a coarse map of each variant, then the rest of the first seed, then the other seeds."""
        middle = STRIDE // 2
        offsets = sorted(product(range(STRIDE), repeat=2), key=lambda at: at != (middle, middle))
        for seed, (eta, weight_decay), variant in product(range(SEEDS), offsets, range(len(self.pair))):
            yield Tile(seed, variant, eta, weight_decay)

    def experiments(self, tile: Tile) -> list[Experiment]:
        """The experiments of a tile, each with its one variant, η outermost."""
        places = product(range(tile.eta, SIDE, STRIDE), range(tile.weight_decay, SIDE, STRIDE))
        alone = (self.pair[tile.variant],)
        return [replace(self.at(tile.variant, *place, tile.seed), variants=alone) for place in places]


def plan_of(experiment: Experiment, pair: tuple[str, str]) -> tuple[Plan, list[str]]:
    """The map of an experiment, its steps cut to what a map may cost; and why, if so.

    Raises:
        ValueError: a variant without a λ.
    """
    if not all(VARIANTS[key].has_weight_decay for key in pair):
        raise ValueError(f"A map needs two variants with a λ, not {', '.join(pair)}.")
    default = Experiment()
    plain = replace(
        experiment, variants=pair, lr=default.lr, lr_adaptive=default.lr_adaptive, weight_decay=default.weight_decay,
        weight_decay_adaptive=None,
    )  # fmt: skip
    (chosen,), notices = budgeted([plain], SIDE * SIDE * SEEDS, BUDGET)
    return Plan(chosen, pair), notices


def etas(variant: Variant) -> list[float]:
    """The η of a map, four decades of values that the sliders have, rising."""
    values = [float(f"{step}e{decade}") for decade in range(-4, 2) for step in _STEPS]
    first = values.index(1e-4 if variant.adaptive else 3e-3)
    return values[first : first + SIDE]


def weight_decays() -> list[float]:
    """The λ of a map, rising."""
    return [float(f"{step}e{decade}") for decade in range(-3, 1) for step in _STEPS]


def train_tile(plan: Plan, tile: Tile, on_step: Callable[[int], None] = lambda step: None) -> tuple[NDArray, NDArray]:
    """METRICS (8, 8, 6) and steps of divergence (8, 8) of a tile, η first; ``on_step`` as for ``train``."""
    metrics, diverged = train_finals(plan.experiments(tile), dtype=torch.float64, device="cpu", on_step=on_step)
    side = SIDE // STRIDE
    return metrics.reshape(side, side, len(METRICS)), diverged.reshape(side, side)


@dataclass
class Landscape:
    """A map as far as it is trained.

    Attributes:
        plan: what it is a map of.
        metrics: METRICS of every model (variants, seeds, η, λ, 6), NaN where none is trained yet.
        diverged: the step at which a model left the finite, 0 if it did not, (variants, seeds, η, λ).
        done: the tiles that are trained.
    """

    plan: Plan
    metrics: NDArray = field(init=False)
    diverged: NDArray = field(init=False)
    done: frozenset[Tile] = frozenset()

    def __post_init__(self) -> None:
        shape = (len(self.plan.pair), SEEDS, SIDE, SIDE)
        self.metrics = np.full((*shape, len(METRICS)), np.nan)
        self.diverged = np.zeros(shape, dtype=int)

    def add(self, tile: Tile, metrics: NDArray, diverged: NDArray) -> None:
        """Put a trained tile into its place."""
        place = (tile.variant, tile.seed, slice(tile.eta, None, STRIDE), slice(tile.weight_decay, None, STRIDE))
        self.metrics[place], self.diverged[place] = metrics, diverged
        self.done = self.done | {tile}

    @property
    def models(self) -> int:
        """Models trained so far."""
        return len(self.done) * (SIDE // STRIDE) ** 2

    @property
    def seeds(self) -> int:
        """Seeds of which every model is trained."""
        return int((~np.isnan(self.metrics[..., 0])).all(axis=(0, 2, 3)).sum())

    def values(self, name: str) -> NDArray:
        """One of METRICS as far as seeds are whole, (variants, seeds, η, λ)."""
        return self.metrics[:, : self.seeds, ..., METRICS.index(name)]

    def preview(self, name: str) -> NDArray:
        """One of METRICS averaged over what is trained, (variants, η, λ): an untrained cell shows its coarse cell's."""
        trained = ~np.isnan(self.metrics[..., 0])
        values = np.where(trained, self.metrics[..., METRICS.index(name)], 0.0)
        count = trained.sum(1)
        own = values.sum(1) / np.maximum(count, 1)
        own[count == 0] = np.nan
        middles = own[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        return np.where(count > 0, own, middles.repeat(STRIDE, 1).repeat(STRIDE, 2))


class Best(NamedTuple):
    """The cell with the lowest mean test loss over seeds: its place, the mean, the standard error of the mean (NaN with
    one seed), and which cells (η, λ) are within one standard error of it on the same seeds."""

    eta: int
    weight_decay: int
    loss: float
    error: float
    near: NDArray


def best_cell(losses: NDArray) -> Best:
    """The best cell of test losses (seeds, η, λ).

    Seeds are compared cell by cell on the same data and initial weights: a cell is near when the mean of its difference
    to the best is at most the standard error of that difference.
    """
    mean = losses.mean(0)
    eta, weight_decay = np.unravel_index(np.argmin(mean), mean.shape)
    at = (slice(None), eta, weight_decay)
    apart = losses - losses[at][:, None, None]
    near = apart.mean(0) <= np.nan_to_num(_standard_error(apart))
    return Best(int(eta), int(weight_decay), float(mean[eta, weight_decay]), float(_standard_error(losses[at])), near)


def _standard_error(values: NDArray) -> NDArray:
    """Of the mean over the first axis; NaN for one value."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(0, ddof=1) / math.sqrt(len(values))


class Ridge(NamedTuple):
    """How the best λ goes with η, λ* ∝ η^slope: the slope of each seed (seeds,), the rows that it was fitted to, and λ*
    of the mean over seeds in each of them."""

    slopes: NDArray
    rows: NDArray
    weight_decays: NDArray

    @property
    def slope(self) -> float:
        """The mean of the seeds' slopes."""
        return float(self.slopes.mean())

    @property
    def error(self) -> float:
        """Its standard error; NaN with one seed."""
        return float(_standard_error(self.slopes))


def ridge(losses: NDArray, eta: NDArray, weight_decay: NDArray) -> Ridge | None:
    """The ridge of test losses (seeds, η, λ), or None where fewer than three rows have one.

    A row counts when its best mean loss is within WELL of the map's and does not lie at an end of the λ axis. λ* is the
    vertex of the parabola through the best cell and its neighbours, over log λ; the slope is a least-squares fit of
    log λ* over log η.
    """
    mean, last = losses.mean(0), losses.shape[2] - 1
    places = mean.argmin(1)
    good = (mean.min(1) <= WELL * mean.min()) & (mean.min(1) < GUESSING) & (places > 0) & (places < last)
    rows = np.flatnonzero(good)
    if len(rows) < 3:
        return None
    log_eta = np.log(eta)[rows]
    slopes = [np.polyfit(log_eta, _lowest(seed[rows], np.log(weight_decay)), 1)[0] for seed in losses]
    return Ridge(np.array(slopes), rows, np.exp(_lowest(mean[rows], np.log(weight_decay))))


def _lowest(losses: NDArray, x: NDArray) -> NDArray:
    """Where each row of losses (r, L) over x (L,) is lowest: the vertex of the parabola through its lowest three."""
    middle = losses.argmin(1).clip(1, len(x) - 2)
    rows = np.arange(len(losses))
    (x0, x1, x2), (y0, y1, y2) = ([v[..., middle + k] if v is x else v[rows, middle + k] for k in (-1, 0, 1)]
                                  for v in (x, losses))  # fmt: skip
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = right - left
    vertex = (x0 + x1) / 2 - left * (x2 - x0) / 2 / np.where(bend > 0, bend, np.inf)
    return np.where(bend > 0, vertex.clip(x0, x2), x1)


class Interaction(NamedTuple):
    """How much of log test loss no sum of a part of η and a part of λ explains: the share of its variance over cells,
    the share that seeds alone would make look like that, and the number of cells."""

    share: float
    noise: float
    cells: int


def interaction(losses: NDArray) -> Interaction | None:
    """The interaction of η and λ in test losses (seeds, η, λ) where every seed beats guessing; None where too few do.

    The two-way analysis of variance of log loss with unequal cells: a least-squares fit of row plus column effects to
    each seed; the mean of their residuals is the interaction, its standard error over seeds the noise in it.
    """
    inside = (losses < GUESSING).all(0)
    rows, columns = np.nonzero(inside)
    logs = np.log(losses[:, inside])  # (seeds, cells)
    design = np.concatenate([np.eye(losses.shape[1])[rows], np.eye(losses.shape[2])[columns]], 1)
    rank = int(np.linalg.matrix_rank(design)) if len(rows) else 0
    free = len(rows) - rank
    if free < 10:
        return None
    fitted = design @ np.linalg.lstsq(design, logs.T, rcond=None)[0]
    residuals = logs - fitted.T
    total = float(((logs.mean(0) - logs.mean()) ** 2).sum())
    share = float((residuals.mean(0) ** 2).sum()) / total
    return Interaction(share, float((_standard_error(residuals) ** 2).sum()) / total, len(rows))
