"""The film of a run for the browser: header as JSON, then P(y=1) fields as signed bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, numbers
from engine.charts.theme import PALETTE, WHERE_TITLE, config
from engine.measure import EQUAL, GRID, boundary_logits, pair_difference, pairs, window
from engine.train import Run
from engine.variants import Variant

COLUMNS = ("none", "gradient", "weight")
SHOWN_TEST_POINTS = 150
FLAT = 1e-4
"""A field whose logits stay within this is drawn without a contour: P(y=1) is 1/2 everywhere."""


def film(run: Run, key: str, pictures: list[Picture], fields: bool = True) -> bytes:
    """The first half of a film: everything but the fields before the last step, which ``reel`` brings.

    Args:
        run: the training.
        key: what the player reports when this film is on screen.
        pictures: charts under the table, with a param ``step``.
        fields: whether the signature table is part of it.

    Returns:
        Header length (uint32, little endian), the header as JSON, and the last frame of the fields.
    """
    shown = window(run.data)
    table, (scale, values) = _table(run), _fields(run, slice(-1, None)) if fields else ([], b"")
    header = {
        "key": key,
        "steps": run.steps.tolist(),
        "window": {"x": shown.x, "y": shown.y},
        "grid": GRID,
        "equal": EQUAL,
        "columns": [{"title": WHERE_TITLE[where], "tone": where} for where in COLUMNS],
        **(table if fields else {"rows": [], "panels": []}),
        "scale": scale,
        "train": _points(run.data.x_train, run.data.y_train),
        "test": _points(run.data.x_test[:SHOWN_TEST_POINTS], run.data.y_test),
        "charts": [{"spec": p.spec, "data": p.data, "alt": p.alt} for p in pictures],
        "palette": PALETTE,
        "config": {theme: config(theme) for theme in PALETTE},
    }
    return _packed(header, values)


def reel(run: Run, key: str) -> bytes:
    """The second half of a film: the fields of every recorded step, in the same packing as ``film``."""
    scale, values = _fields(run, slice(None))
    return _packed({"key": key, "scale": scale}, values)


def signature_rows(run: Run) -> list[tuple[str, list[Variant | None]]]:
    """The rows of the signature table: (optimizer, [no decay, λ in the gradient, λ on the weight]).

    A family with two variants in one column gets a second row, named after the variant.
    """
    rows: list[tuple[str, list[Variant | None]]] = []
    families: dict[str, list[Variant]] = {}
    for variant in run.experiment.chosen:
        families.setdefault(variant.family, []).append(variant)
    for family, members in families.items():
        placed: list[list[Variant | None]] = [[None, None, None]]
        for variant in members:
            column = COLUMNS.index(variant.where)
            line = next((line for line in placed if line[column] is None), None)
            if line is None:
                placed.append(line := [None, None, None])
            line[column] = variant
        rows.append((family, placed[0]))
        rows += [(next(v.title for v in line if v), line) for line in placed[1:]]
    return rows


def divergence_note(run: Run, variant: Variant) -> str | None:
    """The words "diverged at step k: ηλ = …, factor 1 − ηλ = …", or None for a run that stayed finite."""
    step = run.diverged[variant.key]
    if step is None:
        return None
    shrink = run.experiment.shrink_of(variant)
    cause = f"ηλ = {shrink:.3g}, factor 1 − ηλ = {1 - shrink:.3g}" if shrink else f"η = {run.experiment.lr_of(variant):g}"
    return f"diverged at step {step}: {cause}"


def _packed(header: dict[str, Any], values: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack("<I", len(text)) + text + values


def _order(run: Run) -> list[Variant]:
    """Variants in the order of the table, left to right and top to bottom."""
    return [variant for _, line in signature_rows(run) for variant in line if variant]


def _fields(run: Run, frames: slice) -> tuple[list[list[float | None]], bytes]:
    """Fields of some frames as int8 (T, panels, grid, grid) and the scale of each (T, panels).

    A value is 127 · tanh(logit/4) / scale, scale the field's largest tanh, so that a contour is found in flat fields.
    """
    logits = boundary_logits(run, window(run.data), frames=frames)
    bent = np.tanh(logits[:, [run.row(variant.key) for variant in _order(run)]] / 4)
    reach = np.abs(bent).max(axis=(2, 3))
    scale = np.where(reach > FLAT / 4, reach, 1.0)
    values = np.rint(bent * (127 / scale[:, :, None, None])).astype(np.int8)
    return [numbers(row) for row in scale], values.tobytes()


def _table(run: Run) -> dict[str, Any]:
    """Rows and panels of the signature table."""
    order = _order(run)
    index = {variant.key: i for i, variant in enumerate(order)}
    known = {(a.key, b.key) for a, b in pairs(run)}
    table_rows = []
    for title, line in signature_rows(run):
        _, l2, decay = line
        paired = l2 and decay and (l2.key, decay.key) in known
        table_rows.append(
            {
                "title": title,
                "notes": _notes(run, line),
                "cells": [variant and index[variant.key] for variant in line],
                "pair": numbers(pair_difference(run, l2, decay)) if paired else None,
            }
        )
    return {"rows": table_rows, "panels": [_panel(run, variant) for variant in order]}


def _panel(run: Run, variant: Variant) -> dict[str, Any]:
    row = run.row(variant.key)
    return {
        "title": variant.title,
        "tone": variant.where,
        "accuracy": numbers(run.metrics["test_accuracy"][:, row]),
        "loss": numbers(run.metrics["test_loss"][:, row]),
        "norm": numbers(run.metrics["weight_norm"][:, row]),
        "badge": divergence_note(run, variant),
    }


def _notes(run: Run, line: list[Variant | None]) -> list[str]:
    """η, λ and ηλ of a row, as short lines."""
    experiment = run.experiment
    present = [variant for variant in line if variant]
    notes = [f"η = {experiment.lr_of(present[0]):g}"]
    if any(variant.has_momentum for variant in present):
        notes.append(f"μ = {experiment.momentum:g}")
    decaying = next((variant for variant in present if variant.where != "none"), None)
    if decaying:
        notes.append(f"λ = {experiment.weight_decay_of(decaying):.3g}")
    return notes


def _points(x: NDArray, y: NDArray) -> list[list[float]]:
    return [[round(a, 4), round(b, 4), int(label)] for (a, b), label in zip(x.tolist(), y.tolist(), strict=False)]
