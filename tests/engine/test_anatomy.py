"""A step taken apart is the run's own step, its derivation ends where the engine does, and slips are what they say."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.anatomy import anatomy, steps_to_show
from engine.claims.step import (
    adaptive_l2_has_a_rate_a_weight,
    decay_is_a_shrink,
    first_rates,
    largest_of_first_steps,
    sgd_three_forms,
)
from engine.derivation import derive
from engine.latex import tex

ALL = Experiment(points=20, hidden=(4, 3), steps=40, lr=0.1, lr_adaptive=0.01, weight_decay=0.05, layer_norm=True,
                 batch_size=7, schedule="cosine", nesterov=True, max_norm=0.3, variants=tuple(VARIANTS))  # fmt: skip
WEIGHTS = slice(8 + 12 + 3)


@pytest.fixture(scope="module")
def run():
    return train(ALL, dtype=torch.float64)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_derivation_ends_where_the_engine_does(run, variant):
    pulled = False
    for t in (1, 20, 40):
        step = anatomy(run, variant, t)
        if t in run.steps:
            np.testing.assert_allclose(step.after, run.film[run.frame(t), run.row(variant.key)], rtol=0, atol=1e-12)
        np.testing.assert_allclose(step.before + step.push + step.pull, step.after, rtol=0, atol=1e-15)
        pulled |= bool(step.pull.any())
        for i in range(ALL.parameters):
            lines, value = derive(step, i)
            assert value == pytest.approx(step.after[i], abs=1e-14)
            assert any(line.numbers.endswith(tex(value)) for line in lines)
    assert pulled == (variant.where != "none")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_where_lambda_alone_grows_a_weight_it_remembers_another_sign_or_pulls_to_the_start(run, variant):
    wild = replace(ALL, weight_decay_adaptive=2.0, variants=(variant.key,), schedule="constant", batch_size=None)
    run, lifted = train(wild, dtype=torch.float64), 0
    for t in (10, 20, 30, 40):
        step, signs = anatomy(run, variant, t), np.sign(run.film[: run.frame(t), 0])
        w, after = step.before[WEIGHTS], step.after[WEIGHTS]
        grows = (after * w > 0) & (np.abs(after) > np.abs(w)) & (step.push[WEIGHTS] * w <= 0)
        lifted += int(grows.sum())
        if not variant.uses("add_pull_to_start"):
            assert (signs[:, WEIGHTS][:, grows] == -np.sign(w[grows])).any(0).all()
    remembers = variant.where == "gradient" and (variant.has_momentum or variant.uses("scale_by_adam"))
    assert not lifted or remembers or variant.uses("add_pull_to_start")
    assert lifted or variant.key not in ("adam_l2", "l2_sp")


def test_the_loss_before_the_step_is_the_runs(run):
    whole = train(replace(ALL, batch_size=None, steps=4), dtype=torch.float64)
    step = anatomy(whole, VARIANTS["adamw"], 3)
    assert step.loss == pytest.approx(whole.series("train_loss")["adamw"][2], rel=1e-12)


def test_slips_of_sgd_are_those_of_the_textbook(run):
    step, decayed = anatomy(run, VARIANTS["sgd_l2"], 20), np.arange(ALL.parameters) < WEIGHTS.stop
    w, g, shrink = step.before, step.gradient, step.lr * 0.05 * decayed
    expected = {
        "twice": (1 - 2 * shrink) * w - step.lr * g,
        "constant": w - step.lr * g - shrink,
        "ignored": w - step.lr * g,
        "doubled": (1 - 2 * shrink) * w - step.lr * g,
    }
    assert step.slips.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(step.slips[name], value, rtol=0, atol=1e-15)
    np.testing.assert_allclose(step.shrink, shrink, rtol=0, atol=1e-16)


def test_slips_of_adamw_are_those_of_the_textbook(run):
    step = anatomy(run, VARIANTS["adamw"], 20)
    m, v = step.memory
    shrink, decayed = step.shrink, step.weight_decay
    np.testing.assert_allclose(step.slips["constant"], step.without - shrink, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(step.slips["ignored"], step.without)
    u = step.gradient + decayed * step.before
    m, v = (0.9 * m + 0.1 * u) / (1 - 0.9**20), (0.999 * v + 0.001 * u**2) / (1 - 0.999**20)
    twice = (1 - shrink) * step.before - step.lr * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(step.slips["twice"], twice, rtol=0, atol=1e-14)
    assert "doubled" not in step.slips


def test_where_no_lambda_acts_there_are_no_slips(run):
    assert anatomy(run, VARIANTS["adam"], 3).slips == {}
    assert anatomy(run, VARIANTS["l1"], 3).slips == {}
    quiet = train(replace(ALL, weight_decay=0.0, steps=3), dtype=torch.float64)
    assert anatomy(quiet, VARIANTS["adamw"], 3).slips == {}


def test_the_pull_of_a_constraint_is_its_projection(run):
    step = anatomy(run, VARIANTS["max_norm"], 1)
    np.testing.assert_allclose(step.without, step.before - step.lr * step.gradient, rtol=0, atol=1e-16)
    assert step.pull[WEIGHTS].any()
    assert not step.pull[WEIGHTS.stop :].any()


@pytest.mark.parametrize("key", [key for key, v in VARIANTS.items() if v.where == "gradient" and v.adaptive])
def test_the_first_pull_of_an_adaptive_l2_is_divided_by_the_gradients_size(key):
    exp = Experiment(steps=1, variants=(key,), weight_decay_adaptive=0.5)
    step = anatomy(train(exp, dtype=torch.float64), VARIANTS[key], 1)
    w, g = (a[: len(step.before)][step.weight_decay > 0] for a in (step.before, step.gradient))
    rates = first_rates(exp, VARIANTS[key], w, g)
    np.testing.assert_allclose(-step.pull[step.weight_decay > 0] / w, rates, rtol=1e-6)
    assert rates.max() > 10 * rates.min()


def test_the_steps_to_show_end_before_divergence():
    wild = train(Experiment(lr=100, weight_decay=1, weight_decay_adaptive=0.1, steps=80), dtype=torch.float64)
    end = wild.diverged["sgd_l2"]
    assert end is not None
    shown = steps_to_show(wild, VARIANTS["sgd_l2"])
    assert shown[0] == 1
    assert max(shown) < max(end, 2)
    assert np.isfinite(anatomy(wild, VARIANTS["sgd_l2"], shown[-1]).after).all()
    assert steps_to_show(wild, VARIANTS["adamw"]) == [1, *wild.steps[wild.steps > 1].tolist()]
    with pytest.raises(ValueError, match="from 1 to 80, not 81"):
        anatomy(wild, VARIANTS["adamw"], 81)


@pytest.mark.parametrize("check", [sgd_three_forms, decay_is_a_shrink, adaptive_l2_has_a_rate_a_weight],
                         ids=lambda claim: claim.key)  # fmt: skip
def test_the_claims_of_the_page_hold_and_say_when_they_do_not_apply(check):
    run = train(replace(ALL, schedule="constant", variants=("sgd", "sgd_l2", "adam_l2", "adamw")), dtype=torch.float64)
    found = check.check(run)
    assert found
    assert all(check.holds(value) for value in found)
    assert isinstance(check.check(train(Experiment(steps=2, variants=("sgd",)), dtype=torch.float64)), str)


def test_a_claim_on_the_first_steps_ends_where_a_variant_diverges():
    link = Experiment(lr=100, activation="relu", variants=("sgdw", "sgds", "adamw"), steps=30)
    run = train(link, dtype=torch.float64)
    ends = [run.diverged[key] for key in link.variants]
    assert ends[0] in range(2, 10)
    found = decay_is_a_shrink.check(run)
    assert all(decay_is_a_shrink.holds(value) for value in found)
    assert found[0].what == f"SGDW: largest gap in {ends[0] - 1} step{'s' * (ends[0] > 2)}"
    assert found[-1].what == "AdamW: largest gap in 10 steps"


def test_without_lambda_a_shrink_is_no_claim():
    run = train(Experiment(steps=3, weight_decay=0, variants=("sgdw", "adamw")), dtype=torch.float64)
    assert decay_is_a_shrink.check(run) == "λ = 0."


def test_what_cannot_be_measured_in_a_step_is_not_dropped():
    exp, values = Experiment(steps=3, variants=("sgdw",)), iter([1.0, float("nan"), 2.0])
    (found,) = largest_of_first_steps(exp, exp.chosen, "gap", lambda step, variant, row: next(values))
    assert np.isnan(found.measured)
    assert not decay_is_a_shrink.holds(found)


def test_numbers_in_latex():
    assert tex(0.25) == "0.25"
    assert tex(-1e-8) == r"-1\cdot 10^{-8}"
    assert tex(1e-8) == "10^{-8}"
    assert tex(float("nan")) == r"\text{not finite}"
    for value in (123456.7, -0.000123456, 98765.4, 0.01, 12345.6):
        mantissa, _, power = tex(value).partition(r"\cdot 10^{")
        assert float(mantissa) * 10.0 ** int(re.sub(r"\D*$", "", power) or 0) == pytest.approx(value, rel=5e-4)
