"""A slide: one figure with its title, what it shows, the settings and the permalink."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from engine.charts.picture import Picture
from engine.experiment import Experiment
from engine.figures import FIGURES, Shot
from engine.figures.link import to_link

JOINER = "\u200d"
"""Holds an emoji of several together."""

LONGEST_TITLE, LONGEST_CAPTION = 300, 1000
"""Characters of an edited title and caption that are kept; the rest becomes …"""


@dataclass(frozen=True)
class Slide:
    """One slide, with all its words.

    Attributes:
        title: plain text, as is everything else: no markup is read in it.
        caption: one or two lines under the title: the takeaway, or what somebody wrote in its place.
        picture: the figure, drawn for ``theme``.
        settings: the experiment in a line.
        link: permalink.
        notes: what the speaker may say.
        theme: "light" or "dark".
        frame: the figure's data.
    """

    title: str
    caption: str
    picture: Picture
    settings: str
    link: str
    notes: str
    theme: str
    frame: pd.DataFrame


def slide_of(shot: Shot, theme: str = "light", base: str = "", title: str = "", caption: str = "") -> Slide:
    """The slide of a figure, trained and drawn now.

    Args:
        shot: the figure.
        theme: "light" or "dark".
        base: scheme and host for the permalink.
        title: in place of the figure's own.
        caption: in place of the takeaway.
    """
    entry = FIGURES[shot.figure]
    panel = entry.draw(shot, theme)
    link = to_link(shot, base)
    return Slide(
        title=bounded(title, LONGEST_TITLE) or entry.title,
        caption=bounded(caption, LONGEST_CAPTION) or panel.takeaway,
        picture=panel.picture,
        settings=settings(shot.experiment),
        link=link,
        notes=entry.notes,
        theme=theme,
        frame=panel.frame,
    )


def slide_alone(picture: Picture, theme: str = "light", title: str = "", caption: str = "") -> Slide:
    """The slide of a picture that is no figure of the playground, without a footer.

    Args:
        picture: as a function of engine.charts makes it.
        theme: "light" or "dark".
        title: in place of the picture's own.
        caption: a line or two under it.
    """
    rows = [{"data": name, **row} for name, rows in picture.data.items() for row in rows]
    return Slide(title or picture.title, caption, picture, "", "", picture.alt, theme, pd.DataFrame(rows))


def bounded(text: str, longest: int) -> str:
    """Text of one line: printable characters and single spaces, at most so many."""
    clean = " ".join("".join(c if c.isprintable() or c == JOINER else " " for c in text).split())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def settings(experiment: Experiment) -> str:
    """The experiment in one line: data, model, training, decay."""
    exp = experiment
    shape = "-".join(str(width) for width in (2, *exp.hidden, 1))
    batch = "" if exp.batch == exp.points else f", batches of {exp.batch}"
    adaptive = [variant for variant in exp.chosen if variant.adaptive and variant.has_weight_decay]
    plain = [variant for variant in exp.chosen if not variant.adaptive and variant.has_weight_decay]
    rates = []
    if any(not variant.adaptive for variant in exp.chosen):
        rates.append(f"η = {exp.lr:g}" + (f", λ = {exp.weight_decay_of(plain[0]):.3g}" if plain else "") + " (SGD)")
    if any(variant.adaptive for variant in exp.chosen):
        first = next((variant for variant in adaptive if variant.shrinks_by_lr), adaptive[0] if adaptive else None)
        lam = f", λ = {exp.weight_decay_of(first):.3g}" if first else ""
        rates.append(f"η = {exp.lr_adaptive:g}{lam} (Adam)")
    parts = [
        f"{exp.dataset}, noise {exp.noise:g}, N = {exp.points:,}, seed {exp.seed}",
        f"MLP {shape} {exp.activation}{', LayerNorm' if exp.layer_norm else ''}",
        "; ".join(rates),
        f"{exp.steps:,} steps{batch}" + (f", η {exp.schedule}" if exp.schedule != "constant" else ""),
    ]
    if any(variant.has_momentum for variant in exp.chosen):
        parts[2] += f"; μ = {exp.momentum:g}"
    return " · ".join(parts)
