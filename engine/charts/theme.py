"""Colours, dashes and type of every picture. Charts are drawn in light colours; ``themed`` turns a spec dark."""

from __future__ import annotations

import json
from typing import Any

from engine.variants import VARIANTS, Variant

PALETTE: dict[str, dict[str, str]] = {
    "light": {
        "none": "#6B7280",
        "gradient": "#CC79A7",
        "weight": "#009E73",
        "other": "#E69F00",
        "class0": "#0072B2",
        "class1": "#D55E00",
        "middle": "#F7F7F5",
        "outline": "#FFFFFF",
        "paper": "#FFFFFE",
        "ink": "#14181F",
        "quiet": "#4B5563",
        "rule": "#E2E5EA",
    },
    "dark": {
        "none": "#9CA3AF",
        "gradient": "#E39CC2",
        "weight": "#2CC59B",
        "other": "#F2B93B",
        "class0": "#3BA3E0",
        "class1": "#F08438",
        "middle": "#1B1E23",
        "outline": "#0E1116",
        "paper": "#0E1117",
        "ink": "#F3F4F6",
        "quiet": "#B4BAC4",
        "rule": "#2E333B",
    },
}
"""Okabe-Ito hues by meaning, light and dark. Within a theme every colour is distinct, so that themes can be swapped."""

LIGHT = PALETTE["light"]
PAPER = {"light": "#FFFFFF", "dark": "#14161A"}
"""Behind an exported picture."""
WHERE_TITLE = {
    "none": "no decay",
    "gradient": "λ in the gradient (L2)",
    "weight": "λ on the weight (decay)",
    "other": "another prior",
}
DASH = {
    "SGD": [1, 0],
    "Momentum": [10, 5],
    "RMSProp": [2, 3],
    "Adagrad": [5, 3],
    "Adam": [8, 3, 2, 3],
    "Lion": [12, 3, 2, 3, 2, 3],
}
FONT = "Source Sans, DejaVu Sans, Liberation Sans, Arial, sans-serif"
"""Streamlit serves the first; exports take the first that is installed (DejaVu has ‖, λ and η in one face)."""


def colour_of(variant: Variant) -> str:
    """The light colour that says where a variant's λ enters."""
    return LIGHT[variant.where]


def variant_scales() -> tuple[dict[str, Any], dict[str, Any]]:
    """Colour and dash scales (keyword arguments of alt.Scale) over all variants, so that a spec fits every run."""
    keys, variants = list(VARIANTS), VARIANTS.values()
    colours = {"domain": keys, "range": [colour_of(variant) for variant in variants]}
    dashes = {"domain": keys, "range": [DASH[variant.family] for variant in variants]}
    return colours, dashes


def config(theme: str, scale: float = 1.0, font: str = FONT) -> dict[str, Any]:
    """The Vega-Lite config of a theme; ``scale`` enlarges all type for slides."""
    colour = PALETTE[theme]
    text = {"labelColor": colour["quiet"], "titleColor": colour["quiet"]}
    return {
        "font": font,
        "view": {"stroke": None},
        "axis": {
            **text,
            "labelFontSize": 13 * scale,
            "titleFontSize": 14 * scale,
            "titleFontWeight": "normal",
            "gridColor": colour["rule"],
            "domainColor": colour["rule"],
            "tickColor": colour["rule"],
        },
        "title": {"color": colour["ink"], "fontSize": 16 * scale, "anchor": "start", "subtitleColor": colour["quiet"],
                  "subtitleFontSize": 14 * scale},
        "legend": {**text, "labelFontSize": 13 * scale, "titleFontSize": 13 * scale},
        "text": {"color": colour["ink"], "fontSize": 13 * scale},
        "header": {"labelColor": colour["ink"], "labelFontSize": 14 * scale, "title": None},
    }  # fmt: skip


def themed(spec: dict[str, Any], theme: str) -> dict[str, Any]:
    """The same Vega-Lite spec with every palette colour exchanged for the theme's."""
    text = json.dumps(spec)
    for name, light in LIGHT.items():
        text = text.replace(light, PALETTE[theme][name])
    return json.loads(text)
