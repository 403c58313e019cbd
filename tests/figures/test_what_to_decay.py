"""Page 6's figures: takeaways hold the runs' own numbers, choice by choice, whatever the experiment."""

import re
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
import pytest

import engine.figures.what_to_decay as page
from engine import VARIANTS, Experiment
from engine.experiment import VISITOR_BUDGET
from engine.figures import FIGURES, Shot, sentences
from engine.figures.figure import trained_together

HOT = {"lr": 100.0, "lr_adaptive": 10.0, "weight_decay": 10.0, "weight_decay_adaptive": 10.0}
CASES = {
    "default": (Experiment(), {}),
    "two": (Experiment(steps=60), {"of": "sgd_l2,adamw"}),
    "long names": (Experiment(steps=60, variants=("momentum_w", "adamw_paper")), {"of": "momentum_w,adamw_paper"}),
    "as it is": (Experiment(steps=60), {"norm": "0"}),
    "diverged": (Experiment(steps=30, **HOT), {}),
    "one of two diverged": (Experiment(steps=30, lr=100.0, weight_decay=10.0), {"of": "sgdw,adam_l2"}),
    "the first of two diverged": (Experiment(steps=30, lr=100.0, weight_decay=10.0, weight_decay_adaptive=0.1),
                                  {"of": "sgdw,adamw"}),
    "some choices diverged": (Experiment(steps=3, **HOT), {}),
    "no decay": (Experiment(weight_decay=0.0, steps=40), {}),
    "one has no decay": (Experiment(weight_decay_adaptive=0.0, steps=40), {"of": "sgdw,adamw"}),
    "no λ": (Experiment(variants=("sgd",), steps=40), {}),
    "all": (Experiment(variants=tuple(VARIANTS), steps=40), {"of": "cautious,lion"}),
    "logistic regression": (Experiment(hidden=(), steps=40), {}),
    "one step": (Experiment(steps=1), {}),
    "two points": (Experiment(points=2, steps=40), {}),
    "norm, batches, schedule": (Experiment(layer_norm=True, batch_size=4, schedule="cosine", steps=40), {}),
}  # fmt: skip
KEYS = [key for key, entry in FIGURES.items() if entry.page == "what_to_decay"]
CHOICES = ("weights", "biases", "all")


@cache
def drawn(key, name):
    exp, options = CASES[name]
    return FIGURES[key].draw(Shot(key, exp, tuple(options.items())), "light")


@cache
def runs_of(name):
    """The runs of a case, trained in the test's own words: a run for each set of decayed parameters."""
    exp, options = CASES[name]
    keys = tuple(options["of"].split(",")) if "of" in options else (usual(exp),)
    norm = bool(exp.hidden) and (exp.layer_norm or options.get("norm") != "0")
    choices = CHOICES if norm else CHOICES[:2]
    made = trained_together(*(replace(exp, layer_norm=norm, decayed=key, variants=keys) for key in choices))
    return dict(zip(choices, made, strict=True))


def usual(exp):
    keys = [key for key in exp.variants if key not in ("sgd", "adam", "max_norm")]
    on_weight = [key for key in keys if VARIANTS[key].where == "weight"]
    return "adamw" if "adamw" in keys or not keys else (on_weight or keys)[0]


def has_norm(name):
    return len(runs_of(name)) == 3


def ends(name, value):
    """What is said of each variant: its values where it did not diverge, and the steps at which it did."""
    values, steps = [], []
    made = list(runs_of(name).values())
    for variant in made[0].experiment.chosen:
        same = made[0].experiment.weight_decay_of(variant) == 0  # every choice is the same training: said once
        for run in made[:1] if same else made:
            step = run.diverged[variant.key]
            (values if step is None else steps).append(value(run, variant.key) if step is None else step)
    return values, steps


def last(run, key, column):
    own = run.curves[(run.curves.variant == key) & (run.curves.step == run.experiment.steps)]
    return own[column].iloc[0]


def size(run, key, kind):
    """Norms by hand: weights, then biases, then a gain and a shift a hidden layer, in the film's columns."""
    widths, total = run.experiment.hidden, run.architecture.weights
    film = run.film[-1, run.row(key)]
    start = total + sum(widths) + 1
    if kind in ("weight", "bias"):
        return np.linalg.norm(film[:total] if kind == "weight" else film[total:start])
    parts = []
    for width in widths:
        parts.append(film[start : start + width] if kind == "gain" else film[start + width : start + 2 * width])
        start += 2 * width
    flat = np.concatenate(parts)
    return np.sqrt((flat**2).mean()) if kind == "gain" else np.linalg.norm(flat)


