"""Update transforms on the flat parameter matrix: the pieces that an optimizer chain is made of.

A transform is one function that prepares its memory for some rows of the matrix (one row a run) and returns the
function that acts at every step. The row's update ``u`` starts as the gradient of the data loss; a transform changes
``u`` or the weights ``w`` in place, and ``descend`` takes the step w ← w − ηu. All formulas use torch's conventions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

Update = Callable[[int], None]


@dataclass
class Slot:
    """The rows that one transform acts on: r runs of P parameters, and their hyperparameters.

    Attributes:
        w: parameters, (r, P); changed in place.
        u: update, (r, P); the gradient of the data loss when the chain starts.
        lr: η of each run, (r, 1).
        weight_decay: λ of each parameter, (r, P): 0 where a parameter is not decayed.
        momentum: μ of each run, (r, 1).
        memory: every tensor that outlives a step, so that training can be rewound.
    """

    w: Tensor
    u: Tensor
    lr: Tensor
    weight_decay: Tensor
    momentum: Tensor
    memory: list[Tensor] = field(default_factory=list)

    def zeros(self) -> Tensor:
        """A zero tensor of shape (r, P) that is part of the optimizer's state."""
        state = torch.zeros_like(self.w)
        self.memory.append(state)
        return state


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
    waiting = [list(reversed(chain)) for chain in chains]
    merged: list[tuple[Transform, slice]] = []
    while any(waiting):
        heads = [chain[-1] for chain in waiting if chain]
        later = {step for chain in waiting for step in chain[:-1]}
        chosen = next((head for head in heads if head not in later), heads[0])
        rows = [row for row, chain in enumerate(waiting) if chain and chain[-1] == chosen]
        for row in rows:
            waiting[row].pop()
            if merged and merged[-1][0] == chosen and merged[-1][1].stop == row:
                merged[-1] = (chosen, slice(merged[-1][1].start, row + 1))
            else:
                merged.append((chosen, slice(row, row + 1)))
    return merged


@transform
def add_l2(s: Slot) -> Update:
    """λ in the gradient: u ← u + λw, the gradient of the penalty (λ/2)‖w‖²."""

    def update(t: int) -> None:
        s.u.addcmul_(s.weight_decay, s.w)

    return update


@transform
def shrink_weights(s: Slot, times_lr: bool = True) -> Update:
    """λ on the weight: w ← (1 − ηλ)w, or (1 − λ)w with ``times_lr=False`` (Loshchilov & Hutter's own form, whose λ
    follows the schedule multiplier but not η; 2019, arXiv 1711.05101)."""
    factor = 1 - (s.lr if times_lr else 1.0) * s.weight_decay

    def update(t: int) -> None:
        s.w.mul_(factor)

    return update


@transform
def trace(s: Slot) -> Update:
    """Momentum as torch.optim.SGD has it: v ← μv + u; u ← v, with the raw gradient as the first v."""
    v = s.zeros()

    def update(t: int) -> None:
        v.mul_(s.momentum).add_(s.u)
        s.u.copy_(v)

    return update


@transform
def scale_by_rms(s: Slot, alpha: float = 0.99, eps: float = 1e-8) -> Update:
    """RMSProp: v ← αv + (1−α)u²; u ← u/(√v + ε) (Hinton 2012, lecture 6e; ε outside the root, as in torch)."""
    v, root = s.zeros(), torch.empty_like(s.u)

    def update(t: int) -> None:
        v.mul_(alpha).addcmul_(s.u, s.u, value=1 - alpha)
        torch.sqrt(v, out=root)
        s.u.div_(root.add_(eps))

    return update


@transform
def scale_by_adam(s: Slot, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Update:
    """Adam: u ← m̂/(√v̂ + ε) with bias-corrected means of u and u² (Kingma & Ba 2015, arXiv 1412.6980)."""
    m, v, root = s.zeros(), s.zeros(), torch.empty_like(s.u)

    def update(t: int) -> None:
        m.lerp_(s.u, 1 - beta1)
        v.mul_(beta2).addcmul_(s.u, s.u, value=1 - beta2)
        unbias = math.sqrt(1 - beta2**t)
        torch.sqrt(v, out=root)
        torch.div(m, root.add_(eps * unbias), out=s.u)
        s.u.mul_(unbias / (1 - beta1**t))

    return update


@transform
def descend(s: Slot) -> Update:
    """The step itself: w ← w − ηu."""
    minus_lr = -s.lr

    def update(t: int) -> None:
        s.w.addcmul_(minus_lr, s.u)

    return update
