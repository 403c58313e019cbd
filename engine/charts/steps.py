"""One step of all weights: the data's push against λ's pull, and the pull against the weight it pulls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.charts.labels import Span, along, placed
from engine.charts.picture import Picture, Rows, numbers
from engine.charts.step_specs import FATES, pull_spec, race_spec
from engine.variants import Where


@dataclass(frozen=True)
class Forces:
    """What one step does to W weights: arrays (W,) in the weights' own unit.

    Attributes:
        before: weights before the step.
        push: the data's part of the step.
        pull: λ's part of the step; the next weight is before + push + pull.
        shrink: the fraction that λ takes off in the step, 0 where it is not one for all.
        where: where λ enters.
        title: the variant and the step, in words.
        rate: the fraction in symbols.
    """

    before: NDArray
    push: NDArray
    pull: NDArray
    shrink: float
    where: Where
    title: str
    rate: str = "ηλ"

    @property
    def side(self) -> NDArray:
        """1 for weights above zero, −1 below: the direction that is outwards; at zero, the way that the data push."""
        return np.where(np.where(self.before == 0, self.push, self.before) < 0, -1.0, 1.0)

    @property
    def outwards(self) -> NDArray:
        """The push, positive where it would grow the weight."""
        return self.push * self.side

    @property
    def inwards(self) -> NDArray:
        """The pull, positive where it goes towards zero."""
        return -self.pull * self.side

    @property
    def fates(self) -> NDArray:
        """A key of FATES for every weight: by the size of the weight before and after, and whether its sign changed."""
        after = self.before + self.push + self.pull
        grows = np.where(np.abs(after) > np.abs(self.before), "grows", "shrinks")
        return np.where(after * self.before < 0, "crosses", grows)


def tally(forces: Forces) -> dict[str, int]:
    """How many weights grow, shrink and pass zero; of the shrinking ones, how many the data pushed outwards ("outrun");
    and of the growing ones, how many they did not ("lifted": the pull alone went outwards)."""
    fates, outwards = forces.fates, forces.outwards > 0
    counts = {fate: int((fates == fate).sum()) for fate in FATES}
    return counts | {
        "outrun": int(((fates == "shrinks") & outwards).sum()),
        "lifted": int(((fates == "grows") & ~outwards).sum()),
    }


def race(forces: Forces, chosen: int, name: str) -> Picture:
    """Push against pull of every weight; above the line of equality the push outruns the pull and the weight grows.

    Args:
        forces: of all weights.
        chosen: the index of the marked weight.
        name: what the marked weight is called.
    """
    x, y = forces.inwards, forces.outwards
    low_x, high_x, low_y, high_y = *_span(x, y), *_span(y, x)
    low, high, span = max(low_x, low_y), min(high_x, high_y), high_y - low_y
    equal: Rows = [{"x": low, "y": low}, {"x": high, "y": high}]
    counts = tally(forces)
    words = f"{counts['grows']:,} grow, {counts['shrinks']:,} shrink, {counts['crosses']:,} pass zero"
    labels: Rows = [
        {"x": low_x, "y": high_y - 0.03 * span, "text": "▲ grows: push > pull", "tone": "ink", "align": "left"},
        {
            "x": high_x,
            "y": low_y + 0.04 * span,
            "text": "pull > push: shrinks ●",
            "tone": forces.where,
            "align": "right",
        },
    ]
    rows: Rows = [
        {"x": a, "y": b, "fate": fate} for a, b, fate in zip(numbers(x), numbers(y), forces.fates.tolist(), strict=True)
    ]
    return Picture(
        race_spec(forces.where),
        {
            "weights": rows,
            "equal": equal,
            "frame": [{"x": low_x, "y": low_y}, {"x": high_x, "y": high_y}],
            "labels": labels,
            "chosen": _chosen(rows[chosen], name, rows, equal, labels, (low_x, high_x), (low_y, high_y)),
        },
        alt=f"Push of the data against the pull for {len(rows):,} weights, {forces.title}: {words}.",
        title=f"Push against pull, {forces.title}: {words}",
    )


def pulls(forces: Forces, chosen: int, name: str) -> Picture:
    """λ's part of the step against the weight it acts on, with the line −ηλw where λ takes one fraction of all.

    Args:
        forces: of all weights.
        chosen: the index of the marked weight.
        name: what the marked weight is called.
    """
    low_x, high_x, low_y, high_y = *_span(forces.before, forces.pull), *_span(forces.pull, forces.push)
    rows: Rows = [{"x": a, "y": b} for a, b in zip(numbers(forces.before), numbers(forces.pull), strict=True)]
    # The line is cut where it would leave the picture.
    reach = min(1.0, *(abs(end / (forces.shrink * w)) for w, end in ((low_x, high_y), (high_x, low_y))
                       if forces.shrink * w)) if forces.shrink else 0.0  # fmt: skip
    line = [{"x": w * reach, "y": -forces.shrink * w * reach} for w in (low_x, high_x)] if reach else []
    rate = forces.rate if "/" not in forces.rate else f"({forces.rate})"
    # At the end of the line where the marked weight is not: over its upper left, under its lower right.
    right = (rows[chosen]["x"] or 0) < (low_x + high_x) / 2
    align = "right" if right else "left"
    text = [{axis: 0.88 * line[right][axis] for axis in "xy"} | {"text": f"−{rate}w", "align": align}] if line else []
    return Picture(
        pull_spec(forces.where),
        {
            "weights": rows,
            "line": line,
            "text": text,
            "frame": [{"x": low_x, "y": low_y}, {"x": high_x, "y": high_y}],
            "chosen": _chosen(rows[chosen], name, rows, line, text, (low_x, high_x), (low_y, high_y)),
        },
        alt=f"Pull against weight for {len(rows):,} weights, {forces.title}.",
        title=f"The pull on every weight, {forces.title}",
    )


def _span(values: NDArray, other: NDArray) -> tuple[float, float]:
    """The ends of an axis: the values and zero, with a margin; the other axis' size where all values are zero."""
    finite = values[np.isfinite(values)]
    low, high = float(min(finite.min(initial=0), 0)), float(max(finite.max(initial=0), 0))
    if low == high:
        reach = float(np.abs(other[np.isfinite(other)]).max(initial=0)) or 1.0
        return -0.1 * reach, reach
    margin = 0.11 * (high - low)
    return low - margin, high + margin


def _chosen(row: dict[str, Any], name: str, rows: Rows, line: Rows, written: Rows, x: Span, y: Span) -> Rows:
    """The marked weight, its name where there are fewest weights and no line or label."""
    ends = along([[at["x"], at["y"]] for at in line], 400).tolist()
    dots = [[at["x"], at["y"]] for at in rows if None not in (at["x"], at["y"])]
    return placed([{**row, "text": name}], [*ends, *dots], x, y, written=written)
