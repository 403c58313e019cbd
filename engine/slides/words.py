"""Words as they are set on a slide: cleaned, broken into lines, and in runs of one face and one direction."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from engine.slides.fonts import EMOJI, EMOJI_STYLE, LEFTWARD, ZWJ, ZWNJ, Face, advance, set_in

RIGHT_MARK = "\u200f"
MIRROR = str.maketrans("()[]{}<>«»‹›⟨⟩≤≥", ")(][}{><»«›‹⟩⟨≥≤")
LONGEST = 4000
"""Characters of a text that are read; more never fits on a slide."""

Bidi = list[str]


@dataclass(frozen=True)
class Run:
    """Text of one face and one direction, from left to right on the line.

    Attributes:
        text: in reading order.
        face: what it is set in.
        x: from the left end of its line, in em.
        width: in em.
    """

    text: str
    face: Face
    x: float
    width: float


def clean(text: str) -> str:
    """Plain text of one line: composed, without control characters, single spaces."""
    kept = []
    for char in unicodedata.normalize("NFC", text[:LONGEST]):
        if char.isprintable() or char in (ZWJ, ZWNJ):
            kept.append(char)
        elif unicodedata.category(char) != "Cf":
            kept.append(" ")
    return " ".join("".join(kept).split())


def right_to_left(text: str) -> bool:
    """Whether the first letter with a direction runs to the left."""
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((kind in ("R", "AL") for kind in strong if kind in ("L", "R", "AL")), False)


@lru_cache(maxsize=4096)
def runs(text: str, bold: bool = False) -> tuple[Run, ...]:
    """The runs of a line as they stand from left to right."""
    faces = set_in(text, bold)
    shown = [
        (char, face, level)
        for char, face, level in zip(text, faces, levels(text), strict=True)
        if char != EMOJI_STYLE or face is EMOJI
    ]
    parts = [
        ("".join(char for char, _, _ in part), face, level)
        for (face, level), part in groupby(shown, key=lambda item: item[1:])
    ]
    placed, x = [], 0.0
    for part, face, level in _visual(parts):
        if level % 2:
            ahead = advance(part[len(part.rstrip()) :], face)
            inner = part.strip()
            placed.append(Run(_leftward(inner, face), face, x + ahead, advance(inner, face)))
        else:
            placed.append(Run(part, face, x, advance(part, face)))
        x += advance(part, face)
    return tuple(run for run in placed if run.text)


def _leftward(part: str, face: Face) -> str:
    """Text that stands alone and yet runs to the left: its ends held by marks, or turned where its face has none."""
    if not part or face not in LEFTWARD:
        return part if any(char.isalpha() for char in part) else part[::-1].translate(MIRROR)
    first, last = ("" if unicodedata.bidirectional(part[i]) in ("R", "AL") else RIGHT_MARK for i in (0, -1))
    return f"{first}{part}{last}"


def width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line in points."""
    line = runs(text, bold)
    return size * (line[-1].x + line[-1].width) if line else 0.0


def wrap(text: str, size: float, room: float, lines: int, bold: bool = False) -> list[str]:
    """Text in at most so many lines of so many points; what does not fit ends in …"""
    found: list[str] = []
    rest = text
    while rest:
        if len(found) == lines - 1:
            return [*found, cut(rest, size, room, bold)]
        line, rest = _first_line(rest, size, room, bold)
        found.append(line)
    return found


def fits(text: str, size: float, room: float, lines: int, bold: bool = False) -> bool:
    """Whether ``wrap`` shows all of a text."""
    found = wrap(text, size, room, lines, bold)
    return "".join("".join(found).split()) == "".join(text.split())


def cut(text: str, size: float, room: float, bold: bool = False) -> str:
    """Text of one line, its end replaced by … where it is too long."""
    kept = _longest(text, lambda part: part.rstrip() + "…", size, room, bold)
    return text if width(text, size, bold) <= room else kept


def cut_middle(text: str, size: float, room: float) -> str:
    """Text of one line, its middle replaced by … where it is too long: a link is known by both ends."""
    if width(text, size) <= room:
        return text
    return _longest(text, lambda part: f"{part[: (2 * len(part) + 2) // 3]}…{_tail(text, len(part) // 3)}", size, room)


