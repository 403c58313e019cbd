"""The film of a run for the browser: header as JSON, then P(y=1) fields as signed bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture
from engine.charts.theme import PALETTE, WHERE_TITLE, config
from engine.measure import EQUAL, GRID, boundary_logits, pair_difference, pairs, window
from engine.train import Run
from engine.variants import Variant

COLUMNS = ("none", "gradient", "weight")
SHOWN_TEST_POINTS = 150
FLAT = 1e-4
"""A field whose logits stay within this is drawn without a contour: P(y=1) is 1/2 everywhere."""


def film(run: Run, key: str, pictures: list[Picture], fields: bool = True) -> bytes:
    """Everything that the film player shows of one run.

    Args:
        run: the training.
        key: what the player reports when this film is on screen.
        pictures: charts under the table, with a param ``step``.
        fields: whether the signature table is part of it.

    Returns:
        Header length (uint32, little endian), the header as JSON, and the fields as int8 (T, panels, grid, grid):
        127 · tanh(logit/4), divided by each field's largest value, so that a contour is found in flat fields too.
    """
    shown = window(run.data)
    table, values = _table(run, boundary_logits(run, shown)) if fields else ({"rows": [], "panels": []}, b"")
    header = {
        "key": key,
        "steps": run.steps.tolist(),
        "window": {"x": shown.x, "y": shown.y},
        "grid": GRID,
        "equal": EQUAL,
        "columns": [{"title": WHERE_TITLE[where], "tone": where} for where in COLUMNS],
        **table,
        "train": _points(run.data.x_train, run.data.y_train),
        "test": _points(run.data.x_test[:SHOWN_TEST_POINTS], run.data.y_test),
        "charts": [{"spec": p.spec, "data": p.data, "alt": p.alt} for p in pictures],
        "palette": PALETTE,
        "config": {theme: config(theme) for theme in PALETTE},
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack("<I", len(text)) + text + values


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


def _table(run: Run, logits: NDArray) -> tuple[dict[str, Any], bytes]:
    rows = signature_rows(run)
    order = [variant for _, line in rows for variant in line if variant]
    bent = np.tanh(logits[:, [run.row(variant.key) for variant in order]] / 4)
    reach = np.abs(bent).max(axis=(2, 3))
    scale = np.where(reach > FLAT / 4, reach, 1.0)
    values = np.rint(127 * bent / scale[:, :, None, None]).astype(np.int8)
    index = {variant.key: i for i, variant in enumerate(order)}
    known = {(a.key, b.key) for a, b in pairs(run)}
    table_rows = []
    for title, line in rows:
        _, l2, decay = line
        paired = l2 and decay and (l2.key, decay.key) in known
        table_rows.append(
            {
                "title": title,
                "notes": _notes(run, line),
                "cells": [variant and index[variant.key] for variant in line],
                "pair": _numbers(pair_difference(run, l2, decay)) if paired else None,
            }
        )
    panels = [_panel(run, variant, scale[:, i]) for i, variant in enumerate(order)]
    return {"rows": table_rows, "panels": panels}, values.tobytes()


def _panel(run: Run, variant: Variant, scale: NDArray) -> dict[str, Any]:
    curves = run.curves[run.curves.variant == variant.key]
    return {
        "title": variant.title,
        "tone": variant.where,
        "scale": _numbers(scale),
        "accuracy": _numbers(curves.test_accuracy),
        "loss": _numbers(curves.test_loss),
        "norm": _numbers(curves.weight_norm),
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


def _numbers(values: Any) -> list[float | None]:
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]
