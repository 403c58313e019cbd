"""An entry of a deck: a figure, and the words that somebody put in place of its own; written as a permalink."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from engine.figures import Shot
from engine.figures.link import WORDS, from_link, to_link
from engine.slides.slide import LONGEST_CAPTION, LONGEST_TITLE, Slide, bounded, slide_of

MOST = 40
"""Slides of one deck."""

LENGTHS = dict(zip(WORDS, (LONGEST_TITLE, LONGEST_CAPTION), strict=True))
"""How many characters each of the words may have."""


@dataclass(frozen=True)
class Entry:
    """One slide of a deck before it is drawn.

    Attributes:
        shot: the figure.
        title: in place of the figure's own; "" leaves it.
        caption: in place of the takeaway; "" leaves it.
    """

    shot: Shot
    title: str = ""
    caption: str = ""

    @property
    def link(self) -> str:
        """The permalink with the words of its own."""
        words = {name: bounded(getattr(self, name), longest) for name, longest in LENGTHS.items()}
        given = {name: text for name, text in words.items() if text}
        return to_link(self.shot) + ("&" + urlencode(given) if given else "")

    def slide(self, theme: str = "light", base: str = "") -> Slide:
        """The slide, trained and drawn now."""
        return slide_of(self.shot, theme, base, self.title, self.caption)


def read_entry(link: str) -> tuple[Entry, list[str]]:
    """The entry that a link names, and a sentence for each part that was not taken as it was written.

    Raises:
        ValueError: it names no page with figures.
    """
    shot, notices = from_link(link)
    query = parse_qs(urlsplit(link.strip()).query)
    words = {name: bounded(query[name][-1], longest) for name, longest in LENGTHS.items() if name in query}
    return Entry(shot, **words), notices
