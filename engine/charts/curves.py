"""Curves over training: losses and norms, with direct labels and the cursor of the film."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, Rows, numbers, static
from engine.charts.theme import LIGHT, variant_scales
from engine.variants import VARIANTS

Diverged = dict[str, int | None]
Series = dict[str, NDArray]
"""Variant to its values at the recorded steps, (T,)."""
CEILING = 1.5
"""A diverged variant's curve is drawn up to this many times the others' largest value."""


def norm_curves(
    steps: NDArray,
    norms: Series,
    theory: Series,
    diverged: Diverged,
    title: str = "‖w‖: norm of all weights",
    height: int = 270,
    name: str = "‖w‖",
    marks: dict[str, float] | None = None,
) -> Picture:
    """‖w‖ over steps for every variant, or another number that is at least 0; theory as a thin dashed line.

    Args:
        steps: recorded steps (T,).
        norms: variant to ‖w‖ (T,).
        theory: variant to ‖w‖ (T,) as theory has it; may be empty.
        diverged: ``run.diverged``.
        title: above the curves.
        height: pixels.
        name: of the number, for those who do not see the picture.
        marks: steps that the axis of time names, each with its text; those beyond the last step are left out.
    """
    shown = _limited(norms, diverged)
    top = _top(shown)
    near = {text: step for text, step in (marks or {}).items() if 0 < step <= steps[-1]}
    theory = {key: np.where(values <= CEILING * top, values, np.nan) for key, values in theory.items()}
    return Picture(
        _curve_spec(1, title, _note(diverged), bool(theory), height, bool(near)),
        {
            "curves": _rows(steps, shown),
            **({"theory": _rows(steps, theory), "named": _named(steps, theory, shown)} if theory else {}),
            **({"marks": [{"step": step, "text": text} for text, step in near.items()]} if near else {}),
            "cursor": [{}],
            "labels": _end_labels(steps, shown, diverged, height),
        },
        alt=f"{title} over steps. {_sentence(shown, name)}",
        title=title,
    )


def loss_curves(steps: NDArray, test: Series, train: Series, diverged: Diverged, height: int = 270) -> Picture:
    """Data loss over steps for every variant: test thick, train thin, neither with the penalty.

    Args:
        steps: recorded steps (T,).
        test: variant to test loss (T,), mean cross-entropy.
        train: variant to train loss (T,).
        diverged: ``run.diverged``.
        height: pixels.
    """
    test, train = _limited(test, diverged), _limited(train, diverged)
    title = "Data loss: test thick, train thin"
    return Picture(
        _curve_spec(2, title, _note(diverged), False, height),
        {
            "curves": _rows(steps, test, train),
            "cursor": [{}],
            "labels": _end_labels(steps, test, diverged, height),
        },
        alt=f"Data loss over steps. {_sentence(test, 'test loss')}",
        title="Data loss over training: test thick, train thin",
    )


def base(data: str = "curves") -> alt.Chart:
    """A chart over steps on named data, coloured by where λ enters and dashed by optimizer family."""
    colours, dashes = variant_scales()
    return alt.Chart(alt.NamedData(data)).encode(
        x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6)),
        color=alt.Color("variant:N", scale=alt.Scale(**colours), legend=None),
        strokeDash=alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None),
    )


def cursor_rule() -> alt.Chart:
    """The film's cursor: a rule at the param ``step``."""
    return (
        alt.Chart(alt.NamedData("cursor"))
        .mark_rule(color=LIGHT["quiet"], strokeWidth=1, opacity=0.6)
        .encode(x=alt.XDatum(alt.expr("step"), type="quantitative"))
    )


def _dots() -> alt.Chart:
    """A dot on every curve at the param ``step``."""
    dots = base().transform_filter("datum.step === step").mark_point(size=42, filled=True, opacity=1, strokeDash=[1, 0])
    return dots.encode(y=_y("y0"))


@lru_cache(maxsize=64)
def _curve_spec(columns: int, title: str, note: str, theory: bool, height: int, marked: bool = False) -> dict[str, Any]:
    y = alt.Y("y0:Q", title=None, scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(tickCount=5))
    strong = base().mark_line(strokeWidth=2.4, clip=True).encode(y=y)
    layers = [base().mark_line(strokeWidth=1, opacity=0.65, clip=True).encode(y=_y(f"y{i}")) for i in range(1, columns)]
    if theory:
        dashed = base("theory").mark_line(strokeWidth=1.3, opacity=0.95)
        layers.append(dashed.encode(y=_y("y0"), strokeDash=alt.value([3, 3])))
        name = alt.Chart(alt.NamedData("named")).mark_text(align="left", dx=5, dy=-8, fontSize=13)
        colour = alt.Color("variant:N", legend=None)
        layers.append(name.encode(x="step:Q", y=_y("place"), text=alt.value("theory"), color=colour))
    if marked:
        layers += _mark_layers()
    labels = (
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="left", dx=8, fontSize=13)
        .encode(x="step:Q", y=_y("place"), text="title:N", color=alt.Color("variant:N", legend=None))
    )
    chart = alt.layer(*layers, strong, cursor_rule(), _dots(), labels).add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(chart.properties(height=height, title=alt.Title(title, subtitle=note), padding=padding, autosize=fit))


