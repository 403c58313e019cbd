"""A Slide as a file: SVG and PDF with text that is text, PNG of exact pixels, CSV. Offline, without a browser."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import vl_convert

from engine.charts.picture import HEIGHT, WIDTH
from engine.charts.theme import PALETTE, PAPER
from engine.slides import fonts, svg
from engine.slides.slide import Slide
from engine.slides.svg import Style
from engine.slides.words import clean, cut_middle, fits, right_to_left, wrap


class Box(NamedTuple):
    """A rectangle on the slide, in points from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


PICTURE = Box(24, 108, 912, 372)
"""Where the picture is, on every slide."""
LEFT, ROOM = 28, WIDTH - 56
SMALLEST = 12
"""Points that no text is smaller than: 24 pixels at 1920 × 1080."""
TITLES, TAKEAWAY, LEAD = (28, 25, 22), 16, 1.2
"""Sizes of a title of one line, and what a longer one shrinks to; of the line under it; from line to line."""


def to_svg(slide: Slide) -> bytes:
    """SVG of 960 × 540 points, UTF-8: text as text, its faces embedded, the link a link."""
    return svg.serialized(_drawn(slide)).encode()


def to_png(slide: Slide, scale: float = 2) -> bytes:
    """PNG of 960 · scale × 540 · scale pixels: 2 is 1920 × 1080, 4 is 3840 × 2160."""
    return vl_convert.svg_to_png(svg.serialized(_drawn(slide), embed=False), scale=scale)


def to_pdf(slide: Slide) -> bytes:
    """PDF of one page of 960 × 540 points, text as text, faces embedded."""
    return vl_convert.svg_to_pdf(svg.serialized(_drawn(slide), embed=False))


def picture_png(slide: Slide, scale: float = 2) -> bytes:
    """PNG of the picture alone, PICTURE.width · scale × PICTURE.height · scale pixels."""
    return vl_convert.svg_to_png(svg.serialized(_picture(slide), embed=False), scale=scale)


def to_csv(slide: Slide) -> bytes:
    """The figure's data as UTF-8 with a header; text that a spreadsheet would take for a formula begins with '."""
    frame = slide.frame.rename(columns=_harmless)
    texts = {name: frame[name].map(_harmless) for name in frame.columns if frame[name].dtype.kind not in "biufcmM"}
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n").encode()


def _harmless(value: Any) -> Any:
    """What is no formula in any spreadsheet."""
    risky = isinstance(value, str) and value.lstrip()[:1] in tuple("=+-@＝＋－＠")
    return f"'{value}" if risky or (isinstance(value, str) and value[:1] in tuple("\t\r\n")) else value


def _drawn(slide: Slide) -> ET.Element:
    """The whole slide."""
    root = ET.Element(svg.tag("svg"), width=f"{WIDTH}", height=f"{HEIGHT}", viewBox=f"0 0 {WIDTH} {HEIGHT}")
    svg.add(root, "rect", width=WIDTH, height=HEIGHT, fill=PAPER[slide.theme])
    picture = _picture(slide)
    picture.set("x", str(PICTURE.x))
    picture.set("y", str(PICTURE.y))
    _heading(root, slide)
    root.append(picture)
    _footer(root, slide)
    svg.described(root, slide.title, [clean(slide.caption), clean(slide.picture.alt)])
    return root


def _picture(slide: Slide) -> ET.Element:
    """The picture at its size, from Vega."""
    if not slide.picture.square:
        return _vega(slide, (PICTURE.width, PICTURE.height))
    # What stands around the axes is known only once it is drawn.
    trial = PICTURE.height // 2
    side = trial + PICTURE.height - ceil(float(_vega(slide, (trial, trial)).get("height", "0")))
    inner = _vega(slide, (side, side))
    inner.set("x", svg.number((PICTURE.width - float(inner.get("width", "0"))) / 2))
    outer = ET.Element(svg.tag("svg"), width=f"{PICTURE.width}", height=f"{PICTURE.height}")
    outer.set("viewBox", f"0 0 {PICTURE.width} {PICTURE.height}")
    svg.add(outer, "rect", width=PICTURE.width, height=PICTURE.height, fill=PAPER[slide.theme])
    outer.append(inner)
    return outer


def _vega(slide: Slide, size: tuple[int, int]) -> ET.Element:
    """The picture as Vega draws it, in the slide's faces."""
    fonts.register()
    spec = slide.picture.standalone(slide.theme, size, heading=False, font=svg.FAMILY)
    return svg.retyped(vl_convert.vegalite_to_svg(spec))


def _heading(root: ET.Element, slide: Slide) -> None:
    """The title, of one line or two smaller ones, and the takeaway under it."""
    ink, quiet = PALETTE[slide.theme]["ink"], PALETTE[slide.theme]["quiet"]
    title, caption = clean(slide.title), clean(slide.caption)
    size = next((size for size in TITLES if fits(title, size, ROOM, 1, True)), TITLES[-1])
    lines = wrap(title, size, ROOM, 2, True)
    below = wrap(caption, TAKEAWAY, ROOM, 2)
    height = LEAD * (size * len(lines) + TAKEAWAY * len(below)) + 4
    y = max(10.0, (PICTURE.y - height) / 2 + 2)
    for line in lines:
        _line(root, line, y + 0.92 * size, Style(size, ink, True))
        y += LEAD * size
    y += 4
    for line in below:
        _line(root, line, y + 0.92 * TAKEAWAY, Style(TAKEAWAY, quiet))
        y += LEAD * TAKEAWAY


def _line(parent: ET.Element, text: str, y: float, style: Style) -> None:
    """A line from the margin where its script begins."""
    leftward = right_to_left(text)
    at = Style(style.size, style.colour, style.bold, "end" if leftward else "start")
    svg.write(parent, text, LEFT + ROOM if leftward else LEFT, y, at)


FOOTER = (36, 46.5, 33)
"""Points from the bottom to a single line of settings, and to each of two."""


def _footer(root: ET.Element, slide: Slide) -> None:
    """Settings, of two lines where they need them, and the permalink under them."""
    quiet = Style(SMALLEST, PALETTE[slide.theme]["quiet"])
    settings, link = clean(slide.settings), clean(slide.link)
    lines = wrap(settings, SMALLEST, ROOM, 2)
    for line, place in zip(lines, FOOTER[:1] if len(lines) < 2 else FOOTER[1:], strict=False):
        svg.write(root, line, LEFT, HEIGHT - place, quiet)
    parent = root
    if opens(slide.link):
        parent = svg.add(root, "a", href=slide.link.strip(), target="_blank", rel="noopener")
    svg.write(parent, cut_middle(link, SMALLEST, ROOM), LEFT, HEIGHT - 19, quiet)


def opens(link: str) -> bool:
    """Whether a link may be followed: to the web, or to a path of the same server; printable, so that it shows all."""
    link = link.strip()
    if not link or not link.isprintable() or link.startswith("//") or "\\" in link:
        return False
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return bool(parts.scheme in ("http", "https") and parts.netloc) or (not parts.scheme and link[0] in "/?#")
