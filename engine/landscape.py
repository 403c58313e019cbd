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
    """The η of a map, rising: nearly four decades of values that the sliders have."""
    return _decades(1e-4 if variant.adaptive else 3e-3)


def weight_decays() -> list[float]:
    """The λ of a map, rising to the largest that the sliders have: AdamW's best is one of the last."""
    return _decades(1.5e-3)


def _decades(first: float) -> list[float]:
    values = [float(f"{step}e{decade}") for decade in range(-4, 2) for step in _STEPS]
    return values[values.index(first) :][:SIDE]


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
    done: set[Tile] = field(default_factory=set)

    def __post_init__(self) -> None:
        shape = (len(self.plan.pair), SEEDS, SIDE, SIDE)
        self.metrics = np.full((*shape, len(METRICS)), np.nan)
        self.diverged = np.zeros(shape, dtype=int)

    def add(self, tile: Tile, metrics: NDArray, diverged: NDArray) -> None:
        """Put a trained tile into its place."""
        place = (tile.variant, tile.seed, slice(tile.eta, None, STRIDE), slice(tile.weight_decay, None, STRIDE))
        self.metrics[place], self.diverged[place] = metrics, diverged
        self.done.add(tile)

    def snapshot(self) -> Landscape:
        """A copy that stays as it is while another thread adds tiles to this one."""
        copy = Landscape(self.plan, self.done.copy())  # first: what is counted as done is in the arrays
        copy.metrics, copy.diverged = self.metrics.copy(), self.diverged.copy()
        return copy

    @property
    def models(self) -> int:
        """Models trained so far."""
        return len(self.done) * (SIDE // STRIDE) ** 2

    @property
    def seeds(self) -> int:
        """The first seeds of which every model is trained: how many."""
        return int(np.cumprod((~np.isnan(self.metrics[..., 0])).all(axis=(0, 2, 3))).sum())

    def values(self, name: str) -> NDArray:
        """One of METRICS as far as seeds are whole, (variants, seeds, η, λ)."""
        return self.metrics[:, : self.seeds, ..., METRICS.index(name)]

    def scores(self, variant: int) -> NDArray:
        """Test losses as far as seeds are whole, (seeds, η, λ); infinite in a cell of which a model diverged.

        A diverged model stays at huge weights, whose test loss may be anything, even 0.
        """
        losses = self.values("test_loss")[variant]
        return np.where((self.diverged[variant, : self.seeds] > 0).any(0), np.inf, losses)

    def preview(self, name: str) -> NDArray:
        """One of METRICS averaged over what is trained, (variants, η, λ): an untrained cell shows its coarse cell's."""
        trained = ~np.isnan(self.metrics[..., 0])
        values = np.where(trained, self.metrics[..., METRICS.index(name)], 0.0)
        count = trained.sum(1)
        own = values.sum(1) / np.maximum(count, 1)
        own[count == 0] = np.nan
        middles = own[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        return np.where(count > 0, own, middles.repeat(STRIDE, 1).repeat(STRIDE, 2))
