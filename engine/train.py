"""train(experiment) -> Run: the only place that picks a device and loops over steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.datasets import Data, make_data
from engine.experiment import Experiment
from engine.mlp import LossGradient
from engine.run import METRICS, Rows, Run, architecture_of, decayed_mask, metrics_of, quiet_cpu
from engine.transforms import Slot, Transform, Update, bridge, merge
from engine.variants import VARIANTS

FRAMES = 41
"""Recorded steps of a training, the first and the last among them."""

DIVERGED_BEYOND = 1e6
"""A weight beyond this, or not finite, counts as diverged."""

CHECK_EVERY = 25
TOLD_AT_LEAST = 0.03
"""Seconds after which a training of slow steps calls back sooner: a newer control move must end it within 0.1 s."""

BLOCK = 64
"""Models that are trained together on a CPU: enough to make every call worth it, few enough for a core's cache."""

POLL = 0.02
"""Seconds between two looks at blocks that are trained in other threads."""

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
        on_step: called every 25 steps, sooner where they are slow, with the number of steps done; what it raises stops
            the training at once.

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
    pause: Callable[[], bool] = lambda: False,
    frames: int = FRAMES,
    threads: int = 1,
) -> list[Run]:
    """Train several experiments as one batch: they may differ in decay, rates, schedule, momentum and variants.

    Args:
        experiments: with the same data, model, number of steps and batch size.
        dtype, device: as for ``train``.
        on_step: called now and then with the number of steps done, as a share of all work where there are several
            blocks of models; what it raises stops the training within 25 steps.
        pause: asked now and then; the training stands still, calling ``on_step``, while it says True.
        frames: recorded steps, the first and the last among them.
        threads: blocks of models that are trained at a time.

    Returns:
        A Run for each, as ``train`` gives it.

    Raises:
        ValueError: there are none, or they differ in what one batch must share; the message names the knobs.
        RuntimeError: "cuda" was asked for and there is none.
    """
    one = _common(experiments)
    steps = np.unique(np.linspace(0, one.steps, frames).round().astype(int))
    blocks, where = _blocks(experiments, device)
    make = partial(_film, steps=steps, dtype=dtype, device=where)
    films = in_blocks(make, blocks, threads, one.steps, on_step or (lambda step: None), pause)
    film = np.concatenate([film for film, _ in films], axis=1) if len(blocks) > 1 else films[0][0]
    diverged = [step for _, gone in films for step in gone]
    data = make_data(one.dataset, one.noise, one.points, one.seed)
    rows = [row for block in blocks for row in block]
    places = {(id(experiment), variant.key): row for row, (experiment, variant) in enumerate(rows)}
    runs = []
    for experiment in experiments:
        mine = [places[id(experiment), name] for name in experiment.variants]
        own = film if mine == list(range(len(rows))) else film[:, mine]
        gone = dict(zip(experiment.variants, (diverged[row] for row in mine), strict=True))
        runs.append(Run(experiment, data, steps, own, gone))
    return runs


def train_finals(
    experiments: Sequence[Experiment],
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "auto",
    on_step: Callable[[int], None] | None = None,
) -> tuple[NDArray, NDArray]:
    """Train several experiments as ``train_many`` does, and keep only what is measured at the end.

    Args:
        experiments, dtype, device, on_step: as for ``train_many``.

    Returns:
        METRICS of every model (M, 6), and the step at which it diverged (M,), 0 if it did not; models in the order of
        the experiments and of their variants.

    Raises:
        ValueError, RuntimeError: as ``train_many``.
    """
    one = _common(experiments)
    blocks, where = _blocks(experiments, device)
    make = partial(_final, dtype=dtype, device=where)
    parts = in_blocks(make, blocks, 1, one.steps, on_step or (lambda step: None), lambda: False)
    rows = [row for block in blocks for row in block]
    places = {(id(experiment), variant.key): row for row, (experiment, variant) in enumerate(rows)}
    order = [places[id(experiment), name] for experiment in experiments for name in experiment.variants]
    metrics, diverged = (np.concatenate(part)[order] for part in zip(*parts, strict=True))
    return metrics, diverged


