"""What the page of the two decays shows: learning-rate schedules and weight decay, each with and without the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.experiment import KNOBS, Experiment
from engine.knobs import Number
from engine.run import Run
from engine.schedules import SCHEDULES, multipliers
from engine.theory import free_decay
from engine.variants import VARIANTS

PLAIN, TORCH, PAPER = "adam", "adamw", "adamw_paper"
FACTORS = {0.5: "½ η", 1.0: "η", 2.0: "2 η"}
"""Multiples of η at which the two parametrizations of decay are compared."""
STAND_IN = "cosine"
"""The schedule that is compared with a constant η where the experiment's own is constant."""


@dataclass(frozen=True)
class Line:
    """One curve over steps.

    Attributes:
        name: direct label at its end.
        tone: colour, a name of the palette.
        values: at the recorded steps, (T,).
        dashed: drawn dashed.
        strong: drawn thick.
    """

    name: str
    tone: str
    values: NDArray
    dashed: bool = False
    strong: bool = True


def scheduled(experiment: Experiment) -> Experiment:
    """The experiment as this page takes it: Adam with and without decay on the weight, under a schedule that falls."""
    schedule = STAND_IN if experiment.schedule == "constant" else experiment.schedule
    return replace(experiment, schedule=schedule, variants=(PLAIN, TORCH))


def plan(experiment: Experiment) -> list[Experiment]:
    """Two experiments of one batch: that of ``scheduled``, and the same at a constant η."""
    return [experiment, replace(experiment, schedule="constant")]


def forms(experiment: Experiment) -> dict[str, float]:
    """λ of torch's AdamW, and of the paper's form with the same shrink a step at the experiment's η."""
    weight_decay = experiment.weight_decay_of(VARIANTS[TORCH])
    return {TORCH: weight_decay, PAPER: weight_decay * experiment.lr_adaptive}


def comparable(experiment: Experiment) -> bool:
    """Whether λ and the changed η are values that their knobs allow."""
    values = {"weight_decay_adaptive": max(forms(experiment).values())}
    for factor in (min(FACTORS), max(FACTORS)):
        values["lr_adaptive"] = factor * experiment.lr_adaptive
        for name, value in values.items():
            knob = KNOBS[name]
            assert isinstance(knob, Number)
            if not knob.low <= value <= knob.high:
                return False
    return True


def schedule_lines(experiment: Experiment, steps: NDArray) -> list[Line]:
    """s_t = η_t/η_max of every schedule at the step that follows each recorded one; the experiment's is strong."""
    at = np.minimum(steps, experiment.steps - 1)
    return [
        Line(entry.title, "ink" if key == experiment.schedule else "quiet", multipliers(key, experiment.steps)[at],
             strong=key == experiment.schedule)
        for key, entry in SCHEDULES.items()
    ]  # fmt: skip


def free_lines(experiment: Experiment, steps: NDArray) -> list[Line]:
    """The share of a weight that decay alone leaves under every schedule, Π(1 − s_tηλ); the experiment's is strong.

    The constant schedule's is also that of a decay that forgets to follow the schedule.
    """
    shrink = experiment.shrink_of(VARIANTS[TORCH])
    return [
        Line(entry.title, "weight" if key == experiment.schedule else "quiet",
             free_decay(1.0, shrink * multipliers(key, experiment.steps), steps), strong=key == experiment.schedule)
        for key, entry in SCHEDULES.items()
    ]  # fmt: skip


def crossed(runs: Sequence[Run], metric: str) -> list[Line]:
    """One metric of the four runs: with and without a schedule (dashed: constant η), with and without decay."""
    lines = []
    for run, dashed in ((runs[0], False), (runs[1], True)):
        schedule = SCHEDULES[run.experiment.schedule].title
        for variant in run.experiment.chosen:
            values = run.series(metric)[variant.key]
            lines.append(Line(f"{variant.title}, {schedule}", variant.where, values, dashed, not dashed))
    return lines


def parametrizations(experiment: Experiment, steps: NDArray) -> list[Line]:
    """Decay alone at ½η, η and 2η with λ as it is: torch's form follows η, the paper's form (dashed) does not."""
    s, form = experiment.schedule_of_steps(), forms(experiment)
    torch_form = [
        Line(f"torch, {name}", "weight", free_decay(1.0, factor * experiment.lr_adaptive * form[TORCH] * s, steps),
             strong=factor == 1)
        for factor, name in FACTORS.items()
    ]  # fmt: skip
    return [*torch_form, Line("paper, any η", "weight", free_decay(1.0, form[PAPER] * s, steps), True, False)]
