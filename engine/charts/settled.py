"""What settles under LayerNorm, the norm of a layer and its turn a step, on log axes with theory beside."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.curves import Diverged, Series, base, cursor_rule
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import variant_scales
from engine.variants import VARIANTS

GAP = 15
"""Pixels that a label at the end of a curve needs."""
DECADES = range(-12, 7)
TICKS = "log(domain('y')[1] / domain('y')[0]) > 3.5 * LN10 ? {} : {}".format(
    [10.0**k for k in DECADES], [float(f"{unit}e{k}") for k in DECADES for unit in (1, 2, 5)]
)
"""Powers of ten; over a shorter axis also twice and five times a power."""


def settled_curves(
    steps: NDArray, values: Series, theory: dict[str, float], since: int, diverged: Diverged, title: str, height: int
) -> Picture:
    """A number of every variant over steps on a log axis, and where theory has it from a step on.

    Args:
        steps: recorded steps (T,).
        values: variant to its values (T,), above 0 or nan.
        theory: variant to its predicted value.
        since: the step from which ``theory`` is drawn, that of the window in which values were measured.
        diverged: ``run.diverged``; such variants are left out.
        title: above the curves.
        height: pixels.
    """
    shown = {key: np.where(v > 0, v, np.nan) for key, v in values.items() if diverged.get(key) is None}
    shown = {key: v for key, v in shown.items() if np.isfinite(v).any()}
    everything = np.concatenate([*shown.values(), np.array(list(theory.values()) or [np.nan])])
    finite = everything[np.isfinite(everything)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 1.0)
    ends = {key: float(v[np.isfinite(v)][-1]) for key, v in shown.items()}
    words = ", ".join(
        f"{VARIANTS[key].title} {end:.3g}" + (f" (theory {theory[key]:.3g})" if key in theory else "")
        for key, end in ends.items()
    )
    return Picture(
        _spec(f"{title}; dashed: theory" if theory else title, height),
        {
            "curves": [
                {"variant": key, "step": step, "value": value}
                for key, v in shown.items()
                for step, value in zip(steps.tolist(), numbers(v), strict=True)
                if value is not None
            ],
            "theory": [
                {"variant": key, "step": step, "value": value}
                for key, value in theory.items()
                for step in (since, int(steps[-1]))
            ],
            "labels": _labels(ends, int(steps[-1]), max(math.log10(high / low), 0.1) * GAP / (height - 60)),
            "cursor": [{}],
        },
        alt=f"{title}, log axis. In the end: {words}." if words else f"{title}: nothing to show.",
        title=title,
    )


def _labels(ends: dict[str, float], step: int, gap: float) -> Rows:
    """A label at the end of every curve, near ones ``gap`` decades apart."""
    rows: Rows = []
    for key, value in sorted(ends.items(), key=lambda end: end[1]):
        place = max(value, rows[-1]["place"] * 10**gap) if rows else value
        at = {"value": value, "place": float(f"{place:.5g}")}
        rows.append({"variant": key, "step": step, **at, "title": VARIANTS[key].title})
    return rows


@lru_cache(maxsize=64)
def _spec(title: str, height: int) -> dict[str, Any]:
    scale = alt.Scale(type="log", nice=False)
    axis = alt.Axis(values=alt.ExprRef(TICKS), format="~g", grid=False)
    y = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    colours, _ = variant_scales()
    colour = alt.Color("variant:N", scale=alt.Scale(**colours), legend=None)
    theory = alt.Chart(alt.NamedData("theory")).encode(x="step:Q", y="value:Q", color=colour)
    labels = alt.Chart(alt.NamedData("labels")).mark_text(align="left", dx=8, fontSize=13)
    layers = [
        base().mark_line(strokeWidth=1.2, opacity=0.6).encode(y=y),
        theory.mark_line(strokeWidth=2, strokeDash=[5, 4]).encode(detail="variant:N"),
        cursor_rule(),
        labels.encode(x="step:Q", y="place:Q", text="title:N", color=colour),
    ]
    chart = alt.layer(*layers).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=height, title=title, padding=padding, autosize=fit))
