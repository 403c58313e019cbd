"""Exports: exact pixels, text as text, both themes, no network."""

import io
import json
import xml.etree.ElementTree as ET

import pytest
import torch
from PIL import Image

from engine import VARIANTS, Experiment, train
from engine.charts.boundary import signature
from engine.charts.curves import loss_curves, norm_curves
from engine.charts.prior import data_space, weight_space
from engine.charts.theme import PALETTE
from engine.charts.weights import weight_histogram, weight_paths
from engine.measure import free_decay_curves, histogram, weight_trajectories
from engine.scene import scene, two_weight
from engine.slides.render import to_png, to_svg
from engine.slides.slide import slide_alone


@pytest.fixture(scope="module")
def run():
    return train(Experiment(steps=80), dtype=torch.float64)


@pytest.fixture(scope="module")
def pictures(run):
    view = scene(train(two_weight(run.experiment), dtype=torch.float64))
    paths, reach = weight_trajectories(run)
    return {
        "signature": signature(run),
        "losses": loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged),
        "norms": norm_curves(run.steps, run.series("weight_norm"), free_decay_curves(run), run.diverged),
        "paths": weight_paths(paths, reach, "adamw"),
        "histogram": weight_histogram(histogram(run), "adamw", 0.5),
        "weight_space": weight_space(view),
        "data_space": data_space(view),
    }


NAMES = ["signature", "losses", "norms", "paths", "histogram", "weight_space", "data_space"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_png_has_the_promised_pixels_and_is_not_blank(pictures, name, theme):
    image = Image.open(io.BytesIO(to_png(slide_alone(pictures[name], theme))))
    assert image.size == (1920, 1080)
    assert len(image.convert("RGB").resize((96, 54)).getcolors(96 * 54)) > 30


@pytest.mark.parametrize("name", NAMES)
def test_svg_keeps_text_as_text(pictures, name):
    root = ET.fromstring(to_svg(slide_alone(pictures[name])).decode())
    assert root.get("width") == "960"
    assert root.get("height") == "540"
    texts = " ".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))
    assert pictures[name].title.split(":")[0] in texts or name == "signature"
    assert pictures[name].alt


def test_dark_export_swaps_the_palette(pictures):
    light, dark = (to_svg(slide_alone(pictures["norms"], theme)).decode() for theme in ("light", "dark"))
    assert PALETTE["light"]["weight"].lower() in light.lower()
    assert PALETTE["light"]["weight"].lower() not in dark.lower()
    assert PALETTE["dark"]["weight"].lower() in dark.lower()


def test_signature_says_the_numbers_of_the_run(run):
    words = signature(run).alt
    for key in run.experiment.variants:
        loss = run.metrics["test_loss"][-1, run.row(key)]
        assert f"test loss {loss:.2f}" in words
    assert "=" in words
    assert "≠" in words


def test_signature_of_a_diverged_run_of_every_variant_says_so():
    run = train(Experiment(steps=60, weight_decay=10.0, variants=tuple(VARIANTS)), dtype=torch.float64)
    diverged = [key for key, step in run.diverged.items() if step is not None]
    assert diverged
    assert signature(run).alt.count("diverged at step") == len(diverged)
    assert Image.open(io.BytesIO(to_png(slide_alone(signature(run))))).size == (1920, 1080)


def test_a_diverged_curve_does_not_flatten_the_others():
    wild = train(Experiment(steps=80, weight_decay=5.0), dtype=torch.float64)
    picture = norm_curves(wild.steps, wild.series("weight_norm"), {}, wild.diverged)
    calm = max(wild.series("weight_norm")[key].max() for key, step in wild.diverged.items() if step is None)
    assert max(row["y0"] for row in picture.data["curves"] if row["y0"] is not None) <= 1.5 * calm + 1e-9
    assert "diverged: SGD + L2 at step" in picture.spec["title"]["subtitle"]


def test_only_the_data_changes_with_the_numbers(run):
    other = train(Experiment(steps=60, weight_decay=0.1, seed=4), dtype=torch.float64)
    specs = [norm_curves(r.steps, r.series("weight_norm"), {}, r.diverged).spec for r in (run, other)]
    assert specs[0] == specs[1]


def test_theory_that_explodes_does_not_set_the_scale():
    wild = train(Experiment(steps=400, weight_decay=5.0), dtype=torch.float64)
    picture = norm_curves(wild.steps, wild.series("weight_norm"), free_decay_curves(wild), wild.diverged)
    top = max(row["y0"] for row in picture.data["curves"] if row["y0"] is not None)
    assert max(row["y0"] for row in picture.data["theory"] if row["y0"] is not None) <= 1.5 * top


@pytest.mark.parametrize("name", [name for name in NAMES if name != "signature"])
def test_the_data_are_those_that_the_spec_names(pictures, name):
    text = json.dumps(pictures[name].spec)
    assert {key for key in pictures[name].data if f'"name": "{key}"' in text} == set(pictures[name].data)


def test_norms_without_theory_name_no_theory(run):
    picture = norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)
    assert "theory" not in picture.data
    assert "theory" not in json.dumps(picture.spec)
