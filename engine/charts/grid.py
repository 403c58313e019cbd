"""Where the fields of a table stand on a canvas, as large as they can be, and which words fit beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

LEFT, HEADING, HEAD, GAP, PAIR, CAPTION = 92, 48, 26, 14, 80, 24
"""Points left of the fields, for the title and the columns' heads above them, between them, for the = sign, and for
the line under each."""
ASPECT, FLAT = (1.15, 1.6), 2.0
"""Width of a field by its height, at least and at most, and at most where rows are low."""
LOWEST, BESIDE = 96, 96
"""A row that is lower has its words beside the fields, and so much room for them."""
MOST_ROWS = 4
"""Tables of more rows are tiles: most of their cells are empty, and fields become too small to be seen."""
TILE_WORDS = 42
"""Points for the two lines under a tile."""
SMALLEST = 12
"""Points that no text is smaller than."""
EM = 0.53
"""Width of a letter by the size of its type, on the broad side: fonts are not at hand here."""

Kind = Literal["under", "beside", "tile"]


class Field(NamedTuple):
    """A field's rectangle, in points."""

    x: float
    y: float
    width: float
    height: float


class Grid(NamedTuple):
    """Where everything of a table is, in points.

    Attributes:
        fields: one rectangle for every row and column, or one for every cell of tiles.
        kind: where a field's words are.
        room: points for them.
        head: y of the columns' heads.
        left: x of the rows' heads.
        pitch: from row to row.
    """

    fields: tuple[tuple[Field, ...], ...]
    kind: Kind
    room: float
    head: float
    left: float
    pitch: float


def table_grid(columns: int, rows: int, paired: bool, size: tuple[int, int], titled: bool) -> Grid:
    """Rows and columns with heads; the last of three columns stands off where = or ≠ is between."""
    top = float(HEADING * titled + HEAD)
    beside = (size[1] - top) / rows < LOWEST
    under, aside = (8, BESIDE) if beside else (CAPTION + 4, 0)
    widest = (size[0] - LEFT - PAIR * paired) / columns - GAP - aside
    height = min((size[1] - top) / rows - under, widest / ASPECT[0])
    width = min(widest, height * (FLAT if beside else ASPECT[1]))
    across, down = width + aside + GAP, height + under
    left = max(0.0, (size[0] - LEFT - across * columns - PAIR * paired) / 2)
    top += max(0.0, (size[1] - top - down * rows) / 2)
    lefts = [left + LEFT + across * i + PAIR * (paired and i == columns - 1) for i in range(columns)]
    fields = [tuple(Field(x, top + down * row, width, height) for x in lefts) for row in range(rows)]
    return Grid(tuple(fields), "beside" if beside else "under", aside or across, top - 12, left, down)


def tile_grid(count: int, size: tuple[int, int], titled: bool) -> Grid:
    """So many fields in as few rows as make them largest, without heads."""
    top = HEADING * titled

    def field(rows: int) -> tuple[float, float]:
        across = size[0] / -(-count // rows) - GAP
        height = min((size[1] - top) / rows - TILE_WORDS, across / ASPECT[0])
        return min(across, height * ASPECT[1]), height

    rows = max(range(1, count + 1), key=lambda rows: min(field(rows)))
    columns = -(-count // rows)
    width, height = field(rows)
    across, down = size[0] / columns, (size[1] - top) / rows
    places = [
        Field(across * (i % columns) + (across - width) / 2, top + down * (i // columns), width, height)
        for i in range(count)
    ]
    return Grid((tuple(places),), "tile", across, 0, 0, down)


def fitting(words: Sequence[str], room: float, sizes: Sequence[float] = (14, 13, SMALLEST)) -> tuple[str, float]:
    """The first of several wordings, from the fullest to the shortest, that fits at one of the sizes."""
    for text in words:
        for size in sizes:
            if EM * size * len(text) <= room:
                return text, size
    return words[-1], sizes[-1]


def broken(text: str, room: float, size: float) -> list[str]:
    """Words in lines of so many points."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and EM * size * len(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
