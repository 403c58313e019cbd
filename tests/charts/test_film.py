"""The film of a run, unpacked as the player does it and held against the run."""

import json
import struct

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.charts.curves import norm_curves
from engine.charts.film import film, reel
from engine.charts.table import signature_columns, signature_rows, signature_table
from engine.measure import EQUAL, GRID, boundary_logits, pair_difference, window


@pytest.fixture(scope="module")
def run():
    return train(Experiment(steps=80), dtype=torch.float64)


def unpack(data):
    (length,) = struct.unpack("<I", data[:4])
    return json.loads(data[4 : 4 + length]), np.frombuffer(data[4 + length :], dtype=np.int8)


def test_fields_give_back_the_logits(run):
    header, values = unpack(reel("k", [], signature_table(run)))
    panels = len(header["panels"])
    fields = values.reshape(len(run.steps), panels, GRID, GRID)
    order = [v.key for _, line in signature_rows(run) for v in line if v]
    logits = boundary_logits(run, window(run.data))[:, [run.row(key) for key in order]]
    scale = np.array(header["scale"])[:, :, None, None]
    assert np.abs(fields / 127 * scale - np.tanh(logits / 4)).max() <= 0.51 / 127 + 1e-3
    clear = np.abs(logits) > 0.1
    assert (np.sign(fields)[clear] == np.sign(logits)[clear]).all()


def test_the_first_half_is_the_last_step_of_the_second(run):
    (first, last), (second, every) = (
        unpack(film(run, "k", [], signature_table(run))),
        unpack(reel("k", [], signature_table(run))),
    )
    assert first["key"] == second["key"] == "k"
    assert (last == every[-last.size :]).all()
    for a, b in zip(first["panels"], second["panels"], strict=True):
        assert [a["loss"][-1], a["norm"][-1], a["accuracy"][-1]] == [b["loss"][-1], b["norm"][-1], b["accuracy"][-1]]


def test_captions_and_pairs_are_the_run(run):
    header, _ = unpack(reel("k", [], signature_table(run)))
    sgd = header["rows"][0]
    assert sgd["cells"] == [0, 1, 2]
    truth = pair_difference(run, VARIANTS["sgd_l2"], VARIANTS["sgdw"])
    assert np.allclose(sgd["pair"], truth, rtol=1e-3)
    assert max(sgd["pair"]) <= EQUAL
    assert header["rows"][1]["pair"][-1] > EQUAL
    loss = run.series("test_loss")["adamw"]
    panel = next(panel for panel in header["panels"] if panel["title"] == "AdamW")
    assert np.allclose(panel["loss"], loss, rtol=1e-3)


def test_every_variant_has_a_cell_and_where_lambda_enters_is_its_column():
    run = train(Experiment(steps=5, variants=tuple(VARIANTS)))
    rows = signature_rows(run)
    placed = {v.key: column for _, line in rows for column, v in enumerate(line) if v}
    assert set(placed) == set(VARIANTS)
    for key, variant in VARIANTS.items():
        if variant.where != "other":
            assert placed[key] == ["none", "gradient", "weight"].index(variant.where)
    others = [v.key for title, line in rows for v in line if v and title == "Other priors"]
    assert others == [key for key, variant in VARIANTS.items() if variant.where == "other"]


def test_columns_promise_no_place_of_lambda_where_there_are_only_other_priors():
    assert {tone for _, tone in signature_columns(train(Experiment(steps=5, variants=("l1",))))} == {"other"}
    assert [tone for _, tone in signature_columns(train(Experiment(steps=5, variants=("l1", "sgd"))))] == [
        "none", "gradient", "weight"
    ]  # fmt: skip


def test_a_page_of_charts_needs_no_fields(run):
    picture = norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)
    header, values = unpack(film(run, "k", [picture]))
    assert values.size == 0
    assert header["rows"] == []
    assert header["charts"][0]["data"]["curves"][0]["variant"] == "sgd"
