"""Layers that feed LayerNorm, measured from a replay: where their norm settles, and how far a step turns them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from engine import theory
from engine.experiment import Experiment
from engine.mlp import Architecture, LossGradient
from engine.probe import Step, affordable, replay
from engine.rates import families
from engine.run import Run, quiet_cpu
from engine.theory import Equilibrium, time_scale
from engine.variants import VARIANTS, Variant

SETTLED_AFTER = 2
"""Time scales τ that must lie before the window in which a norm counts as settled."""

POINTS, BATCH = 200, 8
"""With fewer points the network fits most of them, and what noise is left comes in rare kicks: measured norms are then
up to 20 % off theory, with 200 points in batches of 8 within 4 % for the SGD family."""

NARROW = 3
"""Units that a layer needs at least: of one or two LayerNorm makes 0 or ±1 whatever the weights are, so that all of
their gradient comes from its ε."""

LEAST, MOST = 1000, 2000
"""Steps that a settled norm is given at least, and at most where its τ asks for more."""


@dataclass(frozen=True)
class Motion:
    """The weights and biases of one hidden layer under LayerNorm, one vector θ of size C, under one variant.

    Attributes:
        variant: its registry entry.
        layer: number of the layer, 1 for the first.
        size: C.
        first, last: the window, step numbers, both included.
        norm: root mean square of ‖θ‖ over the window.
        rotation: root mean square angle between θ before and after a step, radians, over the window.
        gradient: root mean square of ‖g‖·‖θ‖, the size that the data gradient has where ‖θ‖ = 1.
        entries: Σ_i √(mean of (g_i‖θ‖)²), over the C entries.
        cosine: root mean square of cos(g, θ): 0 where scale does not matter.
        turns: root mean square angle of the steps since the recorded step before, (T,); nan at the first.
        predicted: norm and rotation by theory, each None where there is no formula.
    """

    variant: Variant
    layer: int
    size: int
    first: int
    last: int
    norm: float
    rotation: float
    gradient: float
    entries: float
    cosine: float
    turns: NDArray
    predicted: tuple[float | None, float | None]


def settling(experiment: Experiment) -> Experiment:
    """The experiment as a settled norm needs it: LayerNorm, decay on biases too, minibatch noise, enough steps.

    W and b of a layer are scale-invariant together, so both must decay; noise must keep pushing, which it does where
    the points are too many to be fitted; η must keep still.
    """
    noisy = experiment.batch < experiment.points
    known = [variant for variant in experiment.chosen if has_formula(variant)]
    taus = [time_scale(experiment.shrink_of(variant)) for variant in known]
    enough = max([LEAST, *(math.ceil(2.5 * SETTLED_AFTER * tau) for tau in taus if math.isfinite(tau))])
    fallback = {key for family in ("SGD", "Adam") for key in families()[family]}
    return replace(
        experiment,
        layer_norm=True,
        hidden=experiment.hidden or (16, 16),
        decayed="biases" if experiment.decayed == "weights" else experiment.decayed,
        points=max(experiment.points, POINTS),
        batch_size=experiment.batch_size if noisy else BATCH,
        steps=max(experiment.steps, min(enough, MOST)),
        schedule="constant",
        variants=experiment.variants if known else tuple(key for key in VARIANTS if key in fallback),
    )


def hidden_columns(architecture: Architecture) -> list[NDArray]:
    """Columns of weights and biases of every hidden layer: together scale-invariant under LayerNorm."""
    index = torch.arange(architecture.parameters)[None]
    return [torch.cat([layer.weight[0].flatten(), layer.bias[0]]).numpy() for layer in architecture.layers(index)[:-1]]


def layer_norms(run: Run) -> list[dict[str, NDArray]]:
    """‖θ‖ of every hidden layer, weights and biases, at the recorded steps: for each layer, variant to (T,)."""
    return [
        dict(zip(run.experiment.variants, np.linalg.norm(run.film[:, :, columns], axis=2).T, strict=True))
        for columns in hidden_columns(run.architecture)
    ]


def has_formula(variant: Variant) -> bool:
    """Whether theory knows where a variant's norm settles."""
    return variant.where in ("gradient", "weight") and (
        not variant.adaptive or (variant.uses("scale_by_adam") and not variant.uses("shrink_weights", cautious=True))
    )


