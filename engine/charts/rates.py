"""The rate of decay of every weight over the size of its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np

from engine.charts.labels import POWER
from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT, colour_of
from engine.rates import Rates
from engine.variants import VARIANTS

DOTS = 400
"""Dots that a variant gets at most; fits see every weight."""

SHAPES = ("circle", "diamond", "square", "cross", "triangle-down", "triangle-right")
PADDING = {"left": 4, "right": 8, "top": 4, "bottom": 4}
FIT = {"type": "fit", "contains": "padding"}
PANEL = 290
LINE = 19
"""Pixels of a panel's height, and of one line of its text."""


@dataclass(frozen=True)
class Frame:
    """The axes that panels share: gradients from left to right, rates from bottom to top, all above zero."""

    left: float
    right: float
    bottom: float
    top: float


def frame(rates: list[Rates]) -> Frame:
    """Axes that hold every kept weight and every flat prediction of several variants, or a decade around 1."""
    kept = [r for r in rates if r.kept.any()]
    if not kept:
        return Frame(0.1, 1, 0.1, 1)
    x = np.concatenate([r.gradient[r.kept] for r in kept])
    y = np.concatenate([r.rate[r.kept] for r in kept] + [r.level for r in kept if not r.divided and not r.swings])
    left, right = np.quantile(x, [0.002, 0.998])
    return Frame(float(left / 1.3), float(right * 1.3), float(y.min() / 1.6), float(y.max() * 1.6))


def rate_panel(family: str, rates: list[Rates], shared: Frame, note: str = "") -> Picture:
    """The effective decay rate of every weight over its gradient RMS, one optimizer's variants together.

    Args:
        family: the optimizer.
        rates: of its variants; may be empty.
        shared: the axes of all panels.
        note: a line in the panel, for instance why it is empty.
    """
    keys = tuple(r.variant.key for r in rates)
    lines = max(len(rates), 1) + bool(note)
    share = LINE * lines / (PANEL - 80)
    top = shared.bottom * (shared.top / shared.bottom) ** (1 / (1 - min(share, 0.6)))
    return Picture(
        _panel_spec(family, keys, bool(note)),
        {
            "frame": [{"x": shared.left, "y": shared.bottom}, {"x": shared.right, "y": top}],
            **({"weights": [row for r in rates for row in _dots(r, shared)]} if rates else {}),
            **({"theory": [row for r in rates for row in _theory(r, shared)]} if rates else {}),
            **({"words": [{"slot": i, "text": slope_words(r)} for i, r in enumerate(rates)]} if rates else {}),
            **({"note": [{"text": note}]} if note else {}),
        },
        alt=f"{family}: effective decay rate of every weight over its gradient, log-log. "
        + ("; ".join(f"{slope_words(r)}, median rate {short_rate(r)}" for r in rates) or note),
        title=f"{family}: decay rate of every weight over its gradient RMS",
    )


def blank_panel(family: str, keys: tuple[str, ...], noted: bool) -> Picture:
    """The panel of these variants before anything is measured: what is on screen stays until the data come."""
    return Picture(_panel_spec(family, keys, noted), {}, alt=f"{family}: being measured.")


def slope_words(rates: Rates) -> str:
    """Measured slope beside the predicted one."""
    if not rates.kept.any():
        return f"{rates.variant.title}: no weight to show"
    slope = f"slope {_signed(rates.slope)}" if math.isfinite(rates.slope) else "too few gradients for a slope"
    expected = rates.expected_slope
    return f"{rates.variant.title}: {slope}" + ("" if expected is None else f", theory {_signed(expected, 0)}")


def short_rate(rates: Rates) -> str:
    """The median rate over the kept weights."""
    return f"{np.median(rates.rate[rates.kept]):.2g} a step" if rates.kept.any() else "–"


