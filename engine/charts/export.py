"""A Picture as a file: PNG of exact pixels, SVG. Offline, through vl-convert."""

from __future__ import annotations

import vl_convert

from engine.charts.picture import Picture


def to_png(picture: Picture, theme: str = "light", scale: float = 2) -> bytes:
    """PNG of 960 · scale × 540 · scale pixels.

    Args:
        picture: what to draw.
        theme: "light" or "dark".
        scale: 2 is 1920 × 1080, 4 is 3840 × 2160.
    """
    return vl_convert.vegalite_to_png(picture.standalone(theme), scale=scale)


def to_svg(picture: Picture, theme: str = "light") -> bytes:
    """SVG of 960 × 540 points, UTF-8."""
    return vl_convert.vegalite_to_svg(picture.standalone(theme)).encode()
