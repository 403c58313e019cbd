"""What pages 1 and 7 and the read-out of λ say is true at the ends of the knobs."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine import VARIANTS

ROOT = Path(__file__).parents[2]


def read(page, **query):
    """All Markdown and captions of a page opened with a link."""
    at = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return "\n".join(element.value for element in [*at.markdown, *at.caption])


# ---- page 1: pairs ---------------------------------------------------------------------------------------------


def test_without_lambda_no_pair_is_said_to_show_the_identity():
    text = read("boundaries", weight_decay="0", steps="30", variants="sgd_l2,sgdw,momentum_l2,momentum_w,adam_l2,adamw")
    assert text.count("are the same optimizer at λ = 0") == 3
    assert "and that is weight decay" not in text


@pytest.mark.parametrize(
    "query",
    [
        {"lr_adaptive": "1e-06", "weight_decay_adaptive": "1e-05", "steps": "5", "variants": "adam_l2,adamw"},
        {"lr": "1e-05", "weight_decay": "1e-05", "steps": "5", "variants": "momentum_l2,momentum_w"},
    ],
    ids=["adam", "momentum"],
)
def test_pairs_that_have_not_yet_come_apart_are_not_called_the_same(query):
    text = read("boundaries", **query)
    assert "are still together" in text
    assert "are the same" not in text


def test_momentum_zero_blames_no_velocity():
    text = read("boundaries", momentum="0", lr="10", steps="1000", variants="momentum_l2,momentum_w")
    assert "same on paper" in text
    assert "velocity" not in text


@pytest.mark.parametrize(
    ("weight_decay", "words"), [("0.03", "2.1 % a step, and ‖w‖ ends at 5.34"), ("1", "it has won too")]
)
def test_what_became_of_the_twin_of_dead_weights(weight_decay, words):
    text = read("boundaries", weight_decay=weight_decay, variants="adam_l2,adamw")
    assert "the penalty has won" in text
    assert words in text


def test_an_axis_that_costs_too_much_is_not_trained_and_the_page_says_so():
    text = read("boundaries", hidden="64-64", points="2000", steps="40")
    assert "more than this page trains at once" in text
    assert "more than this page trains at once" not in read("boundaries", points="200", steps="400")


# ---- λ's read-out ----------------------------------------------------------------------------------------------


def test_l1_and_max_norm_neither_vanish_nor_explode():
    text = read("boundaries", variants="sgd,l1,max_norm", steps="30")
    assert "ηλ = **2.1 %** a step" in text
    assert "invisible" not in text
    assert "τ" not in text.split("Losses")[0].split("a step")[1][:5]
    assert "flips" not in read("boundaries", variants="sgd,l1,max_norm", steps="30", weight_decay="5")


def test_each_variant_is_judged_by_its_own_rate():
    query = {"weight_decay": "0.0005", "momentum": "0.99", "steps": "300"}
    assert "SGD + L2: τ is far beyond" in read("boundaries", **query, variants="sgd_l2,momentum_l2,sgds")
    query = {"weight_decay": "4", "momentum": "0.9", "steps": "30"}
    assert "SGD + L2: ηλ is so large" in read("boundaries", **query, variants="sgd_l2,momentum_l2")
    assert "SGD + L2, Momentum + L2: ηλ is so large" in read(
        "boundaries", **query | {"weight_decay": "6"}, variants="sgd_l2,momentum_l2"
    )


def test_the_papers_lambda_is_not_called_eta_lambda():
    text = read("boundaries", variants="adamw_paper", steps="30")
    assert "λ = **2.1 %** a step" in text
    assert "ηλ = **" not in text
    assert "ηλ = **2.1 %**" in read("boundaries", variants="adamw_paper,lion", steps="30")


@pytest.mark.parametrize("key", VARIANTS)
def test_every_variant_alone_has_a_read_out(key):
    text = read("boundaries", variants=key, steps="30")
    assert ("No variant on screen decays" in text) == (not VARIANTS[key].has_weight_decay)


# ---- page 7 ----------------------------------------------------------------------------------------------------


def test_a_diverged_run_is_named():
    assert "diverged at step" in read("two_decays", lr_adaptive="1", weight_decay_adaptive="10", steps="100")


def test_decay_that_overshoots_is_not_said_to_fall():
    assert "decay falls with it" in read("two_decays", steps="50")
    assert "decay falls with it" not in read("two_decays", lr_adaptive="0.19", weight_decay_adaptive="10", steps="50")
    assert "decay falls with it" not in read("two_decays", schedule="step", steps="1")


def test_a_share_near_one_is_a_sentence():
    text = read("two_decays", weight_decay="1e-06")
    assert "would leave nearly all of a weight" in text
