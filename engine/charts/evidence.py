"""Evidence over the width σ of the prior: which width the data themselves find most believable."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, Rows, numbers, short, static
from engine.charts.theme import LIGHT
from engine.evidence import Evidence, peak

Side = Literal["left", "center", "right"]
HEIGHT = 380
DEPTH = 10.0
"""Nats below the best σ that the picture shows: a factor of 20,000 in probability."""


def logistic_evidence(found: Evidence, sigma: float) -> Picture:
    """Log evidence of the logistic model over σ by Laplace, and integrated numerically at a few σ.

    Args:
        found: the curves.
        sigma: the current σ; inf is not marked.
    """
    best = peak(found.sigmas, found.logistic)[1]
    checks = _rows(found.checked, found.integrated - best)
    return _picture(found.sigmas, found.logistic, sigma, "Logistic model (Laplace)", checks)


def linear_evidence(found: Evidence, sigma: float) -> Picture:
    """Exact log evidence of linear regression on the same points with targets ±1, over σ.

    Args:
        found: the curves.
        sigma: the current σ; inf is not marked.
    """
    return _picture(found.sigmas, found.linear, sigma, "Linear model, targets ±1 (exact)", [])


def _picture(sigmas: NDArray, values: NDArray, sigma: float, title: str, checks: Rows) -> Picture:
    best, top, inside = peak(sigmas, values)
    words = f"best σ = {short(best)}" if inside else "highest at the edge"
    now: Rows = []
    if np.isfinite(sigma):
        height = float(np.interp(np.log(sigma), np.log(sigmas), values) - top)
        now = [{"sigma": sigma, "value": max(height, -DEPTH), "floor": -DEPTH, "text": f"σ now {short(sigma)}"}]
    return Picture(
        _spec(title, bool(checks), _side(best, sigmas), _side(sigma, sigmas)),
        {
            "curves": _rows(sigmas, values - top),
            "best": [{"sigma": best, "value": 0.0, "text": words}],
            "now": now,
            **({"checks": [row for row in checks if (row["value"] or 0) >= -DEPTH]} if checks else {}),
        },
        alt=f"{title}: log evidence over the prior's σ; {words}"
        + (f"; the current σ is {-height:.2g} nats below it." if now else "."),
        title=f"Evidence over σ. {title}: {words}",
    )


def _side(sigma: float, sigmas: NDArray) -> Side:
    """How to align a label at this σ so that it stays on the picture."""
    share = np.log(sigma / sigmas[0]) / np.log(sigmas[-1] / sigmas[0])
    return "left" if share < 0.15 else "right" if share > 0.75 else "center"


def _rows(sigmas: NDArray, values: NDArray) -> Rows:
    return [{"sigma": s, "value": v} for s, v in zip(numbers(sigmas), numbers(values), strict=True)]


@lru_cache(maxsize=8)
def _spec(title: str, checked: bool, best: Side, current: Side) -> dict[str, Any]:
    axis = alt.Axis(grid=False, values=[0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100], format="~g")
    x = alt.X("sigma:Q", title="σ, the prior's width", scale=alt.Scale(type="log", nice=False), axis=axis)
    y = alt.Y(
        "value:Q",
        title="nats below the best σ",
        scale=alt.Scale(domain=[-DEPTH, 1.2], nice=False),
        axis=alt.Axis(values=[-10, -8, -6, -4, -2, 0]),
    )
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("curves", "best", "now", "checks")}
    words = named["best"].mark_text(dy=-15, align=best, fontSize=15, fontWeight="bold", color=LIGHT["ink"])
    side: Side = "right" if current == "right" else "left"
    now = named["now"].mark_text(
        dx=-7 if side == "right" else 7, dy=-8, align=side, fontSize=15, fontWeight="bold", color=LIGHT["other"]
    )
    layers = [
        named["now"].mark_rule(color=LIGHT["other"], strokeWidth=2).encode(x=x, y=alt.Y("floor:Q"), y2="value:Q"),
        named["curves"].mark_line(color=LIGHT["ink"], strokeWidth=2.6, clip=True).encode(x=x, y=y),
        named["now"]
        .mark_point(color=LIGHT["other"], filled=True, size=120, opacity=1)
        .encode(x="sigma:Q", y="value:Q"),
        now.encode(x="sigma:Q", y="floor:Q", text="text:N"),
        named["best"]
        .mark_point(shape="diamond", size=150, strokeWidth=2, color=LIGHT["ink"], opacity=1)
        .encode(x="sigma:Q", y="value:Q"),
        words.encode(x="sigma:Q", y="value:Q", text="text:N"),
    ]
    if checked:
        dots = named["checks"].mark_point(size=70, strokeWidth=2, color=LIGHT["class0"], opacity=1)
        layers.append(dots.encode(x="sigma:Q", y="value:Q"))
    below = "diamond: best; rings: integrated numerically" if checked else "diamond: best"
    fit = {"type": "fit", "contains": "padding"}
    chart = alt.layer(*layers).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    return static(
        chart.properties(height=HEIGHT, title=alt.Title(title, subtitle=below), padding=padding, autosize=fit)
    )
