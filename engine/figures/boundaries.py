"""Page 1's figures: the signature table, losses and norms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from engine.axis import Axis, affordable, anywhere, train_axis
from engine.charts.axis import u_curves
from engine.charts.boundary import signature
from engine.charts.curves import loss_curves, norm_curves
from engine.charts.picture import Picture, short
from engine.experiment import Experiment
from engine.figures.figure import Panel, Shot, figure, trained
from engine.measure import EQUAL, pair_difference, pairs
from engine.run import Run

MOST = 6
"""Variants that one sentence names."""


def any_step(experiment: Experiment) -> list[str]:
    """The last step, and all before it."""
    return [str(step) for step in range(experiment.steps, -1, -1)]


@figure(
    "boundaries.table",
    "Table",
    "Does it matter where λ enters?",
    "Each picture is P(y = 1) of one model, blue to red, with its 0.5 contour and the training points; all models "
    "start from the same weights. Rows are optimizers. In the middle column λw is added to the gradient (L2), in the "
    "right one each weight is multiplied by 1 − ηλ (decay). The sign between them says whether any weight differs by "
    "more than rounding.",
    at=any_step,
)
def table(shot: Shot, theme: str) -> Panel:
    run = trained(shot.experiment)
    return table_at(run, nearest(run, int(shot.option("at"))), theme)


def table_at(run: Run, step: int, theme: str) -> Panel:
    """The table of a run at a recorded step."""
    return Panel(signature(run, theme, step), table_words(run, step), run.curves[run.curves.step == step])


def nearest(run: Run, step: int) -> int:
    """The recorded step that is nearest to any step."""
    return int(run.steps[np.abs(run.steps - step).argmin()])


def table_words(run: Run, step: int) -> str:
    """How far L2 and decay of each optimizer are apart, and what that does to the test loss."""
    frame = run.frame(step)
    loss = {key: short(values[frame]) for key, values in run.series("test_loss").items()}
    found = []
    for l2, decay in pairs(run):
        apart = float(pair_difference(run, l2, decay, slice(frame, frame + 1))[0])
        sign = "=" if apart <= EQUAL else "≠"
        words = f"{l2.title} {sign} {decay.title}: test loss {loss[l2.key]} and {loss[decay.key]}, max|Δw| {apart:.1g}"
        found.append((apart, words))
    if found:
        shown = found if len(found) < 3 else [min(found), max(found)]
        return "; ".join(words for _, words in shown)
    return f"Test loss at step {step:,}: " + ", ".join(f"{v.title} {loss[v.key]}" for v in run.experiment.chosen)


@figure(
    "boundaries.losses",
    "Losses",
    "What does λ do to the test loss?",
    "Mean cross-entropy of the data over training, without any penalty: thick on 1,000 test points, thin on the "
    "training points. A gap that opens between thick and thin of one colour is overfitting.",
)
def losses(shot: Shot, theme: str) -> Panel:
    run = trained(shot.experiment)
    return Panel(loss_picture(run), losses_words(run), run.curves)


def loss_picture(run: Run) -> Picture:
    return loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged)


def losses_words(run: Run) -> str:
    """The best variant at the end, and what the others' training loss hides."""
    ends = ends_of(run, "test_loss")
    if not ends:
        return "Every variant diverged."
    best, worst = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    train = ends_of(run, "train_loss")
    if best == worst:
        return f"{title(run, best)} ends at test loss {short(ends[best])} and training loss {short(train[best])}."
    return (
        f"{title(run, best)} ends at the lowest test loss, {short(ends[best])} (training {short(train[best])}); "
        f"{title(run, worst)} at the highest, {short(ends[worst])} (training {short(train[worst])})."
    )


@figure(
    "boundaries.norms",
    "Norms",
    "How large do the weights become?",
    "‖w‖ is the norm of all weight matrices together, over training; all variants start from the same weights.",
)
def norms(shot: Shot, theme: str) -> Panel:
    run = trained(shot.experiment)
    return Panel(norm_picture(run), norms_words(run), run.curves)


