"""The posterior in data space: what one set of weights predicts, and what the average over all of them does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

from engine.bayes import Posterior, as_logits, plug_in, predictive
from engine.charts import key as keys
from engine.charts.boundary import field_image
from engine.charts.picture import Picture, Rows, static
from engine.charts.plane import axes, boundary_ends, point_layer, points_of
from engine.charts.theme import LIGHT, PALETTE
from engine.measure import window
from engine.run import Run

GRID = 49
HEIGHT = 430
DRAWS = 40
"""Number of drawn lines."""

SHARES = (0.1, 0.5, 0.9)
"""P(y=1) whose contours are drawn."""

LIT = f"luminance('{LIGHT['paper']}') > 0.5 ? datum.light : datum.dark"
"""Picks a field's pixels by theme: pages turn a spec dark by exchanging colours, so the paper's colour tells."""


def plug_in_field(run: Run, belief: Posterior) -> Picture:
    """P(y=1) of the MAP alone, with its contours at 0.1, 0.5 and 0.9.

    Args:
        run: whose data and window are shown.
        belief: the posterior whose mean is the MAP.
    """
    return _field_picture(run, belief, False)


def predictive_field(run: Run, belief: Posterior) -> Picture:
    """P(y=1) averaged over the posterior with its contours, over the lines of 40 draws of (w, b).

    Args:
        run: whose data and window are shown; its seed draws.
        belief: the posterior.
    """
    return _field_picture(run, belief, True)


def grid_of(run: Run, count: int = GRID) -> tuple[NDArray, NDArray, NDArray]:
    """The axes of the page's window, (count,) each, and its points (count, count, 2); rows from the top down."""
    shown = window(run.data)
    x, y = np.linspace(*shown.x, count), np.linspace(*shown.y, count)[::-1]
    return x, y, np.stack(np.meshgrid(x, y), axis=-1)


def _field_picture(run: Run, belief: Posterior, averaged: bool) -> Picture:
    x, y, points = grid_of(run)
    p = (predictive if averaged else plug_in)(belief, points)
    box = np.array([[x[0], y[-1]], [x[-1], y[0]]])
    lines: Rows = []
    if averaged:
        for i, at in enumerate(belief.draws(DRAWS, run.experiment.seed)):
            ends = boundary_ends(at, box)
            if ends is not None:
                lines += [{"line": f"draw {i}", "kind": "draw", "x": a, "y": b} for a, b in ends.round(4).tolist()]
    for share in SHARES:
        for i, line in enumerate(contour_generator(x, y[::-1], p[::-1]).lines(share)):
            kind = "middle" if share == 0.5 else "edge"
            lines += [
                {"line": f"{share} {i}", "kind": kind, "order": k, "x": a, "y": b}
                for k, (a, b) in enumerate(np.asarray(line).round(4).tolist())
            ]
    logits = as_logits(p)
    title = "Averaged over the posterior" if averaged else "One set of weights: the MAP"
    between = float(((p > SHARES[0]) & (p < SHARES[-1])).mean())
    return Picture(
        _spec(title, averaged),
        {
            "images": [{theme: field_image(logits, theme) for theme in PALETTE}],
            "frame": [{"x": a, "y": b} for a, b in box.tolist()],
            "lines": lines,
            "points": points_of(run),
        },
        alt=f"{title}: the field of P(y=1), between 0.1 and 0.9 over {between:.0%} of the picture"
        + (f", with the lines of {DRAWS} draws of the posterior." if averaged else "."),
        title=f"{title}: P(y=1), contours at 0.1, 0.5 and 0.9",
        square=True,
        key=_key(title, averaged),
    )


def _key(title: str, averaged: bool) -> Rows:
    """What the lines over a field are."""
    draws = [keys.line(f"{DRAWS} draws of (w, b)", "quiet", 0.8)] if averaged else []
    rows = [keys.line("P(y=1) = 0.5", width=3), keys.line("P(y=1) = 0.1 and 0.9", width=1.2)]
    return [keys.head(title), *rows, *draws, *keys.classes()]


def image_layer() -> alt.Chart:
    """The field of the named data ``images``, over the whole plot."""
    return (
        alt.Chart(alt.NamedData("images"))
        .transform_calculate(url=LIT)
        .mark_image(aspect=False, width=alt.expr("width"), height=alt.expr("height"))
        .encode(x=alt.value(alt.expr("width/2")), y=alt.value(alt.expr("height/2")), url="url:N")
    )


@lru_cache(maxsize=4)
def _spec(title: str, averaged: bool) -> dict[str, Any]:
    x, y = axes("x₁ (standardised)", "x₂ (standardised)")

    def line(kind: str, width: float, opacity: float) -> alt.Chart:
        picked = alt.Chart(alt.NamedData("lines")).transform_filter(f"datum.kind === '{kind}'")
        marked = picked.mark_line(color=LIGHT["ink"], strokeWidth=width, opacity=opacity)
        return marked.encode(x="x:Q", y="y:Q", detail="line:N", order="order:Q")

    chart = alt.layer(
        alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x=x, y=y),
        image_layer(),
        *([line("draw", 0.8, 0.35)] if averaged else []),
        line("edge", 1.2, 1),
        line("middle", 3, 1),
        point_layer(),
    )
    below = f"thin: {DRAWS} draws of (w, b); contours P = 0.1, 0.5, 0.9" if averaged else "contours P = 0.1, 0.5, 0.9"
    fit = {"type": "fit", "contains": "padding"}
    chart = chart.add_params(alt.param("step", value=0)).resolve_scale(color="independent")
    return static(chart.properties(height=HEIGHT, title=alt.Title(title, subtitle=below), autosize=fit))
