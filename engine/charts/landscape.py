"""The λ × η map of one variant, and under it train and test loss over λ in one of its rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT, colour_of
from engine.landscape import GUESSING, SIDE, Landscape, etas, weight_decays
from engine.ridge import best_cell, ridge
from engine.variants import VARIANTS, Variant

COLOURS = ("#fde725", "#5ec962", "#21918c", "#3b528b", "#440154")
"""Colours of the map, viridis backwards: even to the eye, also without colour vision and in grey."""

TOP = 1.5
"""End of the loss axis; a curve above it leaves the picture."""

OVER = ("#FDFDFD", "#101010")
"""Marks over the colours of the map, which are the same in both themes."""

HALF = 0.54
"""Half a cell's side: a little more than half the distance, so that no seams are seen."""

NAMED_FROM = {"test": 1, "train": 4}
"""The columns from which a curve is named, where it is in the picture."""

EXTENT = 54
"""Pixels for the labels of the vertical axes, so that λ is in one place in both pictures."""


def landscape_map(
    landscape: Landscape, variant: int, here: tuple[float, float] | None = None, legend: bool = False
) -> Picture:
    """Test loss over λ and η, averaged over seeds, with the best cell and the ridge once a seed is whole.

    Args:
        landscape: as far as it is trained.
        variant: which of its two.
        here: λ and η of the experiment on other pages, marked with a cross if they lie on the map.
        legend: what the colours say, for an export; a page says it once for both maps.
    """
    chosen = landscape.plan.variants[variant]
    values = landscape.preview("test_loss")
    low, gone = lowest_shown(landscape), (landscape.diverged[variant] > 0).any(0)
    own = ~np.isnan(landscape.metrics[variant, ..., 0]).all(0)
    shades = np.where(gone, 1.0, shade(values[variant], low))
    cells = [
        {"row": row, "col": col, "shade": tone, "loss": loss, "gone": int(gone[row, col]), "own": int(own[row, col])}
        for row in range(SIDE)
        for col, tone, loss in zip(range(SIDE), numbers(shades[row], 3), numbers(values[variant, row], 3), strict=True)
        if tone is not None
    ]
    data: dict[str, Rows] = {"cells": cells, "near": [], "best": [], "ridge": [], "here": here_rows(chosen, here)}
    alt_text = f"Test loss of {chosen.title} over λ and η, {landscape.models:,} of {landscape.plan.models:,} models"
    best = best_cell(landscape.scores(variant)) if landscape.seeds else None
    if best:
        data["best"] = [{"row": best.eta, "col": best.weight_decay}]
        data["near"] = [{"row": r, "col": c} for r, c in np.argwhere(best.near).tolist()] if landscape.seeds > 1 else []
        data["ridge"] = _ridge(landscape, variant)
        alt_text += (
            f"; lowest {best.loss:.3g} at η = {etas(chosen)[best.eta]:g}, λ = {weight_decays()[best.weight_decay]:g}"
        )
    scale = (short_loss(low), f"{GUESSING:.2f}, guessing, or more") if legend else None
    return Picture(
        _map_spec(chosen.key, scale), data, alt=alt_text + ".", title=f"{chosen.title}: test loss over λ and η"
    )


def lowest_shown(landscape: Landscape) -> float:
    """The lowest test loss on either map, where the colours begin; guessing if every cell diverged."""
    values = np.where((landscape.diverged > 0).any(1), np.inf, landscape.preview("test_loss"))
    return float(np.nanmin([np.nanmin(values, initial=np.inf), GUESSING]))


def short_loss(loss: float) -> str:
    """A loss in three decimals, a tiny one in two significant digits."""
    return f"{loss:.3f}" if loss >= 0.01 else f"{loss:.2g}"


def shade(losses: NDArray, low: float) -> NDArray:
    """Losses from the lowest to guessing as 0 … 1, the root of the share, so that the floor of the valley is seen."""
    reach = max(GUESSING - low, 1e-9)
    return np.sqrt(np.clip((losses - low) / reach, 0, 1))