def norm_picture(run: Run) -> Picture:
    return norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)


def norms_words(run: Run) -> str:
    """Where the norms start and end, from the largest to the smallest."""
    ends = ends_of(run, "weight_norm")
    if not ends:
        return "Every variant diverged."
    order = sorted(ends, key=ends.__getitem__, reverse=True)
    start = short(run.metrics["weight_norm"][0, 0])
    shown = order if len(order) <= MOST else [order[0], order[-1]]
    words = [f"{short(ends[key])} ({title(run, key)})" for key in shown]
    return f"From ‖w‖ = {start} at the start to {', '.join(words) if shown == order else ' … '.join(words)}"


@figure(
    "boundaries.over_lambda",
    "Losses over λ",
    "How much decay is right?",
    "The data loss at the end of training for every λ of the slider: thick on test points, thin on training points. "
    "Too small a λ fits the noise, too large a one cannot fit at all; the right one lies between, and not at the same "
    "place for every optimizer. A gap is where a variant diverged.",
)
def over_lambda(shot: Shot, theme: str) -> Panel:
    axis = axis_of(anywhere(shot.experiment))
    return Panel(u_curves(axis)[0], right_words(axis), axis_frame(axis))


@figure(
    "boundaries.norms_over_lambda",
    "Norms over λ",
    "The larger λ, the smaller the weights?",
    "‖w‖ of all weight matrices at the end of training for every λ of the slider. A gap is where a variant diverged.",
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
    diverged."""
    frame = axis.run.curves.rename(columns={"step": "weight_decay"})
    places = frame.weight_decay.to_numpy()
    gone = np.array([axis.diverged[i][key] is not None for i, key in zip(places, frame.variant, strict=True)])
    frame["weight_decay"] = axis.weight_decays[places]
    frame.loc[gone, frame.columns[2:]] = np.nan
    return frame


def sizes_words(axis: Axis) -> str:
    """‖w‖ of the variants with a λ at the smallest and at the largest λ at which any is still finite."""
    frame = axis_frame(axis).dropna()
    frame = frame[
        frame.variant.isin([variant.key for variant in axis.run.experiment.chosen if variant.has_weight_decay])
    ]
    if frame.empty:
        return "No variant on screen has a λ, so nothing changes over it."
    words = []
    for value in (frame.weight_decay.min(), frame.weight_decay.max()):
        norms = frame.weight_norm[frame.weight_decay == value]
        low, high = short(norms.min()), short(norms.max())
        words.append(f"{low if low == high else f'{low} to {high}'} at λ = {value:g}")
    return f"Of the variants with a λ, ‖w‖ is {' and '.join(words)}."


def right_words(axis: Axis) -> str:
    """The λ of the lowest test loss of each variant, the two that gain most."""
    frame = axis_frame(axis).dropna()
    found = []
    for variant in axis.run.experiment.chosen:
        own = frame[frame.variant == variant.key]
        if variant.has_weight_decay and len(own):
            best, none = own.loc[own.test_loss.idxmin()], own.iloc[0]
            found.append((none.test_loss - best.test_loss, variant.title, best, none))
    if not found:
        return "No variant on screen has a λ, so nothing changes over it."
    first = sorted(found, key=lambda entry: -entry[0])[:2]
    words = ", ".join(f"{name} {short(best.test_loss)} at λ = {best.weight_decay:g}" for _, name, best, _ in first)
    without = " and ".join(dict.fromkeys(short(none.test_loss) for *_, none in first))
    return f"Lowest test loss over the axis: {words}; at λ = {first[0][3].weight_decay:g} it is {without}."


def ends_of(run: Run, metric: str) -> dict[str, float]:
    """A metric at the end of training, of the variants that did not diverge."""
    return {key: float(values[-1]) for key, values in run.series(metric).items() if run.diverged[key] is None}


def title(run: Run, key: str) -> str:
    """A variant's name on screen."""
    return run.experiment.chosen[run.row(key)].title