def predicted(
    experiment: Experiment, variant: Variant, size: int, gradient: float, entries: float
) -> tuple[float | None, float | None]:
    """Norm and rotation in equilibrium by Kosson et al., each None where there is no formula.

    Args:
        experiment: η, λ, μ.
        variant: of the registry.
        size: C.
        gradient, entries: as of ``Motion``.

    Reference:
        Kosson, Messmer & Jaggi 2023, arXiv 2305.17212, table 1.
    """
    lr, lam, momentum = experiment.lr_of(variant), experiment.weight_decay_of(variant), experiment.momentum
    if lam == 0 or not has_formula(variant) or (variant.has_momentum and experiment.nesterov and momentum):
        return None, None
    if variant.where == "gradient" and variant.adaptive:
        return theory.adam_l2_equilibrium_norm(lr, lam, entries), None
    found: Equilibrium
    if variant.where == "gradient":
        found = theory.sgd_l2_equilibrium(lr, lam, momentum * variant.has_momentum, gradient)
    else:
        strength = experiment.shrink_of(variant) / lr  # what is taken off a step, whatever the rule calls λ
        found = (
            theory.adamw_equilibrium(lr, strength, size)
            if variant.adaptive
            else theory.sgdw_equilibrium(lr, strength, momentum * variant.has_momentum, gradient)
        )
    return found.norm, found.rotation


def unsettled(run: Run, variant: Variant) -> str | None:
    """Why the theory of the equilibrium does not apply to a variant of this run, in a few words; None where it does."""
    exp = run.experiment
    tau = time_scale(exp.shrink_of(variant))
    reasons = (
        (not has_formula(variant), "no formula"),
        (exp.weight_decay_of(variant) == 0, "λ = 0"),
        (not exp.layer_norm or not exp.hidden, "no LayerNorm"),
        (exp.decayed == "weights", "biases do not decay, so that W and b together have no equilibrium"),
        (exp.batch == exp.points, "no minibatch noise"),
        (exp.schedule != "constant", "η changes"),
        (exp.nesterov and exp.momentum > 0 and variant.has_momentum, "no formula for Nesterov"),
        (run.diverged[variant.key] is not None, "diverged"),
        (exp.steps < 2 * SETTLED_AFTER * tau, f"{exp.steps:,} steps are too few for τ = {tau:,.0f}"),
    )
    return next((words for wrong, words in reasons if wrong), None)


def motions(run: Run, on_step: Callable[[int], None] | None = None) -> list[Motion]:
    """The motion of every hidden layer under every variant of a run with LayerNorm, over the last half of training.

    Args:
        run: the training; it is taken again step by step, at about twice its cost.
        on_step: as for ``replay``.

    Returns:
        Layer by layer, variants in the run's order without those that diverged; empty without LayerNorm, and where the
        training is too long to be taken again.
    """
    if not run.experiment.layer_norm or not run.experiment.hidden or not affordable(run.experiment):
        return []
    found = _KNOWN.get(run.experiment)
    if found is None:
        watched = [_Layer(run, columns) for columns in hidden_columns(run.architecture)]

        def see(step: Step) -> None:
            for layer in watched:
                layer.see(step)

        replay(run.experiment, see, on_step=on_step)
        found = _KNOWN[run.experiment] = [m for i, layer in enumerate(watched, 1) for m in layer.motions(i)]
        for old in list(_KNOWN)[:-REMEMBERED]:
            _KNOWN.pop(old, None)
    return found


