"""The film player: a component whose step slider moves fields and charts together, inside the browser."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st
import vl_convert

_HERE = Path(__file__).parent
VEGA = _HERE.parent / "static" / "vega.js"

_HTML = """
<div class="film">
  <div class="table"></div>
  <div class="bar">
    <button type="button" aria-label="Play the training">▶</button>
    <input type="range" min="0" value="0" step="1" aria-label="Training step" />
    <output></output>
  </div>
  <div class="charts"></div>
</div>
"""

_component = st.components.v2.component(
    "wdp_film",
    html=_HTML,
    css=(_HERE / "film.css").read_text(encoding="utf-8"),
    js=(_HERE / "film.js").read_text(encoding="utf-8"),
)


def play(film: bytes, key: str = "film") -> None:
    """Show a film made by ``engine.charts.film``; a film on screen is updated in place."""
    _component(key=key, data=film)


def ensure_vega() -> None:
    """Write Vega and Vega-Lite, as vl-convert ships them, where the browser can fetch them once and keep them."""
    if VEGA.exists():
        return
    VEGA.parent.mkdir(exist_ok=True)
    draft = VEGA.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(vl_convert.javascript_bundle(), encoding="utf-8")
    draft.replace(VEGA)
