"""Six variants × 400 steps: ``train`` with film and curves, beside six plain torch.optim loops, one thread each.

The plain side is what a notebook would hold: an ``nn.Sequential``, and the registry's own PyTorch snippet (zero_grad,
forward, loss, backward, step) for each variant, from the same initial weights on the same points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.timing import check_same, seconds, torch_threads
from engine import VARIANTS, Experiment, Run, train, train_many
from engine.axis import THREADS, at_lambda, lambdas

EXPERIMENT = Experiment(hidden=(16, 16), points=200, steps=400)
AXIS = tuple(at_lambda(EXPERIMENT, value) for value in lambdas())


def ours() -> Run:
    """Train the six variants; record film and curves."""
    run = train(EXPERIMENT, device="cpu")
    _ = run.curves
    return run


def ours_axis() -> Sequence[Run]:
    """Train the six variants at every λ on two threads; record the last weights alone."""
    return train_many(AXIS, device="cpu", frames=2, threads=THREADS)


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
    with torch_threads(1):
        run = ours()
        ends = plain(run)
        check_same(final_losses(run), np.array([ends[key] for key in run.experiment.variants]))
        return [(seconds(lambda: plain(run)), seconds(ours)) for _ in range(repeats)]


def compare_axis(repeats: int) -> list[tuple[float, float]]:
    """(plain, ours) in seconds for six variants × 41 values of λ, on two threads; alternating, warmed up by one round.

    The plain side is timed at one λ and multiplied: its loops do not know of each other.
    """
    with torch_threads(1):
        run = ours()
        ours_axis()
        return [(len(AXIS) * seconds(lambda: plain(run)), seconds(ours_axis)) for _ in range(repeats)]


def final_losses(run: Run) -> NDArray:
    """The last train loss of every variant of a run, (R,); NaN where it diverged."""
    gone = np.array([run.diverged[key] is not None for key in run.experiment.variants])
    return np.where(gone, np.nan, run.metrics_at(slice(-1, None))["train_loss"][0])


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
