"""The Gaussian prior: weight space with likelihood, prior and posterior, and the same fits in data space."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from engine.charts.labels import SQUARES, corner_texts, lines_of, placed
from engine.charts.picture import Picture, Rows, short, static
from engine.charts.plane import axes, boundary_ends, line_rows, point_layer, points_of
from engine.charts.prior_key import data_key, weight_key
from engine.charts.theme import LIGHT, variant_scales
from engine.measure import window
from engine.prior import Fit, ellipse
from engine.scene import Scene
from engine.variants import VARIANTS

SIDE = 430
ENDS = {"MAP at (1−μ)λ": "triangle-up", "box": "circle"}
"""Other points that weight space can mark, with their shapes."""
KINDS = {"likelihood": LIGHT["quiet"], "prior": LIGHT["other"], "posterior": LIGHT["ink"], "MAP(λ)": LIGHT["class0"]}


def weight_space(scene: Scene, ends: Mapping[str, ArrayLike] | None = None) -> Picture:
    """Likelihood contours, prior circles of radius σ and 2σ, posterior ellipses, MLE, MAP, MAP(λ), and real trainings.

    Args:
        scene: of ``engine.scene.scene``.
        ends: other points to mark, name to weights (2,) or more; the posterior gives way to them.
    """
    reach = scene.reach
    steps = scene.run.steps.tolist()
    trails = [
        {"variant": key, "step": step, "x": round(w1, 5), "y": round(w2, 5)}
        for key, trail in scene.trails.items()
        for step, (w1, w2, _) in zip(steps, np.clip(trail, -9 * reach, 9 * reach).tolist(), strict=True)
    ]
    marks = [_mark("MAP", scene.map), _mark("MLE", scene.mle)]
    marks += [_mark(name, Fit(np.asarray(at, dtype=float)[:2], 0.0, True, "")) for name, at in (ends or {}).items()]
    lines = _curves(scene, posterior=not ends)
    ink = [row for row in lines if row["kind"] != "likelihood"]
    marks = _labelled(
        [mark for mark in marks if mark["show"]], reach, lines_of(ink, "line") + lines_of(trails, "variant")
    )
    marks += [{**_mark("scikit-learn", scene.sklearn), "left": False, "level": -1}]
    return Picture(
        _weight_spec(float(f"{reach:.2g}"), bool(ends)),
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
            "notes": _notes(scene),
        },
        alt=f"Weight space of logistic regression. Prior of σ = {short(scene.sigma)}; "
        + "; ".join(f"{mark['name']} at ({mark['x']:.2f}, {mark['y']:.2f})" for mark in marks if mark["show"]),
        title=f"Weight space: λ = {scene.weight_decay:g} is a prior of σ = {_sigma(scene)}",
        square=True,
        key=weight_key(scene, {row["kind"] for row in lines}),
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
        ends = boundary_ends(np.array([*fit.w, fit.b]), box, level) if fit.finite else None
        if ends is not None:
            kind = name if level == 0 else "edge"
            fixed += [{"line": name, "kind": kind, "x": a, "y": b} for a, b in ends.round(4).tolist()]
    moving: Rows = []
    for key, trail in scene.trails.items():
        for step, at in zip(scene.run.steps.tolist(), trail, strict=True):
            ends = boundary_ends(at, box)
            if ends is not None:
                moving += [{"variant": key, "step": step, "x": a, "y": b} for a, b in ends.round(4).tolist()]
    return Picture(
        _data_spec(),
        {
            "fixed": fixed,
            "moving": moving,
            "points": points_of(scene.run),
            "frame": [{"x": a, "y": b} for a, b in box.tolist()],
        },
        alt=f"{len(scene.run.data.y_train)} training points of two classes, and the lines where P(y=1) is one half: "
        "of MLE and MAP, and of each optimizer at the step of the slider.",
        title="Data space: the lines where P(y=1) = 1/2",
        square=True,
        key=data_key(scene, {row["line"] for row in fixed}),
    )


def _curves(scene: Scene, posterior: bool) -> Rows:
    """Likelihood, prior, posterior where asked for, and MAP(λ), as lines of weight space."""
    lines: Rows = []
    for i, (level, points) in enumerate(scene.likelihood):
        lines += line_rows(f"likelihood {i}", "likelihood", points, level)
    for k in (1, 2):
        if np.isfinite(scene.sigma):
            lines += line_rows(f"prior {k}", "prior", ellipse((0, 0), scene.sigma**2 * np.eye(2), k, 96))
        if scene.covariance is not None and posterior:
            lines += line_rows(f"posterior {k}", "posterior", ellipse(scene.map.w, scene.covariance, k, 96))
    return lines + line_rows("path", "MAP(λ)", scene.path[:, :2])


def _mark(name: str, fit: Fit) -> dict[str, Any]:
    x, y = float(fit.w[0]), float(fit.w[1])
    return {"name": name, "label": "", "x": x, "y": y, "show": fit.finite}


def _labelled(marks: Rows, reach: float, ink: list[list[float]]) -> Rows:
    """Marks with their labels, where there is room: those at one place share one."""
    labels: Rows = []
    for mark in marks:
        same = next((m for m in labels if np.hypot(m["x"] - mark["x"], m["y"] - mark["y"]) < 0.04 * reach), None)
        if same:
            same["label"] += f", {mark['name']}"
        else:
            mark["label"] = mark["name"]
            labels.append(mark)
    span = (-reach, reach)
    return placed(marks, ink, span, span, SQUARES, "label")


def _sigma(scene: Scene) -> str:
    return short(scene.sigma) if np.isfinite(scene.sigma) else "∞ (no prior)"


def _notes(scene: Scene) -> Rows:
    """The direct label of the prior circle, where it is in the picture."""
    return [{"x": 0.0, "y": scene.sigma, "text": "prior σ", "kind": "prior"}] if scene.sigma < scene.reach else []


def _finished(chart: alt.LayerChart | alt.FacetChart, title: str, subtitle: str) -> dict[str, Any]:
    chart = chart.add_params(alt.param("step", value=0)).resolve_scale(color="independent", strokeDash="independent")
    return static(
        chart.properties(
            height=SIDE, title=alt.Title(title, subtitle=subtitle), autosize={"type": "fit", "contains": "padding"}
        )
    )


@lru_cache(maxsize=64)
def _weight_spec(reach: float, ends: bool) -> dict[str, Any]:
    x, y = axes("weight w₁", "weight w₂", [-reach, reach])
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
    names = named["names"].mark_text(align="left", fontSize=14, fontWeight="bold")
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
        *_mark_layers(named["marks"]),
        notes,
    )
    bold = "" if ends else "bold posterior, "
    return _finished(chart, "Weight space", f"orange prior, thin likelihood, {bold}dotted MAP(λ)")


def _mark_layers(data: alt.Chart) -> list[alt.Chart]:
    """The marked points, and their labels on the side where there is room."""
    marks = data.mark_point(size=110, strokeWidth=2, filled=False, color=LIGHT["ink"], opacity=1, clip=True)
    shapes = alt.Scale(
        domain=["MAP", "MLE", "scikit-learn", *ENDS], range=["diamond", "square", "cross", *ENDS.values()]
    )

    points = marks.encode(x="x:Q", y="y:Q", shape=alt.Shape("name:N", scale=shapes, legend=None))
    return [points, *corner_texts(data, "label")]


@lru_cache(maxsize=1)
def _data_spec() -> dict[str, Any]:
    x, y = axes("x₁ (standardised)", "x₂ (standardised)")
    colours, dashes = variant_scales()
    named = {name: alt.Chart(alt.NamedData(name)) for name in ("frame", "fixed", "moving")}
    moving = named["moving"].transform_filter("datum.step === step").mark_line(strokeWidth=2.2)

    def line(kind: str, width: float) -> alt.Chart:
        picked = named["fixed"].transform_filter(f"datum.kind === '{kind}'")
        dashed = [6, 4] if kind == "MLE" else [1, 0]
        marked = picked.mark_line(color=LIGHT["ink"], opacity=0.85, strokeWidth=width, strokeDash=dashed)
        return marked.encode(x="x:Q", y="y:Q", detail="line:N")

    chart = alt.layer(
        named["frame"].mark_point(opacity=0).encode(x=x, y=y),
        point_layer(),
        *(line(kind, width) for kind, width in (("MLE", 1.5), ("MAP", 3.2), ("edge", 0.9))),
        moving.encode(
            x="x:Q",
            y="y:Q",
            color=alt.Color("variant:N", scale=alt.Scale(**colours), legend=None),
            strokeDash=alt.StrokeDash("variant:N", scale=alt.Scale(**dashes), legend=None),
        ),
    )
    return _finished(chart, "Data space: the line P(y=1) = 1/2", "thick MAP with P = 0.1 and 0.9, dashed MLE")
