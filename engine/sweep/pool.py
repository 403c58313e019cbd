"""Work in many processes, here or on other machines, by joblib's backends."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from engine.sweep.errors import SweepError

T = TypeVar("T")
R = TypeVar("R")

BACKENDS = ("loky", "dask")
PATIENCE = 10
"""Seconds to wait for a scheduler and for its first worker."""

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
                calls = (delayed(_with_task)(work, task) for task in remembered(_then(again, waiting)))
                parallel = Parallel(jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
                with _closing(parallel(calls)) as results:
                    for task, result in results:
                        del taken[task]
                        deaths = 0
                        yield task, result
                if not taken:  # a task taken just as processes died may never have been given to one
                    return
            except BrokenProcessPool as error:
                deaths += 1
                if deaths == TRIES:
                    raise SweepError(f"Processes died {TRIES} times in a row, perhaps for want of memory.") from error


def _then(first: Iterable[T], rest: Iterable[T]) -> Iterator[T]:
    yield from first
    yield from rest


def _with_task(work: Callable[[T], R], task: T) -> tuple[T, R]:
    return task, work(task)


@contextmanager
def _closing(results: Any) -> Iterator[Any]:
    """Close joblib's generator, without its warning that tasks were cancelled: whoever stopped early knows."""
    try:
        yield results
    finally:
        with warnings.catch_warnings(action="ignore"):
            results.close()


def _follow(starter: int) -> None:
    """Let this process end soon after the one that started it, which loky would keep for minutes."""

    def leave() -> None:
        while os.getppid() == starter:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


@contextmanager
def _at(backend: str, scheduler: str | None) -> Iterator[None]:
    if backend == "loky":
        with parallel_config("loky", initializer=_follow, initargs=(os.getpid(),)):
            yield
        return
    client = _client(scheduler)
    from distributed import KilledWorker

    try:
        _see_that_all_have_the_project(client)
        with parallel_config(_dask_backend(client)):
            yield
    except TimeoutError as error:
        raise SweepError(
            f"The scheduler at {scheduler} has no workers; start some by `python -m dask worker`."
        ) from error
    except CancelledError as error:
        raise SweepError(f"The scheduler at {scheduler} does not answer any more.") from error
    except KilledWorker as error:
        raise SweepError("Workers died again and again over one task, perhaps for want of memory.") from error
    finally:
        client.close()


def _see_that_all_have_the_project(client: Any) -> None:
    """See that workers and scheduler can import the project: one that cannot read a task says nothing of it."""
    found = client.run(find_spec, "engine") | {client.scheduler.address: client.run_on_scheduler(find_spec, "engine")}
    lacking = sorted(address for address, spec in found.items() if spec is None)
    if lacking:
        where = ", ".join(lacking)
        raise SweepError(f"`import engine` fails at {where}; start dask in the project's folder, by `python -m dask`.")


def _dask_backend(client: Any) -> Any:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib's, which forgets a task whose worker died too often, and does the work of a lone worker itself."""

        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

    return Backend(client=client, wait_for_workers_timeout=PATIENCE)


def _client(scheduler: str | None) -> Any:
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise SweepError("dask is not installed; `pip install -r requirements-dask.txt` brings it.") from error
    if not scheduler:
        raise SweepError("The dask backend needs the address of a scheduler: --scheduler tcp://HOST:8786.")
    try:
        get_address_host_port(scheduler)  # a Client that was given no address at all cannot be closed
        return Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SweepError(f"No dask scheduler answers at {scheduler}.") from error
