"""The table: what its lines hold, and the figures in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.loadtest.client import Answer

HEAD = (
    "| what | target | n | p50 | p95 | max | errors | server CPU | CPU a rerun | server memory |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass
class Line:
    """One line of the table; times in seconds, None for what does not apply."""

    what: str
    times: Sequence[float]
    errors: list[str] = field(default_factory=list)
    target: str = ""
    met: bool | None = None
    cpu: float | None = None
    rerun_cpu: float | None = None
    memory: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)

    def row(self) -> str:
        """The line in Markdown."""
        p50, p95, most = (milliseconds(self.times, q) for q in (50, 95, 100))
        verdict = "" if self.met is None else " **met**" if self.met else " **missed**"
        cells = (
            self.what,
            f"{self.target}{verdict}",
            str(len(self.times)),
            p50,
            p95,
            most,
            str(len(self.errors)),
            "–" if self.cpu is None else f"{100 * self.cpu:.0f} %",
            "–" if self.rerun_cpu is None else f"{1e3 * self.rerun_cpu:.1f} ms",
            "–" if self.memory is None else f"{self.memory[0]:.0f} → {self.memory[1]:.0f} MB",
        )
        return f"| {' | '.join(cells)} |"


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least q percent of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * q / 100) - 1)]


def pictures(answers: Sequence[Answer]) -> list[float]:
    """Seconds to the picture, of the answers that brought one."""
    return [answer.picture for answer in answers if answer.picture is not None]


def problems(answers: Sequence[Answer]) -> list[str]:
    """All that went wrong, each with its page."""
    return [f"{problem} (page {answer.page or '1'})" for answer in answers for problem in answer.problems]


def milliseconds(values: Sequence[float], q: float) -> str:
    """A percentile of seconds, for a note."""
    return f"{1e3 * percentile(values, q):.0f} ms" if values else "–"
