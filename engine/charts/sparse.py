"""The Laplace prior beside the Gaussian one: two ways from the likelihood's best weights to zero."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts import key as keys
from engine.charts.labels import SQUARES, along, corner_texts, placed
from engine.charts.picture import Picture, Rows, short, static
from engine.charts.plane import axes, line_rows
from engine.charts.theme import LIGHT
from engine.scene import Scene
from engine.sparse import Sparse

HEIGHT = 430
TONES = {"Laplace prior (L1)": LIGHT["other"], "Gaussian prior (L2)": LIGHT["class0"]}
L1, L2 = TONES


def two_paths(scene: Scene, found: Sparse) -> Picture:
    """Weight space: MAP(λ) under both priors over the likelihood, and at the current λ the prior's contour through
    each MAP, a diamond and a circle.

    Args:
        scene: likelihood, Gaussian MAP, and the scale of the picture.
        found: both paths.
    """
    reach = 1.12 * float(max(0.3, min(scene.reach, np.abs([*found.laplace[:, :2], *found.gauss[:, :2]]).max())))
    lines: Rows = []
    for i, (_, points) in enumerate(scene.likelihood):
        lines += line_rows(f"likelihood {i}", "likelihood", points)
    lines += line_rows("gauss", L2, found.gauss[:, :2]) + line_rows("laplace", L1, found.laplace[:, :2])
    marks: Rows = [{"name": "MLE", "kind": "ink", **_at(scene.mle.w)}] if scene.mle.finite else []
    if found.here is not None:
        size, radius = np.abs(found.here[:2]).sum(), np.linalg.norm(scene.map.w)
        diamond = size * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]])
        t = np.linspace(0, 2 * np.pi, 97)
        lines += line_rows("diamond", "shape 1", diamond)
        lines += line_rows("circle", "shape 2", radius * np.column_stack([np.cos(t), np.sin(t)]))
        marks += [{"name": "L1", "kind": L1, **_at(found.here)}, {"name": "L2", "kind": L2, **_at(scene.map.w)}]
    zeros = found.laplace[(found.laplace[:, :2] == 0).any(axis=1)]
    ink = [at for curve in (found.laplace, found.gauss) for at in along(curve[:, :2], 300).tolist()]
    shapes = [[row["x"], row["y"]] for row in lines if row["kind"].startswith("shape")]
    marks = placed(marks, [*ink, *shapes], (-reach, reach), (-reach, reach), SQUARES, "name")
    return Picture(
        _plane_spec(float(f"{reach:.2g}")),
        {"lines": lines, "zeros": [_at(row) for row in zeros], "marks": marks},
        alt=f"Weight space. Under the Laplace prior {len(zeros)} of {len(found.laplace)} points of the path have a "
        "weight that is exactly zero; under the Gaussian prior none.",
        title="MAP(λ) in weight space: Laplace prior and Gaussian prior",
        square=True,
        key=_key(found.here is not None),
    )


def _key(here: bool) -> Rows:
    """What the lines and points of the plane are."""
    equal = [keys.line("equal prior, through each MAP", "quiet", 1.4, [4, 3])] if here else []
    rows = [
        keys.line("Laplace prior (L1)", "other", 3.4),
        keys.line("Gaussian prior (L2)", "class0", 2.6),
        keys.line("likelihood", "quiet", 1),
    ]
    return [keys.head("Weight space: MAP(λ)"), *rows, *equal, keys.point("a weight is exactly 0", "circle")]


def coefficients(found: Sparse, weight_decay: float) -> Picture:
    """Both weights over λ: Laplace prior thick, Gaussian prior thin, exact zeros as rings.

    Args:
        found: both paths.
        weight_decay: the current λ; 0 is not marked.
    """
    rows: Rows = []
    zeros: Rows = []
    labels: Rows = []
    for name, path in ((L1, found.laplace), (L2, found.gauss)):
        for j, weight in enumerate(("w₁", "w₂")):
            values = path[:, j]
            rows += [
                {"line": f"{name} {weight}", "kind": name, "decay": decay, "value": value}
                for decay, value in zip(_round(found.weight_decays), _round(values), strict=True)
            ]
            if name == L1:
                zeros += [{"decay": decay, "value": 0.0} for decay in _round(found.weight_decays[values == 0])]
                labels.append({"decay": float(found.weight_decays[-1]), "value": float(values[-1]), "text": weight})
    low, high = found.weight_decays[-1], found.weight_decays[0]
    now = [
        {"decay": weight_decay, "text": f"λ = {short(weight_decay) if weight_decay >= 0.01 else f'{weight_decay:g}'}"}
    ]
    words = [f"w{j + 1} is exactly zero from λ = {short(v)}" for j, v in enumerate(found.zero_from) if np.isfinite(v)]
    return Picture(
        _coefficient_spec(),
        {"curves": rows, "zeros": zeros, "labels": labels, "now": now if low <= weight_decay <= high else []},
        alt="Weights over λ. Under the Laplace prior " + "; ".join(words) + "; under the Gaussian prior never.",
        title="The weights over λ: thick Laplace prior, thin Gaussian prior; rings are exact zeros",
    )


def _at(w: NDArray) -> dict[str, Any]:
    return {"x": float(w[0]), "y": float(w[1])}


def _round(values: NDArray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _tone(field: str = "kind:N") -> alt.Color:
    domain = [*TONES, "ink", "likelihood", "shape 1", "shape 2"]
    colours = [*TONES.values(), LIGHT["ink"], LIGHT["quiet"], *TONES.values()]
    return alt.Color(field, scale=alt.Scale(domain=domain, range=colours), legend=None)


@lru_cache(maxsize=64)
def _plane_spec(reach: float) -> dict[str, Any]:
    x, y = axes("weight w₁", "weight w₂", [-reach, reach])
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("lines", "zeros", "marks")}

    def curve(test: str, width: float, opacity: float, dashed: list[int]) -> alt.Chart:
        marked = (
            named["lines"]
            .transform_filter(test)
            .mark_line(strokeWidth=width, opacity=opacity, strokeDash=dashed, clip=True)
        )
        return marked.encode(x=x, y=y, color=_tone(), detail="line:N", order="order:Q")

    marks = named["marks"].mark_point(shape="diamond", size=130, filled=True, opacity=1, clip=True)

    chart = alt.layer(
        curve("datum.kind === 'likelihood'", 1, 0.5, [1, 0]),
        curve("indexof(datum.kind, 'shape') === 0", 1.4, 1, [4, 3]),
        curve(f"datum.kind === '{L2}'", 2.6, 1, [1, 0]),
        curve(f"datum.kind === '{L1}'", 3.4, 1, [1, 0]),
        named["zeros"]
        .mark_point(size=60, strokeWidth=1.8, color=LIGHT["ink"], opacity=1, clip=True)
        .encode(x="x:Q", y="y:Q"),
        marks.encode(x="x:Q", y="y:Q", color=_tone()),
        *corner_texts(named["marks"], "name", color=_tone()),
    )
    return _finished(chart, "Weight space: MAP(λ)", "orange Laplace (L1), blue Gaussian (L2), rings: a weight is 0")


@lru_cache(maxsize=1)
def _coefficient_spec() -> dict[str, Any]:
    axis = alt.Axis(grid=False, format="~r", tickCount=5)
    x = alt.X("decay:Q", title="λ", scale=alt.Scale(type="log", nice=False), axis=axis)
    y = alt.Y("value:Q", title="weight", scale=alt.Scale(nice=True, zero=True), axis=alt.Axis(tickCount=6))
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("curves", "zeros", "labels", "now")}

    def line(kind: str, width: float) -> alt.Chart:
        marked = named["curves"].transform_filter(f"datum.kind === '{kind}'").mark_line(strokeWidth=width)
        return marked.encode(x=x, y=y, color=_tone(), detail="line:N")

    chart = alt.layer(
        named["now"].mark_rule(color=LIGHT["quiet"], strokeWidth=1.5, strokeDash=[4, 3]).encode(x="decay:Q"),
        named["now"]
        .mark_text(align="left", baseline="top", dx=5, dy=3, fontSize=14, color=LIGHT["quiet"])
        .encode(x="decay:Q", y=alt.value(0), text="text:N"),
        line(L2, 1.8),
        line(L1, 3.2),
        named["zeros"].mark_point(size=60, strokeWidth=1.8, color=LIGHT["ink"], opacity=1).encode(
            x="decay:Q", y="value:Q"
        ),
        named["labels"].mark_text(align="left", dx=6, dy=-12, fontSize=15, fontWeight="bold", color=LIGHT["ink"])
        .encode(x="decay:Q", y="value:Q", text="text:N"),
    )  # fmt: skip
    return _finished(chart, "The weights over λ", "thick Laplace (L1), thin Gaussian (L2), rings: exactly 0")


def _finished(chart: alt.LayerChart | alt.FacetChart, title: str, subtitle: str) -> dict[str, Any]:
    chart = chart.add_params(alt.param("step", value=0))
    padding = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    fit = {"type": "fit", "contains": "padding"}
    return static(
        chart.properties(height=HEIGHT, title=alt.Title(title, subtitle=subtitle), padding=padding, autosize=fit)
    )
