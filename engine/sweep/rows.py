"""The rows of a sweep's file: the full experiment of every model, and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from engine.experiment import KNOBS, Experiment
from engine.knobs import Flag, Knob, Names, Number, Widths
from engine.run import METRICS
from engine.variants import Variant


def _type_of(knob: Knob) -> pa.DataType:
    if isinstance(knob, Number):
        return pa.int64() if knob.whole else pa.float64()
    return pa.bool_() if isinstance(knob, Flag) else pa.string()


_KNOBS = {name: knob for name, knob in KNOBS.items() if not isinstance(knob, Names)}
SCHEMA = pa.schema(
    [
        ("variant", pa.string()),
        *((name, _type_of(knob)) for name, knob in _KNOBS.items()),
        ("variant_lr", pa.float64()),
        ("variant_weight_decay", pa.float64()),
        *((name, pa.float64()) for name in METRICS),
        ("diverged", pa.int64()),
        ("link", pa.string()),
    ]
)
"""variant; every knob by its name (``hidden`` as 16-16, ``batch_size`` null for all points, ``weight_decay_adaptive``
null for matched shrink); η and λ of the variant itself; METRICS after the last step; the step at which a weight left
the finite, or null; the experiment as the query of a permalink."""


def table_of(experiments: Sequence[Experiment], metrics: NDArray, diverged: NDArray) -> pa.Table:
    """The rows of some experiments' models, in the order of the experiments and of their variants.

    Args:
        experiments: what was trained.
        metrics: METRICS of every model, (M, 6).
        diverged: the step at which each diverged, 0 if it did not, (M,).
    """
    rows = [_row(experiment, variant) for experiment in experiments for variant in experiment.chosen]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= dict(zip(METRICS, np.asarray(metrics, dtype=float).T, strict=True))
    columns["diverged"] = [int(step) or None for step in diverged]
    return pa.table([columns[name] for name in SCHEMA.names], SCHEMA)


def experiment_of(row: Mapping[str, Any] | pd.Series) -> Experiment:
    """The experiment of one row of the file, with its one variant."""
    values = {name: _plain(row[name]) for name in _KNOBS}
    return Experiment(**{**values, "hidden": _widths(str(row["hidden"])), "variants": (row["variant"],)})


def _row(experiment: Experiment, variant: Variant) -> dict[str, Any]:
    row = {name: getattr(experiment, name) for name in _KNOBS}
    row["hidden"] = KNOBS["hidden"].write(experiment.hidden)
    row["variant"] = variant.key
    row["variant_lr"], row["variant_weight_decay"] = experiment.lr_of(variant), experiment.weight_decay_of(variant)
    row["link"] = "?" + urlencode(replace(experiment, variants=(variant.key,)).to_query(), safe=",")
    return row


def _widths(text: str) -> tuple[int, ...]:
    knob = KNOBS["hidden"]
    assert isinstance(knob, Widths)
    return knob.check(knob.read(text))


def _plain(value: Any) -> Any:
    """A value as Python has it: pandas gives numbers of numpy, and NaN for what is missing."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
