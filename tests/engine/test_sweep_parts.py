"""A sweep keeps what is finished, notices what was spoilt, and leaves everything else as it is."""

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock

import engine.sweep.run
from engine import Experiment
from engine.experiment import KNOBS
from engine.sweep import Means, Sweep, SweepError, sweep_file
from engine.sweep.__main__ import main
from engine.sweep.run import train_block
from tests.engine.sweeping import batches_trained_here, parts_of

TINY = Experiment(points=6, hidden=(4,), steps=2, variants=("sgd_l2", "adamw"))
SWEEP = Sweep(TINY, {"seed": [1, 2, 3], "weight_decay": [0.1, 0.2, 0.3, 0.4, 0.5]}, batch_models=4)
"""Nine batches: three of each seed, the last of them with one experiment."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of SWEEP, trained in one go."""
    return sweep_file(SWEEP, tmp_path_factory.mktemp("whole") / "a.parquet").read_bytes()


class Stopped(Exception):
    """Somebody stopped the sweep."""


def stopped(out, blocks=4, sweep=SWEEP):
    """Train a sweep batch by batch and stop it after so many; the parts that it leaves."""
    before = iter(range(blocks - 1))

    def on_progress(progress):
        if next(before, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        sweep_file(sweep, out, Means(block_models=1), on_progress)
    return parts_of(out)


@pytest.fixture
def trained(monkeypatch):
    return batches_trained_here(monkeypatch)


@pytest.mark.parametrize("models", [1, 8, 1000])
def test_a_stopped_sweep_goes_on_where_it_was(models, whole, tmp_path, trained):
    def identities(progress=None):
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in parts}

    parts = stopped(tmp_path / "a.parquet")
    before, told = identities(), []
    assert trained == [0, 1, 2, 3]
    trained.clear()
    out = sweep_file(
        SWEEP,
        tmp_path / "a.parquet",
        Means(block_models=models),
        lambda progress: told.append((progress, identities())),
    )
    assert trained == [4, 5, 6, 7, 8]
    assert all(now == before for _, now in told)
    assert out.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [out]
    assert (told[-1][0].done, told[-1][0].found, told[-1][0].left) == (len(SWEEP), round(len(SWEEP) * 4 / 9), 0)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SPOILERS = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: flipped(data, len(data) // 2),
    "renamed": lambda data: flipped(data, data.rindex(b"weight_norm")),  # a column that Parquet would read as nulls
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_a_spoilt_part_is_set_aside_and_trained_again(spoil, whole, tmp_path, trained):
    part = stopped(tmp_path / "a.parquet")[1]
    part.write_bytes(spoil(part.read_bytes()))
    trained.clear()
    aside = []
    out = sweep_file(SWEEP, tmp_path / "a.parquet", on_start=lambda store: aside.extend(store.spoilt))
    assert aside == [part.with_suffix(".spoilt")]
    assert trained == [1, 4, 5, 6, 7, 8]
    assert out.read_bytes() == whole


def test_a_part_spoilt_meanwhile_spoils_no_file(whole, tmp_path, trained):
    out = tmp_path / "a.parquet"
    with pytest.raises(SweepError, match="is not what was written"):
        sweep_file(SWEEP, out, Means(block_models=1), lambda progress: parts_of(out)[0].write_bytes(b"spoilt"))
    assert not out.exists()
    trained.clear()
    assert sweep_file(SWEEP, out).read_bytes() == whole
    assert trained == [0]


def test_a_file_that_came_meanwhile_is_left_as_it_is(whole, tmp_path):
    out = tmp_path / "a.parquet"
    with pytest.raises(SweepError, match="exists already"):
        sweep_file(SWEEP, out, Means(block_models=1), lambda progress: out.write_text("mine"))
    assert out.read_text() == "mine"
    out.unlink()
    assert sweep_file(SWEEP, out).read_bytes() == whole


def command(out, *more):
    """SWEEP's knobs on the command line."""
    over = ("--over", "seed", "1..3", "--over", "weight_decay", "0.1..0.5:lin5")
    fixed = ("points=6", "hidden=4", "steps=2", "variants=sgd_l2,adamw")
    return [*over, *(word for knob in fixed for word in ("--set", knob)), "--jobs", "1", "--out", str(out), *more]


def test_the_command_line_trains_a_sweep_and_goes_on(tmp_path, capsys):
    sweep, out = replace(SWEEP, batch_models=64), tmp_path / "new" / "a.csv"
    stopped(out, 2, sweep)
    assert main(command(out)) == 0
    assert pd.read_csv(out).equals(pd.read_csv(sweep_file(sweep, tmp_path / "b.csv")))
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [f"30 models in 3 batches → {out}", "Going on: 2 batches are finished."]
    assert told[2:] == [f"{out}: 30 models, 0.0 MB"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("/proc/nowhere/a.parquet", "/proc/nowhere/a.parquet.parts cannot be written (No such file or directory)."),
        ("file/a.parquet", "a.parquet.parts cannot be written (Not a directory)."),
        (f"{'a' * 300}.parquet", ".parts cannot be written (File name too long)."),
        ("a.txt", "a.txt must end in .parquet or .csv."),
        ("file.csv", "file.csv exists already; it is left as it is. Remove it or choose another name."),
        ("busy.csv", "Another process is at"),
        ("other.csv", "other.csv.parts holds parts of another sweep (sweep.json there says which)."),
    ],
    ids=["nowhere", "file", "long", "ending", "there", "busy", "other"],
)
def test_a_place_that_cannot_be_used_is_said_and_left_alone(where, reason, tmp_path, capsys):
    for name in ("file", "file.csv"):
        (tmp_path / name).write_text("mine")
    stopped(tmp_path / "other.csv")
    stopped(tmp_path / "busy.csv", 1, replace(SWEEP, batch_models=64))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with FileLock(tmp_path / "busy.csv.parts" / "lock"):
        assert main(command(tmp_path / where)) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert reason in told[1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_file_is_on_the_disk_before_it_appears(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        open_now = os.fstat(descriptor)
        synced.extend(path.name for path in tmp_path.rglob("*") if os.path.samestat(path.stat(), open_now))

    monkeypatch.setattr(os, "fsync", fsync)
    sweep_file(SWEEP, tmp_path / "a.parquet", Means(block_models=1))
    assert len(synced) == 1 + SWEEP.batches + 1  # what the sweep is, every part, the file
    assert all(name.endswith(".draft") for name in synced)


def test_memory_does_not_grow_with_the_number_of_blocks(tmp_path, monkeypatch):
    sweep = Sweep(TINY, {"seed": range(1600), "weight_decay": np.geomspace(1e-3, 1, 32).tolist()})
    table = pa.concat_tables([train_block(SWEEP, (0,))] * 64).combine_chunks()
    monkeypatch.setattr(engine.sweep.run, "train_block", lambda sweep, block: table)
    peaks = []
    for seeds in (160, 1600):
        some = replace(sweep, over={**dict(sweep.axes), "seed": range(seeds)})
        before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        pa.set_memory_pool(pool)
        tracemalloc.start()
        sweep_file(some, tmp_path / f"{seeds}.parquet")
        peaks.append((tracemalloc.get_traced_memory()[1], pool.max_memory()))
        tracemalloc.stop()
        pa.set_memory_pool(before)
        assert pq.read_metadata(tmp_path / f"{seeds}.parquet").num_rows == seeds * 64
    (few_heap, few_arrow), (many_heap, many_arrow) = peaks
    assert many_heap < few_heap + 1e6  # ten times the blocks: the numbers of finished batches, nothing else
    assert many_arrow < few_arrow + 10e6


def test_what_is_not_the_sweeps_stays(tmp_path):
    out = tmp_path / "a.parquet"
    mine = stopped(out)[0].parent / "thesis.txt"
    mine.write_text("mine")
    sweep_file(SWEEP, out)
    assert [path.name for path in mine.parent.iterdir()] == ["thesis.txt"]
    with pytest.raises(SweepError, match="holds files that are no sweep's"):
        sweep_file(SWEEP, out.rename(tmp_path / "b.parquet").with_name("a.parquet"))
    assert mine.read_text() == "mine"


def test_parts_are_of_every_knob_and_not_of_what_is_not_default():
    """A default that changes with a new version must not let the rest of a sweep be another experiment."""
    assert set(SWEEP.to_dict()["base"]) == set(KNOBS)
    assert SWEEP.to_dict()["torch"] == torch.__version__
