"""Sweeps train every combination once, say what each row was, and go on from whatever was finished."""

import random
from dataclasses import replace
from itertools import pairwise, permutations, product
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import engine.sweep.pool
import engine.sweep.run
from engine import Experiment, train
from engine.run import METRICS
from engine.sweep import Means, Sweep, experiment_of, sweep_file, sweep_frame
from engine.sweep.pool import finished
from engine.sweep.rows import table_of
from engine.sweep.values import values_of
from engine.train import SHARED

TINY = Experiment(points=6, hidden=(4,), steps=2, variants=("sgd_l2", "adamw"))
SWEEP = Sweep(TINY, {"seed": [1, 2, 3], "weight_decay": [0.1, 0.2, 0.3, 0.4, 0.5]}, batch_models=4)
"""Nine batches: three of each seed, the last of them with one experiment."""

VALUES = {
    "dataset": ["moons", "circles"],
    "seed": [0, 5, 9],
    "hidden": [(), (4,), (4, 3)],
    "layer_norm": [False, True],
    "batch_size": [None, 1, 4],
    "lr": [0.1, 1.0],
    "nesterov": [False, True],
    "weight_decay": [0.0, 0.003, 1 / 3],
    "weight_decay_adaptive": [None, 0.0, 1e-6],
    "variants": [("sgd",), ("sgd_l2", "adamw"), ("adam", "adam_l2", "lion")],
}
GRIDS = st.lists(st.sampled_from([*VALUES]), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3, unique=True) for name in names}
    )
)


@given(GRIDS, st.integers(1, 9))
def test_every_combination_is_trained_once_in_batches_that_share(over, models):
    sweep = Sweep(TINY, over, batch_models=models)
    batches = [sweep.batch(number) for number in range(sweep.batches)]
    trained = [experiment for batch in batches for experiment in batch]
    assert len(trained) == len(set(trained)) == sweep.cells
    assert set(trained) == {replace(TINY, **dict(zip(over, values, strict=True))) for values in product(*over.values())}
    assert trained == [sweep.experiment(cell) for cell in range(sweep.cells)]
    for batch in batches:
        assert len({tuple(getattr(experiment, name) for name in SHARED) for experiment in batch}) == 1
        assert len(batch) == 1 or sum(len(experiment.variants) for experiment in batch) <= models
    assert len(sweep) == _unmeasured(trained).num_rows
    with pytest.raises(IndexError):
        sweep.batch(sweep.batches)


@given(GRIDS)
def test_a_row_and_its_link_are_the_experiment(over):
    sweep = Sweep(TINY, over)
    experiments = [sweep.experiment(cell) for cell in range(sweep.cells)]
    alone = [replace(experiment, variants=(key,)) for experiment in experiments for key in experiment.variants]
    for row, experiment in zip(_unmeasured(experiments).to_pylist(), alone, strict=True):
        assert experiment_of(row) == experiment
        assert Experiment.from_query(parse_qs(row["link"].removeprefix("?"))) == (experiment, [])
        variant = experiment.chosen[0]
        assert row["variant_lr"] == experiment.lr_of(variant)
        assert row["variant_weight_decay"] == experiment.weight_decay_of(variant)


def _unmeasured(experiments):
    models = sum(len(experiment.variants) for experiment in experiments)
    return table_of(experiments, np.zeros((models, len(METRICS))), np.zeros(models, dtype=int))


def _parquet(path):
    return pq.read_table(path).to_pylist()


def _pandas(path):
    return (pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)).to_dict("records")


@pytest.mark.parametrize(("name", "read"), [("a.parquet", _parquet), ("a.parquet", _pandas), ("a.csv", _pandas)])
@pytest.mark.parametrize(
    "over",
    [
        {"hidden": [(4,), (8,)], "layer_norm": [True, False]},  # widths that could be numbers, columns of nothing
        {"hidden": [(), (4, 3)], "batch_size": [None, 4], "weight_decay_adaptive": [None, 0.1]},
        {"weight_decay": values_of("weight_decay", ["1e-6..10:log40"]), "dataset": ["moons", "xor"]},
    ],
    ids=["plain", "default", "values"],
)
def test_a_file_gives_its_experiments_back(over, name, read, tmp_path):
    sweep = Sweep(replace(TINY, steps=1), over)
    rows = read(sweep_file(sweep, tmp_path / name))
    experiments = [sweep.experiment(cell) for cell in range(sweep.cells)]
    expected = [replace(experiment, variants=(key,)) for experiment in experiments for key in experiment.variants]
    assert [experiment_of(row) for row in rows] == expected


def test_the_order_of_a_sweep_is_not_the_order_it_was_said_in():
    over = {"weight_decay": (0.1, 0.2), "lr": (1.0, 0.1), "seed": (4, 3), "dataset": ("xor",)}
    sweeps = {Sweep(TINY, dict(said)) for said in permutations(over.items())}
    assert len(sweeps) == 1
    assert [name for name, _ in sweeps.pop().axes] == ["dataset", "seed", "lr", "weight_decay"]


