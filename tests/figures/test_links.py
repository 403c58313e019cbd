"""Permalinks: there and back, whatever they say; and those that were given out once open for ever."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Experiment
from engine.experiment import KNOBS
from engine.figures import FIGURES, Shot
from engine.figures.figure import shot_of
from engine.figures.link import WORDS, apart, from_link, to_link

FROZEN = {
    "/?v=1&figure=table": ("boundaries.table", {}, {"at": "300"}),
    "/?v=1": ("boundaries.table", {}, {"at": "300"}),
    "https://example.org/?v=1&seed=5": ("boundaries.table", {"seed": 5}, {"at": "300"}),
    "/?v=1&figure=table&at=100": ("boundaries.table", {}, {"at": "100"}),
    "/?v=1&steps=200&figure=losses": ("boundaries.losses", {"steps": 200}, {}),
    "/boundaries?v=1&figure=norms": ("boundaries.norms", {}, {}),
    "?v=1&figure=over_lambda&hidden=8-8": ("boundaries.over_lambda", {"hidden": (8, 8)}, {}),
    "/?v=1&dataset=xor&noise=0.2&points=60&activation=relu&layer_norm=1&lr=0.5&lr_adaptive=0.003&momentum=0.8&nesterov=1"
    "&schedule=cosine&batch_size=8&weight_decay=0.1&weight_decay_adaptive=1&decayed=all&max_norm=2"
    "&variants=sgd%2Cadamw%2Cmax_norm&figure=norms": (
        "boundaries.norms",
        {
            "dataset": "xor",
            "noise": 0.2,
            "points": 60,
            "activation": "relu",
            "layer_norm": True,
            "lr": 0.5,
            "lr_adaptive": 0.003,
            "momentum": 0.8,
            "nesterov": True,
            "schedule": "cosine",
            "batch_size": 8,
            "weight_decay": 0.1,
            "weight_decay_adaptive": 1.0,
            "decayed": "all",
            "max_norm": 2.0,
            "variants": ("sgd", "max_norm", "adamw"),
        },
        {},
    ),
    "/?decay_biases=1&figure=norms": ("boundaries.norms", {"decayed": "all"}, {}),
    "http://127.0.0.1:8501/demo/norms?v=1&figure=layers&part=2": ("norms.layers", {}, {"part": "2"}),
    "https://example.org/decay/?v=1&figure=table": ("boundaries.table", {}, {"at": "300"}),
    "https://example.org/decay/norms/?v=1&figure=box": ("norms.box", {}, {}),
    "/norms?v=1&figure=weights&part=adamw": ("norms.weights", {}, {"part": "adamw"}),
    "/norms?v=1&figure=histogram&part=sgdw": ("norms.histogram", {}, {"part": "sgdw"}),
    "/norms?v=1&figure=settled": ("norms.settled", {}, {"part": "1"}),
    "/norms?v=1&figure=turns": ("norms.turns", {}, {"part": "1"}),
    "/norms?v=1&figure=box": ("norms.box", {}, {}),
    "/prior?v=1&dataset=blobs&points=20&weight_decay=0.05&figure=weights": (
        "prior.weights",
        {"dataset": "blobs", "points": 20, "weight_decay": 0.05},
        {},
    ),
    "/prior?v=1&figure=evidence": ("prior.evidence", {}, {}),
    "/prior?v=1&figure=paths": ("prior.paths", {}, {}),
    "/coupling?v=1&figure=apart": ("coupling.apart", {}, {}),
    "/coupling?v=1&figure=rates&part=Adam": ("coupling.rates", {}, {"part": "Adam"}),
    "/one_step?v=1&figure=race&of=sgdw": ("one_step.race", {}, {"of": "sgdw", "at": "38", "part": "largest"}),
    "/what_to_decay?v=1&figure=losses&of=sgdw%2Cadamw": ("what_to_decay.losses", {}, {"of": "sgdw,adamw", "norm": "1"}),
    "/what_to_decay?v=1&figure=table&norm=0": ("what_to_decay.table", {}, {"of": "adamw", "norm": "0"}),
    "/two_decays?v=1&schedule=cosine&figure=alone": ("two_decays.alone", {"schedule": "cosine"}, {}),
    "/map?v=1&figure=left&of=sgd_l2%2Csgdw": ("map.left", {}, {"of": "sgd_l2,sgdw"}),
    "/?v=1&figure=norms_over_lambda": ("boundaries.norms_over_lambda", {}, {}),
    "/norms?v=1&figure=norms": ("norms.norms", {}, {}),
    "/prior?v=1&figure=data": ("prior.data", {}, {}),
    "/prior?v=1&figure=plug_in": ("prior.plug_in", {}, {}),
    "/prior?v=1&figure=averaged": ("prior.averaged", {}, {}),
    "/prior?v=1&figure=networks": ("prior.networks", {}, {}),
    "/prior?v=1&figure=linear_evidence": ("prior.linear_evidence", {}, {}),
    "/prior?v=1&figure=coefficients": ("prior.coefficients", {}, {}),
    "/prior?v=1&figure=distance": ("prior.distance", {}, {}),
    "/prior?v=1&figure=weights_long": ("prior.weights_long", {}, {}),
    "/prior?v=1&figure=data_long": ("prior.data_long", {}, {}),
    "/one_step?v=1&figure=pulls": ("one_step.pulls", {}, {"of": "sgd_l2", "at": "38", "part": "largest"}),
    "/what_to_decay?v=1&figure=weights": ("what_to_decay.weights", {}, {"of": "adamw", "norm": "1"}),
    "/what_to_decay?v=1&figure=biases": ("what_to_decay.biases", {}, {"of": "adamw", "norm": "1"}),
    "/what_to_decay?v=1&figure=gains": ("what_to_decay.gains", {}, {"of": "adamw", "norm": "1"}),
    "/what_to_decay?v=1&figure=shifts": ("what_to_decay.shifts", {}, {"of": "adamw", "norm": "1"}),
    "/two_decays?v=1&figure=norms": ("two_decays.norms", {}, {}),
    "/two_decays?v=1&figure=losses": ("two_decays.losses", {}, {}),
    "/two_decays?v=1&figure=schedules": ("two_decays.schedules", {}, {}),
    "/two_decays?v=1&figure=forms": ("two_decays.forms", {}, {}),
    "/map?v=1&figure=right": ("map.right", {}, {"of": "adam_l2,adamw"}),
    "/map?v=1&figure=left_losses": ("map.left_losses", {}, {"of": "adam_l2,adamw"}),
    "/map?v=1&figure=right_losses": ("map.right_losses", {}, {"of": "adam_l2,adamw"}),
}
"""Links that were given out with version 1, and what each must open for ever: figure, knobs that are not the
first version's defaults, and every option. Add to it; change nothing in it."""


