"""The same trainings in ``torch.func`` and in JAX, beside the engine's.

JAX runs in a process of its own, which waits while the engine is timed, and the other way round. For the comparison
on one core both processes are bound to the same core and XLA may use one thread; for the one on both cores neither is
bound and each uses the threads that it uses by default. JAX compiles and runs once before anything is timed, starts
from arrays that it already holds, and is timed inside its process until its results are ready.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import softplus

from bench.timing import check_same, one_core, seconds, torch_threads
from bench.training import AXIS, EXPERIMENT, final_losses, ours, ours_axis
from engine import Experiment, Run, train
from engine.datasets import make_data
from engine.run import architecture_of
from engine.train import FRAMES
from engine.variants import Variant

AGREE_ON_AXIS = 1e-2
"""Some of 246 models oscillate: float32 and float64 of the engine itself end up to 8e-3 apart."""
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Family(NamedTuple):
    """The numbers of the models that share a rule, each (r,): η, λ in the gradient, ηλ on the weight."""

    lr: NDArray
    l2: NDArray
    shrink: NDArray


@dataclass(frozen=True)
class Task:
    """What is to be trained, in plain arrays.

    Attributes:
        start: initial [(W (out, in), b (out,)), …] of every model.
        points: x_train (N, 2), y_train (N,), x_test (M, 2), y_test (M,).
        families: of SGD and of Adam, in this order.
        steps: of a training.
        frames: recorded steps, the first and the last among them.
    """

    start: list[tuple[NDArray, NDArray]]
    points: tuple[NDArray, ...]
    families: tuple[Family, Family]
    steps: int
    frames: int


def task_of(experiments: Sequence[Experiment], frames: int) -> Task:
    """The task of experiments that differ in λ only; their variants are SGD's and Adam's."""
    one = experiments[0]
    data, architecture = make_data(one.dataset, one.noise, one.points, one.seed), architecture_of(one)
    layers = architecture.layers(architecture.initial(one.seed).float()[None])
    points = (data.x_train, data.y_train, data.x_test, data.y_test)
    rows = _rows(experiments)
    sgd, adam = (_family([row for row in rows if row[1].adaptive == adaptive]) for adaptive in (False, True))
    return Task(
        start=[(layer.weight[0].numpy(), layer.bias[0].numpy()) for layer in layers],
        points=tuple(np.asarray(values, np.float32) for values in points),
        families=(sgd, adam),
        steps=one.steps,
        frames=frames,
    )


def _rows(experiments: Sequence[Experiment]) -> list[tuple[Experiment, Variant]]:
    rows = [(experiment, variant) for experiment in experiments for variant in experiment.chosen]
    return sorted(rows, key=lambda row: row[1].adaptive)


def _family(rows: Sequence[tuple[Experiment, Variant]]) -> Family:
    numbers = [
        (lr, weight_decay * (variant.where == "gradient"), lr * weight_decay * (variant.where == "weight"))
        for experiment, variant in rows
        for lr, weight_decay in [(experiment.lr_of(variant), experiment.weight_decay_of(variant))]
    ]
    return Family(*np.array(numbers, np.float32).T)


def final_losses_of(runs: Sequence[Run]) -> NDArray:
    """The last train loss of every model in a task's order, (R,); NaN where it diverged."""
    ends = {id(run.experiment): dict(zip(run.experiment.variants, final_losses(run), strict=True)) for run in runs}
    return np.array([ends[id(one)][variant.key] for one, variant in _rows([run.experiment for run in runs])])


def compare_vmap(repeats: int) -> list[tuple[float, float]]:
    """(torch.func, ours) in seconds for each repeat, alternating, one thread, warmed up; both record a film.

    Raises:
        RuntimeError: the two sides did not train to the same losses.
    """
    task = task_of([EXPERIMENT], FRAMES)
    film = partial(train, EXPERIMENT, device="cpu")
    with torch_threads(1):
        check_same(final_losses_of([ours()]), vmapped(task)[1].numpy())
        return [(seconds(lambda: vmapped(task)), seconds(film)) for _ in range(repeats)]


