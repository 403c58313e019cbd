"""Slides as documents: an editable deck, one PDF, a ZIP of everything. The same slides make the same bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import BooleanObject, NameObject, TextStringObject

from engine.figures import FIGURES
from engine.figures.link import HOME
from engine.slides import render
from engine.slides.fonts import FOLDER
from engine.slides.powerpoint import add, address, all_words
from engine.slides.render import LEFT, ROOM, SMALLEST
from engine.slides.slide import Slide
from engine.slides.template import template
from engine.slides.words import clean, cut_middle, width

Progress = Callable[[int, int], None]
TITLE = "Weight decay"
FORMATS = ("png", "svg", "pdf", "csv", "deck.pptx", "deck.pdf")
"""What a ZIP holds: files of each slide by suffix, documents of all slides by name."""

LINK_BASE = 19
"""The permalink's line on a drawn slide, from the bottom."""
FONT_NOTE = "fonts: the deck's typeface. Where it is not installed, another one stands in for it and nothing is lost."


def to_pptx(slides: Sequence[Slide], title: str = TITLE, progress: Progress | None = None) -> bytes:
    """A 16:9 deck of editable text with speaker notes, for PowerPoint, Keynote and LibreOffice.

    Args:
        slides: in order.
        title: of the document.
        progress: told how many slides are made, and of how many.
    """
    deck, layouts = template()
    _describe(deck, title)
    for number, slide in enumerate(slides, 1):
        add(deck, layouts[slide.theme], slide)
        if progress:
            progress(number, len(slides))
    file = io.BytesIO()
    deck.save(file)
    with zipfile.ZipFile(file) as parts:
        return _zipped((name, parts.read(name)) for name in parts.namelist())


def _describe(deck: Any, title: str) -> None:
    """The document's properties: nobody's name, and no date, which would make each file another."""
    core = deck.core_properties
    for child in list(core._element):
        core._element.remove(child)
    core.title = clean(title)[:200] or TITLE
    core.subject = "Figures of trained models, with the settings that repeat them"
    core.language = "en"


def to_pdf(slides: Sequence[Slide], title: str = TITLE, progress: Progress | None = None) -> bytes:
    """One document, a page a slide, with bookmarks, and permalinks that can be clicked.

    Args:
        slides: in order.
        title: of the document.
        progress: told how many pages are made, and of how many.
    """
    pages = []
    for number, slide in enumerate(slides, 1):
        pages.append(render.to_pdf(slide))
        if progress:
            progress(number, len(slides))
    return _bound(slides, pages, title)


def _bound(slides: Sequence[Slide], pages: Iterable[bytes], title: str) -> bytes:
    """One-page documents as one."""
    writer = PdfWriter()
    for number, (slide, page) in enumerate(zip(slides, pages, strict=True)):
        reader = PdfReader(io.BytesIO(page))
        _sort(reader.trailer, set())
        writer.append(reader, clean(slide.title), import_outline=False)
        if link := address(slide.link):
            writer.add_annotation(number, Link(rect=_link_box(slide.link), url=link))
    writer.compress_identical_objects()
    writer.add_metadata({"/Title": clean(title)[:200] or TITLE})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.create_viewer_preferences()[NameObject("/DisplayDocTitle")] = BooleanObject(True)
    writer.page_mode = "/UseOutlines"
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _sort(value: Any, seen: set[int]) -> None:
    """Put the entries of all dictionaries in order: each drawing writes them in another one."""
    value = value.get_object()
    if id(value) in seen or not isinstance(value, dict | list):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        entries = sorted(value.items())
        value.clear()
        value.update(entries)
    for part in list(value.values() if isinstance(value, dict) else value):
        _sort(part, seen)


def _link_box(link: str) -> tuple[float, float, float, float]:
    """Where a page shows its permalink, from the lower left corner."""
    shown = width(cut_middle(clean(link), SMALLEST, ROOM), SMALLEST)
    return LEFT, LINK_BASE - 4, LEFT + shown, LINK_BASE + SMALLEST


def to_zip(
    slides: Sequence[Slide], formats: Sequence[str] = FORMATS, title: str = TITLE, progress: Progress | None = None
) -> bytes:
    """All files in one: ``01-boundaries-table-light.png`` and so on, decks, README.txt, the font with its licence.

    Args:
        slides: in order.
        formats: of FORMATS.
        title: of the documents.
        progress: told how many steps are done, and of how many; a file of a slide is one, as is a slide of deck.pptx.

    Raises:
        ValueError: a format that is none of FORMATS.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"No format is called {unknown[0][:40]!r}; there are {', '.join(FORMATS)}.")
    done, total = count(1), sum(1 if kind == "deck.pdf" else len(slides) for kind in formats)

    def tick(*_: int) -> None:
        if progress:
            progress(next(done), total)

    files = list(_files(slides, formats, title, tick))
    fonts = ((f"fonts/{path.name}", path.read_bytes()) for path in sorted(FOLDER.glob("SourceSans3*")))
    return _zipped([("README.txt", _readme(slides, title).encode()), *files, *fonts])


def _files(
    slides: Sequence[Slide], formats: Sequence[str], title: str, tick: Callable[..., None]
) -> Iterator[tuple[str, bytes]]:
    """Each slide in each format, then the documents; a page is drawn once for both."""
    page = cache(lambda index: render.to_pdf(slides[index]))
    draw = {"png": render.to_png, "svg": render.to_svg, "csv": render.to_csv}
    for index, slide in enumerate(slides):
        for kind in formats:
            if "." not in kind:
                data = _bound([slide], [page(index)], slide.title) if kind == "pdf" else draw[kind](slide)
                yield f"{file_name(index, slide)}.{kind}", data
                tick()
    if "deck.pptx" in formats:
        yield "deck.pptx", to_pptx(slides, title, tick)
    if "deck.pdf" in formats:
        yield "deck.pdf", _bound(slides, map(page, range(len(slides))), title)
        tick()


def file_name(index: int, slide: Slide) -> str:
    """A file's name without suffix: the slide's number, page and figure, as its permalink says them, and theme."""
    path, _, query = slide.link.partition("?")
    page = re.sub(r"^\w+://[^/]*", "", path).strip("/").rpartition("/")[2] or HOME
    key = f"{page}.{parse_qs(query).get('figure', [''])[-1]}"
    return f"{index + 1:02d}-{key.replace('.', '-') if key in FIGURES else 'figure'}-{slide.theme}"


def _readme(slides: Sequence[Slide], title: str) -> str:
    """What is in a ZIP."""
    entries = [f"{file_name(index, slide)}\n  " + "\n  ".join(all_words(slide)) for index, slide in enumerate(slides)]
    return "\n\n".join([clean(title) or TITLE, *entries, FONT_NOTE]) + "\n"


def _zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Files in one; every time is that of the first DOS clock, so that the same files are the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".pptx")) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()