def _tail(text: str, count: int) -> str:
    return text[len(text) - count :]


def _longest(text: str, make: Callable[[str], str], size: float, room: float, bold: bool = False) -> str:
    """What ``make`` makes of the longest beginning of a text for which it fits."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(make(text[:middle]), size, bold) <= room else (low, middle - 1)
    return make(text[:low])


def _first_line(text: str, size: float, room: float, bold: bool) -> tuple[str, str]:
    """A line and what is left, broken at a space, between characters of scripts without them, or anywhere."""
    if width(text, size, bold) <= room:
        return text, ""
    count = len(_longest(text, lambda part: part, size, room, bold)) or 1
    breaks = [i for i in range(1, count + 1) if _may_break(text, i)]
    at = breaks[-1] if breaks and breaks[-1] > count // 3 else count
    return text[:at].rstrip(), text[at:].lstrip()


def _may_break(text: str, i: int) -> bool:
    before, after = text[i - 1], text[i : i + 1]
    if not after or after.isspace():
        return True
    wide = unicodedata.east_asian_width(before) in "WF" and unicodedata.east_asian_width(after) in "WF"
    return wide and unicodedata.category(after)[0] not in "PM" and after not in "ーっゃゅょ"


def levels(text: str) -> list[int]:
    """The embedding level of every character, odd for right to left: Unicode's bidirectional algorithm (UAX 9)
    without embeddings, which ``clean`` removes, and without paired brackets."""
    kinds = [unicodedata.bidirectional(char) or "L" for char in text]
    if not {"R", "AL", "AN"} & set(kinds):
        return [0] * len(kinds)
    base = int(right_to_left(text))
    kinds = _neutral(_weak(kinds, base), base)
    steps = {"L": 2, "R": 1} if base else {"L": 0, "R": 1}
    found = [steps.get(kind, 2) for kind in kinds]
    for i in range(len(text.rstrip()), len(text)):
        found[i] = base
    return found


def _weak(kinds: Bidi, base: int) -> Bidi:
    """Numbers, their signs and marks: rules W1 to W7."""
    strong = before = "R" if base else "L"
    for i, kind in enumerate(kinds):
        before = before if kind in ("NSM", "BN") else "AN" if kind == "EN" and strong == "AL" else kind
        strong = before if before in ("L", "R", "AL") else strong
        kinds[i] = before
    for i, kind in enumerate(kinds[1:-1], 1):
        if kinds[i - 1] == kinds[i + 1] == "EN" and kind in ("ES", "CS"):
            kinds[i] = "EN"
        elif kinds[i - 1] == kinds[i + 1] == "AN" and kind == "CS":
            kinds[i] = "AN"
    strong = "R" if base else "L"
    for i, kind in enumerate(kinds):
        if kind == "ET" and "EN" in (*kinds[max(i - 1, 0) : i], *kinds[i + 1 : i + 2]):
            kinds[i] = "EN"
        strong = "R" if kind == "AL" else kind if kind in ("L", "R") else strong
        kinds[i] = "R" if kind == "AL" else "L" if kinds[i] == "EN" and strong == "L" else kinds[i]
    return kinds


def _neutral(kinds: Bidi, base: int) -> Bidi:
    """What has no direction takes that of both neighbours, or the line's: rules N1 and N2."""
    end = "R" if base else "L"
    out: Bidi = []
    for neutral, part in groupby(kinds, key=lambda kind: kind not in ("L", "R", "EN", "AN")):
        group = list(part)
        if neutral:
            rest = kinds[len(out) + len(group) :]
            before, after = (_side(out[-1]) if out else end), (_side(rest[0]) if rest else end)
            group = [before if before == after else end] * len(group)
        out += group
    return out


def _side(kind: str) -> str:
    return "L" if kind == "L" else "R"


def _visual(parts: list[tuple[str, Face, int]]) -> Iterator[tuple[str, Face, int]]:
    """Parts from left to right: rule L2."""
    for level in range(max((part[2] for part in parts), default=0), 0, -1):
        ordered = []
        for high, group in groupby(parts, key=lambda part, at=level: part[2] >= at):  # type: ignore[misc]
            ordered += list(group)[:: -1 if high else 1]
        parts = ordered
    yield from parts
