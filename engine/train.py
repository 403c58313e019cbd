"""train(experiment) -> Run: the only place that picks a device and loops over steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from engine.datasets import Data, make_data
from engine.experiment import Experiment
from engine.mlp import Architecture, LossGradient
from engine.transforms import Slot, Transform, Update

FRAMES = 41
"""Recorded steps of a training, the first and the last among them."""

DIVERGED_BEYOND = 1e6
"""A weight beyond this, or not finite, counts as diverged."""

CHECK_EVERY = 25
GPU_WORTH = 5e7
"""Multiply-adds a step from which ``device="auto"`` takes a GPU that is there."""


@dataclass(frozen=True)
class Run:
    """What a training left: the film of parameters of every variant, and the data it saw. Read-only.

    Attributes:
        experiment: what was trained.
        data: the points it trained and was tested on.
        steps: recorded steps (T,), from 0 to the last.
        film: parameters (T, R, P) at those steps, R in the order of ``experiment.variants``.
        diverged: variant to the step at which a weight left the finite (its film stays at the step before), or None.
    """

    experiment: Experiment
    data: Data
    steps: NDArray
    film: NDArray
    diverged: dict[str, int | None]

    @property
    def architecture(self) -> Architecture:
        """The shape of the models and the layout of ``film``'s last axis."""
        return architecture_of(self.experiment)

    def row(self, variant: str) -> int:
        """The index of a variant on ``film``'s runs axis.

        Raises:
            KeyError: the experiment did not train it.
        """
        if variant not in self.experiment.variants:
            raise KeyError(f"{variant!r} was not trained; the run has {', '.join(self.experiment.variants)}.")
        return self.experiment.variants.index(variant)

    def frame(self, step: int) -> int:
        """The index of a recorded step on ``film``'s first axis; -1 is the last.

        Raises:
            KeyError: that step was not recorded.
        """
        found = np.flatnonzero(self.steps == (self.steps[-1] if step == -1 else step))
        if not found.size:
            raise KeyError(f"step {step} was not recorded; recorded are {', '.join(map(str, self.steps))}.")
        return int(found[0])

    def weights(self, variant: str, step: int = -1) -> list[tuple[NDArray, NDArray]]:
        """[(W (out, in), b (out,)), …] of one variant at a recorded step: -1 is the last, 0 the shared init.

        Raises:
            KeyError: an unknown variant or a step that was not recorded.
        """
        flat = torch.from_numpy(self.film[self.frame(step), [self.row(variant)]])
        return [(layer.weight[0].numpy(), layer.bias[0].numpy()) for layer in self.architecture.layers(flat)]

    @cached_property
    def metrics(self) -> dict[str, NDArray]:
        """The columns of ``curves`` as arrays (T, R)."""
        return self.metrics_at(slice(None))

    def metrics_at(self, frames: slice) -> dict[str, NDArray]:
        """The columns of ``curves`` at some of the recorded steps, as arrays (T, R)."""
        experiment, film = self.experiment, self.film[frames]
        flat = torch.from_numpy(film.reshape(-1, film.shape[2]))
        with quiet_cpu(), torch.inference_mode():
            train_loss, train_accuracy = _scores(self.architecture, flat, self.data.x_train, self.data.y_train)
            test_loss, test_accuracy = _scores(self.architecture, flat.float(), self.data.x_test, self.data.y_test)
            squares = flat.square()
            decayed = squares[:, _decayed(experiment, self.architecture)].sum(1).numpy()
            weight_norm = squares[:, : self.architecture.weights].sum(1).sqrt().numpy()
        l2 = [experiment.weight_decay_of(v) * (v.where == "gradient") for v in experiment.chosen]
        columns = {
            "train_loss": train_loss,
            "train_penalised_loss": train_loss + np.tile(l2, len(film)) / 2 * decayed,
            "test_loss": test_loss,
            "train_accuracy": train_accuracy,
            "test_accuracy": test_accuracy,
            "weight_norm": weight_norm,
        }
        return {name: column.reshape(film.shape[:2]) for name, column in columns.items()}

    def series(self, metric: str) -> dict[str, NDArray]:
        """One metric over the recorded steps: variant to (T,)."""
        return dict(zip(self.experiment.variants, self.metrics[metric].T, strict=True))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Losses, accuracies and ‖w‖ at every recorded step, tidy: one row a variant and step.

        Columns: variant, step, train_loss and test_loss (mean binary cross-entropy), train_penalised_loss (with
        λ/2‖w‖² over the decayed parameters where λ enters the gradient; the train loss elsewhere, since decay on the
        weight minimises no penalised loss), train_accuracy and test_accuracy (shares), weight_norm (‖w‖₂ over all
        weight matrices, without biases and norms). The 1,000 test points are evaluated in float32.
        """
        columns = {name: values.T.reshape(-1) for name, values in self.metrics.items()}
        variants = np.repeat(self.experiment.variants, len(self.steps))
        return pd.DataFrame({"variant": variants, "step": np.tile(self.steps, self.film.shape[1]), **columns})


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


def architecture_of(experiment: Experiment) -> Architecture:
    """The shape of an experiment's models."""
    return Architecture(experiment.hidden, experiment.activation, experiment.layer_norm)


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


@contextmanager
def quiet_cpu() -> Iterator[None]:
    """One thread, and denormals flushed to zero: small products lose by threads, dying weights crawl as denormals."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _device(experiment: Experiment, device: str) -> torch.device:
    if device == "auto":
        work = len(experiment.variants) * experiment.batch * experiment.parameters
        return torch.device("cuda" if work >= GPU_WORTH and torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("There is no CUDA device here; use device='auto' or 'cpu'.")
    return torch.device(device)


def _decayed(experiment: Experiment, architecture: Architecture) -> slice:
    """The columns that decay: weight matrices only, or everything."""
    return slice(None) if experiment.decay_biases else slice(architecture.weights)


def _scores(architecture: Architecture, flat: Tensor, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Mean binary cross-entropy and accuracy of every row of ``flat`` at points x (M, 2), y (M,): two arrays (R,)."""
    logits = architecture.logits(flat, torch.as_tensor(x, dtype=flat.dtype))
    signed = logits * torch.as_tensor(1 - 2 * y, dtype=flat.dtype)
    accuracy = (signed < 0).to(flat.dtype).mean(1)
    return softplus(signed).mean(1).numpy(), accuracy.numpy()


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
        mask[_decayed(experiment, architecture)] = 1
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


def merge(chains: list[tuple[Transform, ...]]) -> list[tuple[Transform, slice]]:
    """Interleave chains so that equal transforms of neighbouring rows run as one call.

    Every row keeps the order of its own chain. Next comes a transform that no chain holds further back, so that rows
    wait for each other; where there is none, the first row's.

    Returns:
        (transform, rows) in the order in which to call them; rows are neighbours.
    """
    waiting = [list(reversed(chain)) for chain in chains]
    merged: list[tuple[Transform, slice]] = []
    while any(waiting):
        heads = [chain[-1] for chain in waiting if chain]
        later = {step for chain in waiting for step in chain[:-1]}
        chosen = next((head for head in heads if head not in later), heads[0])
        rows = [row for row, chain in enumerate(waiting) if chain and chain[-1] == chosen]
        for row in rows:
            waiting[row].pop()
            if merged and merged[-1][0] == chosen and merged[-1][1].stop == row:
                merged[-1] = (chosen, slice(merged[-1][1].start, row + 1))
            else:
                merged.append((chosen, slice(row, row + 1)))
    return merged
