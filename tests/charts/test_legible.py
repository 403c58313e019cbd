"""What a lecturer reads from the back: names that are on nothing, ticks that count, lists beside square plots."""

import json
from functools import cache, partial

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.axis import Axis
from engine.bayes import posterior
from engine.charts.axis import u_curves
from engine.charts.bayes import plug_in_field, predictive_field
from engine.charts.corrections import distance_curves
from engine.charts.labels import along, placed
from engine.charts.lines import line_chart, spread
from engine.charts.networks import prior_networks
from engine.charts.pairs import pair_curves
from engine.charts.picture import Picture
from engine.charts.plane import axes
from engine.charts.prior import data_space, weight_space
from engine.charts.settled import settled_curves
from engine.charts.sparse import two_paths
from engine.charts.steps import Forces, pulls, race
from engine.charts.weights import weight_histogram
from engine.corrections import journey
from engine.measure import histogram
from engine.mlp import Architecture
from engine.networks import prior_draws
from engine.scene import scene, two_weight
from engine.slides.render import to_svg
from engine.slides.slide import slide_alone
from engine.sparse import sparse
from engine.two_decays import Line
from tests.slides.drawing import words

train64 = partial(train, dtype=torch.float64)
SQUARE = ["weights", "weights_long", "data", "plug_in", "averaged", "paths"]


@cache
def view():
    return scene(train64(two_weight(Experiment(steps=200))))


@cache
def square(name) -> Picture:
    seen = view()
    x, y = seen.run.data.x_train, seen.run.data.y_train
    belief = posterior(x, y, seen.map, seen.weight_decay)
    make = {
        "weights": lambda: weight_space(seen),
        "weights_long": lambda: weight_space(seen, {"MAP at (1−μ)λ": [1.0, 2.0], "box": seen.mle.w}),
        "data": lambda: data_space(seen),
        "plug_in": lambda: plug_in_field(seen.run, belief),
        "averaged": lambda: predictive_field(seen.run, belief),
        "paths": lambda: two_paths(seen, sparse(x, y, seen.weight_decay)),
    }
    return make[name]()


def read(picture):
    """The words below the title of a slide, with their boxes."""
    return [word for word in words(to_svg(slide_alone(picture))) if 100 < word.box[1] < 490]


def numbers(found):
    """The numbers on axes, as they are written."""
    return {word.text for word in found if word.text.replace("−", "").replace(".", "").isdigit()}


@pytest.mark.parametrize("name", SQUARE)
def test_what_lines_mean_stands_beside_a_square_plot(name):
    picture, found = square(name), read(square(name))
    texts = {row["text"]: row for row in picture.key}
    listed = [word for word in found if word.text in texts]
    assert len(listed) == len(texts)
    plot = max(word.box[2] for word in found if word.text in numbers(found))
    assert min(word.box[0] for word in listed) > plot
    assert max(word.box[3] for word in listed) < 480
    for inside in picture.data.get("names", []):
        assert sum(inside["text"].removeprefix("● ") in word.text for word in found) == 1
    assert "title" in picture.spec
    assert "key" not in json.dumps(picture.spec["layer"])


@pytest.mark.parametrize("name", SQUARE)
def test_a_square_plot_is_as_high_as_the_slide_lets_it_be(name):
    found = read(square(name))
    across = [word for word in found if word.text in numbers(found) and word.box[1] > 420]
    ticks = sorted((float(word.text.replace("−", "-")), np.mean(word.box[::2])) for word in across)
    (low, left), (high, right) = ticks[0], ticks[-1]
    reach = np.ptp([row["x"] for row in square(name).data.get("frame", [])] or [0])
    if not reach:
        [domain] = {
            tuple(layer["encoding"]["x"]["scale"]["domain"])
            for layer in square(name).spec["layer"]
            if "domain" in layer.get("encoding", {}).get("x", {}).get("scale", {})
        }
        reach = np.ptp(domain)
    assert (right - left) / (high - low) * reach > 300


@pytest.mark.parametrize("name", SQUARE)
def test_ticks_of_a_plane_leave_none_out(name):
    ticks = sorted(float(text.replace("−", "-")) for text in numbers(read(square(name))))
    assert 0 in ticks
    assert len({round(gap, 6) for gap in np.diff(ticks)}) == 1


@pytest.mark.parametrize("reach", [0.3, 0.87, 1.0, 3.4, 12, 250])
def test_ticks_of_any_reach_are_few_round_and_have_zero(reach):
    ticks = axes("", "", [-reach, reach])[0].to_dict()["axis"]["values"]
    assert 0 in ticks
    assert 3 <= len(ticks) <= 7
    assert max(map(abs, ticks)) <= reach


def test_names_of_marks_are_on_no_other_and_in_the_picture():
    for name in ("weights", "weights_long", "paths"):
        found = read(square(name))
        marks = square(name).data["marks"]
        named = {mark.get("label", mark["name"]) for mark in marks} - {""}
        boxes = [word for word in found if word.text in named]
        assert {word.text for word in boxes} == named
        assert not [(a, b) for a in boxes for b in found if a is not b and a.covers(b) > 0]


