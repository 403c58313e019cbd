"""Single weights: their paths over training, and their histogram at the film's step."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd

from engine.charts.curves import cursor_rule
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import colour_of
from engine.variants import VARIANTS

HEIGHT = 190


def weight_paths(paths: pd.DataFrame, reach: float, variant: str) -> Picture:
    """Single weights of one variant over training, on an axis from −reach to reach.

    Args:
        paths: tidy variant, weight, step, value.
        reach: half of the axis, shared by the variants that are compared.
        variant: the key of the variant shown.
    """
    shown = paths[(paths.variant == variant) & (paths.value.abs() <= reach)]
    rows = [
        {"weight": weight, "step": step, "value": value}
        for weight, step, value in zip(shown.weight.tolist(), shown.step.tolist(), numbers(shown.value), strict=True)
    ]
    title = VARIANTS[variant].title
    return Picture(
        _path_spec(variant),
        {"curves": rows, "cursor": [{}], "frame": [{"value": -reach}, {"value": reach}]},
        alt=f"{shown.weight.nunique()} single weights of {title} over training, between {-reach:.2g} and {reach:.2g}.",
        title=f"{title}: single weights over training",
    )


def weight_histogram(shares: pd.DataFrame, variant: str, top: float) -> Picture:
    """Share of one variant's weights in each bin at the film's step.

    Args:
        shares: tidy variant, step, low, high, share.
        variant: the key of the variant shown.
        top: end of the axis of shares, shared by the variants that are compared.
    """
    shown = shares[(shares.variant == variant) & (shares.share > 0)]
    rows: Rows = [
        {"step": step, "low": low, "high": high, "share": share}
        for step, low, high, share in zip(
            shown.step.tolist(), numbers(shown.low), numbers(shown.high), numbers(shown.share), strict=True
        )
    ]
    title = VARIANTS[variant].title
    low, high = float(shares.low.min()), float(shares.high.max())
    return Picture(
        _histogram_spec(variant),
        {"curves": rows, "frame": [{"low": low, "share": 0}, {"low": high, "share": top}]},
        alt=f"Histogram of the weights of {title} at the step of the slider, from {low:.2g} to {high:.2g}.",
        title=f"{title}: histogram of all weights",
    )


def _properties(chart: alt.LayerChart | alt.FacetChart, variant: str) -> dict[str, Any]:
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    chart = chart.add_params(alt.param("step", value=0))
    return static(chart.properties(height=HEIGHT, title=VARIANTS[variant].title, padding=padding, autosize=fit))


@lru_cache(maxsize=64)
def _path_spec(variant: str) -> dict[str, Any]:
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=4))
    y = alt.Y("value:Q", title=None, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=5))
    colour = colour_of(VARIANTS[variant])
    lines = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(color=colour, strokeWidth=1.1, opacity=0.7)
        .encode(x=x, y=y, detail="weight:N")
    )
    frame = alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(y=alt.Y("value:Q", title=None))
    return _properties(alt.layer(frame, lines, cursor_rule()), variant)


@lru_cache(maxsize=64)
def _histogram_spec(variant: str) -> dict[str, Any]:
    axis = alt.Axis(grid=False, tickCount=5)
    bars = (
        alt.Chart(alt.NamedData("curves"))
        .transform_filter("datum.step === step")
        .mark_bar(color=colour_of(VARIANTS[variant]), opacity=0.9)
        .encode(
            x=alt.X("low:Q", title="weight", scale=alt.Scale(nice=False, zero=False), axis=axis),
            x2="high:Q",
            y2=alt.YDatum(0),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4), scale=alt.Scale(nice=False)),
        )
    )
    frame = alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x="low:Q", y="share:Q")
    return _properties(alt.layer(frame, bars), variant)
