"""The λ axis for the browser: a film over λ instead of over steps, and the U-curves of loss and norm."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np

from engine.axis import Axis, at_lambda
from engine.charts.curves import Series, loss_curves, norm_curves
from engine.charts.film import EVERY, film
from engine.charts.picture import Picture
from engine.charts.table import divergence_note, notes, signature_table
from engine.run import Run

X_TITLE = "λ of the SGD family"


def axis_film(axis: Axis, key: str) -> bytes:
    """A film of the λ axis, complete, packed as ``engine.charts.film.film`` has it.

    Beside what a film has: name and λ of every frame, and the notes of rows and badges of panels at each.
    """
    table = signature_table(axis.run)
    places = [_place(axis, i) for i in range(len(axis.weight_decays))]
    extra = {
        "axis": True,
        "names": [f"λ = {_name(value)}" for value in axis.weight_decays],
        "values": axis.weight_decays.tolist(),
        "notes": [
            [notes(run, [cell.variant if cell else None for cell in row.cells]) for run in places] for row in table.rows
        ],
        "badges": [[divergence_note(run, cell.variant) for run in places] for cell in table.cells],
    }
    return film(axis.run, key, u_curves(axis), table, EVERY, extra)


def u_curves(axis: Axis) -> list[Picture]:
    """Train and test loss, and ‖w‖, at the end of training over λ; with a gap where a variant diverged."""
    steps, none = axis.run.steps, axis.run.diverged
    losses = loss_curves(steps, _calm(axis, "test_loss"), _calm(axis, "train_loss"), none)
    norms = norm_curves(steps, _calm(axis, "weight_norm"), {}, none, "‖w‖ at the end, over λ")
    return [_over_lambda(axis, losses, "Data loss at the end, over λ: test thick, train thin"),
            _over_lambda(axis, norms, norms.title)]  # fmt: skip


def _place(axis: Axis, place: int) -> Run:
    experiment = at_lambda(axis.run.experiment, float(axis.weight_decays[place]))
    return replace(axis.run, experiment=experiment, diverged=axis.diverged[place])


def _calm(axis: Axis, metric: str) -> Series:
    """One metric over λ, variant to (L,); nan where the variant diverged."""
    return {
        key: np.where([gone[key] is None for gone in axis.diverged], values, np.nan)
        for key, values in axis.run.series(metric).items()
    }


def _over_lambda(axis: Axis, picture: Picture, title: str) -> Picture:
    """The same picture with λ on its axis: the frames stand at equal distances, six a decade, 0 at the left end."""
    decades = {i: _name(value) for i, value in enumerate(axis.weight_decays) if value == 0 or _is_decade(value)}
    ticks = {
        "values": list(decades),
        "labelExpr": f"{{{', '.join(f'{i}: {name!r}' for i, name in decades.items())}}}[datum.value]",
        "grid": False,
        "labelOverlap": True,
    }
    spec = deepcopy(picture.spec)
    for layer in spec["layer"]:
        x = layer.get("encoding", {}).get("x", {})
        if x.get("field") == "step":
            x.update(title=X_TITLE, axis=ticks)
    spec["title"] = {**spec["title"], "text": title}
    labels = [{**row, "step": len(axis.weight_decays) - 1} for row in picture.data["labels"]]
    data = {**picture.data, "labels": labels}
    return replace(picture, spec=spec, data=data, alt=picture.alt.replace("over steps", "over λ"), title=title)


def _name(value: float) -> str:
    """A λ as pages write it: 1e-5, without the zero that Python puts before the 5."""
    return f"{value:g}".replace("e-0", "e-")


def _is_decade(value: float) -> bool:
    return bool(np.isclose(np.log10(value), round(float(np.log10(value)))))
