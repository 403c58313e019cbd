"""A slide: one figure with its title, what it shows, the settings and the permalink."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from engine.charts.picture import Picture
from engine.experiment import Experiment
from engine.figures import FIGURES, Shot
from engine.figures.link import to_link
from engine.landscape import SEEDS
from engine.variants import Variant

JOINER = "\u200d"
"""Holds an emoji of several together."""

LONGEST_TITLE, LONGEST_CAPTION = 300, 1000
"""Characters of an edited title and caption that are kept; the rest becomes …"""

DECAY = {"weights": "", "biases": "decay on biases too", "all": "decay on all parameters"}
"""What decays, in a footer."""


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
        settings=settings(entry.seen(shot), entry.axes),
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


def settings(experiment: Experiment, axes: tuple[str, ...] = ()) -> str:
    """The experiment in one line: data, model, rates, training; every knob that its variants use.

    Args:
        experiment: what is trained.
        axes: knobs that a figure varies itself or that do not matter to it, as ``Figure.axes``.
    """
    exp = experiment
    seeds = f"seeds {exp.seed} to {exp.seed + SEEDS - 1}" if "seed" in axes else f"seed {exp.seed}"
    model = f"MLP {'-'.join(map(str, (2, *exp.hidden, 1)))} {exp.activation}" if exp.hidden else "logistic regression"
    parts = [
        f"{exp.dataset}, noise {exp.noise:g}, N = {exp.points:,}, {seeds}",
        model + (", LayerNorm" if exp.layer_norm and exp.hidden else ""),
        "; ".join([*_rates(exp, axes), *_extras(exp, axes)]),
        "" if "steps" in axes else _training(exp),
    ]
    return " · ".join(part for part in parts if part)


def _training(exp: Experiment) -> str:
    """Steps, batches and schedule."""
    batches = f", batches of {exp.batch}" if exp.batch < exp.points else ""
    schedule = f", η {exp.schedule}" if exp.schedule != "constant" else ""
    return f"{exp.steps:,} step{'s' if exp.steps > 1 else ''}{batches}{schedule}"


def _rates(exp: Experiment, axes: tuple[str, ...]) -> list[str]:
    """η and λ of the variants, those together that have both in common; or that a figure has them on its axes."""
    if {"lr", "weight_decay"} <= set(axes):
        return [] if "steps" in axes else ["λ and η on the axes"]
    found: dict[float, dict[str, list[str]]] = {}
    for variant in exp.chosen:
        alike = variant.shrinks_by_lr or exp.weight_decay_adaptive is not None
        name = variant.family if alike else variant.title
        names = found.setdefault(exp.lr_of(variant), {}).setdefault(_decay(exp, variant, axes), [])
        names += [name] * (name not in names)
    if "lr" in axes:
        return list(dict.fromkeys(decay for groups in found.values() for decay in groups if decay))
    return [f"η = {lr:g}{_groups(groups)}" for lr, groups in found.items()]


def _decay(exp: Experiment, variant: Variant, axes: tuple[str, ...]) -> str:
    """λ of a variant, "" where it has none; on an axis of the SGD family's λ, how it goes with that."""
    if not variant.has_weight_decay:
        return ""
    own = exp.weight_decay_adaptive if variant.adaptive else exp.weight_decay
    if "weight_decay_adaptive" in axes or ("weight_decay" in axes and own == exp.weight_decay):
        return "λ on the axis"
    if "weight_decay" in axes and own is None:
        factor = exp.lr / (exp.lr_adaptive if variant.shrinks_by_lr else 1.0)
        return f"λ = {factor:.6g} × the axis's"
    return f"λ = {exp.weight_decay_of(variant):.6g}"


def _groups(groups: dict[str, list[str]]) -> str:
    """The λ of the variants of one η; those without a λ are named where no other of their family is."""
    decaying = {name for decay, names in groups.items() if decay for name in names}
    words = []
    for decay, names in sorted(groups.items(), key=lambda group: bool(group[0])):
        named = names if decay else [name for name in names if name not in decaying]
        if named:
            words.append(f"{', ' if decay else ' '}{decay}{' ' if decay else ''}({', '.join(named)})")
    return "".join(words)


def _extras(exp: Experiment, axes: tuple[str, ...]) -> list[str]:
    """The knobs that only some variants have, and what decays where it is not the usual."""
    words = []
    if "momentum" not in axes and any(variant.has_momentum for variant in exp.chosen):
        words.append(f"μ = {exp.momentum:g}" + (", Nesterov" if exp.nesterov and exp.momentum else ""))
    if "max_norm" not in axes and any(variant.uses("project_units") for variant in exp.chosen):
        words.append(f"c = {exp.max_norm:g}")
    decays = any(exp.weight_decay_of(variant) for variant in exp.chosen)
    if decays and not ("steps" in axes and "decayed" in axes):
        words.append("several choices of what decays" if "decayed" in axes else DECAY[exp.decayed])
    return [word for word in words if word]
