"""The film player: a component whose step slider moves fields and charts together, inside the browser."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import streamlit as st
import vl_convert

_HERE = Path(__file__).parent
VEGA = _HERE.parent / "static" / "vega.js"

HEAD_START = 0.04
"""Seconds that the picture gets to reach the screen before the server goes on with the rest of the page."""

_HTML = """
<div class="film">
  <div class="table"></div>
  <div class="bar">
    <button type="button" aria-label="Play the training">▶</button>
    <input type="range" min="0" value="0" step="1" aria-label="Training step" />
    <output></output>
    <span class="views" role="group" aria-label="What the slider moves" hidden>
      <button type="button" aria-pressed="true">over training</button>
      <button type="button" aria-pressed="false">over λ</button>
    </span>
    <button type="button" class="export" hidden>Export</button>
  </div>
  <div class="charts"></div>
</div>
"""

_CSS = (_HERE / "film.css").read_text(encoding="utf-8")
_JS = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("film.js", "vega.js"))
_player = st.components.v2.component("wdp_film", html=_HTML, css=_CSS, js=_JS)
_reel = st.components.v2.component("wdp_reel", html="<i hidden></i>", js=_JS)
_axis = st.components.v2.component("wdp_axis", html="<i hidden></i>", js=_JS)


def play(film: bytes, on_export: Callable[[], None], reel: Callable[[], bytes] | None = None) -> None:
    """Show a film; one on screen is updated in place.

    Args:
        film: the first half, made by ``engine.charts.film.film``: the picture of the last step and the curves.
        on_export: called when a figure's own export button is pressed; which one is in
            ``st.session_state.film.export``: its place, the step, and λ where the slider goes over λ.
        reel: makes the second half, which is sent after the picture is on its way.
    """
    _player(key="film", data=film, on_export_change=on_export)
    time.sleep(HEAD_START)
    if reel:
        _reel(key="reel", data=reel(), height=1)


def offer_axis(film: bytes) -> None:
    """Send the film over λ; the browser keeps it for every λ of the same experiment."""
    _axis(key="axis", data=film, height=1)


def ensure_vega() -> None:
    """Write Vega and Vega-Lite, as vl-convert ships them, where the browser can fetch them once and keep them."""
    if VEGA.exists():
        return
    draft = VEGA.with_suffix(f".{os.getpid()}.tmp")
    try:
        VEGA.parent.mkdir(exist_ok=True)
        draft.write_text(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), encoding="utf-8")
        draft.replace(VEGA)
    except OSError as error:
        logging.getLogger(__name__).warning("Curves will be missing: %s cannot be written (%s).", VEGA, error)
