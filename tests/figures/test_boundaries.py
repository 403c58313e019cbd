"""Page 1's figures: their sentences say the numbers of ``run.curves``, their frames are its rows."""

import re
from dataclasses import replace

import numpy as np
import pytest

from engine import VARIANTS, Experiment
from engine.axis import at_lambda, lambdas
from engine.charts.picture import short
from engine.figures import FIGURES, Shot
from engine.figures.figure import shot_of, trained
from engine.slides.slide import bounded

QUICK = Experiment(steps=60)
CASES = {
    "default": Experiment(),
    "quick": QUICK,
    "one variant": replace(QUICK, variants=("adamw",)),
    "no decay": replace(QUICK, weight_decay=0.0),
    "none has one": replace(QUICK, variants=("sgd", "adam")),
    "all variants": replace(QUICK, variants=tuple(VARIANTS)),
    "one step": replace(QUICK, steps=1),
    "two points": replace(QUICK, points=2),
    "logistic": replace(QUICK, hidden=()),
    "diverged": replace(QUICK, weight_decay=5.0),
    "all diverged": replace(QUICK, lr=100.0, weight_decay=10.0, variants=("sgd_l2",)),
    "minibatches": replace(QUICK, batch_size=4, schedule="cosine", layer_norm=True),
}
NAMES = [name for name in FIGURES if name.startswith("boundaries.")]
NUMBER = r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_every_figure_says_one_plain_sentence(name, case):
    panel = FIGURES[name].draw(Shot(name, CASES[case]), "light")
    assert panel.takeaway == bounded(panel.takeaway, 400)
    assert "nan" not in panel.takeaway
    assert panel.picture.alt
    assert len(panel.frame)


def ends(case: str):
    """The last row of every variant that stayed finite."""
    run = trained(CASES[case])
    frame = run.curves[run.curves.step == run.steps[-1]].set_index("variant")
    return frame.loc[[key for key, gone in run.diverged.items() if gone is None]]


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_the_curves(case):
    said, frame = (
        FIGURES["boundaries.losses"].draw(Shot("boundaries.losses", CASES[case]), "light").takeaway,
        ends(case),
    )
    if frame.empty:
        assert said == "Every variant diverged."
        return
    best, worst = frame.test_loss.idxmin(), frame.test_loss.idxmax()
    rows = [frame.loc[key] for key in dict.fromkeys((best, worst))]
    numbers = [short(value) for row in rows for value in (row.test_loss, row.train_loss)]
    words = said
    for variant in sorted(VARIANTS.values(), key=lambda variant: -len(variant.title)):
        words = words.replace(variant.title, "")
    assert re.findall(NUMBER, words) == numbers
    assert said.startswith(VARIANTS[best].title)


@pytest.mark.parametrize("case", CASES)
def test_the_norms_are_those_of_the_curves_from_the_largest_on(case):
    said, frame = FIGURES["boundaries.norms"].draw(Shot("boundaries.norms", CASES[case]), "light").takeaway, ends(case)
    if frame.empty:
        assert said == "Every variant diverged."
        return
    run = trained(CASES[case])
    assert f"‖w‖ = {short(run.curves.weight_norm.iloc[0])} at the start" in said
    first, last = frame.weight_norm.idxmax(), frame.weight_norm.idxmin()
    places = [said.index(f"{short(frame.weight_norm[key])} ({VARIANTS[key].title})") for key in (first, last)]
    assert places == sorted(places)


@pytest.mark.parametrize("step", ["60", "30", "0"])
def test_the_table_says_what_pairs_have_at_its_step(step):
    panel = FIGURES["boundaries.table"].draw(shot_of("boundaries.table", QUICK, at=step), "dark")
    run = trained(QUICK)
    shown = int(run.steps[np.abs(run.steps - int(step)).argmin()])
    at = run.curves[run.curves.step == shown].set_index("variant")
    assert panel.frame.equals(run.curves[run.curves.step == shown])
    assert f"Step {shown}" in panel.picture.title
    for l2, decay, sign in (("sgd_l2", "sgdw", "="), ("adam_l2", "adamw", "=" if shown == 0 else "≠")):
        pair = f"{VARIANTS[l2].title} {sign} {VARIANTS[decay].title}"
        assert f"{pair}: test loss {short(at.test_loss[l2])} and {short(at.test_loss[decay])}" in panel.takeaway
    frame = run.frame(shown)
    for l2, decay in (("sgd_l2", "sgdw"), ("adam_l2", "adamw")):
        apart = np.abs(run.film[frame, run.row(l2)] - run.film[frame, run.row(decay)]).max()
        assert f"max|Δw| {apart:.1g}" in panel.takeaway


def test_the_best_lambda_is_that_of_separate_trainings():
    exp = replace(QUICK, variants=("sgd_l2", "adam"))
    said = FIGURES["boundaries.over_lambda"].draw(Shot("boundaries.over_lambda", exp), "light").takeaway
    losses = {}
    for value in lambdas():
        run = trained(at_lambda(exp, value))
        if run.diverged["sgd_l2"] is None:
            losses[value] = float(run.series("test_loss")["sgd_l2"][-1])
    best = min(losses, key=losses.__getitem__)
    assert f"SGD + L2 {short(losses[best])} at λ = {best:g}; at λ = 0 it is {short(losses[0.0])}." in said


def test_frames_over_lambda_have_every_lambda_and_gaps_where_it_diverged():
    panel = FIGURES["boundaries.norms_over_lambda"].draw(Shot("boundaries.norms_over_lambda", QUICK), "light")
    frame = panel.frame
    assert sorted(frame.weight_decay.unique()) == list(lambdas())
    assert set(frame.variant) == set(QUICK.variants)
    run = trained(at_lambda(QUICK, 10.0))
    gone = {key for key, step in run.diverged.items() if step is not None}
    assert gone
    last = frame[frame.weight_decay == 10.0].set_index("variant")
    assert set(last.index[last.weight_norm.isna()]) == gone
