"""One batched multilayer perceptron: many models of one shape as the rows of a flat parameter matrix (R, P).

Shape letters: R runs, N points, H units of a layer, P parameters. Activations are (R, H, N), so that a layer is
``W @ a + b`` for all runs at once. The gradient is written by hand and allocates nothing: measured in DECISIONS.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_aten = torch.ops.aten
NORM_EPS = 1e-5
CACHED = 2**18
"""Entries of an activation that an evaluation keeps at hand: about what fits in a core's cache."""


class Activation(NamedTuple):
    """A nonlinearity in place, and its gradient in place from the outputs a: (d, a) -> d · φ′."""

    apply_: Callable[[Tensor], Tensor]
    gradient_: Callable[[Tensor, Tensor], object]


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh_, lambda d, a: _aten.tanh_backward.grad_input(d, a, grad_input=d)),
    "relu": Activation(torch.relu_, lambda d, a: _aten.threshold_backward.grad_input(d, a, 0, grad_input=d)),
    "sigmoid": Activation(torch.sigmoid_, lambda d, a: _aten.sigmoid_backward.grad_input(d, a, grad_input=d)),
    "identity": Activation(lambda a: a, lambda d, a: d),
}


class Layer(NamedTuple):
    """One layer's parameters for R runs: weight (R, out, in), bias (R, out), and LayerNorm's gain and shift."""

    weight: Tensor
    bias: Tensor
    gain: Tensor | None = None
    shift: Tensor | None = None


