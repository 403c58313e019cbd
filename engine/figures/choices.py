"""What page 6 trains for each choice of what decays, and its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations

from numpy.typing import NDArray

from engine.charts.groups import SHORT, Curve, choice_curves
from engine.charts.picture import Picture
from engine.charts.table import Cell, Line, Table, notes
from engine.experiment import DECAYED, Experiment
from engine.groups import Kind, named_tensors, norms_of, root_mean_square
from engine.run import Run
from engine.variants import VARIANTS, Variant

Made = dict[str, Run]
"""The run of each choice of what decays, by its key of DECAYED."""

Values = Callable[[Run, Variant], NDArray]

USUAL = "adamw"
"""The variant that is shown where it is on screen, and where none on screen has a λ."""

SIZES: dict[Kind, str] = {
    "weight": "Weights: ‖W‖",
    "bias": "Biases: ‖b‖",
    "gain": "LayerNorm gains: √mean γ²",
    "shift": "LayerNorm shifts: ‖β‖",
}
"""Titles of the charts of each kind of parameter, in the order on screen."""


# ---- what is trained --------------------------------------------------------------------------------------------


def with_norm(experiment: Experiment, wanted: bool) -> Experiment:
    """The experiment with LayerNorm where that is wanted and can be: “+ LayerNorm” needs one."""
    return replace(experiment, layer_norm=True) if wanted and experiment.hidden else experiment


def choices(experiment: Experiment) -> list[str]:
    """The keys of DECAYED that differ for an experiment's model."""
    return [key for key in DECAYED if key != "all" or (experiment.layer_norm and experiment.hidden)]


def plan(experiment: Experiment, variants: list[Variant]) -> list[Experiment]:
    """One experiment for each choice, of one batch."""
    keys = tuple(variant.key for variant in variants)
    return [replace(experiment, decayed=choice, variants=keys) for choice in choices(experiment)]


def decaying(experiment: Experiment) -> list[str]:
    """The experiment's variants that have a λ."""
    return [variant.key for variant in experiment.chosen if variant.has_weight_decay]


def first_of(keys: list[str]) -> str:
    """The first variant with λ on the weight, or the first of all."""
    return next((key for key in keys if VARIANTS[key].where == "weight"), keys[0])


def pairs_of(experiment: Experiment) -> list[str]:
    """One or two of the experiment's variants that have a λ, joined by commas; what a page shows at first comes first.

    Where none has a λ it is AdamW.
    """
    keys = decaying(experiment) or [USUAL]
    every = keys + [",".join(pair) for pair in combinations(keys, 2)]
    return sorted(every, key=(USUAL if USUAL in keys else first_of(keys)).__ne__)


# ---- pictures ---------------------------------------------------------------------------------------------------


def table_of(made: Made, variants: list[Variant]) -> Table:
    """One row a variant, one column a choice."""
    rows = []
    for variant in variants:
        cells = tuple(Cell(run, variant, f"{variant.title}, {DECAYED[key]},") for key, run in made.items())
        rows.append(Line(variant.title, notes(next(iter(made.values())), [variant]), cells))
    return Table(tuple((DECAYED[key], "ink") for key in made), tuple(rows), paired=False)


def pictures(made: Made, variants: list[Variant]) -> list[Picture]:
    """Test loss, and the size of each kind of parameter that the model has, over training."""
    return [loss_picture(made, variants), *(size_picture(made, variants, kind) for kind in kinds_of(made))]


def kinds_of(made: Made) -> list[Kind]:
    """The kinds of parameter that the model has."""
    there = {tensor.kind for tensor in named_tensors(next(iter(made.values())).architecture)}
    return [kind for kind in SIZES if kind in there]


def loss_picture(made: Made, variants: list[Variant]) -> Picture:
    """Test loss of each choice."""
    return _picture(made, variants, test_loss, "Test loss", 270)


def size_picture(made: Made, variants: list[Variant], kind: Kind) -> Picture:
    """The size of one kind of parameter under each choice."""
    return _picture(made, variants, partial(size_of, kind=kind), SIZES[kind], 230)


def _picture(made: Made, variants: list[Variant], values: Values, title: str, height: int) -> Picture:
    curves = [
        Curve(f"{variant.title} {SHORT[key]}" if len(variants) > 1 else SHORT[key], variant.where, key,
              values(run, variant), run.diverged[variant.key] is not None)
        for variant in variants for key, run in made.items()
    ]  # fmt: skip
    return choice_curves(next(iter(made.values())).steps, curves, title, height)


def test_loss(run: Run, variant: Variant) -> NDArray:
    return run.series("test_loss")[variant.key]


def size_of(run: Run, variant: Variant, kind: Kind) -> NDArray:
    """The norm of one kind of parameter; of gains, which start at 1, the root mean square."""
    return (root_mean_square if kind == "gain" else norms_of)(run, variant, kind)
