"""How one step of all weights is drawn: push against pull, and pull against weight."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import altair as alt

from engine.charts.labels import corner_texts
from engine.charts.picture import static
from engine.charts.theme import LIGHT, WHERE_TITLE
from engine.variants import Where

HEIGHT = 400
SIDES: tuple[tuple[Literal["left", "right"], int], ...] = (("left", 1), ("right", -1))
"""Alignments, and the way that their words go."""
FATES = {"grows": "grows", "shrinks": "shrinks", "crosses": "passes zero"}
"""What a step does to the size of a weight, and its words."""


def _finish(*layers: alt.Chart, title: str | alt.TitleParams) -> dict[str, Any]:
    chart = alt.layer(*layers).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 12, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=HEIGHT, title=title, padding=padding, autosize=fit))


def _axes(x_title: str, y_title: str) -> tuple[alt.X, alt.Y]:
    x_axis, y_axis = (alt.Axis(tickCount=n, grid=False, format="~g") for n in (4, 5))
    scale = alt.Scale(nice=False, zero=False)
    return alt.X("x:Q", title=x_title, scale=scale, axis=x_axis), alt.Y("y:Q", title=y_title, scale=scale, axis=y_axis)


def _marked() -> list[alt.Chart]:
    """The chosen weight: a ring, and its name on the side with room."""
    data = alt.Chart(alt.NamedData("chosen")).encode(x="x:Q", y="y:Q")
    ring = data.mark_point(size=230, strokeWidth=2.5, color=LIGHT["ink"], opacity=1)
    return [ring, *corner_texts(data, "text")]


def _zeros() -> list[alt.Chart]:
    data = alt.Chart(alt.NamedData("frame")).mark_rule(color=LIGHT["rule"], strokeWidth=1.5)
    return [data.encode(x=alt.XDatum(0)), data.encode(y=alt.YDatum(0))]


def _frame(x: alt.X, y: alt.Y) -> alt.Chart:
    return alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x=x, y=y)


@lru_cache(maxsize=8)
def race_spec(where: Where) -> dict[str, Any]:
    x, y = _axes("pull towards zero", "push of the data away from zero")
    tone = LIGHT[where]
    fates = alt.Scale(domain=list(FATES), range=[LIGHT["ink"], tone, tone])
    shapes = alt.Scale(domain=list(FATES), range=["triangle-up", "circle", "diamond"])
    fills = alt.Scale(domain=list(FATES), range=[LIGHT["quiet"], tone, LIGHT["paper"]])
    points = (
        alt.Chart(alt.NamedData("weights"))
        .mark_point(filled=True, size=46, strokeWidth=1.2, opacity=0.75)
        .encode(
            x=x, y=y,
            shape=alt.Shape("fate:N", scale=shapes, legend=None),
            fill=alt.Fill("fate:N", scale=fills, legend=None),
            stroke=alt.Stroke("fate:N", scale=fates, legend=None),
        )
    )  # fmt: skip
    equal = alt.Chart(alt.NamedData("equal")).mark_line(color=LIGHT["quiet"], strokeWidth=1.6).encode(x="x:Q", y="y:Q")
    tones = alt.Scale(domain=list(LIGHT), range=list(LIGHT.values()))
    labels = [
        alt.Chart(alt.NamedData("labels"))
        .transform_filter(f"datum.align === '{align}'")
        .mark_text(align=align, fontSize=14, fontWeight="bold", dx=4 if align == "left" else -4)
        .encode(x="x:Q", y="y:Q", text="text:N", color=alt.Color("tone:N", scale=tones, legend=None))
        for align in ("left", "right")
    ]
    return _finish(
        _frame(x, y),
        *_zeros(),
        equal,
        points,
        *labels,
        *_marked(),
        title=alt.Title("Who wins?", subtitle="on the line push = pull; ◇ passes zero"),
    )


@lru_cache(maxsize=8)
def pull_spec(where: Where) -> dict[str, Any]:
    x, y = _axes("weight w before the step", "pull on the weight")
    points = alt.Chart(alt.NamedData("weights")).mark_point(filled=True, size=46, opacity=0.75, color=LIGHT[where])
    line = alt.Chart(alt.NamedData("line")).mark_line(strokeDash=[4, 4], color=LIGHT["ink"], strokeWidth=1.4)
    text = [
        alt.Chart(alt.NamedData("text"))
        .transform_filter(f"datum.align === '{align}'")
        .mark_text(align=align, dx=sign * 8, dy=-sign * 8, fontSize=14, fontStyle="italic", color=LIGHT["ink"])
        .encode(x="x:Q", y="y:Q", text="text:N")
        for align, sign in SIDES
    ]
    title = f"The pull on every weight: {WHERE_TITLE[where]}"
    return _finish(
        _frame(x, y), *_zeros(), points.encode(x=x, y=y), line.encode(x="x:Q", y="y:Q"), *text, *_marked(), title=title
    )
