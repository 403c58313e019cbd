"""The values of a swept knob as they are written on the command line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from engine.experiment import KNOBS, Experiment
from engine.knobs import Knob, Number

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
    if text == "grid" and isinstance(knob, Number) and knob.grid:
        return [*knob.grid]
    try:
        if isinstance(knob, Number) and (match := _RANGE.fullmatch(text)):
            return [knob.check(value) for value in _ranged(knob, **match.groupdict())]
        return [knob.check(_read(knob, text))]
    except ValueError as error:
        raise ValueError(f"{name} {error}, not {text!r}.") from None


def _read(knob: Knob, text: str) -> Any:
    """What a word stands for; a word that is no number is left to the knob, which says what it must be."""
    try:
        return knob.read(text)
    except ValueError:
        if isinstance(knob, Number):
            return text
        raise


def _ranged(knob: Number, low: str, high: str, kind: str | None, count: str | None) -> list[float]:
    """The values of a range; raises ValueError with a clause that completes '<knob> …'."""
    try:
        first, last = float(low), float(high)
        whole = first == int(first) and last == int(last)
    except (ValueError, OverflowError):
        raise ValueError("needs a range between numbers, such as 0..3, 1e-3..10:log24 or 0..1:lin5") from None
    if kind is None:
        if not whole or not first <= last < first + MOST:
            raise ValueError("needs a range up from one whole number to another, or one that says how, as 1..10:log24")
        return [*range(int(first), int(last) + 1)]
    if not 2 <= int(count or 0) <= MOST or (kind == "log" and min(first, last) <= 0):
        raise ValueError(f"needs a range of 2 to {MOST:,} values, and for log between ends above 0")
    spaced = np.geomspace if kind == "log" else np.linspace
    rounded = [float(f"{value:.{DIGITS}g}") for value in spaced(first, last, int(count or 0))]
    return [int(value) if knob.whole and value == int(value) else value for value in rounded]
