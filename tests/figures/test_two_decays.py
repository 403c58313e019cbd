"""Page 7's figures: takeaways hold the runs' own numbers and the closed forms', whatever the experiment."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import engine.figures.two_decays as page
from engine import VARIANTS, Experiment
from engine.experiment import VISITOR_BUDGET
from engine.figures import FIGURES, Shot
from engine.figures.figure import trained_together
from engine.schedules import SCHEDULES

HOT = {"lr": 100.0, "lr_adaptive": 10.0, "weight_decay": 10.0, "weight_decay_adaptive": 10.0}
CASES = {
    "default": Experiment(),
    **{key: Experiment(schedule=key, steps=40) for key in SCHEDULES},
    "all": Experiment(variants=tuple(VARIANTS), steps=40),
    "diverged": Experiment(steps=30, **HOT),
    "one of two diverged": Experiment(steps=30, lr_adaptive=1.0, weight_decay_adaptive=10.0, schedule="step"),
    "at a constant η only": Experiment(steps=24, lr_adaptive=1.0, weight_decay_adaptive=3.0, schedule="step"),
    "no decay": Experiment(weight_decay=0.0, steps=40),
    "nothing decays": Experiment(variants=("sgd",), steps=40),
    "logistic regression": Experiment(hidden=(), steps=40),
    "one step": Experiment(steps=1),
    "two points": Experiment(points=2, steps=40),
    "norm and batches": Experiment(layer_norm=True, batch_size=4, schedule="linear", steps=40),
}
KEYS = [key for key, entry in FIGURES.items() if entry.page == "two_decays"]


def seen(name):
    exp = CASES[name]
    return replace(exp, variants=("adam", "adamw"), schedule="cosine" if exp.schedule == "constant" else exp.schedule)


@cache
def drawn(key, name):
    return FIGURES[f"two_decays.{key}"].draw(Shot(f"two_decays.{key}", CASES[name]), "light")


@cache
def runs_of(name):
    """The run under the schedule, and that at a constant η."""
    return trained_together(seen(name), replace(seen(name), schedule="constant"))


def numbers(text):
    for entry in SCHEDULES.values():
        text = text.replace(f"“{entry.title}”", "")
    text = text.replace("2 η", "").replace("λ = 0", "")
    return re.findall(r"(?:over )?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?", text)


def share(value):
    return f"{100 * value:.3g}" if value <= 10 else "over 1,000"


def left(name, factor=1.0, schedule=None):
    """What decay alone leaves at a multiple of η, a product over all steps by hand."""
    exp = seen(name)
    weight_decay = exp.weight_decay_adaptive
    rate = exp.lr * exp.weight_decay if weight_decay is None else exp.lr_adaptive * weight_decay
    x = np.arange(exp.steps) / exp.steps
    with np.errstate(over="ignore"):
        return float(np.prod(np.abs(1 - factor * rate * SCHEDULES[schedule or exp.schedule].multiplier(x))))


@pytest.mark.parametrize("key", [key.partition(".")[2] for key in KEYS])
@pytest.mark.parametrize("name", CASES)
def test_every_figure_has_a_takeaway_and_data(key, name):
    panel = drawn(key, name)
    assert panel.picture.title
    assert 10 < len(panel.takeaway) <= 220
    assert panel.takeaway.endswith(".")
    assert not re.search(r"[\n*`$]|\. |nan|inf\b|None|not finite", panel.takeaway)
    assert len(panel.frame)


@pytest.mark.parametrize(("key", "metric"), [("norms", "weight_norm"), ("losses", "test_loss")])
@pytest.mark.parametrize("name", CASES)
def test_the_four_runs_end_where_it_is_said(key, metric, name):
    falling, steady = runs_of(name)
    panel, values, steps = drawn(key, name), [], []
    for variant in ("adam", "adamw"):
        for run in (steady, falling):
            own = run.curves[run.curves.variant == variant].set_index("step")[metric]
            data = panel.frame[(panel.frame.variant == variant) & (panel.frame.schedule == run.experiment.schedule)]
            assert np.array_equal(data[metric], own)
            if run.diverged[variant] is None:
                values.append(f"{own[run.experiment.steps]:.3g}")
            else:
                steps.append(str(run.diverged[variant]))
    if len(steps) == 2 and len(set(steps)) == 1:
        assert f"AdamW diverged at step {steps.pop()} in every run" in panel.takeaway
    assert numbers(panel.takeaway) == [*values, *steps]
    assert ("no weight decay" in panel.takeaway) == (name == "no decay")


def test_a_run_that_diverges_at_a_constant_rate_only_is_told_apart():
    falling, steady = runs_of("at a constant η only")
    assert falling.diverged["adamw"] is None
    gone = steady.diverged["adamw"]
    assert f"; AdamW diverged at a constant η at step {gone}." in drawn("norms", "at a constant η only").takeaway


@pytest.mark.parametrize("name", CASES)
def test_the_schedule_is_the_experiments(name):
    exp, panel = seen(name), drawn("schedules", name)
    s = SCHEDULES[exp.schedule].multiplier(np.arange(exp.steps) / exp.steps)
    assert numbers(panel.takeaway) == [f"{100 * s[-1]:.3g}", f"{exp.steps}", f"{100 * s.mean():.3g}"]
    own = panel.frame[panel.frame.line == SCHEDULES[exp.schedule].title].set_index("step").share_of_largest_lr
    assert own[exp.steps] == pytest.approx(s[-1])
    assert own[0] == pytest.approx(s[0])
    assert set(panel.frame.line) == {entry.title for entry in SCHEDULES.values()}


@pytest.mark.parametrize("name", CASES)
def test_decay_alone_is_a_product_over_the_steps(name):
    alone, forms = drawn("alone", name), drawn("forms", name)
    if name == "no decay":
        assert numbers(alone.takeaway) == numbers(forms.takeaway) == []
        return
    assert numbers(alone.takeaway) == [share(left(name)), share(left(name, schedule="constant"))]
    assert numbers(forms.takeaway) == [share(left(name, factor)) for factor in (0.5, 1.0, 2.0, 1.0)]
    for frame, line, factor in ((alone.frame, SCHEDULES[seen(name).schedule].title, 1.0),
                                (forms.frame, "torch, 2 η", 2.0), (forms.frame, "paper, any η", 1.0)):  # fmt: skip
        own = frame[frame.line == line].set_index("step").share_left
        assert own[0] == 1
        assert own[seen(name).steps] == pytest.approx(left(name, factor), rel=1e-9)


def test_figures_stay_within_the_budget_of_a_page():
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "trained_together", lambda *chosen: trained.extend(chosen))
        page.runs_of(Shot("two_decays.norms", Experiment(points=2000, hidden=(64, 64), steps=20000)))
    assert [exp.schedule for exp in trained] == ["cosine", "constant"]
    assert 0.5 * VISITOR_BUDGET < sum(exp.cost for exp in trained) <= VISITOR_BUDGET


def test_notes_and_titles_fit():
    for key in KEYS:
        assert len(FIGURES[key].title) <= 60
        assert 2 <= len(re.findall(r"[.] [A-Z‖]|[.]$", FIGURES[key].notes)) <= 4
    assert len(KEYS) == len({FIGURES[key].name for key in KEYS}) == 5
