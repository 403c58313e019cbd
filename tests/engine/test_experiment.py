"""The experiment: bounds, the URL both ways, and what λ means for each variant."""

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import VARIANTS, Experiment
from engine.experiment import KNOBS, VISITOR_BUDGET
from engine.knobs import Choice, Flag, Names, Number, Widths
from engine.presets import PRESETS

quick = settings(max_examples=200)
DEFAULT = Experiment()
WIDEST, DEEPEST = KNOBS["hidden"].widest, KNOBS["hidden"].deepest
LARGEST = (WIDEST,) * DEEPEST
WIDTHS = f"up to {DEEPEST} widths from 1 to {WIDEST}"


def valid(knob):
    """Any value that a knob allows."""
    if isinstance(knob, Choice):
        return st.sampled_from(list(knob.options))
    if isinstance(knob, Flag):
        return st.booleans()
    if isinstance(knob, Widths):
        return st.lists(st.integers(1, knob.widest), max_size=knob.deepest).map(tuple)
    if isinstance(knob, Names):
        return st.sets(st.sampled_from(list(knob.options)), min_size=1).map(tuple)
    assert isinstance(knob, Number)
    numbers = st.integers(knob.low, knob.high) if knob.whole else st.floats(knob.low, knob.high)
    if knob.least:
        numbers = st.just(0.0) | st.floats(knob.least, knob.high)
    return st.none() | numbers if knob.optional else numbers


experiments = st.builds(Experiment, **{name: valid(knob) for name, knob in KNOBS.items()})

NASTY = [
    "", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1e999", "1e-999", "-1", "-0", "0", "1", "2", "3.5", "1e3", "0x10",
    "1_000", "٣", "½", "９９", "99999999999999999999", "9" * 5000, "64-64-64-64", "1-2-3-4-5", "32-", "-32", "999-999",
    "32-32", "null", "None", "True", "sgd", "sgd,adamw", "sgd,nope", ",", "adam,adam", "moons", "MOONS", "\x00",
    "a\x00b", "\n- [x](http://x)", "`", "```", "<script>", "{}", "[]", "\ud800", "𝒘", "\u202e", "x" * 10_000,
]  # fmt: skip
texts = st.sampled_from(NASTY) | st.text(max_size=30) | st.floats().map(repr) | st.integers().map(str)
names = st.sampled_from([*KNOBS, "v"]) | st.sampled_from(NASTY) | st.text(max_size=30)
queries = st.dictionaries(names, texts | st.lists(texts, max_size=4), max_size=8)


def of_budget(notice):
    return "trains at once" in notice


def test_the_default_is_the_empty_query():
    assert DEFAULT.to_query() == {"v": "1"}
    assert Experiment.from_query({}) == (DEFAULT, [])
    assert Experiment.from_query(DEFAULT.to_query()) == (DEFAULT, [])


def test_every_field_is_a_knob_with_words():
    assert list(KNOBS) == [entry.name for entry in fields(Experiment)]
    for knob in KNOBS.values():
        assert knob.label
        assert knob.help.endswith(".")
        assert knob.group in ("Data", "Model", "Training", "Decay")


@given(experiments)
@quick
def test_any_experiment_comes_back_from_its_url(experiment):
    query = experiment.to_query()
    assert all(isinstance(text, str) for text in query.values())
    assert Experiment.from_query(query) == experiment.within_budget()


@given(queries)
@settings(max_examples=500)
@example({"points": "9" * 5000, "hidden": "9" * 5000})
@example({"hidden": "64-64-64-64", "steps": "20000", "points": "2000"})
@example({"lr": [], "lr_adaptive": ["nan", "0.01"]})
def test_any_query_gives_an_experiment_and_plain_sentences(query):
    experiment, notices = Experiment.from_query(query)
    assert Experiment(**asdict(experiment)) == experiment
    assert experiment.cost <= VISITOR_BUDGET
    for notice in notices:
        assert notice.isprintable()
        assert notice.endswith(".")
        assert notice.count("`") in (0, 2)
        assert len(notice) < 300


@given(st.sampled_from(list(KNOBS)), texts)
@settings(max_examples=500)
def test_a_parameter_is_taken_as_written_or_has_a_notice(name, text):
    experiment, notices = Experiment.from_query({name: text})
    try:
        value = KNOBS[name].read(text)
        taken = replace(DEFAULT, **{name: value})
    except ValueError:
        taken = None
    spoken = [notice for notice in notices if not of_budget(notice)]
    assert spoken == [] if taken else len(spoken) == 1
    if taken:
        assert (experiment, notices) == taken.within_budget()
    else:
        assert name in spoken[0]
        assert all(
            value == getattr(DEFAULT, other)
            for other, value in asdict(experiment).items()
            if other not in (name, "steps")
        )


