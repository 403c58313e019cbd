"""Pure functions: frames -> Picture. No torch, no Streamlit; the same function serves page, export and tests."""

from engine.charts.picture import Picture

__all__ = ["Picture"]
