"""train(experiment) -> Run: the only place that picks a device and loops over steps."""

from __future__ import annotations

from collections.abc import Callable
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
    data = make_data(experiment.dataset, experiment.noise, experiment.points, experiment.seed)
    steps = np.unique(np.linspace(0, experiment.steps, FRAMES).round().astype(int))
    with quiet_cpu(), torch.inference_mode():
        trainer = _Trainer(experiment, data, dtype, _device(experiment, device))
        film = trainer.film(steps, on_step or (lambda step: None))
    names = experiment.variants
    diverged = {name: trainer.diverged.get(row) for row, name in enumerate(names)}
    return Run(experiment, data, steps, film.cpu().numpy(), diverged)


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


def _device(experiment: Experiment, device: str) -> torch.device:
    if device == "auto":
        work = len(experiment.variants) * experiment.batch * experiment.parameters
        return torch.device("cuda" if work >= GPU_WORTH and torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("There is no CUDA device here; use device='auto' or 'cpu'.")
    return torch.device(device)


class _Trainer:
    """The state of one batched training: parameters (R, P), the optimizers' memory, and who diverged when."""

    def __init__(self, experiment: Experiment, data: Data, dtype: torch.dtype, device: torch.device) -> None:
        as_tensor = partial(torch.as_tensor, dtype=dtype, device=device)
        architecture = architecture_of(experiment)
        start = as_tensor(architecture.initial(experiment.seed))
        self.w = start.repeat(len(experiment.variants), 1)
        self.loss_gradient = LossGradient(architecture, self.w, experiment.batch)
        self.x, self.y = as_tensor(data.x_train).T.contiguous(), as_tensor(data.y_train)
        order = batch_order(experiment)
        self.batches = None if order is None else torch.as_tensor(order, device=device)
        self.loss_gradient.see(self.x[:, : experiment.batch], self.y[: experiment.batch])
        mask = torch.zeros_like(start)
        mask[decayed_columns(experiment, architecture)] = 1
        whole = Slot(
            w=self.w,
            u=self.loss_gradient.gradient,
            lr=as_tensor([[experiment.lr_of(v)] for v in experiment.chosen]),
            weight_decay=as_tensor([[experiment.weight_decay_of(v)] for v in experiment.chosen]) * mask,
            momentum=as_tensor([[experiment.momentum]] * len(self.w)),
        )
        self.memory: list[Tensor] = [self.w]
        self.updates = self._bind(whole, [variant.chain for variant in experiment.chosen])
        self.diverged: dict[int, int] = {}
        self.frozen: dict[int, Tensor] = {}

    def _bind(self, whole: Slot, chains: list[tuple[Transform, ...]]) -> list[Update]:
        updates = []
        for step, rows in merge(chains):
            slot = Slot(
                whole.w[rows], whole.u[rows], whole.lr[rows], whole.weight_decay[rows], whole.momentum[rows],
                self.memory,
            )  # fmt: skip
            updates.append(step.init(slot))
        return updates

    def film(self, steps: NDArray, on_step: Callable[[int], None]) -> Tensor:
        """Train through the recorded steps and return the parameters (T, R, P) at each."""
        film = self.w.new_empty(len(steps), *self.w.shape)
        film[0] = self.w
        for i, (start, stop) in enumerate(pairwise(steps), 1):
            before = [state.clone() for state in self.memory]
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
        """Step t of all runs: gradient, then every transform of every chain."""
        if self.batches is not None:
            batch = self.batches[t - 1]
            self.loss_gradient.see(self.x[:, batch], self.y[batch])
        self.loss_gradient()
        for update in self.updates:
            update(t)

    def _newly_diverged(self) -> list[int]:
        ok = (self.w.abs().amax(1) <= DIVERGED_BEYOND).tolist()
        return [row for row, fine in enumerate(ok) if not fine and row not in self.diverged]

    def _replay(self, before: list[Tensor], steps: range) -> None:
        """Train the segment again, looking at every step, to freeze each diverging run at its last finite step."""
        for state, old in zip(self.memory, before, strict=True):
            state.copy_(old)
        for t in steps:
            last = self.w.clone()
            self.step(t)
            for row in self._newly_diverged():
                self.diverged[row], self.frozen[row] = t, last[row]
