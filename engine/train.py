"""train(experiment) -> Run: the only place that picks a device and loops over steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from engine.capture import Captured, free_bytes, models_at_once
from engine.crossover import gpu_wins, work_of
from engine.datasets import make_data
from engine.experiment import Experiment
from engine.run import Rows, Run, quiet_cpu
from engine.trainer import Recorded, Trainer, rows_of

B = TypeVar("B")

FRAMES = 41
"""Recorded steps of a training, the first and the last among them."""

BLOCK = 64
"""Models that are trained together on a CPU: enough to make every call worth it, few enough for a core's cache."""

POLL = 0.02
"""Seconds between two looks at blocks that are trained in other threads."""

TRAINERS: dict[str, type[Trainer]] = {"cpu": Trainer, "cuda": Captured}


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
        device: "auto" (a GPU if there is one and it is measured to be done sooner), "cpu" or "cuda".
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
    blocks, where = _blocks(experiments, device, len(steps), dtype)
    work = partial(_record, steps=steps, dtype=dtype, device=where)
    at_once = 1 if where.type == "cuda" else threads  # blocks are as large as the GPU's memory
    parts = in_blocks(work, blocks, at_once, one.steps, on_step or (lambda step: None), pause)
    film, diverged = _joined([part.film for part in parts], 1), _joined([part.diverged for part in parts], 0)
    metrics = [part.metrics for part in parts if part.metrics is not None]
    measured = _joined(metrics, 1) if metrics else None
    data = make_data(one.dataset, one.noise, one.points, one.seed)
    places = _places(blocks)
    runs = []
    for experiment in experiments:
        mine = [places[id(experiment), name] for name in experiment.variants]
        own = film if mine == list(range(film.shape[1])) else film[:, mine]
        gone = {name: int(diverged[row]) or None for name, row in zip(experiment.variants, mine, strict=True)}
        runs.append(Run(experiment, data, steps, own, gone, None if measured is None else measured[:, mine]))
    return runs


def _places(blocks: Sequence[Rows]) -> dict[tuple[int, str], int]:
    """Where the model of an experiment, known by its id, and of a variant lies among all rows."""
    rows = (row for block in blocks for row in block)
    return {(id(experiment), variant.key): place for place, (experiment, variant) in enumerate(rows)}


def _joined(parts: list[NDArray], axis: int) -> NDArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


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
    blocks, where = _blocks(experiments, device, 1, dtype)
    work = partial(_final, dtype=dtype, device=where)
    parts = in_blocks(work, blocks, 1, one.steps, on_step or (lambda step: None), lambda: False)
    places = _places(blocks)
    order = [places[id(experiment), name] for experiment in experiments for name in experiment.variants]
    metrics, diverged = (np.concatenate(part)[order] for part in zip(*parts, strict=True))
    return metrics, diverged


def _blocks(
    experiments: Sequence[Experiment], device: str, frames: int, dtype: torch.dtype
) -> tuple[list[Rows], torch.device]:
    """The models in blocks that are trained together, as equal as they can be, and where."""
    rows, where = rows_of(experiments), _device(experiments, device, dtype)
    size = models_at_once(experiments[0], frames, dtype, free_bytes()) if where.type == "cuda" else BLOCK
    count = -(-len(rows) // size)
    return [rows[len(rows) * i // count : len(rows) * (i + 1) // count] for i in range(count)], where


def _device(experiments: Sequence[Experiment], device: str, dtype: torch.dtype) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if gpu_wins(work_of(experiments), experiments[0].steps, dtype) else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("There is no CUDA device here; use device='auto' or 'cpu'.")
    return torch.device(device)


def _record(
    rows: Rows, on_step: Callable[[int], None], steps: NDArray, dtype: torch.dtype, device: torch.device
) -> Recorded:
    with quiet_cpu(), torch.inference_mode():
        return TRAINERS[device.type](rows, dtype, device).record(steps, on_step)


def _final(
    rows: Rows, on_step: Callable[[int], None], dtype: torch.dtype, device: torch.device
) -> tuple[NDArray, NDArray]:
    with quiet_cpu(), torch.inference_mode():
        return TRAINERS[device.type](rows, dtype, device).finals(on_step)


def in_blocks(
    work: Callable[[B, Callable[[int], None]], Any],
    blocks: Sequence[B],
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
