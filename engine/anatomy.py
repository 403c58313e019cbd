"""One step of one variant taken apart: what the data did, what λ did, and the same step with well-known slips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from engine.experiment import Experiment
from engine.probe import Step, replay
from engine.run import Run, architecture_of, decayed_mask
from engine.trainer import Trainer, rows_of
from engine.transforms import Slot, Update, add_l2, shrink_weights
from engine.variants import Variant


@dataclass(frozen=True)
class Anatomy:
    """One step of one variant, every array (P,) and float64.

    Attributes:
        experiment: what was trained, with this variant alone.
        t: number of the step, 1 for the first.
        lr: η_t of the step.
        schedule: s_t = η_t/η_max.
        shrink: η_tλ of each parameter, the fraction that decay on the weight takes off; 0 where it is not decayed.
        weight_decay: λ of each parameter, 0 where it is not decayed.
        before, gradient, after, without: as ``engine.probe.Step`` has them; of max-norm, which has no λ, ``without``
            is the step before its projection.
        memory: what the optimizer remembered before the step, in the order in which its chain asked for it.
        start: initial parameters.
        loss: data loss on the points of the step, before it.
        slips: parameters after the same step with a slip, by the slip's name: "twice" (λ in the gradient and on the
            weight), "constant" (ηλ taken off instead of ηλw), "ignored" (λ = 0), and where λ is in the gradient
            "doubled" (2λ, which is what a penalty λΣw² without the ½ gives).
    """

    experiment: Experiment
    t: int
    lr: float
    schedule: float
    shrink: NDArray
    weight_decay: NDArray
    before: NDArray
    gradient: NDArray
    after: NDArray
    without: NDArray
    memory: tuple[NDArray, ...]
    start: NDArray
    loss: float
    slips: dict[str, NDArray]

    @property
    def variant(self) -> Variant:
        """The variant whose step it is."""
        return self.experiment.chosen[0]

    @property
    def push(self) -> NDArray:
        """What the data do: the step of the same optimizer without λ, (P,)."""
        return self.without - self.before

    @property
    def pull(self) -> NDArray:
        """What λ does: the rest of the step, (P,)."""
        return self.after - self.without


def steps_to_show(run: Run, variant: Variant) -> list[int]:
    """The steps of a variant that can be taken apart: the first and every recorded one before it diverged."""
    end = run.diverged[variant.key] or int(run.steps[-1]) + 1
    return sorted({1, *(int(t) for t in run.steps[1:] if t < end)})


def anatomy(run: Run, variant: Variant, t: int, on_step: Callable[[int], None] | None = None) -> Anatomy:
    """Take step t of one variant apart, by a replay up to it.

    Args:
        run: a training that has the variant.
        variant: of the run.
        t: number of the step, from 1.
        on_step: as for ``engine.probe.replay``.

    Raises:
        ValueError: t is no step of the run.
    """
    if not 1 <= t <= run.steps[-1]:
        raise ValueError(f"t must be a step of the run, from 1 to {run.steps[-1]}, not {t}.")
    experiment = replace(run.experiment, variants=(variant.key,))
    mirror = _Mirror(experiment, t)
    replay(experiment, mirror.see, t, on_step)
    assert mirror.seen
    return mirror.seen


Piece = Callable[[Slot], Update]
"""A transform bound to its options: given the rows, what it does at every step."""


class _Mirror(Trainer):
    """Repeats the updates of a replay, so that it has the optimizer's memory, and takes the last one in other ways."""

    def __init__(self, experiment: Experiment, last: int) -> None:
        super().__init__(rows_of([experiment]), torch.float64, torch.device("cpu"))
        self.experiment, self.variant, self.last = experiment, experiment.chosen[0], last
        self.chain = self.variant.chain_with(experiment.nesterov)
        self.seen: Anatomy | None = None

    def see(self, step: Step) -> None:
        """Repeat one step of the replay; take the last one apart."""
        slot = self.whole
        if not slot.steady:
            slot.schedule.copy_(self.multipliers[step.t - 1])
            torch.mul(self.lr_max, self.multipliers[step.t - 1], out=slot.lr)
        if step.t == self.last:
            self.seen = self._apart(step)
            return
        slot.w.copy_(self.pack(torch.from_numpy(step.before)))
        slot.u.copy_(self.pack(torch.from_numpy(step.gradient)))
        self.update(step.t)

    def _apart(self, step: Step) -> Anatomy:
        slot = self.whole
        return Anatomy(
            experiment=self.experiment,
            t=step.t,
            lr=float(slot.lr),
            schedule=float(slot.schedule),
            shrink=self._shrink(step.t),
            weight_decay=self.flat(slot.weight_decay[0]).numpy(),
            before=step.before[0].copy(),
            gradient=step.gradient[0].copy(),
            after=step.after[0].copy(),
            without=self._without(step),
            memory=tuple(self.flat(state[0]).numpy() for state in slot.memory[1:]),
            start=self.flat(slot.start).numpy(),
            loss=self._loss(step),
            slips={name: self._retaken(step, *way) for name, way in self._slips(step.t).items()},
        )

    def _without(self, step: Step) -> NDArray:
        """The replay's step without λ; a constraint has no λ, and there it is the step before its projection."""
        if self.variant.uses("project_units"):
            return self._retaken(step, [way.init for way in self.chain if way.name != "project_units"], 1.0)
        return step.without[0].copy()

    def _shrink(self, t: int) -> NDArray:
        """ηλ of every parameter at step t, 0 where it is not decayed, (P,)."""
        rates = [self.experiment.shrinks_of(self.variant, normed)[t - 1] for normed in (True, False)]
        architecture = architecture_of(self.experiment)
        return np.where(architecture.normalised(), *rates) * decayed_mask(self.experiment, architecture)

    def _loss(self, step: Step) -> float:
        """Mean binary cross-entropy before the step, on its points."""
        shown = slice(None) if self.batches is None else self.batches[step.t - 1]
        logits = architecture_of(self.experiment).logits(torch.from_numpy(step.before), self.x[:, shown].T)
        return float(binary_cross_entropy_with_logits(logits[0], self.y[shown]))

    def _slips(self, t: int) -> dict[str, tuple[list[Piece], float]]:
        """The step's chain with each slip, and the factor on λ: by the slip's name."""
        if self.variant.where not in ("gradient", "weight") or not self.whole.weight_decay.any():
            return {}
        inits: list[Piece] = [step.init for step in self.chain]
        names = [step.name for step in self.chain]
        ignored = {"ignored": (inits, 0.0)}
        if self.variant.where == "weight":
            at = names.index("shrink_weights")
            constant = [*inits[:at], self._subtract(self._shrink(t)), *inits[at + 1 :]]
            return {"twice": ([add_l2().init, *inits], 1.0), "constant": (constant, 1.0), **ignored}
        at = names.index("add_l2")
        constant = [*inits[:at], _add_lambda, *inits[at + 1 :]]
        twice = [*inits[:-1], shrink_weights().init, inits[-1]]
        return {"twice": (twice, 1.0), "constant": (constant, 1.0), **ignored, "doubled": (inits, 2.0)}

    def _subtract(self, shrink: NDArray) -> Piece:
        """The slip w ← w − ηλ instead of w ← w − ηλw."""
        cautious = self.variant.uses("shrink_weights", cautious=True)
        packed = self.pack(torch.from_numpy(shrink))

        def init(s: Slot) -> Update:
            def update(t: int) -> None:
                s.w.sub_(packed * ((s.u * s.w >= 0) if cautious else 1.0))

            return update

        return init

    def _retaken(self, step: Step, chain: Sequence[Piece], times: float) -> NDArray:
        """Parameters after the step by another chain, from the same weights, gradient and memory, (P,)."""
        w, u = self.pack(torch.from_numpy(step.before)), self.pack(torch.from_numpy(step.gradient))
        slot = replace(self.whole, w=w, u=u, weight_decay=self.whole.weight_decay * times, memory=[])
        updates = [init(slot) for init in chain]
        for state, old in zip(slot.memory, self.whole.memory[1:], strict=True):
            state.copy_(old)
        for update in updates:
            update(step.t)
        return self.flat(w[0]).numpy()


def _add_lambda(s: Slot) -> Update:
    """The slip g ← g + λ instead of g ← g + λw."""

    def update(t: int) -> None:
        s.u.add_(s.weight_decay)

    return update
