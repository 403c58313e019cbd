"""A sweep on dask's processes gives the same file, whichever of them is killed, and says what they lack."""

import json
import os
from contextlib import ExitStack, contextmanager
from functools import partial

import psutil
import pytest

import engine.sweep.pool
from engine.sweep import SweepError
from engine.sweep.pool import finished
from tests.engine.sweeping import (
    BATCHES,
    at_random,
    batches_trained_here,
    eventually,
    here,
    log_of,
    parts_of,
    started,
    sweeping,
    whole,
)


def worker(folder, name, threads):
    """A process that joins the scheduler of the folder."""
    here = ("--host", "127.0.0.1", "--local-directory", str(folder), "--scheduler-file", str(folder / "scheduler.json"))
    lean = ("--no-nanny", "--memory-limit", "0", "--dashboard-address", "127.0.0.1:0", "--nthreads", str(threads))
    return started(folder / name, "-m", "distributed.cli.dask_worker", *here, *lean)


def joined(folder, name):
    return "Registered to" in (folder / name).read_text()


@contextmanager
def dask(folder, *threads, **variables):
    """A scheduler and workers with so many threads each, all processes of this machine: its address, and they."""
    file = folder / "scheduler.json"
    here = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file))
    workers = {f"worker-{number}": count for number, count in enumerate(threads)}
    with ExitStack() as stack:
        scheduler = stack.enter_context(
            started(folder / "scheduler", "-m", "distributed.cli.dask_scheduler", *here, **variables)
        )
        processes = [stack.enter_context(worker(folder, name, count)) for name, count in workers.items()]
        for name in workers:
            eventually(partial(joined, folder, name))
        address = eventually(lambda: file.exists() and json.loads(file.read_text() or "{}").get("address"))
        yield address, scheduler, processes


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """The folder, the address and the workers of a dask scheduler with two."""
    folder = tmp_path_factory.mktemp("dask")
    with dask(folder, 1, 1) as (address, _, workers):
        yield folder, address, workers


def has_trained(process):
    return any("libtorch" in mapped.path for mapped in psutil.Process(process.pid).memory_maps())


def test_two_dask_workers_give_the_same_file(two_workers, tmp_path):
    _, address, workers = two_workers
    out = tmp_path / "a.parquet"
    with sweeping(out, "--backend", "dask", "--scheduler", address, "--block", "100") as process:
        assert process.wait(180) == 0
    assert all(map(has_trained, workers))
    assert out.read_bytes() == whole()


def test_a_dask_worker_that_is_killed_takes_nothing_with_it(two_workers, tmp_path):
    folder, address, _ = two_workers
    out = tmp_path / "a.parquet"
    with worker(folder, "third", 1) as third:
        eventually(partial(joined, folder, "third"))
        with sweeping(out, "--backend", "dask", "--scheduler", address) as process:
            at_random(out)
            third.kill()
            assert process.wait(180) == 0
    assert "Traceback" not in log_of(out).read_text()
    assert out.read_bytes() == whole()


def test_a_scheduler_that_is_killed_leaves_what_is_finished(tmp_path, monkeypatch):
    out = tmp_path / "a.parquet"
    patience = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    with (
        dask(tmp_path, 1) as (address, scheduler, _),
        sweeping(out, "--backend", "dask", "--scheduler", address, **patience) as process,
    ):
        at_random(out)
        scheduler.kill()
        assert process.wait(60) == 1
    kept, told = len(parts_of(out)), log_of(out).read_text()
    gone = f"The scheduler at {address} does not answer any more."
    assert told.splitlines()[-1] == f"{gone} {kept} batches are kept; the same command goes on from there."
    assert "Traceback" not in told
    trained = batches_trained_here(monkeypatch)
    assert here(out) == 0
    assert len(trained) == BATCHES - kept
    assert out.read_bytes() == whole()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "The scheduler at {} has no workers; start some by `python -m dask worker`."),
        (
            {"PYTHONSAFEPATH": "1"},  # its folder is no place to import from
            "`import engine` fails at {}; start dask in the project's folder, by `python -m dask`.",
        ),
    ],
    ids=["alone", "elsewhere"],
)
def test_a_scheduler_that_cannot_help_is_said(variables, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine.sweep.pool, "PATIENCE", 1)
    with dask(tmp_path, **variables) as (address, _, _):
        assert here(tmp_path / "a.parquet", "--backend", "dask", "--scheduler", address) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [reason.format(address)]


def test_dask_workers_that_keep_dying_are_said(tmp_path):
    with (
        dask(tmp_path, 2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as (address, _, _),
        pytest.raises(SweepError, match="Workers died again and again over one task"),
    ):
        list(finished(os._exit, [1, 2, 3], jobs=2, backend="dask", scheduler=address))
