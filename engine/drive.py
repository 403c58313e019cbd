"""A variant's rule on any gradient: the optimizers of the registry without a network around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from engine.run import quiet_cpu
from engine.transforms import Slot, merge
from engine.variants import Variant


def drive(
    variant: Variant,
    start: ArrayLike,
    gradient: Callable[[Tensor, int], Tensor],
    steps: int,
    *,
    lr: float,
    weight_decay: ArrayLike,
    momentum: float = 0.9,
    nesterov: bool = False,
    multipliers: ArrayLike | None = None,
    max_norm: float = 1.0,
    see: Callable[[Tensor, int], object] | None = None,
) -> Tensor:
    """Take steps of one variant from ``start``, on gradients that a function gives; float64, on the CPU.

    Args:
        variant: of the registry.
        start: initial weights, (r, P): r independent runs.
        gradient: (w (r, P), t) to the gradient (r, P) at step t = 1, 2, …; must not change w.
        steps: how many.
        lr: η.
        weight_decay: λ, a number, or an array that broadcasts to (r, P).
        momentum: μ of variants that have it.
        nesterov: Nesterov's momentum, for variants with momentum.
        multipliers: schedule s_t, (steps,); 1 by default.
        max_norm: c; a row of w counts as the incoming weights of one unit.
        see: called with w, (r, P), and t after every step.

    Returns:
        The last weights, (r, P).
    """
    w = torch.as_tensor(np.asarray(start, dtype=np.float64)).clone()
    runs, size = w.shape
    column = torch.ones(runs, 1, dtype=w.dtype)
    s = np.ones(steps) if multipliers is None else np.asarray(multipliers, dtype=np.float64)
    decay = torch.as_tensor(np.array(np.broadcast_to(np.asarray(weight_decay, dtype=np.float64), w.shape)))
    slot = Slot(
        w=w, u=torch.empty_like(w), lr=lr * column, schedule=column.clone(), weight_decay=decay,
        momentum=momentum * column, max_norm=max_norm * column, start=w.clone(), normalised=torch.zeros_like(w[0]),
        matrices=[(slice(None), (size, 1))], steady=bool(np.all(s == 1)),
    )  # fmt: skip
    with quiet_cpu(), torch.inference_mode():
        updates = [step.init(replace(slot)) for step, _ in merge([variant.chain_with(nesterov)])]
        for t in range(1, steps + 1):
            slot.u.copy_(gradient(w, t))
            if not slot.steady:
                slot.schedule.fill_(s[t - 1])
                slot.lr.fill_(lr * s[t - 1])
            for update in updates:
                update(t)
            if see:
                see(w, t)
    return w
