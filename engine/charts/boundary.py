"""A table of fields as one slide; the signature table: rows are optimizers, columns say where λ enters."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Literal

import altair as alt
import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image

from engine.charts.captions import WORDS, row_head, said, sign_between, text_at
from engine.charts.grid import GAP, LEFT, MOST_ROWS, PAIR, SMALLEST, Field, Grid, fitting, table_grid, tile_grid
from engine.charts.picture import HEIGHT, WIDTH, Picture, Rows, static
from engine.charts.table import Cell, Table, signature_table
from engine.charts.theme import LIGHT, PALETTE
from engine.measure import Window, boundary_logits, window
from engine.run import Run

RESOLUTION = 160
POINT = 44
"""Square points of a training point on a field that is not small."""
ALIGNED: tuple[Literal["left", "center"], ...] = ("left", "center")


def signature(run: Run, theme: str = "light", step: int = -1, place: str = "") -> Picture:
    """P(y=1) of every variant at a recorded step with contour, points, test loss and ‖w‖, and = or ≠ between pairs.

    Args:
        run: the training.
        theme: "light" or "dark"; fields are pixels, so they are painted in the theme's colours.
        step: a recorded step, -1 for the last.
        place: what the step is called in the title, by default "Step …".
    """
    return slide(signature_table(run), "Does it matter where λ enters?", theme, step, place=place)


def slide(
    table: Table,
    title: str,
    theme: str = "light",
    step: int = -1,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    place: str = "",
) -> Picture:
    """A table of fields as one slide, as ``signature`` has it, its fields as large as they can be.

    Args:
        table: with at least one cell.
        title: the question above it; the step is added. Without one there is no heading.
        theme: "light" or "dark".
        step: a recorded step, -1 for the last.
        size: width and height in points.
        place: what the step is called in the title, by default "Step …".
    """
    run = table.cells[0].run
    frame = run.frame(step)
    frames = slice(frame, frame + 1)
    heading = f"{title} {place or f'Step {int(run.steps[frame]):,}'}" if title else ""
    data: dict[str, Rows] = {"images": [], "contours": [], "points": [], "texts": []}
    if heading:
        data["texts"].append(text_at(LEFT, 26, heading, 20, "left", "ink", True))
    if len(table.rows) > MOST_ROWS:
        grid = tile_grid(len(table.cells), size, bool(title))
        for cell, field in zip(table.cells, grid.fields[0], strict=True):
            _draw(data, cell, frames, theme, grid, field)
    else:
        _fill(data, table, frames, theme, size, bool(title))
    again = partial(_anew, table, theme, step)
    alt = "; ".join([*([heading] if heading else []), *said(table, frames)])
    return Picture(_spec(), data, alt, heading, drawn=True, redraw=again, canvas=size)


def _anew(table: Table, theme: str, step: int, width: int, height: int) -> Picture:
    """The same without a heading, of another size."""
    return slide(table, "", theme, step, (width, height))


def _fill(data: dict[str, Rows], table: Table, frames: slice, theme: str, size: tuple[int, int], titled: bool) -> None:
    """Add rows and columns with their heads; a column without any cell is left out."""
    shown = [i for i in range(len(table.columns)) if any(row.cells[i] for row in table.rows)]
    paired = table.paired and any(row.pair for row in table.rows)
    grid = table_grid(len(shown), len(table.rows), paired, size, titled)
    for field, i in zip(grid.fields[0], shown, strict=True):
        head, tone = table.columns[i]
        words, type_size = fitting([head], grid.room, (15, 14, 13, SMALLEST))
        data["texts"].append(text_at(field.x + field.width / 2, grid.head, words, type_size, "center", tone, True))
    for row, fields in zip(table.rows, grid.fields, strict=True):
        data["texts"] += row_head(row, grid, fields[0])
        for i, field in zip(shown, fields, strict=True):
            if cell := row.cells[i]:
                _draw(data, cell, frames, theme, grid, field)
        if paired:
            last = fields[-1]
            data["texts"] += sign_between(row, frames, last.x - (PAIR + GAP) / 2, last.y + last.height / 2, grid.kind)


def _draw(data: dict[str, Rows], cell: Cell, frames: slice, theme: str, grid: Grid, field: Field) -> None:
    """Add the field of one cell, its contour, points and words to the slide's data."""
    shown = window(cell.run.data)
    logits = _logits(cell, shown, frames)
    place = {"x": field.x, "y": field.y, "w": field.width, "h": field.height}
    data["images"].append({"url": field_image(logits, theme), **place})
    data["contours"] += _contour(logits, field, cell.title)
    data["points"] += _points(cell.run, shown, field)
    data["texts"] += WORDS[grid.kind](cell, frames, grid, field)


