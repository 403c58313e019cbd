"""One batched multilayer perceptron: many models of one shape as the rows of a flat parameter matrix (R, P).

Shape letters: R runs, N points, H units of a layer, P parameters. Activations are (R, H, N), so that a layer is
``W @ a + b`` for all runs at once. The gradient is written by hand and allocates nothing: measured in DECISIONS.md.

A training keeps its parameters packed: each layer as one block [Wᵀ; b] of shape (H_in + 1, H_out). Activations end in a
row of ones, so that one product gives ``W @ a + b``, and another the gradients of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_aten = torch.ops.aten
NORM_EPS = 1e-5
WORKSPACE = 3.2e6
"""Bytes of activations to fill before going on to the next models. Half of it stays in a core's L2 cache and would make
one thread 5 % faster; two threads take turns at Python, and would lose 20 % in the shorter calls."""
GPU_WORKSPACE = 2.5e8
"""The same on a GPU, where only the evaluation of a film needs pieces: enough models to keep it busy."""
SMALL_PRODUCT = 400
"""Multiply-adds of one matrix product below which torch.bmm leaves MKL for a plain loop, four times slower."""

Call = Callable[[], object]
"""A torch function with everything it reads and writes bound: what a step is made of."""


def _nothing() -> None:
    """The gradient of the identity."""


class Activation(NamedTuple):
    """A nonlinearity as prepared calls: from z into a, (z, a) -> call, and its gradient in place from a, (d, a) -> call
    that takes d to d · φ′."""

    apply: Callable[[Tensor, Tensor], Call]
    gradient_: Callable[[Tensor, Tensor], Call]


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(
        lambda z, a: partial(torch.tanh, z, out=a),
        lambda d, a: partial(_aten.tanh_backward.grad_input, d, a, grad_input=d),
    ),
    "relu": Activation(
        lambda z, a: partial(torch.clamp, z, min=0, out=a),
        lambda d, a: partial(_aten.threshold_backward.grad_input, d, a, 0, grad_input=d),
    ),
    "sigmoid": Activation(
        lambda z, a: partial(torch.sigmoid, z, out=a),
        lambda d, a: partial(_aten.sigmoid_backward.grad_input, d, a, grad_input=d),
    ),
    "identity": Activation(lambda z, a: partial(a.copy_, z), lambda d, a: _nothing),
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

    def packing(self) -> Tensor:
        """Which column of a row lies at each place of a packed row, (P,): every layer's [Wᵀ; b], then gains and shifts.

        ``flat[:, packing]`` is packed, ``packed[:, packing.argsort()]`` flat again.
        """
        layers = self.layers(torch.arange(self.parameters)[None])
        blocks = [torch.cat([layer.weight[0].T, layer.bias]).flatten() for layer in layers]
        norms = [part[0] for layer in layers for part in (layer.gain, layer.shift) if part is not None]
        return torch.cat([*blocks, *norms])

    def blocks(self, packed: Tensor) -> list[Tensor]:
        """Views into packed parameters (R, P): [Wᵀ; b] of every layer, each (R, in + 1, out)."""
        cut = _cutter(packed)
        return [next(cut)(before + 1, after) for before, after in pairwise(self.sizes)]

    def packed_matrices(self) -> list[tuple[slice, tuple[int, int]]]:
        """Columns and shape (in, out) of every weight matrix in a packed row, from input to output."""
        starts = np.cumsum([0, *((before + 1) * after for before, after in pairwise(self.sizes))]).tolist()
        shapes = pairwise(self.sizes)
        return [(slice(start, start + a * b), (a, b)) for start, (a, b) in zip(starts, shapes, strict=False)]

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
        """Logits (R, M) of every run at points x (M, 2), piece by piece in a workspace."""
        packed, out = flat[:, self.packing().to(flat.device)], flat.new_empty(len(flat), len(x))
        pieces = _pieces(self, packed, len(x), WORKSPACE / 2 if flat.device.type == "cpu" else GPU_WORKSPACE)
        shown = packed[pieces[0]].clone()
        workspace = _Workspace(self, packed, len(shown), len(x))
        workspace.x[:2] = x.T
        models = _Forward(self, shown, workspace)
        for rows in pieces:
            count = rows.stop - rows.start
            shown[:count] = packed[rows]
            for call in models.calls:
                call()
            out[rows] = models.z[-1][:count, 0]
        return out


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
    """The gradient of the mean binary cross-entropy of R models at N points, with every buffer and call made once.

    Args:
        architecture: the shape of the models.
        packed: parameters (R, P) as ``architecture.packing`` lays them out; read at every call.
        points: N, the number of points a call sees.
    """

    def __init__(self, architecture: Architecture, packed: Tensor, points: int) -> None:
        self.gradient = torch.empty_like(packed)
        pieces = _pieces(architecture, packed, points, WORKSPACE if packed.device.type == "cpu" else math.inf)
        self.workspace = _Workspace(architecture, packed, pieces[0].stop, points)
        self.calls = [
            call
            for rows in pieces
            for call in _loss_gradient(architecture, packed[rows], self.gradient[rows], self.workspace)
        ]

    def see(self, x: Tensor, y: Tensor) -> None:
        """Set the points of the next calls: x (2, N), labels y (N,)."""
        self.workspace.x[:2] = x
        torch.mul(y, -1 / len(y), out=self.workspace.minus_y)

    def __call__(self) -> Tensor:
        """The gradient (R, P), packed, at the points last seen; the same tensor at every call."""
        for call in self.calls:
            call()
        return self.gradient


def _pieces(architecture: Architecture, packed: Tensor, points: int, room: float) -> list[slice]:
    """Rows whose activations fill so many bytes at a time, the first piece as long as any."""
    runs, a_model = len(packed), 2 * points * (sum(architecture.sizes) + 1) * packed.element_size()
    count = min(runs, math.ceil(runs * a_model / room))
    size = -(-runs // max(count, 1))
    return [slice(start, min(start + size, runs)) for start in range(0, runs, size)]


class _Workspace:
    """What the models of one piece after the other write to, so that it stays in cache.

    Attributes:
        x: the points and a row of ones, (3, N).
        minus_y: −y/N, (N,).
        z: before the activation, later the gradient with respect to it, every layer (r, H, N).
        a: activations with a row of ones, hidden layers (r, H + 1, N).
    """

    def __init__(self, architecture: Architecture, like: Tensor, runs: int, points: int) -> None:
        self.x, self.minus_y = like.new_ones(3, points), like.new_empty(points)
        self.z = [like.new_empty(runs, width, points) for width in architecture.sizes[1:]]
        self.a = [like.new_ones(runs, width + 1, points) for width in architecture.hidden]


class _Forward:
    """Some models in a workspace: the calls that take them from the points to their logits, z[-1] (r, 1, N)."""

    def __init__(self, architecture: Architecture, packed: Tensor, workspace: _Workspace) -> None:
        runs, points = len(packed), workspace.x.shape[1]
        self.activation, self.blocks = ACTIVATIONS[architecture.activation], architecture.blocks(packed)
        self.inputs = [workspace.x.expand(runs, 3, points), *(a[:runs] for a in workspace.a)]
        self.z, self.outputs = [z[:runs] for z in workspace.z], [a[:, :-1] for a in self.inputs[1:]]
        self.norms: list[_Norm | None] = [None] * len(self.blocks)
        if architecture.layer_norm:
            self.norms[:-1] = [_Norm(*pair, points) for pair in _gains_and_shifts(architecture, packed)]
        self.calls: list[Call] = []
        for i, (block, a, z) in enumerate(zip(self.blocks, self.inputs, self.z, strict=True)):
            self.calls.append(partial(torch.bmm, block.transpose(1, 2), a, out=z))
            if norm := self.norms[i]:
                self.calls.append(partial(norm.forward_, z))
            if i < len(self.outputs):
                self.calls.append(self.activation.apply(z, self.outputs[i]))


def _loss_gradient(architecture: Architecture, packed: Tensor, gradient: Tensor, workspace: _Workspace) -> list[Call]:
    """The calls that put the gradient of some models into their packed rows of ``gradient``."""
    models = _Forward(architecture, packed, workspace)
    runs, points = len(packed), len(workspace.minus_y)
    products = [torch.empty_like(block).contiguous() for block in models.blocks]
    *_, delta = models.z
    calls: list[Call] = [
        *models.calls,
        partial(torch.sigmoid_, delta),
        partial(torch.add, workspace.minus_y, delta, alpha=1 / points, out=delta),
        # As (out = 1, in + 1) the last layer's gradient takes a quarter of the time; its entries lie the same.
        partial(torch.bmm, delta, models.inputs[-1].transpose(1, 2), out=products[-1].transpose(1, 2)),
    ]
    at_once = packed.device.type == "cpu" and points * architecture.sizes[-2] >= SMALL_PRODUCT
    spread = torch.bmm if at_once else torch.mul
    for i in range(len(models.outputs) - 1, -1, -1):
        above, below, weights = models.z[i + 1], models.z[i], models.blocks[i + 1][:, :-1]
        calls.append(partial(spread if above is delta else torch.bmm, weights, above, out=below))
        calls.append(models.activation.gradient_(below, models.outputs[i]))
        if norm := models.norms[i]:
            calls.append(partial(norm.backward_, below))
        calls.append(partial(torch.bmm, models.inputs[i], below.transpose(1, 2), out=products[i]))
    norms = [part for norm in models.norms if norm for part in (norm.gain_gradient, norm.shift_gradient)]
    calls.append(partial(torch.cat, [*(g.view(runs, -1) for g in products), *norms], 1, out=gradient))
    return calls


def _gains_and_shifts(architecture: Architecture, packed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Views into packed parameters (R, P): LayerNorm's gain and shift of every hidden layer, each (R, H)."""
    widths = [width for width in architecture.hidden for _ in range(2)]
    pairs = iter(packed[:, packed.shape[1] - sum(widths) :].split(widths, 1))
    return list(zip(pairs, pairs, strict=True))


class _Norm:
    """LayerNorm over the units of one layer: forward and backward in place (Ba et al. 2016, arXiv 1607.06450)."""

    def __init__(self, gain: Tensor, shift: Tensor, points: int) -> None:
        self.gain, self.shift = gain[:, :, None], shift[:, :, None]
        runs, width = gain.shape
        self.normal = gain.new_empty(runs, width, points)
        self.inverse = gain.new_empty(runs, 1, points)
        self.gain_gradient = gain.new_empty(runs, width)
        self.shift_gradient = gain.new_empty(runs, width)

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
