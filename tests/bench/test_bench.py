"""What the figures are made of, without measuring: counts, rows, and rivals that train to the same losses."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import __main__ as bench
from bench import arithmetic, gpu, rivals
from bench.timing import check_same
from engine import Experiment, train, train_many

ROOT = Path(__file__).resolve().parents[2]
SMALL = Experiment(hidden=(4, 3), points=20, steps=40, weight_decay=0.05)


def test_operations_are_counted_by_hand():
    forward = 2 * 20 * (2 * 4 + 4 * 3 + 3 * 1)
    to_weights = forward
    to_inputs = 2 * 20 * (4 * 3 + 3 * 1)
    assert arithmetic.flops_of_step(SMALL) == forward + to_weights + to_inputs


def test_torch_func_trains_to_the_same_film():
    run = train(SMALL, device="cpu")
    film, losses = rivals.vmapped(rivals.task_of([SMALL], frames=41))
    check_same(run.metrics["train_loss"][-1], losses.numpy())
    assert len(film) == len(run.steps)
    norms = np.sort([frame.norm(dim=1).numpy() for frame in film], axis=1)
    np.testing.assert_allclose(norms, np.sort(np.linalg.norm(run.film, axis=2), axis=1), atol=1e-3)


def test_a_task_keeps_the_order_of_its_families():
    experiments = [replace(SMALL, weight_decay=value) for value in (0.0, 0.1)]
    runs = train_many(experiments, device="cpu", frames=2)
    _, losses = rivals.vmapped(rivals.task_of(experiments, frames=2))
    check_same(rivals.final_losses_of(runs), losses.numpy())


def test_a_diverged_model_is_not_compared():
    check_same(np.array([0.3, np.nan]), np.array([0.3001, np.inf]))


@pytest.mark.parametrize("theirs", [0.31, np.nan, np.inf])
def test_other_losses_are_an_error(theirs):
    with pytest.raises(RuntimeError, match="same losses"):
        check_same(np.array([0.3]), np.array([theirs]))


def test_rows_carry_their_unit():
    times = bench.speed_figure("ours", "theirs", [(0.2, 0.1), (0.4, 0.1), (0.3, 0.1)], "≥ 2 times faster")
    assert times.row() == "| ours | theirs | 300 ms | 100 ms | **3.0** | 2.0–4.0 | 3 | ≥ 2 times faster |"
    share = bench.Figure("ours", "SGEMM", [100.0], [40.0], [0.4], "≥ 40 %", "GF/s", ".0%")
    assert share.row() == "| ours | SGEMM | 100 GF/s | 40 GF/s | **40%** | 40%–40% | 1 | ≥ 40 % |"


def test_bytes_are_counted_by_hand():
    linear = replace(SMALL, hidden=(), variants=("sgd",))
    points, p = 20, 3
    forward = p + points  # W and b are read, z is written; the points are shared
    loss = 2 * points + 2 * points  # sigmoid in place, then −y/N is added
    gradient = (points + p) + 2 * p  # δ is read and the product written, then copied into the row
    step = 3 * p + 1  # w and u are read, w is written, η is read
    assert gpu.bytes_of_step(linear) == 4 * (forward + loss + gradient + step)


def test_the_lower_limit_counts():
    memory, products = gpu.bytes_of_step(SMALL), arithmetic.flops_of_step(SMALL)
    assert gpu.limit(gpu.Rates(10 * memory, 20 * products), SMALL) == pytest.approx(10)
    assert gpu.limit(gpu.Rates(40 * memory, 20 * products), SMALL) == pytest.approx(20)


def test_without_a_gpu_the_row_says_unmeasured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (row,) = bench.gpu_figures(1)
    assert "| unmeasured: no GPU at hand |" in row.row()
    assert row.row().startswith("| 1k / 10k / 100k models")
    assert row.row().count("|") == bench.HEAD[0].count("|")


def test_with_a_gpu_every_size_has_a_row(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "compare", lambda models, repeats: [(9e6, 3e3 * models)] * repeats)
    rows = [figure.row() for figure in bench.gpu_figures(2)]
    assert [row.split()[1] for row in rows] == ["1k", "10k", "100k"]
    assert "| 9000 k/s | 3000 k/s | **33%** | 33%–33% | 2 |" in rows[0]


def test_without_jax_a_note_says_so(monkeypatch):
    monkeypatch.setattr(rivals, "has_jax", lambda: False)
    figures, notes = bench.jax_figures(1)
    assert figures == []
    assert "not measured: JAX is not installed (`make bench` installs it)" in notes[0]


def test_importing_the_benchmark_loads_no_jax():
    code = "import sys, bench.__main__; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False).returncode == 0
