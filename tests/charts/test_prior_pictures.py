"""The pictures of the prior's views: the data that their specs name, and pixels in both themes."""

import io
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from engine import Experiment, train
from engine.bayes import posterior
from engine.charts.bayes import plug_in_field, predictive_field
from engine.charts.corrections import distance_curves
from engine.charts.evidence import linear_evidence, logistic_evidence
from engine.charts.networks import prior_networks
from engine.charts.prior import weight_space
from engine.charts.sparse import coefficients, two_paths
from engine.charts.theme import PALETTE
from engine.corrections import journey
from engine.evidence import evidence
from engine.mlp import Architecture
from engine.networks import prior_draws
from engine.scene import scene, two_weight
from engine.slides.render import to_png
from engine.slides.slide import slide_alone
from engine.sparse import sparse

train64 = partial(train, dtype=torch.float64)
NAMES = ["plug_in", "predictive", "logistic", "linear", "networks", "paths", "coefficients", "distances", "ends"]


@pytest.fixture(scope="module")
def pictures():
    run = train64(two_weight(Experiment(steps=500)))
    view, x, y = scene(run), run.data.x_train, run.data.y_train
    belief = posterior(x, y, view.map, view.weight_decay)
    found, zeros = evidence(x, y, view.sigma), sparse(x, y, view.weight_decay)
    drawn = prior_draws(Architecture((8,)), (-2, 2), (-2, 2), 3)
    return dict(
        zip(
            NAMES,
            [
                plug_in_field(run, belief),
                predictive_field(run, belief),
                logistic_evidence(found, view.sigma),
                linear_evidence(found, np.inf),
                prior_networks(drawn, "8 tanh"),
                two_paths(view, zeros),
                coefficients(zeros, view.weight_decay),
                distance_curves(journey(run, train64)),
                weight_space(view, {"MAP at (1−μ)λ": [1.0, 2.0], "box": view.mle.w}),
            ],
            strict=True,
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_data_are_those_that_the_spec_names(pictures, name):
    text = json.dumps(pictures[name].spec)
    assert {key for key in pictures[name].data if f'"name": "{key}"' in text} == set(pictures[name].data)
    json.dumps(pictures[name].data, allow_nan=False)
    assert pictures[name].alt
    assert pictures[name].title


@pytest.mark.parametrize("name", NAMES)
def test_png_is_not_blank(pictures, name):
    image = Image.open(io.BytesIO(to_png(slide_alone(pictures[name]), 1)))
    assert image.size == (960, 540)
    assert len(image.convert("RGB").resize((96, 54)).getcolors(96 * 54)) > 30


@pytest.mark.parametrize("name", ["predictive", "networks"])
def test_fields_are_painted_in_the_colours_of_the_theme(pictures, name):
    def share(pixels, of):
        middle, *ends = (
            np.array([int(PALETTE[of][key][i : i + 2], 16) for i in (1, 3, 5)])
            for key in ("middle", "class0", "class1")
        )
        strong = [middle + 0.75 * (end - middle) for end in ends]
        return min(float((np.abs(pixels - colour).max(axis=2) < 16).mean()) for colour in strong)

    for theme, other in (("light", "dark"), ("dark", "light")):
        png = to_png(slide_alone(pictures[name], theme), 0.5)
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        assert share(pixels, theme) > 0.01
        assert share(pixels, theme) > 4 * share(pixels, other)


def test_labels_at_one_place_are_one(pictures):
    labels = [mark["label"] for mark in pictures["ends"].data["marks"]]
    assert "MLE, box" in labels
    assert "box" not in labels


def test_distances_below_rounding_have_a_place_on_the_axis(pictures):
    assert min(row["value"] for row in pictures["distances"].data["curves"]) >= 1e-16


def test_rings_are_the_exact_zeros(pictures):
    assert all(row["x"] == 0 or row["y"] == 0 for row in pictures["paths"].data["zeros"])
    assert all(row["value"] == 0 for row in pictures["coefficients"].data["zeros"])
    assert len(pictures["coefficients"].data["zeros"]) > 8


def test_an_export_shows_the_last_step(pictures):
    for name in ("ends", "distances"):
        [step] = [param["value"] for param in pictures[name].standalone()["params"] if param["name"] == "step"]
        assert step == 500
