"""``python -m engine.sweep``: what its words mean, and what it says where they mean nothing."""

import re
import sys

import pytest

import engine.sweep.pool
from engine import Experiment
from engine.sweep import Means, Sweep, SweepError, sweep_file
from engine.sweep.__main__ import main
from engine.sweep.values import values_of

OVER = ["--over", "seed", "1..3", "--over", "weight_decay", "0.1..0.5:lin5"]
LINK = ["--link", "https://host/page?v=1&points=6&hidden=4&steps=2&variants=sgd_l2,adamw#part"]
ALONE = [*OVER, *LINK, "--jobs", "1", "--out"]


def test_a_command_is_a_sweep(tmp_path):
    experiment = Experiment(points=6, hidden=(4,), steps=2, variants=("sgd_l2", "adamw"))
    sweep = Sweep(experiment, {"weight_decay": [0.1, 0.2, 0.3, 0.4, 0.5], "seed": [1, 2, 3]}, "float32")
    out = sweep_file(sweep, tmp_path / "a.csv")
    knobs = [f"--set={knob}" for knob in ("points=6", "hidden=4", "steps=2", "variants=adamw,sgd_l2")]
    for name, start in {"b.csv": LINK, "c.csv": knobs}.items():
        means = ["--precision", "float32", "--jobs", "1", "--out", str(tmp_path / name)]
        assert main([*OVER, *start, *means]) == 0
        assert (tmp_path / name).read_bytes() == out.read_bytes()


def test_progress_is_one_line_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main([*ALONE, str(tmp_path / "a.csv"), "--block", "1"]) == 0
    first, *lines = capsys.readouterr().err.split("\r")
    assert first.endswith("\n")
    assert [line.split(" models · ")[0] for line in lines[:3]] == ["10 of 30", "20 of 30", "30 of 30"]
    assert lines[-1] == f"{tmp_path / 'a.csv'}: 30 models, 0.0 MB\n"


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (["--backend", "dask"], "The dask backend needs the address of a scheduler: --scheduler tcp://HOST:8786."),
        (["--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"], "No dask scheduler answers at tcp://127.0.0.1:1."),
        (["--device", "cuda"], "There is no CUDA device where this is trained; use --device auto or cpu."),
    ],
    ids=["no address", "nobody there", "no GPU"],
)
def test_means_that_are_not_there_are_said(means, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engine.sweep.pool, "PATIENCE", 0.2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*ALONE, str(tmp_path / "a.csv"), *means]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [reason]
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none_is_not_tried(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("distributed.Client", None)  # one that was tried keeps the process from ending for a while
    assert main([*ALONE, str(tmp_path / "a.csv"), "--backend", "dask", "--scheduler", "host"]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["No dask scheduler answers at host."]


def test_dask_that_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SweepError, match=r"dask is not installed; `pip install -r requirements-dask.txt` brings it\."):
        sweep_file(Sweep(Experiment(), {}), tmp_path / "a.csv", Means(backend="dask", scheduler="tcp://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--over", "sede", "1"], "'sede' is not a knob; knobs are dataset, noise, points, seed,"),
        (["--over", "seed"], "seed has no values."),
        (["--over", "seed", "1", "0..3"], "seed has the value 1 twice."),
        (["--over", "batch_size", "default", "default"], "batch_size has the value default twice."),
        (["--over", "seed", "1", "--over", "seed", "2"], "--over seed is given twice."),
        (["--set", "seed"], "--set takes KNOB=VALUE, not 'seed'."),
        (["--set", "seed=0..3"], "--set takes one value, not 'seed=0..3'; --over takes several."),
        (["--link", "?v=1&seed=x"], "The link's `seed=x` cannot be used; using 3."),
        (["--jobs", "0"], "argument --jobs: must be a whole number from 1, not '0'"),
        (["--block", "many"], "argument --block: must be a whole number from 1, not 'many'"),
    ],
)
def test_a_wrong_call_is_said_with_status_2(arguments, reason, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--out", str(tmp_path / "a.csv")])
    assert left.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"python -m engine.sweep: error: {reason}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "texts", "values"),
    [
        ("seed", ["0..3", "7"], [0, 1, 2, 3, 7]),
        ("points", ["10..40:lin4"], [10, 20, 30, 40]),
        ("weight_decay", ["1e-3..10:log5"], [0.001, 0.01, 0.1, 1.0, 10.0]),
        ("noise", ["0..1:lin3", "1..0:lin2"], [0.0, 0.5, 1.0, 1.0, 0.0]),
        ("lr", ["1..3"], [1.0, 2.0, 3.0]),
        ("lr", ["1e-3..1:log3"], [0.001, 0.0316228, 1.0]),
        ("batch_size", ["default", "4"], [None, 4]),
        ("hidden", ["0", "16-16", "default"], [(), (16, 16), (16, 16)]),
        ("layer_norm", ["0", "1"], [False, True]),
        ("variants", ["adamw,adam_l2", "sgd"], [("adam_l2", "adamw"), ("sgd",)]),
        ("momentum", ["grid"], [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]),
    ],
)
def test_words_are_values(name, texts, values):
    assert values_of(name, texts) == values


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("lr", "fast", "lr must be a number from 1e-05 to 100, not 'fast'."),
        ("seed", "grid", "seed must be a whole number from 0 to 9999, not 'grid'."),
        ("seed", "9998..10000", "seed must be a whole number from 0 to 9999, not '9998..10000'."),
        ("seed", "3..0", "seed needs a range up from one whole number to another"),
        ("lr", "0.5..2", "lr needs a range up from one whole number to another"),
        ("seed", "0..1e9", "seed needs a range up from one whole number to another"),
        ("seed", "0..inf", "seed needs a range between numbers"),
        ("lr", "a..b:log3", "lr needs a range between numbers"),
        ("lr", "1..2:log1", "lr needs a range of 2 to 100,000 values, and for log between ends above 0"),
        ("noise", "0..1:log3", "noise needs a range of 2 to 100,000 values, and for log between ends above 0"),
        ("noise", "0..1:odd3", "noise must be a number from 0 to 1, not '0..1:odd3'."),
        ("hidden", "16x16", "hidden must be up to 4 widths from 1 to 64, not '16x16'."),
        ("layer_norm", "yes", "layer_norm must be 0 or 1, not 'yes'."),
        ("dataset", "moon", "dataset must be one of"),
    ],
)
def test_words_that_are_no_values_are_said(name, text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        values_of(name, [text])
    assert repr(text) in str(error.value)
