"""What a figure is: a name that a link can say, and a function that draws it from the experiment alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd
import torch

from engine.charts.picture import Picture
from engine.experiment import Experiment, budgeted
from engine.run import Run
from engine.train import train_many

Values = Callable[[Experiment], Sequence[str]]
"""What an option may be for an experiment; the first is the default."""


@dataclass(frozen=True)
class Panel:
    """A figure of one experiment, drawn.

    Attributes:
        picture: what is seen.
        takeaway: what it shows, in one sentence with the numbers of this run.
        frame: its data, tidy, one row a mark or a point of a curve.
    """

    picture: Picture
    takeaway: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Shot:
    """One figure of one experiment: all that is needed to draw it, and what a permalink says.

    Attributes:
        figure: a key of FIGURES.
        experiment: the shared one, as on the address bar of a page.
        options: values of the figure's options that are not the default.
    """

    figure: str
    experiment: Experiment
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str:
        """The value of one of the figure's options."""
        return dict(self.options).get(name) or FIGURES[self.figure].options[name](self.experiment)[0]


def shared(shot: Shot) -> Experiment:
    """The shot's own experiment, as a page trains it."""
    return shot.experiment.within_budget()[0]


@dataclass(frozen=True)
class Figure:
    """One entry of FIGURES.

    Attributes:
        key: ``page.name``, in links.
        name: in menus.
        title: the heading of its slide: the question, or the answer.
        notes: what is drawn and how it is read, two to four sentences true of every run, for the speaker.
        options: what can be chosen beside the experiment, by name.
        draw: the figure of a shot in a theme, "light" or "dark".
        seen: the experiment that the figure of a shot trains, the first of several.
        axes: knobs that the figure itself varies, or that do not matter to it.
    """

    key: str
    name: str
    title: str
    notes: str
    draw: Callable[[Shot, str], Panel]
    options: Mapping[str, Values] = field(default_factory=dict)
    seen: Callable[[Shot], Experiment] = shared
    axes: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The page that shows it: a file of pages/."""
        return self.key.partition(".")[0]


FIGURES: dict[str, Figure] = {}


def figure(
    key: str,
    name: str,
    title: str,
    notes: str,
    *,
    seen: Callable[[Shot], Experiment] = shared,
    axes: tuple[str, ...] = (),
    **options: Values,
) -> Callable[[Any], Any]:
    """Enter a function ``(shot, theme) -> Panel`` into FIGURES; the arguments are those of Figure."""

    def enter(draw: Callable[[Shot, str], Panel]) -> Callable[[Shot, str], Panel]:
        FIGURES[key] = Figure(key, name, title, notes, draw, options, seen, axes)
        return draw

    return enter


@lru_cache(maxsize=4)
def trained_together(*experiments: Experiment) -> list[Run]:
    """The runs of several experiments as pages train them, in float64 and within VISITOR_BUDGET; a few are kept."""
    return train_many(budgeted(experiments)[0], dtype=torch.float64)


def trained(experiment: Experiment) -> Run:
    """The run of one experiment as pages train it."""
    return trained_together(experiment)[0]


def number(value: float) -> str:
    """A number for a takeaway: three significant digits, without an exponent where that is short."""
    return f"{value:.3g}"


def shot_of(key: str, experiment: Experiment, **options: str) -> Shot:
    """A shot whose options are written only where they are not the default, as a permalink has them.

    Raises:
        ValueError: an option that the figure does not have, or a value that it cannot take.
    """
    entry = FIGURES[key]
    chosen = []
    for name, value in options.items():
        allowed = entry.options[name](experiment) if name in entry.options else ()
        if value not in allowed:
            raise ValueError(f"{key} cannot have {name} = {value!r}.")
        if value != allowed[0]:
            chosen.append((name, value))
    return Shot(key, experiment, tuple(chosen))
