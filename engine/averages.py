"""Decay on the weight, seen along a run: its factor at every step, and weights as an average of their updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.experiment import Experiment
from engine.probe import Step, affordable, replay
from engine.run import Run
from engine.theory import moving_average
from engine.variants import VARIANTS, Variant

SAMPLE = 64
"""Weights whose updates are kept, evenly spaced."""


@dataclass(frozen=True)
class Average:
    """One variant with λ on the weight, from a replay.

    Attributes:
        variant: its registry entry.
        factor: geometric mean over the steps of 1 + Σ dw/Σ w², d the part of the step that is λ's doing.
        predicted: geometric mean of |1 − η_tλ|.
        averaged: the last weights of a sample as the average of their updates, (S,), or None where η changes.
        final: the same weights as the run has them, (S,).
    """

    variant: Variant
    factor: float
    predicted: float
    averaged: NDArray | None
    final: NDArray


def plain(variant: Variant) -> bool:
    """Whether a variant is (1 − η_tλ)w and a step, the same for every weight."""
    return variant.where == "weight" and not (
        variant.uses("shrink_weights", cautious=True) or variant.uses("shrink_weights", corrected=True)
    )


def averages(run: Run, on_step: Callable[[int], None] | None = None) -> list[Average]:
    """Every plain variant with λ > 0 that did not diverge; empty where there is none, or where the training is too long
    to be taken again. The last few are remembered.

    Args:
        run: the training; it is taken again step by step, at about twice its cost.
        on_step: as for ``replay``.
    """
    exp = run.experiment
    chosen = [v for v in exp.chosen if plain(v) and exp.weight_decay_of(v) > 0 and run.diverged[v.key] is None]
    if not chosen or not affordable(exp):
        return []
    found = _KNOWN.get(exp)
    if found is None:
        trace = _Trace(run, chosen)
        replay(exp, trace.see, on_step=on_step)
        found = _KNOWN[exp] = [trace.average(i) for i in range(len(chosen))]
        for old in list(_KNOWN)[:-REMEMBERED]:
            _KNOWN.pop(old, None)
    return found


REMEMBERED = 4
_KNOWN: dict[Experiment, list[Average]] = {}


class _Trace:
    """Sums of the logarithms of the factors (R,), and the updates of a sample of weights (T, R, S)."""

    def __init__(self, run: Run, chosen: list[Variant]) -> None:
        self.run, self.chosen = run, chosen
        self.rows = [run.row(variant.key) for variant in chosen]
        total = run.architecture.weights
        self.columns = np.unique(np.linspace(0, total - 1, min(SAMPLE, total)).round().astype(int))
        self.logs = np.zeros(len(chosen))
        self.steady = run.experiment.schedule == "constant"
        steps = run.experiment.steps if self.steady else 0
        self.updates = np.zeros((steps, len(chosen), len(self.columns)))
        self.lr = np.array([[run.experiment.lr_of(variant)] for variant in chosen])

    def see(self, step: Step) -> None:
        weights = slice(self.run.architecture.weights)
        with np.errstate(all="ignore"):  # diverged rows are part of the replay, and 0 · w has the logarithm −∞
            w, d = step.before[self.rows, weights], step.decay[self.rows, weights]
            self.logs += np.log(np.abs(1 + (d * w).sum(1) / (w * w).sum(1)))
            if self.steady:
                before, without = (a[self.rows][:, self.columns] for a in (step.before, step.without))
                self.updates[step.t - 1] = (before - without) / self.lr

    def average(self, i: int) -> Average:
        exp, variant = self.run.experiment, self.chosen[i]
        start, final = (self.run.film[t, self.rows[i], self.columns].astype(np.float64) for t in (0, -1))
        lr = exp.lr_of(variant)
        strength = exp.shrink_of(variant) / lr
        averaged = moving_average(start, self.updates[:, i], lr, strength) if self.steady else None
        with np.errstate(divide="ignore"):
            predicted = np.exp(np.log(np.abs(1 - exp.shrinks_of(variant))).mean())
        return Average(variant, float(np.exp(self.logs[i] / exp.steps)), float(predicted), averaged, final)


# ---- the box ---------------------------------------------------------------------------------------------------


def side_name(variant: Variant) -> str:
    """The formula of the box's half side: 1/λ, or η/λ where λ is not multiplied by η."""
    return "1/λ" if variant.shrinks_by_lr else "η/λ"


def has_box(variant: Variant) -> bool:
    """Whether every step u of a variant is about 1 in size at most, so that decay on the weight holds it in a box."""
    return plain(variant) and (variant.uses("scale_by_adam") or variant.uses("scale_by_lion"))


def boxed(experiment: Experiment) -> Experiment:
    """The experiment with the variants that the box is about, AdamW and Lion by the registry, whatever it names."""
    keys = {key for key, variant in VARIANTS.items() if has_box(variant) and variant.shrinks_by_lr}
    return replace(experiment, variants=tuple(key for key in VARIANTS if key in keys | set(experiment.variants)))


def box(experiment: Experiment, variant: Variant) -> float:
    """Half the side of the box |w_i| ≤ η/(ηλ) = 1/λ in which the steps and the pull of decay balance; inf for λ = 0.

    In the paper's form, whose λ is not multiplied by η, it is η/λ.

    Reference:
        Xie & Li 2024, arXiv 2404.04454 (AdamW); Chen et al. 2023, arXiv 2310.05898 (Lion).
    """
    shrink = experiment.shrink_of(variant)
    return experiment.lr_of(variant) / shrink if shrink > 0 else float("inf")


def bound(run: Run, variant: Variant, start: float) -> float:
    """What no weight of a variant with steps of at most η can exceed at the end, from a largest weight at the start:
    1/λ + (start − 1/λ)₊ Π(1 − η_tλ)."""
    side = box(run.experiment, variant)
    return side + max(start - side, 0.0) * float(np.prod(1 - run.experiment.shrinks_of(variant)))


def largest(run: Run) -> dict[str, NDArray]:
    """max|w_i| over the weight matrices at the recorded steps, variants with a box: variant to (T,)."""
    weights = np.abs(run.film[:, :, : run.architecture.weights]).max(axis=2)
    return {v.key: weights[:, run.row(v.key)] for v in run.experiment.chosen if has_box(v)}