def _blocks(experiments: Sequence[Experiment], device: str) -> tuple[list[Rows], torch.device]:
    """The models in blocks that are trained together, as equal as they can be, and where."""
    rows, where = rows_of(experiments), _device(experiments, device)
    size = len(rows) if where.type == "cuda" else BLOCK
    count = -(-len(rows) // size)
    return [rows[len(rows) * i // count : len(rows) * (i + 1) // count] for i in range(count)], where


def rows_of(experiments: Sequence[Experiment]) -> Rows:
    """(experiment, variant) of every model, variant by variant, so that equal transforms are neighbours."""
    return [(one, variant) for variant in VARIANTS.values() for one in experiments if variant.key in one.variants]


def _film(
    rows: Rows, on_step: Callable[[int], None], steps: NDArray, dtype: torch.dtype, device: torch.device
) -> tuple[NDArray, list[int | None]]:
    """Parameters (T, R, P) of some models at the recorded steps, and when each diverged."""
    with quiet_cpu(), torch.inference_mode():
        trainer = Trainer(rows, dtype, device)
        film = trainer.film(steps, on_step).cpu().numpy()
    return film, [trainer.diverged.get(row) for row in range(len(rows))]


def _final(
    rows: Rows, on_step: Callable[[int], None], dtype: torch.dtype, device: torch.device
) -> tuple[NDArray, NDArray]:
    """METRICS (r, 6) of some models at the end, and the step at which each diverged, or 0."""
    with quiet_cpu(), torch.inference_mode():
        trainer = Trainer(rows, dtype, device)
        last = trainer.film(np.array([0, rows[0][0].steps]), on_step)[-1]
        measured = metrics_of(rows, trainer.data, last)
        metrics = torch.stack([measured[name].to(torch.float64) for name in METRICS], 1).cpu().numpy()
    return metrics, np.array([trainer.diverged.get(row, 0) for row in range(len(rows))])


def in_blocks(
    work: Callable[[Rows, Callable[[int], None]], Any],
    blocks: Sequence[Rows],
    threads: int,
    steps: int,
    on_step: Callable[[int], None],
    pause: Callable[[], bool],
) -> list[Any]:
    """Do ``work(block, report)`` for every block, so many at a time; what ``on_step`` raises stops them all.

    ``on_step`` is called in the caller's thread, since that is where a page may be told that its visitor moved on.
    """
    if len(blocks) == 1 or threads == 1:

        def here(done: int, step: int) -> None:
            on_step((done * steps + step) // len(blocks))
            while pause():
                time.sleep(POLL)
                on_step((done * steps + step) // len(blocks))

        return [work(block, partial(here, done)) for done, block in enumerate(blocks)]
    stop, done = threading.Event(), [0] * len(blocks)

    def at_work(number: int) -> Any:
        def report(step: int) -> None:
            while pause() and not stop.is_set():
                time.sleep(POLL)
            if stop.is_set():
                raise CancelledError
            done[number] = step

        report(0)
        return work(blocks[number], report)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(at_work, number) for number in range(len(blocks))]
        try:
            while not _settled(wait(futures, POLL, FIRST_EXCEPTION)):
                on_step(sum(done) // len(blocks))
            return [future.result() for future in futures]
        finally:
            stop.set()


def _settled(futures: tuple[set[Future[Any]], set[Future[Any]]]) -> bool:
    done, waiting = futures
    return not waiting or any(future.exception() for future in done)


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

    Every row is packed as ``Architecture.packing`` says; ``pack`` and ``flat`` go to and fro.

    Args:
        rows: (experiment, variant) of every model, in the order of ``rows_of``.
        dtype, device: of all tensors.
        share: called with every new v of an adaptive transform, as ``Slot`` says.
    """

    def __init__(
        self, rows: Rows, dtype: torch.dtype, device: torch.device, share: Callable[[Tensor], object] | None = None
    ) -> None:
        self.rows = rows
        experiments = list({id(experiment): experiment for experiment, _ in rows}.values())
        one = experiments[0]
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
        multipliers = {id(experiment): experiment.schedule_of_steps() for experiment in experiments}
        self.multipliers = as_tensor(np.stack([multipliers[id(one)] for one, _ in self.rows], 1)[:, :, None])
        masks = {id(e): self.pack(as_tensor(decayed_mask(e, architecture))) for e in experiments}
        self.whole = Slot(
            w=self.w,
            u=self.loss_gradient.gradient,
            lr=self.lr_max * self.multipliers[0],
            schedule=self.multipliers[0].clone(),
            weight_decay=torch.stack([e.weight_decay_of(v) * masks[id(e)] for e, v in self.rows]),
            momentum=as_tensor([[experiment.momentum] for experiment, _ in self.rows]),
            max_norm=as_tensor([[experiment.max_norm] for experiment, _ in self.rows]),
            start=start,
            normalised=self.pack(as_tensor(architecture.normalised())),
            matrices=architecture.packed_matrices(),
            share=share,
            steady=bool((self.multipliers == self.multipliers[0]).all()),
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
