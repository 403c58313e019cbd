"""Decay as a prior, from real training: long SGD + L2 ends at the MAP, which is scikit-learn's answer."""

import numpy as np
import pytest
import torch

from engine import Experiment, train
from engine.prior import map_fit, sklearn_map
from engine.scene import scene, two_weight

PROBLEMS = [("moons", 30, 0.02), ("blobs", 12, 0.1), ("linear", 60, 0.005), ("circles", 40, 0.5)]


@pytest.mark.parametrize(("dataset", "points", "weight_decay"), PROBLEMS, ids=[p[0] for p in PROBLEMS])
def test_long_sgd_with_l2_ends_at_the_map(dataset, points, weight_decay):
    experiment = Experiment(
        dataset=dataset, points=points, weight_decay=weight_decay, hidden=(), steps=6000, lr=1.0, variants=("sgd_l2",)
    )
    run = train(experiment, dtype=torch.float64)
    [(weight, bias)] = run.weights("sgd_l2")
    best = map_fit(run.data.x_train, run.data.y_train, weight_decay)
    assert np.abs(weight[0] - best.w).max() <= 1e-5
    assert abs(bias[0] - best.b) <= 1e-5


@pytest.mark.parametrize("weight_decay", [1e-3, 0.02, 1.0, 10.0])
def test_the_page_shows_the_map_of_scikit_learn(weight_decay):
    run = train(two_weight(Experiment(weight_decay=weight_decay, steps=5)), dtype=torch.float64)
    view = scene(run)
    other = sklearn_map(run.data.x_train, run.data.y_train, weight_decay)
    assert np.abs(view.map.w - other.w).max() <= 1e-6
    assert abs(view.map.b - other.b) <= 1e-6
    assert view.sigma == pytest.approx(1 / np.sqrt(weight_decay * 24), rel=1e-12)
    assert view.run.experiment.weight_decay_adaptive == weight_decay


def test_a_scene_of_two_points_of_one_class_is_a_sensible_page():
    seed = next(s for s in range(50) if len(set(train(Experiment(points=2, seed=s, steps=1)).data.y_train)) == 1)
    view = scene(train(two_weight(Experiment(points=2, seed=seed, steps=20)), dtype=torch.float64))
    assert not view.mle.finite
    assert view.mle.why
    assert np.isfinite(view.reach)
