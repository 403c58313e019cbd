"""The script of an experiment trains the engine's weights, alone: PyTorch and scikit-learn are all that it needs."""

import ast
import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs

from engine import DATASETS, VARIANTS, Experiment, train
from engine.datasets import Dataset
from engine.experiment import DECAYED, KNOBS
from engine.knobs import Choice, Flag, Number
from engine.mlp import ACTIVATIONS
from engine.schedules import SCHEDULES
from engine.script import WIDTH, script
from engine.variants import schedule_code

TOLERANCE = 1e-10


def half(x):
    return half(x - 2) if x.max() > 1e9 else x / 2


def quarter(x):
    return half(half(x))


def corners(n: int, noise: float, rng: np.random.Generator, *, far: float = 2.0):
    """Points in four corners, of two classes."""
    x, _ = make_blobs(n, centers=[(-far, 0), (far, 0)], cluster_std=noise, random_state=int(rng.integers(9)))
    return half(x) + quarter(rng.normal(size=x.shape)), (x[:, 0] > 0).astype(int)


def drawn(i):
    """An experiment of all variants; every schedule comes once with all points and once with batches.

    Rates are small enough that rounding does not grow: with η ten times as large, an error of 1e-16 in the initial
    weights alone can end beyond the tolerance, by RMSProp at its optimum or under LayerNorm.
    """
    rng = np.random.default_rng(i)
    return Experiment(
        dataset=list(DATASETS)[i % len(DATASETS)],
        noise=0.3, points=20, seed=i, hidden=(8, 6)[: 2 - i // 4 % 2], steps=60, variants=tuple(VARIANTS),
        activation=list(ACTIVATIONS)[(i + i // 4) % len(ACTIVATIONS)],
        layer_norm=i % 3 == 1,
        schedule=list(SCHEDULES)[i % len(SCHEDULES)],
        batch_size=6 if i // len(SCHEDULES) % 2 else None,
        decayed=list(DECAYED)[(i + i // 3) % len(DECAYED)],
        nesterov=i % 2 == 1, momentum=rng.uniform(0.3, 0.9), max_norm=rng.uniform(0.4, 0.8),
        lr=rng.uniform(0.01, 0.03), lr_adaptive=rng.uniform(1e-4, 3e-4), weight_decay=rng.uniform(0.005, 0.02),
        weight_decay_adaptive=None if i % 4 < 2 else rng.uniform(0.01, 0.1),
    )  # fmt: skip


EXPERIMENTS = {
    **{f"{one.schedule}-{one.dataset}-{one.batch}": one for one in map(drawn, range(2 * len(SCHEDULES)))},
    "linear-model": replace(drawn(0), hidden=(), layer_norm=True, nesterov=True, momentum=0, weight_decay=0),
    "a-batch-of-all": replace(drawn(7), batch_size=500, hidden=(4, 3, 3)),
}
all_drawn = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


@cache
def executed(experiment):
    """What a script leaves, and what it prints."""
    scope: dict[str, Any] = {}
    told = io.StringIO()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with redirect_stdout(told):
            exec(compile(script(experiment), "script", "exec"), scope)
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
    return scope, told.getvalue().splitlines()


@cache
def trained(experiment):
    return train(experiment, dtype=torch.float64)


def differences(experiment):
    """Variant to the largest difference of any parameter at the end."""
    run, models = trained(experiment), executed(experiment)[0]["models"]
    found = {}
    for variant in experiment.chosen:
        film = torch.from_numpy(run.film[-1:, run.row(variant.key)])
        ours = [part[0] for layer in run.architecture.layers(film) for part in layer if part is not None]
        theirs = models[variant.title].parameters()
        found[variant.key] = max(float((a - b.detach()).abs().max()) for a, b in zip(ours, theirs, strict=True))
    return found


@all_drawn
def test_the_script_trains_the_engines_weights(experiment):
    assert not any(trained(experiment).diverged.values())
    assert {key: apart for key, apart in differences(experiment).items() if not apart <= TOLERANCE} == {}


@pytest.mark.parametrize("name", [name for name, knob in KNOBS.items() if isinstance(knob, Choice | Flag)])
def test_the_draws_reach_every_choice(name):
    knob = KNOBS[name]
    options = knob.options if isinstance(knob, Choice) else (False, True)
    assert {getattr(one, name) for one in EXPERIMENTS.values()} == set(options)


def test_the_draws_reach_every_schedule_with_and_without_batches():
    assert {(one.schedule, one.batch < one.points) for one in EXPERIMENTS.values()} >= {
        (schedule, batches) for schedule in SCHEDULES for batches in (False, True)
    }


def test_the_table_is_the_runs():
    experiment = replace(Experiment(), steps=100)
    header, *rows = executed(experiment)[1]
    end = trained(experiment).curves.query("step == 100").set_index("variant")
    for variant, row in zip(experiment.chosen, rows, strict=True):
        loss, accuracy, norm = row.removeprefix(variant.title).split()
        assert float(loss) == pytest.approx(end.test_loss[variant.key], abs=1e-4)
        assert accuracy == f"{end.test_accuracy[variant.key]:.1%}"
        assert float(norm) == pytest.approx(end.weight_norm[variant.key], abs=1e-3)
        assert len(row) == len(header)


def test_the_script_runs_alone_and_without_warnings(tmp_path):
    experiment = EXPERIMENTS["warmup_cosine-blobs-6"]
    file, empty = tmp_path / "script.py", tmp_path / "empty"
    file.write_text(script(experiment), encoding="utf-8")
    empty.mkdir()
    here = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    alone = "import importlib.util, sys; sys.exit(importlib.util.find_spec('engine') is not None)"
    subprocess.run([sys.executable, "-c", alone], cwd=empty, env=here, check=True, timeout=60)
    done = subprocess.run([sys.executable, "-W", "error", str(file)], cwd=empty, env={**here, "LC_ALL": "C"},
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == executed(experiment)[1]
    assert len(done.stdout.splitlines()) == 1 + len(VARIANTS)


def test_a_diverging_run_ends_with_a_line_and_the_others_go_on():
    wild = Experiment(steps=60, lr=100, weight_decay=10, weight_decay_adaptive=0.1, activation="relu",
                      variants=("sgd", "sgdw", "l1", "momentum_l2", "adamw"))  # fmt: skip
    gone = {VARIANTS[key].title: step for key, step in trained(wild).diverged.items()}
    assert 1 < gone["SGDW"] < 10
    assert gone["AdamW"] is None
    rows = executed(wild)[1][1:]
    for (title, step), row in zip(gone.items(), rows, strict=True):
        words = row.removeprefix(title).strip()
        assert words == f"diverged at step {step}" if step else len(words.split()) == 3


def test_a_run_that_diverges_in_its_last_step_says_so():
    wild = Experiment(lr=100, weight_decay=10, variants=("sgdw",))
    step = trained(wild).diverged["sgdw"]
    assert executed(replace(wild, steps=step))[1][1].split() == ["SGDW", "diverged", "at", "step", str(step)]
    assert "diverged" not in executed(replace(wild, steps=step - 1))[1][1]


def read_back(code):
    """The numbers at the top of a script."""
    body = [node for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): node.value.value for node in body if isinstance(node.value, ast.Constant)}


@all_drawn
def test_the_settings_are_the_experiments_and_all_are_read(experiment):
    found = read_back(script(experiment))
    expected = {name: getattr(experiment, name) for name, knob in KNOBS.items() if isinstance(knob, Number)}
    unread = {"batch_size"} if experiment.batch == experiment.points else set()
    unread |= {"weight_decay_adaptive"} if experiment.weight_decay_adaptive is None else set()
    assert found == {name: value for name, value in expected.items() if name not in unread}


def test_what_is_not_chosen_is_not_there():
    code = script(Experiment(variants=("adamw",), weight_decay_adaptive=0.3))
    assert set(read_back(code)) == {"noise", "points", "seed", "steps", "lr_adaptive", "weight_decay_adaptive"}
    assert "Matched" not in code
    assert code.startswith('"""Two moons: AdamW, in plain PyTorch.\n')
    matched = script(Experiment(variants=("adamw",)))
    assert set(read_back(matched)) >= {"lr", "weight_decay"}
    assert "Matched" in matched
    assert "max_norm" in script(Experiment(variants=("max_norm",)))


def test_a_dataset_brings_the_functions_it_calls_once(monkeypatch):
    monkeypatch.setitem(DATASETS, "moons", Dataset("moons", "Corners", corners))
    experiment = Experiment(steps=30, variants=("sgd", "adamw"), noise=0.123)  # samples are kept: one for this alone
    code = script(experiment)
    assert [code.count(f"def {name}(") for name in ("half", "quarter", "corners")] == [1, 1, 1]
    assert max(differences(experiment).values()) <= TOLERANCE


@all_drawn
def test_the_snippets_are_those_on_screen(experiment):
    code = script(experiment)
    lines = {line.strip() for line in code.splitlines()}
    for variant in experiment.chosen:
        assert f"def train_{variant.key}(" in code
        own = experiment.snippet_of(variant).replace(schedule_code(SCHEDULES[experiment.schedule].code), "")
        assert {line.strip() for line in own.splitlines() if len(line) <= WIDTH - 4} <= lines


def docstring(tree):
    return ast.get_docstring(tree) or ""


def test_the_header_names_link_and_versions():
    link = "https://host:8501/norms?v=1&variants=sgd%2Cadamw&figure=norms#x"
    header = docstring(ast.parse(script(Experiment(), link)))
    assert link in header.splitlines()
    for package in ("torch", "scikit-learn", "numpy"):
        assert f"{package} {version(package).partition('+')[0]}" in " ".join(header.split())
    assert "?v=1&seed=7" in script(Experiment(seed=7)).splitlines()


@given(st.text() | st.text(alphabet="\"\\'\n\r\0{}a \u2028\ud800"))
@settings(max_examples=30)
def test_a_link_is_only_words(link):
    plain, linked = (ast.parse(script(Experiment(variants=("sgd",)), text)) for text in ("x", f"h{link}"))
    assert ast.dump(ast.Module(linked.body[1:], [])) == ast.dump(ast.Module(plain.body[1:], []))
    assert len(docstring(linked).splitlines()) == len(docstring(plain).splitlines())


def test_scripts_are_formatted_and_import_only_what_is_named(tmp_path):
    for name, experiment in EXPERIMENTS.items():
        code = script(experiment)
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        assert [line for line in code.splitlines() if len(line) > WIDTH and not line.startswith("?v=")] == []
        found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {alias.name for node in found if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in found if isinstance(node, ast.ImportFrom)}
        assert {module.partition(".")[0] for module in modules} <= {"math", "numpy", "torch", "sklearn"}
    ruff = [sys.executable, "-m", "ruff"]
    alike = ["--isolated", "--no-cache", "--line-length", str(WIDTH), str(tmp_path)]
    for command in (["format", "--check"], ["check", "--select", "F,I,UP"]):
        done = subprocess.run([*ruff, *command, *alike], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
