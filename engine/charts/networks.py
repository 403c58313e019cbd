"""Small multiples of networks drawn from the prior: a column for each σ, a row for each draw."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from contourpy import contour_generator

from engine.charts.bayes import LIT
from engine.charts.boundary import field_image
from engine.charts.picture import Picture, Rows, short, static
from engine.charts.theme import LIGHT, PALETTE
from engine.networks import SHOWN, PriorDraws

HEIGHT = 560
MARGIN = 0.02
HEAD, FOOT = 0.3, 0.42
"""Room above and below the panels, in panels."""


def prior_networks(drawn: PriorDraws, shape: str) -> Picture:
    """P(y=1) of networks drawn from N(0, σ²I): the same draws in every column, times another σ.

    Args:
        drawn: of ``engine.networks.prior_draws``.
        shape: the networks in words, for instance "16-16 tanh".
    """
    data: dict[str, Rows] = {"images": [], "contours": [], "texts": []}
    for column, sigma in enumerate(drawn.sigmas):
        middle = column + 0.5
        data["texts"] += [
            {"x": middle, "y": -HEAD / 2, "text": f"σ = {sigma:g}", "size": 16, "tone": "other"},
            {"x": middle, "y": SHOWN + 0.13, "text": f"slope {_two(drawn.slope[column])}", "size": 14, "tone": "ink"},
            {"x": middle, "y": SHOWN + 0.3, "text": f"line {_two(drawn.length[column])}", "size": 14, "tone": "ink"},
        ]
        for row in range(SHOWN):
            field = drawn.logits[column, row]
            box = (column + MARGIN, row + MARGIN, column + 1 - MARGIN, row + 1 - MARGIN)
            data["images"].append(
                dict(zip(("x", "y", "x2", "y2"), box, strict=True))
                | {theme: field_image(field, theme) for theme in PALETTE}
            )
            across, down = np.linspace(box[0], box[2], field.shape[1]), np.linspace(box[1], box[3], field.shape[0])
            for i, line in enumerate(contour_generator(across, down, field).lines(0.0)):
                data["contours"] += [
                    {"line": f"{column} {row} {i}", "order": k, "x": a, "y": b}
                    for k, (a, b) in enumerate(np.asarray(line).round(3).tolist())
                ]
    words = ", ".join(
        f"σ = {s:g}: mean slope {_two(a)}, contour length {_two(b)}"
        for s, a, b in zip(drawn.sigmas, drawn.slope, drawn.length, strict=True)
    )
    return Picture(
        _spec(len(drawn.sigmas), f"Networks {shape} drawn from N(0, σ²I)"),
        data,
        alt=f"Networks drawn from the prior. {words}.",
        title=f"Networks {shape} drawn from N(0, σ²I)",
    )


def _two(value: float) -> str:
    return f"{value:.2g}" if value < 0.1 else short(value)


@lru_cache(maxsize=32)
def _spec(columns: int, title: str) -> dict[str, Any]:
    flat: dict[str, Any] = {"nice": False, "zero": False}
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, columns], **flat), axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[SHOWN + FOOT, -HEAD], **flat), axis=None)
    images = (
        alt.Chart(alt.NamedData("images"))
        .transform_calculate(url=LIT)
        .mark_image(aspect=False)
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q", url="url:N")
    )
    contours = (
        alt.Chart(alt.NamedData("contours"))
        .mark_line(color=LIGHT["ink"], strokeWidth=2, strokeCap="round")
        .encode(x="x:Q", y="y:Q", detail="line:N", order="order:Q")
    )
    tones = alt.Scale(domain=["other", "ink"], range=[LIGHT["other"], LIGHT["ink"]])
    texts = (
        alt.Chart(alt.NamedData("texts"))
        .mark_text(baseline="middle", fontWeight="bold")
        .encode(
            x="x:Q",
            y="y:Q",
            text="text:N",
            size=alt.Size("size:Q", scale=None),
            color=alt.Color("tone:N", scale=tones, legend=None),
        )
    )
    chart = alt.layer(images, contours, texts).add_params(alt.param("step", value=0))
    below = ["each row is one draw, times σ; below, means of many:", "slope |∇ logit| and length of the line P = 1/2"]
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=HEIGHT, title=alt.Title(title, subtitle=below), autosize=fit))
