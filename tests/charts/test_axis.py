"""The film over λ holds what the axis has, and its charts draw λ."""

import json

import numpy as np
import pytest

from engine import Experiment
from engine.axis import train_axis
from engine.charts.axis import axis_film, u_curves
from engine.slides.render import to_png
from engine.slides.slide import slide_alone

SMALL = Experiment(points=20, hidden=(4,), steps=300, variants=("sgd", "sgd_l2", "sgdw", "l1"))


@pytest.fixture(scope="module")
def axis():
    return train_axis(SMALL)


def unpacked(film):
    length = int.from_bytes(film[:4], "little")
    return json.loads(film[4 : 4 + length]), np.frombuffer(film[4 + length :], np.int8)


def test_the_film_has_a_frame_for_every_lambda(axis):
    header, fields = unpacked(axis_film(axis, "axis:1"))
    assert header["key"] == "axis:1"
    assert header["names"][0] == "λ = 0"
    assert header["values"] == axis.weight_decays.tolist()
    assert len(header["steps"]) == len(header["names"]) == 41
    assert fields.size == 41 * 4 * header["grid"] ** 2
    for column, panel in enumerate(header["panels"]):
        np.testing.assert_allclose(panel["norm"], axis.run.metrics["weight_norm"][:, column], rtol=1e-4)


def test_notes_and_badges_follow_lambda(axis):
    header, _ = unpacked(axis_film(axis, "k"))
    sgd = header["notes"][0]
    assert "λ = 0" in sgd[0]
    assert "λ = 10" in sgd[-1]
    l2 = [panel["title"] for panel in header["panels"]].index("SGD + L2")
    assert header["badges"][l2][0] is None
    assert "diverged at step" in header["badges"][l2][-1]
    assert "factor 1 − ηλ = -6" in header["badges"][l2][-1]


def test_curves_have_a_gap_where_a_variant_diverged_and_names_at_the_end(axis):
    losses, norms = u_curves(axis)
    rows = [row for row in norms.data["curves"] if row["variant"] == "sgd_l2"]
    assert rows[0]["y0"] is not None
    assert rows[-1]["y0"] is None
    assert {row["step"] for row in norms.data["labels"]} == {40}
    assert "over λ" in losses.title
    text = json.dumps(losses.spec, ensure_ascii=False)
    assert "λ of the SGD family" in text
    assert '"title": "step"' not in text


def test_the_curves_can_be_exported(axis):
    for picture in u_curves(axis):
        assert to_png(slide_alone(picture), 0.5).startswith(b"\x89PNG")
