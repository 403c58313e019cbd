"""What the page of the two decays claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.claims.claim import Measurement, claim
from engine.experiment import Experiment
from engine.probe import TOO_LONG, Step, affordable, replay
from engine.run import Run, architecture_of, decayed_columns
from engine.schedules import SCHEDULES
from engine.theory import free_decay
from engine.two_decays import FACTORS, PAPER, TORCH, comparable, forms
from engine.variants import VARIANTS

_LOSHCHILOV = "Loshchilov & Hutter 2019"
_LINK = "https://arxiv.org/abs/1711.05101"


def left_by_decay(experiment: Experiment) -> dict[str, float]:
    """The share of a weight that λ's part of the steps leaves, measured by replay: Π_t |1 + ⟨d_t, w_t⟩/‖w_t‖²|.

    Returns:
        Variant to the product over all steps, d the part of a step that is λ's doing.
    """
    columns = decayed_columns(experiment, architecture_of(experiment))
    left = np.ones(len(experiment.variants))

    def see(step: Step) -> None:
        w, d = step.before[:, columns], step.decay[:, columns]
        left[:] *= np.abs(1 + (d * w).sum(axis=1) / (w * w).sum(axis=1))

    with np.errstate(all="ignore"):
        replay(experiment, see)
    return dict(zip(experiment.variants, left.tolist(), strict=True))


@claim(
    says="Decay follows the schedule: alone it would leave Π(1 − η_tλ) of every weight.",
    formula=r"\prod_t (1-\eta_t\lambda)",
    source=_LOSHCHILOV,
    link=_LINK,
    test="tests/test_science.py::test_free_decay",
    tolerance=1e-12,
)
def decay_follows_the_schedule(run: Run) -> list[Measurement] | str:
    exp = replace(run.experiment, variants=(TORCH,))
    if run.diverged[TORCH] is not None:
        return "AdamW diverged."
    if not affordable(exp):
        return TOO_LONG
    predicted = free_decay(1.0, exp.shrinks_of(VARIANTS[TORCH]), exp.steps)
    return [Measurement(f"AdamW, {SCHEDULES[exp.schedule].title}", float(predicted), left_by_decay(exp)[TORCH])]


@claim(
    says="In the paper's form the decay does not know η: at ½η, η and 2η it leaves the same.",
    formula=r"\prod_t (1-s_t\lambda)",
    source=_LOSHCHILOV,
    link=_LINK,
    test="tests/test_science.py::test_free_decay",
    tolerance=1e-12,
)
def the_papers_form_does_not_know_the_learning_rate(run: Run) -> list[Measurement] | str:
    exp = run.experiment
    if not comparable(exp):
        return "the λ that it needs is beyond the bounds of the knob."
    if run.diverged[TORCH] is not None:
        return "AdamW diverged."
    if not affordable(replace(exp, variants=(PAPER,)), len(FACTORS)):
        return TOO_LONG
    weight_decay = forms(exp)[PAPER]
    predicted = float(free_decay(1.0, weight_decay * exp.schedule_of_steps(), exp.steps))
    found = []
    for factor, name in FACTORS.items():
        faster = replace(
            exp, lr_adaptive=factor * exp.lr_adaptive, weight_decay_adaptive=weight_decay, variants=(PAPER,)
        )
        found.append(Measurement(name, predicted, left_by_decay(faster)[PAPER]))
    return found
