"""Layers under LayerNorm settle and turn as theory says; decayed weights are averages; Lion stays in its box."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, equilibrium, probe, rates, train
from engine import averages as averages_module
from engine.averages import averages, bound, box, boxed, has_box, largest, plain
from engine.charts.curves import norm_curves
from engine.charts.picture import short
from engine.charts.settled import settled_curves
from engine.claims import norms as claims
from engine.equilibrium import (
    LEAST,
    MOST,
    angle,
    has_formula,
    hidden_columns,
    layer_norms,
    motions,
    scale_invariance,
    settling,
    unsettled,
)
from engine.probe import replay
from pages import _norms_words as words

SGD = Experiment(lr=0.2, variants=("sgd", "sgd_l2", "sgdw"))


def trained(experiment):
    return train(experiment, dtype=torch.float64)


@pytest.fixture(scope="module")
def calm():
    return trained(settling(SGD))


# ---- the equilibrium -------------------------------------------------------------------------------------------


def test_settling_makes_what_theory_needs():
    seen = settling(replace(SGD, hidden=(), schedule="cosine", steps=50))
    assert seen.layer_norm
    assert seen.hidden
    assert seen.batch < seen.points
    assert seen.decayed == "biases"
    assert seen.schedule == "constant"
    assert LEAST <= seen.steps <= MOST
    assert all(unsettled(trained(replace(seen, points=200)), v) is None for v in seen.chosen if v.where != "none")
    assert settling(replace(SGD, variants=("lion",))).variants == ("sgd_l2", "sgdw", "adam_l2", "adamw")
    assert settling(replace(SGD, batch_size=3, steps=3000, decayed="all")).steps == 3000
    assert settling(replace(SGD, batch_size=3, decayed="all")).decayed == "all"


def test_norm_and_rotation_of_sgd_are_near_theory(calm):
    found = [motion for motion in motions(calm) if motion.variant.where != "none"]
    assert len(found) == 4
    for motion in found:
        norm, rotation = motion.predicted
        assert motion.norm == pytest.approx(norm, rel=0.06), motion
        assert motion.rotation == pytest.approx(rotation, rel=0.06), motion
        assert motion.cosine < 1e-3
        assert np.isnan(motion.turns[0])
        assert np.sqrt(np.mean(motion.turns[-20:] ** 2)) == pytest.approx(motion.rotation, rel=0.05)


def test_motion_is_that_of_the_weights():
    run = trained(replace(settling(SGD), steps=40, variants=("sgdw",)))
    path = [run.film[0, 0]]
    replay(run.experiment, lambda step: path.append(step.after[0].copy()))
    layer = np.array(path)[:, hidden_columns(run.architecture)[1]]
    motion = motions(run)[1]
    assert (motion.layer, motion.first, motion.last) == (2, 21, 40)
    assert motion.size == layer.shape[1] == 16 * 17
    assert motion.norm == pytest.approx(np.sqrt(np.mean(np.linalg.norm(layer[20:40], axis=1) ** 2)))
    turns = angle(layer[:-1], layer[1:])
    assert motion.rotation == pytest.approx(np.sqrt(np.mean(turns[20:] ** 2)))
    np.testing.assert_allclose(motion.turns[1:], turns, rtol=1e-9)  # 40 steps have a frame each
    np.testing.assert_allclose(layer_norms(run)[1]["sgdw"], np.linalg.norm(layer, axis=1))


def test_angles():
    a = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    b = np.array([[0.0, 3.0], [2.0, 0.0], [1.0, 1e-9]])
    np.testing.assert_allclose(angle(a, b), [np.pi / 2, 0, 1e-9], rtol=1e-6, atol=0)


def test_scale_does_not_matter_under_layernorm_only():
    for cosine, scaled in scale_invariance(trained(replace(settling(SGD), steps=1))):
        assert cosine < 1e-4
        assert scaled < 1e-3
    without = scale_invariance(trained(replace(SGD, steps=1)))
    assert max(cosine for cosine, _ in without) > 1e-2


def test_every_formula_has_a_variant_and_the_others_say_so():
    assert {v.key for v in VARIANTS.values() if has_formula(v)} >= {"sgd_l2", "momentum_w", "sgds", "adam_l2", "adamw"}
    assert not any(has_formula(VARIANTS[key]) for key in ("sgd", "l1"))
    assert not has_formula(VARIANTS["cautious"])


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"layer_norm": False}, "LayerNorm"),
        ({"batch_size": None}, "noise"),
        ({"steps": 10}, "too few"),
        ({"weight_decay": 0.0}, "λ = 0"),
        ({"decayed": "weights"}, "biases"),
        ({"schedule": "cosine"}, "η changes"),
        ({"lr": 100.0, "weight_decay": 1.0}, "diverged"),
        ({"variants": ("lion",)}, "no formula"),
        ({"variants": ("momentum_l2",), "nesterov": True}, "Nesterov"),
    ],
)
def test_where_theory_does_not_apply_the_claims_say_why(knobs, word):
    run = trained(replace(settling(SGD), **({"steps": 400} | knobs)))
    for claim in (claims.norm_settles, claims.rotation_settles):
        found = claim.check(run)
        assert isinstance(found, str), found
        assert word in found or found.startswith("none of the variants")


def test_claims_of_the_equilibrium_hold_on_a_calm_run(calm):
    for claim in (claims.norm_settles, claims.rotation_settles, claims.scale_does_not_matter):
        found = claim.check(calm)
        assert not isinstance(found, str), found
        assert max(claim.error(value) for value in found) < 0.06


@pytest.mark.parametrize("claim", [claims.norm_settles, claims.rotation_settles], ids=lambda claim: claim.key)
def test_claims_of_the_equilibrium_hold_on_the_pages_own_run(claim):
    found = claim.check(trained(settling(Experiment())))
    assert all(claim.holds(value) for value in found), found
    assert max(claim.error(value) for value in found) > 0.1  # why 3 % is not what the screen may promise
    assert "not independent" in claim.says


def test_layers_of_two_units_are_too_narrow_for_theory():
    run = trained(replace(settling(SGD), hidden=(2, 2), steps=400))
    for claim in (claims.norm_settles, claims.rotation_settles, claims.scale_does_not_matter):
        assert claim.check(run) == claims.TOO_NARROW
    mixed = trained(replace(settling(SGD), hidden=(8, 2), steps=400))
    assert {motion.layer for motion in motions(mixed) if motion.predicted != (None, None)} == {1}
    found = claims.scale_does_not_matter.check(mixed)
    assert {value.what[:7] for value in found} == {"layer 1"}
    assert all(claims.scale_does_not_matter.holds(value) for value in found)


def test_a_long_training_is_not_taken_again_for_its_layers(monkeypatch):
    run = trained(replace(settling(SGD), steps=710))
    monkeypatch.setattr(probe, "REPLAY_BUDGET", run.experiment.cost - 1)
    monkeypatch.setattr(equilibrium, "replay", None)
    assert motions(run) == []
    assert claims.norm_settles.check(run) == claims.rotation_settles.check(run) == probe.TOO_LONG
    assert probe.affordable(replace(run.experiment, steps=300), 2)
    assert not probe.affordable(replace(run.experiment, steps=300), 3)


def test_a_run_that_another_session_evicts_is_still_answered():
    class Evicting(dict):
        def __contains__(self, key):
            return True

    run = trained(Experiment(steps=20, variants=("sgd_l2", "sgdw"), layer_norm=True))
    for module, ask in ((rates, rates.effective_rates), (equilibrium, motions), (averages_module, averages)):
        old, module._KNOWN = module._KNOWN, Evicting()
        try:
            assert ask(run)
        finally:
            module._KNOWN = old


# ---- averages and the box --------------------------------------------------------------------------------------


def test_decay_is_its_product_and_weights_are_averages():
    run = trained(Experiment(steps=200, variants=tuple(v.key for v in VARIANTS.values() if plain(v))))
    for found in averages(run):
        assert found.factor == pytest.approx(found.predicted, abs=1e-12)
        assert found.averaged is not None
        np.testing.assert_allclose(found.averaged, found.final, rtol=0, atol=1e-12)
    for claim in (claims.free_decay_factor, claims.ema_view):
        assert all(claim.holds(value) for value in claim.check(run))


def test_under_a_schedule_the_product_holds_and_the_average_does_not_apply():
    run = trained(Experiment(steps=200, schedule="cosine"))
    assert all(claims.free_decay_factor.holds(value) for value in claims.free_decay_factor.check(run))
    assert "constant" in claims.ema_view.check(run)
    assert "λ > 0" in claims.ema_view.check(trained(Experiment(steps=20, weight_decay=0)))


def test_a_long_training_is_not_taken_again_for_a_line_of_text(monkeypatch):
    run = trained(Experiment(steps=20))
    monkeypatch.setattr(probe, "REPLAY_BUDGET", 1.0)
    assert claims.free_decay_factor.check(run) == claims.ema_view.check(run) == claims.TOO_LONG


def test_lion_stays_in_its_box_and_adamw_does_where_it_rests():
    run = trained(boxed(Experiment(weight_decay=0.3, steps=1500)))
    assert {v.key for v in run.experiment.chosen if has_box(v)} == {"adamw", "lion"}
    found = claims.weights_in_box.check(run)
    assert len(found) == 2
    assert all(claims.weights_in_box.holds(value) for value in found)
    side = box(run.experiment, VARIANTS["lion"])
    assert largest(run)["lion"][-1] == pytest.approx(side, rel=0.01)


def test_adamw_that_has_not_come_to_rest_may_leave_its_box():
    run = trained(boxed(Experiment(steps=1000)))
    assert largest(run)["adamw"][-1] > 1.5 * box(run.experiment, VARIANTS["adamw"])
    (value,) = claims.weights_in_box.check(run)
    assert "Lion" in value.what
    assert claims.weights_in_box.holds(value)
    assert "rest" in claims.outside_theory(run, "adamw")


def test_adamw_that_a_schedule_stopped_is_not_at_rest_in_its_box():
    run = trained(boxed(Experiment(schedule="step", weight_decay=0.1)))
    assert largest(run)["adamw"][-1] > 1.1 * box(run.experiment, VARIANTS["adamw"])
    (value,) = claims.weights_in_box.check(run)
    assert "Lion" in value.what
    assert claims.weights_in_box.holds(value)
    assert "schedule" in claims.outside_theory(run, "adamw")


def test_lion_from_outside_is_promised_the_way_in():
    run = trained(boxed(Experiment(steps=100)))
    side, ends = box(run.experiment, VARIANTS["lion"]), largest(run)["lion"]
    assert ends[-1] > 1.01 * side
    assert ends[-1] <= bound(run, VARIANTS["lion"], float(ends[0]))
    (value,) = claims.weights_in_box.check(run)
    assert "what is left of the start" in value.what
    text = "\n".join(words.box_story(run))
    assert "**Lion is on its way into the box:**" in text
    assert "come into the box" in claims.weights_in_box.says


def test_the_papers_box_is_named_by_its_own_formula():
    run = trained(boxed(Experiment(variants=("adamw_paper",), weight_decay=0.3, steps=1500)))
    line = next(line for line in words.box_story(run) if line.startswith("**AdamW, paper form"))
    assert f"η/λ is {short(box(run.experiment, VARIANTS['adamw_paper']))}" in line
    named = [value.what for value in claims.weights_in_box.check(run) if "paper" in value.what]
    assert all("η/λ" in what for what in named)
    assert named


# ---- words -----------------------------------------------------------------------------------------------------


def test_the_story_of_norms_says_what_decays_and_on_which_side_of_the_line_it_is():
    below = words.story(trained(Experiment(dataset="circles", hidden=(), points=200)), "layers")
    assert "Below it are SGDW up to step" in below[-1]
    assert "Below it" not in words.story(trained(Experiment()), "layers")[-1]
    (line,) = words.story(trained(Experiment(weight_decay=0.0, steps=50)), "layers")
    assert "With it" not in line
    assert "dashed" not in line
    mixed = words.story(trained(Experiment(variants=("sgdw", "max_norm", "l1"), steps=50)), "layers")[0]
    held, _, other = mixed.partition("With another prior: ")
    assert "SGDW" in held
    assert "max-norm" in other
    assert "L1" in other


def test_the_effective_rate_of_an_adaptive_step_is_over_the_norm(calm):
    table = next(line for line in words.settled(calm, motions(calm)) if line.startswith("| |"))
    assert "η/‖w‖² = " in table
    adam = trained(replace(settling(Experiment(variants=("adamw",))), steps=60))
    (motion, *_) = motions(adam)
    table = words._table(adam, motions(adam))
    assert f"| η/‖w‖ = {0.01 / motion.norm:.2g} |" in table
    assert "²" not in table


@pytest.mark.parametrize(("knobs", "word"), [({"batch_size": 4}, "minibatches"), ({"weight_decay": 0.0}, "no box")])
def test_the_box_says_where_it_is_not_promised(knobs, word):
    assert word in claims.weights_in_box.check(trained(boxed(Experiment(steps=20, **knobs))))


# ---- pictures --------------------------------------------------------------------------------------------------


def test_the_axis_of_time_names_what_lies_within_it():
    steps, flat = np.arange(0, 101, 25), {"sgdw": np.ones(5)}
    picture = norm_curves(steps, flat, {"sgdw": np.full(5, 0.5)}, {"sgdw": None}, marks={"τ": 50.0, "far": 500.0})
    assert picture.data["marks"] == [{"step": 50.0, "text": "τ"}]
    assert [row["variant"] for row in picture.data["named"]] == ["sgdw"]
    assert all(f"'name': '{name}'" in str(picture.spec) for name in picture.data)
    assert "marks" not in norm_curves(steps, flat, {}, {"sgdw": None}, marks={"far": 500.0}).data


def test_settled_curves_leave_out_what_a_log_axis_cannot_show():
    steps = np.arange(4)
    values = {"sgd": np.array([np.nan, 1.0, 0.0, 2.0]), "sgdw": np.ones(4), "adamw": np.full(4, np.nan)}
    picture = settled_curves(steps, values, {"sgd": 1.5}, 2, {"sgdw": 3}, "title", 200)
    assert [(row["variant"], row["step"]) for row in picture.data["curves"]] == [("sgd", 1), ("sgd", 3)]
    assert "SGD 2 (theory 1.5)" in picture.alt
    assert settled_curves(steps, {}, {}, 2, {}, "title", 200).data["labels"] == []
