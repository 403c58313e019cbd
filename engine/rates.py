"""The rate at which decay really acts on every weight, measured from a replay, and what the rules predict for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.experiment import Experiment
from engine.probe import Step, affordable, replay
from engine.run import Run
from engine.variants import VARIANTS, Variant

MEMORY = {"scale_by_adam": (0.999, True), "scale_by_rms": (0.99, False), "scale_by_adagrad": (1.0, False)}
"""How v remembers squared gradients: the share it keeps a step, and whether its start from zero is corrected."""

EPSILON = 1e-8
"""ε beside √v, as torch has it."""

CROSSINGS = 3
"""Steps across zero in the window from which a weight that λ alone drives counts as swinging around zero."""

GONE = 1e-12
"""A weight whose root mean square is below this has nothing left to decay."""


REMEMBERED = 4
"""Runs whose rates are kept: a page, its claims and its downloads ask for the same ones."""


@dataclass(frozen=True)
class Rates:
    """The decay of one variant's weights over a window of steps; arrays over the W entries of the weight matrices.

    Attributes:
        variant: its registry entry.
        first, last: the window, step numbers, both included.
        rate: −Σ_t d_i w_i / Σ_t w_i², the share of a weight that λ takes off a step, (W,); d is λ's part of the step.
        gradient: the size of the gradient that the optimizer sees, g + λw under L2 and g elsewhere, (W,): its root mean
            square over the window or, where the optimizer divides by √v, the harmonic mean of √v over the window.
        level: what the rule takes off a step before any division by √v, the window's mean of η_tλ (of η_tλ/(1−μ)
            where the velocity remembers the pull), (W,).
        kept: which weights have both numbers above zero, so that a log-log picture can show them, (W,).
        left_out: why the others have not, and how many they are.
        swings: whether the velocity's memory of L2 makes a weight swing through zero instead of shrinking.
    """

    variant: Variant
    first: int
    last: int
    rate: NDArray
    gradient: NDArray
    level: NDArray
    kept: NDArray
    left_out: dict[str, int]
    swings: bool = False

    @property
    def divided(self) -> bool:
        """Whether the L2 term is divided by √v with the rest of the gradient."""
        return divided(self.variant)

    @property
    def expected(self) -> NDArray:
        """The predicted rate: level/√v where the L2 term is divided by √v, else the level itself, (W,)."""
        if not self.divided:
            return self.level
        with np.errstate(divide="ignore"):
            return self.level / self.gradient

    @property
    def expected_slope(self) -> float | None:
        """Of log rate over log gradient: −1 or 0; None where the rule leaves some steps of decay out, or where weights
        swing instead of shrinking."""
        if self.swings or self.variant.uses("shrink_weights", cautious=True):
            return None
        return -1.0 if self.divided else 0.0

    @property
    def slope(self) -> float:
        """The slope fitted to the kept weights by least squares; nan where their gradients hardly differ."""
        return log_slope(self.gradient[self.kept], self.rate[self.kept])

    @property
    def ratio(self) -> float:
        """The median of rate / expected over the kept weights; nan where there are none."""
        return float(np.median(self.rate[self.kept] / self.expected[self.kept])) if self.kept.any() else float("nan")


def divided(variant: Variant) -> bool:
    """Whether a variant's L2 term goes through a division by √v."""
    return variant.where == "gradient" and variant.adaptive


def swings(experiment: Experiment, variant: Variant) -> bool:
    """Whether momentum with L2 is beyond ηλ = (1 − √μ)², where a weight left to decay swings through zero.

    Reference:
        Goh 2017, Distill, doi 10.23915/distill.00006.
    """
    if not (variant.where == "gradient" and variant.has_momentum and experiment.momentum > 0):
        return False
    return experiment.shrink_of(variant) > (1 - experiment.momentum**0.5) ** 2


def families() -> dict[str, tuple[str, str]]:
    """Optimizers that the registry has both ways: family to the keys of the first (L2, decay)."""
    found: dict[str, dict[str, str]] = {}
    for variant in VARIANTS.values():
        found.setdefault(variant.family, {}).setdefault(variant.where, variant.key)
    return {f: (k["gradient"], k["weight"]) for f, k in found.items() if {"gradient", "weight"} <= set(k)}


def paired(experiment: Experiment) -> Experiment:
    """The experiment as the pairs see it: one λ for all where it matched shrinks, every family both ways.

    Variants of its own stay where λ acts on their gradient or weight; those without λ, or with another prior, have no
    rate of decay.
    """
    keys = {key for pair in families().values() for key in pair}
    keys |= {variant.key for variant in experiment.chosen if variant.where in ("gradient", "weight")}
    lam = experiment.weight_decay_adaptive
    return replace(
        experiment,
        variants=tuple(key for key in VARIANTS if key in keys),
        weight_decay_adaptive=experiment.weight_decay if lam is None else lam,
    )


def log_slope(x: NDArray, y: NDArray) -> float:
    """The least-squares slope of log y over log x; nan for fewer than three points or a spread of x below 1 %."""
    if len(x) < 3 or np.ptp(np.log(x)) < 0.01:
        return float("nan")
    a, b = np.log(x) - np.log(x).mean(), np.log(y) - np.log(y).mean()
    return float(a @ b / (a @ a))


