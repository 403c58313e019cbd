"""Page 1's figures: their sentences say the numbers of ``run.curves``, their frames are its rows."""

import re
from dataclasses import replace

import numpy as np
import pytest

from engine import VARIANTS, Experiment
from engine.axis import anywhere, at_lambda, lambdas
from engine.figures import FIGURES, Shot
from engine.figures.boundaries import axis_of, table_at
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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_every_figure_says_one_plain_sentence(name, case):
    panel = FIGURES[name].draw(Shot(name, CASES[case]), "light")
    assert panel.takeaway == bounded(panel.takeaway, 400)
    assert "nan" not in panel.takeaway
    assert panel.takeaway.endswith(".")
    assert panel.picture.alt
    assert len(panel.frame)


def ends(case: str):
    """The last row of every variant that stayed finite."""
    run = trained(CASES[case])
    frame = run.curves[run.curves.step == run.steps[-1]].set_index("variant")
    return frame.loc[[key for key, gone in run.diverged.items() if gone is None]]


def said_of(name, experiment, **options):
    return FIGURES[name].draw(shot_of(name, experiment, **options), "light").takeaway


def title_of(key):
    return VARIANTS[key].title


def assert_gone(said, run, by=None):
    """Who has diverged is said: by name, or how many where many."""
    left = {key: step for key, step in run.diverged.items() if step is not None and (by is None or step <= by)}
    if not left:
        assert "diverged" not in said
    elif len(left) > 2:
        assert f"{len(left)} variants diverged, the first at step {min(left.values())}" in said
    else:
        assert all(title_of(key) in said and f"diverged at step {step}" in said for key, step in left.items())


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_the_curves(case):
    said, frame, run = said_of("boundaries.losses", CASES[case]), ends(case), trained(CASES[case])
    assert_gone(said, run)
    if frame.empty:
        assert said.startswith(title_of("sgd_l2"))
        return
    for extreme, which in ((frame.test_loss.min(), "lowest"), (frame.test_loss.max(), "highest")):
        same = frame[np.isclose(frame.test_loss, extreme, rtol=1e-6)]
        titles = [title_of(key) for key in run.experiment.variants if key in same.index]
        who = " and ".join([", ".join(titles[:-1]), titles[-1]] if titles[1:] else titles)
        end = f"{same.test_loss.iloc[0]:.3g} (training {same.train_loss.iloc[0]:.3g})"
        verb = "end" if titles[1:] else "ends"
        if len(same) == len(frame):
            assert said.startswith(f"{who} {verb} at test loss {end}")
        else:
            assert f"{who} {verb} at the {which}{' test loss' if which == 'lowest' else ''}, {end}" in said


def test_variants_that_are_equal_share_the_lowest_loss():
    said = said_of("boundaries.losses", CASES["default"])
    assert said.startswith("SGD + L2 and SGDW end at the lowest test loss, ")


@pytest.mark.parametrize("case", CASES)
def test_the_norms_are_those_of_the_curves_from_the_largest_on(case):
    said, frame, run = said_of("boundaries.norms", CASES[case]), ends(case), trained(CASES[case])
    assert_gone(said, run)
    assert said.endswith(".")
    if frame.empty:
        return
    assert f"‖w‖ = {run.curves.weight_norm.iloc[0]:.3g} at the start" in said
    first, last = frame.weight_norm.idxmax(), frame.weight_norm.idxmin()
    places = [said.index(f"{frame.weight_norm[key]:.3g} ({title_of(key)})") for key in (first, last)]
    assert places == sorted(places)


@pytest.mark.parametrize("step", ["60", "30", "0"])
def test_the_table_says_what_pairs_have_at_its_step(step):
    panel = FIGURES["boundaries.table"].draw(shot_of("boundaries.table", QUICK, at=step), "dark")
    run = trained(QUICK)
    shown = int(run.steps[np.abs(run.steps - int(step)).argmin()])
    at = run.curves[run.curves.step == shown].set_index("variant")
    assert panel.frame.equals(run.curves[run.curves.step == shown])
    assert f"Step {shown}" in panel.picture.title
    assert panel.takeaway.startswith(f"Step {shown}: ")
    for l2, decay, sign in (("sgd_l2", "sgdw", "="), ("adam_l2", "adamw", "=" if shown == 0 else "≠")):
        pair = f"{title_of(l2)} {sign} {title_of(decay)}"
        assert f"{pair}: test loss {at.test_loss[l2]:.3g} and {at.test_loss[decay]:.3g}" in panel.takeaway
    frame = run.frame(shown)
    for l2, decay in (("sgd_l2", "sgdw"), ("adam_l2", "adamw")):
        apart = np.abs(run.film[frame, run.row(l2)] - run.film[frame, run.row(decay)]).max()
        assert f"max|Δw| {apart:.1g}" in panel.takeaway


