"""A sweep in real processes gives the same file whatever becomes of them: killed, interrupted, or out of room."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from joblib.externals.loky import get_reusable_executor

import engine.sweep.pool
from engine.sweep import SweepError
from engine.sweep.pool import finished
from tests.engine.sweeping import (
    BATCHES,
    RANDOM,
    ROOT,
    at_random,
    batches_trained_here,
    here,
    log_of,
    parts_of,
    sweeping,
    whole,
)


def ended(out, end):
    """Train the sweep in two processes and end it at random; its status, once all that it started is gone."""
    with sweeping(out, "--jobs", "2") as process:
        at_random(out)
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(workers_among(others)) == 2
        end(process)
        status = process.wait(60)
        assert psutil.wait_procs(others, timeout=60)[1] == []
    assert not out.exists()
    return status


def workers_among(processes):
    return [process for process in processes if "LokyProcess" in " ".join(process.cmdline())]


@pytest.fixture
def trained(monkeypatch):
    return batches_trained_here(monkeypatch)


def test_two_processes_give_the_same_file(tmp_path, monkeypatch):
    out = tmp_path / "a.parquet"
    assert here(out, "--jobs", "2", "--block", "100") == 0
    assert out.read_bytes() == whole()
    monkeypatch.setattr(engine.sweep.pool, "TRIES", 1)
    with pytest.raises(SweepError, match="Processes died 1 times in a row"):
        list(finished(os._exit, [1, 2, 3], jobs=2))
    get_reusable_executor().shutdown()


def test_a_sweep_killed_with_all_its_processes_goes_on(tmp_path):
    out = tmp_path / "a.parquet"
    assert ended(out, lambda process: os.killpg(process.pid, signal.SIGKILL)) == -signal.SIGKILL
    kept = len(parts_of(out))
    with sweeping(out, "--jobs", "1") as process:
        assert process.wait(180) == 0
    assert f"Going on: {kept} batches are finished." in log_of(out).read_text()
    assert out.read_bytes() == whole()


def test_workers_leave_a_killed_sweep_and_its_batches_are_kept(tmp_path, trained):
    out = tmp_path / "a.parquet"
    assert ended(out, subprocess.Popen.kill) == -signal.SIGKILL
    kept = {int(part.name.split("-")[1]) for part in parts_of(out)}
    assert here(out, "--block", "1000") == 0
    assert sorted(trained) == sorted({*range(BATCHES)} - kept)
    assert out.read_bytes() == whole()


def test_an_interrupted_sweep_says_what_is_kept(tmp_path, trained):
    out = tmp_path / "a.parquet"
    assert ended(out, lambda process: process.send_signal(signal.SIGINT)) == 130
    kept, told = len(parts_of(out)), log_of(out).read_text()
    last = told.splitlines()[-1]
    said = re.fullmatch(r"Interrupted\. (\d+) batches are kept; the same command goes on from there\.", last)
    assert int(said[1]) in (kept, kept - 1)  # the last may have become whole as the signal came
    assert "Traceback" not in told
    assert "Warning" not in told
    assert here(out, "--block", "200") == 0
    assert len(trained) == BATCHES - kept
    assert out.read_bytes() == whole()


def test_a_worker_that_is_killed_takes_nothing_with_it(tmp_path):
    out = tmp_path / "a.parquet"
    with sweeping(out, "--jobs", "2") as process:
        at_random(out)
        RANDOM.choice(workers_among(psutil.Process(process.pid).children(recursive=True))).kill()
        assert process.wait(180) == 0
    assert "Traceback" not in log_of(out).read_text()
    assert out.read_bytes() == whole()


def small_disk(folder, size):
    """Let no more than so many bytes be in the folder, on a disk of its own."""
    again = "remount," if os.path.ismount(folder) else ""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{again}size={size}", "tmpfs", folder], check=True)


def small_files(folder, size):
    """Let no file be larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def squeezed(limit, size, folder):
    """Train the sweep where there is little room, then once more with enough; prints what became of both."""
    out = Path(folder) / "a.parquet"
    limit(folder, size)
    first = here(out, "--block", "64")
    rows = [pq.read_table(part).num_rows for part in parts_of(out)]
    limit(folder, 2**28)
    print(json.dumps([first, rows, here(out, "--block", "64"), out.read_bytes().hex()]))


@pytest.mark.parametrize(
    ("limit", "size", "reason"),
    [(small_disk, 300_000, "No space left on device"), (small_files, 50_000, "File too large")],
    ids=["disk", "file"],
)
def test_want_of_room_is_said_and_nothing_is_lost(limit, size, reason, tmp_path):
    alone = ["unshare", "--map-root-user", "--mount"] if limit is small_disk else []
    mount = [*alone, "mount", "-t", "tmpfs", "tmpfs", tmp_path]
    if alone and not (shutil.which(alone[0]) and subprocess.run(mount, capture_output=True).returncode == 0):
        pytest.skip("nobody may mount a small disk of their own here")
    names = f"{limit.__name__}, squeezed"
    code = f"from {__name__} import {names}; squeezed({limit.__name__}, {size}, {str(tmp_path)!r})"
    child = subprocess.run([*alone, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180)
    first, rows, second, file = json.loads(child.stdout)
    told = child.stderr.splitlines()
    assert (first, second) == (1, 0)
    assert set(rows) == {64}
    assert reason in told[1]
    assert told[1].endswith(f"). {len(rows)} batches are kept; the same command goes on from there.")
    assert told[3] == f"Going on: {len(rows)} batches are finished."
    assert len(told) == 5
    assert bytes.fromhex(file) == whole()
