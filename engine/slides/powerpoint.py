"""One slide of a PPTX deck: real text that fits its boxes in any font, the picture, notes for the speaker."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from unicodedata import east_asian_width
from urllib.parse import quote

from pptx.dml.color import RGBColor
from pptx.enum.text import PP_ALIGN
from pptx.util import Pt

from engine.charts.picture import HEIGHT, WIDTH
from engine.charts.theme import PALETTE
from engine.slides import render
from engine.slides.render import LEFT, PICTURE, ROOM, opens
from engine.slides.slide import Slide, bounded
from engine.slides.template import (
    CAPTION,
    CAPTION_HEIGHT,
    CAPTION_SIZES,
    TITLE_HEIGHT,
    TITLE_SIZES,
    TOP,
    map_colours,
)
from engine.slides.words import clean, cut_middle, right_to_left, wrap

PICTURE_SCALE, FOOTER_SIZE, GAP = 3, 12, 8
LINE = 1.28
"""Height of a line in its size: that of Source Sans 3 at the layout's 90 %."""
SLACK = {False: 1.28, True: 1.42}
"""How much wider text, also bold, is in DejaVu Sans, the widest of what stands in where Source Sans 3 is missing."""
LONGEST_TEXT, LONGEST_LINK = 20_000, 2000
"""Characters of an address as text, and as a link: PowerPoint does not open files with much longer ones."""


def add(deck: Any, layout: Any, slide: Slide) -> None:
    """One slide; the reading order is title, takeaway, picture, settings."""
    page = deck.slides.add_slide(layout)
    map_colours(page.element, slide.theme)
    bottom = _head(page, clean(slide.title), clean(slide.caption))
    _place(page, slide, max(bottom + 6, PICTURE.y))
    _foot(page, slide)
    page.notes_slide.notes_text_frame.text = _notes(slide)


def _head(page: Any, title: str, caption: str) -> float:
    """Title and takeaway in the middle of what is above the picture, as on the drawn slide; return where they end."""
    above, below = fitted(title, TITLE_HEIGHT, TITLE_SIZES, bold=True), fitted(caption, CAPTION_HEIGHT, CAPTION_SIZES)
    top = max(TOP, (PICTURE.y - above.height - below.height) / 2)
    _write(page.shapes.title, above, top, TITLE_SIZES[0])
    box = page.placeholders[CAPTION]
    if caption:
        _write(box, below, top + above.height, CAPTION_SIZES[0])
    else:
        box.element.getparent().remove(box.element)
    return top + above.height + below.height


def _write(box: Any, text: Fitted, top: float, usual: float) -> None:
    """Fill a placeholder."""
    box.left, box.top, box.width, box.height = Pt(LEFT), Pt(top), Pt(ROOM), Pt(text.height)
    box.text_frame.text = text.words
    paragraph = box.text_frame.paragraphs[0]
    if text.size != usual:
        paragraph.runs[0].font.size = Pt(text.size)
    if right_to_left(text.words):
        paragraph.alignment = PP_ALIGN.RIGHT
        paragraph._p.get_or_add_pPr().set("rtl", "1")


class Fitted(NamedTuple):
    """Text for a box as wide as the slide, its size and its height in points."""

    words: str
    size: float
    height: float


def fitted(text: str, height: float, sizes: Sequence[float], bold: bool = False) -> Fitted:
    """Text as large as fits, on as few lines as its first size allows; cut where even the smallest does not fit."""
    narrow = sum(east_asian_width(char) not in "WF" for char in text) / max(len(text), 1)
    slack = 1.05 + (SLACK[bold] - 1.05) * narrow
    for size in sizes:
        most = int(height / size / LINE)
        lines = wrap(text, size * slack, ROOM, most, bold)
        if _letters(lines) == _letters(text):
            return Fitted(text, size, max(len(lines), 1) * size * LINE)
    return Fitted(_beginning(text, len(_letters(lines)) - 1) + "…", size, most * size * LINE)


def _letters(text: Iterable[str]) -> str:
    return "".join("".join(text).split())


def _beginning(text: str, count: int) -> str:
    """A text up to so many characters that are not spaces."""
    places = [at for at, char in enumerate(text) if not char.isspace()]
    return text[: places[count]].rstrip()


def _place(page: Any, slide: Slide, top: float) -> None:
    """The picture where the drawn slide has it; smaller under a high heading."""
    picture = page.shapes.add_picture(io.BytesIO(render.picture_png(slide, PICTURE_SCALE)), 0, 0)
    picture.name = "Figure"
    picture._element.nvPicPr.cNvPr.set("descr", clean(slide.picture.alt))
    bottom = PICTURE.y + PICTURE.height
    scale = min(Pt(PICTURE.width) / picture.width, Pt(bottom - top) / picture.height)
    picture.width, picture.height = round(picture.width * scale), round(picture.height * scale)
    picture.left = (Pt(WIDTH) - picture.width) // 2
    picture.top = Pt(bottom) - picture.height


def _foot(page: Any, slide: Slide) -> None:
    """Settings and permalink at the bottom, of three lines at most."""
    settings = fitted(clean(slide.settings), 2 * FOOTER_SIZE * LINE + 1, (FOOTER_SIZE,))
    link = cut_middle(bounded(slide.link, LONGEST_TEXT), FOOTER_SIZE * SLACK[False], ROOM)
    tall = settings.height + FOOTER_SIZE * LINE
    box = page.shapes.add_textbox(Pt(LEFT), Pt(HEIGHT - GAP - tall), Pt(ROOM), Pt(tall))
    box.name, frame = "Settings and permalink", box.text_frame
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    frame.word_wrap = True
    for paragraph, text in ((frame.paragraphs[0], settings.words), (frame.add_paragraph(), link)):
        paragraph.line_spacing = 0.9
        run = paragraph.add_run()
        run.text, run.font.size = text, Pt(FOOTER_SIZE)
        run.font.color.rgb = RGBColor.from_string(PALETTE[slide.theme]["quiet"][1:])
    if target := address(slide.link):
        run.hyperlink.address = target


def _notes(slide: Slide) -> str:
    """What the speaker may say, then all words of the slide uncut, each part a paragraph."""
    return "\n".join(part for part in (*map(clean, slide.notes.splitlines()), *all_words(slide)) if part)


def all_words(slide: Slide) -> list[str]:
    """The slide's words and address, uncut."""
    return [
        clean(slide.title),
        f"Takeaway: {clean(slide.caption)}",
        f"Picture: {clean(slide.picture.alt)}",
        f"Settings: {clean(slide.settings)}",
        f"Permalink: {bounded(slide.link, LONGEST_TEXT)}",
    ]


def address(link: str) -> str:
    """A permalink as a clickable address; "" unless it is of the web."""
    link = link.strip()
    if not link.lower().startswith(("http://", "https://")) or not opens(link):
        return ""
    safe = quote(link, safe="%/:=&?~#+!$,;'@()*[]-._")
    return safe if len(safe) <= LONGEST_LINK else ""
