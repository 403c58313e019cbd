"""Every figure of every page, by name: drawn from an experiment alone, without Streamlit."""

from engine.figures import boundaries
from engine.figures.figure import FIGURES, Figure, Panel, Shot

__all__ = ["FIGURES", "Figure", "Panel", "Shot", "boundaries"]
