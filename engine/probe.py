"""A training taken step by step again: what every step did, and how much of it was λ's doing.

Training is deterministic, so a replay in float64 passes through the weights of the run on screen; Adam's kernel rounds
differently from the formula that a replay takes (1e-16 a step).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.experiment import Experiment
from engine.run import quiet_cpu
from engine.trainer import CHECK_EVERY, TOLD_AT_LEAST, Trainer, rows_of

REPLAY_BUDGET = 8e9
"""``Experiment.cost`` up to which a page takes a training again: a replay costs at least twice the training, about four
seconds here."""

TOO_LONG = "the training is too long to be taken again, step by step; choose fewer steps, points or weights."
"""Why a figure that needs a replay is left out."""


def affordable(experiment: Experiment, times: int = 1) -> bool:
    """Whether a page may take a training again, step by step, so many times."""
    return times * experiment.cost <= REPLAY_BUDGET


@dataclass(frozen=True)
class Step:
    """One step of all variants: arrays (R, P) in the order of ``experiment.variants``, valid until the next step.

    Attributes:
        t: number of the step, 1 for the first.
        before: weights before it.
        gradient: gradient g of the data loss at ``before``, on the points of this step.
        after: weights after it.
        without: weights after the same step of the same optimizer with λ = 0, in this step and in the momentum that
            it remembers; the scale √v of an adaptive step is that of the run.
    """

    t: int
    before: NDArray
    gradient: NDArray
    after: NDArray
    without: NDArray

    @property
    def decay(self) -> NDArray:
        """The part of the step that is λ's doing, after − without, (R, P)."""
        return self.after - self.without


def replay(
    experiment: Experiment,
    see: Callable[[Step], None],
    last: int | None = None,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Train again in float64 on the CPU and show every step.

    Beside every model runs a shadow that starts each step from the model's weights and gets the model's gradient, with
    λ = 0. What the two do differently is what λ does.

    Args:
        experiment: what to train.
        see: called with every step.
        last: number of steps; all by default.
        on_step: called every 25 steps, sooner where they are slow, with the number of steps done; what it raises ends
            the replay.
    """
    with quiet_cpu(), torch.inference_mode():
        trainer, told = _Shadowed(experiment), time.monotonic()
        for t in range(1, (experiment.steps if last is None else last) + 1):
            see(trainer.shadowed(t))
            if on_step and (t % CHECK_EVERY == 0 or time.monotonic() - told > TOLD_AT_LEAST):
                on_step(t)
                told = time.monotonic()


class _Shadowed(Trainer):
    """A training in which every model's row is followed by its shadow's."""

    def __init__(self, experiment: Experiment) -> None:
        without = replace(experiment, weight_decay=0.0, weight_decay_adaptive=0.0)
        super().__init__(rows_of([experiment, without]), torch.float64, torch.device("cpu"), _share)

    def shadowed(self, t: int) -> Step:
        """Take step t."""
        w, u = self.whole.w, self.whole.u
        w[1::2] = w[0::2]
        self.prepare(t)
        u[1::2] = u[0::2]
        before, gradient = self.flat(w[0::2]), self.flat(u[0::2])
        self.update(t)
        return Step(t, before.numpy(), gradient.numpy(), self.flat(w[0::2]).numpy(), self.flat(w[1::2]).numpy())


def _share(v: Tensor) -> None:
    """A shadow's step is divided by the model's √v."""
    v[1::2] = v[0::2]
