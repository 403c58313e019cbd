"""Page 5's figures: one step, its winners and its pulls, against the run's own film."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.anatomy import steps_to_show
from engine.datasets import make_data
from engine.figures import one_step
from engine.figures.figure import FIGURES
from engine.figures.link import from_link, to_link
from tests.figures.printed import drawn, numbers, right

ONE_CLASS = next(s for s in range(99) if len(set(make_data("moons", Experiment.noise, 2, s).y_train)) == 1)
EVERY = tuple(VARIANTS)
QUICK = Experiment(steps=30, hidden=(6,))
CASES = {
    "default": Experiment(),
    "no λ": replace(QUICK, weight_decay=0.0),
    "diverged": replace(QUICK, weight_decay=10.0, lr=100.0, variants=("momentum_l2", "sgd_l2")),
    "one class": replace(QUICK, points=2, seed=ONE_CLASS),
    "one variant": replace(QUICK, variants=("sgd",)),
    "a constraint": replace(QUICK, variants=("max_norm", "sgd")),
    "all": replace(QUICK, variants=EVERY, layer_norm=True, schedule="cosine", batch_size=4),
    "one step": replace(QUICK, steps=1),
    "logistic": replace(QUICK, hidden=(), points=2),
}


def values(name, experiment):
    return FIGURES["one_step.race"].options[name](experiment)


@pytest.mark.parametrize("key", ["one_step.race", "one_step.pulls"])
@pytest.mark.parametrize("name", CASES)
def test_figures_are_sensible(key, name):
    exp = CASES[name]
    for variant in values("of", exp):
        assert VARIANTS[variant].title in drawn(key, exp, of=variant).takeaway
    for part in (*one_step.PICKS, "1"):
        assert len(drawn(key, exp, part=part).frame) == train(exp).architecture.weights


def test_the_defaults_are_the_pages():
    assert values("of", CASES["default"])[0] == "sgd_l2"
    assert values("of", replace(QUICK, variants=("adam", "adamw")))[0] == "adamw"
    assert values("of", CASES["one variant"]) == ["sgd"]
    assert sorted(values("of", CASES["all"])) == sorted(EVERY)
    assert values("part", CASES["default"]) == [*one_step.PICKS, *map(str, range(304))]


@pytest.mark.parametrize("steps", [1, 2, 12, 20, 28, 44, 60, 300, 333])
def test_the_first_step_is_a_recorded_one_and_every_step_can_be_asked_for(steps):
    exp = Experiment(steps=steps, variants=("sgd",), hidden=())
    showable = steps_to_show(train(exp), VARIANTS["sgd"])
    assert values("at", exp)[0] == str(min(showable, key=lambda t: abs(t - steps / 8)))
    assert sorted(map(int, values("at", exp))) == list(range(1, steps + 1))
    for wanted in {1, steps // 3 + 1, steps}:
        nearest = min(showable, key=lambda t: abs(t - wanted))
        assert f"step {nearest}:" in drawn("one_step.race", exp, at=str(wanted)).takeaway


def test_a_step_beyond_divergence_is_the_last_before_it():
    exp = replace(CASES["diverged"], variants=("sgd_l2",))
    run = train(exp, dtype=torch.float64)
    last = max(t for t in [1, *run.steps.tolist()] if t < run.diverged["sgd_l2"])
    assert f"step {last}:" in drawn("one_step.race", exp, at=str(exp.steps)).takeaway


def test_a_permalink_opens_the_step():
    link = "/one_step?v=1&figure=race&of=adamw&at=200&part=17"
    shot, notices = from_link(link)
    assert notices == []
    assert dict(shot.options) == {"of": "adamw", "at": "200", "part": "17"}
    assert from_link(to_link(shot))[0] == shot


RACE = r"(.*), step (\S+): of (\S+) weights (\S+) grow, (\S+) shrink(?:, (\S+) pass zero)?; "
MARK = r"(\d+\.weight\[\d+, \d+\]) (\w+).*: away from zero, push (\S+), pull (\S+)\.$"


def sgd_step(experiment, t):
    """Weights before and after step t of SGD + L2, and λ's part of it by the rule: −ηλw."""
    run = train(replace(experiment, variants=("sgd_l2",)), dtype=torch.float64)
    count = run.architecture.weights
    assert {t - 1, t} <= set(run.steps.tolist())
    before, after = (run.film[run.frame(s), 0, :count] for s in (t - 1, t))
    return before, after, -experiment.lr * experiment.weight_decay * before


