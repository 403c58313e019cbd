"""The export menu of every figure: made on a click, by a process of its own, and saved by the browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from engine.axis import at_lambda
from engine.figures import FIGURES, Shot
from engine.figures.figure import shot_of
from engine.figures.landscape import plan_of_shot
from engine.landscape import Landscape
from engine.script import script
from engine.slides.entry import MOST, Entry
from engine.slides.film import MOVING
from engine.slides.make import FIGURE_FORMATS, FILM_FORMATS, Format, export, export_film
from pages import _deck, _ui
from pages._maps import MAPS
from pages._studio import STUDIO, StudioError

OVER = {"steps": "the training", "lambda": "the λ axis"}
_SAVE = """
const done = new Set();
export default function ({ data }) {
  const button = document.querySelector(".st-key-save button");
  if (!button || done.has(data)) return;
  done.add(data);
  button.click();
}
"""
_COPY = """
export default function ({ parentElement, data }) {
  const text = parentElement.querySelector("input"), button = parentElement.querySelector("button");
  text.value = data;
  button.textContent = "Copy link";
  button.onclick = async () => {
    text.select(); // for the older way: the clipboard is there over https and on this machine alone
    await navigator.clipboard?.writeText(data).catch(() => null);
    if (!navigator.clipboard) document.execCommand("copy");
    button.textContent = "Copied";
  };
}
"""
_LOOK = """
div { width: 100%; display: flex; gap: 16px; font-family: var(--st-font); font-size: 1rem; }
input { flex: 1 1 100%; min-width: 0; padding: 8px 12px; }
button { padding: 8px 16px; cursor: pointer; min-width: 8em; }
input, button { font: inherit; color: inherit; background: transparent; border-radius: 6px; }
input, button { border: 1px solid var(--st-border-color); }
button:focus-visible, input:focus-visible { outline: 2px solid var(--st-primary-color); }
"""
_saver = st.components.v2.component("wdp_saver", html="<i hidden></i>", js=_SAVE)
_link = st.components.v2.component(
    "wdp_link",
    html='<div><input readonly aria-label="Link to this figure" /><button type="button">Copy link</button></div>',
    css=_LOOK,
    js=_COPY,
)


@dataclass(frozen=True)
class Made:
    """A file that is ready: on the page of slides, or in the menu of a figure."""

    name: str
    mime: str
    content: bytes
    of_deck: bool
    when: float = field(default_factory=time.monotonic)


def exports(shots: Sequence[Shot], over_lambda: Sequence[int] = ()) -> None:
    """The button that opens the export menu of a page's figures; a figure's own button opens it too.

    Args:
        shots: the page's figures, first those that ``_ui.play`` shows, in its order.
        over_lambda: the place in ``shots`` of each figure that is shown over λ.
    """
    state = st.session_state
    asked = state.pop("export_asked", None)
    if st.button("Export figures", icon=":material/download:", key="export_open"):
        asked = {"figure": 0}
    if asked is None:
        return
    STUDIO.warm()
    state.pop("made", None)
    place, shot = _asked(shots, asked, over_lambda)
    state.export_figure = place
    _menu([shot if i == place else other for i, other in enumerate(shots)])


def _asked(shots: Sequence[Shot], asked: dict[str, Any], over_lambda: Sequence[int]) -> tuple[int, Shot]:
    """The figure whose button was pressed, at the step or at the λ at which its slider stands."""
    at = int(asked["figure"])
    weight_decay = asked.get("weight_decay")
    place = min(over_lambda[at] if weight_decay is not None and over_lambda else at, len(shots) - 1)
    shot = shots[place]
    if weight_decay is not None and place == at:
        shot = replace(shot, experiment=at_lambda(shot.experiment, float(weight_decay)))
    if weight_decay is None and place == at and "at" in FIGURES[shot.figure].options and "step" in asked:
        kept = {name: value for name, value in shot.options if name != "at"}
        shot = shot_of(shot.figure, shot.experiment, **kept, at=str(asked["step"]))
    return place, shot


@st.dialog("Export a figure", width="large")
def _menu(shots: Sequence[Shot]) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    place = left.selectbox("Figure", range(len(shots)), format_func=lambda i: name_of(shots[i]), key="export_figure")
    theme = "dark" if right.toggle("Dark", key="export_dark") else "light"
    entry = Entry(shots[place])
    base = base_url()
    buttons = [*st.columns(3), *st.columns(3)]  # two rows, which a phone shows one under the other
    for i, (kind, form) in enumerate(FIGURE_FORMATS.items()):
        if buttons[i].button(form.title, key=f"export_{kind}", width="stretch"):
            make(form, file_name(entry.shot, theme, form), export, kind, entry, theme, base, known_map(entry))
    code = partial(code_of, entry, base)  # written on the click
    buttons[5].download_button(
        "PyTorch code", code, "weight_decay.py", "text/x-python", on_click="ignore", width="stretch"
    )
    if entry.shot.figure == MOVING:
        _film_buttons(entry, theme, base)
    save()
    _link(key="link", data=base + entry.link)
    deck = _deck.cards()
    left, right = st.columns([1, 2], vertical_alignment="center")
    if left.button("Add to the slides", icon=":material/add:", key="export_add", disabled=len(deck) >= MOST):
        _deck.add(entry)
    if deck:
        count = f"{len(deck)} slide{'s' * (len(deck) > 1)}" + ", the most" * (len(deck) >= MOST)
        right.page_link("pages/slides.py", label=f"Slides: {count}", icon=":material/slideshow:")


def _film_buttons(entry: Entry, theme: str, base: str) -> None:
    columns = iter(st.columns(4))
    for over, name in OVER.items():
        for kind, form in FILM_FORMATS.items():
            title = f"{form.title} of {name}"
            if next(columns).button(title, key=f"export_{kind}_{over}", width="stretch"):
                film = file_name(entry.shot, theme, form, over)
                make(form, film, export_film, kind, entry, theme, over, base, progress=True)


def make(form: Format, name: str, work: Callable[..., bytes], *args: object, progress: bool = False) -> None:
    """Have a file made by the studio, in line with others, and keep it for ``save``; or say why not."""
    line = st.empty()
    line.progress(0.0, "Drawing …")

    def ahead(count: int) -> None:
        line.progress(0.0, f"{count} ahead of yours")

    def tell(done: int, total: int) -> None:
        line.progress(min(1.0, done / max(total, 1)), f"Drawing: {done} of {total}")

    try:
        content = STUDIO.make(
            work, *args, pulse=_ui.pulse, ahead=ahead, on_progress=tell if progress else None, who=_ui.visitor()
        )
    except (StudioError, ValueError) as error:
        line.error(str(error))
        return
    line.empty()
    st.session_state.made = Made(name, form.mime, content, st.session_state.get("deck_pinned", False))


def save() -> None:
    """The file that was made last here, which the browser saves by itself once."""
    made: Made | None = st.session_state.get("made")
    if made is None or made.of_deck != st.session_state.get("deck_pinned", False):
        return
    count = len(made.content)
    size = f"{count / 1e6:.1f} MB" if count > 1e6 else f"{count / 1e3:.0f} kB"
    st.download_button(
        f"{made.name}, {size}", made.content, made.name, made.mime, on_click="ignore", key="save", type="primary"
    )
    _saver(key="saver", data=made.when, height=1)


def code_of(entry: Entry, base: str = "") -> str:
    """What the figure trains, the first of several trainings, as a PyTorch script."""
    return script(FIGURES[entry.shot.figure].seen(entry.shot), link=base + entry.link)


def known_map(entry: Entry) -> Landscape | None:
    """The λ × η map that an entry shows, as far as the server has trained it; None for other figures."""
    if FIGURES[entry.shot.figure].page != "map":
        return None
    return MAPS.find(plan_of_shot(entry.shot)).landscape.snapshot()


def name_of(shot: Shot) -> str:
    """A figure's name in a menu, with what was chosen of it."""
    entry = FIGURES[shot.figure]
    return ", ".join([entry.name, *(value for _, value in shot.options)])


def file_name(shot: Shot, theme: str, form: Format, *more: str) -> str:
    """ASCII letters, digits and hyphens."""
    large = ["4k"] if "3840" in form.title else []
    text = "-".join([shot.figure, *(value for _, value in shot.options), *more, theme, *large])
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text) + f".{form.suffix}"


def base_url() -> str:
    """Scheme, host and folder under which the visitor reaches the app, without a slash at the end; "" if unknown."""
    parts = urlsplit(st.context.url or "")
    if not parts.netloc:
        return ""
    folder = parts.path.rstrip("/")
    pages = {entry.page for entry in FIGURES.values()} | {"slides"}
    head, _, last = folder.rpartition("/")
    return f"{parts.scheme}://{parts.netloc}{head if last in pages else folder}"
