"""Page 6's figures: boundaries, losses and sizes of parameters for each choice of what decays."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from engine.charts.boundary import slide
from engine.experiment import Experiment, budgeted
from engine.figures.choices import (
    Made,
    kinds_of,
    loss_picture,
    pairs_of,
    plan,
    size_of,
    size_picture,
    table_of,
    test_loss,
    with_norm,
)
from engine.figures.figure import Panel, Shot, figure, trained_together
from engine.figures.sentences import compared, figures_of, percent
from engine.groups import KINDS, Kind
from engine.run import Run
from engine.variants import VARIANTS, Variant

TITLE = "What should decay?"
ON = {"weights": "with λ on weights only", "biases": "with λ on biases too", "all": "with λ on LayerNorm too"}
"""What decays, in a clause."""

SYMBOLS: dict[Kind, str] = {"weight": "‖W‖", "bias": "‖b‖", "gain": "√mean γ²", "shift": "‖β‖"}
COLUMNS: dict[Kind, str] = {"weight": "norm", "bias": "norm", "gain": "root_mean_square", "shift": "norm"}

Said = Callable[[Run, Variant], str]
"""A number of a run at the end of training, as it is printed."""


def switch(experiment: Experiment) -> list[str]:
    """Whether a model without LayerNorm is given one: "1" for yes."""
    return ["1", "0"]


def compared_of(shot: Shot) -> list[Experiment]:
    """One experiment for each choice, within a page's budget."""
    experiment = with_norm(shot.experiment, shot.option("norm") == "1")
    variants = [VARIANTS[key] for key in shot.option("of").split(",")]
    return budgeted(plan(experiment, variants))[0]


def first_choice(shot: Shot) -> Experiment:
    """The first of them, in which weights alone decay."""
    return compared_of(shot)[0]


def made_for(shot: Shot) -> tuple[Made, list[Variant]]:
    """The runs that a shot compares, and their variants."""
    experiments = compared_of(shot)
    runs = trained_together(*experiments)
    return {one.decayed: run for one, run in zip(experiments, runs, strict=True)}, experiments[0].chosen


# ---- words ------------------------------------------------------------------------------------------------------


def ends_words(made: Made, variants: list[Variant], what: str, said: Said) -> str:
    """A number at the end of training, choice by choice."""
    return compared(what, {variant.title: _ends(made, variant, said) for variant in variants})


def _ends(made: Made, variant: Variant, said: Said) -> dict[str, str | int]:
    ends = {ON[key]: run.diverged[variant.key] or said(run, variant) for key, run in made.items()}
    if next(iter(made.values())).experiment.weight_decay_of(variant) == 0 and len(set(ends.values())) == 1:
        return {"whatever decays, since λ = 0": next(iter(ends.values()))}
    return ends


def frame_of(made: Made, at_end: bool = False) -> pd.DataFrame:
    """The curves of every choice, or where they end."""
    frame = pd.concat([run.curves.assign(decayed=key) for key, run in made.items()], ignore_index=True)
    return frame[frame.step == frame.step.max()].reset_index(drop=True) if at_end else frame


# ---- figures ----------------------------------------------------------------------------------------------------


@figure(
    "what_to_decay.table",
    "Boundaries",
    "What should decay?",
    "Each picture is P(y = 1) of one model, blue to red, with its 0.5 contour and the training points; all models "
    "start from the same weights. In the columns λ acts on more and more: on the weight matrices, on biases as well, "
    "and where the model has LayerNorm on its gains and shifts too. Usually only weight matrices decay.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def table(shot: Shot, theme: str) -> Panel:
    made, variants = made_for(shot)

    def accuracy(run: Run, variant: Variant) -> str:
        return percent(float(run.series("test_accuracy")[variant.key][-1]))

    words = ends_words(made, variants, "Test accuracy", accuracy)
    return Panel(slide(table_of(made, variants), TITLE, theme), words, frame_of(made, at_end=True))


@figure(
    "what_to_decay.losses",
    "Test loss",
    "Should biases and LayerNorm decay too?",
    "Mean cross-entropy on 1,000 test points over training, without any penalty. Solid: λ acts on weight matrices "
    "only; long dashes: on biases too; short dashes: on LayerNorm's gains and shifts as well. The models of one "
    "variant start from the same weights and see the same batches.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def losses(shot: Shot, theme: str) -> Panel:
    made, variants = made_for(shot)
    words = ends_words(made, variants, "Test loss", lambda run, v: figures_of(float(test_loss(run, v)[-1])))
    columns = ["variant", "decayed", "step", "test_loss"]
    return Panel(loss_picture(made, variants), words, frame_of(made)[columns])


def sizes(shot: Shot, kind: Kind) -> Panel:
    """The figure of one kind of parameter.

    Raises:
        ValueError: the model has none.
    """
    made, variants = made_for(shot)
    if kind not in kinds_of(made):
        why = "" if shot.experiment.hidden else ", and without hidden layers it cannot have one"
        raise ValueError(f"There are no {KINDS[kind]} to show: the model has no LayerNorm{why}.")
    words = ends_words(made, variants, SYMBOLS[kind], lambda run, v: figures_of(float(size_of(run, v, kind)[-1])))
    parts = [
        pd.DataFrame({"variant": v.key, "decayed": key, "step": run.steps, COLUMNS[kind]: size_of(run, v, kind)})
        for v in variants
        for key, run in made.items()
    ]
    return Panel(size_picture(made, variants, kind), words, pd.concat(parts, ignore_index=True))


@figure(
    "what_to_decay.weights",
    "Weights",
    "Do weights change when other parameters decay?",
    "‖W‖ is the norm of all weight matrices over training. Solid: λ acts on weight matrices only; long dashes: on "
    "biases too; short dashes: on LayerNorm's gains and shifts as well. λ acts on the weights in all of them.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def weights(shot: Shot, theme: str) -> Panel:
    return sizes(shot, "weight")


@figure(
    "what_to_decay.biases",
    "Biases",
    "What does λ do to biases?",
    "‖b‖ is the norm of all biases of the linear layers over training; they start at the same values. Solid: λ acts "
    "on weight matrices only, so biases are free; long dashes: on biases too; short dashes: on LayerNorm's gains and "
    "shifts as well.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def biases(shot: Shot, theme: str) -> Panel:
    return sizes(shot, "bias")


@figure(
    "what_to_decay.gains",
    "LayerNorm gains",
    "What does λ do to LayerNorm's gains?",
    "The root mean square of LayerNorm's gains γ over training; they start at 1, and a gain multiplies the normalised "
    "value of its unit. Solid: λ acts on weight matrices only; long dashes: on biases too; short dashes: on gains and "
    "shifts as well.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def gains(shot: Shot, theme: str) -> Panel:
    return sizes(shot, "gain")


@figure(
    "what_to_decay.shifts",
    "LayerNorm shifts",
    "What does λ do to LayerNorm's shifts?",
    "‖β‖ is the norm of LayerNorm's shifts over training; they start at 0, and a shift is added to the normalised "
    "value of its unit. Solid: λ acts on weight matrices only; long dashes: on biases too; short dashes: on gains and "
    "shifts as well.",
    seen=first_choice,
    axes=("decayed",),
    of=pairs_of,
    norm=switch,
)
def shifts(shot: Shot, theme: str) -> Panel:
    return sizes(shot, "shift")
