"""A Picture: a static Vega-Lite spec, the data that fills it, and the words for those who do not see it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import altair as alt
import numpy as np

from engine.charts.key import numbered, with_key
from engine.charts.theme import FONT, PAPER, config, themed

Rows = list[dict[str, Any]]
WIDTH, HEIGHT = 960, 540
"""The canvas of an export in points; a PNG of scale 2 is 1920 × 1080."""
SLIDE = 1.15
"""Type of a slide beside type of a page."""
ENLARGED = {"fontSize", "dx", "dy"}


@dataclass(frozen=True)
class Picture:
    """One figure: the spec depends on what is shown, only ``data`` on the numbers, so a page updates it in place.

    Attributes:
        spec: Vega-Lite in light colours, with named data and a param ``step`` where it follows a film.
        data: rows for each name of the spec's data.
        alt: what the picture shows now, in a sentence.
        title: for exports; pages print their own.
        drawn: the spec is in pixels of its canvas, so that an export takes it as it is.
        square: width and height are to be equal, since both axes have one unit.
        redraw: of a drawn picture, the same for another width and height, without its title.
        canvas: width and height that a drawn picture was laid out for.
        key: of a square picture, what its lines and points mean, rows of ``engine.charts.key``; a slide has them beside
            the plot, in place of the spec's title.
    """

    spec: dict[str, Any]
    data: dict[str, Rows]
    alt: str
    title: str = ""
    drawn: bool = False
    square: bool = False
    redraw: Callable[[int, int], Picture] | None = None
    canvas: tuple[int, int] = (WIDTH, HEIGHT)
    key: Rows = field(default_factory=list)

    def standalone(
        self, theme: str = "light", size: tuple[int, int] = (WIDTH, HEIGHT), heading: bool = True, font: str = FONT
    ) -> dict[str, Any]:
        """The complete Vega-Lite spec with its data, of an exact size, its type sized for a slide.

        A picture that follows a film shows its last step.

        Args:
            theme: "light" or "dark".
            size: width and height in points.
            heading: with the picture's title in place of what the spec says over the chart; without one, ``size`` of a
                square picture is that of its axes alone.
            font: CSS font-family of all text.
        """
        if self.redraw and not heading:
            return self.redraw(*size).standalone(theme, font=font)
        if self.key and not heading:
            listed = {**self.data, "key": numbered(self.key)}
            return replace(self, spec=with_key(self.spec), data=listed, key=[]).standalone(theme, size, False, font)
        width, height = size if not self.drawn else self.canvas
        spec = {**enlarged(themed(self.spec, theme), SLIDE), "width": width, "height": height}
        last = max((row["step"] for rows in self.data.values() for row in rows if "step" in row), default=0)
        params = spec.get("params", [])
        spec["params"] = [{**param, "value": last} if param["name"] == "step" else param for param in params]
        if not self.drawn:
            drawn = spec.get("title")
            subtitle = drawn.get("subtitle", "") if isinstance(drawn, dict) else ""
            spec["title"] = {"text": self.title, "subtitle": subtitle, "offset": 14} if heading else drawn
            spec["padding"] = 24 if heading else 4
            spec["autosize"] = {"type": "fit", "contains": "padding"}
        if self.square and not heading:
            spec["autosize"] = {"type": "pad"}
        elif self.square:
            side = (width - height) // 2
            spec["padding"] = {"left": side, "right": side, "top": 16, "bottom": 16}
        data = self.data if heading else at_their_values(self.data)
        return {**spec, "background": PAPER[theme], "datasets": data, "config": config(theme, SLIDE, font)}


def at_their_values(data: dict[str, Rows]) -> dict[str, Rows]:
    """Data with the labels of curves where the curves end, for a drawing that makes room for them itself."""
    labels = data.get("labels", [])
    if not labels or not all({"value", "place"} <= set(row) for row in labels):
        return data
    return {**data, "labels": [{**row, "place": row["value"]} for row in labels]}


def enlarged(spec: Any, scale: float) -> Any:
    """A spec with every type size that a mark names made larger, and how far its words stand off."""
    if isinstance(spec, list):
        return [enlarged(part, scale) for part in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        key: value * scale if key in ENLARGED and isinstance(value, int | float) else enlarged(value, scale)
        for key, value in spec.items()
    }


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
