"""What a run shows, against the run's own weights."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.measure import (
    boundary_logits,
    free_decay_curves,
    histogram,
    layer_series,
    pair_difference,
    pairs,
    weight_trajectories,
    window,
)
from engine.theory import free_decay, time_scale

ALL = Experiment(points=20, hidden=(4, 3), steps=60, lr=0.1, lr_adaptive=0.01, variants=tuple(VARIANTS))


@cache
def trained(experiment):
    return train(experiment, dtype=torch.float64)


@pytest.fixture(scope="module")
def run():
    return trained(ALL)


def flat(run, key, step):
    """All weights, then all biases, of one variant at one step."""
    layers = run.weights(key, step)
    return np.concatenate([w.ravel() for w, _ in layers] + [b for _, b in layers])


def test_pairs_are_one_optimizers_two_places_for_lambda(run):
    assert [(a.key, b.key) for a, b in pairs(run)] == [
        ("sgd_l2", "sgdw"), ("momentum_l2", "momentum_w"), ("momentum_l2", "sgds"), ("rmsprop_l2", "rmsprop_w"),
        ("adam_l2", "adamw"), ("adam_l2", "adamw_paper"), ("adam_l2", "adamc"), ("adam_l2", "cautious"),
    ]  # fmt: skip
    assert pairs(trained(Experiment(points=20, steps=5, variants=("sgd", "sgdw", "adam_l2")))) == []


def test_pair_difference_is_the_largest_over_all_parameters(run):
    for a, b in pairs(run):
        by_hand = [np.abs(flat(run, a.key, step) - flat(run, b.key, step)).max() for step in run.steps]
        assert np.array_equal(pair_difference(run, a, b), by_hand)
        assert np.array_equal(pair_difference(run, a, b, slice(-1, None)), by_hand[-1:])
    assert pair_difference(run, VARIANTS["sgd_l2"], VARIANTS["sgdw"]).max() < 1e-14
    assert pair_difference(run, VARIANTS["adam_l2"], VARIANTS["adamw"])[-1] > 1e-2


def test_layer_norms_are_those_of_the_matrices(run):
    layers = layer_series(run)
    assert [list(layer) for layer in layers] == [list(VARIANTS)] * 3
    for key in VARIANTS:
        for frame in (0, 9, -1):
            weights = run.weights(key, int(run.steps[frame]))
            for layer, (w, _) in zip(layers, weights, strict=True):
                assert layer[key].shape == run.steps.shape
                assert layer[key][frame] == pytest.approx(np.linalg.norm(w), rel=1e-12)


@pytest.fixture(scope="module")
def line():
    """A linear model whose logits are known at every point."""
    return trained(Experiment(dataset="linear", points=30, hidden=(), steps=40, lr=0.5, variants=("sgd", "adamw")))


def test_boundary_logits_run_from_left_to_right_and_from_the_top_down(line):
    shown = window(line.data)
    logits = boundary_logits(line, shown, grid=9)
    assert logits.shape == (len(line.steps), 2, 9, 9)
    assert logits.dtype == np.float32
    (left, right), (bottom, top) = shown.x, shown.y
    corners = {(0, 0): (left, top), (0, -1): (right, top), (-1, 0): (left, bottom), (-1, -1): (right, bottom),
               (4, 4): ((left + right) / 2, (bottom + top) / 2)}  # fmt: skip
    for row, key in enumerate(("sgd", "adamw")):
        for frame in (0, 17, -1):
            [(weight, bias)] = line.weights(key, int(line.steps[frame]))
            for (i, j), point in corners.items():
                expected = (weight @ point + bias).item()
                assert logits[frame, row, i, j] == pytest.approx(expected, abs=1e-5)


def test_boundary_logits_of_some_frames(line):
    shown = window(line.data)
    every, last = boundary_logits(line, shown, 5), boundary_logits(line, shown, 5, frames=slice(-1, None))
    np.testing.assert_allclose(last, every[-1:], rtol=1e-6)


def test_the_window_holds_the_training_points_and_nearly_all_test_points(run):
    shown = window(run.data)
    for span, train_points, test_points in zip((shown.x, shown.y), run.data.x_train.T, run.data.x_test.T, strict=True):
        low, high = span
        assert low < train_points.min()
        assert high > train_points.max()
        assert np.mean((test_points > low) & (test_points < high)) > 0.97
        assert high - low < 1.5 * np.ptp(test_points)


def test_free_decay_is_the_product_of_the_shrinks():
    norm, expected = 3.0, [3.0]
    for _ in range(50):
        norm *= 1 - 0.02
        expected.append(norm)
    np.testing.assert_allclose(free_decay(3.0, [0.02] * 50, range(51)), expected, rtol=1e-12)


def test_free_decay_of_a_factor_below_zero_is_a_norm():
    np.testing.assert_allclose(free_decay(1.0, [2.5, 2.5], [0, 1, 2]), [1, 1.5, 2.25])


def test_time_scale_is_the_steps_to_a_third():
    assert time_scale(0.01) == pytest.approx(100)
    assert time_scale(0) == np.inf
    assert free_decay(1.0, [0.001] * 1000, [round(time_scale(0.001))]) == pytest.approx(np.exp(-1), rel=1e-3)


def test_free_decay_curves_are_for_weights_that_decay(run):
    curves = free_decay_curves(run)
    assert set(curves) == {key for key, variant in VARIANTS.items() if variant.where == "weight"}
    start = np.sqrt(sum((w**2).sum() for w, _ in run.weights("sgd", step=0)))
    for key, curve in curves.items():
        shrink = ALL.shrink_of(VARIANTS[key])
        assert curve[0] == pytest.approx(start, rel=1e-12)
        np.testing.assert_allclose(curve, start * (1 - shrink) ** run.steps, rtol=1e-12)


def test_free_decay_follows_the_schedule_and_adamc_its_square():
    scheduled = replace(ALL, schedule="cosine", layer_norm=True, variants=("adamw", "adamc"))
    run = trained(scheduled)
    first, *rest = [w for w, _ in run.weights("adamw", step=0)]
    s = scheduled.schedule_of_steps()
    shrink = scheduled.shrink_of(VARIANTS["adamw"])
    plain, square = np.prod(1 - shrink * s), np.prod(1 - shrink * s**2)
    curves = free_decay_curves(run)
    norms = [np.linalg.norm(w) for w in (first, *rest)]
    assert curves["adamw"][-1] == pytest.approx(plain * np.linalg.norm(norms), rel=1e-12)
    hidden, last = np.linalg.norm(norms[:-1]), norms[-1]
    assert curves["adamc"][-1] == pytest.approx(np.hypot(square * hidden, plain * last), rel=1e-12)


def test_training_follows_free_decay_where_the_gradient_is_negligible():
    slow = Experiment(points=20, lr_adaptive=1e-6, weight_decay_adaptive=0.02, steps=200, variants=("adamw_paper",))
    measured = trained(slow).series("weight_norm")["adamw_paper"]
    predicted = free_decay_curves(trained(slow))["adamw_paper"]
    assert predicted[-1] < 0.02 * predicted[0]
    np.testing.assert_allclose(measured, predicted, atol=1e-6 / 0.02 * np.sqrt(trained(slow).architecture.weights))


def test_histograms_hold_every_weight_once(run):
    frame = histogram(run, bins=11)
    assert len(frame) == len(VARIANTS) * len(run.steps) * 11
    sums = frame.groupby(["variant", "step"]).share.sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-12)
    for key, step in [("sgd", 0), ("adamw", 60)]:
        at = frame.query("variant == @key and step == @step")
        assert np.array_equal(at.low.to_numpy()[1:], at.high.to_numpy()[:-1])
        weights = flat(run, key, step)[: run.architecture.weights]
        inside = np.clip(weights, at.low.min() * (1 - 1e-12), at.high.max() * (1 - 1e-12))
        counts, _ = np.histogram(inside, [*at.low, at.high.max()])
        np.testing.assert_allclose(at.share, counts / len(weights), atol=1e-12)


def with_a_diverging_variant(*variants):
    return trained(Experiment(points=20, hidden=(4,), lr=0.5, weight_decay=5.0, weight_decay_adaptive=0.1, steps=60,
                              variants=variants))  # fmt: skip


@pytest.mark.parametrize(
    "reach",
    [lambda run: histogram(run).high.max(), lambda run: weight_trajectories(run)[1]],
    ids=["histogram", "trajectories"],
)
def test_a_diverged_variant_does_not_stretch_the_scale(reach):
    calm = with_a_diverging_variant("sgd", "adam")
    assert reach(with_a_diverging_variant("sgd", "sgdw", "adam")) == reach(calm)
    assert reach(calm) <= np.abs(calm.film).max()
    assert reach(with_a_diverging_variant("sgdw")) > 1e3  # alone, it is shown as it is


@pytest.mark.parametrize("count", [1, 5, 24, 1000])
def test_trajectories_are_single_weights(run, count):
    frame, _ = weight_trajectories(run, count)
    chosen = frame.weight.unique()
    assert len(chosen) == min(count, run.architecture.weights)
    assert len(frame) == len(chosen) * len(VARIANTS) * len(run.steps)
    for key in ("sgd", "adamw"):
        for step in run.steps[[0, 20, -1]]:
            at = frame.query("variant == @key and step == @step")
            assert np.array_equal(at.value, flat(run, key, int(step))[at.weight])
