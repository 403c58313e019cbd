"""What a page claims, and how the run on screen is held against it: predicted beside measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["relative", "absolute", "at most"]


@dataclass(frozen=True)
class Measurement:
    """One value that theory predicts, and the same value as the run has it.

    Attributes:
        what: whose value it is, for instance a variant's title.
        predicted: the value by the formula.
        measured: the value of the run.
    """

    what: str
    predicted: float
    measured: float


@dataclass(frozen=True)
class Claim:
    """A statement that a page makes, with the formula, its source, the test that proves it and the live check.

    Attributes:
        key: name in code.
        says: the statement in one sentence.
        formula: in LaTeX.
        source: author and year.
        link: where to read it.
        test: the test that proves it, as pytest names it: tests/test_science.py::test_…
        tolerance: largest error that passes, in the units of ``kind``.
        kind: "relative" |measured − predicted| / |predicted|, "absolute" without the division, or "at most": what
            counts is how far, relatively, the measured value is above the predicted one.
        check: the run's measurements (page 8: the map's), or one sentence on why the claim does not apply to it.
    """

    key: str
    says: str
    formula: str
    source: str
    link: str
    test: str
    tolerance: float
    kind: Kind
    check: Callable[[Any], list[Measurement] | str]

    def error(self, value: Measurement) -> float:
        """The error of a measurement in the units of ``kind``; inf where it cannot be measured."""
        gap = value.measured - value.predicted
        gap = max(gap, 0.0) if self.kind == "at most" else abs(gap)
        if not math.isfinite(gap):
            return math.inf
        return gap if self.kind == "absolute" or gap == 0 else gap / max(abs(value.predicted), 1e-300)

    def holds(self, value: Measurement) -> bool:
        """Whether a measurement agrees with the prediction at the tolerance."""
        return self.error(value) <= self.tolerance


CLAIMS: dict[str, Claim] = {}
"""Every claim that some page shows, by key."""


def claim(
    *, says: str, formula: str, source: str, link: str, test: str, tolerance: float, kind: Kind = "relative"
) -> Callable[[Callable[[Any], list[Measurement] | str]], Claim]:
    """Register a check as a Claim, named as its function."""

    def register(check: Callable[[Any], list[Measurement] | str]) -> Claim:
        key = getattr(check, "__name__", "")
        CLAIMS[key] = Claim(key, says, formula, source, link, test, tolerance, kind, check)
        return CLAIMS[key]

    return register
