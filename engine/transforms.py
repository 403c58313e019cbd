"""Update transforms on the flat parameter matrix: the pieces that an optimizer chain is made of.

A transform is one function that prepares its memory for some rows of the matrix (one row a run) and returns the
function that acts at every step. The row's update ``u`` starts as the gradient of the data loss; a transform changes
``u`` or the weights ``w`` in place, and ``descend`` takes the step w ← w − ηu. All formulas use torch's conventions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

Update = Callable[[Any], None]
"""What a transform does at step t = 1, 2, …; t is a tensor () where steps are captured, since they share one t."""

IDLE_AT_ZERO = {"add_l2", "add_pull_to_start", "shrink_weights", "soft_threshold"}
"""Transforms that leave rows with λ = 0 as they are."""

BRIDGE = 4
"""Rows that such a transform rather passes over than being called twice."""

VECTOR = 64
"""A multiple of the numbers in a vector register of any CPU."""


@dataclass
class Slot:
    """The rows that one transform acts on: r runs of P parameters, and their hyperparameters.

    Attributes:
        w: parameters, (r, P); changed in place.
        u: update, (r, P); the gradient of the data loss when the chain starts.
        lr: η_t of each run, (r, 1); changes from step to step unless ``steady``.
        schedule: s_t = η_t/η_max of each run, (r, 1); changes with ``lr``.
        weight_decay: λ of each parameter, (r, P): 0 where a parameter is not decayed.
        momentum: μ of each run, (r, 1).
        max_norm: largest incoming norm of a unit, (r, 1).
        start: initial parameters, (P,).
        normalised: 1 where a weight feeds LayerNorm, else 0, (P,).
        matrices: columns and shape (in, out) of every weight matrix.
        steady: ``lr`` and ``schedule`` never change, so that what follows from them is computed once.
        memory: every tensor that outlives a step, so that training can be rewound.
        share: called with v, (r, P), whenever an adaptive transform has a new one, if anyone asks: a probe lets rows
            share it.
    """

    w: Tensor
    u: Tensor
    lr: Tensor
    schedule: Tensor
    weight_decay: Tensor
    momentum: Tensor
    max_norm: Tensor
    start: Tensor
    normalised: Tensor
    matrices: list[tuple[slice, tuple[int, int]]]
    steady: bool = True
    memory: list[Tensor] = field(default_factory=list)
    share: Callable[[Tensor], object] | None = None

    def zeros(self) -> Tensor:
        """A zero tensor of shape (r, P) that is part of the optimizer's state."""
        state = torch.zeros_like(self.w)
        self.memory.append(state)
        return state

    def follow(self, value: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """``value`` as a function of the step: computed once where the learning rate is steady, else every time."""
        if not self.steady:
            return value
        fixed = value()
        return lambda: fixed


class Transform(NamedTuple):
    """A named transform with its options; two are equal when the name and the options are."""

    name: str
    options: tuple[tuple[str, Any], ...]

    def init(self, slot: Slot) -> Update:
        """Prepare the memory for the rows of ``slot`` and return the function of the step number t = 1, 2, …"""
        return _INIT[self.name](slot, **dict(self.options))


_INIT: dict[str, Callable[..., Update]] = {}


def transform(init: Callable[..., Update]) -> Callable[..., Transform]:
    """Register ``init(slot, **options) -> update(t)``; calling the name then gives the Transform value."""
    _INIT[init.__name__] = init

    def make(**options: Any) -> Transform:
        return Transform(init.__name__, tuple(sorted(options.items())))

    make.__name__, make.__doc__ = init.__name__, init.__doc__
    return make


def chain(*transforms: Transform) -> tuple[Transform, ...]:
    """Transforms in the order in which they act at every step."""
    return transforms


def merge(chains: list[tuple[Transform, ...]]) -> list[tuple[Transform, slice]]:
    """Interleave chains so that equal transforms of neighbouring rows run as one call.

    Every row keeps the order of its own chain. Next comes a transform that no chain holds further back, so that rows
    wait for each other; where there is none, the first row's.

    Returns:
        (transform, rows) in the order in which to call them; rows are neighbours.
    """
    waiting, places = [], []
    for steps, equal in groupby(range(len(chains)), key=chains.__getitem__):
        first, *rest = equal
        waiting.append(list(reversed(steps)))
        places.append(slice(first, first + len(rest) + 1))
    merged: list[tuple[Transform, slice]] = []
    while any(waiting):
        heads = [chain[-1] for chain in waiting if chain]
        later = {step for chain in waiting for step in chain[:-1]}
        chosen = next((head for head in heads if head not in later), heads[0])
        for chain, rows in zip(waiting, places, strict=True):
            if not chain or chain[-1] != chosen:
                continue
            chain.pop()
            if merged and merged[-1][0] == chosen and merged[-1][1].stop == rows.start:
                merged[-1] = (chosen, slice(merged[-1][1].start, rows.stop))
            else:
                merged.append((chosen, rows))
    return merged


def bridge(merged: list[tuple[Transform, slice]]) -> list[tuple[Transform, list[int]]]:
    """Join the calls of a transform on both sides of a few rows that do not have it, where it can pass over them.

    Returns:
        (transform, its rows); where they are no neighbours, the rows between are to be given λ = 0.
    """
    bridged: list[tuple[Transform, list[int]]] = []
    for step, rows in merged:
        own, last = list(range(rows.start, rows.stop)), bridged[-1] if bridged else None
        if last and last[0] == step and step.name in IDLE_AT_ZERO and 0 < rows.start - last[1][-1] <= BRIDGE + 1:
            last[1].extend(own)
        else:
            bridged.append((step, own))
    return bridged


@transform
def add_l2(s: Slot) -> Update:
    """λ in the gradient: u ← u + λw, the gradient of the penalty (λ/2)‖w‖²."""

    def update(t: int) -> None:
        s.u.addcmul_(s.weight_decay, s.w)

    return update


@transform
def add_pull_to_start(s: Slot) -> Update:
    """L2-SP: u ← u + λ(w − w₀), a Gaussian prior around the starting point (Li et al. 2018, arXiv 1802.01483)."""

    def update(t: int) -> None:
        s.u.addcmul_(s.weight_decay, s.w).addcmul_(s.weight_decay, s.start, value=-1)

    return update


@transform
def shrink_weights(
    s: Slot, times_lr: bool = True, over_momentum: bool = False, corrected: bool = False, cautious: bool = False
) -> Update:
    """λ on the weight: w ← (1 − η_tλ)w.

    Args:
        times_lr: False is (1 − s_tλ)w, whose λ follows the schedule and not η (Loshchilov & Hutter's own form; 2019,
            arXiv 1711.05101).
        over_momentum: λ/(1 − μ) instead of λ, so that the fixed point is that of L2 (Xie et al. 2020, arXiv
            2011.11152).
        corrected: s_tλ instead of λ for weights that feed LayerNorm (Defazio 2025, arXiv 2506.02285).
        cautious: only where u·w ≥ 0, so that decay never works against the step (Chen et al. 2025, arXiv 2510.12402).
    """
    strength = s.weight_decay / (1 - s.momentum) if over_momentum else s.weight_decay

    def rate() -> Tensor:
        shrink = (s.lr if times_lr else s.schedule) * strength
        return shrink * torch.lerp(torch.ones_like(s.normalised), s.schedule, s.normalised) if corrected else shrink

    shrink, factor = s.follow(rate), s.follow(lambda: 1 - rate())

    def update(t: int) -> None:
        if cautious:
            s.w.sub_(shrink() * s.w * (s.u * s.w >= 0))
        else:
            s.w.mul_(factor())

    return update


@transform
def soft_threshold(s: Slot) -> Update:
    """L1 as a proximal step: w ← sign(w)·max(|w| − ηλ, 0), a Laplace prior (Daubechies et al. 2004, ISTA)."""
    cut = s.follow(lambda: s.lr * s.weight_decay)

    def update(t: int) -> None:
        s.w.sub_(torch.minimum(s.w.abs(), cut()).copysign_(s.w))

    return update


@transform
def project_units(s: Slot) -> Update:
    """Max-norm: scale each unit's incoming weights back to norm ≤ c (Srivastava et al. 2014, JMLR 15)."""
    matrices = [s.w[:, columns].unflatten(1, shape) for columns, shape in s.matrices]
    limit = s.max_norm[:, :, None]

    def update(t: int) -> None:
        for matrix in matrices:
            matrix.mul_((limit / matrix.norm(dim=1, keepdim=True)).clamp_(max=1))

    return update


@transform
def trace(s: Slot, nesterov: bool = False) -> Update:
    """Momentum as torch.optim.SGD has it: v ← μv + u; u ← v, with the raw gradient as the first v.

    Args:
        nesterov: u ← u + μv instead (Nesterov 1983; Sutskever et al. 2013).
    """
    v = s.zeros()

    def update(t: int) -> None:
        v.mul_(s.momentum).add_(s.u)
        if nesterov:
            s.u.addcmul_(s.momentum, v)
        else:
            s.u.copy_(v)

    return update


@transform
def scale_by_rms(s: Slot, alpha: float = 0.99, eps: float = 1e-8) -> Update:
    """RMSProp: v ← αv + (1−α)u²; u ← u/(√v + ε) (Hinton 2012, lecture 6e; ε outside the root, as in torch)."""
    v, root = s.zeros(), torch.empty_like(s.u)

    def update(t: int) -> None:
        v.mul_(alpha).addcmul_(s.u, s.u, value=1 - alpha)
        if s.share:
            s.share(v)
        torch.sqrt(v, out=root)
        s.u.div_(root.add_(eps))

    return update


@transform
def scale_by_adam(s: Slot, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Update:
    """Adam: u ← m̂/(√v̂ + ε) with bias-corrected means of u and u² (Kingma & Ba 2015, arXiv 1412.6980)."""
    if s.share is None:
        return _fused_adam(s, beta1, beta2, eps)
    m, v, root, share = s.zeros(), s.zeros(), torch.empty_like(s.u), s.share

    def update(t: int) -> None:
        m.lerp_(s.u, 1 - beta1)
        v.mul_(beta2).addcmul_(s.u, s.u, value=1 - beta2)
        share(v)
        unbias = math.sqrt(1 - beta2**t)
        torch.sqrt(v, out=root)
        torch.div(m, root.add_(eps * unbias), out=s.u)
        s.u.mul_(unbias / (1 - beta1**t))

    return update


def _fused_adam(s: Slot, beta1: float, beta2: float, eps: float) -> Update:
    """The same by torch's own kernel, w ← w − ηm̂/(√v̂ + ε) with w = 0 and η = −1: one pass, but v stays inside it.

    The kernel rounds a tail shorter than a vector differently; with whole vectors, equal rows stay equal to the bit.
    """
    size = s.u.numel()
    whole = s.u.new_zeros(4, -(-size // VECTOR) * VECTOR)
    g, direction, m, v = (buffer[:size].view(s.u.shape) for buffer in whole)
    s.memory += [m, v]
    step = torch.zeros((), device=s.u.device)
    kernel = partial(
        torch._fused_adam_, [whole[1]], [whole[0]], [whole[2]], [whole[3]], [], [step], lr=-1.0, beta1=beta1,
        beta2=beta2, eps=eps, weight_decay=0.0, amsgrad=False, maximize=False,
    )  # fmt: skip

    def update(t: int | Tensor) -> None:
        g.copy_(s.u)
        direction.zero_()
        step.fill_(t)
        kernel()
        s.u.copy_(direction)

    return update


@transform
def scale_by_adagrad(s: Slot, eps: float = 1e-10) -> Update:
    """Adagrad: v ← v + u²; u ← u/(√v + ε) (Duchi et al. 2011, JMLR 12)."""
    v, root = s.zeros(), torch.empty_like(s.u)

    def update(t: int) -> None:
        v.addcmul_(s.u, s.u)
        if s.share:
            s.share(v)
        torch.sqrt(v, out=root)
        s.u.div_(root.add_(eps))

    return update


@transform
def scale_by_lion(s: Slot, beta1: float = 0.9, beta2: float = 0.99) -> Update:
    """Lion: u ← sign(β₁m + (1−β₁)u), then m ← β₂m + (1−β₂)g (Chen et al. 2023, arXiv 2302.06675)."""
    m, blend = s.zeros(), torch.empty_like(s.u)

    def update(t: int) -> None:
        torch.lerp(m, s.u, 1 - beta1, out=blend)
        m.lerp_(s.u, 1 - beta2)
        torch.sign(blend, out=s.u)

    return update


@transform
def descend(s: Slot) -> Update:
    """The step itself: w ← w − η_t u."""
    minus_lr = s.follow(lambda: -s.lr)

    def update(t: int) -> None:
        s.w.addcmul_(minus_lr(), s.u)

    return update
