"""Slides that move: the training, or the whole λ axis at its end, as an animated WebP or GIF."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from PIL import Image

from engine.axis import anywhere, at_lambda
from engine.figures.boundaries import axis_of, table_at
from engine.figures.figure import FIGURES, shot_of, trained
from engine.figures.link import to_link
from engine.slides.entry import Entry
from engine.slides.render import to_png
from engine.slides.slide import Slide, settings

SCALE = 4 / 3
"""1280 × 720 pixels: a film of 1920 × 1080 would be three times as large and no sharper on a projector."""

MOMENT, PAUSE = 110, 2500
"""Milliseconds of a picture, and of the last one."""

MOVING = "boundaries.table"
"""The figure that moves: the table of fields."""

Progress = Callable[[int, int], None]


def frames(entry: Entry, theme: str, over: str, base: str = "") -> tuple[Iterator[Slide], int]:
    """The slides of a film, and how many there are.

    Args:
        entry: of the signature table.
        theme: "light" or "dark".
        over: "steps" or "lambda".
        base: scheme and host of the permalink.

    Raises:
        ValueError: a figure that does not move.
    """
    if entry.shot.figure != MOVING:
        raise ValueError(f"{FIGURES[entry.shot.figure].name} does not move; the table of page 1 does.")
    shot = replace(entry.shot, options=())
    still = replace(entry, shot=shot).slide(theme, base)
    if over == "lambda":
        axis = axis_of(anywhere(entry.shot.experiment))
        runs = [
            replace(axis.run, experiment=at_lambda(axis.run.experiment, value), diverged=gone)
            for value, gone in zip(axis.weight_decays.tolist(), axis.diverged, strict=True)
        ]
        places = [(run, i, f"λ = {run.experiment.weight_decay:g} (SGD)") for i, run in enumerate(runs)]
    else:
        run = trained(entry.shot.experiment)
        places = [(run, int(step), "") for step in run.steps]

    def slides() -> Iterator[Slide]:
        for run, step, name in places:
            panel = table_at(run, step, theme, name)
            here = replace(shot, experiment=run.experiment)
            if over != "lambda":
                here = shot_of(MOVING, run.experiment, at=str(step))
            yield replace(
                still, picture=panel.picture, caption=panel.takeaway, settings=settings(run.experiment),
                link=to_link(here, base),
            )  # fmt: skip

    return slides(), len(places)


def to_webp(slides: Iterable[Slide], total: int, progress: Progress) -> bytes:
    """An animated WebP of 1280 × 720 pixels that repeats for ever."""
    return _animated(slides, total, progress, "WEBP", quality=80, method=2)


def to_gif(slides: Iterable[Slide], total: int, progress: Progress) -> bytes:
    """An animated GIF of 1280 × 720 pixels in 256 colours that repeats for ever."""
    return _animated(slides, total, progress, "GIF", optimize=False)


def _animated(slides: Iterable[Slide], total: int, progress: Progress, kind: str, **options: int | bool) -> bytes:
    pictures = _drawn(slides, total, progress, partial(Image.Image.quantize, colors=256) if kind == "GIF" else None)
    first, out = next(pictures), io.BytesIO()
    durations = [MOMENT] * (total - 1) + [PAUSE]
    first.save(out, kind, save_all=True, append_images=pictures, duration=durations, loop=0, **options)
    return out.getvalue()


def _drawn(
    slides: Iterable[Slide], total: int, progress: Progress, reduce: Callable[[Image.Image], Image.Image] | None
) -> Iterator[Image.Image]:
    for done, slide in enumerate(slides, 1):
        picture = Image.open(io.BytesIO(to_png(slide, SCALE))).convert("RGB")
        yield reduce(picture) if reduce else picture
        progress(done, total)
