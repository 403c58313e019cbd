"""The Gaussian prior: weight space with likelihood, prior and posterior, and the same fits in data space."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from engine.charts.picture import Picture, Rows, short, static
from engine.charts.theme import LIGHT, variant_scales
from engine.measure import window
from engine.prior import Fit, ellipse
from engine.scene import Scene
from engine.variants import VARIANTS

SIDE = 430
KINDS = {"likelihood": LIGHT["quiet"], "prior": LIGHT["other"], "posterior": LIGHT["ink"], "MAP(λ)": LIGHT["class0"]}


def weight_space(scene: Scene) -> Picture:
    """Likelihood contours, prior circles of radius σ and 2σ, posterior ellipses, MLE, MAP, MAP(λ), and real trainings.

    Args:
        scene: of ``engine.scene.scene``.
    """
    reach = scene.reach
    lines: Rows = []
    for i, (level, points) in enumerate(scene.likelihood):
        lines += _line(f"likelihood {i}", "likelihood", points, level)
    for k in (1, 2):
        if np.isfinite(scene.sigma):
            lines += _line(f"prior {k}", "prior", ellipse((0, 0), scene.sigma**2 * np.eye(2), k, 96))
        if scene.covariance is not None:
            lines += _line(f"posterior {k}", "posterior", ellipse(scene.map.w, scene.covariance, k, 96))
    lines += _line("path", "MAP(λ)", scene.path[:, :2])
    steps = scene.run.steps.tolist()
    trails = [
        {"variant": key, "step": step, "x": round(w1, 5), "y": round(w2, 5)}
        for key, trail in scene.trails.items()
        for step, (w1, w2, _) in zip(steps, np.clip(trail, -9 * reach, 9 * reach).tolist(), strict=True)
    ]
    marks = [
        _mark("MAP", scene.map, "above"),
        _mark("MLE", scene.mle, "above"),
        _mark("scikit-learn", scene.sklearn, ""),
    ]
    if abs(np.linalg.norm(scene.mle.w - scene.map.w)) < 0.04 * reach:
        marks[1]["label"], marks[0]["label"] = "", "MAP, MLE"
    notes = _notes(scene)
    return Picture(
        _weight_spec(float(f"{reach:.2g}")),
        {
            "lines": lines,
            "trails": trails,
            "names": [
                {
                    "variant": key,
                    "text": f"● {VARIANTS[key].title}",
                    "x": -0.97 * reach,
                    "y": (0.94 - 0.085 * i) * reach,
                }
                for i, key in enumerate(scene.trails)
            ],
            "marks": [mark for mark in marks if mark["show"]],
            "notes": notes,
        },
        alt=f"Weight space of logistic regression. Prior of σ = {short(scene.sigma)}; "
        + "; ".join(f"{mark['name']} at ({mark['x']:.2f}, {mark['y']:.2f})" for mark in marks if mark["show"]),
        title=f"Weight space: λ = {scene.weight_decay:g} is a prior of σ = {_sigma(scene)}",
        square=True,
    )


def data_space(scene: Scene) -> Picture:
    """Training points, and the lines P(y=1) = 1/2 of MLE, MAP and every real training at the film's step.

    Args:
        scene: of ``engine.scene.scene``.
    """
    shown = window(scene.run.data)
    box = np.array([[shown.x[0], shown.y[0]], [shown.x[1], shown.y[1]]])
    fixed: Rows = []
    for name, fit, level in (
        ("MLE", scene.mle, 0.0),
        ("MAP", scene.map, 0.0),
        ("MAP, P = 0.1", scene.map, -np.log(9)),
        ("MAP, P = 0.9", scene.map, np.log(9)),
    ):
        ends = _boundary(np.array([*fit.w, fit.b]), box, level) if fit.finite else None
        if ends is not None:
            kind = name if level == 0 else "edge"
            fixed += [{"line": name, "kind": kind, "x": a, "y": b} for a, b in ends.round(4).tolist()]
    moving: Rows = []
    for key, trail in scene.trails.items():
        for step, at in zip(scene.run.steps.tolist(), trail, strict=True):
            ends = _boundary(at, box)
            if ends is not None:
                moving += [{"variant": key, "step": step, "x": a, "y": b} for a, b in ends.round(4).tolist()]
    x, y = scene.run.data.x_train, scene.run.data.y_train
    points = [
        {"x": round(a, 4), "y": round(b, 4), "label": f"class{label}"}
        for (a, b), label in zip(x.tolist(), y.tolist(), strict=True)
    ]
    return Picture(
        _data_spec(),
        {
            "fixed": fixed,
            "moving": moving,
            "points": points,
            "frame": [{"x": a, "y": b} for a, b in box.tolist()],
        },
        alt=f"{len(y)} training points of two classes, and the lines where P(y=1) is one half: "
        "of MLE and MAP, and of each optimizer at the step of the slider.",
        title="Data space: the lines where P(y=1) = 1/2",
        square=True,
    )


def _line(name: str, kind: str, points: NDArray, level: float = 0.0) -> Rows:
    return [
        {"line": name, "kind": kind, "order": i, "x": a, "y": b, "level": level}
        for i, (a, b) in enumerate(np.asarray(points).round(4).tolist())
    ]


def _mark(name: str, fit: Fit, side: str) -> dict[str, Any]:
    label = name if side else ""
    return {"name": name, "label": label, "x": float(fit.w[0]), "y": float(fit.w[1]), "show": fit.finite}


def _sigma(scene: Scene) -> str:
    return short(scene.sigma) if np.isfinite(scene.sigma) else "∞ (no prior)"


def _notes(scene: Scene) -> Rows:
    """The direct label of the prior circle, where it is in the picture."""
    return [{"x": 0.0, "y": scene.sigma, "text": "prior σ", "kind": "prior"}] if scene.sigma < scene.reach else []


def _boundary(at: NDArray, box: NDArray, level: float = 0.0) -> NDArray | None:
    """The two ends (2, 2) of the line w·x + b = level inside a box, or None where it does not cross it."""
    (w1, w2, b), (low, high) = at, box
    if not np.isfinite(at).all() or max(abs(w1), abs(w2)) < 1e-9:
        return None
    ends = []
    for axis, weight, other in ((0, w2, w1), (1, w1, w2)):
        for edge in (low[axis], high[axis]):
            if abs(weight) > 1e-12:
                across = (level - b - other * edge) / weight
                if low[1 - axis] - 1e-9 <= across <= high[1 - axis] + 1e-9:
                    ends.append((edge, across) if axis == 0 else (across, edge))
    ends = sorted(set(ends))
    return np.array([ends[0], ends[-1]]) if len(ends) > 1 else None


def _axes(x_title: str, y_title: str, domain: list[float] | None = None) -> tuple[alt.X, alt.Y]:
    scale = alt.Scale(nice=False, zero=False, domain=domain or alt.Undefined)
    axis = alt.Axis(tickCount=7)
    return alt.X("x:Q", title=x_title, scale=scale, axis=axis), alt.Y("y:Q", title=y_title, scale=scale, axis=axis)


def _finished(chart: alt.LayerChart | alt.FacetChart, title: str, subtitle: str) -> dict[str, Any]:
    chart = chart.add_params(alt.param("step", value=0)).resolve_scale(color="independent", strokeDash="independent")
    return static(
        chart.properties(
            height=SIDE, title=alt.Title(title, subtitle=subtitle), autosize={"type": "fit", "contains": "padding"}
        )
    )


@lru_cache(maxsize=64)
def _weight_spec(reach: float) -> dict[str, Any]:
    x, y = _axes("weight w₁", "weight w₂", [-reach, reach])
    kinds = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    kind = alt.Color("kind:N", scale=kinds, legend=None)
    colours, dashes = variant_scales()
    tone = alt.Color("variant:N", scale=alt.Scale(**colours), legend=None)
    dash = alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None)
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("lines", "trails", "names", "marks", "notes")}

    def curve(which: str, width: float, opacity: float, dashed: list[int]) -> alt.Chart:
        picked = named["lines"].transform_filter(f"datum.kind === '{which}'")
        marked = picked.mark_line(strokeWidth=width, opacity=opacity, strokeDash=dashed, clip=True)
        return marked.encode(x=x, y=y, color=kind, detail="line:N", order="order:Q")

    curves = [
        curve("likelihood", 1, 0.55, [1, 0]),
        curve("prior", 2, 1, [1, 0]),
        curve("posterior", 2, 1, [1, 0]),
        curve("MAP(λ)", 1.6, 0.9, [3, 3]),
    ]
    trails = named["trails"].transform_filter("datum.step <= step").mark_line(strokeWidth=2.4, clip=True)
    heads = (
        named["trails"].transform_filter("datum.step === step").mark_point(size=70, filled=True, opacity=1, clip=True)
    )
    marks = named["marks"].mark_point(size=110, strokeWidth=2, filled=False, color=LIGHT["ink"], opacity=1, clip=True)
    names = named["names"].mark_text(align="left", fontSize=14, fontWeight="bold")
    shapes = alt.Scale(domain=["MAP", "MLE", "scikit-learn"], range=["diamond", "square", "cross"])
    labels = named["marks"].mark_text(align="left", dx=10, dy=-9, fontSize=14, fontWeight="bold", color=LIGHT["ink"])
    notes = (
        named["notes"]
        .mark_text(baseline="bottom", dy=-5, fontSize=13)
        .encode(x="x:Q", y="y:Q", text="text:N", color=kind)
    )
    chart = alt.layer(
        *curves,
        trails.encode(x="x:Q", y="y:Q", color=tone, strokeDash=dash, order="step:Q"),
        heads.encode(x="x:Q", y="y:Q", color=tone),
        names.encode(x="x:Q", y="y:Q", text="text:N", color=tone),
        marks.encode(x="x:Q", y="y:Q", shape=alt.Shape("name:N", scale=shapes, legend=None)),
        labels.encode(x="x:Q", y="y:Q", text="label:N"),
        notes,
    )
    return _finished(chart, "Weight space", "orange prior, thin likelihood, bold posterior, dotted MAP(λ)")


@lru_cache(maxsize=1)
def _data_spec() -> dict[str, Any]:
    x, y = _axes("x₁ (standardised)", "x₂ (standardised)")
    colours, dashes = variant_scales()
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("frame", "fixed", "moving", "points")}
    moving = named["moving"].transform_filter("datum.step === step").mark_line(strokeWidth=2.2)
    shapes = alt.Scale(domain=["class0", "class1"], range=["circle", "triangle-up"])
    fills = alt.Scale(domain=["class0", "class1"], range=[LIGHT["class0"], LIGHT["class1"]])
    points = named["points"].mark_point(filled=True, size=90, opacity=1, stroke=LIGHT["outline"], strokeWidth=1)

    def line(kind: str, width: float) -> alt.Chart:
        picked = named["fixed"].transform_filter(f"datum.kind === '{kind}'")
        dashed = [6, 4] if kind == "MLE" else [1, 0]
        marked = picked.mark_line(color=LIGHT["ink"], opacity=0.85, strokeWidth=width, strokeDash=dashed)
        return marked.encode(x="x:Q", y="y:Q", detail="line:N")

    chart = alt.layer(
        named["frame"].mark_point(opacity=0).encode(x=x, y=y),
        points.encode(
            x="x:Q",
            y="y:Q",
            shape=alt.Shape("label:N", scale=shapes, legend=None),
            fill=alt.Fill("label:N", scale=fills, legend=None),
        ),
        *(line(kind, width) for kind, width in (("MLE", 1.5), ("MAP", 3.2), ("edge", 0.9))),
        moving.encode(
            x="x:Q",
            y="y:Q",
            color=alt.Color("variant:N", scale=alt.Scale(**colours), legend=None),
            strokeDash=alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None),
        ),
    )
    return _finished(chart, "Data space: the line P(y=1) = 1/2", "thick MAP with P = 0.1 and 0.9, dashed MLE")
