"""Every figure of every page, by name: drawn from an experiment alone, without Streamlit."""

from engine.figures import boundaries, norms, prior, coupling, one_step, what_to_decay, two_decays, landscape  # isort: skip
from engine.figures.figure import FIGURES, Figure, Panel, Shot

__all__ = [
    "FIGURES",
    "Figure",
    "Panel",
    "Shot",
    "boundaries",
    "coupling",
    "landscape",
    "norms",
    "one_step",
    "prior",
    "two_decays",
    "what_to_decay",
]