@pytest.mark.parametrize("link", FROZEN)
def test_a_link_that_was_given_out_opens_what_it_opened(link):
    figure, knobs, options = FROZEN[link]
    shot, notices = from_link(link)
    assert notices == []
    assert shot.figure == figure
    assert shot.experiment == replace(FIRST, **knobs)
    assert {name: shot.option(name) for name in FIGURES[figure].options} == options


def test_links_of_every_figure_are_frozen():
    assert {figure for figure, _, _ in FROZEN.values()} == set(FIGURES)


FIRST = Experiment(
    dataset="moons", noise=0.4, points=24, seed=3, hidden=(16, 16), activation="tanh", layer_norm=False, lr=0.7,
    lr_adaptive=0.01, momentum=0.9, nesterov=False, schedule="constant", steps=300, batch_size=None, weight_decay=0.03,
    weight_decay_adaptive=None, decayed="weights", max_norm=1.0,
    variants=("sgd", "sgd_l2", "sgdw", "adam", "adam_l2", "adamw"),
)  # fmt: skip
"""What a link of version 1 says where it says nothing."""


def test_what_version_1_leaves_out_is_still_the_default():
    assert FIRST.to_query() == {"v": "1"}


@pytest.mark.parametrize("key", FIGURES)
def test_every_value_of_every_option_comes_back(key):
    exp = Experiment(layer_norm=True, schedule="cosine")
    for name, values in FIGURES[key].options.items():
        for value in [*values(exp)[:3], *values(exp)[-3:]]:
            shot = shot_of(key, exp, **{name: value})
            assert shot.option(name) == value
            assert from_link(to_link(shot, "https://example.org")) == (shot, [])
            assert from_link(to_link(shot)) == (shot, [])


@pytest.mark.parametrize("key", FIGURES)
def test_options_are_no_knobs(key):
    assert not (set(FIGURES[key].options) | {"figure", "slide", *WORDS}) & (set(KNOBS) | {"v"})


TEXTS = st.text(max_size=60)


@given(
    path=st.sampled_from(["/", "", "/norms", "/prior", "https://x.org/coupling", "/one_step"]),
    query=st.dictionaries(st.sampled_from(["figure", "at", "part", "of", "norm", "steps", "title", "zz"]), TEXTS),
)
def test_any_query_opens_a_figure_and_names_what_it_left_out(path, query):
    shot, notices = from_link(f"{path}?{urlencode({'steps': '40', **query})}")
    assert shot.figure in FIGURES
    again, none = from_link(to_link(shot))
    assert (again, none) == (shot, [])
    if "zz" in query:
        assert any("zz" in notice for notice in notices)
    if query.get("figure") and f"{FIGURES[shot.figure].page}.{query['figure']}" not in FIGURES:
        assert any("figure" in notice for notice in notices)


@pytest.mark.parametrize("link", ["/nowhere?v=1", "https://example.org/map2", "http://[", "/`<b>x</b>`"])
def test_a_foreign_link_is_refused_in_a_sentence(link):
    with pytest.raises(ValueError, match=r"No page with figures is called `.+`; there are boundaries, |is no link\."):
        from_link(link)


@pytest.mark.parametrize("text", ["9999", "-1", "x", "`<b>`", ""])
def test_a_value_that_an_option_cannot_have_is_named_and_left_out(text):
    shot, (notice,) = from_link("/?" + urlencode({"v": "1", "figure": "table", "at": text}))
    assert shot == Shot("boundaries.table", Experiment())
    assert f"`at={text.replace('`', '·')}` cannot be used; using 300." in notice


def test_an_option_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="cannot have part"):
        shot_of("boundaries.losses", Experiment(), part="1")
    with pytest.raises(ValueError, match="cannot have at = '9999'"):
        shot_of("boundaries.table", Experiment(), at="9999")


def test_a_figures_parameters_are_kept_apart_from_the_knobs():
    knobs, rest = apart({"v": "1", "figure": ["x", "table"], "at": "3", "title": "T", "seed": "4"})
    assert knobs == {"v": "1", "seed": "4"}
    assert rest == {"figure": "table", "at": "3"}
    assert parse_qs(urlsplit(to_link(Shot("boundaries.table", Experiment(), (("at", "3"),)))).query)["at"] == ["3"]
