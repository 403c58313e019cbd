"""Curves over training: losses and norms, with direct labels and the cursor of the film."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from engine.charts.picture import Picture, rows, static
from engine.charts.theme import LIGHT, colour_of, variant_scales
from engine.variants import VARIANTS

Diverged = dict[str, int | None]
LABEL_ROOM = 128
"""Pixels right of the curves for their labels."""
CEILING = 1.5
"""A diverged variant's curve is drawn up to this many times the others' largest value."""


def norm_curves(curves: pd.DataFrame, theory: pd.DataFrame, diverged: Diverged, height: int = 270) -> Picture:
    """‖w‖ over steps for every variant; the theory of free decay as a thin dashed line.

    Args:
        curves: ``run.curves``, or its columns variant, step, weight_norm.
        theory: variant, step, weight_norm; may be empty.
        diverged: ``run.diverged``.
        height: pixels.
    """
    keys = tuple(curves.variant.unique())
    data = _limited(curves[["variant", "step", "weight_norm"]], diverged)
    return Picture(
        _curve_spec(keys, ("weight_norm",), "‖w‖: norm of all weights", not theory.empty, height),
        {
            "curves": rows(data),
            "theory": rows(theory),
            "cursor": [{}], "labels": rows(_end_labels(data, "weight_norm", height)),
        },
        alt="Weight norm over steps. " + _sentence(data, "weight_norm", "‖w‖"),
        title="‖w‖ over training",
    )


def loss_curves(curves: pd.DataFrame, diverged: Diverged, height: int = 270) -> Picture:
    """Data loss over steps for every variant: test strong, train thin, neither with the penalty.

    Args:
        curves: ``run.curves``, or its columns variant, step, test_loss, train_loss.
        diverged: ``run.diverged``.
        height: pixels.
    """
    keys = tuple(curves.variant.unique())
    data = _limited(curves[["variant", "step", "test_loss", "train_loss"]], diverged)
    return Picture(
        _curve_spec(keys, ("test_loss", "train_loss"), "Data loss: test thick, train thin", False, height),
        {"curves": rows(data), "theory": [], "cursor": [{}], "labels": rows(_end_labels(data, "test_loss", height))},
        alt="Data loss over steps. " + _sentence(data, "test_loss", "test loss"),
        title="Data loss over training",
    )


def layer_norm_curves(norms: pd.DataFrame, diverged: Diverged, layer: int, height: int = 200) -> Picture:
    """‖W‖ of one layer over steps for every variant.

    Args:
        norms: tidy variant, step, layer, norm.
        diverged: ``run.diverged``.
        layer: number of the layer, 1 next to the input.
        height: pixels.
    """
    data = _limited(norms[norms.layer == layer][["variant", "step", "norm"]], diverged)
    keys = tuple(data.variant.unique())
    return Picture(
        _curve_spec(keys, ("norm",), f"‖W‖ of layer {layer}", False, height),
        {"curves": rows(data), "theory": [], "cursor": [{}], "labels": rows(_end_labels(data, "norm", height))},
        alt=f"Norm of layer {layer} over steps. " + _sentence(data, "norm", "‖W‖"),
        title=f"‖W‖ of layer {layer} over training",
    )


def base(keys: tuple[str, ...], data: str = "curves") -> alt.Chart:
    """A chart over steps on named data, coloured by where λ enters and dashed by optimizer family."""
    colours, dashes = variant_scales(keys)
    return alt.Chart(alt.NamedData(data)).encode(
        x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6)),
        color=alt.Color("variant:N", scale=alt.Scale(**colours), legend=None),
        strokeDash=alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None),
    )


def cursor(keys: tuple[str, ...], column: str) -> list[alt.Chart]:
    """The film's cursor: a rule at the param ``step`` and a dot on every curve."""
    rule = (
        alt.Chart(alt.NamedData("cursor"))
        .mark_rule(color=LIGHT["quiet"], strokeWidth=1, opacity=0.6)
        .encode(x=alt.XDatum(alt.expr("step"), type="quantitative"))
    )
    dots = (
        base(keys)
        .transform_filter("datum.step === step")
        .mark_point(size=42, filled=True, opacity=1, strokeDash=[1, 0])
        .encode(y=alt.Y(f"{column}:Q", title=None))
    )
    return [rule, dots]


@lru_cache(maxsize=256)
def _curve_spec(keys: tuple[str, ...], columns: tuple[str, ...], title: str, theory: bool, height: int) -> dict[str, Any]:
    y = alt.Y(f"{columns[0]}:Q", title=None, scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(tickCount=5))
    strong = base(keys).mark_line(strokeWidth=2.4, clip=True).encode(y=y)
    thin = [
        base(keys).mark_line(strokeWidth=1, opacity=0.65, clip=True).encode(y=alt.Y(f"{column}:Q", title=None))
        for column in columns[1:]
    ]
    ghost = []
    if theory:
        line = base(keys, "theory").mark_line(strokeWidth=1.3, strokeDash=[3, 3], opacity=0.95)
        ghost = [line.encode(y=alt.Y(f"{columns[0]}:Q", title=None), strokeDash=alt.value([3, 3]))]
    labels = (
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="left", dx=8, fontSize=13)
        .encode(x="step:Q", y=alt.Y("place:Q", title=None), text="title:N", color=alt.Color("variant:N", legend=None))
    )
    chart = alt.layer(*thin, *ghost, strong, *cursor(keys, columns[0]), labels).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": LABEL_ROOM, "top": 4, "bottom": 4}
    return static(chart.properties(height=height, title=title, padding=padding))


def _limited(data: pd.DataFrame, diverged: Diverged) -> pd.DataFrame:
    """Values of diverged variants beyond what the others need are left out, so that they do not flatten the rest."""
    columns = [name for name in data if name not in ("variant", "step", "layer")]
    data = data.reset_index(drop=True)
    calm = data[data.variant.map(diverged).isna()]
    if len(calm) in (0, len(data)):
        return data
    ceiling = CEILING * float(calm[columns].to_numpy().max())
    data[columns] = data[columns].where(data[columns] <= ceiling)
    return data


def _end_labels(data: pd.DataFrame, column: str, height: int) -> pd.DataFrame:
    """A label at the end of each curve; labels of curves that end together share a line, near ones make room."""
    top = float(np.nanmax(data[column].to_numpy(), initial=0)) or 1.0
    gap = 15 * top / max(height - 50, 1)
    ends = data.dropna(subset=[column]).groupby("variant", sort=False).last().sort_values(column)
    merged: list[dict[str, Any]] = []
    for key, row in ends.iterrows():
        variant, value = VARIANTS[str(key)], float(row[column])
        same = merged and value - merged[-1]["value"] < 0.004 * top
        alike = same and colour_of(VARIANTS[merged[-1]["variant"]]) == colour_of(variant)
        place = max(value, merged[-1]["place"] + gap) if merged else value
        if alike:
            merged[-1]["title"] += f", {variant.title}"
        else:
            merged.append({"variant": key, "step": int(row.step), "title": variant.title, "value": value, "place": place})
    return pd.DataFrame(merged, columns=["variant", "step", "title", "value", "place"])


def _sentence(data: pd.DataFrame, column: str, name: str) -> str:
    """At the last step, in words: which variant ends where."""
    ends = data.groupby("variant", sort=False)[column].last()
    words = [f"{VARIANTS[str(key)].title} {value:.3g}" for key, value in ends.items() if value == value]
    return f"At the last step {name} is: {', '.join(words)}." if words else "Every variant diverged."
