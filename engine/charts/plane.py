"""What pictures of a plane share: axes of one unit, training points, lines as rows."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Rows
from engine.charts.theme import LIGHT
from engine.run import Run


def axes(x_title: str, y_title: str, domain: list[float] | None = None) -> tuple[alt.X, alt.Y]:
    """The two axes of a plane, as tight as the data or as ``domain`` says."""
    scale = alt.Scale(nice=False, zero=False, domain=domain or alt.Undefined)
    # Few enough for every one to have its number; Vega would leave out every other, and 0 with them.
    ticks: dict[str, Any] = {"values": _ticks(*domain)} if domain else {"tickCount": 7, "tickMinStep": 1}
    axis = alt.Axis(**ticks, format="~g", labelOverlap=False)
    return alt.X("x:Q", title=x_title, scale=scale, axis=axis), alt.Y("y:Q", title=y_title, scale=scale, axis=axis)


def _ticks(low: float, high: float) -> list[float]:
    """At most seven round numbers, 0 among them where it lies between the ends."""
    raw = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= raw)
    return [float(f"{k * step:.6g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def points_of(run: Run) -> Rows:
    """The training points as rows x, y, label."""
    return [
        {"x": round(a, 4), "y": round(b, 4), "label": f"class{label}"}
        for (a, b), label in zip(run.data.x_train.tolist(), run.data.y_train.tolist(), strict=True)
    ]


def point_layer() -> alt.Chart:
    """Training points, filled and outlined, class by shape and colour, on the named data ``points``."""
    shapes = alt.Scale(domain=["class0", "class1"], range=["circle", "triangle-up"])
    fills = alt.Scale(domain=["class0", "class1"], range=[LIGHT["class0"], LIGHT["class1"]])
    marked = alt.Chart(alt.NamedData("points")).mark_point(
        filled=True, size=90, opacity=1, stroke=LIGHT["outline"], strokeWidth=1
    )
    return marked.encode(
        x="x:Q",
        y="y:Q",
        shape=alt.Shape("label:N", scale=shapes, legend=None),
        fill=alt.Fill("label:N", scale=fills, legend=None),
    )


def line_rows(name: str, kind: str, points: NDArray, level: float = 0.0) -> Rows:
    """A line of weight space as rows: name, kind (which sets its look), order, x, y, and the level of a contour."""
    return [
        {"line": name, "kind": kind, "order": i, "x": a, "y": b, "level": level}
        for i, (a, b) in enumerate(np.asarray(points).round(4).tolist())
    ]


def boundary_ends(at: NDArray, box: NDArray, level: float = 0.0) -> NDArray | None:
    """The two ends (2, 2) of the line w·x + b = level inside a box, or None where it does not cross it."""
    (w1, w2, b), (low, high) = at, box
    if not np.isfinite(at).all() or max(abs(w1), abs(w2)) < 1e-9:
        return None
    ends = []
    for axis, weight, other in ((0, w2, w1), (1, w1, w2)):
        for edge in (low[axis], high[axis]):
            if abs(weight) > 1e-12:
                across = (level - b - other * edge) / weight
                if low[1 - axis] - 1e-9 <= across <= high[1 - axis] + 1e-9:
                    ends.append((edge, across) if axis == 0 else (across, edge))
    ends = sorted(set(ends))
    return np.array([ends[0], ends[-1]]) if len(ends) > 1 else None
