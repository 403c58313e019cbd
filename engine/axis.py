"""The whole λ axis at the end of training: one batch, with λ where a film has its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from engine.experiment import KNOBS, Experiment
from engine.knobs import Number
from engine.run import Run
from engine.train import train_many

BUDGET = 1e11
"""Largest cost of a whole axis that a visitor may ask for: two or three seconds on two cores."""

THREADS = 2
"""Blocks of models that are trained at a time."""


@dataclass(frozen=True)
class Axis:
    """What training ends with at every λ that the slider offers.

    Attributes:
        weight_decays: λ of the SGD family, (L,), rising from 0.
        run: a run whose film (L, R, P) goes over λ instead of over steps; ``run.steps`` counts them, 0 … L − 1.
        diverged: for each λ, variant to the step at which a weight left the finite, or None.
    """

    weight_decays: NDArray
    run: Run
    diverged: list[dict[str, int | None]]


def lambdas() -> tuple[float, ...]:
    """Every λ of the slider, rising from 0."""
    knob = KNOBS["weight_decay"]
    assert isinstance(knob, Number)
    return knob.grid


def at_lambda(experiment: Experiment, weight_decay: float) -> Experiment:
    """The experiment at another λ; where both families have one λ, both change."""
    same = experiment.weight_decay_adaptive == experiment.weight_decay
    adaptive = weight_decay if same else experiment.weight_decay_adaptive
    return replace(experiment, weight_decay=weight_decay, weight_decay_adaptive=adaptive)


def anywhere(experiment: Experiment) -> Experiment:
    """The same for all experiments that share an axis."""
    return at_lambda(experiment, lambdas()[-1])


def affordable(experiment: Experiment) -> bool:
    """Whether the whole axis of an experiment is within BUDGET."""
    return len(lambdas()) * anywhere(experiment).cost <= BUDGET


def train_axis(
    experiment: Experiment,
    on_step: Callable[[int], None] | None = None,
    pause: Callable[[], bool] = lambda: False,
) -> Axis:
    """Train an experiment at every λ of the slider, in float64; models without λ are trained once.

    Args:
        experiment: its own λ does not matter, unless the Adam family has a λ of its own.
        on_step: called with the number of steps done; what it raises stops the training within 25 steps.
        pause: asked now and then; the training stands still while it says True.
    """
    decaying = tuple(variant.key for variant in experiment.chosen if variant.has_weight_decay)
    steady = tuple(key for key in experiment.variants if key not in decaying)
    values = lambdas()
    batch = [replace(at_lambda(experiment, value), variants=decaying) for value in values] if decaying else []
    batch += [replace(experiment, variants=steady)] if steady else []
    runs = train_many(batch, dtype=torch.float64, on_step=on_step, pause=pause, frames=2, threads=THREADS)
    film = np.empty((len(values), len(experiment.variants), experiment.parameters))
    diverged: list[dict[str, int | None]] = [{} for _ in values]
    for column, key in enumerate(experiment.variants):
        for place in range(len(values)):
            run = runs[place] if key in decaying else runs[-1]
            film[place, column] = run.film[-1, run.row(key)]
            diverged[place][key] = run.diverged[key]
    none: dict[str, int | None] = dict.fromkeys(experiment.variants)
    return Axis(np.array(values), Run(anywhere(experiment), runs[0].data, np.arange(len(values)), film, none), diverged)
