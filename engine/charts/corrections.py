"""Distance from the MAP over a long training, on log axes: who arrives, who does not, and where they go instead."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.labels import POWER
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT, variant_scales
from engine.corrections import Journey
from engine.variants import VARIANTS

HEIGHT = 400
LINE = 15
"""Pixels that a line of a label takes at the curves' ends."""


def distance_curves(found: Journey) -> Picture:
    """‖θ_t − MAP‖ over steps for every variant, thick; thin and dashed the distance from where its own rule goes.

    Args:
        found: of ``engine.corrections.journey``.
    """
    steps = found.steps
    series = [(key, "map", values) for key, values in found.to_map.items()]
    series += [(key, "own", values) for key, values in found.to_own.items()]
    curves: Rows = [
        {"variant": key, "to": to, "line": f"{key} {to}", "step": step, "value": value}
        for key, to, values in series
        for step, value in zip(steps.tolist(), numbers(values, 4), strict=True)
    ]
    least = min((float(values.min()) for *_, values in series), default=1e-3)
    most = max((float(values.max()) for *_, values in series), default=1.0)
    diverged = {key: step for key, step in found.run.diverged.items() if step is not None}
    gone = ", ".join(f"{VARIANTS[key].title} at step {step:,}" for key, step in diverged.items())
    ends = ", ".join(f"{VARIANTS[key].title} {values[-1]:.1e}" for key, values in found.to_map.items())
    return Picture(
        _spec(f"diverged: {gone}" if gone else ""),
        {"curves": curves, "cursor": [{}], "labels": _labels(series, diverged, int(steps[-1]), least, most)},
        alt=f"Distance from the MAP over {int(steps[-1]):,} steps, log-log. In the end: {ends}."
        + (f" Diverged: {gone}." if gone else ""),
        title="Distance from the MAP over training; thin dashed: from where the rule goes instead",
    )


def _labels(
    series: list[tuple[str, str, NDArray]], diverged: dict[str, int], last: int, least: float, most: float
) -> Rows:
    """A label at the end of each curve; curves that end near each other make room, upwards."""
    pixel = np.log10(most / least) / (HEIGHT - 110)
    own = {"Momentum": "→ MAP at\n(1−μ)λ", "Adam": "→ best in\n±1/λ box"}
    labels: Rows = []
    top = -np.inf
    for key, to, values in sorted(series, key=lambda one: one[2][-1]):
        if key in diverged:
            continue
        variant = VARIANTS[key]
        title = variant.title.replace(" with ", " with\n") if to == "map" else own.get(variant.family, "")
        half = 0.5 * LINE * (1 + title.count("\n")) * pixel
        middle = max(float(np.log10(values[-1])), top + half)
        top = middle + half
        first = 10 ** (top - 0.5 * LINE * pixel)  # Vega puts the first of several lines at the point
        labels.append({"variant": key, "to": to, "step": last, "place": first, "title": title})
    return labels


@lru_cache(maxsize=16)
def _spec(note: str) -> dict[str, Any]:
    colours, dashes = variant_scales()
    x = alt.X("step:Q", title="step", scale=alt.Scale(type="log", nice=False), axis=_log_axis(0, 5, 1))
    y = alt.Y(
        "value:Q", title="distance in (w₁, w₂, b)", scale=alt.Scale(type="log", nice=False), axis=_log_axis(-16, 8, 2)
    )
    tone = alt.Color("variant:N", scale=alt.Scale(**colours), legend=None)
    dash = alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None)
    curves = alt.Chart(alt.NamedData("curves"))
    to_map = curves.transform_filter("datum.to === 'map'").mark_line(strokeWidth=2.6)
    to_own = curves.transform_filter("datum.to === 'own'").mark_line(strokeWidth=1.4, strokeDash=[3, 3])
    cursor = alt.Chart(alt.NamedData("cursor")).mark_rule(color=LIGHT["quiet"], strokeWidth=1, opacity=0.6)
    labels = alt.Chart(alt.NamedData("labels"))

    def named(to: str, weight: Any) -> alt.Chart:
        picked = labels.transform_filter(f"datum.to === '{to}'")
        marked = picked.mark_text(align="left", dx=8, fontSize=13, fontWeight=weight, baseline="middle", lineBreak="\n")
        return marked.encode(x="step:Q", y="place:Q", text="title:N", color=tone)

    chart = alt.layer(
        to_own.encode(x=x, y=y, color=tone, detail="line:N"),
        to_map.encode(x=x, y=y, color=tone, strokeDash=dash, detail="line:N"),
        cursor.encode(x=alt.XDatum(alt.expr("max(step, 1)"), type="quantitative")),
        named("map", "bold"),
        named("own", "normal"),
    ).add_params(alt.param("step", value=0))
    below = ["thin: distance from where the rule goes instead", *([note] if note else [])]
    title = alt.Title("Distance from the MAP", subtitle=below)
    fit = {"type": "fit", "contains": "padding"}
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    return static(chart.properties(height=HEIGHT, title=title, padding=padding, autosize=fit))


def _log_axis(low: int, high: int, every: int) -> alt.Axis:
    """Powers of ten, small ones as exponents."""
    return alt.Axis(values=[10.0**k for k in range(low, high, every)], labelExpr=POWER)
