"""What a figure says it trains is what it trains; and no title is an answer that some run refutes."""

from dataclasses import replace

import numpy as np
import pytest

import engine.axis
import engine.figures.figure
from engine import VARIANTS, Experiment
from engine.axis import lambdas
from engine.experiment import VISITOR_BUDGET
from engine.figures import FIGURES, Shot
from engine.figures.landscape import etas, plan_of_shot
from engine.figures.what_to_decay import compared_of
from engine.slides.entry import read_entry
from engine.slides.lecture import LECTURE

TRAINS = [key for key in FIGURES if not key.startswith("map.") and key != "prior.networks"]


@pytest.mark.parametrize("key", TRAINS)
def test_a_figure_trains_what_it_says(key, monkeypatch):
    given, plain = [], engine.figures.figure.train_many

    def noted(experiments, *args, **options):
        given.extend(experiments)
        return plain(experiments, *args, **options)

    for module in (engine.figures.figure, engine.axis):
        monkeypatch.setattr(module, "train_many", noted)
    exp = Experiment(steps=20, hidden=(6,), seed=500 + TRAINS.index(key), variants=("sgd_l2", "adamw"))
    shot = Shot(key, exp)
    seen = FIGURES[key].seen(shot)
    FIGURES[key].draw(shot, "light")
    assert seen in given
    if key.startswith("boundaries.") and key.endswith("over_lambda"):
        assert {one.weight_decay for one in given} == set(lambdas())


@pytest.mark.parametrize("key", FIGURES)
def test_what_is_seen_is_within_the_budget_of_a_page(key):
    large = Experiment(points=2000, hidden=(64, 64), steps=20000, variants=tuple(VARIANTS))
    if not key.endswith("over_lambda") or key.startswith("prior"):
        assert FIGURES[key].seen(Shot(key, large)).cost <= VISITOR_BUDGET


def test_choices_of_what_decays_begin_with_what_is_seen():
    shot = Shot("what_to_decay.gains", Experiment(decayed="all"), (("of", "sgdw,adamw"),))
    seen = FIGURES["what_to_decay.gains"].seen(shot)
    assert (seen.decayed, seen.layer_norm, seen.variants) == ("weights", True, ("sgdw", "adamw"))
    assert [one.decayed for one in compared_of(shot)] == ["weights", "biases", "all"]


@pytest.mark.parametrize(("key", "side"), [("map.left", 0), ("map.right", 1), ("map.left_losses", 0),
                                           ("map.right_losses", 1)])  # fmt: skip
def test_a_map_trains_what_it_says(key, side):
    exp = Experiment(points=6, steps=3, hidden=(4,), seed=9998, lr=0.5, weight_decay=0.1, lr_adaptive=0.011,
                     weight_decay_adaptive=1.0)  # fmt: skip
    shot = Shot(key, exp, (("of", "sgd_l2,adamw"),))
    plan, seen = plan_of_shot(shot), FIGURES[key].seen(shot)
    assert seen.variants == (plan.pair[side],)
    variant = plan.variants[side]
    wanted = {"eta": 0.5 if side == 0 else 0.01, "decay": 0.1 if side == 0 else 1.0}
    if key.endswith("losses") or side == 0:
        assert seen.lr_of(variant) == wanted["eta"] in etas(variant)
        cells = [
            one for tile in plan.tiles() if tile.seed == 0 and tile.variant == side for one in plan.experiments(tile)
        ]
        same = [replace(one, lr=seen.lr, lr_adaptive=seen.lr_adaptive, weight_decay=seen.weight_decay,
                        weight_decay_adaptive=seen.weight_decay_adaptive) for one in cells
                if (one.lr_of(variant), one.weight_decay_of(variant)) == tuple(wanted.values())]  # fmt: skip
        assert same == [seen]
    else:
        assert seen.lr_of(variant) == 0.011


def test_titles_ask_where_a_run_decides():
    assert {entry.title for entry in FIGURES.values() if not entry.title.endswith("?")} == {
        "The same fits, seen among the points",
        "Where the evidence is exact: linear regression",
        "“Decoupled” has two senses",
    }


def lecture(words):
    (entry,) = [entry for entry, _ in map(read_entry, LECTURE) if words in entry.title]
    return entry.shot, FIGURES[entry.shot.figure].draw(entry.shot, "light")


def test_the_lectures_titles_are_true_of_their_runs():
    shot, pulls = lecture("every pull is −ηλw")
    assert "SGD + L2" in pulls.takeaway
    exp = shot.experiment
    np.testing.assert_allclose(pulls.frame.pull, -exp.lr * exp.weight_decay * pulls.frame.before, rtol=1e-9, atol=1e-16)
    _, gains = lecture("shrinks LayerNorm's gains")
    last = gains.frame[gains.frame.step == gains.frame.step.max()].set_index("decayed").root_mean_square
    assert last["all"] < 0.5 < 1 < last["weights"]
    _, norms = lecture("holds the weights down")
    ends = norms.frame[norms.frame.step == norms.frame.step.max()].set_index("variant").weight_norm
    free = ends[["sgd", "adam"]]
    assert ends.drop(free.index).max() < free.min()
    _, over = lecture("Too little overfits")
    for _, own in over.frame[over.frame.variant.isin(["sgd_l2", "adamw"])].dropna().groupby("variant"):
        assert own.test_loss.min() < min(own.test_loss.iloc[0], own.test_loss.iloc[-1])
        assert own.train_loss.iloc[0] < own.train_loss.iloc[-1]
    _, apart = lecture("no longer decay")
    end = apart.frame[apart.frame.step == apart.frame.step.max()].set_index("l2").max_difference
    assert end["adam_l2"] > 1 > 1e-6 > end["sgd_l2"]
