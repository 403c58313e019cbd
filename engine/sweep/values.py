"""The values of a swept knob as they are written on the command line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from engine.experiment import KNOBS, Experiment
from engine.knobs import Number

_RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(:(?P<kind>log|lin)(?P<count>\d+))?")
MOST = 100_000
"""Values of one knob."""
DIGITS = 6
"""Significant digits of values between the ends of a range."""


def values_of(name: str, texts: list[str]) -> list[Any]:
    """What some words say of a knob: each a value as in a permalink, ``default``, a range or ``grid``.

    ``0..3`` are the whole numbers from 0 to 3, ``1e-3..10:log24`` 24 values with equal ratios, ``0..1:lin5`` five with
    equal gaps, ``grid`` the values of the knob's slider.

    Raises:
        ValueError: a word that is none of these; the message names it.
    """
    if name not in KNOBS:
        raise ValueError(f"{name!r} is not a knob; knobs are {', '.join(KNOBS)}.")
    return [value for text in texts for value in _values(name, text)]


def _values(name: str, text: str) -> list[Any]:
    knob = KNOBS[name]
    if text == "default":
        return [getattr(Experiment, name)]
    if isinstance(knob, Number):
        if text == "grid" and knob.grid:
            return [*knob.grid]
        if match := _RANGE.fullmatch(text):
            return _ranged(knob, text, **match.groupdict())
    try:
        return [knob.check(knob.read(text))]
    except ValueError as error:
        raise ValueError(f"{name} {error}, not {text!r}.") from None


def _ranged(knob: Number, text: str, low: str, high: str, kind: str | None, count: str | None) -> list[Any]:
    try:
        first, last, number = float(low), float(high), int(count or 0)
    except ValueError:
        raise ValueError(f"{text!r} is no range; write 0..3, 1e-3..10:log24 or 0..1:lin5.") from None
    if kind is None and (first != int(first) or last != int(last) or not first <= last < first + MOST):
        raise ValueError(f"{text!r} must run up from one whole number to another; else say how, as 1e-3..10:log24.")
    if kind is None:
        return [knob.check(value) for value in range(int(first), int(last) + 1)]
    if not 2 <= number <= MOST or (kind == "log" and min(first, last) <= 0):
        raise ValueError(f"{text!r} needs two values or more, and for log ends above 0.")
    spaced = np.geomspace if kind == "log" else np.linspace
    rounded = [float(f"{value:.{DIGITS}g}") for value in spaced(first, last, number)]
    return [knob.check(int(value) if knob.whole and value == int(value) else value) for value in rounded]