REMEMBERED = 4
_KNOWN: dict[Experiment, list[Motion]] = {}
"""The last runs looked at: a page, its claims and its downloads ask for the same ones."""


class _Layer:
    """What a replay adds up for one layer: squares of norm, angle, gradient and cosine, each (R,)."""

    def __init__(self, run: Run, columns: NDArray) -> None:
        self.run, self.columns = run, columns
        runs = len(run.experiment.variants)
        self.first = run.experiment.steps // 2 + 1
        self.norm, self.angle, self.gradient, self.cosine = (np.zeros(runs) for _ in range(4))
        self.entries = np.zeros((runs, len(columns)))
        self.segments = np.zeros((len(run.steps), runs))

    def see(self, step: Step) -> None:
        with np.errstate(all="ignore"):  # diverged rows are part of the replay
            before, after, g = (a[:, self.columns] for a in (step.before, step.after, step.gradient))
            length, size = np.linalg.norm(before, axis=1), np.linalg.norm(g, axis=1)
            square = angle(before, after) ** 2
            self.segments[np.searchsorted(self.run.steps, step.t)] += square
            if step.t < self.first:
                return
            self.angle += square
            self.norm += length**2
            self.gradient += (length * size) ** 2
            self.entries += (g * length[:, None]) ** 2
            self.cosine += np.nan_to_num((g * before).sum(1) / (length * size)) ** 2

    def motions(self, number: int) -> list[Motion]:
        exp, size = self.run.experiment, len(self.columns)
        count = exp.steps - self.first + 1
        lengths = np.diff(self.run.steps, prepend=np.nan)
        found = []
        for row, variant in enumerate(exp.chosen):
            if self.run.diverged[variant.key] is not None:
                continue
            norm, rotation, gradient, cosine = (
                float(np.sqrt(sums[row] / count)) for sums in (self.norm, self.angle, self.gradient, self.cosine)
            )
            entries = float(np.sqrt(self.entries[row] / count).sum())
            turns = np.sqrt(self.segments[:, row] / lengths)
            expected = predicted(exp, variant, size, gradient, entries)
            if exp.hidden[number - 1] < NARROW:
                expected = None, None
            found.append(Motion(variant, number, size, self.first, exp.steps, norm, rotation, gradient, entries, cosine,
                                turns, expected))  # fmt: skip
        return found


def angle(a: NDArray, b: NDArray) -> NDArray:
    """The angle between rows of a and b, (R, C) each, radians, (R,): exact for small ones too."""
    ua, ub = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    return 2 * np.arctan2(np.linalg.norm(ua - ub, axis=1), np.linalg.norm(ua + ub, axis=1))


def scale_invariance(run: Run, factor: float = 2.0) -> list[tuple[float, float]]:
    """For every hidden layer at the shared start: cos(g, θ), and how far factor·∇L(factor·θ) is from ∇L(θ), relatively.

    Reference:
        van Laarhoven 2017, arXiv 1706.05350.
    """
    found = []
    start = torch.from_numpy(run.film[:1, 0].astype(np.float64))
    x = torch.as_tensor(run.data.x_train, dtype=torch.float64).T.contiguous()
    y = torch.as_tensor(run.data.y_train, dtype=torch.float64)
    with quiet_cpu(), torch.inference_mode():
        for columns in hidden_columns(run.architecture):
            both = start.repeat(2, 1)
            both[1, columns] *= factor
            packing = run.architecture.packing()
            loss = LossGradient(run.architecture, both[:, packing], len(y))
            loss.see(x, y)
            g, scaled = loss()[:, packing.argsort()][:, columns].numpy()
            theta = both[0, columns].numpy()
            size = float(np.linalg.norm(g)) or 1.0
            cosine = float(abs(g @ theta) / (size * np.linalg.norm(theta)))
            found.append((cosine, float(np.linalg.norm(factor * scaled - g) / size)))
    return found
