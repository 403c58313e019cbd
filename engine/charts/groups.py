"""Curves over training for each choice of what decays: the colour says where λ enters, the dash what it acts on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.curves import CEILING, cursor_rule
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT
from engine.experiment import DECAYED

DASHES = dict(zip(DECAYED, ([1, 0], [9, 4], [2, 3]), strict=True))
SHORT = {"weights": "weights", "biases": "+ biases", "all": "+ LayerNorm"}
"""What decays, in a word for a curve's end."""


@dataclass(frozen=True)
class Curve:
    """One curve: T values of one variant under one choice.

    Attributes:
        title: at its end.
        tone: the palette colour of where λ enters.
        decayed: a key of DECAYED.
        values: at the recorded steps, (T,).
        diverged: whether the run left the finite.
    """

    title: str
    tone: str
    decayed: str
    values: NDArray
    diverged: bool = False


def choice_curves(steps: NDArray, curves: list[Curve], title: str, height: int = 230) -> Picture:
    """Curves over steps with direct labels and the film's cursor.

    Args:
        steps: recorded steps (T,).
        curves: at least one.
        title: what they show, with its unit.
        height: pixels.
    """
    calm = [curve.values for curve in curves if not curve.diverged]
    ceiling = CEILING * max(float(np.max(values)) for values in calm) if calm else np.inf
    shown = [np.where(curve.values <= ceiling, curve.values, np.nan) for curve in curves]
    rows: Rows = [
        {"curve": curve.title, "tone": curve.tone, "decayed": curve.decayed, "step": step, "y": value}
        for curve, values in zip(curves, shown, strict=True)
        for step, value in zip(steps.tolist(), numbers(values), strict=True)
    ]
    words = ", ".join(f"{curve.title} {curve.values[-1]:.3g}" for curve in curves if not curve.diverged)
    gone = ", ".join(curve.title for curve in curves if curve.diverged)
    return Picture(
        _spec(title, f"diverged: {gone}" if gone else "", height),
        {"curves": rows, "cursor": [{}], "labels": _labels(steps, curves, shown, height)},
        alt=f"{title} over steps. In the end: {words or 'every run diverged'}.",
        title=title,
    )


def _labels(steps: NDArray, curves: list[Curve], shown: list[NDArray], height: int) -> Rows:
    """A label at each curve's end: ends that coincide share one, near ones make room."""
    finite = [values[np.isfinite(values)] for values in shown]
    top = max((float(values.max()) for values in finite if values.size), default=1.0) or 1.0
    gap = 16 * top / max(height - 60, 1)
    ends = [(float(v[-1]), c) for c, v in zip(curves, shown, strict=True) if np.isfinite(v[-1]) and not c.diverged]
    labels: Rows = []
    for value, curve in sorted(ends, key=lambda end: end[0]):
        last = labels[-1] if labels else None
        if last and value - last["value"] < 0.004 * top and last["tone"] == curve.tone:
            last["title"] += f", {curve.title}"
            continue
        place = max(value, last["place"] + gap) if last else value
        label = {"step": int(steps[-1]), "title": curve.title, "tone": curve.tone, "value": value, "place": place}
        labels.append(label)
    return labels


@lru_cache(maxsize=32)
def _spec(title: str, note: str, height: int) -> dict[str, Any]:
    tones = alt.Scale(domain=list(LIGHT), range=list(LIGHT.values()))
    colour = alt.Color("tone:N", scale=tones, legend=None)
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6))
    y = alt.Y("y:Q", title=None, scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(tickCount=5))
    data = alt.Chart(alt.NamedData("curves")).encode(x=x, y=y, color=colour, detail="curve:N")
    dashes = alt.Scale(domain=list(DASHES), range=list(DASHES.values()))
    lines = data.mark_line(strokeWidth=2.4).encode(strokeDash=alt.StrokeDash("decayed:N", scale=dashes, legend=None))
    dots = data.transform_filter("datum.step === step").mark_point(size=42, filled=True, opacity=1)
    labels = (
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="left", dx=8, fontSize=13)
        .encode(x="step:Q", y=alt.Y("place:Q", title=None), text="title:N", color=colour)
    )
    chart = alt.layer(lines, cursor_rule(), dots, labels).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=height, title=alt.Title(title, subtitle=note), padding=padding, autosize=fit))
