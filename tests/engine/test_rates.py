"""Rates of decay, measured: flat on the weight and under SGD, falling with the gradient where L2 is divided by √v."""

import inspect

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train, transforms
from engine.charts.pairs import CEILING, ZERO, pair_curves
from engine.charts.rates import frame, rate_panel, slope_words
from engine.claims import coupling as claims
from engine.measure import EQUAL, pair_difference, pairs
from engine.rates import MEMORY, effective_rates, families, log_slope, paired

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
