"""The λ axis is the trainings at every λ of the slider, and it stops when it is told to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train, train_many
from engine.axis import anywhere, at_lambda, lambdas, train_axis
from engine.train import BLOCK
from engine.trainer import rows_of

SMALL = Experiment(points=20, hidden=(5,), steps=40)


def test_the_axis_is_41_values_from_zero_up():
    values = lambdas()
    assert len(values) == 41
    assert values[0] == 0
    assert np.all(np.diff(values) > 0)


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        replace(SMALL, weight_decay_adaptive=SMALL.weight_decay),
        replace(SMALL, weight_decay_adaptive=0.7),
        replace(SMALL, variants=tuple(VARIANTS), batch_size=4, schedule="cosine", layer_norm=True),
        replace(SMALL, variants=("sgd",)),
        replace(SMALL, variants=("adamw",)),
    ],
    ids=["matched", "same", "separate", "all", "none decays", "one"],
)
def test_every_place_is_a_training_of_its_own(experiment):
    axis = train_axis(experiment)
    assert axis.run.film.shape[:2] == (41, len(experiment.variants))
    for place in (0, 17, 40):
        alone = train(at_lambda(experiment, float(axis.weight_decays[place])), dtype=torch.float64)
        assert axis.diverged[place] == alone.diverged
        np.testing.assert_allclose(axis.run.film[place], alone.film[-1], rtol=1e-9, atol=1e-9)


def test_an_explosion_is_at_its_lambda_only():
    axis = train_axis(replace(SMALL, lr=0.7, steps=300, variants=("sgd", "sgd_l2")))
    assert axis.diverged[-1]["sgd_l2"] is not None
    assert axis.diverged[20]["sgd_l2"] is None
    assert np.isfinite(axis.run.film).all()


def test_experiments_that_differ_in_lambda_alone_share_an_axis():
    assert anywhere(SMALL) == anywhere(replace(SMALL, weight_decay=0.2))
    assert anywhere(SMALL) != anywhere(replace(SMALL, lr=0.2))
    same = [replace(SMALL, weight_decay=value, weight_decay_adaptive=value) for value in (0.1, 0.2)]
    assert anywhere(same[0]) == anywhere(same[1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_blocks_and_threads_change_nothing(threads):
    batch = [at_lambda(SMALL, value) for value in lambdas()]
    assert len(rows_of(batch)) > 2 * BLOCK
    runs = train_many(batch, dtype=torch.float64, threads=threads)
    for run in runs[::13]:
        alone = train(run.experiment, dtype=torch.float64)
        np.testing.assert_allclose(run.film, alone.film, rtol=1e-9, atol=1e-9)


class Moved(Exception):
    """The visitor moved on."""


def test_a_newer_move_stops_the_axis():
    slow = replace(SMALL, hidden=(32, 32), points=300, steps=20_000)
    asked = []

    def on_step(step):
        asked.append(step)
        if len(asked) == 3:
            raise Moved

    with pytest.raises(Moved):
        train_axis(slow, on_step)
    assert max(asked) < 2000


def test_progress_rises_to_the_end():
    asked = []
    train_axis(replace(SMALL, steps=400), asked.append)
    assert asked == sorted(asked)
    assert asked[-1] <= 400


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_stands_still_while_somebody_else_is_wanted(threads):
    batch = [at_lambda(SMALL, value) for value in lambdas()]
    still, calls = [True], []

    def on_step(step):
        calls.append(step)
        if len(calls) == 6:
            assert len(set(calls)) == 1  # it has not moved
            still.clear()

    runs = train_many(batch, dtype=torch.float64, threads=threads, on_step=on_step, pause=lambda: bool(still))
    assert not still
    assert calls[-1] > calls[0]
    alone = train(batch[3], dtype=torch.float64)
    np.testing.assert_allclose(runs[3].film, alone.film, rtol=1e-9, atol=1e-9)