@pytest.mark.parametrize("part", ["largest", "pulled", "pushed", "close", "7"])
def test_the_race_is_that_of_the_film(part):
    exp = Experiment(steps=30)
    before, after, pull = sgd_step(exp, 20)
    push = after - before - pull
    sign = np.sign(before)
    even = np.minimum(abs(push), abs(pull)) / np.maximum(abs(push), abs(pull))
    marked = {
        "largest": abs(before).argmax(),
        "pulled": abs(pull).argmax(),
        "pushed": abs(push).argmax(),
        "close": (abs(before) * even * (push * pull < 0)).argmax(),
    }
    i = int(marked[part]) if part in marked else int(part)
    panel = drawn("one_step.race", exp, at="20", part=part)
    title, t, total, grow, shrink, cross, name, fate, pushed, pulled = numbers(panel.takeaway, RACE + MARK)
    assert (title, t, int(total)) == ("SGD + L2", "20", len(before))
    kept = after * before >= 0
    assert int(grow) == (kept & (abs(after) > abs(before))).sum()
    assert int(shrink) == (kept & (abs(after) <= abs(before))).sum()
    assert int(cross or 0) == (~kept).sum()
    right(pushed.removeprefix("+"), sign[i] * push[i])
    right(pulled, sign[i] * pull[i])
    assert fate == ("grows" if abs(after[i]) > abs(before[i]) else "shrinks")
    row = panel.frame.iloc[i]
    assert row.weight == name
    np.testing.assert_allclose(panel.frame.after, after, atol=1e-14)
    np.testing.assert_allclose(panel.frame.pull, pull, atol=1e-14)
    assert panel.frame.fate.value_counts().get("grows", 0) == int(grow)


@pytest.mark.parametrize(("key", "said", "share"), [
    ("sgdw", "ηλ = ", 0.7 * 0.03), ("sgd_l2", "ηλ = ", 0.7 * 0.03), ("adamw", "ηλ = ", 0.7 * 0.03),
    ("sgds", "ηλ/(1 − μ) = ", 0.7 * 0.03 / 0.1), ("adamw_paper", "λ = ", 0.7 * 0.03),
])  # fmt: skip
def test_one_share_of_every_weight(key, said, share):
    panel = drawn("one_step.pulls", replace(Experiment(), variants=(key,)))
    start, _, rest = panel.takeaway.partition("takes the same share off every weight, ")
    assert start == f"{VARIANTS[key].title}, step 38: λ "
    assert rest.startswith(said)
    right(rest.removeprefix(said), 100 * share)
    np.testing.assert_allclose(panel.frame.pull, -share * panel.frame.before, rtol=1e-9, atol=1e-16)


def test_a_share_for_each_weight_under_adam_with_l2():
    exp = Experiment(steps=1, variants=("adam_l2",), lr_adaptive=0.01, weight_decay_adaptive=0.5)
    run = train(exp, dtype=torch.float64)
    panel = drawn("one_step.pulls", exp)
    before = run.film[0, 0, : run.architecture.weights]
    gradient = gradient_of(run)
    root = np.abs(gradient + 0.5 * before) + 1e-8  # after one step m̂ = g and √v̂ = |g|
    shares = 0.01 * 0.5 / root
    low, high, rate = numbers(panel.takeaway, r"between (\S+) % and (\S+) % for half .*; ηλ = (\S+) %")
    right(low, 100 * np.quantile(shares, 0.25))
    right(high, 100 * np.quantile(shares, 0.75))
    right(rate, 0.5)
    np.testing.assert_allclose(panel.frame.pull, -shares * before, rtol=1e-6)


def gradient_of(run):
    """The data's gradient over the weights at the start, by autograd."""
    layers = [[torch.tensor(part, requires_grad=True) for part in layer] for layer in run.weights("adam_l2", 0)]
    at = torch.as_tensor(run.data.x_train)
    for number, (weight, bias) in enumerate(layers, 1):
        at = at @ weight.T + bias
        at = torch.tanh(at) if number < len(layers) else at
    y = torch.as_tensor(run.data.y_train, dtype=torch.float64)
    torch.nn.functional.binary_cross_entropy_with_logits(at[:, 0], y).backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight, _ in layers])


def test_a_pull_of_another_prior():
    exp = Experiment(steps=30, variants=("l1",))
    run = train(exp, dtype=torch.float64)
    panel = drawn("one_step.pulls", exp, at="20")
    before = run.film[run.frame(19), 0, : run.architecture.weights]
    after = run.film[run.frame(20), 0, : run.architecture.weights]
    pulled = panel.frame.pull.to_numpy()
    assert set(np.flatnonzero(after == 0)) <= set(np.flatnonzero(abs(pulled) <= 0.7 * 0.03 + 1e-12))
    moved, total, median, most = numbers(panel.takeaway, r"data, (\S+) of (\S+) weights .* by (\S+) in .* and (\S+) at")
    assert (int(moved), int(total)) == ((pulled != 0).sum(), len(before))
    right(median, np.median(abs(pulled[pulled != 0])))
    right(most, 0.7 * 0.03)


def test_without_a_pull_it_says_so():
    for name in ("no λ", "one variant"):
        assert drawn("one_step.pulls", CASES[name]).takeaway.endswith(": no weight is pulled, the data decide alone.")


def test_a_step_into_infinity_says_so(monkeypatch):
    exp = Experiment(steps=1, variants=("sgd_l2",))
    run, step = one_step._anatomy(exp, "sgd_l2", 1)
    lost = replace(step, after=np.full_like(step.after, np.inf))
    monkeypatch.setattr(one_step, "_anatomy", lambda *asked: (run, lost))
    for key in ("one_step.race", "one_step.pulls"):
        assert drawn(key, exp).takeaway == "SGD + L2 leaves the finite numbers in step 1."
