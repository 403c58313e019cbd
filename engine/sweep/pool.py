"""Work in many processes, here or on other machines, by joblib's backends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from engine.sweep.errors import SweepError

T = TypeVar("T")
R = TypeVar("R")

BACKENDS = ("loky", "dask")
PATIENCE = 10
"""Seconds to wait for a scheduler and for its first worker."""

_LEAVER = "leave after the starter"
TRIES = 3
"""Pools of processes that may die in a row without finishing anything."""


def finished(
    work: Callable[[T], R], tasks: Iterable[T], jobs: int, backend: str = "loky", scheduler: str | None = None
) -> Iterator[tuple[T, R]]:
    """(task, work(task)) for every task, in the order in which they finish; few tasks are taken ahead of time.

    A process that dies takes no result with it: what it was at is given to another.

    Args:
        work: a function of a module, since it is sent to the processes by its name.
        tasks: each small to send, and hashable.
        jobs: processes; with dask all that the scheduler has.
        backend: "loky", processes of this machine, or "dask".
        scheduler: address of a dask scheduler.

    Raises:
        SweepError: there is no such scheduler, it has no workers, or processes keep dying.
    """
    if jobs == 1 and backend == "loky":
        yield from ((task, work(task)) for task in tasks)
        return
    waiting, deaths = iter(tasks), 0
    taken: dict[T, None] = {}  # in order

    def remembered(tasks: Iterable[T]) -> Iterator[T]:
        for task in tasks:
            taken[task] = None
            yield task

    with _at(backend, scheduler):
        while True:
            again = list(taken)
            taken.clear()
            try:
                calls = (delayed(_with_task)(work, task, os.getpid()) for task in remembered(_then(again, waiting)))
                parallel = Parallel(jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
                for task, result in parallel(calls):
                    del taken[task]
                    deaths = 0
                    yield task, result
                return
            except BrokenProcessPool as error:
                deaths += 1
                if deaths == TRIES:
                    raise SweepError(f"Processes died {TRIES} times in a row, perhaps for want of memory.") from error


def _then(first: Iterable[T], rest: Iterable[T]) -> Iterator[T]:
    yield from first
    yield from rest


def _with_task(work: Callable[[T], R], task: T, starter: int) -> tuple[T, R]:
    if os.getppid() == starter and not any(thread.name == _LEAVER for thread in threading.enumerate()):
        threading.Thread(target=_leave_after, args=(starter,), name=_LEAVER, daemon=True).start()
    return task, work(task)


def _leave_after(starter: int) -> None:
    """End this process when the one that started it is gone: loky would keep it for minutes."""
    while os.getppid() == starter:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _at(backend: str, scheduler: str | None) -> Iterator[None]:
    if backend == "loky":
        with parallel_config("loky"):
            yield
        return
    client = _client(scheduler)
    try:
        with parallel_config("dask", client=client, wait_for_workers_timeout=PATIENCE):
            yield
    except TimeoutError as error:
        raise SweepError(f"The scheduler at {scheduler} has no workers; start some with `dask worker`.") from error
    finally:
        client.close()


def _client(scheduler: str | None) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise SweepError("dask is not installed; `pip install -r requirements-dask.txt` brings it.") from error
    if not scheduler:
        raise SweepError("The dask backend needs the address of a scheduler: --scheduler tcp://HOST:8786.")
    try:
        return Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SweepError(f"No dask scheduler answers at {scheduler}.") from error