def test_a_name_goes_where_no_ink_is():
    span, square_plot = (-1.0, 1.0), ((300, 300),)
    at = {"x": 0.0, "y": 0.0, "text": "a name"}
    falling, rising = along([[-1, 0.4], [1, -0.4]]), along([[-1, -0.4], [1, 0.4]])
    for line, free in ((falling, {(False, -1), (True, 1)}), (rising, {(True, -1), (False, 1)})):
        [row] = placed([at], line, span, span, square_plot)
        assert (row["left"], row["level"]) in free
    [edge] = placed([{**at, "x": 0.95}], [], span, span, square_plot)
    assert edge["left"]
    one, other = placed([at, {**at, "x": 0.02}], [], span, span, square_plot)
    assert (one["left"], one["level"]) != (other["left"], other["level"])


def test_the_chosen_weight_is_named_beside_the_line():
    before = np.linspace(-0.6, 0.6, 60)
    on_line = Forces(before, 0 * before, -0.02 * before, 0.02, "gradient", "SGD + L2, step 1")
    [last] = pulls(on_line, 59, "4.weight[0, 4]").data["chosen"]
    assert (last["left"], last["level"]) == (True, 1)
    [first] = pulls(on_line, 0, "4.weight[0, 4]").data["chosen"]
    assert (first["left"], first["level"]) == (False, -1)
    for chosen in (0, 1, 2):
        words_of = {word.text: word for word in read(pulls(on_line, chosen, "4.weight[0, 4]"))}
        assert words_of["4.weight[0, 4]"].covers(words_of["−ηλw"]) == 0
    equal = Forces(before, 0.02 * before, -0.02 * before, 0.02, "gradient", "SGD + L2, step 1")
    [largest] = race(equal, 59, "4.weight[0, 4]").data["chosen"]
    assert (largest["left"], largest["level"]) == (True, -1)


def test_bars_stand_on_zero(run):
    bars = [
        layer for layer in weight_histogram(histogram(run), "adamw", 0.5).spec["layer"] if "x2" in layer["encoding"]
    ]
    assert [bar["encoding"]["y2"] for bar in bars] == [{"datum": 0}]


@pytest.fixture(scope="module")
def run():
    return train64(Experiment(steps=80))


def settled(low, high, theory):
    values = {"sgdw": np.geomspace(low, high, 5), "sgd_l2": np.geomspace(high, low, 5)}
    return settled_curves(np.arange(5), values, theory, 2, dict.fromkeys(values), "‖w‖", 270)


def test_theory_is_named_over_the_curves_not_on_them():
    picture = settled(0.2, 8, {"sgdw": 2.17, "sgd_l2": 2.14})
    said = [word.text for word in read(picture) if "theory" in word.text]
    assert len(said) == 1
    assert said[0].endswith("dashed: theory")
    assert "theory" not in json.dumps(settled(0.2, 8, {}).spec["title"])


def test_a_log_axis_has_one_two_five_or_decades():
    assert {"0.2", "0.5", "1", "2", "5"} <= numbers(read(settled(0.15, 8, {})))
    long = numbers(read(settled(1e-3, 50, {})))
    assert {"0.01", "0.1", "1", "10"} <= long
    assert not {"0.2", "0.05", "20"} & long


def test_lambda_is_written_without_a_leading_zero(run):
    decays = np.array([0, 1e-5, 1e-4, 0.001, 0.01])
    axis = Axis.__new__(Axis)
    steps = np.arange(5)
    shown = type("Run", (), {
        "steps": steps, "diverged": dict.fromkeys(run.experiment.variants),
        "series": lambda self, metric: {key: np.ones(5) for key in run.experiment.variants},
    })()  # fmt: skip
    for name, value in {"run": shown, "weight_decays": decays, "diverged": [shown.diverged] * 5}.items():
        object.__setattr__(axis, name, value)
    for picture in u_curves(axis):
        text = json.dumps(picture.spec)
        assert "1e-5" in text
        assert "1e-05" not in text


def test_powers_of_ten_have_no_plus(run):
    apart = {(VARIANTS["adam_l2"], VARIANTS["adamw"]): np.geomspace(1e-12, 2, len(run.steps))}
    found = [word.text for word in read(pair_curves(run.steps, apart))]
    assert "1" in found
    assert "1e−3" in found
    assert not [text for text in found if "e+" in text]


def test_names_at_the_ends_of_curves_are_near_them():
    assert spread([1.0, 1.0, 1.0], 2, -10, 10) == pytest.approx([-1, 1, 3])
    assert spread([0.0, 0.0], 2, 0, 10) == [0, 2]
    assert spread([9.0, 10.0], 2, 0, 10) == pytest.approx([8, 10])
    lines = [Line(name, "ink", np.array([1.0, end])) for name, end in (("a", 0.041), ("b", 0.04), ("c", 0.002))]
    labels = line_chart(np.array([0, 1]), lines, "Left", log=True).data["labels"]
    ends = sorted(label["value"] for label in labels)
    assert ends == pytest.approx([0.002, 0.041], rel=0.05)
    assert all(label["place"] == pytest.approx(label["value"], rel=0.5) for label in labels)


def test_the_heads_of_columns_are_clear_of_the_words_above():
    found = read(prior_networks(prior_draws(Architecture((8,)), (-2, 2), (-2, 2), 3), "8 tanh"))
    head = min(word.box[1] for word in found if word.text.startswith("σ ="))
    above = max(word.box[3] for word in found if "length" in word.text)
    assert head - above > 10


def test_distances_keep_their_powers():
    found = read(distance_curves(journey(view().run, train64)))
    assert {"1", "0.01", "1e−4"} <= {word.text for word in found}
