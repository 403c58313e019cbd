"""Models·steps a second on a GPU, beside what its memory and its arithmetic allow.

The memory's limit counts the bytes that the calls of a step read and write, each call for itself: what is left of it
after a perfect implementation of these calls, not after fusing them. The arithmetic's limit counts the gradient's
products. Both rates are measured on the same device: a copy of a gigabyte, and a large product in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.arithmetic import flops_of_step
from bench.timing import seconds
from engine import Experiment
from engine.train import train_finals
from engine.trainer import Trainer, rows_of

MODELS = (1_000, 10_000, 100_000)
EXPERIMENT = Experiment(hidden=(16, 16), points=200, steps=400, variants=("adamw",))
SIZE, COPIED = 8192, 2**30
WRITTEN_ONLY = {"copy_", "fill_", "zero_"}


class Rates(NamedTuple):
    """What a device does in a second: bytes read and written, and floating-point operations in float32."""

    bytes: float
    flops: float


def limit(rates: Rates, experiment: Experiment) -> float:
    """Models·steps a second that neither the memory nor the arithmetic of a device lets a training exceed."""
    return min(rates.bytes / bytes_of_step(experiment), rates.flops / flops_of_step(experiment))


def bytes_of_step(experiment: Experiment) -> int:
    """Bytes that the calls of a step read and write for one model more, in float32.

    The few passes over the weights that freeze a diverging model are left out.
    """
    one, two = (_bytes(experiment, models) for models in (1, 2))
    return two - one


def measured() -> Rates:
    """The rates of the GPU here, best of three."""
    a, b = torch.rand(2, SIZE, SIZE, device="cuda")
    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return Rates(2 * COPIED / _best(lambda: target.copy_(source)), 2 * SIZE**3 / _best(lambda: torch.mm(a, b)))


def compare(models: int, repeats: int) -> list[tuple[float, float]]:
    """(limit, ours) in models·steps a second for each repeat, alternating, warmed up.

    Ours is a whole ``train_finals``: set up, captured, trained, measured and brought back.
    """
    batch = [replace(EXPERIMENT, weight_decay_adaptive=value) for value in np.geomspace(1e-3, 1, models).tolist()]

    def ours() -> float:
        return models * EXPERIMENT.steps / seconds(lambda: train_finals(batch, device="cuda"))

    ours()
    return [(limit(measured(), EXPERIMENT), ours()) for _ in range(repeats)]


def _best(work: Callable[[], object]) -> float:
    def done() -> None:
        work()
        torch.cuda.synchronize()

    done()
    return min(seconds(done) for _ in range(3))


def _bytes(experiment: Experiment, models: int) -> int:
    """Bytes that a step of so many models reads and writes; nothing is computed."""
    rows = rows_of([replace(experiment, weight_decay_adaptive=i / 10) for i in range(models)])
    with torch.inference_mode():
        trainer = Trainer(rows, torch.float32, torch.device("meta"))
        with _Traffic() as traffic:
            trainer.step(1)
    return traffic.bytes


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that every call reads and writes; what is expanded is read once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        written_only = func.overloadpacket.__name__ in WRITTEN_ONLY
        for place, argument in enumerate(func._schema.arguments):
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            written = argument.alias_info is not None and argument.alias_info.is_write
            read = not (argument.is_out or (written and written_only))
            self.bytes += (written + read) * _size(given)
        if not func._schema.is_mutable:
            self.bytes += _size(results)
        return results


def _size(tree: Any) -> int:
    tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return sum(
        tensor.element_size() * prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
        for tensor in tensors
    )
