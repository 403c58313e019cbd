"""The kinds of knob that an Experiment is made of: each checks a value, and reads and writes its URL form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Knob:
    """What the screen says of one field: its label, one sentence of unit and meaning, and its group in the sidebar."""

    label: str
    help: str
    group: str

    def check(self, value: Any) -> Any:
        """The value in its canonical type; raises ValueError with a clause that completes '<knob> …'."""
        raise NotImplementedError

    def clamp(self, value: Any) -> Any:
        """The nearest allowed value where that makes sense, else the value itself."""
        return value

    def read(self, text: str) -> Any:
        """The value that a URL's text stands for, unchecked; raises ValueError."""
        raise NotImplementedError

    def write(self, value: Any) -> str:
        """The URL form of a value."""
        return str(value)


@dataclass(frozen=True)
class Choice(Knob):
    """One of a few names; ``options`` maps each name to its title on screen."""

    options: dict[str, str]

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(f"must be one of {', '.join(self.options)}")
        return value

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class Flag(Knob):
    """On or off; 1 or 0 in a URL."""

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("must be True or False")
        return value

    def read(self, text: str) -> bool:
        if text not in ("0", "1"):
            raise ValueError("must be 0 or 1")
        return text == "1"

    def write(self, value: bool) -> str:
        return str(int(value))


@dataclass(frozen=True)
class Number(Knob):
    """A finite number between ``low`` and ``high``; ``grid`` holds the values its slider offers.

    ``optional`` says what None means on screen, where None is allowed; ``least`` is the smallest value above 0.
    """

    low: float
    high: float
    grid: tuple[float, ...] = ()
    whole: bool = False
    optional: str = ""
    least: float = 0.0

    def check(self, value: Any) -> float | int | None:
        if value is None and self.optional:
            return None
        kind = int if self.whole else float
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool | str) or number != value or not self._fits(number):
            what = "a whole number" if self.whole else "a number"
            beyond = f", {self.least:g} or more if it is not 0" if self.least else ""
            raise ValueError(f"must be {what} from {self.low:g} to {self.high:g}{beyond}")
        return number

    def clamp(self, value: Any) -> Any:
        kind = int if self.whole else float
        if value is None:
            return None
        inside = min(max(value, kind(self.low)), kind(self.high))
        return self.least if 0 < inside < self.least else inside

    def _fits(self, number: float) -> bool:
        return self.low <= number <= self.high and not 0 < number < self.least

    def read(self, text: str) -> float | int | None:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("must be a finite number")
        return int(number) if self.whole and number == int(number) else number

    def write(self, value: float | int) -> str:
        return repr(value)


@dataclass(frozen=True)
class Widths(Knob):
    """The widths of the hidden layers, written 32-32; () is written 0 and means a linear model."""

    deepest: int
    widest: int

    def check(self, value: Any) -> tuple[int, ...]:
        try:
            widths = tuple(value)
            whole = all(not isinstance(width, bool | str) and width == int(width) for width in widths)
        except (TypeError, ValueError, OverflowError):
            whole = False
        if isinstance(value, str) or not whole or len(widths) > self.deepest or not self._fit(widths):
            raise ValueError(self._allowed())
        return tuple(int(width) for width in widths)

    def _fit(self, widths: tuple[Any, ...]) -> bool:
        return all(1 <= width <= self.widest for width in widths)

    def _allowed(self) -> str:
        return f"must be up to {self.deepest} widths from 1 to {self.widest}"

    def read(self, text: str) -> tuple[int, ...]:
        try:
            return () if text == "0" else tuple(int(width) for width in text.split("-"))
        except ValueError:
            raise ValueError(self._allowed()) from None

    def write(self, value: tuple[int, ...]) -> str:
        return "-".join(map(str, value)) or "0"


@dataclass(frozen=True)
class Names(Knob):
    """A selection of names, at least one, kept in the order of ``options``."""

    options: dict[str, str]

    def check(self, value: Any) -> tuple[str, ...]:
        try:
            chosen = set() if isinstance(value, str) else set(value)
        except TypeError:
            chosen = set()
        if not chosen or chosen - set(self.options):
            raise ValueError(f"must be some of {', '.join(self.options)}")
        return tuple(name for name in self.options if name in chosen)

    def read(self, text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)