def loss_over_lambda(landscape: Landscape, variant: int, row: int | None = None) -> Picture:
    """Train and test loss over λ at one η, the row that the param ``row`` names: the mean of the seeds, and a band from
    the lowest seed to the highest.

    Args:
        landscape: with at least one whole seed.
        variant: which of its two.
        row: the η at first, that of the best cell by default.
    """
    chosen = landscape.plan.variants[variant]
    losses = {kind: landscape.values(f"{kind}_loss")[variant] for kind in ("test", "train")}
    top = min(TOP, max(1.1 * max(float(part.mean(0).max()) for part in losses.values()), 1.05 * GUESSING))
    rows: Rows = []
    for kind, values in losses.items():
        exact = (values.mean(0), values.min(0), values.max(0))
        mean = exact[0]
        cut = (np.where(mean <= top, mean, np.nan), np.where(exact[1] <= top, exact[1], np.nan), exact[2].clip(max=top))
        named = (mean <= 0.9 * top) & (np.abs(mean - GUESSING) > 0.1 * top) & (np.arange(SIDE) >= NAMED_FROM[kind])
        names = ("loss", "least", "most", "mean", "low", "high")
        columns = [numbers(part.ravel(), 4) for part in (*exact, *cut)]
        rows += [
            {
                "kind": kind,
                "row": place // SIDE,
                "col": place % SIDE,
                "name": int(named.flat[place] and place % SIDE == named[place // SIDE].argmax()),
                **dict(zip(names, values, strict=True)),
            }
            for place, values in enumerate(zip(*columns, strict=True))
        ]
    if row is None:
        best = best_cell(landscape.scores(variant))
        row = best.eta if best else 0
    train, test = (losses[kind].mean(0)[row] for kind in ("train", "test"))
    return Picture(
        _curve_spec(chosen.key, row),
        {"curves": rows, "frame": [{"y": 0.0}, {"y": top}], "guessing": [{"y": GUESSING}]},
        alt=f"Loss of {chosen.title} over λ at η = {etas(chosen)[row]:g}: {_course(train, test)}.",
        title=f"{chosen.title}: train and test loss over λ",
    )


def _course(train: NDArray, test: NDArray) -> str:
    lowest = int(test.argmin())
    return ", ".join(
        f"at λ = {weight_decays()[col]:g} test {test[col]:.2f} and train {train[col]:.2f}"
        for col in dict.fromkeys((0, lowest, SIDE - 1))
    )


def _place(value: float, grid: list[float]) -> float:
    """Where a value lies on an axis of grid places, between them by its logarithm."""
    return round(float(np.interp(np.log(value), np.log(grid), range(len(grid)))), 3)


def here_rows(variant: Variant, here: tuple[float, float] | None) -> Rows:
    """Where λ and η lie on a map, as its data; nowhere if they are beyond its ends."""
    if here is None:
        return []
    weight_decay, eta = here
    columns, rows = weight_decays(), etas(variant)
    inside = columns[0] <= weight_decay <= columns[-1] and rows[0] <= eta <= rows[-1]
    return [{"col": _place(weight_decay, columns), "row": _place(eta, rows)}] if inside else []


def _ridge(landscape: Landscape, variant: int) -> Rows:
    rows, columns = np.array(etas(landscape.plan.variants[variant])), weight_decays()
    found = ridge(landscape.scores(variant), rows, np.array(columns))
    if found is None:
        return []
    return [
        {"row": row, "col": _place(value, columns)}
        for row, value in zip(found.rows.tolist(), found.weight_decays.tolist(), strict=True)
    ]


def _axis(values: list[float], **more: Any) -> alt.Axis:
    names = [f"{value:g}" for value in values]
    ticks = [place for place, name in enumerate(names) if name.strip("0.") in ("1", "3")]
    return alt.Axis(values=ticks, labelExpr=f"{names}[datum.value]", grid=False, labelFlush=False, **more)


def _across(field: str) -> alt.X:
    scale = alt.Scale(domain=[-0.5, SIDE - 0.5], nice=False, zero=False)
    return alt.X(f"{field}:Q", title="λ (log scale)", scale=scale, axis=_axis(weight_decays()))


def _up(field: str, variant: Variant) -> alt.Y:
    scale = alt.Scale(domain=[-0.5, SIDE - 0.5], nice=False, zero=False)
    axis = _axis(etas(variant), minExtent=EXTENT, maxExtent=EXTENT)
    return alt.Y(f"{field}:Q", title="η (log scale)", scale=scale, axis=axis)


@lru_cache(maxsize=64)
def _map_spec(key: str, legend: tuple[str, str] | None) -> dict[str, Any]:
    variant = VARIANTS[key]
    at = {"x": _across("col"), "y": _up("row", variant)}
    fitted = {"x": _across("left"), "x2": "right:Q", "y": _up("under", variant), "y2": "over:Q"}
    half = {"left": ("col", "-"), "right": ("col", "+"), "under": ("row", "-"), "over": ("row", "+")}
    edges = {name: f"datum.{field} {sign} {HALF}" for name, (field, sign) in half.items()}
    shades = alt.Scale(domain=[0, 0.25, 0.5, 0.75, 1], range=list(COLOURS), interpolate="lab")
    colour = alt.Color("shade:Q", scale=shades, legend=_legend(*legend) if legend else None)
    cells = alt.Chart(alt.NamedData("cells")).transform_calculate(**edges)
    near, best, ridge_line, here = (alt.Chart(alt.NamedData(name)) for name in ("near", "best", "ridge", "here"))
    light, ink = OVER
    cross: dict[str, Any] = dict(
        shape="cross", angle=45, size=150, filled=True, color=LIGHT["class1"], stroke=light, strokeWidth=1
    )
    cursor = cells.transform_filter("datum.row === row && (col < 0 || datum.col === col)")
    chart = alt.layer(
        cells.mark_rect().encode(**fitted, color=colour),
        cells.transform_filter("datum.gone").mark_text(text="×", color=light, fontSize=13).encode(**at),
        near.mark_point(filled=True, size=14, color=ink, opacity=1).encode(**at),
        ridge_line.mark_line(color=ink, strokeWidth=5, opacity=0.7).encode(**at, order="row:Q"),
        ridge_line.mark_line(color=light, strokeWidth=2.4).encode(**at, order="row:Q"),
        best.mark_point(size=190, strokeWidth=5, color=ink, opacity=1).encode(**at),
        best.mark_point(size=190, strokeWidth=2.4, color=light, opacity=1).encode(**at),
        here.mark_point(**cross, opacity=1).encode(**at),
        cursor.mark_rect(filled=False, stroke=light, strokeWidth=1.2, opacity=0.9).encode(**fitted),
    ).add_params(alt.param("row", value=-1), alt.param("col", value=-1))
    return _finished(chart, alt.Title(variant.title, color=colour_of(variant)), 400)


def _legend(low: str, high: str) -> alt.Legend:
    names = f"datum.value == 0 ? '{low}' : '{high}'"
    look: dict[str, Any] = dict(
        type="gradient", orient="top", titleOrient="left", direction="horizontal", gradientLength=240, labelLimit=240
    )
    return alt.Legend(title="test loss", values=[0, 1], labelExpr=names, **look)


@lru_cache(maxsize=64)
def _curve_spec(key: str, row: int) -> dict[str, Any]:
    variant = VARIANTS[key]
    x, tone = _across("col"), colour_of(variant)
    scale, axis = alt.Scale(zero=True, nice=False), alt.Axis(tickCount=5, minExtent=EXTENT, maxExtent=EXTENT)
    y, low = (alt.Y(f"{field}:Q", title="loss", scale=scale, axis=axis) for field in ("mean", "low"))
    curves, guessing = alt.Chart(alt.NamedData("curves")), alt.Chart(alt.NamedData("guessing"))
    picked = curves.transform_filter("datum.row === row")
    test, train = (picked.transform_filter(f"datum.kind === '{kind}'") for kind in ("test", "train"))
    chart = alt.layer(
        alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(y=alt.Y("y:Q", scale=scale)),
        guessing.mark_rule(strokeDash=[2, 4], color=LIGHT["quiet"]).encode(y="y:Q"),
        guessing.mark_text(text="guessing", align="left", x=4, dy=-8, color=LIGHT["quiet"]).encode(y="y:Q"),
        train.mark_area(clip=True, color=tone, opacity=0.14).encode(x=x, y=low, y2="high:Q"),
        test.mark_area(clip=True, color=tone, opacity=0.28).encode(x=x, y=low, y2="high:Q"),
        train.mark_line(clip=True, color=tone, strokeWidth=2, strokeDash=[6, 4]).encode(x=x, y=y),
        test.mark_line(clip=True, color=tone, strokeWidth=2.8).encode(x=x, y=y),
        picked.transform_filter("datum.name")
        .mark_text(dy=-11, align="left", fontSize=14, color=tone)
        .encode(x=x, y=y, text="kind:N"),
    ).add_params(alt.param("row", value=row))
    names = [f"{value:g}" for value in etas(variant)]
    return _finished(chart, alt.Title(alt.expr(f"'Loss over λ at η = ' + {names}[row]")), 230)


def _finished(chart: alt.LayerChart | alt.FacetChart, title: alt.Title, height: int) -> dict[str, Any]:
    padding = {"left": 4, "right": 12, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=height, title=title, padding=padding, autosize=fit))
