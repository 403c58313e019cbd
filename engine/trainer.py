"""The training loop: many models as the rows of one matrix, step by step, and what it leaves on the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.datasets import Data, make_data
from engine.experiment import Experiment
from engine.mlp import LossGradient
from engine.run import METRICS, Rows, architecture_of, decayed_masks, metrics_of
from engine.transforms import Slot, Transform, Update, bridge, merge
from engine.variants import VARIANTS

DIVERGED_BEYOND = 1e6
"""A weight beyond this, or not finite, counts as diverged."""

CHECK_EVERY = 25
TOLD_AT_LEAST = 0.03
"""Seconds after which a training of slow steps calls back sooner: a newer control move must end it within 0.1 s."""


class Recorded(NamedTuple):
    """What a training of R models left, on the host.

    Attributes:
        film: parameters at the recorded steps, (T, R, P).
        diverged: the step at which each model diverged, 0 if it did not, (R,).
        metrics: METRICS at those steps, (T, R, 6), where they were measured beside the training.
    """

    film: NDArray
    diverged: NDArray
    metrics: NDArray | None = None


class ByStep(Protocol):
    """What the steps are given: a tensor's rows, found by the number of the step less one."""

    def __getitem__(self, before: Any, /) -> Tensor: ...


def rows_of(experiments: Sequence[Experiment]) -> Rows:
    """(experiment, variant) of every model, variant by variant, so that equal transforms are neighbours."""
    return [(one, variant) for variant in VARIANTS.values() for one in experiments if variant.key in one.variants]


