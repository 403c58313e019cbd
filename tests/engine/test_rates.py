"""Rates of decay, measured: flat on the weight and under SGD, falling with the gradient where L2 is divided by √v."""

import inspect

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, probe, train, transforms
from engine import rates as rates_module
from engine.charts.pairs import CEILING, ZERO, pair_curves
from engine.charts.rates import frame, rate_panel, slope_words
from engine.claims import coupling as claims
from engine.claims import schedules
from engine.measure import EQUAL, pair_difference, pairs
from engine.rates import MEMORY, effective_rates, families, log_slope, paired, swings
from pages import _coupling_words as words

SEEN = paired(Experiment(batch_size=8, lr=0.05, steps=200))


def trained(**knobs):
    return train(paired(Experiment(**{"batch_size": 8, "lr": 0.05, "steps": 200} | knobs)), dtype=torch.float64)


@pytest.fixture(scope="module")
def run():
    return train(SEEN, dtype=torch.float64)


@pytest.fixture(scope="module")
def rates(run):
    return effective_rates(run)


def test_the_page_sees_every_family_both_ways_at_one_lambda():
    assert set(families()) == {"SGD", "Momentum", "RMSProp", "Adam"}
    seen = paired(Experiment(variants=("sgd", "cautious")))
    assert {(a.key, b.key) for a, b in pairs(train(seen))} >= set(families().values())
    assert "cautious" in seen.variants
    assert "sgd" not in seen.variants
    assert {seen.weight_decay_of(variant) for variant in seen.chosen} == {seen.weight_decay}
    assert paired(Experiment(weight_decay_adaptive=0.5)).weight_decay_adaptive == 0.5


def test_memory_is_that_of_the_transforms():
    for name, option in (("scale_by_adam", "beta2"), ("scale_by_rms", "alpha")):
        default = inspect.signature(inspect.unwrap(transforms._INIT[name])).parameters[option].default
        assert MEMORY[name][0] == default
    divided = {step.name for variant in VARIANTS.values() for step in variant.chain if step.name.startswith("scale_by")}
    assert divided - set(MEMORY) == {"scale_by_lion"}  # which has no v


def test_slopes(run, rates):
    for key, found in rates.items():
        tolerance = 0.1 if found.divided else 0.05
        assert found.slope == pytest.approx(found.expected_slope, abs=tolerance), key
    assert sum(found.divided for found in rates.values()) == 2


def test_the_rate_on_the_weight_is_the_shrink(rates):
    for key, found in rates.items():
        if found.variant.where == "weight":
            np.testing.assert_allclose(found.rate, SEEN.shrink_of(VARIANTS[key]), rtol=1e-9)


def test_the_rate_of_momentum_with_l2_is_longer(rates):
    found = rates["momentum_l2"]
    assert found.ratio == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(found.level, 0.05 * 0.03 / (1 - 0.9))


def test_l2_is_decayed_less_where_gradients_are_larger(rates):
    for found in rates.values():
        if found.divided:
            assert found.ratio == pytest.approx(1, abs=0.05)
            order = np.argsort(found.gradient)
            tenth = len(order) // 10
            assert np.median(found.rate[order[:tenth]]) > 3 * np.median(found.rate[order[-tenth:]])


def test_without_an_effect_of_lambda_there_are_no_rates():
    assert effective_rates(trained(weight_decay=0)) == {}


def test_weights_without_a_rate_are_counted():
    found = effective_rates(trained(weight_decay=1.0, lr=0.7, batch_size=None, steps=300))["sgdw"]
    assert not found.kept.any()
    assert found.left_out == {"nothing is left of the weight": len(found.rate)}
    cautious = effective_rates(trained(variants=("cautious",)))["cautious"]
    assert cautious.expected_slope is None
    assert sum(cautious.left_out.values()) == (~cautious.kept).sum() > 0


def test_slope_of_a_power_law():
    x = np.geomspace(0.1, 10, 20)
    assert log_slope(x, 3 * x**-1.5) == pytest.approx(-1.5)
    assert np.isnan(log_slope(np.full(5, 2.0), x[:5]))
    assert np.isnan(log_slope(x[:2], x[:2]))


def test_the_rate_of_rmsprop_is_the_mean_of_its_steps_own_rates():
    run = trained(weight_decay=0.0001, lr=0.7, batch_size=None, steps=300)
    found = effective_rates(run)["rmsprop_l2"]  # its v changes so much that 1/√mean is 8 % off the mean of 1/√v
    assert found.ratio == pytest.approx(1, abs=0.02)
    assert all(claims.divided_rate.holds(value) for value in claims.divided_rate.check(run))


