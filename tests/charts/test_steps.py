"""Push and pull of a step, curves by choice, and tables of fields from several runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train_many
from engine.charts.boundary import slide
from engine.charts.film import film, reel
from engine.charts.groups import Curve, choice_curves
from engine.charts.steps import Forces, pulls, race, tally
from engine.charts.table import Cell, Line, Table
from engine.measure import GRID, boundary_logits, window
from engine.slides.render import to_svg
from engine.slides.slide import slide_alone
from tests.charts.test_film import unpack
from tests.slides.drawing import plain

BEFORE = np.array([1.0, -1.0, 1.0, -1.0, 0.1, 0.5, 0.0])
PUSH = np.array([0.3, -0.3, 0.1, 0.1, -0.3, 0.01, 0.2])
PULL = np.array([-0.2, 0.2, -0.2, 0.2, -0.02, -0.01, 0.0])
FATE = ["grows", "grows", "shrinks", "shrinks", "crosses", "shrinks", "grows"]
FORCES = Forces(BEFORE, PUSH, PULL, 0.2, "weight", "AdamW, step 7")


def test_fates_are_those_of_the_weights():
    assert FORCES.fates.tolist() == FATE
    assert tally(FORCES) == {"grows": 3, "shrinks": 3, "crosses": 1, "outrun": 2, "lifted": 0}


def test_a_weight_that_the_pull_alone_grows_is_counted_and_one_at_zero_goes_outwards_either_way():
    forces = Forces(np.array([1.0, -1.0, 1.0, 0.0]), np.array([-0.1, 0.0, 0.1, -0.3]), np.array([0.2, -0.1, 0.1, 0.1]),
                    0.0, "other", "L2-SP, step 7")  # fmt: skip
    assert forces.fates.tolist() == ["grows"] * 4
    assert forces.outwards.tolist() == [-0.1, 0, 0.1, 0.3]
    assert tally(forces) == {"grows": 4, "shrinks": 0, "crosses": 0, "outrun": 0, "lifted": 2}


def test_a_weight_grows_above_the_line_and_shrinks_below():
    picture = race(FORCES, 0, "0.weight[0, 0]")
    rows = picture.data["weights"]
    assert [row["fate"] for row in rows] == FATE
    assert [row["y"] > row["x"] for row in rows] == [fate == "grows" for fate in FATE]
    assert [row["x"] == row["y"] for row in picture.data["equal"]] == [True, True]
    assert "3 grow, 3 shrink, 1 pass zero" in picture.title
    assert picture.data["chosen"][0]["x"] == rows[0]["x"]


def test_the_line_of_the_pull_is_minus_eta_lambda_w():
    picture = pulls(FORCES, 2, "w")
    assert all(row["y"] == pytest.approx(-0.2 * row["x"]) for row in picture.data["line"])
    assert len(picture.data["line"]) == 2
    assert [(row["x"], row["y"]) for row in picture.data["weights"]] == list(zip(BEFORE, PULL, strict=True))
    assert pulls(replace(FORCES, shrink=0.0), 2, "w").data["line"] == []
    for rate, text in (("ηλ", "−ηλw"), ("λ", "−λw"), ("ηλ/(1 − μ)", "−(ηλ/(1 − μ))w")):
        assert pulls(replace(FORCES, rate=rate), 2, "w").data["text"][0]["text"] == text


def test_still_weights_and_lost_ones_have_a_picture():
    still = Forces(BEFORE, 0 * PUSH, 0 * PULL, 0.0, "none", "SGD, step 1")
    lost = Forces(BEFORE * 1e300, np.full(7, np.nan), PULL, 0.1, "gradient", "SGD, step 9")
    for forces in (still, lost):
        for picture in (race(forces, 0, "w"), pulls(forces, 0, "w")):
            json.dumps(picture.data, allow_nan=False)
            assert picture.data["frame"][0]["x"] < picture.data["frame"][1]["x"]
            assert picture.data["frame"][0]["y"] < picture.data["frame"][1]["y"]
            to_svg(slide_alone(picture))


@pytest.mark.parametrize("make", [race, pulls])
def test_only_the_data_change_with_the_numbers(make):
    one, other = make(FORCES, 0, "a"), make(replace(FORCES, push=2 * PUSH, title="Lion, step 8"), 1, "b")
    assert one.spec == other.spec
    text = json.dumps(one.spec)
    assert {name for name in one.data if f'"name": "{name}"' in text} == set(one.data)


def test_curves_of_choices_end_in_their_names_and_keep_their_scale():
    steps = np.array([0, 5, 10])
    curves = [
        Curve("weights", "weight", "weights", np.array([3.0, 2.0, 1.0])),
        Curve("+ biases", "weight", "biases", np.array([3.0, 2.0, 1.001])),
        Curve("+ LayerNorm", "weight", "all", np.array([3.0, 9.0, 1e9]), diverged=True),
    ]
    picture = choice_curves(steps, curves, "‖b‖")
    assert [label["title"] for label in picture.data["labels"]] == ["weights, + biases"]
    assert max(row["y"] for row in picture.data["curves"] if row["y"] is not None) == 3
    assert picture.spec["title"]["subtitle"] == "diverged: + LayerNorm"
    assert "weights 1, + biases 1" in picture.alt
    text = json.dumps(picture.spec)
    assert {name for name in picture.data if f'"name": "{name}"' in text} == set(picture.data)


@pytest.fixture(scope="module")
def table():
    one = Experiment(steps=20, layer_norm=True, variants=("sgd", "adamw"))
    runs = train_many([one, replace(one, decayed="all")], dtype=torch.float64)
    cells = tuple(Cell(run, VARIANTS["adamw"], f"AdamW, {run.experiment.decayed},") for run in runs)
    return Table((("weights", "ink"), ("all", "ink")), (Line("AdamW", ["η"], cells),), paired=False)


def test_a_table_of_two_runs_shows_each_its_own_field(table):
    (first, _), (second, values) = (
        unpack(film(table.cells[0].run, "k", [], table)),
        unpack(reel("k", [], table)),
    )
    assert first["plain"] is True
    assert first["columns"] == [{"title": "weights", "tone": "ink"}, {"title": "all", "tone": "ink"}]
    assert second["rows"][0]["cells"] == [0, 1]
    fields = values.reshape(-1, 2, GRID, GRID)
    for i, cell in enumerate(table.cells):
        logits = boundary_logits(cell.run, window(cell.run.data))[-1, 1]
        clear = np.abs(logits) > 0.1
        assert (np.sign(fields[-1, i])[clear] == np.sign(logits)[clear]).all()
        loss = cell.run.series("test_loss")["adamw"]
        assert second["panels"][i]["loss"] == pytest.approx(loss.tolist(), rel=1e-3)
    assert second["panels"][0]["loss"][-1] != second["panels"][1]["loss"][-1]


def test_a_table_is_a_slide_with_its_question(table):
    picture = slide(table, "What should decay?")
    assert picture.title == "What should decay? Step 20"
    svg = plain(to_svg(slide_alone(picture)))
    for cell in table.cells:
        assert f"test loss {cell.run.series('test_loss')['adamw'][-1]:.2f}" in svg
    assert "max|Δw|" not in svg
