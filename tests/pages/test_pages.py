"""Every page, and the app around it, through AppTest: sensible with every knob at its ends and with any link."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from engine import DATASETS, VARIANTS, Experiment
from engine.datasets import make_data
from engine.experiment import KNOBS
from engine.figures.link import apart
from engine.presets import PRESETS
from pages import _ui
from pages._turns import Turns

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "app.py", *sorted((ROOT / "pages").glob("[!_]*.py"))]
PICTURES = [path for path in SCRIPTS if path.stem != "slides"]
"""Pages with a run on screen; the page of slides has none, so nothing to measure and no rule."""

QUICK = {"steps": "30"}
SHOWN_NOTICES = 8
"""A page lists this many notices."""


def one_class_seed() -> str:
    """A seed for which both of two training points are of the same class."""
    return next(
        str(seed)
        for seed in range(100)
        if len(set(make_data(Experiment.dataset, Experiment.noise, 2, seed).y_train)) == 1
    )


EXPERIMENTS: dict[str, dict[str, str]] = {
    "two points": {"points": "2"},
    "one class": {"points": "2", "seed": one_class_seed()},
    "no decay at all": {"weight_decay": "0"},
    "lambda 10": {"weight_decay": "10", "steps": "400"},
    "eta 100": {"lr": "100", "weight_decay": "1", "steps": "400"},
    "every eta too large": {"lr": "100", "lr_adaptive": "10", "weight_decay": "10", "weight_decay_adaptive": "10"},
    "LayerNorm": {"layer_norm": "1"},
    "logistic regression": {"hidden": "0"},
    "deep": {"hidden": "8-8-8-8", "activation": "relu"},
    "minibatches": {"batch_size": "8"},
    "biases decay": {"decayed": "biases"},
    "an old link": {"decay_biases": "1", "layer_norm": "1"},
    "cosine": {"schedule": "cosine", "nesterov": "1"},
    "same lambda": {"weight_decay_adaptive": "0.02"},
    "one step": {"steps": "1"},
    "all variants": {"variants": ",".join(VARIANTS)},
    "one variant": {"variants": "sgd"},
    "one half of a pair": {"variants": "adamw"},
    **{f"dataset {name}": {"dataset": name} for name in DATASETS},
}


def opened(script: Path, query: dict[str, Any]) -> AppTest:
    """A page opened with a link, without an exception."""
    at = AppTest.from_file(str(script), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    return at


def said(at: AppTest) -> str:
    """All warnings on a page."""
    return "\n".join(warning.value for warning in at.warning)


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request):
    return request.param


@pytest.fixture(params=PICTURES, ids=lambda path: path.stem)
def picture(request):
    return request.param


def test_page_as_it_opens(script):
    at = opened(script, {})
    assert not at.warning
    assert not at.error
    assert len(at.title) == 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_is_sensible(picture, name):
    at = opened(picture, QUICK | EXPERIMENTS[name])
    assert not at.warning
    assert not at.error
    assert any("parameters, the same initial weights" in caption.value for caption in at.caption)


@pytest.mark.parametrize("name", ["no decay at all", "eta 100", "LayerNorm", "all variants", "one step"])
def test_folded_panels_open(picture, name):
    at = opened(picture, QUICK | EXPERIMENTS[name])
    folded = len(at.markdown)
    for panel in ("measured", "rules"):
        at.session_state[panel] = True
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    assert len(at.markdown) > folded
    text = "\n".join(element.value for element in at.markdown)
    assert "holds" in text or "Not on this run" in text
    assert "test_" in text
    assert any("optimizer" in code.value for code in at.code)


@pytest.mark.parametrize("kept", [{"points": "20"}, {"weight_decay": "0.05", "seed": "7"}], ids=str)
def test_link_stays_after_a_rerun(script, kept):
    at = opened(script, QUICK | kept)
    at.run()
    assert not at.exception
    for name, text in kept.items():
        assert at.session_state.experiment.to_query()[name] == text


# ---- links that nobody should have written ---------------------------------------------------------------------

NASTY = [
    *("nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "-1", "-0", "0", "1", "2", "1.5", "1,5", "1e3", "1_0", "0x10"),
    *("", " ", "NaN", "None", "null", "true", "9" * 30, "1٣", "１２", "½", "λ", "😀", "\u202e", "\x00", "a" * 300),
    *("32-32-", "-", "99999-1", "1-1-1-1-1", "0-0", "sgd,sgd", "sgd,", ",", "SGD", "moons\n", "../../etc", "{{7*7}}"),
    *("`x`", "<b>x</b>", "**x**", "$x$", ":red[x]", "[x](y)"),
]
# Values that are fine and slow belong to no test of links.
FAST = {
    "steps": ["1", "5", "20", "nan", "1e999", "-3", "2.5", "x"],
    "hidden": ["0", "4", "8-8", "x", "-4", "0-0", "1e9"],
}
RESERVED = {"embed", "embed_options"}  # Streamlit's own
names = st.one_of(st.sampled_from(sorted(KNOBS)), st.sampled_from(["v", "V", "lamda", "λ", "a b", "%", "`"]), st.text())


@st.composite
def queries(draw):
    """Parameters of a link: known and unknown names, each once or repeated."""
    query: dict[str, Any] = {}
    for name in draw(st.lists(names, max_size=6, unique=True)):
        values = st.sampled_from(FAST.get(name, NASTY)) if name in FAST else st.sampled_from(NASTY) | st.text()
        query[name] = draw(values | st.lists(values, min_size=2, max_size=3))
    return {"steps": "20", "points": "10"} | {name: value for name, value in query.items() if name not in RESERVED}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(query=queries())
@example(query={"weight_decay": "nan", "foo": "1", "points": "1e999", "hidden": "9999999-9999999", "steps": "20"})
@example(query={"points": ["20", "30"], "steps": "20"})
@example(query={"v": "2", "steps": "20"})
def test_any_link_opens(path, query):
    at = opened(path, query)
    _, notices = Experiment.from_query(apart(query)[0])
    for notice in notices[:SHOWN_NOTICES]:
        assert notice in said(at)
    if not notices:
        assert not at.warning


BAD: dict[str, dict[str, Any]] = {
    "`weight_decay=nan`": {"weight_decay": "nan"},
    "`weight_decay=inf`": {"weight_decay": "inf"},
    "`weight_decay=-1`": {"weight_decay": "-1"},
    "`points=1e999`": {"points": "1e999"},
    "`points=2.5`": {"points": "2.5"},
    "`points` 2 times": {"points": ["20", "30"]},
    "`hidden=999999`": {"hidden": "999999"},
    "`variants=sgd,nonsense`": {"variants": "sgd,nonsense"},
    "`dataset=mars`": {"dataset": "mars"},
    "`ключ`": {"ключ": "1"},
    "version `99`": {"v": "99"},
}


@pytest.mark.parametrize("named", BAD)
def test_the_warning_names_what_was_dropped(script, named):
    at = opened(script, QUICK | BAD[named])
    assert len(at.warning) == 1
    assert named in said(at)


# ---- controls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_opens(preset):
    at = opened(ROOT / "app.py", {})
    at.selectbox(key="preset").select(preset).run()
    assert not at.exception
    assert not at.warning
    assert at.session_state.experiment == Experiment.from_query(PRESETS[preset])[0]


GROUPS = ("group_Training", "group_Data", "group_Model")


def fold(at: AppTest, opened: bool) -> AppTest:
    """Open or fold the groups of knobs, and run; AppTest forgets an expander's state after a run."""
    for group in GROUPS:
        at.session_state[group] = opened
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    return at