def _mark_layers() -> list[alt.Chart]:
    """A rule from the top of the picture for each mark on the axis of time, with its text."""
    marks = alt.Chart(alt.NamedData("marks")).encode(x="step:Q")
    rule = marks.mark_rule(color=LIGHT["quiet"], strokeWidth=1, strokeDash=[1, 3])
    words = marks.mark_text(align="left", baseline="top", dx=5, fontSize=13, color=LIGHT["quiet"])
    return [
        rule.encode(y=alt.value(0), y2=alt.value(alt.expr("height"))),
        words.encode(y=alt.value(2), text="text:N"),
    ]


def _named(steps: NDArray, theory: Series, shown: Series) -> Rows:
    """Where "theory" is written: above each dashed line, where curves leave most room; once for equal lines."""
    rows: Rows = []
    above = 0.05 * _top(shown)
    for i, (key, values) in enumerate(theory.items()):
        finite = np.flatnonzero(np.isfinite(values))
        if not finite.size or any(np.allclose(values, other, equal_nan=True) for other in list(theory.values())[:i]):
            continue
        inner = finite[len(finite) // 20 : max(1, 3 * len(finite) // 4)]
        gaps = np.abs(np.stack(list(shown.values()))[:, inner] - values[inner] - above)
        at = inner[np.argmax(np.nan_to_num(gaps, nan=np.inf).min(axis=0))]
        rows.append({"variant": key, "step": int(steps[at]), "place": float(f"{values[at]:.5g}")})
    return rows


def _note(diverged: Diverged) -> str:
    """Which curves end early, and why."""
    gone = [f"{VARIANTS[key].title} at step {step:,}" for key, step in diverged.items() if step is not None]
    return f"diverged: {', '.join(gone)}" if gone else ""


def _y(field: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=None)


def _rows(steps: NDArray, *columns: Series) -> Rows:
    """One row a variant and step, with the columns y0, y1, …"""
    names = [f"y{i}" for i in range(len(columns))]
    return [
        {"variant": key, "step": step, **dict(zip(names, values, strict=True))}
        for key in columns[0]
        for step, *values in zip(steps.tolist(), *(numbers(column[key]) for column in columns), strict=True)
    ]


def _limited(series: Series, diverged: Diverged) -> Series:
    """Values of diverged variants beyond what the others need are left out, so that they do not flatten the rest."""
    calm = [values for key, values in series.items() if diverged.get(key) is None]
    if not calm or len(calm) == len(series):
        return series
    ceiling = CEILING * max(float(values.max()) for values in calm)
    return {key: np.where(values <= ceiling, values, np.nan) for key, values in series.items()}


def _top(series: Series) -> float:
    """The largest finite value of any curve, or 1 where there is none above 0."""
    return (
        max((float(np.nanmax(values)) for values in series.values() if np.isfinite(values).any()), default=1.0) or 1.0
    )


def _ends(series: Series) -> list[tuple[int, float, str]]:
    """(index, value, variant) of the last finite point of every curve."""
    ends = []
    for key, values in series.items():
        finite = np.flatnonzero(np.isfinite(values))
        if finite.size:
            ends.append((int(finite[-1]), float(values[finite[-1]]), key))
    return ends


def _end_labels(steps: NDArray, series: Series, diverged: Diverged, height: int) -> Rows:
    """A label at the end of each curve: curves of one colour that end together share one, near ones make room."""
    top = _top(series)
    gap = 15 * top / max(height - 60, 1)
    labels: Rows = []
    ends = [end for end in _ends(series) if diverged.get(end[2]) is None]
    for index, value, key in sorted(ends, key=lambda end: end[1]):
        last = labels[-1] if labels else None
        tone = VARIANTS[key].where
        if last and value - last["value"] < 0.004 * top and VARIANTS[last["variant"]].where == tone:
            last["title"] += f", {VARIANTS[key].title}"
            continue
        place = max(value, last["place"] + gap) if last else value
        labels.append(
            {
                "variant": key,
                "step": int(steps[index]),
                "title": VARIANTS[key].title,
                "value": value,
                "place": place,
            }
        )
    return labels


def _sentence(series: Series, name: str) -> str:
    """Where every curve ends, in words."""
    words = [f"{VARIANTS[key].title} {value:.3g}" for _, value, key in _ends(series)]
    return f"In the end {name} is: {', '.join(words)}." if words else "Every variant diverged."
