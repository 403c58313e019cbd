"""Page 1's figures: the signature table, losses and norms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from engine.axis import Axis, affordable, anywhere, at_lambda, train_axis
from engine.charts.axis import u_curves
from engine.charts.boundary import signature
from engine.charts.curves import loss_curves, norm_curves
from engine.charts.picture import Picture
from engine.experiment import Experiment
from engine.figures.figure import Panel, Shot, figure, number, shared, trained
from engine.figures.sentences import ends_of, extremes, figures_of, gone, lost, names, same_on_paper, sentence, spread
from engine.measure import EQUAL, pair_difference, pairs
from engine.run import Run
from engine.variants import VARIANTS

MOST = 6
"""Variants that one sentence names."""

LISTED = 3
"""Variants of which it says both ends."""

OVER_LAMBDA = ("weight_decay",)


def unchanged(shot: Shot) -> Experiment:
    """The shot's own experiment: the axis is affordable or not drawn at all."""
    return shot.experiment


def any_step(experiment: Experiment) -> list[str]:
    """The last step, and all before it."""
    return [str(step) for step in range(experiment.steps, -1, -1)]


@figure(
    "boundaries.table",
    "Table",
    "Does it matter where λ enters?",
    "Each picture is P(y = 1) of one model, blue to red, with its 0.5 contour and the training points; all models "
    "start from the same weights. L2 adds λw to the gradient; decay multiplies the weight itself, in AdamW by 1 − ηλ. "
    "Between L2 and decay of one optimizer stands = where no parameter differs by more than 0.000001, else ≠, with the "
    "largest difference.",
    at=any_step,
)
def table(shot: Shot, theme: str) -> Panel:
    run = trained(shared(shot))
    return table_at(run, nearest(run, int(shot.option("at"))), theme)


def table_at(run: Run, step: int, theme: str, name: str = "") -> Panel:
    """The table of a run at a recorded step.

    Args:
        run: the training, or a run whose film goes over something else than steps.
        step: a recorded step, or what the run counts in place of steps.
        theme: "light" or "dark".
        name: what the place is called where it is no step; every variant that diverged has then diverged there.
    """
    return Panel(signature(run, theme, step, name), table_words(run, step, name), run.curves[run.curves.step == step])


def nearest(run: Run, step: int) -> int:
    """The recorded step that is nearest to any step."""
    return int(run.steps[np.abs(run.steps - step).argmin()])


def table_words(run: Run, step: int, name: str = "") -> str:
    """How far L2 and decay of each optimizer are apart, what that does to the test loss, and who has diverged."""
    by = None if name else step
    frame, left = run.frame(step), lost(run, by)
    loss = {key: float(values[frame]) for key, values in run.series("test_loss").items() if key not in left}
    found = []
    for l2, decay in pairs(run):
        if l2.key in loss and decay.key in loss:
            apart = float(pair_difference(run, l2, decay, slice(frame, frame + 1))[0])
            ends = f"test loss {figures_of(loss[l2.key])} and {figures_of(loss[decay.key])}, max|Δw| {apart:.1g}"
            sign = "=" if apart <= EQUAL else "≠"
            words = f"{l2.title} {sign} {decay.title}: {ends}"
            if apart > EQUAL and same_on_paper(run.experiment, l2, decay):
                words = f"{l2.title} and {decay.title} are the same on paper, yet rounding has grown: {ends}"
            found.append((apart, words))
    place = name or f"Step {step:,}"
    if found:
        shown = found if len(found) < 3 else [min(found), max(found)]
        return sentence(f"{place}: " + "; ".join(words for _, words in shown), gone(run, by))
    if loss:
        return sentence(f"{place}: test loss {spread(loss, MOST)}", gone(run, by))
    return sentence(f"{place}: {gone(run, by)}")


@figure(
    "boundaries.losses",
    "Losses",
    "What does λ do to the test loss?",
    "Mean cross-entropy of the data over training, without any penalty: thick on 1,000 test points, thin on the "
    "training points. Where the thick line rises above the thin one of its colour, the model overfits.",
)
def losses(shot: Shot, theme: str) -> Panel:
    run = trained(shared(shot))
    return Panel(loss_picture(run), losses_words(run), run.curves)


def loss_picture(run: Run) -> Picture:
    return loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged)


def losses_words(run: Run) -> str:
    """Who ends at the lowest test loss and who at the highest, what their training loss hides, and who diverged."""
    ends, train = (ends_of(run, run.series(metric)) for metric in ("test_loss", "train_loss"))
    if not ends:
        return sentence(gone(run))

    def end(keys: list[str], which: str) -> str:
        verb = "ends" if len(keys) == 1 else "end"
        losses = f"{figures_of(ends[keys[0]])} (training {figures_of(train[keys[0]])})"
        return f"{names(keys)} {verb} at {which} {losses}"

    best, worst = extremes(ends)
    if best == worst:
        return sentence(end(best, "test loss"), gone(run))
    return sentence(end(best, "the lowest test loss,"), end(worst, "the highest,"), gone(run))


@figure(
    "boundaries.norms",
    "Norms",
    "How large do the weights become?",
    "‖w‖ is the norm of all weight matrices together, over training; all variants start from the same weights.",
)
def norms(shot: Shot, theme: str) -> Panel:
    run = trained(shared(shot))
    return Panel(norm_picture(run), norms_words(run), run.curves)


def norm_picture(run: Run) -> Picture:
    return norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)


