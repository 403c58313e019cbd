"""The film of runs for the browser: header as JSON, then P(y=1) fields as signed bytes."""

from __future__ import annotations

import json
import struct
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, numbers
from engine.charts.table import Cell, Table, apart, divergence_note, signature_columns
from engine.charts.theme import PALETTE, config
from engine.measure import EQUAL, GRID, boundary_logits, window
from engine.run import Run

SHOWN_TEST_POINTS = 150
FLAT = 1e-4
"""A field whose logits stay within this is drawn without a contour: P(y=1) is 1/2 everywhere."""


CAPTION_DIGITS = 7
"""Significant digits of the numbers under a field, which the player rounds once more."""

LAST = slice(-1, None)
EVERY = slice(None)


def film(
    run: Run,
    key: str,
    pictures: list[Picture],
    table: Table | None = None,
    frames: slice = LAST,
    extra: dict[str, Any] | None = None,
) -> bytes:
    """The first half of a film: what the eye goes to first, as it is at the last step; ``reel`` brings the rest.

    Args:
        run: the training that gives steps and points.
        key: what the player reports when this film is on screen.
        pictures: charts with a param ``step``, where a page is made of charts alone; else they come with the reel.
        table: fields above the charts, if the page has any.
        frames: those whose fields and numbers it holds.
        extra: more for the header.

    Returns:
        Header length (uint32, little endian), the header as JSON, and the fields of the last step.
    """
    shown = window(run.data)
    columns = table.columns if table else signature_columns(run)
    header = {
        "key": key,
        "steps": run.steps.tolist(),
        "window": {"x": shown.x, "y": shown.y},
        "grid": GRID,
        "equal": EQUAL,
        "columns": [{"title": title, "tone": tone} for title, tone in columns],
        "train": _points(run.data.x_train, run.data.y_train),
        "test": _points(run.data.x_test[:SHOWN_TEST_POINTS], run.data.y_test),
        "palette": PALETTE,
        "config": {theme: config(theme) for theme in PALETTE},
    }
    if table and not table.paired:
        header["plain"] = True
    return _packed({**header, **(extra or {})}, table, frames, pictures)


def reel(key: str, pictures: list[Picture], table: Table) -> bytes:
    """The second half of a film, packed as the first: table and fields at every recorded step, and the charts."""
    return _packed({"key": key}, table, EVERY, pictures)


def _packed(header: dict[str, Any], table: Table | None, frames: slice, pictures: list[Picture]) -> bytes:
    values = b""
    header["rows"], header["panels"], header["scale"] = [], [], []
    if table:
        header["rows"], header["panels"] = _rows(table, frames), _panels(table, frames)
        header["scale"], values = _fields(table, frames)
    header["charts"] = [{"spec": p.spec, "data": p.data, "alt": p.alt, "square": p.square} for p in pictures]
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack("<I", len(text)) + text + values


def _fields(table: Table, frames: slice) -> tuple[list[list[float | None]], bytes]:
    """Fields of some frames as int8 (T, panels, grid, grid) and the scale of each (T, panels).

    A value is 127 · tanh(logit/4) / scale, scale the field's largest tanh, so that a contour is found in flat fields.
    """
    runs = {id(cell.run): cell.run for cell in table.cells}
    logits = {key: boundary_logits(run, window(run.data), frames=frames) for key, run in runs.items()}
    bent = np.tanh(np.stack([logits[id(cell.run)][:, cell.index] for cell in table.cells], 1) / 4)
    reach = np.abs(bent).max(axis=(2, 3))
    scale = np.where(reach > FLAT / 4, reach, 1.0)
    values = np.rint(bent * (127 / scale[:, :, None, None])).astype(np.int8)
    return [numbers(row) for row in scale], values.tobytes()


def _rows(table: Table, frames: slice) -> list[dict[str, Any]]:
    """Rows of a table: which panels, and how far the row's pair is apart at each step."""
    counter = count()
    return [
        {
            "title": row.title,
            "notes": row.notes,
            "cells": [next(counter) if cell else None for cell in row.cells],
            "pair": numbers(apart(row, frames)) if row.pair else None,
        }
        for row in table.rows
    ]


def _panels(table: Table, frames: slice) -> list[dict[str, Any]]:
    """Title, tone, badge and captions of each field of the table."""
    runs = {id(cell.run): cell.run for cell in table.cells}
    metrics = {key: run.metrics if frames == EVERY else run.metrics_at(frames) for key, run in runs.items()}

    def column(name: str, cell: Cell) -> list[float | None]:
        return numbers(metrics[id(cell.run)][name][:, cell.index], CAPTION_DIGITS)

    return [
        {
            "title": cell.title,
            "tone": cell.variant.where,
            "named": cell.variant.where == "other",
            "accuracy": column("test_accuracy", cell),
            "loss": column("test_loss", cell),
            "norm": column("weight_norm", cell),
            "badge": divergence_note(cell.run, cell.variant),
        }
        for cell in table.cells
    ]


def _points(x: NDArray, y: NDArray) -> list[list[float]]:
    return [[round(a, 4), round(b, 4), int(label)] for (a, b), label in zip(x.tolist(), y.tolist(), strict=False)]