def batch_order(experiment: Experiment) -> NDArray | None:
    """Which points each step sees, (steps, batch), the same for all variants; None when every step sees all.

    Every epoch is a fresh permutation of the points; batches are cut from the stream of epochs, so each has full size.
    """
    n, batch = experiment.points, experiment.batch
    if batch == n:
        return None
    rng = np.random.default_rng([experiment.seed, 1])
    epochs = -(-experiment.steps * batch // n)
    stream = np.concatenate([rng.permutation(n) for _ in range(epochs)])
    return stream[: experiment.steps * batch].reshape(experiment.steps, batch)


def _multipliers(rows: Rows) -> tuple[NDArray, NDArray]:
    """s_t of every schedule that some row follows, (steps, S), and which is each row's, (R,)."""
    schedules = {one.schedule: one for one, _ in rows}
    places = {name: place for place, name in enumerate(schedules)}
    each = np.stack([one.schedule_of_steps() for one in schedules.values()], 1)
    return each, np.array([places[one.schedule] for one, _ in rows])


class Trainer:
    """The state of one batched training: parameters (R, P), the optimizers' memory, and who diverged when.

    Every row is packed as ``Architecture.packing`` says; ``pack`` and ``flat`` go to and fro.

    Args:
        rows: (experiment, variant) of every model, in the order of ``rows_of``.
        dtype, device: of all tensors.
        share: called with every new v of an adaptive transform, as ``Slot`` says.
    """

    batches: ByStep | None
    multipliers: ByStep

    def __init__(
        self, rows: Rows, dtype: torch.dtype, device: torch.device, share: Callable[[Tensor], object] | None = None
    ) -> None:
        self.rows = rows
        one, _ = rows[0]
        as_tensor = partial(torch.as_tensor, dtype=dtype, device=device)
        self.data: Data = make_data(one.dataset, one.noise, one.points, one.seed)
        architecture = architecture_of(one)
        self.packing = architecture.packing().to(device)
        start = self.pack(as_tensor(architecture.initial(one.seed)))
        self.w = start.repeat(len(self.rows), 1)
        self.loss_gradient = LossGradient(architecture, self.w, one.batch)
        self.x, self.y = as_tensor(self.data.x_train).T.contiguous(), as_tensor(self.data.y_train)
        order = batch_order(one)
        self.batches = None if order is None else torch.as_tensor(order, device=device)
        self.loss_gradient.see(self.x[:, : one.batch], self.y[: one.batch])
        self.lr_max = as_tensor([[experiment.lr_of(variant)] for experiment, variant in self.rows])
        multipliers, schedules = _multipliers(rows)
        scheduled = as_tensor(multipliers)[:, :, None]
        several = len(multipliers[0]) > 1
        self.multipliers = scheduled[:, schedules] if several else scheduled.expand(-1, len(rows), 1)
        masks, sets = decayed_masks(rows, architecture)
        weight_decay = as_tensor([[experiment.weight_decay_of(variant)] for experiment, variant in self.rows])
        self.whole = Slot(
            w=self.w,
            u=self.loss_gradient.gradient,
            lr=self.lr_max * self.multipliers[0],
            schedule=self.multipliers[0].clone(),
            weight_decay=weight_decay * self.pack(as_tensor(masks))[sets],
            momentum=as_tensor([[experiment.momentum] for experiment, _ in self.rows]),
            max_norm=as_tensor([[experiment.max_norm] for experiment, _ in self.rows]),
            start=start,
            normalised=self.pack(as_tensor(architecture.normalised())),
            matrices=architecture.packed_matrices(),
            share=share,
            steady=bool((multipliers == multipliers[0]).all()),
            memory=[self.w],
        )
        self.updates = self._bind([variant.chain_with(experiment.nesterov) for experiment, variant in self.rows])
        self.diverged: dict[int, int] = {}
        self.frozen: dict[int, Tensor] = {}

    def _bind(self, chains: list[tuple[Transform, ...]]) -> list[Update]:
        by_row = ("w", "u", "lr", "schedule", "weight_decay", "momentum", "max_norm")
        updates = []
        for step, own in bridge(merge(chains)):
            rows = slice(own[0], own[-1] + 1)
            slot = replace(self.whole, **{name: getattr(self.whole, name)[rows] for name in by_row})
            if len(own) < len(slot.w):
                has_it = torch.zeros_like(slot.lr)
                has_it[[row - rows.start for row in own]] = 1
                slot.weight_decay = slot.weight_decay * has_it
            updates.append(step.init(slot))
        return updates

    def pack(self, flat: Tensor) -> Tensor:
        """Rows (…, P) as the training keeps them."""
        return flat[..., self.packing]

    def flat(self, packed: Tensor) -> Tensor:
        """Rows (…, P) as everyone else knows them."""
        return packed[..., self.packing.argsort()]

    def record(self, steps: NDArray, on_step: Callable[[int], None]) -> Recorded:
        """Train through the recorded steps (T,), the first of them 0, and keep the film."""
        film = self.film(steps, on_step).numpy()
        return Recorded(film, self._gone())

    def finals(self, on_step: Callable[[int], None]) -> tuple[NDArray, NDArray]:
        """Train to the end: METRICS (R, 6) in float64, and the step at which each diverged (R,), 0 if it did not."""
        last = self.film(np.array([0, self.rows[0][0].steps]), on_step)[-1]
        measured = metrics_of(self.rows, self.data, last)
        metrics = torch.stack([measured[name].to(torch.float64) for name in METRICS], 1).numpy()
        return metrics, self._gone()

    def _gone(self) -> NDArray:
        return np.array([self.diverged.get(row, 0) for row in range(len(self.rows))])

    def film(self, steps: NDArray, on_step: Callable[[int], None]) -> Tensor:
        """Train through the recorded steps and return the parameters (T, R, P) at each."""
        film = self.w.new_empty(len(steps), *self.w.shape)
        film[0] = self.w
        stops, told = np.union1d(steps, np.arange(0, steps[-1], CHECK_EVERY)), time.monotonic()
        frames = {step: frame for frame, step in enumerate(steps.tolist())}
        for start, stop in pairwise(stops.tolist()):
            before = [state.clone() for state in self.whole.memory]
            for t in range(start + 1, stop + 1):
                self.step(t)
                if t % CHECK_EVERY == 0 or time.monotonic() - told > TOLD_AT_LEAST:
                    on_step(t)
                    told = time.monotonic()
            if self._newly_diverged():
                self._replay(before, range(start + 1, stop + 1), on_step)
            if stop in frames:
                film[frames[stop]] = self.w
                for row, last in self.frozen.items():
                    film[frames[stop], row] = last
        return self.flat(film)

    def step(self, t: Any) -> None:
        """Step t = 1, 2, … of all runs: gradient, then every transform of every chain."""
        self.prepare(t)
        self.update(t)

    def prepare(self, t: Any) -> None:
        """What step t starts with: its points, its learning rate, and the gradient of the data loss."""
        if self.batches is not None:
            batch = self.batches[t - 1]
            self.loss_gradient.see(self.x[:, batch], self.y[batch])
        if not self.whole.steady:
            self.whole.schedule.copy_(self.multipliers[t - 1])
            torch.mul(self.lr_max, self.multipliers[t - 1], out=self.whole.lr)
        self.loss_gradient()

    def update(self, t: Any) -> None:
        """Every transform of every chain, on the gradient as it is."""
        for update in self.updates:
            update(t)

    def _newly_diverged(self) -> list[int]:
        ok = (self.w.abs().amax(1) <= DIVERGED_BEYOND).tolist()
        return [row for row, fine in enumerate(ok) if not fine and row not in self.diverged]

    def _replay(self, before: list[Tensor], steps: range, on_step: Callable[[int], None]) -> None:
        """Train the segment again, looking at every step, to freeze each diverging run at its last finite step."""
        for state, old in zip(self.whole.memory, before, strict=True):
            state.copy_(old)
        told = time.monotonic()
        for t in steps:
            if time.monotonic() - told > TOLD_AT_LEAST:
                on_step(t - 1)
                told = time.monotonic()
            last = self.w.clone()
            self.step(t)
            for row in self._newly_diverged():
                self.diverged[row], self.frozen[row] = t, last[row]
