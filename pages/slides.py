"""Page 9, Slides: figures of any page in an order, with words of one's own, as one document."""

import base64
import html
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.experiment import VISITOR_BUDGET
from engine.figures import FIGURES, Shot
from engine.slides.entry import MOST, Entry, read_entry
from engine.slides.lecture import LECTURE, TITLE
from engine.slides.make import DECK_FORMATS, export_deck, preview
from pages import _deck, _exports, _ui
from pages._studio import STUDIO, StudioError

BUDGET = 10 * VISITOR_BUDGET
"""Largest cost of the trainings behind a deck: half a minute on one core."""

PLAIN = "Weight decay"
"""Title of a document whose first slide says nothing better."""


def body() -> None:
    gather()
    deck = _deck.cards()
    if not deck:
        st.info(
            "No slides yet. “Export” at any figure of any page adds it; so does the selector above, with the "
            "experiment of the sidebar.",
            icon=":material/slideshow:",
        )
        return
    dark = st.toggle("Dark background", key="deck_dark")
    theme = "dark" if dark else "light"
    documents(theme)
    places = [row(i, card) for i, card in enumerate(deck)]
    with st.expander("The same from the command line", icon=":material/terminal:"):
        st.code(command(theme), language="bash", wrap_lines=True)
    if not _deck.links():
        st.caption(
            "These slides are too much for a link: shorter captions, or fewer slides, would fit into the address. "
            "Until then they are kept in this tab alone, so save them as a file."
        )
    for place, card in zip(places, deck, strict=True):
        thumbnail(place, card, theme)


def gather() -> None:
    """Add a figure of the sidebar's experiment, or a ready deck."""
    left, middle, right = st.columns([5, 2, 3], vertical_alignment="bottom")
    chosen = left.selectbox("Figure of the sidebar's experiment", list(FIGURES), format_func=full_name, key="deck_new")
    full = len(_deck.cards()) >= MOST
    middle.button("Add", icon=":material/add:", on_click=add, args=(chosen,), disabled=full, width="stretch")
    right.button(f"“{TITLE}”", on_click=ready, disabled=full, width="stretch", key="deck_lecture")


def full_name(key: str) -> str:
    """A figure's name with its page's."""
    page = FIGURES[key].page.replace("_", " ")
    return f"{page[0].upper()}{page[1:]}: {FIGURES[key].name}"


def add(key: str) -> None:
    _deck.add(Entry(Shot(key, st.session_state.experiment)))


def ready() -> None:
    _deck.add(*(read_entry(link)[0] for link in LECTURE))


def documents(theme: str) -> None:
    """The whole deck in each kind of document."""
    entries = [card.entry for card in _deck.cards()]
    known = [_exports.known_map(entry) for entry in entries]
    if sum(FIGURES[entry.shot.figure].seen(entry.shot).cost for entry in entries) > BUDGET:
        st.caption(
            "These slides train more than this server does at once: fewer of them, or fewer steps, points or units "
            "allow it; so does the command below on a machine of your own."
        )
        return
    title = entries[0].title or (TITLE if len(entries) == len(LECTURE) else PLAIN)
    for column, (kind, form) in zip(st.columns(3), DECK_FORMATS.items(), strict=True):
        if column.button(f"{form.title}, {len(entries)} slides", key=f"deck_{kind}", width="stretch"):
            name = f"weight-decay-{theme}.{form.suffix}"
            base = _exports.base_url()
            _exports.make(form, name, export_deck, kind, entries, theme, base, title, known, progress=True)
    _exports.save()


def row(i: int, card: _deck.Card) -> DeltaGenerator:
    """One slide: a place for its picture, its words, and what can be done with it."""
    entry, number = card.entry, card.number
    with st.container(border=True):
        picture, words, tools = st.columns([3, 5, 1.3], gap="medium", vertical_alignment="center")
    words.text_input(
        f"Title of slide {i + 1}", entry.title, placeholder=FIGURES[entry.shot.figure].title, max_chars=300,
        key=f"title_{number}", on_change=_deck.reword, args=(number,),
    )  # fmt: skip
    words.text_input(
        f"Caption of slide {i + 1}", entry.caption, max_chars=1000,
        placeholder="what the figure shows, in numbers of its run", key=f"caption_{number}", on_change=_deck.reword,
        args=(number,),
    )  # fmt: skip
    words.caption(full_name(entry.shot.figure))
    last = len(_deck.cards()) - 1
    tool = partial(tools.button, width="stretch")
    tool(f"Up {i + 1}", icon=":material/arrow_upward:", key=f"up_{number}", disabled=i == 0,
         on_click=_deck.move, args=(number, -1))  # fmt: skip
    tool(f"Down {i + 1}", icon=":material/arrow_downward:", key=f"down_{number}", disabled=i == last,
         on_click=_deck.move, args=(number, 1))  # fmt: skip
    tool(f"Remove {i + 1}", icon=":material/delete:", key=f"remove_{number}", on_click=_deck.remove, args=(number,))
    return picture.empty()


def thumbnail(place: DeltaGenerator, card: _deck.Card, theme: str) -> None:
    """The slide as it will be, in small; drawn once for all who look at it."""
    entry = card.entry
    place.caption("Drawing …")

    known = _exports.known_map(entry)

    def work() -> tuple[bytes, str]:
        return STUDIO.make(preview, entry, theme, known, pulse=_ui.pulse, who=_ui.visitor())

    try:
        picture, words = _ui.THUMBNAILS.get((entry, theme, known.models if known else 0), work, _ui.pulse)
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        place.html(f'<img src="{source}" alt="{html.escape(words)}" style="width: 100%; border-radius: 6px">')
    except (StudioError, ValueError) as error:
        place.error(str(error))


def command(theme: str) -> str:
    """The command that makes the same files."""
    quoted = " \\\n    ".join("'" + card.entry.link.replace("'", "%27") + "'" for card in _deck.cards())
    return f"python -m engine.slides \\\n    {quoted} \\\n    --out slides --format pptx,pdf --theme {theme}"


_ui.frame("Which figures go on your slides?", of_deck=True)
body()
