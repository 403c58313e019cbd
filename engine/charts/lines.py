"""Any few curves over training, named at their ends, with the cursor of the film."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.curves import cursor_rule
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT
from engine.two_decays import Line

FLOOR = 1e-6
STYLES = {"strong": 2.6, "dashed": 2.2, "thin": 1.1, "thin dashed": 1.1}
"""Kinds of line and their widths."""


def line_chart(
    steps: NDArray,
    lines: Sequence[Line],
    title: str,
    subtitle: str = "",
    *,
    log: bool = False,
    height: int = 270,
    top: float | None = None,
) -> Picture:
    """Curves over steps with a name at the end of each.

    Args:
        steps: recorded steps (T,).
        lines: the curves; those that leave the picture are cut at ``top``.
        title, subtitle: above the curves.
        log: whether the axis is logarithmic; values below FLOOR of its end are cut.
        height: pixels.
        top: end of the axis; the largest finite value by default.
    """
    reach = top or max((float(line.values[np.isfinite(line.values)].max(initial=0)) for line in lines), default=1) or 1
    least = 0.0
    if log:
        seen = [float(v) for line in lines for v in line.values if FLOOR * reach <= v <= reach]
        least = min([0.1 * reach, *seen])
    rows: Rows = []
    for line in lines:
        shown = np.where((line.values <= reach) & (line.values >= least), line.values, np.nan)
        rows += [
            {"line": line.name, "tone": line.tone, "kind": _kind(line), "step": step, "y": y}
            for step, y in zip(steps.tolist(), numbers(shown), strict=True)
        ]
    labels = _labels(steps, lines, least, reach, height)
    ends = ", ".join(f"{line.name} {line.values[-1]:.3g}" for line in lines)
    return Picture(
        _spec(title, subtitle, height, log),
        {"curves": rows, "cursor": [{}], "labels": labels, "frame": [{"y": least}, {"y": reach}]},
        alt=f"{title} over steps. At the end: {ends}.",
        title=title,
    )


def _kind(line: Line) -> str:
    return ("strong" if line.strong else "thin") if not line.dashed else ("dashed" if line.strong else "thin dashed")


def _labels(steps: NDArray, lines: Sequence[Line], least: float, reach: float, height: int) -> Rows:
    """A name where every curve ends, from the lowest up, each with room for its own; equal ends share one."""
    log = least > 0
    bent, back = (np.log, np.exp) if log else (float, float)
    span = bent(reach) - bent(least)
    gap = 16 * span / max(height - 60, 1)
    rows: Rows = []
    ends = []
    for line in lines:
        inside = np.flatnonzero((line.values >= least) & (line.values <= reach))
        if inside.size:
            ends.append((bent(float(line.values[inside[-1]])), int(steps[inside[-1]]), line.name, line.tone))
    for value, step, name, tone in sorted(ends):
        if rows and value - rows[-1]["value"] < 0.004 * span and rows[-1]["tone"] == tone:
            rows[-1]["text"] += f" = {name}"
            continue
        rows.append({"step": step, "text": name, "tone": tone, "value": value})
    places = spread([row["value"] for row in rows], gap, bent(least), bent(reach))
    return [
        {**row, "value": float(back(row["value"])), "place": float(back(place))}
        for row, place in zip(rows, places, strict=True)
    ]


def spread(values: list[float], gap: float, low: float, high: float) -> list[float]:
    """Rising places ``gap`` apart, each as near to its value as the others let it, from ``low`` to ``high``.

    What does not fit goes below ``low``.
    """
    blocks: list[tuple[float, int]] = []
    for i, value in enumerate(values):
        blocks.append((value - i * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks.pop(-2), blocks.pop()
            blocks.append(((a * m + b * n) / (m + n), m + n))
    starts = [start for start, count in blocks for _ in range(count)]
    highest = high - gap * (len(values) - 1)
    return [min(max(start, low), highest) + i * gap for i, start in enumerate(starts)]


@lru_cache(maxsize=64)
def _spec(title: str, subtitle: str, height: int, log: bool) -> dict[str, Any]:
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6))
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(nice=False, zero=True)
    ticks = alt.Axis(values=[10.0**k for k in range(-6, 7)], format="~g") if log else alt.Axis(tickCount=5)
    y = alt.Y("y:Q", title=None, scale=scale, axis=ticks)
    tones = alt.Scale(domain=list(LIGHT), range=list(LIGHT.values()))
    tone = alt.Color("tone:N", scale=tones, legend=None)
    curves, labels = alt.Chart(alt.NamedData("curves")), alt.Chart(alt.NamedData("labels"))

    def drawn(kind: str) -> alt.Chart:
        dash = [5, 4] if "dashed" in kind else [1, 0]
        picked = curves.transform_filter(f"datum.kind === '{kind}'")
        marked = picked.mark_line(strokeWidth=STYLES[kind], strokeDash=dash, clip=True)
        return marked.encode(x=x, y=y, color=tone, detail="line:N")

    dots = curves.transform_filter("datum.step === step").mark_point(size=42, filled=True, opacity=1)
    chart = alt.layer(
        alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(y=y),
        *(drawn(kind) for kind in STYLES),
        cursor_rule(),
        dots.encode(x=x, y=y, color=tone),
        labels.mark_text(align="left", dx=8, fontSize=13).encode(x=x, y="place:Q", text="text:N", color=tone),
    ).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    heading = alt.Title(title, subtitle=subtitle)
    return static(chart.properties(height=height, title=heading, padding=padding, autosize=fit))
