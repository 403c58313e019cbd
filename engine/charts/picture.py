"""A Picture: a static Vega-Lite spec, the data that fills it, and the words for those who do not see it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from engine.charts.theme import config, themed

Rows = list[dict[str, Any]]
WIDTH, HEIGHT = 960, 540
"""The canvas of an export in points; a PNG of scale 2 is 1920 × 1080."""


@dataclass(frozen=True)
class Picture:
    """One figure: the spec depends on what is shown, only ``data`` on the numbers, so a page updates it in place.

    Attributes:
        spec: Vega-Lite in light colours, with named data and a param ``step`` where it follows a film.
        data: rows for each name of the spec's data.
        alt: what the picture shows now, in a sentence.
        title: for exports; pages print their own.
        drawn: the spec is in pixels of a WIDTH × HEIGHT canvas, so that an export takes it as it is.
        square: width and height are to be equal, since both axes have one unit.
    """

    spec: dict[str, Any]
    data: dict[str, Rows]
    alt: str
    title: str = ""
    drawn: bool = False
    square: bool = False

    def standalone(self, theme: str = "light") -> dict[str, Any]:
        """The complete Vega-Lite spec with its data, of exactly WIDTH × HEIGHT points, its type sized for a slide.

        A picture that follows a film shows its last step.
        """
        spec = {**themed(self.spec, theme), "width": WIDTH, "height": HEIGHT}
        last = max((row["step"] for rows in self.data.values() for row in rows if "step" in row), default=0)
        params = spec.get("params", [])
        spec["params"] = [{**param, "value": last} if param["name"] == "step" else param for param in params]
        if not self.drawn:
            drawn = spec.get("title", {})
            subtitle = drawn.get("subtitle", "") if isinstance(drawn, dict) else ""
            spec["title"] = {"text": self.title, "subtitle": subtitle, "offset": 14}
            spec["padding"] = 24
            spec["autosize"] = {"type": "fit", "contains": "padding"}
        if self.square:
            side = (WIDTH - HEIGHT) // 2
            spec["padding"] = {"left": side, "right": side, "top": 16, "bottom": 16}
        paper = "#FFFFFF" if theme == "light" else "#14161A"
        return {**spec, "background": paper, "datasets": self.data, "config": config(theme, 1.15)}


def static(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The dict of an Altair chart, without the parts that a page or an export sets itself."""
    spec = json.loads(chart.to_json(validate=True))
    for key in ("config", "$schema", "datasets"):
        spec.pop(key, None)
    return spec


def numbers(values: Any, digits: int = 5) -> list[float | None]:
    """Values as JSON numbers of a few significant digits; what is not finite becomes None."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in np.asarray(values, dtype=float).tolist()]


def short(value: float) -> str:
    """A number for a caption: two or three significant digits, tiny ones as 0.00, huge ones as powers of ten."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e4:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
