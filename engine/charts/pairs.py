"""How far L2 and decay of the same optimizer run apart."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.curves import cursor_rule
from engine.charts.labels import POWER
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import DASH, LIGHT
from engine.measure import EQUAL
from engine.variants import Variant

ZERO, FLOOR, CEILING = 1e-19, 1e-17, 1e3
"""Where the axis of differences has its "exactly 0", and the span of the rest of it."""

PADDING = {"left": 4, "right": 8, "top": 4, "bottom": 4}
FIT = {"type": "fit", "contains": "padding"}


def pair_curves(steps: NDArray, apart: dict[tuple[Variant, Variant], NDArray], height: int = 300) -> Picture:
    """max|Δw| between L2 and decay of the same optimizer over training, on a log axis that ends in "exactly 0".

    Args:
        steps: recorded steps (T,).
        apart: (L2, decay) to max|Δw| (T,); nan from the step on at which one of the two diverged.
        height: pixels.
    """
    names = _names(list(apart))
    rows: Rows = []
    ends: list[tuple[float, str, str, float]] = []
    for pair, values in apart.items():
        shown = np.where(values == 0, ZERO, np.clip(values, FLOOR, CEILING))
        rows += [
            {"pair": names[pair], "family": pair[0].family, "step": step, "value": value}
            for step, value in zip(steps.tolist(), numbers(shown), strict=True)
            if value is not None
        ]
        ends.append((float(shown[np.isfinite(shown)][-1]), names[pair], pair[0].family, float(values[-1])))
    labels = _end_labels(ends, int(steps[-1]), 16 * math.log10(CEILING / ZERO) / (height - 70))
    words = "; ".join(label["text"].replace("  ", ": ") for label in labels)
    return Picture(
        _pair_spec(height),
        {"curves": rows, "labels": labels, "equal": [{"value": EQUAL, "low": ZERO / 3}], "cursor": [{}]},
        alt=f"Largest difference of any weight between L2 and decay, at the end: {words}. Equal means below 1e-6.",
        title="max|Δw| between L2 and decay of the same optimizer",
    )


def _end_labels(ends: list[tuple[float, str, str, float]], step: int, gap: float) -> Rows:
    """A label at the end of every curve, (height, name, family, value); near ones make room, ``gap`` decades each."""
    ends = sorted(ends, reverse=True)
    places = [math.log10(end[0]) for end in ends]
    for i in range(1, len(places)):
        places[i] = min(places[i], places[i - 1] - gap)
    for i in range(len(places) - 1, -1, -1):  # a stack that has sunk below the axis is lifted
        lowest = math.log10(ZERO) if i == len(places) - 1 else places[i + 1] + gap
        places[i] = max(places[i], lowest)
    return [
        {"family": family, "step": step, "value": end, "place": 10**place, "text": f"{name}  {size(value)}"}
        for place, (end, name, family, value) in zip(places, ends, strict=True)
    ]  # fmt: skip


def size(value: float) -> str:
    """A difference in words: exactly 0, 4e-15, 0.31, 2.5; nan where a run diverged."""
    if not math.isfinite(value):
        return "diverged"
    if value == 0:
        return "exactly 0"
    return f"{value:.2g}" if 0.01 <= value < 1000 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _names(pairs: list[tuple[Variant, Variant]]) -> dict[tuple[Variant, Variant], str]:
    """What each pair is called: its family, or what it compares where a family has several."""
    several = {a.family for a, b in pairs if sum(other.family == a.family for other, _ in pairs) > 1}
    return {(a, b): f"{a.title} / {b.title}" if a.family in several else a.family for a, b in pairs}


@lru_cache(maxsize=8)
def _pair_spec(height: int) -> dict[str, Any]:
    dashes = alt.Scale(domain=list(DASH), range=list(DASH.values()))
    ticks = [ZERO, 1e-15, 1e-12, 1e-9, EQUAL, 1e-3, 1]
    axis = alt.Axis(values=ticks, grid=False, labelExpr=f"datum.value < {FLOOR} ? 'exactly 0' : {POWER}")
    y = alt.Y("value:Q", title=None, axis=axis,
              scale=alt.Scale(type="log", domain=[ZERO / 3, CEILING], nice=False))  # fmt: skip
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6))
    dash = alt.StrokeDash("family:N", scale=dashes, legend=None)
    curves = alt.Chart(alt.NamedData("curves")).encode(x=x, y=y, detail="pair:N", strokeDash=dash)
    equal = alt.Chart(alt.NamedData("equal"))
    below = equal.mark_rect(color=LIGHT["rule"], opacity=0.45).encode(y=alt.Y("low:Q"), y2="value:Q")
    words = equal.mark_text(align="right", baseline="top", dx=-8, dy=5, fontSize=13, color=LIGHT["quiet"]).encode(
        x=alt.value(alt.expr("width")), y="value:Q", text=alt.value("below 1e-6: equal but for rounding")
    )
    labels = (
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="left", dx=8, fontSize=14, fontWeight="bold", color=LIGHT["ink"])
        .encode(x="step:Q", y="place:Q", text="text:N")
    )
    dots = (
        curves.transform_filter("datum.step === step")
        .mark_point(size=42, filled=True, opacity=1, color=LIGHT["ink"])
        .encode(strokeDash=alt.value([1, 0]))
    )
    lines = curves.mark_line(strokeWidth=2.2, color=LIGHT["ink"], clip=True)
    chart = alt.layer(below, words, lines, cursor_rule(), dots, labels).add_params(alt.param("step", value=0))
    title = alt.Title("How far L2 and decay are apart: max|Δw|", subtitle="same optimizer, same λ, same start")
    return static(chart.properties(height=height, title=title, padding=PADDING, autosize=FIT))
