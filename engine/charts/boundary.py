"""A table of fields as one slide; the signature table: rows are optimizers, columns say where λ enters."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image

from engine.charts.picture import HEIGHT, WIDTH, Picture, Rows, short, static
from engine.charts.table import Cell, Line, Table, apart, divergence_note, signature_table
from engine.charts.theme import LIGHT, PALETTE
from engine.measure import EQUAL, Window, boundary_logits, window
from engine.run import Run

LEFT, TOP, GAP, PAIR, CAPTION = 92, 76, 14, 78, 22
"""Points left and above the panels, between them, for the = sign, and for the line under each."""

RESOLUTION = 160
ALIGNED: tuple[Literal["left", "center"], ...] = ("left", "center")


def signature(run: Run, theme: str = "light", step: int = -1) -> Picture:
    """P(y=1) of every variant at a recorded step with contour, points, test loss and ‖w‖, and = or ≠ between pairs.

    Args:
        run: the training.
        theme: "light" or "dark"; fields are pixels, so they are painted in the theme's colours.
        step: a recorded step, -1 for the last.
    """
    return slide(signature_table(run), "Does it matter where λ enters?", theme, step)


def slide(table: Table, title: str, theme: str = "light", step: int = -1) -> Picture:
    """A table of fields as one slide, as ``signature`` has it.

    Args:
        table: with at least one cell.
        title: the question above it; the step is added.
        theme: "light" or "dark".
        step: a recorded step, -1 for the last.
    """
    run = table.cells[0].run
    frame = run.frame(step)
    frames = slice(frame, frame + 1)
    places = len(table.columns)
    pair = PAIR * table.paired
    width = (WIDTH - LEFT - pair - places * GAP) / places
    height = min((HEIGHT - TOP - 10) / len(table.rows) - CAPTION - 8, width / 1.4)
    lefts = [LEFT + column * (width + GAP) + (pair if column >= 2 else 0) for column in range(places)]
    data: dict[str, Rows] = {"images": [], "contours": [], "points": [], "texts": []}
    data["texts"].append(_text(LEFT, 26, f"{title} Step {int(run.steps[frame]):,}", 20, "left", "ink", True))
    for left, (head, tone) in zip(lefts, table.columns, strict=True):
        data["texts"].append(_text(left + width / 2, TOP - 12, head, 15, "center", tone, True))
    for r, row in enumerate(table.rows):
        y = TOP + r * (height + CAPTION + 8)
        data["texts"] += _head(row, y + height / 2)
        for left, cell in zip(lefts, row.cells, strict=True):
            if cell:
                _draw(data, cell, frames, theme, (left, y, width, height))
        data["texts"] += _pair(row, frames, lefts[-1 if places < 3 else 2] - pair / 2 - GAP / 2, y + height / 2)
    words = [text["text"] for text in data["texts"]]
    return Picture(_spec(), data, alt="; ".join(words), title=words[0], drawn=True)


def _draw(data: dict[str, Rows], cell: Cell, frames: slice, theme: str, box: tuple[float, ...]) -> None:
    """Add the field of one cell, its contour, points and words to the slide's data."""
    x, y, width, height = box
    shown = window(cell.run.data)
    logits = _logits(cell, shown, frames)
    data["images"].append({"url": field_image(logits, theme), "x": x, "y": y, "w": width, "h": height})
    data["contours"] += _contour(logits, box, cell.title)
    data["points"] += _points(cell.run, shown, box)
    data["texts"] += _captions(cell, frames, box)


def _logits(cell: Cell, shown: Window, frames: slice) -> NDArray:
    alone = replace(cell.run, film=cell.run.film[:, cell.index : cell.index + 1])
    return boundary_logits(alone, shown, RESOLUTION, frames)[0, 0]


def _text(x: float, y: float, text: str, size: float, align: str, tone: str, bold: bool = False) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "size": size, "align": align, "tone": tone, "bold": bold}


def _head(row: Line, y: float) -> Rows:
    texts = [_text(14, y - 12, row.title, 17 if len(row.title) < 10 else 11, "left", "ink", True)]
    return texts + [_text(14, y + 8 + 17 * i, note, 13, "left", "quiet") for i, note in enumerate(row.notes)]


def _captions(cell: Cell, frames: slice, box: tuple[float, ...]) -> Rows:
    x, y, width, height = box
    metrics = {name: values[0, cell.index] for name, values in cell.run.metrics_at(frames).items()}
    loss, norm = short(metrics["test_loss"]), short(metrics["weight_norm"])
    caption = f"test loss {loss}   accuracy {metrics['test_accuracy']:.0%}   ‖w‖ {norm}"
    if cell.variant.where == "other":
        caption = f"{cell.variant.title}: test loss {loss}   ‖w‖ {norm}"
    texts = [_text(x + width / 2, y + height + 13, caption, 13 if width > 220 else 10.5, "center", "ink")]
    note = divergence_note(cell.run, cell.variant)
    return [*texts, _text(x + width / 2, y + 14, note, 11, "center", "ink", True)] if note else texts


def _pair(row: Line, frames: slice, x: float, y: float) -> Rows:
    if row.pair is None:
        return []
    difference = float(apart(row, frames)[0])
    sign = "=" if difference <= EQUAL else "≠"
    return [_text(x, y - 8, sign, 36, "center", "ink", True), _text(x, y + 20, "max|Δw|", 12, "center", "ink"),
            _text(x, y + 35, f"{difference:.1g}", 12, "center", "ink")]  # fmt: skip


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


def _contour(logits: NDArray, box: tuple[float, ...], key: str) -> Rows:
    """The 0.5 contour as polylines in pixels."""
    x, y, width, height = box
    columns = x + np.linspace(0, width, logits.shape[1])
    lines = contour_generator(columns, y + np.linspace(0, height, logits.shape[0]), logits).lines(0.0)
    return [
        {"line": f"{key} {i}", "order": k, "x": round(px, 2), "y": round(py, 2)}
        for i, line in enumerate(lines)
        for k, (px, py) in enumerate(np.asarray(line).tolist())
    ]


def _points(run: Run, shown: Window, box: tuple[float, ...]) -> Rows:
    x, y, width, height = box
    place = (run.data.x_train - [shown.x[0], shown.y[1]]) / [shown.x[1] - shown.x[0], shown.y[0] - shown.y[1]]
    return [
        {"x": round(x + a * width, 2), "y": round(y + b * height, 2), "label": f"class{label}"}
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
        .mark_point(filled=True, size=44, stroke=LIGHT["outline"], strokeWidth=1, opacity=1)
        .encode(x=x, y=y, shape=alt.Shape("label:N", scale=shapes, legend=None),
                fill=alt.Fill("label:N", scale=fills, legend=None))
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
