"""The training step captured once as a CUDA graph and replayed: a training on a GPU never waits for Python or the host.

A graph repeats kernels with the arguments they were captured with. So the number of the step, the points it sees and
its learning rate are looked up on the device, and a diverging model is frozen there, by the captured step itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import trainer
from engine.experiment import Experiment
from engine.run import METRICS, Rows, architecture_of, meter
from engine.trainer import CHECK_EVERY, DIVERGED_BEYOND, Recorded, Trainer

WARM_UP = 3
"""Steps before the capture, in which libraries take their workspaces and choose their kernels."""

AHEAD = 8
"""Steps that may be under way: enough to keep the GPU busy, few enough for a training to be cancelled at once."""

SHARE = 0.8
"""Of the free memory that a block may take; the rest is for the graph, cuBLAS and pieces that do not fit together."""

COPIES = 24
"""Matrices of the size of all parameters, at most: weights, gradients, optimizer, λ, and what a step writes between."""

_CAPTURING = threading.Lock()


@contextmanager
def _exactly() -> Iterator[None]:
    """Float32 products in float32, not in TF32, one capture at a time; a replay keeps the precision of its capture."""
    with _CAPTURING:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


class Graph:
    """A function of no arguments as a CUDA graph; everything it reads and writes must outlive the graph.

    Args:
        step: called 3 times to warm up and once to be captured: the captured call itself does nothing.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        with _exactly():
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    step()
            here.wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                step()
        self._under_way = [torch.cuda.Event() for _ in range(AHEAD)]
        self._replays = 0

    def replay(self) -> None:
        """Put the function in the device's queue; waits while 8 calls before it are not done."""
        self._graph.replay()
        event = self._under_way[self._replays % AHEAD]
        event.synchronize()
        event.record()
        self._replays += 1


class _Table:
    """Rows of a tensor (T, …), found by a number that is itself on the device."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __getitem__(self, before: Any, /) -> Tensor:
        return self.rows.index_select(0, before.view(1))[0]


class Captured(Trainer):
    """A training whose step is captured; its film and metrics are made on the device and come back in one transfer."""

    def __init__(self, rows: Rows, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(rows, dtype, device)
        self.batches, self.multipliers = _table(self.batches), _table(self.multipliers)
        self.clock = torch.zeros((), dtype=torch.int64, device=device)
        self.gone = torch.zeros(len(rows), 1, dtype=torch.int64, device=device)
        self.last = torch.empty_like(self.w)
        self.unpacking = self.packing.argsort()
        state = [*self.whole.memory, self.clock, self.gone]
        start = [tensor.clone() for tensor in state]
        self.graph = Graph(self._captured)
        for tensor, old in zip(state, start, strict=True):
            tensor.copy_(old)

    def _captured(self) -> None:
        """The next step; a model that leaves the finite stays where it was before, from then on."""
        self.clock.add_(1)
        self.last.copy_(self.w)
        self.step(self.clock)
        fine = self.w.abs().amax(1, keepdim=True) <= DIVERGED_BEYOND
        self.gone.copy_(torch.where(fine | (self.gone > 0), self.gone, self.clock))
        torch.where(self.gone == 0, self.w, self.last, out=self.w)

    def record(self, steps: NDArray, on_step: Callable[[int], None]) -> Recorded:
        """Train through the recorded steps (T,), and keep the film and its metrics."""
        size = self.w.shape[1]
        sheet = self._sheet(steps.tolist(), on_step).cpu().numpy()
        film, metrics, gone = np.split(sheet, [size, size + len(METRICS)], axis=2)
        return Recorded(np.ascontiguousarray(film), gone[-1, :, 0].astype(np.int64), np.ascontiguousarray(metrics))

    def finals(self, on_step: Callable[[int], None]) -> tuple[NDArray, NDArray]:
        """Train to the end: METRICS (R, 6) in float64, and the step at which each diverged (R,), 0 if it did not."""
        last = self._sheet([self.rows[0][0].steps], on_step)[0, :, self.w.shape[1] :].cpu().numpy()
        return last[:, :-1].astype(np.float64), last[:, -1].astype(np.int64)

    def _sheet(self, steps: list[int], on_step: Callable[[int], None]) -> Tensor:
        """What is known of every model at the recorded steps, (T, R, P + 7): parameters, METRICS, and when it diverged.

        The step at which it diverged is that of the whole training, in every frame.
        """
        size = self.w.shape[1]
        sheet = self.w.new_empty(len(steps), len(self.w), size + len(METRICS) + 1)
        self._replay_through(steps, sheet[:, :, :size], on_step)
        sheet[:, :, -1:] = self.gone
        with _exactly():
            measure = meter(self.rows, self.data, self.w)
            for frame in sheet:
                measured = measure(frame[:, :size])
                for column, name in enumerate(METRICS, size):
                    frame[:, column] = measured[name]
        return sheet

    def _replay_through(self, steps: list[int], film: Tensor, on_step: Callable[[int], None]) -> None:
        """Take all steps, and copy the parameters of the recorded ones into ``film`` (T, R, P)."""
        frames, told = {step: frame for frame, step in enumerate(steps)}, time.monotonic()
        for t in range(steps[-1] + 1):
            if t:
                self.graph.replay()
            if t in frames:
                film[frames[t]] = self.w[:, self.unpacking]
            done = t - AHEAD
            if done > 0 and (done % CHECK_EVERY == 0 or time.monotonic() - told > trainer.TOLD_AT_LEAST):
                on_step(done)
                told = time.monotonic()


def _table(by_step: Any) -> Any:
    return None if by_step is None else _Table(by_step)


def bytes_of_model(experiment: Experiment, frames: int, dtype: torch.dtype) -> int:
    """Bytes that one model of a ``Captured`` training takes on the device, at most.

    Args:
        experiment: what is trained.
        frames: recorded steps.
        dtype: of all tensors.
    """
    architecture, points = architecture_of(experiment), experiment.batch
    units = sum(architecture.sizes[1:])
    activations = (2 + 5 * experiment.layer_norm) * units + len(architecture.hidden)
    matrices = (COPIES + frames) * architecture.parameters + frames * (len(METRICS) + 1)
    return dtype.itemsize * (activations * points + matrices + experiment.steps)


def models_at_once(experiment: Experiment, frames: int, dtype: torch.dtype, free: float) -> int:
    """Models that fit into so many free bytes of a GPU, at least 1; no tensor of a step has 2³¹ numbers."""
    architecture = architecture_of(experiment)
    largest = max((max(architecture.sizes) + 1) * experiment.batch, architecture.parameters)
    return max(1, min(int(SHARE * free / bytes_of_model(experiment, frames, dtype)), (2**31 - 1) // largest))


def free_bytes() -> int:
    """Free memory of the current GPU, and what torch holds of it without using it, in bytes."""
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
