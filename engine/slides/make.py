"""Exports by name: what a click or a command asks for, made from an entry alone, in any process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from engine.figures.landscape import remember
from engine.landscape import Landscape
from engine.slides import deck, film, render
from engine.slides.entry import Entry
from engine.slides.slide import Slide

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        title: on buttons.
        suffix: of file names.
        mime: its media type.
        of: what the slide, or the deck, is turned into.
    """

    title: str
    suffix: str
    mime: str
    of: Callable[..., bytes]


FIGURE_FORMATS: dict[str, Format] = {
    "png": Format("PNG 1920 × 1080", "png", "image/png", render.to_png),
    "png4k": Format("PNG 3840 × 2160", "png", "image/png", partial(render.to_png, scale=4)),
    "svg": Format("SVG", "svg", "image/svg+xml", render.to_svg),
    "pdf": Format("PDF", "pdf", "application/pdf", lambda slide: deck.to_pdf([slide], slide.title)),
    "csv": Format("CSV of the data", "csv", "text/csv", render.to_csv),
}
DECK_FORMATS: dict[str, Format] = {
    "pptx": Format(
        "PPTX", "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", deck.to_pptx
    ),
    "pdf": Format("PDF", "pdf", "application/pdf", deck.to_pdf),
    "zip": Format("ZIP", "zip", "application/zip", deck.to_zip),
}
FILM_FORMATS: dict[str, Format] = {
    "webp": Format("WebP", "webp", "image/webp", film.to_webp),
    "gif": Format("GIF", "gif", "image/gif", film.to_gif),
}


def export(kind: str, entry: Entry, theme: str, base: str = "", known: Landscape | None = None) -> bytes:
    """One figure as a file.

    Args:
        kind: a key of FIGURE_FORMATS.
        entry: the figure and its words.
        theme: "light" or "dark".
        base: scheme and host of the permalink in the footer.
        known: a λ × η map as far as it is trained.

    Raises:
        ValueError: the figure cannot be drawn for this experiment; the message says why.
    """
    use([known])
    return FIGURE_FORMATS[kind].of(entry.slide(theme, base))


def use(known: Sequence[Landscape | None]) -> None:
    """Take λ × η maps as they are instead of training them.

    Raises:
        ValueError: one of them has nothing yet.
    """
    for landscape in known:
        if landscape is None:
            continue
        if not landscape.done:
            raise ValueError("This λ × η map is not trained yet: open it on page 8, and come back.")
        remember(landscape)


def preview(entry: Entry, theme: str, known: Landscape | None = None) -> tuple[bytes, str]:
    """A figure's slide as a small PNG, 480 × 270, and what it says."""
    use([known])
    slide = entry.slide(theme)
    return render.to_png(slide, scale=0.5), f"{slide.title} {slide.caption}"


def export_deck(
    kind: str,
    entries: Sequence[Entry],
    theme: str,
    base: str = "",
    title: str = "",
    known: Sequence[Landscape | None] = (),
    progress: Progress | None = None,
) -> bytes:
    """A deck as a file.

    Args:
        kind: a key of DECK_FORMATS.
        entries: its slides.
        theme: "light" or "dark".
        base: scheme and host of the permalinks.
        title: of the document.
        known: λ × η maps, as far as they are trained.
        progress: told how many slides are made, and of how many.

    Raises:
        ValueError: a figure cannot be drawn; the message says which slide and why.
    """
    use(known)
    tell = progress or (lambda done, total: None)
    slides: list[Slide] = []
    for number, entry in enumerate(entries, 1):
        try:
            slides.append(entry.slide(theme, base))
        except ValueError as error:
            raise ValueError(f"Slide {number}: {error}") from error
        tell(number, 2 * len(entries))

    def drawn(done: int, total: int) -> None:
        tell(len(entries) + done * len(entries) // max(total, 1), 2 * len(entries))

    return DECK_FORMATS[kind].of(slides, title=title, progress=drawn)


def export_film(
    kind: str, entry: Entry, theme: str, over: str, base: str = "", progress: Progress | None = None
) -> bytes:
    """A figure that moves.

    Args:
        kind: a key of FILM_FORMATS.
        entry: a figure with an option ``at``.
        theme: "light" or "dark".
        over: "steps" of the training, or "lambda".
        base: scheme and host of the permalink.
        progress: told how many pictures are drawn, and of how many.
    """
    frames, total = film.frames(entry, theme, over, base)
    return FILM_FORMATS[kind].of(frames, total, progress or (lambda done, total: None))