def norms_words(run: Run) -> str:
    """Where the norms start and end, from the largest to the smallest, and who diverged."""
    ends = ends_of(run, run.series("weight_norm"))
    if not ends:
        return sentence(gone(run))
    order = sorted(ends, key=ends.__getitem__, reverse=True)
    shown = order if len(order) <= MOST else [order[0], order[-1]]
    words = [f"{figures_of(ends[key])} ({VARIANTS[key].title})" for key in shown]
    start = figures_of(float(run.metrics["weight_norm"][0, 0]))
    whole = ", ".join(words) if shown == order else " … ".join(words)
    return sentence(f"From ‖w‖ = {start} at the start to {whole}", gone(run))


@figure(
    "boundaries.over_lambda",
    "Losses over λ",
    "How much decay is right?",
    "The data loss at the end of training for every λ of the slider: thick on test points, thin on training points. "
    "Where both rise to the right, λ is too large for the model to fit; where the thick line alone rises to the left, "
    "too small a λ fits the noise. The axis is λ of the SGD family; a gap is where a variant diverged.",
    seen=unchanged,
    axes=OVER_LAMBDA,
)
def over_lambda(shot: Shot, theme: str) -> Panel:
    axis = axis_of(anywhere(shot.experiment))
    return Panel(u_curves(axis)[0], right_words(axis), axis_frame(axis))


@figure(
    "boundaries.norms_over_lambda",
    "Norms over λ",
    "The larger λ, the smaller the weights?",
    "‖w‖ of all weight matrices at the end of training for every λ of the slider. The axis is λ of the SGD family; "
    "a gap is where a variant diverged.",
    seen=unchanged,
    axes=OVER_LAMBDA,
)
def norms_over_lambda(shot: Shot, theme: str) -> Panel:
    axis = axis_of(anywhere(shot.experiment))
    return Panel(u_curves(axis)[1], sizes_words(axis), axis_frame(axis))


@lru_cache(maxsize=2)
def axis_of(experiment: Experiment) -> Axis:
    """The whole λ axis of an experiment, the last two kept.

    Raises:
        ValueError: it is more than is trained at once.
    """
    if not affordable(experiment):
        raise ValueError("The whole λ axis is too much for this experiment: fewer steps, points or units allow it.")
    return train_axis(experiment)


def axis_frame(axis: Axis) -> pd.DataFrame:
    """Losses, accuracies and norms at the end of training, one row a λ of the SGD family and variant; nan where it
    diverged. The last column is the variant's own λ at that place."""
    frame = axis.run.curves.rename(columns={"step": "weight_decay"})
    places = frame.weight_decay.to_numpy()
    gone = np.array([axis.diverged[i][key] is not None for i, key in zip(places, frame.variant, strict=True)])
    frame["weight_decay"] = axis.weight_decays[places]
    frame.loc[gone, frame.columns[2:]] = np.nan
    own = own_lambdas(axis)
    frame["own_weight_decay"] = [own[key][i] for i, key in zip(places, frame.variant, strict=True)]
    return frame


def own_lambdas(axis: Axis) -> dict[str, list[float]]:
    """Each variant's own λ at every place of the axis."""
    there = [at_lambda(axis.run.experiment, value) for value in axis.weight_decays.tolist()]
    return {variant.key: [exp.weight_decay_of(variant) for exp in there] for variant in axis.run.experiment.chosen}


def moving(axis: Axis) -> dict[str, pd.DataFrame]:
    """The rows of each variant whose own λ changes along the axis, where it is finite."""
    frame = axis_frame(axis).dropna()
    rows = {key: frame[frame.variant == key] for key, own in own_lambdas(axis).items() if own[0] != own[-1]}
    return {key: own for key, own in rows.items() if len(own)}


STILL = "No variant on screen has a λ that the axis changes and stays finite, so there is nothing to read along it."


def sizes_words(axis: Axis) -> str:
    """‖w‖ of each variant at the smallest and at the largest λ of its own at which it is finite; of many, of those that
    end largest and smallest."""
    found = moving(axis)
    if not found:
        return STILL
    order = sorted(found, key=lambda key: -found[key].weight_norm.iloc[-1])
    shown = order if len(order) <= LISTED else [order[0], order[-1]]
    words = ", ".join(f"{VARIANTS[key].title} {_both_ends(found[key])}" for key in shown)
    return f"‖w‖ at the smallest and the largest λ that stay finite: {words}."


def _both_ends(own: pd.DataFrame) -> str:
    norms, lambdas = own.weight_norm.tolist(), own.own_weight_decay.tolist()
    return " to ".join(f"{figures_of(norms[i])} (λ = {number(lambdas[i])})" for i in (0, -1))


def right_words(axis: Axis) -> str:
    """The lowest test loss of each variant and its own λ there, of the two that gain most."""
    found = []
    for key, own in moving(axis).items():
        best, none = own.loc[own.test_loss.idxmin()], own.iloc[0]
        words = f"{figures_of(best.test_loss)} at λ = {number(best.own_weight_decay)}"
        if best.weight_decay != none.weight_decay:
            words += f" ({figures_of(none.test_loss)} at λ = {number(none.own_weight_decay)})"
        found.append((none.test_loss - best.test_loss, f"{VARIANTS[key].title} {words}"))
    if not found:
        return STILL
    first = sorted(found, key=lambda entry: -entry[0])[:2]
    return f"Lowest test loss over the axis: {', '.join(words for _, words in first)}."
