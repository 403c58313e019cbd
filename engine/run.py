"""What a training leaves: the film of parameters, and the losses and norms that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from engine.datasets import Data
from engine.experiment import Experiment
from engine.mlp import Architecture
from engine.variants import Variant

Rows = Sequence[tuple[Experiment, Variant]]
"""(experiment, variant) of every model of a batch."""

METRICS = (
    "train_loss", "train_penalised_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm"
)  # fmt: skip
"""What is measured of a model, in the order of columns; ``Run.curves`` says what each is."""


@dataclass(frozen=True)
class Run:
    """What a training left: the film of parameters of every variant, and the data it saw. Read-only.

    Attributes:
        experiment: what was trained.
        data: the points it trained and was tested on.
        steps: recorded steps (T,), from 0 to the last.
        film: parameters (T, R, P) at those steps, R in the order of ``experiment.variants``.
        diverged: variant to the step at which a weight left the finite (its film stays at the step before), or None.
        measured: METRICS of the film, (T, R, 6), where they were measured beside the training; else they are on demand.
    """

    experiment: Experiment
    data: Data
    steps: NDArray
    film: NDArray
    diverged: dict[str, int | None]
    measured: NDArray | None = None

    def __repr__(self) -> str:
        return f"Run({', '.join(self.experiment.variants)}; {self.steps[-1]:,} steps, {len(self.steps)} recorded)"

    @property
    def architecture(self) -> Architecture:
        """The shape of the models and the layout of ``film``'s last axis."""
        return architecture_of(self.experiment)

    def row(self, variant: str) -> int:
        """The index of a variant on ``film``'s runs axis.

        Raises:
            KeyError: the experiment did not train it.
        """
        if variant not in self.experiment.variants:
            raise KeyError(f"{variant!r} was not trained; the run has {', '.join(self.experiment.variants)}.")
        return self.experiment.variants.index(variant)

    def frame(self, step: int) -> int:
        """The index of a recorded step on ``film``'s first axis; -1 is the last.

        Raises:
            KeyError: that step was not recorded.
        """
        found = np.flatnonzero(self.steps == (self.steps[-1] if step == -1 else step))
        if not found.size:
            raise KeyError(f"step {step} was not recorded; recorded are {', '.join(map(str, self.steps))}.")
        return int(found[0])

    def weights(self, variant: str, step: int = -1) -> list[tuple[NDArray, NDArray]]:
        """[(W (out, in), b (out,)), …] of one variant at a recorded step: -1 is the last, 0 the shared init.

        Raises:
            KeyError: an unknown variant or a step that was not recorded.
        """
        flat = torch.from_numpy(self.film[self.frame(step), [self.row(variant)]])
        return [(layer.weight[0].numpy(), layer.bias[0].numpy()) for layer in self.architecture.layers(flat)]

    @cached_property
    def metrics(self) -> dict[str, NDArray]:
        """The columns of ``curves`` as arrays (T, R)."""
        return self.metrics_at(slice(None))

    def metrics_at(self, frames: slice) -> dict[str, NDArray]:
        """The columns of ``curves`` at some of the recorded steps, as arrays (T, R)."""
        if self.measured is not None:
            return dict(zip(METRICS, np.moveaxis(self.measured[frames], 2, 0), strict=True))
        rows = [(self.experiment, variant) for variant in self.experiment.chosen]
        with quiet_cpu(), torch.inference_mode():
            measured = metrics_of(rows, self.data, torch.from_numpy(self.film[frames]))
        return {name: values.numpy() for name, values in measured.items()}

    def series(self, metric: str) -> dict[str, NDArray]:
        """One metric over the recorded steps: variant to (T,)."""
        return dict(zip(self.experiment.variants, self.metrics[metric].T, strict=True))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Losses, accuracies and ‖w‖ at every recorded step, tidy: one row a variant and step.

        Columns: variant, step, train_loss and test_loss (mean binary cross-entropy), train_penalised_loss (with
        λ/2‖w‖² over the decayed parameters where λ enters the gradient; the train loss elsewhere, since decay on the
        weight minimises no penalised loss), train_accuracy and test_accuracy (shares), weight_norm (‖w‖₂ over all
        weight matrices, without biases and norms). The 1,000 test points are evaluated in float32.
        """
        columns = {name: values.T.reshape(-1) for name, values in self.metrics.items()}
        variants = np.repeat(self.experiment.variants, len(self.steps))
        return pd.DataFrame({"variant": variants, "step": np.tile(self.steps, self.film.shape[1]), **columns})


def architecture_of(experiment: Experiment) -> Architecture:
    """The shape of an experiment's models."""
    return Architecture(experiment.hidden, experiment.activation, experiment.layer_norm)


