"""What decays: the tensors of a model as PyTorch names them, the parameter groups as code, and their sizes in a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.experiment import Experiment
from engine.mlp import Architecture
from engine.run import Run, architecture_of, decayed_columns
from engine.variants import Variant

Kind = Literal["weight", "bias", "gain", "shift"]
KINDS: dict[Kind, str] = {"weight": "weights", "bias": "biases", "gain": "LayerNorm gains", "shift": "LayerNorm shifts"}
"""What a tensor is, in words."""


@dataclass(frozen=True)
class Named:
    """One parameter tensor of a model.

    Attributes:
        name: as ``torch.nn.Sequential.named_parameters`` has it.
        kind: weight matrix, bias, or LayerNorm's gain or shift.
        shape: its shape.
        columns: where it lies in a row of the flat parameter matrix.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    columns: slice

    @property
    def size(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape)

    def entry(self, i: int) -> str:
        """The name of the i-th parameter in it, as PyTorch indexes it: ``2.weight[0, 3]``."""
        return f"{self.name}[{', '.join(str(int(k)) for k in np.unravel_index(i, self.shape))}]"


def named_tensors(architecture: Architecture) -> list[Named]:
    """The tensors of the model in the order of ``nn.Sequential(Linear, [LayerNorm,] activation, …, Linear)``."""
    widths, matrices = architecture.sizes[1:], architecture.matrices()
    bias_start = architecture.weights
    norm_start = bias_start + sum(widths)
    tensors = []
    for i, ((columns, shape), width) in enumerate(zip(matrices, widths, strict=True)):
        layer = i * (3 if architecture.layer_norm else 2)
        tensors.append(Named(f"{layer}.weight", "weight", shape, columns))
        tensors.append(Named(f"{layer}.bias", "bias", (width,), slice(bias_start, bias_start + width)))
        bias_start += width
        if architecture.layer_norm and i < len(architecture.hidden):
            middle, end = norm_start + width, norm_start + 2 * width
            tensors.append(Named(f"{layer + 1}.weight", "gain", (width,), slice(norm_start, middle)))
            tensors.append(Named(f"{layer + 1}.bias", "shift", (width,), slice(middle, end)))
            norm_start = end
    return tensors


def is_decayed(tensor: Named, experiment: Experiment) -> bool:
    """Whether λ acts on a tensor of the experiment's model."""
    stop = decayed_columns(experiment, architecture_of(experiment)).stop
    return stop is None or tensor.columns.stop <= stop


def entry_of(architecture: Architecture, column: int) -> str:
    """The PyTorch name of one parameter, by its column in the flat parameter matrix."""
    tensor = next(t for t in named_tensors(architecture) if t.columns.start <= column < t.columns.stop)
    return tensor.entry(column - tensor.columns.start)


_NORMS = """norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.LayerNorm) for p in m.parameters()}
"""
_DECAYED = {
    "weights": "decayed = [p for p in model.parameters() if p.dim() >= 2]\n",
    "biases": _NORMS + "decayed = [p for p in model.parameters() if id(p) not in norms]\n",
    "all": "decayed = list(model.parameters())  # all of them: biases and LayerNorm too\n",
}


def groups_code(decayed: str) -> str:
    """PyTorch code that makes of a ``model`` what ``Variant.snippet`` is given: ``decayed`` and ``groups``.

    Args:
        decayed: a key of ``engine.experiment.DECAYED``.
    """
    return _DECAYED[decayed] + (
        "chosen = {id(p) for p in decayed}\n"
        "rest = [p for p in model.parameters() if id(p) not in chosen]\n"
        'groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]\n'
    )


def norms_of(run: Run, variant: Variant, kind: Kind) -> NDArray:
    """‖·‖₂ over all tensors of one kind at every recorded step, (T,); zeros where the model has none."""
    columns = _columns(run, kind)
    return np.linalg.norm(run.film[:, run.row(variant.key)][:, columns].astype(np.float64), axis=1)


def root_mean_square(run: Run, variant: Variant, kind: Kind) -> NDArray:
    """√(mean of squares) over all tensors of one kind at every recorded step, (T,): LayerNorm's gains start at 1."""
    return norms_of(run, variant, kind) / math.sqrt(max(len(_columns(run, kind)), 1))


def _columns(run: Run, kind: Kind) -> NDArray:
    parts = [np.arange(t.columns.start, t.columns.stop) for t in named_tensors(run.architecture) if t.kind == kind]
    return np.concatenate([np.arange(0), *parts])
