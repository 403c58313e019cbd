"""Page 4's figures: differences and rates are those of the run, taken again by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.datasets import make_data
from engine.figures import coupling
from engine.figures.figure import FIGURES, Shot
from engine.probe import replay
from engine.rates import paired
from tests.figures.printed import drawn, numbers, right

ONE_CLASS = next(s for s in range(99) if len(set(make_data("moons", Experiment.noise, 2, s).y_train)) == 1)
QUICK = Experiment(steps=60, hidden=(8,))
CASES = {
    "default": Experiment(),
    "no λ": replace(QUICK, weight_decay=0.0),
    "diverged": replace(QUICK, weight_decay=10.0, lr=3.0),
    "one class": replace(QUICK, points=2, seed=ONE_CLASS),
    "one variant": replace(QUICK, variants=("sgd",)),
    "all": replace(QUICK, variants=tuple(VARIANTS), layer_norm=True),
    "one step": replace(QUICK, steps=1),
    "logistic": replace(QUICK, hidden=()),
    "all diverged": replace(QUICK, variants=tuple(VARIANTS), weight_decay=10.0, lr=100.0, lr_adaptive=10.0,
                            weight_decay_adaptive=10.0),
}  # fmt: skip
PLACES = {"gradient": "l2", "weight": "w"}
PAIRS = {"SGD": ("sgd_l2", "sgdw"), "Momentum": ("momentum_l2", "momentum_w"),
         "RMSProp": ("rmsprop_l2", "rmsprop_w"), "Adam": ("adam_l2", "adamw")}  # fmt: skip


def parts(experiment):
    return FIGURES["coupling.rates"].options["part"](experiment)


@pytest.mark.parametrize("name", CASES)
def test_figures_are_sensible(name):
    panel = drawn("coupling.apart", CASES[name])
    assert set(panel.frame.columns) == {"l2", "decay", "step", "max_difference"}
    for family in parts(CASES[name]):
        assert drawn("coupling.rates", CASES[name], part=family).frame.variant.nunique() >= 1


def test_every_optimizer_that_decays_has_a_panel():
    assert parts(CASES["one variant"]) == list(PAIRS)
    assert parts(CASES["all"]) == list(dict.fromkeys(v.family for v in VARIANTS.values() if v.where in PLACES))
    assert drawn("coupling.rates", CASES["default"]).takeaway.startswith("SGD + L2: ")


def test_how_far_each_pair_is_apart_in_the_end():
    exp = CASES["default"]
    run = train(paired(exp), dtype=torch.float64)
    panel = drawn("coupling.apart", exp)
    right(*numbers(panel.takeaway, r"at step (\S+):"), exp.steps)
    for family, (l2, decay) in PAIRS.items():
        apart = np.abs(run.film[-1, run.row(l2)] - run.film[-1, run.row(decay)]).max()
        said, rounding = numbers(panel.takeaway, family + r" (\S+?)( \(rounding\))?[,.]( |$)")[:2]
        right(said, apart)
        assert bool(rounding) == (family == "SGD")
        own = panel.frame[(panel.frame.l2 == l2) & (panel.frame.decay == decay)]
        assert own.max_difference.iloc[-1] == pytest.approx(apart)
        assert list(own.step) == run.steps.tolist()


def test_of_many_pairs_the_nearest_and_the_farthest():
    exp = replace(CASES["all"], layer_norm=False, batch_size=4)
    run, ends = train(paired(exp), dtype=torch.float64), {}
    for a in run.experiment.chosen:
        for b in run.experiment.chosen:
            if (a.family, a.where, b.where) == (b.family, "gradient", "weight"):
                ends[b.title] = np.abs(run.film[-1, run.row(a.key)] - run.film[-1, run.row(b.key)]).max()
    assert len(ends) == 8
    assert all(step is None for step in run.diverged.values())
    apart = {title: end for title, end in ends.items() if end > 1e-6}
    equal, whole, low, near, high, far = numbers(
        drawn("coupling.apart", exp).takeaway,
        r"(\d) of (\d) pairs are equal .*; from (\S+) \((.*)\) to (\S+) \((.*)\)\.$",
    )
    assert (int(equal), int(whole)) == (len(ends) - len(apart), 8)
    right(low, min(apart.values()))
    right(high, max(apart.values()))
    named = {"RMSPropW": "RMSProp", "SGDW": "SGD"}
    assert [near, far] == [named.get(title, title) for title in (min(apart, key=apart.get), max(apart, key=apart.get))]


def test_pairs_without_a_difference_or_with_a_lost_variant_say_so():
    same = drawn("coupling.apart", CASES["no λ"]).takeaway
    assert same.count("exactly 0") == 4
    assert "rounding" not in same
    text = drawn("coupling.apart", CASES["diverged"]).takeaway
    assert "SGD diverged, Momentum diverged, RMSProp 0" in text
    assert "8 pairs have a diverged variant" in drawn("coupling.apart", CASES["all diverged"]).takeaway
    assert drawn("coupling.rates", CASES["no λ"], part="Adam").takeaway == "λ = 0: no decay to measure."
    assert "SGDW with momentum diverged at step" in drawn("coupling.rates", CASES["diverged"], part="Momentum").takeaway
    assert drawn("coupling.rates", CASES["all diverged"], part="Momentum").takeaway.startswith("3 of 3 variants")


def test_the_same_on_paper_is_told_from_a_difference():
    exp = Experiment(layer_norm=True)
    run = train(paired(exp), dtype=torch.float64)
    apart = np.abs(run.film[-1, run.row("sgd_l2")] - run.film[-1, run.row("sgdw")]).max()
    assert apart > 0.1
    text = drawn("coupling.apart", exp).takeaway
    right(*numbers(text, r"SGD (\S+) \(the same on paper, rounding has grown\)"), apart)
    assert text.count("rounding") == 1
    tiny = drawn("coupling.apart", replace(QUICK, steps=2, weight_decay=1e-6, lr_adaptive=1e-6)).takeaway
    assert "Adam" in tiny
    assert "rounding" not in tiny.partition("RMSProp")[2]


def test_weights_that_have_died_out_have_no_slope():
    exp = replace(CASES["default"], weight_decay=10.0)
    run, text = train(paired(exp), dtype=torch.float64), drawn("coupling.rates", exp, part="Adam").takeaway
    norms = run.series("weight_norm")["adam_l2"]
    (left,) = numbers(text, r"Adam [+] L2: no slope, ‖w‖ is down to (\S+) % of its start, median")
    right(left, 100 * norms[-1] / norms[0])
    assert float(left) < 5
    picture = drawn("coupling.rates", exp, part="Adam").picture
    shown = [row["text"] for row in picture.data["words"]]
    assert shown[0] == "Adam + L2: no slope, its weights have died out"
    assert shown[1].startswith("AdamW: slope")
    assert "Adam + L2: slope" not in picture.alt
    many = drawn("coupling.rates", replace(exp, variants=tuple(VARIANTS)), part="Adam").takeaway
    assert "Adam + L2: slope" not in many


def by_hand(experiment, key):
    """Rate and gradient of every weight over the last half of training, from a replay."""
    one, weights = replace(paired(experiment), variants=(key,)), train(experiment).architecture.weights
    variant, lam = VARIANTS[key], paired(experiment).weight_decay_of(VARIANTS[key])
    first, v, sums = one.steps // 2 + 1, 0.0, np.zeros((4, weights))

    def see(step):
        nonlocal v
        w, d = step.before[0, :weights], step.decay[0, :weights]
        g = step.gradient[0, :weights] + lam * w * (variant.where == "gradient")
        v = 0.999 * v + 0.001 * g * g
        if step.t >= first:
            root = np.sqrt(v / (1 - 0.999**step.t)) + 1e-8
            sums[:] += [-d * w, w * w, g * g, 1 / root]

    replay(one, see)
    count = one.steps - first + 1
    return sums[0] / sums[1], count / sums[3] if variant.adaptive else np.sqrt(sums[2] / count)


@pytest.mark.parametrize("family", ["SGD", "Adam"])
def test_slopes_and_median_rates(family):
    exp = CASES["default"]
    panel = drawn("coupling.rates", exp, part=family)
    for key in PAIRS[family]:
        rate, gradient = by_hand(exp, key)
        own = panel.frame[panel.frame.variant == key]
        shown = own.shown.to_numpy(bool)
        assert shown.mean() > 0.9
        np.testing.assert_allclose(own.rate[shown], rate[shown], rtol=1e-6)
        np.testing.assert_allclose(own.gradient_rms[shown], gradient[shown], rtol=1e-6)
        slope, theory, median = numbers(
            panel.takeaway,
            VARIANTS[key].title.replace("+", r"\+") + r": slope (\S+), theory (\S+), median (\S+) a step",
        )
        right(slope, np.polyfit(np.log(gradient[shown]), np.log(rate[shown]), 1)[0])
        assert theory == ("−1" if key == "adam_l2" else "0")
        right(median, np.median(rate[shown]))


def test_of_many_variants_the_extremes():
    exp = CASES["all"]
    panel = drawn("coupling.rates", exp, part="Adam")
    medians = panel.frame[panel.frame.shown.astype(bool)].groupby("variant").rate.median()
    low, slowest, high, fastest, steepest = numbers(
        panel.takeaway, r"from (\S+) a step \((.*)\) to (\S+) a step \((.*)\); steepest, (.*): slope −"
    )
    right(low, medians.min())
    right(high, medians.max())
    titles = {VARIANTS[key].title for key in medians.index}
    assert len(titles) == 5
    assert fastest == VARIANTS[medians.idxmax()].title
    assert slowest in titles
    assert steepest == "Adam + L2"


def test_a_training_that_is_too_long_to_repeat_has_no_rates(monkeypatch):
    exp = Experiment(steps=5000, hidden=(64, 64), points=500)
    monkeypatch.setattr(coupling, "trained", lambda long: SimpleNamespace(experiment=long))
    with pytest.raises(ValueError, match=r"left out: the training is too long to be taken again.*\.$"):
        FIGURES["coupling.rates"].draw(Shot("coupling.rates", exp), "light")