def test_the_table_compares_no_pair_of_which_one_has_diverged():
    exp = CASES["diverged"]
    run = trained(exp)
    gone = {key: step for key, step in run.diverged.items() if step is not None}
    assert set(gone) == {"sgd_l2", "sgdw", "adamw"}
    last, first = said_of("boundaries.table", exp), said_of("boundaries.table", exp, at="2")
    assert not re.search("[=≠]", last)
    assert_gone(last, run)
    assert "SGD + L2 = SGDW" in first
    assert "diverged" not in first
    for key in set(exp.variants) - set(gone):
        assert f"{run.series('test_loss')[key][-1]:.3g} ({title_of(key)})" in last
    assert said_of("boundaries.table", CASES["all diverged"]).startswith("Step 60: SGD + L2 diverged at step")


def test_rounding_that_has_grown_is_no_difference_in_principle():
    exp = Experiment(layer_norm=True)
    run = trained(exp)
    apart = np.abs(run.film[-1, run.row("sgd_l2")] - run.film[-1, run.row("sgdw")]).max()
    assert apart > 1e-3
    said = said_of("boundaries.table", exp)
    assert "SGD + L2 and SGDW are the same on paper, yet rounding has grown: test loss" in said
    assert f"max|Δw| {apart:.1g}" in said
    assert "Adam + L2 ≠ AdamW" in said
    free = said_of("boundaries.table", replace(exp, weight_decay=0.0, steps=30))
    assert "≠" not in free


def test_a_table_over_something_else_than_steps_says_its_place():
    axis = axis_of(anywhere(QUICK))
    place = int(np.flatnonzero(axis.weight_decays == 10.0)[0])
    at = at_lambda(axis.run.experiment, 10.0)
    run = replace(axis.run, experiment=at, diverged=axis.diverged[place])
    gone = {key for key, step in run.diverged.items() if step is not None}
    assert {"sgd_l2", "sgdw"} <= gone
    panel = table_at(run, place, "light", "λ = 10")
    assert panel.picture.title == "Does it matter where λ enters? λ = 10"
    assert "λ = 10" in panel.picture.alt
    assert panel.takeaway.startswith("λ = 10: ")
    assert "Step" not in panel.takeaway + panel.picture.title
    assert not re.search("SGD [+] L2 [=≠] SGDW", panel.takeaway)
    assert_gone(panel.takeaway, run)
    calm = replace(run, experiment=at_lambda(at, 0.05), diverged=dict.fromkeys(run.diverged))
    assert "diverged" not in table_at(calm, 3, "light", "λ = 0.05").takeaway


def ends_over_lambda(exp, key):
    """λ of the axis, the variant's own λ, test loss and ‖w‖ of separate trainings that stayed finite."""
    rows = []
    for value in lambdas():
        at = at_lambda(exp, value)
        run = trained(at)
        if run.diverged[key] is None:
            own = at.weight_decay_of(VARIANTS[key])
            rows.append((value, own, run.series("test_loss")[key][-1], run.series("weight_norm")[key][-1]))
    return rows


def test_over_lambda_every_variant_is_quoted_at_its_own():
    exp = replace(QUICK, variants=("sgd_l2", "adam", "adamw"))
    right, sizes = (said_of(f"boundaries.{name}", exp) for name in ("over_lambda", "norms_over_lambda"))
    for key in ("sgd_l2", "adamw"):
        rows = ends_over_lambda(exp, key)
        place, own, loss, _ = min(rows, key=lambda row: row[2])
        assert own == pytest.approx(place * (70 if key == "adamw" else 1))
        assert f"{title_of(key)} {loss:.3g} at λ = {own:.3g} ({rows[0][2]:.3g} at λ = 0)" in right
        ends = " to ".join(f"{norm:.3g} (λ = {own:.3g})" for _, own, _, norm in (rows[0], rows[-1]))
        assert f"{title_of(key)} {ends}" in sizes
    assert "Adam " not in right + sizes


def test_over_lambda_variants_that_do_not_move_are_not_quoted():
    apart = replace(QUICK, variants=("sgd_l2", "adam_l2", "adamw"), weight_decay_adaptive=0.1)
    for name in ("over_lambda", "norms_over_lambda"):
        assert "Adam" not in said_of(f"boundaries.{name}", apart)
        assert "SGD + L2" in said_of(f"boundaries.{name}", apart)
        assert said_of(f"boundaries.{name}", replace(apart, variants=("adamw",))).startswith("No variant on screen")


def test_the_frame_over_lambda_has_each_variants_own():
    exp = replace(QUICK, variants=("sgd", "sgdw", "adamw", "adamw_paper"))
    frame = FIGURES["boundaries.over_lambda"].draw(Shot("boundaries.over_lambda", exp), "light").frame
    for key in exp.variants:
        own = frame[frame.variant == key]
        expected = [at_lambda(exp, value).weight_decay_of(VARIANTS[key]) for value in own.weight_decay]
        assert own.own_weight_decay.tolist() == expected


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
