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
from engine.run import Run
from engine.variants import Variant, Where

COLUMNS: tuple[Where, ...] = ("none", "gradient", "weight")
SHOWN_TEST_POINTS = 150
FLAT = 1e-4
"""A field whose logits stay within this is drawn without a contour: P(y=1) is 1/2 everywhere."""


LAST = slice(-1, None)
EVERY = slice(None)


def film(run: Run, key: str, pictures: list[Picture], fields: bool = True) -> bytes:
    """The first half of a film: what the eye goes to first, as it is at the last step; ``reel`` brings the rest.

    Args:
        run: the training.
        key: what the player reports when this film is on screen.
        pictures: charts with a param ``step``, where a page is made of charts alone; else they come with the reel.
        fields: whether the page has the signature table.

    Returns:
        Header length (uint32, little endian), the header as JSON, and the fields of the last step.
    """
    shown = window(run.data)
    header = {
        "key": key,
        "steps": run.steps.tolist(),
        "window": {"x": shown.x, "y": shown.y},
        "grid": GRID,
        "equal": EQUAL,
        "columns": [{"title": WHERE_TITLE[where], "tone": where} for where in columns(run)],
        "train": _points(run.data.x_train, run.data.y_train),
        "test": _points(run.data.x_test[:SHOWN_TEST_POINTS], run.data.y_test),
        "palette": PALETTE,
        "config": {theme: config(theme) for theme in PALETTE},
    }
    return _packed(header, run, LAST, fields, pictures)


def reel(run: Run, key: str, pictures: list[Picture]) -> bytes:
    """The second half of a film, packed as the first: table and fields at every recorded step, and the charts."""
    return _packed({"key": key}, run, EVERY, True, pictures)


def columns(run: Run) -> tuple[Where, ...]:
    """The columns of the signature table; other priors get a fourth where one of them is trained."""
    return (*COLUMNS, "other") if any(v.where == "other" for v in run.experiment.chosen) else COLUMNS


def signature_rows(run: Run) -> list[tuple[str, list[Variant | None]]]:
    """The rows of the signature table: (optimizer, a variant or None for each column).

    A family with two variants in one column gets a second row, named after the variant.
    """
    rows: list[tuple[str, list[Variant | None]]] = []
    families: dict[str, list[Variant]] = {}
    for variant in run.experiment.chosen:
        families.setdefault(variant.family, []).append(variant)
    places = columns(run)
    for family, members in families.items():
        placed: list[list[Variant | None]] = [[None] * len(places)]
        for variant in members:
            column = places.index(variant.where)
            line = next((line for line in placed if line[column] is None), None)
            if line is None:
                line = [None] * len(places)
                placed.append(line)
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
    cause = (
        f"ηλ = {shrink:.3g}, factor 1 − ηλ = {1 - shrink:.3g}" if shrink else f"η = {run.experiment.lr_of(variant):g}"
    )
    return f"diverged at step {step}: {cause}"


def _packed(header: dict[str, Any], run: Run, frames: slice, fields: bool, pictures: list[Picture]) -> bytes:
    values = b""
    header["rows"], header["panels"], header["scale"] = [], [], []
    if fields:
        header["rows"], header["panels"] = _rows(run, frames), _panels(run, frames)
        header["scale"], values = _fields(run, frames)
    header["charts"] = [{"spec": p.spec, "data": p.data, "alt": p.alt, "square": p.square} for p in pictures]
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


def _rows(run: Run, frames: slice) -> list[dict[str, Any]]:
    """Rows of the signature table: which panels, and how far the pair (L2, decay) is apart at each step."""
    index = {variant.key: i for i, variant in enumerate(_order(run))}
    known = {(a.key, b.key) for a, b in pairs(run)}
    rows = []
    for title, line in signature_rows(run):
        _, l2, decay, *_ = line
        paired = l2 and decay and (l2.key, decay.key) in known
        rows.append(
            {
                "title": title,
                "notes": notes(run, line),
                "cells": [variant and index[variant.key] for variant in line],
                "pair": numbers(pair_difference(run, l2, decay, frames)) if l2 and decay and paired else None,
            }
        )
    return rows


def _panels(run: Run, frames: slice) -> list[dict[str, Any]]:
    """Title, tone, badge and captions of each field of the table."""
    metrics = run.metrics if frames == EVERY else run.metrics_at(frames)

    def column(name: str, variant: Variant) -> list[float | None]:
        return numbers(metrics[name][:, run.row(variant.key)])

    return [
        {
            "title": variant.title,
            "tone": variant.where,
            "named": variant.where == "other",
            "accuracy": column("test_accuracy", variant),
            "loss": column("test_loss", variant),
            "norm": column("weight_norm", variant),
            "badge": divergence_note(run, variant),
        }
        for variant in _order(run)
    ]


def notes(run: Run, line: list[Variant | None]) -> list[str]:
    """η, λ and ηλ of a row, as short lines."""
    experiment = run.experiment
    present = [variant for variant in line if variant]
    notes = [f"η = {experiment.lr_of(present[0]):g}"]
    if any(variant.has_momentum for variant in present):
        notes.append(f"μ = {experiment.momentum:g}")
    decaying = next((variant for variant in present if variant.has_weight_decay), None)
    if any(variant.uses("project_units") for variant in present):
        notes.append(f"c = {experiment.max_norm:g}")
    if decaying:
        notes.append(f"λ = {experiment.weight_decay_of(decaying):.3g}")
    return notes


def _points(x: NDArray, y: NDArray) -> list[list[float]]:
    return [[round(a, 4), round(b, 4), int(label)] for (a, b), label in zip(x.tolist(), y.tolist(), strict=False)]