def _logits(cell: Cell, shown: Window, frames: slice) -> NDArray:
    alone = replace(cell.run, film=cell.run.film[:, cell.index : cell.index + 1])
    return boundary_logits(alone, shown, RESOLUTION, frames)[0, 0]


def field_image(logits: NDArray, theme: str) -> str:
    """P(y=1) as an indexed PNG in a data URI: blue through the midpoint to red."""
    colours = {name: np.array([int(PALETTE[theme][name][i : i + 2], 16) for i in (1, 3, 5)]) for name in PALETTE[theme]}
    p = np.linspace(0, 1, 256)
    ends = np.where(p[:, None] < 0.5, colours["class0"], colours["class1"])
    palette = colours["middle"] + 0.8 * np.abs(2 * p - 1)[:, None] * (ends - colours["middle"])
    shades = np.rint(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)
    image = Image.fromarray(shades)
    image.putpalette(np.rint(palette).astype(np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _contour(logits: NDArray, box: Field, key: str) -> Rows:
    """The 0.5 contour as polylines in pixels."""
    x, y, width, height = box
    columns = x + np.linspace(0, width, logits.shape[1])
    lines = contour_generator(columns, y + np.linspace(0, height, logits.shape[0]), logits).lines(0.0)
    return [
        {"line": f"{key} {i}", "order": k, "x": round(px, 2), "y": round(py, 2)}
        for i, line in enumerate(lines)
        for k, (px, py) in enumerate(np.asarray(line).tolist())
    ]


def _points(run: Run, shown: Window, box: Field) -> Rows:
    x, y, width, height = box
    size = POINT * min(1.0, height / 120)
    place = (run.data.x_train - [shown.x[0], shown.y[1]]) / [shown.x[1] - shown.x[0], shown.y[0] - shown.y[1]]
    return [
        {"x": round(x + a * width, 2), "y": round(y + b * height, 2), "label": f"class{label}", "size": round(size, 1)}
        for (a, b), label in zip(place.tolist(), run.data.y_train.tolist(), strict=True)
    ]


@lru_cache(maxsize=1)
def _spec() -> dict[str, Any]:
    x, y = alt.X("x:Q", scale=None, axis=None), alt.Y("y:Q", scale=None, axis=None)
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("images", "contours", "points", "texts")}
    # Vega-Lite's image marks take their size from the mark, so one layer of fixed corners: x, y to x + w, y + h.
    images = (
        named["images"]
        .transform_calculate(x2="datum.x + datum.w", y2="datum.y + datum.h")
        .mark_image(aspect=False)
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q", url="url:N")
    )
    contours = (
        named["contours"]
        .mark_line(color=LIGHT["ink"], strokeWidth=2, strokeCap="round")
        .encode(x=x, y=y, detail="line:N", order="order:O")
    )
    shapes = alt.Scale(domain=["class0", "class1"], range=["circle", "triangle-up"])
    fills = alt.Scale(domain=["class0", "class1"], range=[LIGHT["class0"], LIGHT["class1"]])
    points = (
        named["points"]
        .mark_point(filled=True, stroke=LIGHT["outline"], strokeWidth=1, opacity=1)
        .encode(x=x, y=y, shape=alt.Shape("label:N", scale=shapes, legend=None),
                fill=alt.Fill("label:N", scale=fills, legend=None), size=alt.Size("size:Q", scale=None))
    )  # fmt: skip
    tones = alt.Scale(domain=list(LIGHT), range=list(LIGHT.values()))
    texts = [
        named["texts"]
        .transform_filter(f"datum.align === '{align}' && datum.bold === {'true' if bold else 'false'}")
        .mark_text(align=align, baseline="middle", fontWeight="bold" if bold else "normal")
        .encode(x=x, y=y, text="text:N", size=alt.Size("size:Q", scale=None),
                color=alt.Color("tone:N", scale=tones, legend=None))
        for align in ALIGNED
        for bold in (True, False)
    ]  # fmt: skip
    chart = alt.layer(images, contours, points, *texts).resolve_scale(color="independent", fill="independent")
    return static(chart.properties(padding=0, autosize={"type": "none", "contains": "padding"}))
