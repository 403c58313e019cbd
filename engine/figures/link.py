"""Permalinks of figures: ``/page?v=1&knob=…&figure=name&option=…``, there and back, for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlencode, urlsplit

from engine.experiment import Experiment, shown
from engine.figures.figure import FIGURES, Figure, Shot

HOME = "boundaries"
"""The page whose address is the bare host."""

LONGEST = 20_000
"""Characters of a link that are read."""

WORDS = ("title", "caption")
"""Parameters of a deck's links that are neither knobs nor options: see engine.slides.entry."""


def to_query(shot: Shot) -> dict[str, str]:
    """The parameters of a figure's permalink: the experiment's, the figure's name, and its options."""
    return {**shot.experiment.to_query(), "figure": shot.figure.partition(".")[2], **dict(shot.options)}


def to_link(shot: Shot, base: str = "") -> str:
    """A figure's permalink.

    Args:
        shot: the figure.
        base: scheme and host of a server, as ``https://host``; without it the link is a path.
    """
    page = FIGURES[shot.figure].page
    return f"{base.rstrip('/')}/{'' if page == HOME else page}?{urlencode(to_query(shot))}"


def from_link(link: str) -> tuple[Shot, list[str]]:
    """The figure that a permalink names: whole, from its path, or from its ``?`` on.

    Returns:
        The shot and a sentence for each part of the link that was not taken as it was written.

    Raises:
        ValueError: the path names no page with figures.
    """
    try:
        parts = urlsplit(link.strip()[:LONGEST])
    except ValueError:
        raise ValueError(f"`{shown(link)}` is no link.") from None
    return of_page(_page(parts.path), parse_qs(parts.query, keep_blank_values=True))


def _page(path: str) -> str:
    """The page of an address: its last part, or the home page of whatever folder a path ends with."""
    last = path.strip("/").rpartition("/")[2]
    known = any(entry.page == last for entry in FIGURES.values())
    return last if last and (known or not path.endswith("/")) else HOME


def of_page(page: str, query: Mapping[str, str | Sequence[str]]) -> tuple[Shot, list[str]]:
    """The figure of a page that a query names; the page's first where it names none.

    Raises:
        ValueError: no figure is of this page.
    """
    own = [entry for entry in FIGURES.values() if entry.page == page]
    if not own:
        pages = ", ".join(dict.fromkeys(entry.page for entry in FIGURES.values()))
        raise ValueError(f"No page with figures is called `{shown(page)}`; there are {pages}.")
    knobs, rest = apart(query)
    experiment, notices = Experiment.from_query(knobs)
    name = rest.pop("figure", own[0].key.partition(".")[2])
    entry = FIGURES.get(f"{page}.{name}")
    if entry is None:
        notices.append(f"The link's figure `{shown(name)}` is not on this page; it opens “{own[0].name}”.")
        entry = own[0]
    options = _read(entry, experiment, rest, notices)
    return Shot(entry.key, experiment, options), notices


def apart(query: Mapping[str, str | Sequence[str]]) -> tuple[dict[str, str | Sequence[str]], dict[str, str]]:
    """The parameters of the experiment, and those of a figure, the last of each."""
    names = {"figure", *(name for entry in FIGURES.values() for name in entry.options)}
    texts = {name: raw if isinstance(raw, str) else (list(raw) or [""])[-1] for name, raw in query.items()}
    knobs = {name: raw for name, raw in query.items() if name not in names and name not in WORDS}
    return knobs, {name: text for name, text in texts.items() if name in names}


def _read(
    entry: Figure, experiment: Experiment, rest: dict[str, str], notices: list[str]
) -> tuple[tuple[str, str], ...]:
    """A figure's options as a link has them, without what is unknown or the default."""
    options = []
    for name, text in rest.items():
        if name not in entry.options:
            notices.append(f"The figure has no `{shown(name)}`; it is ignored.")
            continue
        allowed = entry.options[name](experiment)
        if text not in allowed:
            notices.append(f"The link's `{name}={shown(text)}` cannot be used; using {allowed[0]}.")
        elif text != allowed[0]:
            options.append((name, text))
    return tuple(options)
