"""Names of points in a plane, each on the side of its point where least is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.charts.picture import Rows
from engine.charts.theme import LIGHT

Span = tuple[float, float]
CANVASES = ((300, 290), (820, 270))
"""Plots that a picture of any shape is drawn in, in pixels: on a page, and on a slide."""
SQUARES = ((300, 300), (330, 330))
"""The same of a square picture."""
ASIDE, APART = {-1: 9, 0: 13, 1: 9}, 15
"""Pixels from a point across to its name, which is above (−1), beside or below it (1), and to one above or below."""
LETTER, HALF = 7.2, 8.0
"""Pixels of a bold letter's width, and half a name's height."""
CELL = 3
"""Pixels of the squares in which what lies under a name is counted."""
POWER = "datum.value < 0.01 ? '1e−' + format(-log(datum.value) / LN10, '.0f') : format(datum.value, ',~r')"
"""A power of ten on a log axis: 100, 1, 0.01, 1e−3."""
MARK = 6
"""Half the side of the square that a point's mark takes."""
PLACES = [(left, level) for left in (False, True) for level in (-1, 0, 1)]


def along(points: ArrayLike, count: int = 160) -> NDArray:
    """A line through points (K, 2) as ``count`` points at equal distances."""
    at = np.asarray(points, dtype=float).reshape(-1, 2)
    at = at[np.isfinite(at).all(axis=1)]
    if len(at) < 2:
        return at
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(at, axis=0).T))])
    places = np.linspace(0, far[-1], count)
    return np.column_stack([np.interp(places, far, at[:, axis]) for axis in (0, 1)])


def lines_of(rows: Rows, field: str) -> list[list[float]]:
    """Lines, which a field of their rows x, y tells apart, as points at equal distances."""
    names = dict.fromkeys(row[field] for row in rows)
    parts = [along([[row["x"], row["y"]] for row in rows if row[field] == name], 300) for name in names]
    return [at for part in parts for at in part.tolist()]


def placed(
    rows: Rows,
    ink: ArrayLike,
    x: Span,
    y: Span,
    canvases: Sequence[tuple[int, int]] = CANVASES,
    field: str = "text",
    written: Sequence[dict[str, Any]] = (),
) -> Rows:
    """Rows with ``left`` and ``level``, −1 above, 0 beside, 1 below: where a name covers least ink and no other name.

    Args:
        rows: points x, y with a name; those without one get no side.
        ink: points (K, 2) of all that is drawn, of lines as ``along`` has them.
        x, y: ends of the axes.
        canvases: width and height of the plots in which the names have to do.
        field: where a row has its name.
        written: other words x, y, text; to the left of their point where "align" is "right".
    """
    inks = [_ink(rows, np.asarray(ink, dtype=float).reshape(-1, 2), x, y, canvas) for canvas in canvases]
    taken = [[_words(row, x, y, canvas) for row in written] for canvas in canvases]
    found: Rows = []
    for row in rows:
        if not row[field]:
            found.append({**row, "left": False, "level": -1})
            continue
        at = [_pixels(np.array([[row["x"] or 0, row["y"] or 0]]), x, y, canvas)[0] for canvas in canvases]
        outer = [int(left != (at[0][0] > canvases[0][0] / 2)) + abs(level) for left, level in PLACES]
        costs = [
            sum(map(_cost, (_box(spot, row[field], place) for spot in at), inks, taken, canvases)) + 0.1 * away
            for place, away in zip(PLACES, outer, strict=True)
        ]
        left, level = PLACES[int(np.argmin(costs))]
        for boxes, spot in zip(taken, at, strict=True):
            boxes.append(_box(spot, row[field], (left, level)))
        found.append({**row, "left": left, "level": level})
    return found


def corner_texts(data: alt.Chart, field: str, **channels: Any) -> list[alt.Chart]:
    """The layers that write the names of ``placed`` rows, in ink unless a channel says another colour."""
    align: dict[bool, Literal["left", "right"]] = {True: "right", False: "left"}
    return [
        data.transform_filter(f"datum.left === {str(left).lower()} && datum.level === {level}")
        .mark_text(align=align[left], dx=-ASIDE[level] if left else ASIDE[level], dy=APART * level,
                   fontSize=14, fontWeight="bold", color=LIGHT["ink"])
        .encode(x="x:Q", y="y:Q", text=f"{field}:N", **channels)
        for left, level in PLACES
    ]  # fmt: skip


def _pixels(points: NDArray, x: Span, y: Span, canvas: tuple[int, int]) -> NDArray:
    """Points of the plane in pixels from the upper left corner; what is not finite or not in the picture is left out,
    but for a single point."""
    at = (points - [x[0], y[1]]) / [(x[1] - x[0]) or 1.0, (y[0] - y[1]) or 1.0] * canvas
    inside = np.isfinite(at).all(axis=1) & (at >= 0).all(axis=1) & (at <= canvas).all(axis=1)
    return at if len(at) == 1 else at[inside]


def _ink(rows: Rows, ink: NDArray, x: Span, y: Span, canvas: tuple[int, int]) -> NDArray:
    """The squares with ink in pixels, those of the points' own marks too."""
    points = np.array([[row["x"] or 0, row["y"] or 0] for row in rows]).reshape(-1, 2)
    across = np.arange(-MARK, MARK + 1, CELL)
    around = np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2)
    marks = [_pixels(at[None], x, y, canvas) + around for at in points]
    return _cells(np.concatenate([_pixels(ink, x, y, canvas), *marks]))


def _cells(pixels: NDArray) -> NDArray:
    """The squares with ink, in pixels, each once."""
    return CELL * np.unique(pixels // CELL, axis=0)


def _words(row: dict[str, Any], x: Span, y: Span, canvas: tuple[int, int]) -> NDArray:
    """The box of other words, with room for how they stand off their point."""
    across, down = _pixels(np.array([[row["x"], row["y"]]]), x, y, canvas)[0]
    width = ASIDE[0] + LETTER * len(row["text"])
    left = across - width if row.get("align") == "right" else across
    return np.array([left, down - 2 * HALF, left + width, down + HALF])


def _box(at: NDArray, text: str, place: tuple[bool, int]) -> NDArray:
    """Left, top, right, bottom of a name."""
    left, level = place
    width, middle = LETTER * len(text), at[1] + APART * level
    near = at[0] - ASIDE[level] - width if left else at[0] + ASIDE[level]
    return np.array([near, middle - HALF, near + width, middle + HALF])


def _cost(box: NDArray, ink: NDArray, taken: list[NDArray], canvas: tuple[int, int]) -> float:
    """Squares of ink under a name; a name outside the picture or on another costs more than any ink."""
    covered = ((ink >= box[:2] - CELL) & (ink <= box[2:])).all(axis=1).sum()
    outside = np.maximum(0, [-box[0], -box[1], box[2] - canvas[0], box[3] - canvas[1]]).sum()
    others: Any = sum(bool((box[:2] < one[2:]).all() and (one[:2] < box[2:]).all()) for one in taken)
    return float(covered + 10 * outside + 1000 * others)