def test_weights_that_lambda_alone_swings_around_zero_have_no_rate():
    run = trained(weight_decay=0.01, activation="relu", points=200, lr=0.7, batch_size=None, steps=300)
    found = effective_rates(run)["adam_l2"]  # dead units: Adam makes steps of η out of λw however small w is
    assert found.left_out["it swings around zero, driven by λ alone"] > 20
    assert found.slope == pytest.approx(-1, abs=0.02)
    assert all(claims.slope_of_each.holds(value) for value in claims.slope_of_each.check(run))


@pytest.mark.parametrize(
    "knobs",
    [{"momentum": 0.99}, {"weight_decay": 0.1, "momentum": 0.95}, {"weight_decay": 0.3, "batch_size": 4}],
    ids=str,
)
def test_momentum_beyond_the_edge_has_no_predicted_rate(knobs):
    run = trained(**{"lr": 0.7, "batch_size": None, "steps": 300} | knobs)
    assert swings(run.experiment, VARIANTS["momentum_l2"])
    found = effective_rates(run)
    assert found["momentum_l2"].expected_slope is None
    values = claims.slope_of_each.check(run)
    assert all(claims.slope_of_each.holds(value) for value in values), values
    assert not any("Momentum + L2" in value.what for value in values)
    line = next(line for line in words.pair_story(run, found) if "Momentum" in line)
    assert "so L2 decays at" not in line
    panel = rate_panel("Momentum", [found["momentum_l2"], found["momentum_w"]], frame(list(found.values())))
    assert {row["variant"] for row in panel.data["theory"]} == {"momentum_w"}
    assert "theory" not in panel.data["words"][0]["text"]
    kept = found["momentum_l2"].kept
    assert f"its median rate is {np.median(found['momentum_l2'].rate[kept]):.2g} a step" in line


def test_a_rate_that_nothing_was_left_to_measure_is_a_dash():
    run = trained(weight_decay=1.0, lr=0.7, batch_size=None, steps=300)
    found = effective_rates(run)
    assert not found["sgdw"].kept.any()
    assert "nan" not in words.ports(run, found)


def test_a_long_training_is_not_taken_again(monkeypatch):
    run = trained(steps=30)
    monkeypatch.setattr(probe, "REPLAY_BUDGET", run.experiment.cost - 1)
    monkeypatch.setattr(rates_module, "replay", None)
    assert effective_rates(run) == {}
    for claim in (claims.slope_of_each, claims.divided_rate, claims.momentum_rate):
        assert claim.check(run) == probe.TOO_LONG
    assert probe.TOO_LONG in words.ports(run, {})
    assert words.method(run, {}) == ""
    assert len(words.pair_story(run, {})) == len(families())
    monkeypatch.setattr(probe, "REPLAY_BUDGET", 1.0)
    monkeypatch.setattr(schedules, "left_by_decay", None)
    alone = trained(steps=30, variants=("adam", "adamw"))
    for claim in (schedules.decay_follows_the_schedule, schedules.the_papers_form_does_not_know_the_learning_rate):
        assert claim.check(alone) == probe.TOO_LONG


# ---- pictures --------------------------------------------------------------------------------------------------


def test_the_pair_picture_says_exactly_zero_and_never_else():
    run = trained(weight_decay=0)
    apart = {(a, b): pair_difference(run, a, b) for a, b in pairs(run)}
    picture = pair_curves(run.steps, apart)
    assert {row["value"] for row in picture.data["curves"]} == {ZERO}
    assert all("exactly 0" in label["text"] for label in picture.data["labels"])
    (first, values), *_ = apart.items()
    tiny = pair_curves(run.steps, {first: np.full_like(values, 1e-30)})
    assert min(row["value"] for row in tiny.data["curves"]) > ZERO
    assert "exactly" not in tiny.data["labels"][0]["text"]
    huge = pair_curves(run.steps, {first: np.full_like(values, 1e6)})
    assert max(row["value"] for row in huge.data["curves"]) == CEILING


def test_a_pair_that_diverged_ends_where_it_did():
    run = trained(weight_decay=0)
    (first, values), *_ = [((a, b), pair_difference(run, a, b) + 1) for a, b in pairs(run)]
    picture = pair_curves(run.steps, {first: np.where(run.steps < 50, values, np.nan)})
    assert max(row["step"] for row in picture.data["curves"]) < 50
    assert picture.data["labels"][0]["text"].endswith("diverged")