@given(queries)
@quick
def test_the_notices_of_a_query_are_those_of_its_parameters(query):
    apart = [notice for item in query.items() for notice in Experiment.from_query(dict([item]))[1]]
    together = Experiment.from_query(query)[1]
    assert [n for n in together if not of_budget(n)] == [n for n in apart if not of_budget(n)]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("noise", "-3", 0.0),
        ("noise", "7", 1.0),
        ("noise", "nan", 0.4),
        ("points", "1e308", 2000),
        ("points", "1", 2),
        ("points", "2.5", 24),
        ("seed", "-1", 0),
        ("lr", "inf", 0.7),
        ("lr", "1e999", 0.7),
        ("lr", "0", 1e-5),
        ("hidden", "999999", (16, 16)),
        ("hidden", "1-2-3-4-5", (16, 16)),
        ("hidden", "", (16, 16)),
        ("activation", "swish", "tanh"),
        ("layer_norm", "yes", False),
        ("batch_size", "", None),
        ("weight_decay_adaptive", "auto", None),
        ("variants", "sgd,nope", DEFAULT.variants),
        ("variants", "", DEFAULT.variants),
    ],
    ids=lambda value: ascii(value),
)
def test_what_cannot_be_used_falls_back(name, text, value):
    experiment, [notice] = Experiment.from_query({name: text})
    assert getattr(experiment, name) == value
    assert name in notice
    assert f"={text}`" in notice


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("points", "60", 60),
        ("points", "6e1", 60),
        ("hidden", "0", ()),
        ("hidden", "32-8", (32, 8)),
        ("layer_norm", "1", True),
        ("batch_size", "8", 8),
        ("weight_decay_adaptive", "0", 0.0),
        ("variants", "adamw,sgd", ("sgd", "adamw")),
        ("lr", ["nan", "0.1"], 0.1),
    ],
    ids=lambda value: ascii(value),
)
def test_what_can_be_used_is(name, text, value):
    experiment, notices = Experiment.from_query({name: text})
    assert getattr(experiment, name) == value
    assert len(notices) == isinstance(text, list)


def test_each_dropped_thing_has_its_notice():
    _, notices = Experiment.from_query(
        {"lr": ["1", "2", "0.5"], "bogus": "1", "noise": "nan", "v": "99", "points": "60"}
    )
    assert len(notices) == 4
    for notice, words in zip(notices, ["`lr` 3 times", "`bogus` is not", "`noise=nan`", "version `99`"], strict=True):
        assert words in notice


def test_foreign_text_is_shown_short_and_harmless():
    _, [notice] = Experiment.from_query({"`\n\x00" + "x" * 1000: "1"})
    assert "`···xxx" in notice
    assert len(notice) < 120


def test_an_over_long_training_is_cut_to_the_budget():
    wish = {"hidden": KNOBS["hidden"].write(LARGEST), "steps": "20000", "points": "2000"}
    experiment, [notice] = Experiment.from_query(wish)
    assert 0.9 * VISITOR_BUDGET < experiment.cost <= VISITOR_BUDGET
    assert replace(experiment, steps=20_000).to_query() == {"v": "1", **wish}
    assert f"using {experiment.steps} steps" in notice
    assert "20000 steps" in notice
    assert experiment.within_budget() == (experiment, [])


def test_the_dearest_step_fits_the_budget():
    dearest = Experiment(points=2000, hidden=LARGEST, layer_norm=True, steps=1, variants=tuple(VARIANTS))
    assert dearest.cost <= VISITOR_BUDGET


def test_presets_are_links_without_notices():
    for title, query in PRESETS.items():
        experiment, notices = Experiment.from_query(query)
        assert notices == [], title
        assert experiment.to_query() == {"v": "1", **query}, title


NUMBERS = {name: knob for name, knob in KNOBS.items() if isinstance(knob, Number)}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("bad", ["low", "high", math.nan, math.inf, -math.inf, "1", True, 10**400, 1j], ids=ascii)
def test_a_number_out_of_bounds_is_an_error_with_the_bounds(name, bad):
    knob = NUMBERS[name]
    value = {"low": knob.low - 1, "high": knob.high + 1}.get(bad, bad) if isinstance(bad, str) else bad
    with pytest.raises(ValueError, match=f"^{name} must be a") as caught:
        Experiment(**{name: value})
    assert f"from {knob.low:g} to {knob.high:g}" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_bounds_themselves_are_allowed(name):
    for value in (NUMBERS[name].low, NUMBERS[name].high, *NUMBERS[name].grid):
        assert getattr(Experiment(**{name: value}), name) == value