@contextmanager
def quiet_cpu() -> Iterator[None]:
    """One thread, and denormals flushed to zero: small products lose by threads, dying weights crawl as denormals."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def decayed_columns(experiment: Experiment, architecture: Architecture) -> slice:
    """The columns that decay: weight matrices, with them biases, or everything."""
    biases = architecture.weights + sum(architecture.sizes[1:])
    return slice({"weights": architecture.weights, "biases": biases, "all": None}[experiment.decayed])


def decayed_mask(experiment: Experiment, architecture: Architecture) -> NDArray:
    """1 where a parameter decays, else 0, (P,)."""
    mask = np.zeros(architecture.parameters)
    mask[decayed_columns(experiment, architecture)] = 1
    return mask


def decayed_masks(rows: Rows, architecture: Architecture) -> tuple[NDArray, NDArray]:
    """``decayed_mask`` of every set of parameters that decays in some row, (K, P), and which is each row's, (R,)."""
    sets = {one.decayed: one for one, _ in rows}
    places = {decayed: place for place, decayed in enumerate(sets)}
    masks = np.stack([decayed_mask(one, architecture) for one in sets.values()])
    return masks, np.array([places[one.decayed] for one, _ in rows])


def metrics_of(rows: Rows, data: Data, flat: Tensor) -> dict[str, Tensor]:
    """METRICS of models of one architecture, each (…, R), where their parameters ``flat`` (…, R, P) are.

    The 1,000 test points are evaluated in float32.
    """
    return meter(rows, data, flat)(flat)


def meter(rows: Rows, data: Data, like: Tensor) -> Callable[[Tensor], dict[str, Tensor]]:
    """``metrics_of`` as a function of parameters (…, R, P) of the dtype of ``like``, where that is; made once."""
    architecture = architecture_of(rows[0][0])
    masks, sets = decayed_masks(rows, architecture)
    l2 = [one.weight_decay_of(variant) * (variant.where == "gradient") for one, variant in rows]
    strength = like.new_tensor(l2)[:, None] * like.new_tensor(masks)[sets]

    def measure(flat: Tensor) -> dict[str, Tensor]:
        models = flat.reshape(-1, flat.shape[-1])
        train_loss, train_accuracy = _scores(architecture, models, data.x_train, data.y_train)
        test_loss, test_accuracy = _scores(architecture, models.float(), data.x_test, data.y_test)
        squares = flat.square()
        penalty = (squares * strength).sum(-1) / 2
        norm = squares[..., : architecture.weights].sum(-1).sqrt()
        loss = train_loss.view_as(norm)
        values = (loss, loss + penalty, test_loss, train_accuracy, test_accuracy, norm)
        return {name: value.view_as(norm) for name, value in zip(METRICS, values, strict=True)}

    return measure


def _scores(architecture: Architecture, flat: Tensor, x: NDArray, y: NDArray) -> tuple[Tensor, Tensor]:
    """Mean binary cross-entropy and accuracy of every row of ``flat`` at points x (M, 2), y (M,): two tensors (R,)."""
    like = partial(torch.as_tensor, dtype=flat.dtype, device=flat.device)
    signed = architecture.logits(flat, like(x)) * like(1 - 2 * y)
    return softplus(signed).mean(1), (signed < 0).to(flat.dtype).mean(1)
