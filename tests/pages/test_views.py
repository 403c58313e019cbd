"""Every view of the page of weight norms with the experiments that make it awkward."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine import VARIANTS, Experiment, equilibrium, probe, rates

SCRIPT = Path(__file__).parents[2] / "pages" / "norms.py"
AWKWARD = {
    "as it is": {},
    "two points": {"points": "2"},
    "no decay": {"weight_decay": "0"},
    "diverged": {"lr": "100", "lr_adaptive": "10", "weight_decay": "10", "weight_decay_adaptive": "10"},
    "logistic regression": {"hidden": "0"},
    "one step": {"steps": "1"},
    "all variants": {"variants": ",".join(VARIANTS), "schedule": "cosine", "nesterov": "1"},
    "nothing decays": {"variants": "sgd"},
}


CASES = [(view, name) for view in ("settled", "box") for name in AWKWARD]
CASES += [(view, name) for view in ("weights", "histogram") for name in ("one step", "all variants")]


@pytest.mark.parametrize(("view", "name"), CASES)
def test_view_is_sensible(view, name):
    at = AppTest.from_file(str(SCRIPT), default_timeout=60)
    at.session_state.view = view
    for key, value in ({"steps": "30", "points": "12"} | AWKWARD[name]).items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    assert not at.warning
    assert not at.error


def test_the_equilibrium_says_what_it_trains_instead():
    at = AppTest.from_file(str(SCRIPT), default_timeout=60)
    at.session_state.view = "settled"
    at.run()
    said = "\n".join(caption.value for caption in at.caption)
    assert all(word in said for word in ("LayerNorm", "decay on biases", "batches of 8", "1,000 steps"))
    assert any("effective learning rate" in line.value for line in at.markdown)


@pytest.mark.parametrize("knobs", [{}, {"hidden": (64, 64)}, {"variants": tuple(VARIANTS)}], ids=str)
def test_ordinary_trainings_are_taken_again(knobs):
    assert probe.affordable(rates.paired(Experiment(**knobs)))
    assert probe.affordable(equilibrium.settling(Experiment(**knobs)))


@pytest.mark.parametrize(("page", "view"), [("coupling", "layers"), ("norms", "settled"), ("norms", "box")])
def test_a_training_too_long_to_be_taken_again_leaves_the_measured_figures_out(page, view, monkeypatch):
    monkeypatch.setattr(probe, "REPLAY_BUDGET", 1.0)
    monkeypatch.setattr(rates, "replay", None)
    monkeypatch.setattr(equilibrium, "replay", None)
    at = AppTest.from_file(str(SCRIPT.with_name(f"{page}.py")), default_timeout=60)
    for key, value in {"steps": "31", "points": "13", "layer_norm": "1"}.items():
        at.query_params[key] = value
    at.session_state.view = view
    at.session_state.measured = True
    at.session_state.downloads = True
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    said = "\n".join(line.value for line in at.markdown)
    assert probe.TOO_LONG in said
    assert "diverged" not in said
    if page == "norms":
        assert "start at ‖w‖" in said
    else:
        assert "**Adam + L2 and AdamW are not the same" in said
