"""What a fair comparison needs: a clock, one core, a number of threads, and a look at whether both sides agree."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

AGREE = 1e-3
"""Largest difference of the final train losses: both sides did the same work, up to float32."""


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads within torch's operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_core() -> Iterator[None]:
    """Bind this thread, and the processes and threads that it starts, to one core, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def check_same(ours: NDArray, theirs: NDArray, agree: float = AGREE) -> None:
    """Compare the final train losses of both sides, (R,), except where ours is NaN: there a model diverged.

    Args:
        ours, theirs: losses of the same models.
        agree: the largest difference that is allowed.

    Raises:
        RuntimeError: the two sides did not train to the same losses.
    """
    trained = ~np.isnan(ours)
    apart = np.abs(ours - theirs)[trained]
    if not (apart <= agree).all():
        raise RuntimeError(f"The two sides did not train to the same losses: {apart.max():.2g} apart")
