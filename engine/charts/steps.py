"""One step of all weights: the data's push against λ's pull, and the pull against the weight it pulls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT, WHERE_TITLE
from engine.variants import Where

HEIGHT = 400
FATES = {"grows": "grows", "shrinks": "shrinks", "crosses": "passes zero"}
"""What a step does to the size of a weight, and its words."""


SIDES: tuple[tuple[str, Literal["left", "right"], int], ...] = (("true", "right", -8), ("false", "left", 8))
"""Whether a name stands left of its mark, its alignment, and its distance in pixels."""


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
        _race_spec(forces.where),
        {
            "weights": rows,
            "equal": [{"x": low, "y": low}, {"x": high, "y": high}],
            "frame": [{"x": low_x, "y": low_y}, {"x": high_x, "y": high_y}],
            "labels": labels,
            "chosen": _chosen(rows[chosen], name, (low_x, high_x), (low_y, high_y)),
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
    text = [{**line[0], "text": f"−{rate}w"}] if line else []
    return Picture(
        _pull_spec(forces.where),
        {
            "weights": rows,
            "line": line,
            "text": text,
            "frame": [{"x": low_x, "y": low_y}, {"x": high_x, "y": high_y}],
            "chosen": _chosen(rows[chosen], name, (low_x, high_x), (low_y, high_y)),
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
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _chosen(row: dict[str, Any], name: str, x: tuple[float, float], y: tuple[float, float]) -> Rows:
    """The marked weight, its name on the side of the picture's middle."""
    place = {"left": (row["x"] or 0) > sum(x) / 2, "below": (row["y"] or 0) > sum(y) / 2}
    return [{**row, "text": name, **{side: bool(there) for side, there in place.items()}}]


def _finish(*layers: alt.Chart, title: str | alt.TitleParams) -> dict[str, Any]:
    chart = alt.layer(*layers).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 12, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=HEIGHT, title=title, padding=padding, autosize=fit))


def _axes(x_title: str, y_title: str) -> tuple[alt.X, alt.Y]:
    x_axis, y_axis = (alt.Axis(tickCount=n, grid=False, format="~g") for n in (4, 5))
    scale = alt.Scale(nice=False, zero=False)
    return alt.X("x:Q", title=x_title, scale=scale, axis=x_axis), alt.Y("y:Q", title=y_title, scale=scale, axis=y_axis)


def _marked() -> list[alt.Chart]:
    """The chosen weight: a ring, and its name on the side with room."""
    data = alt.Chart(alt.NamedData("chosen")).encode(x="x:Q", y="y:Q")
    ring = data.mark_point(size=230, strokeWidth=2.5, color=LIGHT["ink"], opacity=1)
    names = [
        data.transform_filter(f"datum.left === {left} && datum.below === {below}")
        .mark_text(align=align, dx=dx, dy=dy, fontSize=14, fontWeight="bold", color=LIGHT["ink"])
        .encode(text="text:N")
        for left, align, dx in SIDES
        for below, dy in (("true", 16), ("false", -16))
    ]
    return [ring, *names]


def _zeros() -> list[alt.Chart]:
    data = alt.Chart(alt.NamedData("frame")).mark_rule(color=LIGHT["rule"], strokeWidth=1.5)
    return [data.encode(x=alt.XDatum(0)), data.encode(y=alt.YDatum(0))]


def _frame(x: alt.X, y: alt.Y) -> alt.Chart:
    return alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x=x, y=y)


@lru_cache(maxsize=8)
def _race_spec(where: Where) -> dict[str, Any]:
    x, y = _axes("pull towards zero", "push of the data away from zero")
    tone = LIGHT[where]
    fates = alt.Scale(domain=list(FATES), range=[LIGHT["ink"], tone, tone])
    shapes = alt.Scale(domain=list(FATES), range=["triangle-up", "circle", "diamond"])
    fills = alt.Scale(domain=list(FATES), range=[LIGHT["quiet"], tone, LIGHT["paper"]])
    points = (
        alt.Chart(alt.NamedData("weights"))
        .mark_point(filled=True, size=46, strokeWidth=1.2, opacity=0.75)
        .encode(
            x=x, y=y,
            shape=alt.Shape("fate:N", scale=shapes, legend=None),
            fill=alt.Fill("fate:N", scale=fills, legend=None),
            stroke=alt.Stroke("fate:N", scale=fates, legend=None),
        )
    )  # fmt: skip
    equal = alt.Chart(alt.NamedData("equal")).mark_line(color=LIGHT["quiet"], strokeWidth=1.6).encode(x="x:Q", y="y:Q")
    tones = alt.Scale(domain=list(LIGHT), range=list(LIGHT.values()))
    labels = [
        alt.Chart(alt.NamedData("labels"))
        .transform_filter(f"datum.align === '{align}'")
        .mark_text(align=align, fontSize=14, fontWeight="bold", dx=4 if align == "left" else -4)
        .encode(x="x:Q", y="y:Q", text="text:N", color=alt.Color("tone:N", scale=tones, legend=None))
        for align in ("left", "right")
    ]
    return _finish(
        _frame(x, y),
        *_zeros(),
        equal,
        points,
        *labels,
        *_marked(),
        title=alt.Title("Who wins?", subtitle="on the line push = pull; ◇ passes zero"),
    )


@lru_cache(maxsize=8)
def _pull_spec(where: Where) -> dict[str, Any]:
    x, y = _axes("weight w before the step", "pull on the weight")
    points = alt.Chart(alt.NamedData("weights")).mark_point(filled=True, size=46, opacity=0.75, color=LIGHT[where])
    line = alt.Chart(alt.NamedData("line")).mark_line(strokeDash=[4, 4], color=LIGHT["ink"], strokeWidth=1.4)
    text = (
        alt.Chart(alt.NamedData("text"))
        .mark_text(align="left", dx=8, dy=-8, fontSize=14, fontStyle="italic", color=LIGHT["ink"])
        .encode(x="x:Q", y="y:Q", text="text:N")
    )
    title = f"The pull on every weight: {WHERE_TITLE[where]}"
    return _finish(
        _frame(x, y), *_zeros(), points.encode(x=x, y=y), line.encode(x="x:Q", y="y:Q"), text, *_marked(), title=title
    )
