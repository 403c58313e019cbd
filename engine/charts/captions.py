"""The words of a table of fields on a canvas: heads of rows, numbers of cells, = and ≠; texts at points."""

from __future__ import annotations

from typing import Any

from engine.charts.grid import LEFT, SMALLEST, Field, Grid, broken, fitting
from engine.charts.picture import Rows, short
from engine.charts.table import Cell, Line, Table, apart, divergence_note
from engine.measure import EQUAL


def text_at(x: float, y: float, text: str, size: float, align: str, tone: str, bold: bool = False) -> dict[str, Any]:
    """A row of the slide's texts."""
    return {"x": x, "y": y, "text": text, "size": size, "align": align, "tone": tone, "bold": bold}


def row_head(row: Line, grid: Grid, field: Field) -> Rows:
    """A row's title, and as many of its notes as are not too high."""
    room = LEFT - 14
    _, size = fitting([max(row.title.split(), key=len)], room, (17, 15, 14, 13, SMALLEST))
    lines = broken(row.title, room, size)
    notes = row.notes[: max(0, int((grid.pitch - (size + 3) * len(lines)) / 17))]
    y = field.y + (field.height - (size + 3) * (len(lines) - 1) - 17 * len(notes)) / 2
    texts = [
        text_at(grid.left + 4, y + (size + 3) * i, line, size, "left", "ink", True) for i, line in enumerate(lines)
    ]
    y += (size + 3) * (len(lines) - 1) + 18
    return texts + [text_at(grid.left + 4, y + 17 * i, note, 13.5, "left", "quiet") for i, note in enumerate(notes)]


def _numbers(cell: Cell, frames: slice) -> tuple[str, str, str]:
    """Test loss, accuracy and ‖w‖ of a cell."""
    metrics = {name: values[0, cell.index] for name, values in cell.run.metrics_at(frames).items()}
    return short(metrics["test_loss"]), f"{metrics['test_accuracy']:.0%}", short(metrics["weight_norm"])


def under(cell: Cell, frames: slice, grid: Grid, field: Field) -> Rows:
    """One line under a field, and why a run diverged in it."""
    loss, accuracy, norm = _numbers(cell, frames)
    words = [f"test loss {loss}   accuracy {accuracy}   ‖w‖ {norm}", f"test loss {loss}   ‖w‖ {norm}"]
    if cell.variant.where == "other":
        words = [f"{cell.variant.title}: {words[1]}", f"{cell.variant.title}: {loss}   ‖w‖ {norm}"]
    caption, size = fitting([*words, f"{loss}   ‖w‖ {norm}"], grid.room)
    middle = field.x + field.width / 2
    texts = [text_at(middle, field.y + field.height + 14, caption, size, "center", "ink")]
    note = broken(divergence_note(cell.run, cell.variant) or "", field.width - 12, 13)
    return texts + [
        text_at(middle, field.y + 14 + 16 * i, line, 13, "center", "ink", True) for i, line in enumerate(note)
    ]


def beside(cell: Cell, frames: slice, grid: Grid, field: Field) -> Rows:
    """Lines beside a field that is too low for one under it."""
    loss, _, norm = _numbers(cell, frames)
    lines = broken(cell.variant.title, grid.room, 13) if cell.variant.where == "other" else []
    step = cell.run.diverged[cell.variant.key]
    lines += [f"test loss {loss}", f"‖w‖ {norm}"] if step is None else ["diverged", f"at step {step:,}"]
    lines = lines[: max(1, int(grid.pitch / 16))]
    y = field.y + field.height / 2 - 8 * (len(lines) - 1)
    return [text_at(field.x + field.width + 8, y + 16 * i, line, 13, "left", "ink") for i, line in enumerate(lines)]


def tiled(cell: Cell, frames: slice, grid: Grid, field: Field) -> Rows:
    """A tile's name in the colour that says where λ enters, and its numbers."""
    loss, _, norm = _numbers(cell, frames)
    step = cell.run.diverged[cell.variant.key]
    name, size = fitting([cell.title.rstrip(",")], grid.room, (14, 13, SMALLEST))
    words = [f"test loss {loss}   ‖w‖ {norm}", f"test {loss}   ‖w‖ {norm}", f"{loss}   ‖w‖ {norm}"]
    caption, small = fitting(words if step is None else [f"diverged at step {step:,}"], grid.room, (13, SMALLEST))
    middle, y = field.x + field.width / 2, field.y + field.height
    return [
        text_at(middle, y + 12, name, size, "center", cell.variant.where, True),
        text_at(middle, y + 28, caption, small, "center", "ink"),
    ]


def sign_between(row: Line, frames: slice, x: float, y: float, kind: str) -> Rows:
    """= or ≠, and by how much."""
    if row.pair is None:
        return []
    difference = float(apart(row, frames)[0])
    sign = "=" if difference <= EQUAL else "≠"
    if kind == "beside":
        return [text_at(x, y - 8, sign, 24, "center", "ink", True),
                text_at(x, y + 14, f"{difference:.1g}", SMALLEST, "center", "ink")]  # fmt: skip
    return [text_at(x, y - 8, sign, 36, "center", "ink", True), text_at(x, y + 20, "max|Δw|", 13, "center", "ink"),
            text_at(x, y + 36, f"{difference:.1g}", 13, "center", "ink")]  # fmt: skip


def said(table: Table, frames: slice) -> list[str]:
    """Every cell and comparison in words, whatever of it is written."""
    words: list[str] = []
    for row in table.rows:
        for cell in filter(None, row.cells):
            loss, accuracy, norm = _numbers(cell, frames)
            words.append(f"{cell.title.rstrip(',')}: test loss {loss}, accuracy {accuracy}, ‖w‖ {norm}")
            words += filter(None, [divergence_note(cell.run, cell.variant)])
        if row.pair:
            difference = float(apart(row, frames)[0])
            sign = "=" if difference <= EQUAL else "≠"
            words.append(f"{row.pair[0].title} {sign} {row.pair[1].title}, max|Δw| {difference:.1g}")
    return words


WORDS = {"under": under, "beside": beside, "tile": tiled}
"""The words of a cell by where they are."""
