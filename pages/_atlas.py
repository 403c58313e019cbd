"""The component of the λ × η map: two maps and their curves, linked inside the browser."""

from __future__ import annotations

import json
import struct
import zlib
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
  <div class="frame">
    <div class="map" tabindex="0" role="application" aria-roledescription="map"></div>
    <button type="button" class="export">Export</button>
  </div>
  <p></p>
  <div class="frame">
    <div class="curve" role="img"></div>
    <button type="button" class="export">Export</button>
  </div>
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
    """One variant's half of a map."""
    return {"map": _chart(picture), "curve": curve and _chart(curve), **more}


def packed(sides: list[dict[str, Any]], **more: Any) -> bytes:
    """Both halves and what belongs to both, deflated."""
    look = {"palette": PALETTE, "config": {theme: config(theme) for theme in PALETTE}, "colours": COLOURS}
    text = json.dumps({"sides": sides, **look, **more}, separators=(",", ":"), allow_nan=False)
    return zlib.compress(text.encode(), 1)


def show(
    key: str, own: dict[str, Any], pictures: bytes, on_cell: Callable[[], None], on_export: Callable[[], None]
) -> None:
    """Show a map; one on screen is updated in place.

    Args:
        key: what the component reports when this picture is on screen.
        own: what belongs to this visitor: ``pair`` names the two variants, ``rows`` are the η of the curves at first,
            ``here`` the places of the experiment on both maps.
        pictures: what all visitors share, as ``packed`` makes it.
        on_cell: called when a cell is opened; the cell is in ``st.session_state.map.cell``.
        on_export: called when a picture's export button is pressed; which one is in ``st.session_state.map.export``:
            0 and 1 are the maps, 2 and 3 their curves.
    """
    header = json.dumps({"key": key, **own}, separators=(",", ":")).encode()
    _component(
        key="map",
        data=struct.pack("<I", len(header)) + header + pictures,
        on_cell_change=on_cell,
        on_export_change=on_export,
    )


def _chart(picture: Picture) -> dict[str, Any]:
    return {"spec": picture.spec, "data": picture.data, "alt": picture.alt}