def test_labels_of_the_pair_picture_do_not_touch():
    run = trained(weight_decay=0)
    for value in (0.0, 1.0):
        apart = {(a, b): np.full(len(run.steps), value) for a, b in pairs(run)}
        places = sorted(np.log10([label["place"] for label in pair_curves(run.steps, apart).data["labels"]]))
        assert np.diff(places).min() > 1
        assert places[0] >= np.log10(ZERO) - 1e-9
        assert places[-1] <= np.log10(CEILING)


def test_panels_share_axes_and_only_name_data_of_their_spec(rates):
    shared = frame(list(rates.values()))
    pictures = [rate_panel("Adam", [rates[key] for key in families()["Adam"]], shared), rate_panel("Adam", [], shared)]
    pictures.append(rate_panel("Adam", [], shared, "λ = 0: no decay to measure"))
    for picture in pictures:
        text = str(picture.spec)
        assert all(f"'name': '{name}'" in text for name in picture.data)
    for row in pictures[0].data["theory"]:
        assert shared.left * 0.999 <= row["x"] <= shared.right * 1.001
        assert row["y"] <= shared.top * 1.001
    assert frame([]).top > frame([]).bottom > 0


def test_slope_words_have_the_measured_and_the_predicted_slope(rates):
    assert slope_words(rates["adamw"]) == "AdamW: slope 0.00, theory 0"
    assert slope_words(rates["adam_l2"]).endswith("theory −1")


# ---- claims ----------------------------------------------------------------------------------------------------

LIVE = [claims.sgd_pair_is_equal, claims.slope_of_each, claims.divided_rate, claims.momentum_rate]


@pytest.mark.parametrize("claim", LIVE, ids=lambda claim: claim.key)
def test_claims_hold_on_a_run_that_they_are_about(run, claim):
    # momentum's ηλ/(1 − μ) is for small ηλ
    found = claim.check(trained(momentum=0.5) if claim is claims.momentum_rate else run)
    assert not isinstance(found, str), found
    assert [claim.holds(value) for value in found] == [True] * len(found), found


def test_claims_fail_where_they_are_false(run):
    worse = train(SEEN, dtype=torch.float64)
    worse.film[-1, worse.row("sgdw")] += 2 * EQUAL
    (value,) = claims.sgd_pair_is_equal.check(worse)
    assert not claims.sgd_pair_is_equal.holds(value)


@pytest.mark.parametrize(
    "knobs", [{"lr": 10.0, "weight_decay": 1e-4, "momentum": 0.5}, {"weight_decay": 1e-4}], ids=str
)
def test_a_pair_that_rounding_parts_is_no_failure(knobs):
    run = trained(**{"lr": 0.7, "batch_size": None, "steps": 300} | knobs)
    assert "rounding grows" in claims.sgd_pair_is_equal.check(run)


def test_a_pair_that_a_wrong_rule_parts_is_a_failure(monkeypatch):
    run = trained(lr=10.0, weight_decay=1e-4, batch_size=None, steps=300)
    wrong = claims.replay

    def slightly(experiment, see):
        def nudged(step):
            step.after[1] += 1e-9
            see(step)

        wrong(experiment, nudged)

    monkeypatch.setattr(claims, "replay", slightly)
    (value,) = claims.sgd_pair_is_equal.check(run)
    assert not claims.sgd_pair_is_equal.holds(value)


@pytest.mark.parametrize(
    ("claim", "knobs", "word"),
    [
        (claims.slope_of_each, {"weight_decay": 0}, "λ = 0"),
        (claims.divided_rate, {"weight_decay": 0}, "λ = 0"),
        (claims.divided_rate, {"schedule": "cosine"}, "constant"),
        (claims.divided_rate, {"weight_decay_adaptive": 2.0, "steps": 300}, "swing"),
        (claims.momentum_rate, {"lr": 0.7}, "swings"),
        (claims.momentum_rate, {"momentum": 0.0}, "μ = 0"),
        (claims.momentum_rate, {}, "small ηλ"),
        (claims.momentum_rate, {"steps": 90}, "too few"),
        (claims.sgd_pair_is_equal, {"lr": 100.0, "weight_decay": 1.0, "steps": 300}, "diverged"),
    ],
)
def test_claims_say_why_they_do_not_apply(claim, knobs, word):
    found = claim.check(trained(**knobs))
    assert isinstance(found, str)
    assert word in found
