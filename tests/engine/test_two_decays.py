"""What the page of the two decays draws: schedules against torch's own, and decay alone against products."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import VARIANTS, Experiment, train, train_many
from engine.claims.schedules import (
    decay_follows_the_schedule,
    left_by_decay,
    the_papers_form_does_not_know_the_learning_rate,
)
from engine.schedules import SCHEDULES, multipliers
from engine.two_decays import (
    comparable,
    crossed,
    forms,
    free_lines,
    parametrizations,
    plan,
    schedule_lines,
    scheduled,
)

SMALL = scheduled(Experiment(points=20, hidden=(4,), steps=80))


@given(schedule=st.sampled_from(list(SCHEDULES)), steps=st.integers(1, 3000))
def test_a_schedule_is_a_share_of_its_largest_rate(schedule, steps):
    s = multipliers(schedule, steps)
    assert s.shape == (steps,)
    assert np.all((s > 0) & (s <= 1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_expression_on_screen_is_the_schedule(schedule):
    s = multipliers(schedule, 50)
    scope = {"math": __import__("math")}
    shown = [eval(SCHEDULES[schedule].code, scope, {"x": t / 50}) for t in range(50)]
    np.testing.assert_allclose(shown, s, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("constant", lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 40)),
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40)),
        ("step", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [20, 30], 0.1)),
    ],
)
def test_schedules_are_those_of_torch(schedule, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, seen = make(optimizer), []
    for _ in range(40):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(multipliers(schedule, 40), seen, rtol=0, atol=1e-12)


def test_warm_up_rises_to_the_largest_rate_and_falls():
    s = multipliers("warmup_cosine", 1000)
    top = int(np.argmax(s))
    assert s[top] == pytest.approx(1, abs=1e-12)
    assert top == 100
    assert np.all(np.diff(s[: top + 1]) > 0)
    assert np.all(np.diff(s[top:]) < 0)


def test_the_four_runs_are_two_schedules_with_and_without_decay():
    runs = train_many(plan(SMALL), dtype=torch.float64)
    lines = {line.name: line.values for line in crossed(runs, "weight_norm")}
    assert len(lines) == 4
    for key, title in (("adam", "Adam"), ("adamw", "AdamW")):
        for schedule in ("constant", "cosine"):
            alone = train(replace(SMALL, schedule=schedule, variants=(key,)), dtype=torch.float64)
            line = lines[f"{title}, {SCHEDULES[schedule].title}"]
            np.testing.assert_allclose(line, alone.series("weight_norm")[key], rtol=1e-10)


def test_a_schedule_of_the_sidebar_is_kept_and_a_constant_one_gets_a_partner():
    assert scheduled(Experiment(schedule="step")).schedule == "step"
    assert scheduled(Experiment()).schedule == "cosine"


def test_lines_of_decay_alone_are_products():
    steps = np.array([0, 1, 40, 80])
    shrink = SMALL.shrink_of(VARIANTS["adamw"])
    for line, key in zip(free_lines(SMALL, steps), SCHEDULES, strict=True):
        factors = 1 - shrink * multipliers(key, 80)
        np.testing.assert_allclose(line.values, [np.prod(factors[:t]) for t in steps], rtol=1e-12)
        assert line.strong == (key == "cosine")
    half, one, double, paper = parametrizations(SMALL, steps)
    np.testing.assert_allclose(one.values, paper.values, rtol=1e-12)
    assert half.values[-1] > one.values[-1] > double.values[-1]
    assert next(line.values[-1] for line in schedule_lines(SMALL, steps)) == 1


def test_both_forms_train_alike_at_the_experiments_rate_and_apart_at_another():
    torch_form, paper = forms(SMALL).values()
    assert comparable(SMALL)
    for factor, same in ((1.0, True), (2.0, False)):
        other = replace(SMALL, lr_adaptive=factor * SMALL.lr_adaptive)
        experiments = [
            replace(other, weight_decay_adaptive=weight_decay, variants=(key,))
            for key, weight_decay in (("adamw", torch_form), ("adamw_paper", paper))
        ]
        a, b = (run.film[-1, 0] for run in train_many(experiments, dtype=torch.float64))
        assert (np.abs(a - b).max() < 1e-10) == same


def test_decay_is_measured_from_the_steps_not_from_the_formula():
    left = left_by_decay(replace(SMALL, variants=("adamw", "adam", "adam_l2")))
    assert left["adam"] == 1
    assert left["adamw"] == pytest.approx(np.prod(1 - SMALL.shrinks_of(VARIANTS["adamw"])), rel=1e-10)
    assert left["adam_l2"] != pytest.approx(left["adamw"], rel=1e-2)


def test_the_claims_hold_or_say_why_not():
    run = train(SMALL, dtype=torch.float64)
    for claim in (decay_follows_the_schedule, the_papers_form_does_not_know_the_learning_rate):
        found = claim.check(run)
        assert not isinstance(found, str)
        assert all(claim.holds(value) for value in found)
    wild = train(replace(SMALL, weight_decay=10.0), dtype=torch.float64)
    assert isinstance(the_papers_form_does_not_know_the_learning_rate.check(wild), str)
