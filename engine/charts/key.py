"""What the lines and points of a square picture mean, as a list beside its plot: a slide has the room for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from engine.charts.theme import DASH, LIGHT
from engine.variants import VARIANTS

PITCH, MARGIN, SAMPLE, GAP = 24, 22, 30, 10
"""Pixels from line to line, from the plot to the list, of a sample of a line, and from it to its name."""
INSIDE = ("names", "notes")
"""Data of names that a page writes into the plot, and that are in the list where there is one."""


def head(text: str) -> dict[str, Any]:
    """The list's heading."""
    return {"text": text, "kind": "head", "tone": "ink"}


def line(text: str, tone: str = "ink", width: float = 2, dash: Iterable[float] = ()) -> dict[str, Any]:
    """A kind of line: its name, a colour of the palette, width and dashes in pixels."""
    return {"text": text, "kind": "line", "tone": tone, "width": width, "dash": list(dash)}


def point(text: str, shape: str, tone: str = "ink", filled: bool = False) -> dict[str, Any]:
    """A kind of point."""
    return {"text": text, "kind": "point", "tone": tone, "shape": shape, "filled": filled}


def trainings(variants: Iterable[str], width: float) -> list[dict[str, Any]]:
    """The lines of variants, in their colours and dashes."""
    chosen = [VARIANTS[key] for key in variants]
    return [line(variant.title, variant.where, width, DASH[variant.family]) for variant in chosen]


def classes() -> list[dict[str, Any]]:
    """The training points."""
    return [point("class 0", "circle", "class0", True), point("class 1", "triangle-up", "class1", True)]


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their places in the list."""
    return [{**row, "place": i, "places": len(rows)} for i, row in enumerate(rows)]


def with_key(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec of layers with the list on its right, filled by the named data ``key``, in place of title and names."""
    layers = [layer for layer in spec["layer"] if layer.get("data", {}).get("name") not in INSIDE]
    rest = {name: value for name, value in spec.items() if name != "title"}
    return {**rest, "layer": [*layers, *_layers()]}


def _layers() -> list[dict[str, Any]]:
    tone = {"value": {"expr": f"{json.dumps(LIGHT)}[datum.tone]"}}
    y = {"value": {"expr": f"10 + datum.place * min({PITCH}, (height - 20) / max(1, datum.places - 1))"}}

    def at(pixels: float) -> dict[str, Any]:
        return {"value": {"expr": f"width + {pixels}"}}

    def layer(kind: str, mark: dict[str, Any], **channels: Any) -> dict[str, Any]:
        return {
            "data": {"name": "key"},
            "transform": [{"filter": f"datum.kind === '{kind}'"}],
            "mark": mark,
            "encoding": {"y": y, **channels},
        }

    text = {"type": "text", "align": "left", "baseline": "middle", "fontSize": 13}
    name = {"field": "text", "type": "nominal"}
    after = at(MARGIN + SAMPLE + GAP)
    shape = {"value": {"expr": "datum.shape"}}
    inner = {"value": {"expr": f"datum.filled ? {json.dumps(LIGHT)}[datum.tone] : null"}}
    return [
        layer("head", {**text, "fontWeight": "bold", "fontSize": 14}, x=at(MARGIN), text=name, color=tone),
        layer("line", {"type": "rule"}, x=at(MARGIN), x2=at(MARGIN + SAMPLE), stroke=tone,
              strokeWidth={"value": {"expr": "datum.width"}}, strokeDash={"value": {"expr": "datum.dash"}}),
        layer("point", {"type": "point", "size": 80, "opacity": 1, "strokeWidth": 2}, x=at(MARGIN + SAMPLE / 2),
              shape=shape, stroke=tone, fill=inner),
        *(layer(kind, text, x=after, text=name, color={"value": LIGHT["ink"]}) for kind in ("line", "point")),
    ]  # fmt: skip
