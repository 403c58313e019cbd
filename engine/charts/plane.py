"""What pictures of a plane share: axes of one unit, training points, lines as rows."""

from __future__ import annotations

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Rows
from engine.charts.theme import LIGHT
from engine.run import Run


def axes(x_title: str, y_title: str, domain: list[float] | None = None) -> tuple[alt.X, alt.Y]:
    """The two axes of a plane, as tight as the data or as ``domain`` says."""
    scale = alt.Scale(nice=False, zero=False, domain=domain or alt.Undefined)
    axis = alt.Axis(tickCount=7)
    return alt.X("x:Q", title=x_title, scale=scale, axis=axis), alt.Y("y:Q", title=y_title, scale=scale, axis=axis)


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