def _signed(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _dots(rates: Rates, shared: Frame) -> Rows:
    inside = (rates.gradient >= shared.left) & (rates.gradient <= shared.right)
    chosen = np.flatnonzero(rates.kept & inside)
    if len(chosen) > DOTS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, DOTS).round().astype(int)]
    x, y = numbers(rates.gradient[chosen], 4), numbers(rates.rate[chosen], 4)
    return [{"variant": rates.variant.key, "x": a, "y": b} for a, b in zip(x, y, strict=True)]


def _theory(rates: Rates, shared: Frame) -> Rows:
    """Both ends of every predicted line within the frame, named at the right one; none where weights swing."""
    rows: Rows = []
    if rates.swings:
        return rows
    for line, level in enumerate(np.unique(rates.level)):
        if not level > 0:
            continue
        ends = [shared.left, shared.right]
        if rates.divided:  # y = level/x, cut at the frame's bottom and top
            ends = [max(ends[0], level / shared.top), min(ends[1], level / shared.bottom)]
        rows += [
            {
                "variant": rates.variant.key,
                "line": line,
                "x": x,
                "y": level / x if rates.divided else level,
                "text": text,
                "falls": rates.divided,
            }
            for x, text in zip(numbers(ends), ("", "theory"), strict=True)
            if x
        ]
    return rows


@lru_cache(maxsize=64)
def _panel_spec(family: str, keys: tuple[str, ...], noted: bool) -> dict[str, Any]:
    log = alt.Scale(type="log", nice=False)
    decade = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
    grid = alt.condition(decade, alt.value(1), alt.value(0))
    names = f"datum.label && {decade} ? {POWER} : replace(datum.label, '-', '−')"
    axis = alt.Axis(grid=True, gridOpacity=grid, tickCount=5, format="~e", labelExpr=names, labelOverlap=True)
    x = alt.X("x:Q", title="gradient RMS of the weight", scale=log, axis=axis)
    y = alt.Y("y:Q", title="decay a step", scale=log, axis=axis)
    colours = [colour_of(VARIANTS[key]) for key in keys]
    colour = alt.Color("variant:N", scale=alt.Scale(domain=list(keys), range=colours), legend=None)
    shape = alt.Shape("variant:N", scale=alt.Scale(domain=list(keys), range=[*SHAPES][: len(keys)]), legend=None)
    layers: list[Any] = [alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x=x, y=y)]
    if keys:
        dots = alt.Chart(alt.NamedData("weights")).mark_point(size=26, strokeWidth=1.2, opacity=0.75, clip=True)
        theory = alt.Chart(alt.NamedData("theory")).encode(x="x:Q", y="y:Q", color=colour)
        layers += [
            dots.encode(x="x:Q", y="y:Q", color=colour, shape=shape),
            theory.mark_line(strokeWidth=1.6, strokeDash=[4, 4]).encode(detail=["variant:N", "line:N"]),
            theory.transform_filter("!datum.falls")
            .mark_text(align="right", dx=-2, dy=-9, fontSize=13)
            .encode(text="text:N"),
            theory.transform_filter("datum.falls")
            .mark_text(align="right", dx=-26, dy=9, fontSize=13)
            .encode(text="text:N"),
        ]
        words = alt.Chart(alt.NamedData("words"))
        layers += [
            words.transform_filter(f"datum.slot === {i}")
            .mark_text(align="right", baseline="top", fontSize=14, fontWeight="bold", color=tone)
            .encode(x=alt.value(alt.expr("width - 4")), y=alt.value(LINE * i + 2), text="text:N")
            for i, tone in enumerate(colours)
        ]
    if noted:
        note = alt.Chart(alt.NamedData("note"))
        note = note.mark_text(align="right", baseline="top", fontSize=13, color=LIGHT["quiet"])
        layers.append(note.encode(x=alt.value(alt.expr("width - 4")), y=alt.value(LINE * len(keys) + 2), text="text:N"))
    chart = alt.layer(*layers).add_params(alt.param("step", value=0))
    return static(chart.properties(height=PANEL, title=family, padding=PADDING, autosize=FIT))
