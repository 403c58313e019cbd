"""A sweep: an experiment, and the values that some of its knobs take; every combination is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.experiment import KNOBS, Experiment
from engine.train import BLOCK, SHARED

PRECISIONS = ("float64", "float32")
BATCH = {"cpu": BLOCK, "cuda": 16_384}
"""Models of one batch by device: a GPU is filled by thousands of them."""


@dataclass(frozen=True)
class Sweep:
    """Every combination of some knobs' values around one experiment; each trains all variants of the experiment.

    The order of the values and of the models is fixed: knobs that change data, model or number of steps come first,
    since the rest trains as one batch; among them the order of ``Experiment``'s fields. What a batch holds does not
    depend on where or in what order batches are trained, so neither do its numbers.

    Attributes:
        base: every knob that is not swept.
        over: knob to its values; tuples of (knob, values) once it is made.
        precision: "float64" as the pages train, or "float32", about twice as fast.
        device: "cpu" or "cuda", which round differently.
        batch_models: models of one batch, at most; by default what suits the device.

    Raises:
        ValueError: a name that is not a knob, no or repeated values, or a value out of its bounds.
    """

    base: Experiment
    over: Mapping[str, Sequence[Any]] | tuple[tuple[str, tuple[Any, ...]], ...]
    precision: str = "float64"
    device: str = "cpu"
    batch_models: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("device", tuple(BATCH))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}.")
        if not self.batch_models:
            object.__setattr__(self, "batch_models", BATCH[self.device])
        given = dict(self.over)
        checked = {name: _checked(name, values) for name, values in given.items()}
        order = [*SHARED, *(name for name in KNOBS if name not in SHARED)]
        object.__setattr__(self, "over", tuple((name, checked[name]) for name in order if name in checked))

    @property
    def axes(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """The swept knobs and their values, outermost first."""
        return self.over  # type: ignore[return-value]

    @property
    def cells(self) -> int:
        """Number of experiments."""
        return math.prod(len(values) for _, values in self.axes)

    def __len__(self) -> int:
        """Number of models: every experiment's variants."""
        widths = [len(value) for name, values in self.axes if name == "variants" for value in values]
        return self.cells // max(len(widths), 1) * (sum(widths) or len(self.base.variants))

    @property
    def _group(self) -> int:
        """Experiments that share data, model and steps."""
        return math.prod(len(values) for name, values in self.axes if name not in SHARED)

    @property
    def _cells_a_batch(self) -> int:
        most = max((len(value) for name, values in self.axes if name == "variants" for value in values), default=0)
        return max(1, self.batch_models // (most or len(self.base.variants)))

    @property
    def batches(self) -> int:
        """Number of batches, each of models that are trained together."""
        return self.cells // self._group * -(-self._group // self._cells_a_batch)

    def batch(self, number: int) -> list[Experiment]:
        """The experiments of one batch.

        Raises:
            IndexError: no such batch.
        """
        if not 0 <= number < self.batches:
            raise IndexError(f"batch {number} of {self.batches}")
        group, part = divmod(number, -(-self._group // self._cells_a_batch))
        start = part * self._cells_a_batch
        stop = min(start + self._cells_a_batch, self._group)
        return [self.experiment(group * self._group + cell) for cell in range(start, stop)]

    def experiment(self, cell: int) -> Experiment:
        """The experiment of one cell, the last axis fastest."""
        chosen = {}
        for name, values in reversed(self.axes):
            cell, place = divmod(cell, len(values))
            chosen[name] = values[place]
        return replace(self.base, **chosen)

    def blocks(self, batches: Iterable[int], models: int) -> Iterator[tuple[int, ...]]:
        """Rising batch numbers in blocks of neighbours, at least one and about so many models in each."""
        size, block = max(1, models * self.batches // len(self)), tuple[int, ...]()
        for number in batches:
            if block and (len(block) == size or number != block[-1] + 1):
                yield block
                block = ()
            block = (*block, number)
        if block:
            yield block

    def to_dict(self) -> dict[str, Any]:
        """What makes two sweeps the same, as JSON: every knob, whatever its default is or becomes."""
        return {
            "base": {name: _written(name, getattr(self.base, name)) for name in KNOBS},
            "over": {name: [_written(name, value) for value in values] for name, values in self.axes},
            "precision": self.precision,
            "device": self.device,
            "models of one batch": self.batch_models,
            "torch": torch.__version__,
        }


def _checked(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    if name not in KNOBS:
        raise ValueError(f"{name!r} is not a knob; knobs are {', '.join(KNOBS)}.")
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} needs a list of values, not {values!r}.")
    chosen = []
    for value in values:
        try:
            chosen.append(KNOBS[name].check(value))
        except ValueError as error:
            raise ValueError(f"{name} {error}, not {value!r}.") from None
    if not chosen:
        raise ValueError(f"{name} has no values.")
    if len(set(chosen)) < len(chosen):
        twice = next(value for value in chosen if chosen.count(value) > 1)
        raise ValueError(f"{name} has the value {_written(name, twice)} twice.")
    return tuple(chosen)


def _written(name: str, value: Any) -> str:
    return "default" if value is None else KNOBS[name].write(value)
