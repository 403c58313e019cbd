"""train(experiment) -> Run: the only place that picks a device and loops over steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.datasets import Data, make_data
from engine.experiment import Experiment
from engine.mlp import LossGradient
from engine.run import Run, architecture_of, decayed_columns, quiet_cpu
from engine.transforms import Slot, Transform, Update, merge
from engine.variants import VARIANTS

FRAMES = 41
"""Recorded steps of a training, the first and the last among them."""

DIVERGED_BEYOND = 1e6
"""A weight beyond this, or not finite, counts as diverged."""

CHECK_EVERY = 25
GPU_WORTH = 5e7
"""Multiply-adds a step from which ``device="auto"`` takes a GPU that is there."""


def train(
    experiment: Experiment,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "auto",
    on_step: Callable[[int], None] | None = None,
) -> Run:
    """Train all variants of an experiment in one batched pass from the same initial weights.

    Args:
        experiment: what to train.
        dtype: torch.float32 or torch.float64.
        device: "auto" (a GPU if there is one and the work is worth it), "cpu" or "cuda".
        on_step: called every 25 steps with the number of steps done; what it raises stops the training at once.

    Returns:
        The Run, on the CPU, with parameters recorded at 41 even steps (fewer for a shorter training).

    Raises:
        RuntimeError: "cuda" was asked for and there is none.
    """
    return train_many([experiment], dtype=dtype, device=device, on_step=on_step)[0]


def train_many(
    experiments: Sequence[Experiment],
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "auto",
    on_step: Callable[[int], None] | None = None,
) -> list[Run]:
    """Train several experiments as one batch: they may differ in decay, rates, schedule, momentum and variants.

    Args:
        experiments: with the same data, model, number of steps and batch size.
        dtype, device, on_step: as for ``train``.

    Returns:
        A Run for each, as ``train`` gives it.

    Raises:
        ValueError: there are none, or they differ in what one batch must share; the message names the knobs.
        RuntimeError: "cuda" was asked for and there is none.
    """
    one = _common(experiments)
    steps = np.unique(np.linspace(0, one.steps, FRAMES).round().astype(int))
    with quiet_cpu(), torch.inference_mode():
        trainer = Trainer(experiments, dtype, _device(experiments, device))
        film = trainer.film(steps, on_step or (lambda step: None)).cpu().numpy()
    runs = []
    for experiment in experiments:
        rows = [trainer.rows.index((experiment, variant)) for variant in experiment.chosen]
        diverged = {name: trainer.diverged.get(row) for name, row in zip(experiment.variants, rows, strict=True)}
        own = film if len(experiments) == 1 and rows == sorted(rows) else film[:, rows]
        runs.append(Run(experiment, trainer.data, steps, own, diverged))
    return runs


SHARED = ("dataset", "noise", "points", "seed", "hidden", "activation", "layer_norm", "steps", "batch_size")
"""Knobs that experiments of one batch must agree on."""


def _common(experiments: Sequence[Experiment]) -> Experiment:
    if not experiments:
        raise ValueError("train_many needs at least one experiment.")
    one = experiments[0]
    differing = [name for name in SHARED if any(getattr(other, name) != getattr(one, name) for other in experiments)]
    if differing:
        raise ValueError(f"Experiments of one batch must agree on {', '.join(differing)}.")
    return one


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


def _device(experiments: Sequence[Experiment], device: str) -> torch.device:
    if device == "auto":
        work = sum(len(experiment.variants) * experiment.batch * experiment.parameters for experiment in experiments)
        return torch.device("cuda" if work >= GPU_WORTH and torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("There is no CUDA device here; use device='auto' or 'cpu'.")
    return torch.device(device)


class Trainer:
    """The state of one batched training: parameters (R, P), the optimizers' memory, and who diverged when.

    Rows are (experiment, variant), variant by variant, so that equal transforms are neighbours and run as one call.
    """

    def __init__(self, experiments: Sequence[Experiment], dtype: torch.dtype, device: torch.device) -> None:
        one = _common(experiments)
        as_tensor = partial(torch.as_tensor, dtype=dtype, device=device)
        self.data: Data = make_data(one.dataset, one.noise, one.points, one.seed)
        self.rows = [
            (experiment, variant)
            for variant in VARIANTS.values()
            for experiment in experiments
            if variant in experiment.chosen
        ]
        architecture = architecture_of(one)
        start = as_tensor(architecture.initial(one.seed))
        self.w = start.repeat(len(self.rows), 1)
        self.loss_gradient = LossGradient(architecture, self.w, one.batch)
        self.x, self.y = as_tensor(self.data.x_train).T.contiguous(), as_tensor(self.data.y_train)
        order = batch_order(one)
        self.batches = None if order is None else torch.as_tensor(order, device=device)
        self.loss_gradient.see(self.x[:, : one.batch], self.y[: one.batch])
        self.lr_max = as_tensor([[experiment.lr_of(variant)] for experiment, variant in self.rows])
        multipliers = {experiment: experiment.schedule_of_steps() for experiment in experiments}
        self.multipliers = as_tensor(np.stack([multipliers[experiment] for experiment, _ in self.rows], 1)[:, :, None])
        masks = {experiment: torch.zeros_like(start) for experiment in experiments}
        for experiment, mask in masks.items():
            mask[decayed_columns(experiment, architecture)] = 1
        self.whole = Slot(
            w=self.w,
            u=self.loss_gradient.gradient,
            lr=self.lr_max * self.multipliers[0],
            schedule=self.multipliers[0].clone(),
            weight_decay=torch.stack([e.weight_decay_of(v) * masks[e] for e, v in self.rows]),
            momentum=as_tensor([[experiment.momentum] for experiment, _ in self.rows]),
            max_norm=as_tensor([[experiment.max_norm] for experiment, _ in self.rows]),
            start=start,
            normalised=as_tensor(architecture.normalised()),
            matrices=architecture.matrices(),
            share=self.share,
            steady=bool((self.multipliers == self.multipliers[0]).all()),
            memory=[self.w],
        )
        self.updates = self._bind([variant.chain_with(experiment.nesterov) for experiment, variant in self.rows])
        self.diverged: dict[int, int] = {}
        self.frozen: dict[int, Tensor] = {}

    def _bind(self, chains: list[tuple[Transform, ...]]) -> list[Update]:
        by_row = ("w", "u", "lr", "schedule", "weight_decay", "momentum", "max_norm")
        return [
            step.init(replace(self.whole, **{name: getattr(self.whole, name)[rows] for name in by_row}))
            for step, rows in merge(chains)
        ]

    def share(self, v: Tensor) -> None:
        """Called with every new v of an adaptive transform; nothing to do in a training."""

    def film(self, steps: NDArray, on_step: Callable[[int], None]) -> Tensor:
        """Train through the recorded steps and return the parameters (T, R, P) at each."""
        film = self.w.new_empty(len(steps), *self.w.shape)
        film[0] = self.w
        for i, (start, stop) in enumerate(pairwise(steps), 1):
            before = [state.clone() for state in self.whole.memory]
            for t in range(start + 1, stop + 1):
                self.step(t)
                if t % CHECK_EVERY == 0:
                    on_step(t)
            if self._newly_diverged():
                self._replay(before, range(start + 1, stop + 1))
            film[i] = self.w
            for row, last in self.frozen.items():
                film[i, row] = last
        return film

    def step(self, t: int) -> None:
        """Step t = 1, 2, … of all runs: gradient, then every transform of every chain."""
        self.prepare(t)
        self.update(t)

    def prepare(self, t: int) -> None:
        """What step t starts with: its points, its learning rate, and the gradient of the data loss."""
        if self.batches is not None:
            batch = self.batches[t - 1]
            self.loss_gradient.see(self.x[:, batch], self.y[batch])
        if not self.whole.steady:
            self.whole.schedule.copy_(self.multipliers[t - 1])
            torch.mul(self.lr_max, self.multipliers[t - 1], out=self.whole.lr)
        self.loss_gradient()

    def update(self, t: int) -> None:
        """Every transform of every chain, on the gradient as it is."""
        for update in self.updates:
            update(t)

    def _newly_diverged(self) -> list[int]:
        ok = (self.w.abs().amax(1) <= DIVERGED_BEYOND).tolist()
        return [row for row, fine in enumerate(ok) if not fine and row not in self.diverged]

    def _replay(self, before: list[Tensor], steps: range) -> None:
        """Train the segment again, looking at every step, to freeze each diverging run at its last finite step."""
        for state, old in zip(self.whole.memory, before, strict=True):
            state.copy_(old)
        for t in steps:
            last = self.w.clone()
            self.step(t)
            for row in self._newly_diverged():
                self.diverged[row], self.frozen[row] = t, last[row]
