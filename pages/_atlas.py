"""The component of the λ × η map: two maps and their curves, linked inside the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from engine.charts import Picture
from engine.charts.landscape import COLOURS
from engine.charts.theme import PALETTE, config

_HERE = Path(__file__).parent
_SIDE = """
<section>
  <div class="map" tabindex="0" role="application" aria-roledescription="map"></div>
  <p aria-live="polite"></p>
  <div class="curve" role="img"></div>
</section>
"""
_HTML = f"""
<div class="atlas">
  <div class="key">
    <span class="name">test loss</span><span class="low"></span><i class="ramp"></i><span class="high"></span>
    <span class="marks">◎ best cell · dots: within one standard error · white line: best λ at each η ·
      × diverged · <b style="color: var(--wdp-class1)">✖</b> other pages</span>
  </div>
  <div class="sides">{_SIDE}{_SIDE}</div>
  <div class="bar">
    <span>η of the curves</span><input type="range" min="0" max="23" aria-label="η of the curves" /><output></output>
  </div>
</div>
"""
_JS = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("map.js", "vega.js"))
_component = st.components.v2.component(
    "wdp_map", html=_HTML, css=(_HERE / "map.css").read_text(encoding="utf-8"), js=_JS
)


def side(picture: Picture, curve: Picture | None, **more: Any) -> dict[str, Any]:
    """One variant's half of the component's data."""
    return {"map": _chart(picture), "curve": curve and _chart(curve), **more}


def show(key: str, pair: str, sides: list[dict[str, Any]], on_cell: Callable[[], None], **more: Any) -> None:
    """Show a map; one on screen is updated in place.

    Args:
        key: what the component reports when this picture is on screen.
        pair: what the visitor's own choice of η belongs to.
        sides: both halves, as ``side`` makes them.
        on_cell: called when a cell is opened; the cell is in ``st.session_state.map.cell``.
        more: for the header.
    """
    look = {"palette": PALETTE, "config": {theme: config(theme) for theme in PALETTE}, "colours": COLOURS}
    _component(key="map", data={"key": key, "pair": pair, "sides": sides, **look, **more}, on_cell_change=on_cell)


def _chart(picture: Picture) -> dict[str, Any]:
    return {"spec": picture.spec, "data": picture.data, "alt": picture.alt}
