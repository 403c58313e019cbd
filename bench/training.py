"""Six variants × 400 steps: ``train`` with film and curves, beside six plain torch.optim loops, one thread each.

The plain side is what a notebook would hold: an ``nn.Sequential``, and the registry's own PyTorch snippet (zero_grad,
forward, loss, backward, step) for each variant, from the same initial weights on the same points.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from engine import VARIANTS, Experiment, Run, train, train_many
from engine.axis import THREADS, at_lambda, lambdas

EXPERIMENT = Experiment(hidden=(16, 16), points=200, steps=400)
AGREE = 1e-3
"""Largest difference of the final train losses: both sides did the same work, up to float32."""


def ours() -> Run:
    """Train the six variants; record film and curves."""
    run = train(EXPERIMENT, device="cpu")
    _ = run.curves
    return run


def plain(run: Run) -> dict[str, float]:
    """Train the same six with torch.optim, one after the other; variant to its final train loss.

    Args:
        run: where data and initial weights come from.
    """
    x = torch.as_tensor(run.data.x_train, dtype=torch.float32)
    y = torch.as_tensor(run.data.y_train, dtype=torch.float32)[:, None]
    loss_fn = nn.BCEWithLogitsLoss()
    losses = {}
    for key in run.experiment.variants:
        model = _model(run, key)
        _train_plainly(model, run.experiment, key, x, y, loss_fn)
        with torch.no_grad():
            losses[key] = loss_fn(model(x), y).item()
    return losses


def compare(repeats: int) -> list[tuple[float, float]]:
    """(plain, ours) in seconds for each repeat, alternating, after one round of each to warm up.

    Raises:
        RuntimeError: the two sides did not train to the same losses.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = ours()
        _check(run, plain(run))
        return [(_seconds(lambda: plain(run)), _seconds(ours)) for _ in range(repeats)]
    finally:
        torch.set_num_threads(threads)


def compare_axis(repeats: int) -> list[tuple[float, float]]:
    """(plain, ours) in seconds for six variants × 41 values of λ, on two threads; alternating, warmed up by one round.

    The plain side is timed at one λ and multiplied: its loops do not know of each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batch = [at_lambda(EXPERIMENT, value) for value in lambdas()]

    def axis() -> None:
        train_many(batch, device="cpu", frames=2, threads=THREADS)

    try:
        run = ours()
        axis()
        return [(len(batch) * _seconds(lambda: plain(run)), _seconds(axis)) for _ in range(repeats)]
    finally:
        torch.set_num_threads(threads)


def _model(run: Run, key: str) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, run.weights(key, step=0), strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    return model


def _train_plainly(
    model: nn.Sequential, exp: Experiment, key: str, x: torch.Tensor, y: torch.Tensor, loss_fn: nn.Module
) -> None:
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    names = {
        "torch": torch,
        "model": model,
        "loss_fn": loss_fn,
        "decayed": decayed,
        "groups": [{"params": decayed}, {"params": rest, "weight_decay": 0.0}],
        "batches": [(x, y)] * exp.steps,
        "lr": exp.lr_of(VARIANTS[key]),
        "weight_decay": exp.weight_decay_of(VARIANTS[key]),
        "momentum": exp.momentum,
    }
    exec(VARIANTS[key].snippet(), names)


def _check(run: Run, losses: dict[str, float]) -> None:
    ends = {key: float(values[-1]) for key, values in run.series("train_loss").items()}
    apart = {key: abs(ends[key] - losses[key]) for key in ends}
    if max(apart.values()) > AGREE:
        raise RuntimeError(f"The plain loops and the engine did not train to the same losses: {apart}")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
