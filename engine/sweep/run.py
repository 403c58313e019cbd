"""Train a sweep: in memory, or into a file that a killed sweep goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch

from engine.crossover import gpu_wins, work_of
from engine.sweep.errors import SweepError
from engine.sweep.grid import Sweep
from engine.sweep.pool import finished
from engine.sweep.rows import table_of
from engine.sweep.store import Store
from engine.train import train_finals

Block = tuple[int, ...]
BLOCK_MODELS = 256
"""Models of one task: a second or so of work, and what a kill costs at most in each process."""


@dataclass(frozen=True)
class Progress:
    """How far a sweep has come: models finished, of them found finished at the start, of all, and seconds so far."""

    done: int
    found: int
    models: int
    seconds: float

    @property
    def rate(self) -> float:
        """Models a second."""
        return (self.done - self.found) / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds to go, about."""
        return (self.models - self.done) / self.rate if self.rate else float("inf")


@dataclass(frozen=True)
class Means:
    """What a sweep is trained with; none of it changes a number.

    Attributes:
        jobs: processes of this machine.
        backend, scheduler: where they are, as ``pool.finished`` says.
        block_models: models of one task, about.
    """

    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None
    block_models: int = BLOCK_MODELS


def sweep_frame(
    sweep: Sweep, means: Means | None = None, on_progress: Callable[[Progress], object] = lambda progress: None
) -> pd.DataFrame:
    """Train a sweep and return its rows, as ``rows.SCHEMA`` says, one a model.

    Args:
        sweep: what to train.
        means: what with; this process alone by default.
        on_progress: called whenever a block is finished; what it raises stops the sweep.

    Raises:
        SweepError: the processes cannot be had, or keep dying.
    """
    tables = dict(_trained(sweep, range(sweep.batches), means or Means(), on_progress))
    return pa.concat_tables([tables[block] for block in sorted(tables)]).to_pandas()


def sweep_file(
    sweep: Sweep,
    out: Path | str,
    means: Means | None = None,
    on_progress: Callable[[Progress], object] = lambda progress: None,
    on_start: Callable[[Store], object] = lambda store: None,
) -> Path:
    """Train a sweep into a file; parts already finished are kept, so that a sweep that was killed goes on.

    Args:
        sweep, means, on_progress: as for ``sweep_frame``.
        out: .parquet or .csv; ``rows.SCHEMA`` names the columns.
        on_start: called with the store once it is open.

    Raises:
        SweepError: as for ``sweep_frame``, or nothing can be written there; what is finished is kept.
    """
    with Store(Path(out), sweep.to_dict()) as store:
        on_start(store)
        missing = (number for number in range(sweep.batches) if number not in store.done)
        for block, table in _trained(sweep, missing, means or Means(), on_progress, len(store.done)):
            store.add(block, table)
        return store.finish()


def _trained(
    sweep: Sweep, batches: Iterable[int], means: Means, on_progress: Callable[[Progress], object], found: int = 0
) -> Iterator[tuple[Block, pa.Table]]:
    """(batches, their rows) block by block, as they are finished."""
    work = partial(train_block, sweep)
    blocks = sweep.blocks(iter(batches), means.block_models)
    share = len(sweep) / sweep.batches
    start, done = time.monotonic(), found
    for block, table in finished(work, blocks, means.jobs, means.backend, means.scheduler):
        yield block, table
        done += len(block)
        on_progress(Progress(round(done * share), round(found * share), len(sweep), time.monotonic() - start))


def on_the_faster_device(sweep: Sweep) -> Sweep:
    """The sweep on the GPU of this machine where one of its batches would be trained sooner there, as measured."""
    there = replace(sweep, device="cuda", batch_models=0)
    wins = gpu_wins(work_of(there.batch(0)), sweep.base.steps, getattr(torch, sweep.precision))
    return there if wins else sweep


def train_block(sweep: Sweep, block: Block) -> pa.Table:
    """The rows of some batches of a sweep, batch after batch, trained in this process.

    Raises:
        SweepError: "cuda" was asked for and there is none.
    """
    if sweep.device == "cuda" and not torch.cuda.is_available():
        raise SweepError("There is no CUDA device where this is trained; use --device auto or cpu.")
    dtype = getattr(torch, sweep.precision)
    tables = []
    for number in block:
        experiments = sweep.batch(number)
        tables.append(table_of(experiments, *train_finals(experiments, dtype=dtype, device=sweep.device)))
    return pa.concat_tables(tables).combine_chunks()
