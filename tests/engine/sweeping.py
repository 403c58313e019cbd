"""What tests of sweeps in real processes share."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import engine.sweep.run
from engine.sweep.__main__ import main
from engine.sweep.run import train_block

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 60
SWEEP = [
    *("--over", "seed", f"1..{BATCHES}", "--over", "weight_decay", "1e-3..1:log32"),
    *("--set", "variants=sgd_l2,adamw", "--set", "points=50", "--set", "steps=60", "--set", "hidden=4"),
]
"""A batch of 64 models for every seed, a few seconds of work."""

RANDOM = random.Random(12)


def eventually(state, limit=120):
    """What ``state`` returns, as soon as it is true."""
    end = time.monotonic() + limit
    while not (seen := state()):
        assert time.monotonic() < end, f"not within {limit} seconds"
        time.sleep(0.005)  # between two looks
    return seen


@contextmanager
def started(log, *command, **variables):
    """A process of the project, in a group with all that it starts, which ends here; ``log`` is its stderr."""
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stderr=stderr, env=os.environ | variables, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def sweeping(out, *means, **variables):
    """``python -m engine.sweep`` in a process."""
    return started(log_of(out), "-m", "engine.sweep", *SWEEP, "--block=64", *means, "--out", str(out), **variables)


def log_of(out):
    return out.with_name("log")


def parts_of(out):
    return sorted(out.with_name(f"{out.name}.parts").glob("batches-*.parquet"))


def at_random(out):
    """Wait until some block, drawn at random, is finished."""
    count = RANDOM.randint(1, BATCHES // 4)
    eventually(lambda: len(parts_of(out)) >= count)


def here(out, *means):
    """Train the sweep in this process; its exit status."""
    return main([*SWEEP, "--jobs", "1", "--out", str(out), *means])


@cache
def whole():
    """The file of the sweep, trained in one go in this process."""
    with tempfile.TemporaryDirectory() as folder:
        assert here(Path(folder) / "a.parquet") == 0
        return (Path(folder) / "a.parquet").read_bytes()


def batches_trained_here(monkeypatch):
    """The numbers of all batches that are trained in this process from here on, a list that grows."""
    numbers = []

    def noting(sweep, block):
        numbers.extend(block)
        return train_block(sweep, block)

    monkeypatch.setattr(engine.sweep.run, "train_block", noting)
    return numbers