def measurable(run: Run) -> list[Variant]:
    """The variants that have a rate: λ above 0, on gradient or weight, and not diverged."""
    return [
        variant
        for variant in run.experiment.chosen
        if variant.where in ("gradient", "weight")
        and run.experiment.weight_decay_of(variant) > 0
        and run.diverged[variant.key] is None
    ]


def effective_rates(run: Run, on_step: Callable[[int], None] | None = None) -> dict[str, Rates]:
    """The rates of every variant with λ on gradient or weight that did not diverge, over the last half of training.

    Args:
        run: the training; it is taken again step by step, at about twice its cost.
        on_step: as for ``replay``.

    Returns:
        Variant to Rates; empty where λ is 0, and where the training is too long to be taken again. The last few are
        remembered.
    """
    chosen = measurable(run)
    if not chosen or not affordable(run.experiment):
        return {}
    key = (run.experiment, tuple(chosen))
    found = _KNOWN.get(key)
    if found is None:
        sums = _Sums(run, chosen)
        replay(run.experiment, sums.see, on_step=on_step)
        found = _KNOWN[key] = {variant.key: sums.rates(i) for i, variant in enumerate(chosen)}
        for old in list(_KNOWN)[:-REMEMBERED]:
            _KNOWN.pop(old, None)
    return found


_KNOWN: dict[tuple[Experiment, tuple[Variant, ...]], dict[str, Rates]] = {}


class _Sums:
    """What a replay adds up, each (R, W): Σ −d·w, Σ w², Σ g² of the data and of the gradient seen, Σ 1/√v, and how
    often a weight crossed zero."""

    def __init__(self, run: Run, chosen: list[Variant]) -> None:
        self.run, self.chosen = run, chosen
        self.rows = [run.row(variant.key) for variant in chosen]
        exp, shape = run.experiment, (len(chosen), run.architecture.weights)
        self.first = exp.steps // 2 + 1
        self.penalty = np.array([[exp.weight_decay_of(v) * (v.where == "gradient")] for v in chosen])
        self.pull, self.weight, self.data, self.square, self.inverse, self.crossed, self.v = np.zeros((7, *shape))
        memory = [next((MEMORY[s.name] for s in v.chain if s.name in MEMORY), None) for v in chosen]
        self.divides = [m is not None for m in memory]
        self.keep = np.array([[m[0] if m else 0.0] for m in memory])
        self.add = np.array([[1.0 if m is None or m[0] == 1 else 1 - m[0]] for m in memory])
        self.corrected = np.array([[bool(m and m[1])] for m in memory])

    def see(self, step: Step) -> None:
        columns = slice(self.weight.shape[1])
        with np.errstate(all="ignore"):  # diverged rows are part of the replay
            w, d = step.before[self.rows, columns], step.decay[self.rows, columns]
            data = step.gradient[self.rows, columns]
            g = data + self.penalty * w
            self.v = self.keep * self.v + self.add * g * g
            if step.t < self.first:
                return
            self.pull -= d * w
            self.weight += w * w
            self.data += data * data
            self.square += g * g
            self.inverse += 1 / (np.sqrt(self.v / np.where(self.corrected, 1 - self.keep**step.t, 1.0)) + EPSILON)
            self.crossed += w * step.after[self.rows, columns] < 0

    def rates(self, i: int) -> Rates:
        exp, variant = self.run.experiment, self.chosen[i]
        count = exp.steps - self.first + 1
        with np.errstate(all="ignore"):
            rate, gradient = self.pull[i] / self.weight[i], np.sqrt(self.square[i] / count)
            still = ~(gradient > 0)
            if self.divides[i]:  # the mean over steps of ηλ/√v is ηλ over this
                gradient = count / self.inverse[i]
            gone = ~(np.sqrt(self.weight[i] / count) > GONE)
        alone = self.data[i] < self.penalty[i] ** 2 * self.weight[i]
        swinging = ~gone & alone & (self.crossed[i] >= CROSSINGS)
        still = still & ~gone & ~swinging
        rest = ~(gone | swinging | still)
        reasons = {
            "nothing is left of the weight": gone,
            "it swings around zero, driven by λ alone": swinging,
            "its gradient is exactly 0": still,
            "decay never acted on it": rest & (rate == 0),
            "λ's part of the steps pushed it away from zero": rest & ~(rate >= 0),
        }
        left_out = {reason: int(mask.sum()) for reason, mask in reasons.items() if mask.any()}
        kept = rest & (rate > 0)
        level = self._level(variant)
        return Rates(variant, self.first, exp.steps, rate, gradient, level, kept, left_out, swings(exp, variant))

    def _level(self, variant: Variant) -> NDArray:
        exp, window = self.run.experiment, slice(self.first - 1, None)
        feeds = self.run.architecture.normalised()[: self.weight.shape[1]] > 0
        plain, normed = (float(exp.shrinks_of(variant, normalised)[window].mean()) for normalised in (False, True))
        longer = 1 - exp.momentum if variant.where == "gradient" and variant.has_momentum else 1.0
        return np.where(feeds, normed, plain) / longer