@pytest.mark.parametrize("name", [name for name, knob in NUMBERS.items() if not knob.optional])
def test_none_is_a_number_only_where_it_means_something(name):
    with pytest.raises(ValueError, match=f"^{name} must be a"):
        Experiment(**{name: None})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dataset", "mars", "moons"),
        ("dataset", None, "moons"),
        ("dataset", ["moons"], "moons"),
        ("activation", "swish", "tanh"),
        ("layer_norm", 1, "True or False"),
        ("decayed", "bias", "weights, biases, all"),
        ("hidden", 16, WIDTHS),
        ("hidden", "16", WIDTHS),
        ("hidden", None, WIDTHS),
        ("hidden", (0,), WIDTHS),
        ("hidden", (WIDEST + 1,), WIDTHS),
        ("hidden", (2.5,), WIDTHS),
        ("hidden", (1,) * (DEEPEST + 1), WIDTHS),
        ("hidden", ("a",), WIDTHS),
        ("hidden", (math.nan,), WIDTHS),
        ("hidden", (math.inf,), WIDTHS),
        ("hidden", (None,), WIDTHS),
        ("variants", (), "adamw"),
        ("variants", "sgd", "adamw"),
        ("variants", ("sgd", "nope"), "adamw"),
        ("variants", None, "adamw"),
        ("variants", 3, "adamw"),
        ("variants", [["sgd"]], "adamw"),
    ],
    ids=ascii,
)
def test_other_bad_values_are_errors_with_what_is_allowed(name, value, words):
    with pytest.raises(ValueError, match=f"^{name} must be .*{words}"):
        Experiment(**{name: value})


def test_values_take_their_canonical_form():
    loose = Experiment(points=60.0, lr=1, hidden=[32, 8], variants=["adamw", "sgd", "sgd"])
    assert loose == Experiment(points=60, lr=1.0, hidden=(32, 8), variants=("sgd", "adamw"))
    assert (type(loose.points), type(loose.lr)) == (int, float)


def test_frozen_and_hashable():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.lr = 1.0
    assert hash(Experiment(hidden=[32, 8])) == hash(Experiment(hidden=(32, 8)))
    assert len({DEFAULT, Experiment(), replace(DEFAULT, seed=4)}) == 2


ALL = Experiment(lr=0.5, lr_adaptive=0.004, weight_decay=0.02, variants=tuple(VARIANTS))
SGD_FAMILY = [variant for variant in ALL.chosen if variant.family in ("SGD", "Momentum")]
ADAM_FAMILY = [variant for variant in ALL.chosen if variant.family not in ("SGD", "Momentum")]
WITHOUT = ("sgd", "adam", "max_norm")


def test_each_family_has_its_learning_rate():
    assert {ALL.lr_of(variant) for variant in SGD_FAMILY} == {0.5}
    assert {ALL.lr_of(variant) for variant in ADAM_FAMILY} == {0.004}
    assert len(SGD_FAMILY) + len(ADAM_FAMILY) == len(VARIANTS)


def test_matched_shrink_takes_the_same_fraction_of_every_weight():
    for variant in ALL.chosen:
        expected = 0.5 * 0.02 if variant.where in ("gradient", "weight") else 0
        if variant.key == "sgds":
            expected /= 1 - ALL.momentum
        assert ALL.shrink_of(variant) == pytest.approx(expected, rel=1e-14)


def test_matched_shrink_has_its_lambda():
    expected = dict.fromkeys(SGD_FAMILY, 0.02) | dict.fromkeys(ADAM_FAMILY, 0.02 * 0.5 / 0.004)
    expected[VARIANTS["adamw_paper"]] = 0.02 * 0.5  # no η in the paper's form: λ is the shrink itself
    expected |= {variant: 0 for variant in expected if variant.key in WITHOUT}
    for variant, weight_decay in expected.items():
        assert ALL.weight_decay_of(variant) == pytest.approx(weight_decay, rel=1e-14)


def test_a_separate_lambda_is_taken_as_it_is():
    separate = replace(ALL, weight_decay_adaptive=0.3)
    for family, expected in ((SGD_FAMILY, 0.02), (ADAM_FAMILY, 0.3)):
        assert {separate.weight_decay_of(variant) for variant in family if variant.key not in WITHOUT} == {expected}
    shrinks = {key: separate.shrink_of(VARIANTS[key]) for key in ("sgdw", "adam_l2", "adamw", "adamw_paper", "adam")}
    assert shrinks == {"sgdw": 0.5 * 0.02, "adam_l2": 0.3 * 0.004, "adamw": 0.3 * 0.004, "adamw_paper": 0.3, "adam": 0}


def test_a_batch_is_at_most_all_points():
    assert Experiment(points=10).batch == 10
    assert Experiment(points=10, batch_size=4).batch == 4
    assert Experiment(points=10, batch_size=400).batch == 10


def test_a_lambda_too_small_to_matter_is_raised_and_zero_stays():
    experiment, notices = Experiment.from_query({"weight_decay": "1e-300", "weight_decay_adaptive": "0"})
    assert (experiment.weight_decay, experiment.weight_decay_adaptive) == (1e-6, 0)
    assert notices == ["The link's `weight_decay=1e-300` is out of bounds; using 1e-06."]


def test_the_cost_knows_the_optimizers_work_on_every_parameter():
    wide = Experiment(hidden=(64, 64, 64, 64), layer_norm=True, points=2000, batch_size=1, steps=20_000)
    cut, notices = wide.within_budget()
    assert cut.steps < 3000
    assert notices


def test_a_clamped_whole_number_is_shown_as_one():
    experiment, notices = Experiment.from_query({"points": "0.5"})
    assert experiment.points == 2
    assert notices == ["The link's `points=0.5` is out of bounds; using 2."]