@given(st.sets(st.integers(0, 30)).map(sorted), st.integers(1, 300))
def test_blocks_are_of_neighbours(batches, models):
    sweep = replace(SWEEP, batch_models=64)
    most = max(1, models * sweep.batches // len(sweep))
    blocks = list(sweep.blocks(batches, models))
    assert [number for block in blocks for number in block] == batches
    for block in blocks:
        assert block == tuple(range(block[0], block[0] + len(block)))
        assert len(block) <= most
    for block, after in pairwise(blocks):
        assert len(block) == most or after[0] > block[-1] + 1  # cut where it must be


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_metrics_are_those_of_a_training_alone(precision):
    base = replace(TINY, points=20, steps=30, variants=("sgd_l2", "momentum_w", "adam_l2", "adamw"))
    over = {"seed": [1, 2], "batch_size": [None, 4], "weight_decay": [0.0, 0.03], "weight_decay_adaptive": [None, 0.5]}
    sweep = Sweep(base, over, precision)
    frame = sweep_frame(sweep)
    assert len(frame) == len(sweep) == 64
    for row in frame.to_dict("records")[::3]:
        alone = train(experiment_of(row), dtype=getattr(torch, precision))
        for name in METRICS:
            exact = precision == "float64" and name != "test_loss"  # which is evaluated in float32
            assert row[name] == pytest.approx(alone.metrics[name][-1, 0], rel=1e-12 if exact else 1e-4), name


def test_a_model_that_left_the_finite_says_at_which_step():
    base = replace(TINY, steps=60, lr=100.0, weight_decay_adaptive=0.03, variants=("sgd_l2", "adamw"))
    frame = sweep_frame(Sweep(base, {"weight_decay": [0.03, 10.0]}))
    alone = [train(experiment_of(row), dtype=torch.float64).diverged for row in frame.to_dict("records")]
    assert {step is None for gone in alone for step in gone.values()} == {True, False}
    for gone, row in zip(alone, frame.to_dict("records"), strict=True):
        assert {row["variant"]: None if np.isnan(row["diverged"]) else row["diverged"]} == gone
    assert np.isfinite(frame[list(METRICS)]).all(axis=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of SWEEP, trained in one go."""
    return sweep_file(SWEEP, tmp_path_factory.mktemp("whole") / "a.parquet").read_bytes()


def test_neither_the_order_nor_the_size_of_blocks_changes_the_file(whole, tmp_path, monkeypatch):
    def shuffled(work, tasks, *means):
        tasks = list(tasks)
        random.Random(0).shuffle(tasks)
        return ((task, work(task)) for task in tasks)

    monkeypatch.setattr(engine.sweep.run, "finished", shuffled)
    for models in (1, 9, 1000):
        out = sweep_file(SWEEP, tmp_path / f"{models}.parquet", Means(block_models=models))
        assert out.read_bytes() == whole
    assert sweep_frame(SWEEP).equals(pd.read_parquet(out))


def test_a_task_that_got_lost_among_dying_processes_is_given_again(monkeypatch):
    lost = [3]

    def losing(calls):  # as joblib's Parallel, but once one task that was taken never comes back
        yield from (call(*given) for call, given, _ in calls if given[1] not in lost or lost.clear())

    monkeypatch.setattr(engine.sweep.pool, "Parallel", lambda *means, **more: losing)
    assert [*finished(str, range(6), jobs=2)] == [(task, str(task)) for task in (0, 1, 2, 4, 5, 3)]


def test_a_row_of_a_frame_gives_its_experiment_back():
    frame = sweep_frame(replace(SWEEP, over={"layer_norm": [True], "seed": [5], "batch_size": [None, 2]}))
    assert experiment_of(frame.iloc[0]) == replace(TINY, layer_norm=True, seed=5, variants=TINY.variants[:1])


@pytest.mark.parametrize("values", [0.1, "many", None])
def test_values_are_a_list(values):
    with pytest.raises(ValueError, match="weight_decay needs a list of values"):
        Sweep(TINY, {"weight_decay": values})


def test_batches_suit_the_device():
    assert Sweep(TINY, {}).batch_models == 64
    assert Sweep(TINY, {}, device="cuda").batch_models == 16_384
    assert Sweep(TINY, {}, device="cuda").to_dict() != Sweep(TINY, {}).to_dict()
    with pytest.raises(ValueError, match="device must be one of cpu, cuda"):
        Sweep(TINY, {}, device="tpu")


@pytest.mark.parametrize(("wins", "device"), [(False, "cpu"), (True, "cuda")])
def test_the_faster_device_is_asked_for_a_batch_of_its_own(monkeypatch, wins, device):
    asked = []
    monkeypatch.setattr(engine.sweep.run, "gpu_wins", lambda *args: asked.append(args) or wins)
    sweep = Sweep(TINY, {"weight_decay": [i / 100 for i in range(200)]}, "float32")
    assert engine.sweep.run.on_the_faster_device(sweep).device == device
    assert asked == [(200 * len(TINY.variants) * TINY.batch * TINY.parameters, TINY.steps, torch.float32)]