def vmapped(task: Task) -> tuple[list[Tensor], Tensor]:
    """Train a task with ``vmap(grad)`` over its models; parameters (R, P) at every recorded step, last losses (R,).

    The gradient is that of a tuple of tensors (R, …): W₁, b₁, W₂, …, views of one matrix (R, P). The rules act on the
    rows of a family.
    """
    x, y = (torch.from_numpy(values) for values in task.points[:2])
    tensors = [torch.from_numpy(tensor) for layer in task.start for tensor in layer]
    flat = torch.cat([tensor.flatten() for tensor in tensors]).repeat(sum(len(own.lr) for own in task.families), 1)
    pieces = flat.split([tensor.numel() for tensor in tensors], 1)
    model = tuple(piece.unflatten(1, tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True))
    decays = torch.cat([torch.full((tensor.numel(),), float(tensor.dim() > 1)) for tensor in tensors])
    update = _rules(task, flat, decays)
    gradients = vmap(grad(_loss), in_dims=(0, None, None))
    film = [flat.clone()]
    for t in range(1, task.steps + 1):
        update(torch.cat([g.flatten(1) for g in gradients(model, x, y)], 1), t)
        if t % (task.steps // (task.frames - 1)) == 0:
            film.append(flat.clone())
    return film, vmap(_loss, in_dims=(0, None, None))(model, x, y)


def _rules(task: Task, flat: Tensor, decays: Tensor) -> Callable[[Tensor, int], None]:
    """SGD's and Adam's step on (R, P), with λ where it enters each row; ``decays`` (P,) is 1 for a weight, else 0."""
    lr, l2, shrink = (torch.from_numpy(np.concatenate(pair))[:, None] for pair in zip(*task.families, strict=True))
    l2, keep = l2 * decays, 1 - shrink * decays
    plain = len(task.families[0].lr)
    sgd, adam = flat[:plain], flat[plain:]
    m, v = torch.zeros_like(adam), torch.zeros_like(adam)

    def update(g: Tensor, t: int) -> None:
        g.addcmul_(l2, flat)
        flat.mul_(keep)
        sgd.addcmul_(lr[:plain], g[:plain], value=-1)
        m.lerp_(g[plain:], 0.1)
        v.mul_(0.999).addcmul_(g[plain:], g[plain:], value=0.001)
        scale = (v / (1 - 0.999**t)).sqrt_().add_(1e-8)
        adam.addcdiv_(lr[plain:] * m, scale, value=-1 / (1 - 0.9**t))

    return update


def _loss(model: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
    """Mean binary cross-entropy of one model at points x (N, 2) with labels y (N,)."""
    *hidden, weight, bias = model
    a = x.T
    for w, b in zip(hidden[::2], hidden[1::2], strict=True):
        a = torch.tanh(w @ a + b[:, None])
    return softplus((1 - 2 * y) * (weight @ a + bias[:, None])[0]).mean()


def has_jax() -> bool:
    """Whether JAX is installed; it is not imported here."""
    return importlib.util.find_spec("jax") is not None


def compare_jax(repeats: int, layout: str) -> tuple[list[tuple[float, float]], float]:
    """(JAX, ours) in seconds for each repeat, on one core, film and curves included; and JAX's seconds of compiling.

    Args:
        repeats: how many.
        layout: of JAX's activations, "by_points" or "by_units".

    Raises:
        RuntimeError: the two sides did not train to the same losses.
    """
    with torch_threads(1), one_core(), jax_process(task_of([EXPERIMENT], FRAMES), layout, ONE_THREAD) as jax:
        check_same(final_losses_of([ours()]), jax.losses)
        return [(jax.seconds(), seconds(ours)) for _ in range(repeats)], jax.compile_seconds


def compare_jax_axis(repeats: int) -> tuple[list[tuple[float, float]], float]:
    """(JAX, ours) for six variants × 41 values of λ, on all cores, last weights only; otherwise as ``compare_jax``."""
    with torch_threads(1), jax_process(task_of(AXIS, frames=2), "by_units") as jax:
        check_same(final_losses_of(ours_axis()), jax.losses, AGREE_ON_AXIS)
        return [(jax.seconds(), seconds(ours_axis)) for _ in range(repeats)], jax.compile_seconds


class Jax(NamedTuple):
    """A process that has compiled a task: its seconds of compiling, the last losses (R,), and a way to time it."""

    compile_seconds: float
    losses: NDArray
    seconds: Callable[[], float]


@contextmanager
def jax_process(task: Task, layout: str, flags: str = "") -> Iterator[Jax]:
    """JAX in a process of its own, which inherits the cores of this thread, until the block ends.

    Args:
        task: what it trains whenever it is asked.
        layout: of its activations.
        flags: XLA_FLAGS of that process.

    Raises:
        EOFError: the process ended early; it has said why on stderr.
    """
    spawn = multiprocessing.get_context("spawn")
    near, far = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(far, task, layout, flags), daemon=True)
    process.start()
    far.close()

    def ask() -> float:
        near.send("train")
        return near.recv()

    try:
        yield Jax(*near.recv(), ask)
    finally:
        near.close()
        process.join()


def _serve(pipe: Connection, task: Task, layout: str, flags: str) -> None:
    os.environ["XLA_FLAGS"] = flags
    import jax

    from bench import in_jax

    given = jax.tree.map(jax.numpy.asarray, (task.families, task.start, task.points))
    started = time.perf_counter()
    compiled = in_jax.trainer(task.steps, task.frames, getattr(in_jax, layout)).lower(*given).compile()
    compile_seconds = time.perf_counter() - started
    losses = np.concatenate([np.asarray(loss) for _, loss in compiled(*given)])
    pipe.send((compile_seconds, losses))
    try:
        while pipe.recv():
            pipe.send(seconds(lambda: jax.block_until_ready(compiled(*given))))
    except EOFError:
        pass
