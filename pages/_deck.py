"""The visitor's slides: a list of permalinks, kept in the session and in the address of page 9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from urllib.parse import quote

import streamlit as st

from engine.slides.entry import MOST, Entry, read_entry

_NUMBERS = count(1)
ADDRESS = 7000
"""Characters that the slides may take in an address: servers and proxies refuse those of more than 8,000."""


@dataclass
class Card:
    """One slide on the table: its entry, and a number that it keeps wherever it is moved."""

    entry: Entry
    number: int


def cards() -> list[Card]:
    """The visitor's slides, in order."""
    return st.session_state.setdefault("deck", [])


def add(*entries: Entry) -> None:
    """Put slides at the end, as many as there is room for."""
    room = MOST - len(cards())
    cards().extend(Card(entry, next(_NUMBERS)) for entry in entries[:room])


def move(number: int, by: int) -> None:
    """Put a slide so many places later."""
    deck = cards()
    at = place_of(number)
    if at is not None and 0 <= at + by < len(deck):
        deck.insert(at + by, deck.pop(at))


def remove(number: int) -> None:
    """Take a slide away."""
    at = place_of(number)
    if at is not None:
        del cards()[at]


def reword(number: int) -> None:
    """Take title and caption of a slide from their boxes."""
    at = place_of(number)
    if at is not None:
        card, state = cards()[at], st.session_state
        words = {name: state.get(f"{name}_{number}", getattr(card.entry, name)) for name in ("title", "caption")}
        card.entry = replace(card.entry, **words)


def place_of(number: int) -> int | None:
    """Where a slide is now."""
    return next((i for i, card in enumerate(cards()) if card.number == number), None)


def links() -> list[str]:
    """All slides as an address holds them; none where it would be too long to open again."""
    texts = [card.entry.link for card in cards()]
    return texts if sum(len(quote(text)) for text in texts) <= ADDRESS else []


def take(texts: Sequence[str]) -> list[str]:
    """Make these links the deck; returns a sentence for each that was not taken as it was written."""
    entries, notices = [], []
    for number, text in enumerate(texts[:MOST], 1):
        try:
            entry, more = read_entry(text)
        except ValueError as error:
            notices.append(f"Slide {number}: {error}")
            continue
        entries.append(entry)
        notices += [f"Slide {number}: {notice}" for notice in more]
    if len(texts) > MOST:
        notices.append(f"The link has {len(texts)} slides; the first {MOST} are taken.")
    st.session_state.deck = []
    add(*entries)
    return notices