def test_a_group_of_knobs_keeps_what_was_set_in_it_when_it_is_folded_again():
    at = opened(ROOT / "app.py", QUICK | {"noise": "0.2"})
    with pytest.raises(KeyError):
        at.select_slider(key="knob_noise")
    fold(at, opened=True)
    assert at.select_slider(key="knob_noise").value == 0.2
    at.select_slider(key="knob_noise").set_value(0.1)
    at.selectbox(key="knob_hidden").set_value("8-8")
    fold(at, opened=True)
    before = at.session_state.experiment
    assert before == replace(Experiment.from_query(QUICK)[0], noise=0.1, hidden=(8, 8))
    fold(at, opened=False)
    fold(at, opened=False)
    assert at.session_state.experiment == before
    next(button for button in at.button if button.icon == ":material/casino:").click()
    fold(at, opened=False)
    assert at.session_state.experiment == replace(before, seed=at.session_state.experiment.seed)
    assert at.session_state.experiment.seed != before.seed
    assert fold(at, opened=True).select_slider(key="knob_noise").value == 0.1


def test_a_preset_reaches_folded_and_open_groups():
    at = fold(opened(ROOT / "app.py", {}), opened=True)
    at.selectbox(key="preset").select("A line and a prior")
    fold(at, opened=True)
    assert at.session_state.experiment == Experiment.from_query(PRESETS["A line and a prior"])[0]
    assert at.select_slider(key="knob_points").value == 20


def test_reset_keeps_the_seed_and_nothing_else():
    at = opened(ROOT / "app.py", QUICK | {"seed": "7", "weight_decay": "0.1", "dataset": "xor"})
    next(button for button in at.button if "Reset" in button.label).click().run()
    assert not at.exception
    assert at.session_state.experiment == Experiment(seed=7)


def test_who_waits_for_a_turn_reads_how_many_are_ahead(monkeypatch):
    told, waiting = [], threading.Event()

    def hear(tell):
        def note(share, text):
            told.append(text)
            waiting.set()

        return note

    monkeypatch.setattr(_ui, "_now_and_then", hear)
    monkeypatch.setattr(_ui, "PATIENCE", 0.0)
    monkeypatch.setattr(_ui, "TURNS", Turns(at_once=1))
    other = threading.Thread(target=_ui.TURNS.take, args=(lambda give_way: waiting.wait(30), lambda: None))
    other.start()
    at = opened(ROOT / "pages" / "boundaries.py", {"steps": "33", "points": "31"})
    other.join(30)
    assert told[0] == "1 ahead of you"
    assert not at.exception
