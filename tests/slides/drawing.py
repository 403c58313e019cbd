"""Where the words of a drawn slide are: every text of an SVG with its box on the canvas."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np

from engine.slides.fonts import FACES, UNKNOWN, advance

SVG = "{http://www.w3.org/2000/svg}"
BY_CSS = {(face.css, str(face.weight)): face for face in FACES}


@dataclass(frozen=True)
class Word:
    """One text element: left, top, right, bottom in points, of letters from x height to the line."""

    text: str
    size: float
    box: tuple[float, float, float, float]

    def covers(self, other: "Word") -> float:
        """The share of the smaller box that both have."""
        left, top = np.maximum(self.box[:2], other.box[:2])
        right, bottom = np.minimum(self.box[2:], other.box[2:])
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (self.box, other.box)]
        return float(max(0, right - left) * max(0, bottom - top) / max(min(areas), 1e-9))


def words(svg: bytes) -> list[Word]:
    """Every text of a drawing."""
    found: list[Word] = []
    _walk(ET.fromstring(svg), np.eye(3), found)
    return found


def plain(svg: bytes) -> str:
    """All words of a drawing in a row, without marks of direction and with common spaces."""
    return " ".join(" ".join(word.text for word in words(svg)).replace("\u200f", "").split())


def _walk(node, matrix, found):
    if node.tag == f"{SVG}svg":
        matrix = matrix @ _shift(float(node.get("x", 0)), float(node.get("y", 0)))
    matrix = matrix @ _transform(node.get("transform", ""))
    if node.tag == f"{SVG}text" and (node.text or "").strip():
        found.append(_word(node, matrix))
    for child in node:
        _walk(child, matrix, found)


def _word(node, matrix) -> Word:
    text, size = node.text or "", float(node.get("font-size"))
    face = BY_CSS.get((node.get("font-family"), node.get("font-weight")), UNKNOWN)
    x, y = float(node.get("x", 0)), float(node.get("y", 0))
    right = x + size * advance(text.replace("\u200f", ""), face)
    corners = matrix @ np.array([[x, y, 1], [right, y, 1], [x, y - 0.7 * size, 1], [right, y - 0.7 * size, 1]]).T
    low, high = corners[:2].min(axis=1), corners[:2].max(axis=1)
    return Word(text, size, (*low.tolist(), *high.tolist()))


def _shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _transform(text):
    matrix = np.eye(3)
    for name, inner in re.findall(r"(\w+)\(([^)]*)\)", text):
        values = [float(value) for value in re.split(r"[ ,]+", inner.strip())]
        if name == "translate":
            step = _shift(values[0], values[1] if len(values) > 1 else 0)
        elif name == "rotate":
            turn = np.deg2rad(values[0])
            step = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        else:
            step = np.diag([values[0], values[-1], 1])
        matrix = matrix @ step
    return matrix
