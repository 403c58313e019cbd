"""How much of a core's arithmetic a training uses: floating-point operations a second, beside a large matrix product.

Counted is what the gradient cannot do without: two operations (multiply, add) for every weight and point in the
forward pass, as many for its gradient, and as many to pass δ to the layer below, which the first layer need not do.
Biases, tanh, the loss and the optimizer take time and are not counted.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch

from bench.timing import one_core, seconds, torch_threads
from engine import Experiment, train_many
from engine.run import architecture_of

MODELS = 128
EXPERIMENT = Experiment(hidden=(32, 32), points=200, steps=200, variants=("adamw",))
SIZE = 2048
"""Rows and columns of the matrices of SGEMM."""


def flops_of_step(experiment: Experiment) -> int:
    """Floating-point operations of one model's gradient: 2N(3P − P₁), P weights of which P₁ in the first layer."""
    weights, first = architecture_of(experiment).weights, 2 * architecture_of(experiment).sizes[1]
    return 2 * experiment.batch * (3 * weights - first)


def compare(repeats: int, threads: int) -> list[tuple[float, float]]:
    """(SGEMM, ours) in 10⁹ operations a second for each repeat, alternating, warmed up.

    Args:
        repeats: how many.
        threads: of torch's product, and blocks of models that ours trains at a time; with one, both on one core.
    """
    batch = [replace(EXPERIMENT, weight_decay_adaptive=value) for value in np.geomspace(1e-3, 1, MODELS).tolist()]
    a, b = torch.rand(2, SIZE, SIZE)
    flops = MODELS * EXPERIMENT.steps * flops_of_step(EXPERIMENT)

    def sgemm() -> float:
        return 2e-9 * SIZE**3 / seconds(lambda: torch.mm(a, b))

    def ours() -> float:
        return 1e-9 * flops / seconds(lambda: train_many(batch, device="cpu", frames=2, threads=threads))

    with torch_threads(threads), one_core() if threads == 1 else nullcontext():
        sgemm()
        ours()
        return [(sgemm(), ours()) for _ in range(repeats)]
