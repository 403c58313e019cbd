"""A Picture: a static Vega-Lite spec, the data that fills it, and the words for those who do not see it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import numpy as np

from engine.charts.theme import config, themed

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """One figure: the spec depends on what is shown, only ``data`` on the numbers, so a page updates it in place.

    Attributes:
        spec: Vega-Lite in light colours, with named data and a param ``step`` where it follows a film.
        data: rows for each name of the spec's data.
        alt: what the picture shows now, in a sentence.
        title: for exports; pages print their own.
    """

    spec: dict[str, Any]
    data: dict[str, Rows]
    alt: str
    title: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def standalone(self, theme: str = "light", width: int = 960, height: int = 540) -> dict[str, Any]:
        """The complete Vega-Lite spec with its data, of exactly width × height pixels, type sized for a slide."""
        spec = themed(self.spec, theme)
        sizes = {} if "vconcat" in spec or "hconcat" in spec else {"width": width, "height": height}
        return {
            **spec,
            **sizes,
            "title": {"text": self.title, "subtitle": self.extra.get("subtitle", ""), "offset": 14},
            "padding": self.extra.get("padding", 24),
            "autosize": {"type": "fit", "contains": "padding"},
            "background": "#FFFFFF" if theme == "light" else "#0E1117",
            "datasets": self.data,
            "config": {**config(theme, 1.15), "background": None},
        }


def static(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The dict of an Altair chart, without the parts that a page or an export sets itself."""
    spec = json.loads(chart.to_json(validate=True))  # type: ignore[attr-defined]
    for key in ("config", "$schema", "datasets"):
        spec.pop(key, None)
    return spec


def numbers(values: Any, digits: int = 5) -> list[float | None]:
    """Values as JSON numbers of a few significant digits; what is not finite becomes None."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in np.asarray(values, dtype=float).tolist()]