@dataclass(frozen=True)
class Architecture:
    """The shape of a model 2 → hidden → 1, and where each tensor lies in a row: weights first, then the rest."""

    hidden: tuple[int, ...]
    activation: str = "tanh"
    layer_norm: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from input to output."""
        return (2, *self.hidden, 1)

    @property
    def weights(self) -> int:
        """Number of entries of the weight matrices: the first columns of a row, what ``p.dim() >= 2`` selects."""
        return sum(before * after for before, after in pairwise(self.sizes))

    @property
    def parameters(self) -> int:
        """Number of all parameters, P."""
        return self.weights + sum(self.sizes[1:]) + (2 * sum(self.hidden) if self.layer_norm else 0)

    def matrices(self) -> list[tuple[slice, tuple[int, int]]]:
        """Columns and shape (out, in) of every weight matrix, from input to output."""
        ends = np.cumsum([before * after for before, after in pairwise(self.sizes)]).tolist()
        shapes = [(after, before) for before, after in pairwise(self.sizes)]
        return [(slice(end - out * into, end), (out, into)) for end, (out, into) in zip(ends, shapes, strict=True)]

    def normalised(self) -> NDArray:
        """1 where a parameter is a weight that feeds LayerNorm, else 0, (P,)."""
        feeds = np.zeros(self.parameters)
        feeds[: self.layer_norm * (self.weights - self.sizes[-2])] = 1
        return feeds

    def layers(self, flat: Tensor) -> list[Layer]:
        """Views into parameters (R, P), one Layer for each weight matrix."""
        cut = _cutter(flat)
        weights = [next(cut)(after, before) for before, after in pairwise(self.sizes)]
        biases = [next(cut)(after) for after in self.sizes[1:]]
        if not self.layer_norm:
            return [Layer(*pair) for pair in zip(weights, biases, strict=True)]
        norms = [(next(cut)(width), next(cut)(width)) for width in self.hidden]
        hidden = [Layer(w, b, *norm) for w, b, norm in zip(weights, biases, norms, strict=False)]
        return [*hidden, Layer(weights[-1], biases[-1])]

    def initial(self, seed: int) -> Tensor:
        """Initial parameters (P,), float64: torch.nn.Linear's U(±1/√in) for weights and biases, gain 1, shift 0."""
        generator = torch.Generator().manual_seed(seed)
        flat = torch.zeros(1, self.parameters, dtype=torch.float64)
        for layer in self.layers(flat):
            bound = 1 / math.sqrt(layer.weight.shape[2])
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
            if layer.gain is not None:
                layer.gain.fill_(1)
        return flat[0]

    def logits(self, flat: Tensor, x: Tensor) -> Tensor:
        """Logits (R, M) of every run at points x (M, 2), in blocks of runs that stay in cache."""
        runs, points = len(flat), len(x)
        block = max(1, min(runs, CACHED // (points * max(self.sizes))))
        buffers = [flat.new_empty(block, width, points) for width in self.hidden]
        out = flat.new_empty(runs, 1, points)
        for start in range(0, runs, block):
            rows = slice(start, min(start + block, runs))
            count = rows.stop - start
            a = x.T.expand(count, 2, points)
            *hidden, last = self.layers(flat[rows])
            for layer, buffer in zip(hidden, buffers, strict=True):
                a = torch.baddbmm(layer.bias[:, :, None], layer.weight, a, out=buffer[:count])
                if layer.gain is not None and layer.shift is not None:
                    a.sub_(a.mean(1, keepdim=True))
                    a.div_(torch.sqrt(a.square().mean(1, keepdim=True) + NORM_EPS))
                    a.mul_(layer.gain[:, :, None]).add_(layer.shift[:, :, None])
                ACTIVATIONS[self.activation].apply_(a)
            torch.baddbmm(last.bias[:, :, None], last.weight, a, out=out[rows])
        return out[:, 0]


def _cutter(flat: Tensor) -> Iterator[Callable[..., Tensor]]:
    """Yield functions that cut the next columns of (R, P) and view them as (R, *shape)."""
    start = 0

    def cut(*shape: int) -> Tensor:
        nonlocal start
        stop = start + math.prod(shape)
        view = flat[:, start:stop].view(len(flat), *shape)
        start = stop
        return view

    while True:
        yield cut


class LossGradient:
    """The gradient of the mean binary cross-entropy of R models at N points, with every buffer made once.

    Args:
        architecture: the shape of the models.
        flat: parameters (R, P); read at every call.
        points: N, the number of points a call sees.
    """

    def __init__(self, architecture: Architecture, flat: Tensor, points: int) -> None:
        runs, widths = len(flat), architecture.sizes[1:]
        self.gradient = torch.empty_like(flat)
        self.activation = ACTIVATIONS[architecture.activation]
        self.layers = architecture.layers(flat)
        self.biases = [layer.bias[:, :, None] for layer in self.layers]
        self.transposed = [layer.weight.transpose(1, 2) for layer in self.layers]
        self.outputs = [flat.new_empty(runs, width, points) for width in widths]
        # All δ lie in one piece, so that one sum gives every bias gradient.
        together = flat.new_empty(runs * sum(widths), points)
        pieces = together.split([runs * width for width in widths])
        self.deltas = [piece.view(runs, width, points) for piece, width in zip(pieces, widths, strict=True)]
        sums = flat.new_empty(runs * sum(widths))
        bias_gradients = [piece.view(runs, -1) for piece in sums.split([runs * width for width in widths])]
        self.sum_biases = lambda: torch.sum(together, 1, out=sums)
        self.norms = [_Norm(layer, points) if layer.gain is not None else None for layer in self.layers]
        norm_gradients = [g for norm in self.norms if norm for g in (norm.gain_gradient, norm.shift_gradient)]
        self.weight_gradients = [torch.empty_like(layer.weight).contiguous() for layer in self.layers]
        self.parts = [g.view(runs, -1) for g in self.weight_gradients] + bias_gradients + norm_gradients
        self.inputs: list[Tensor] = []

    def see(self, x: Tensor, y: Tensor) -> None:
        """Set the points of the next calls: x (2, N), labels y (N,)."""
        n = len(y)
        self.inputs = [x.expand(len(self.gradient), 2, n), *self.outputs[:-1]]
        self.inputs_transposed = [a.transpose(1, 2) for a in self.inputs]
        self.share, self.minus_y = 1 / n, y / -n

    def __call__(self) -> Tensor:
        """The gradient (R, P) at the points last seen; the same tensor at every call."""
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            a = torch.baddbmm(self.biases[i], layer.weight, self.inputs[i], out=self.outputs[i])
            if norm := self.norms[i]:
                norm.forward_(a)
            (torch.sigmoid_ if i == last else self.activation.apply_)(a)
        torch.add(self.minus_y, self.outputs[last], alpha=self.share, out=self.deltas[last])
        for i in range(last, -1, -1):
            delta = self.deltas[i]
            torch.bmm(delta, self.inputs_transposed[i], out=self.weight_gradients[i])
            if i:
                below = torch.bmm(self.transposed[i], delta, out=self.deltas[i - 1])
                self.activation.gradient_(below, self.inputs[i])
                if norm := self.norms[i - 1]:
                    norm.backward_(below)
        self.sum_biases()
        return torch.cat(self.parts, 1, out=self.gradient)


class _Norm:
    """LayerNorm over the units of one layer: forward and backward in place (Ba et al. 2016, arXiv 1607.06450)."""

    def __init__(self, layer: Layer, points: int) -> None:
        assert layer.gain is not None
        assert layer.shift is not None
        self.gain, self.shift = layer.gain[:, :, None], layer.shift[:, :, None]
        runs, width = layer.gain.shape
        self.normal = layer.gain.new_empty(runs, width, points)
        self.inverse = layer.gain.new_empty(runs, 1, points)
        self.gain_gradient = layer.gain.new_empty(runs, width)
        self.shift_gradient = layer.gain.new_empty(runs, width)

    def forward_(self, a: Tensor) -> None:
        a.sub_(a.mean(1, keepdim=True))
        torch.rsqrt(a.square().mean(1, keepdim=True).add_(NORM_EPS), out=self.inverse)
        torch.mul(a, self.inverse, out=self.normal)
        torch.mul(self.normal, self.gain, out=a).add_(self.shift)

    def backward_(self, delta: Tensor) -> None:
        torch.sum(delta, 2, out=self.shift_gradient)
        torch.sum(delta * self.normal, 2, out=self.gain_gradient)
        delta.mul_(self.gain)
        along = (delta * self.normal).mean(1, keepdim=True)
        delta.sub_(delta.mean(1, keepdim=True)).sub_(self.normal * along).mul_(self.inverse)
