"""SVG whose text is the same everywhere: set in the shipped faces, run by run, with the faces embedded."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

from engine.slides.fonts import FACES, TEXT, Face, stylesheet
from engine.slides.words import Run, clean, runs

SVG = "http://www.w3.org/2000/svg"
ET.register_namespace("", SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")

FAMILY = TEXT.css
"""What Vega is told, so that it measures what is drawn."""
SPOKEN = ("aria-label", "aria-hidden", "aria-roledescription", "role", "pointer-events", "class")
"""Attributes that Vega writes for pages; an aria-label repeats the picture of every field."""

PLACE = re.compile(r"translate\(([-\d.e]+),([-\d.e]+)\)")
LEADING = 1.15
"""From a label to the next, by the size of its type."""
TOP = 14.0
"""Points from the top of a chart's axes to the line of its highest label."""


@dataclass(frozen=True)
class Style:
    """How a line of text is set."""

    size: float
    colour: str
    bold: bool = False
    anchor: str = "start"


def tag(name: str) -> str:
    """A name in SVG's namespace."""
    return f"{{{SVG}}}{name}"


def add(parent: ET.Element, name: str, **attributes: float | str) -> ET.Element:
    """A new child; attributes are written with - for _."""
    return ET.SubElement(parent, tag(name), {key.replace("_", "-"): number(value) for key, value in attributes.items()})


def number(value: float | str) -> str:
    """A number as SVG has it, of two decimals at most."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def write(parent: ET.Element, text: str, x: float, y: float, style: Style) -> None:
    """One line of plain text as ``text`` elements, one for each run."""
    line = runs(text, style.bold)
    whole = style.size * (line[-1].x + line[-1].width) if line else 0.0
    left = x - {"start": 0.0, "middle": whole / 2, "end": whole}[style.anchor]
    for run in line:
        place = left + style.size * run.x
        node = add(parent, "text", x=place, y=y, font_size=style.size, fill=style.colour, **_face(run))
        node.text = _spaced(run.text)


def _face(run: Run) -> dict[str, str]:
    return {"font_family": run.face.css, "font_weight": str(run.face.weight)}


def _spaced(text: str) -> str:
    """Spaces that XML would take away, as ones that it keeps."""
    if text.startswith(" ") or text.endswith(" ") or "  " in text:
        return text.replace(" ", "\u00a0")
    return text


def retyped(source: str) -> ET.Element:
    """Vega's SVG with all text in the shipped faces, without what it says to pages, its clips numbered from 0."""
    clips: dict[str, str] = {}
    numbered = re.sub(r"\bclip\d+\b", lambda found: clips.setdefault(found[0], f"clip{len(clips)}"), _guarded(source))
    root = ET.fromstring(numbered)
    for parent in root.iter(tag("g")):
        groups = [group for group in parent if "mark-text" in group.get("class", "")]
        apart([node for group in groups for node in group if node.get("text-anchor") == "start"])
    for parent in list(root.iter()):
        for name in SPOKEN:
            parent.attrib.pop(name, None)
        for at, child in enumerate(list(parent)):
            if child.tag == tag("text"):
                parent[at] = _retyped(child)
    return root


def apart(labels: list[ET.Element]) -> None:
    """Move labels that begin at one x up and down, as little as may be, until none is on another."""
    columns: dict[int, list[tuple[float, ET.Element]]] = {}
    for node in labels:
        if found := PLACE.fullmatch(node.get("transform", "")):
            columns.setdefault(round(float(found[1])), []).append((float(found[2]), node))
    for column in columns.values():
        column.sort(key=lambda item: item[0])
        gaps = [LEADING * _size(node) * max(1, len(node)) for _, node in column]
        for y, (_, node) in zip(spread([y for y, _ in column], gaps), column, strict=True):
            node.set("transform", PLACE.sub(rf"translate(\g<1>,{number(y)})", node.get("transform", "")))


def spread(places: list[float], gaps: list[float]) -> list[float]:
    """Rising places at least ``gaps[i]`` before the next, each as near to where it was as the others let it.

    None goes above the first of them and the top of the chart, where its title is.
    """
    blocks: list[tuple[float, int]] = []
    offset = [sum(gaps[:i]) for i in range(len(gaps))]
    for place, before in zip(places, offset, strict=True):
        blocks.append((place - before, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks.pop(-2), blocks.pop()
            blocks.append(((a * m + b * n) / (m + n), m + n))
    starts = [start for start, count in blocks for _ in range(count)]
    highest = min(places[0], TOP) if places else 0.0
    return [max(start, highest) + before for start, before in zip(starts, offset, strict=True)]


def _guarded(source: str) -> str:
    """Without the control characters that no XML may have."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", " ", source)


def _size(node: ET.Element) -> float:
    return float(node.get("font-size", "13px").removesuffix("px"))


def _retyped(node: ET.Element) -> ET.Element:
    """One of Vega's texts, of one or several lines, as a group of texts."""
    bold = node.get("font-weight", "normal") in ("bold", "600", "700", "800", "900")
    style = Style(
        _size(node),
        node.get("fill", "#000000"),
        bold,
        node.get("text-anchor", "start"),
    )
    group = ET.Element(tag("g"))
    for name in ("transform", "opacity", "fill-opacity"):
        if name in node.attrib:
            group.set(name, node.attrib[name])
    y = 0.0
    lines = [node.text or "", *(line.text or "" for line in node)]
    for i, line in enumerate(lines):
        if i:
            y += float(node[i - 1].get("dy", "0").removesuffix("px"))
        if line.strip():
            write(group, line, 0.0, y, style)
    return group


def used(root: ET.Element) -> dict[Face, set[str]]:
    """The characters of every face in a drawing."""
    faces = {(face.css, str(face.weight)): face for face in FACES}
    found: dict[Face, set[str]] = {}
    for node in root.iter(tag("text")):
        if face := faces.get((node.get("font-family", ""), node.get("font-weight", ""))):
            found.setdefault(face, set()).update(node.text or "")
    return found


def serialized(root: ET.Element, embed: bool = True) -> str:
    """A drawing as text, its faces in a ``style`` where a browser is to read it."""
    if embed and (css := stylesheet(used(root))):
        style = ET.Element(tag("style"))
        style.text = css
        root.insert(0, style)
    return ET.tostring(root, encoding="unicode")


def described(root: ET.Element, title: str, words: Iterable[str]) -> None:
    """Name and description for those who do not see a drawing."""
    root.set("role", "img")
    for at, (name, text) in enumerate((("title", title), ("desc", " ".join(words)))):
        node = ET.Element(tag(name))
        node.text = clean(text)
        root.insert(at, node)
