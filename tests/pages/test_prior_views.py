"""Every view of the prior's page with ordinary and with awkward experiments."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine import Experiment
from engine.datasets import make_data

PAGE = Path(__file__).parents[2] / "pages" / "prior.py"
VIEWS = ["predictive", "networks", "evidence", "l1", "ends"]
ONE_CLASS = next(s for s in range(99) if len(set(make_data("moons", Experiment.noise, 2, s).y_train)) == 1)
AWKWARD = {
    "one class": {"points": "2", "seed": str(ONE_CLASS)},
    "no prior, separable": {"weight_decay": "0", "dataset": "blobs", "noise": "0"},
    "diverged": {"weight_decay": "10", "lr": "3"},
    "no prior, LayerNorm": {"weight_decay": "0", "layer_norm": "1", "momentum": "0"},
}


def opened(view, query):
    at = AppTest.from_file(str(PAGE), default_timeout=60)
    for name, value in ({"steps": "30"} | query).items():
        at.query_params[name] = value
    at.session_state.prior_view = view
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    assert not at.warning
    assert not at.error
    return at


def words(at):
    return "\n".join(element.value for element in [*at.markdown, *at.info])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", AWKWARD)
def test_view_is_sensible(view, name):
    text = words(opened(view, AWKWARD[name]))
    assert "nan" not in text.replace("nant", "")
    if name == "one class" and view != "networks":
        assert "All labels are" in text


def test_predictive_says_how_much_less_certain_the_average_is():
    assert "averaged over the posterior it is 57%" in words(opened("predictive", {}))


def test_evidence_says_the_best_sigma():
    text = words(opened("evidence", {}))
    assert "The logistic evidence is highest at σ = 2.06" in text
    assert "1.48 times less probable" in text


def test_evidence_of_separable_classes_has_no_peak():
    text = words(opened("evidence", {"dataset": "blobs", "noise": "0"}))
    assert "still rises at the largest σ**: a line separates the classes" in text


def test_ends_says_who_arrives():
    text = words(opened("ends", {}))
    assert text.count("**ends at the MAP**") == 2
    assert text.count("**not at the MAP**") == 2
    assert "**(1 − μ)λ** = 0.003 it is" in text
    assert "✗" not in text


def test_ends_says_what_stops_them():
    assert "With minibatches nobody arrives" in words(opened("ends", {"batch_size": "8"}))
    assert "SGDW is SGD + L2 only there" in words(opened("ends", {"momentum": "0"}))
    assert "diverged at step" in words(opened("ends", {"weight_decay": "10"}))


def test_ends_says_who_does_not_settle():
    text = words(opened("ends", {"lr": "100", "weight_decay": "0.015"}))
    assert "**SGD + L2** **does not settle at this η**" in text
    assert "on its way to the MAP" not in text
    assert "kept jittering by its minibatches" in words(opened("ends", {"batch_size": "8"}))
    assert "is on its way to the MAP" in words(opened("ends", {"lr": "0.001"}))


def test_an_opened_panel_has_no_exception_where_the_noise_is_tiny():
    at = AppTest.from_file(str(PAGE), default_timeout=60)
    query = {"steps": "30", "dataset": "xor", "noise": "1.0", "points": "4", "seed": "7"}
    for name, value in query.items():
        at.query_params[name] = value
    at.session_state.prior_view = "evidence"
    at.session_state.measured = True
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    assert "rounds it away" in words(at)


def test_prior_networks_follow_the_sidebar():
    assert "Small weights are smooth functions" in words(opened("networks", {}))
    assert "every line is straight" in words(opened("networks", {"hidden": "0"}))


def test_l1_says_where_weights_become_zero():
    text = words(opened("l1", {"weight_decay": "0.25"}))
    assert "w₁ is exactly 0 from about λ = 0.2" in text
    assert "one of the two weights is zero under L1" in text