VALUES = {
    "table": lambda run, key: f"{100 * last(run, key, 'test_accuracy'):.3g}",
    "losses": lambda run, key: f"{last(run, key, 'test_loss'):.3g}",
    "weights": lambda run, key: f"{last(run, key, 'weight_norm'):.3g}",
    "biases": lambda run, key: f"{size(run, key, 'bias'):.3g}",
    "gains": lambda run, key: f"{size(run, key, 'gain'):.3g}",
    "shifts": lambda run, key: f"{size(run, key, 'shift'):.3g}",
}


def numbers(text):
    for name in [*(v.title for v in VARIANTS.values() if re.search(r"\d", v.title)), "since λ = 0", "γ²"]:
        text = text.replace(name, "")
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?", text)


@pytest.mark.parametrize("key", VALUES)
@pytest.mark.parametrize("name", CASES)
def test_takeaways_say_where_each_choice_ends(key, name):
    if key in ("gains", "shifts") and not has_norm(name):
        with pytest.raises(ValueError, match="no LayerNorm"):
            drawn(f"what_to_decay.{key}", name)
        return
    panel = drawn(f"what_to_decay.{key}", name)
    text = panel.takeaway
    assert 10 < len(text) <= 220
    assert text.endswith(".")
    assert not re.search(r"[\n*`$]|\. |nan|inf\b|None|not finite", text)
    values, steps = ends(name, VALUES[key])
    assert ("in every run" in text) == (len(steps) == len(runs_of(name)) and len(set(steps)) == 1)
    if "in every run" in text:
        steps = steps[:1]
    assert numbers(text) == [*values, *map(str, steps)]
    assert text.count("whatever decays") == ("no decay" in name)
    for title in (VARIANTS[key].title for key in panel.frame.variant.unique()):
        assert title in text


@pytest.mark.parametrize("name", CASES)
def test_data_are_the_curves_of_every_choice(name):
    runs = runs_of(name)
    table, losses = (drawn(f"what_to_decay.{key}", name).frame for key in ("table", "losses"))
    sizes = {kind: drawn(f"what_to_decay.{kind}", name).frame for kind in ("weights", "biases")}
    for key, run in runs.items():
        own = losses[losses.decayed == key]
        assert np.array_equal(own.test_loss, run.curves.test_loss)
        assert np.array_equal(own.step, run.curves.step)
        norms = sizes["weights"][sizes["weights"].decayed == key].norm.to_numpy()
        assert norms == pytest.approx(run.curves.weight_norm.to_numpy(), rel=1e-12)
        at_end = table[table.decayed == key].set_index("variant").test_accuracy
        assert all(at_end[variant] == last(run, variant, "test_accuracy") for variant in run.experiment.variants)
    assert set(table.step) == {CASES[name][0].steps}


def test_a_choice_that_ends_in_nan_is_said_in_words():
    run = replace(runs_of("one step")["weights"], measured=np.full((2, 1, 6), np.nan))
    words = page.ends_words({"weights": run}, [VARIANTS["adamw"]], "Test loss",
                            lambda run, v: sentences.figures_of(run.series("test_loss")[v.key][-1]))  # fmt: skip
    assert words == "Test loss of AdamW ends at not finite with λ on weights only."


@pytest.mark.parametrize("name", ["default", "all", "no λ"])
def test_one_or_two_variants_can_be_compared(name):
    exp = CASES[name][0]
    values = FIGURES["what_to_decay.table"].options["of"](exp)
    keys = [key for key in exp.variants if key not in ("sgd", "adam", "max_norm")] or ["adamw"]
    assert sorted(values) == sorted([*keys, *(",".join(pair) for pair in combinations(keys, 2))])
    assert values[0] == "adamw"
    assert FIGURES["what_to_decay.table"].options["norm"](exp) == ["1", "0"]
    assert FIGURES["what_to_decay.gains"].options["of"](Experiment(variants=("sgd_l2", "sgdw")))[0] == "sgdw"
    assert FIGURES["what_to_decay.gains"].options["of"](Experiment(variants=("l1", "adam_l2")))[0] == "l1"


def test_figures_stay_within_the_budget_of_a_page():
    exp = Experiment(points=2000, hidden=(32, 32), steps=20000, variants=("sgdw", "adamw"))
    plan = page.plan(exp, [VARIANTS["sgdw"], VARIANTS["adamw"]])
    assert sum(one.cost for one in plan) > VISITOR_BUDGET
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "trained_together", lambda *chosen: seen.extend(chosen) or [None] * len(chosen))
        page.made_for(Shot("what_to_decay.losses", exp, (("of", "sgdw,adamw"),)))
    assert len(seen) == 3
    assert sum(one.cost for one in seen) <= VISITOR_BUDGET


def test_notes_and_titles_fit():
    for key in KEYS:
        assert len(FIGURES[key].title) <= 60
        assert 2 <= len(re.findall(r"[.] [A-Z‖]|[.]$", FIGURES[key].notes)) <= 4
    assert len(KEYS) == len({FIGURES[key].name for key in KEYS}) == len(VALUES)
