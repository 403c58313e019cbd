"""A replay is the run itself, and λ's part of a step is what the rules say."""

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.probe import replay

ALL = Experiment(points=20, hidden=(4, 3), steps=40, lr=0.1, lr_adaptive=0.01, weight_decay=0.05, layer_norm=True,
                 batch_size=7, schedule="cosine", variants=tuple(VARIANTS))  # fmt: skip


@pytest.fixture(scope="module")
def steps():
    kept = []
    replay(ALL, lambda s: kept.append((s.t, *(a.copy() for a in (s.before, s.gradient, s.after, s.without)))))
    return kept


@pytest.fixture(scope="module")
def run():
    return train(ALL, dtype=torch.float64)


def of(steps, run, key):
    """(before, gradient, after, without) of one variant, each (T, P)."""
    return (np.stack([step[1 + i][run.row(key)] for step in steps]) for i in range(4))


def test_a_replay_passes_through_the_runs_weights(steps, run):
    after = np.stack([step[3] for step in steps])
    np.testing.assert_allclose(after[run.steps[1:] - 1], run.film[1:], rtol=0, atol=1e-12)


def test_where_lambda_is_on_the_weight_its_part_is_the_shrink(steps, run):
    for variant in ALL.chosen:
        if variant.where == "weight" and not variant.uses("shrink_weights", cautious=True):
            before, _, after, without = of(steps, run, variant.key)
            columns = slice(run.architecture.weights)
            feeds = run.architecture.normalised()[columns]
            shrink = np.where(feeds, *(ALL.shrinks_of(variant, normed)[:, None] for normed in (True, False)))
            expected = -shrink * before[:, columns]
            np.testing.assert_allclose((after - without)[:, columns], expected, rtol=0, atol=1e-14)
            assert np.abs((after - without)[:, run.architecture.weights :]).max() == 0


def test_of_sgd_with_l2_it_is_the_shrink_as_well(steps, run):
    before, gradient, after, without = of(steps, run, "sgd_l2")
    lr = ALL.lr * ALL.schedule_of_steps()[:, None]
    np.testing.assert_allclose(without, before - lr * gradient, rtol=0, atol=1e-14)
    columns = slice(run.architecture.weights)
    np.testing.assert_allclose((after - without)[:, columns], (-lr * 0.05 * before)[:, columns], rtol=0, atol=1e-14)


def test_of_adam_with_l2_it_is_the_pull_remembered_by_m_over_the_root_of_v(steps, run):
    before, gradient, after, without = of(steps, run, "adam_l2")
    weight_decay = np.zeros(run.architecture.parameters)
    weight_decay[: run.architecture.weights] = ALL.weight_decay_of(VARIANTS["adam_l2"])
    m = v = np.zeros_like(before[0])
    lr = ALL.lr_adaptive * ALL.schedule_of_steps()
    for i, (w, g) in enumerate(zip(before, gradient, strict=True)):
        pull = weight_decay * w
        m, v = 0.9 * m + 0.1 * pull, 0.999 * v + 0.001 * (g + pull) ** 2
        expected = -lr[i] * m / (1 - 0.9 ** (i + 1)) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
        np.testing.assert_allclose((after - without)[i], expected, rtol=0, atol=1e-13)


def test_without_lambda_there_is_no_part(steps, run):
    for key in ("sgd", "adam", "max_norm"):
        _, _, after, without = of(steps, run, key)
        np.testing.assert_array_equal(after, without)


def test_what_on_step_raises_ends_the_replay():
    seen = []

    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(ALL, lambda step: seen.append(step.t), on_step=stop)
    assert seen[-1] == 25
