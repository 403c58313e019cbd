"""The footer of a slide: it says what was trained, with every knob that the variants on the slide use."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from engine import VARIANTS, Experiment, train
from engine.experiment import KNOBS
from engine.figures import FIGURES, Shot
from engine.figures.figure import shot_of
from engine.knobs import Number
from engine.slides.slide import settings, slide_of

EVERY = Experiment(variants=tuple(VARIANTS))
LINES = {
    "moons, noise 0.4, N = 24, seed 3 · MLP 2-16-16-1 tanh · η = 0.7, λ = 0.03 (SGD); η = 0.01, λ = 2.1 (Adam) · "
    "300 steps": Experiment(),
    "xor, noise 0.2, N = 60, seed 3 · logistic regression · η = 0.7, λ = 0.03 (SGD) · 1 step, batches of 8":
        Experiment(dataset="xor", noise=0.2, points=60, hidden=(), layer_norm=True, variants=("sgd", "sgdw"), steps=1,
                   batch_size=8, momentum=0.5, max_norm=5),
    "moons, noise 0.4, N = 24, seed 3 · MLP 2-16-16-1 tanh, LayerNorm · η = 0.7 (SGD), λ = 0.03 (Momentum); η = 0.01 "
    "(Adam), λ = 2.1 (RMSProp, Lion), λ = 0.021 (AdamW, paper form); μ = 0.9, Nesterov; c = 5; decay on all parameters "
    "· 300 steps, η cosine":
        Experiment(layer_norm=True, max_norm=5, nesterov=True, decayed="all", schedule="cosine",
                   variants=("sgd", "max_norm", "momentum_w", "rmsprop_w", "adam", "lion", "adamw_paper")),
    "moons, noise 0.4, N = 24, seed 3 · MLP 2-16-16-1 tanh · η = 0.01, λ = 0.5 (SGD, Adam); decay on biases too · "
    "300 steps":
        Experiment(lr=0.01, weight_decay=0.5, weight_decay_adaptive=0.5, decayed="biases",
                   variants=("sgdw", "adamw_paper")),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_line(line):
    assert settings(LINES[line]) == line


SMALL = {"points": st.integers(2, 8), "steps": st.integers(1, 4), "seed": st.integers(0, 50),
         "hidden": st.sampled_from([(), (3,), (2, 3)]), "batch_size": st.none() | st.integers(1, 9)}  # fmt: skip


def values(name):
    """Some values of a knob, as the sliders have them."""
    knob = KNOBS[name]
    if name in SMALL:
        return SMALL[name]
    if isinstance(knob, Number):
        grid = st.sampled_from(knob.grid)
        return st.none() | grid if name == "weight_decay_adaptive" else grid
    return st.booleans() if isinstance(getattr(Experiment, name), bool) else st.sampled_from(list(knob.options))


KNOBS_BESIDE = [entry.name for entry in fields(Experiment) if entry.name != "variants"]
CHOSEN = st.just(tuple(VARIANTS)) | st.lists(st.sampled_from(list(VARIANTS)), min_size=1, max_size=8, unique=True).map(
    tuple
)
EXPERIMENTS = st.builds(Experiment, variants=CHOSEN, **{name: values(name) for name in KNOBS_BESIDE})


def same_run(one, other):
    a, b = train(one), train(other)
    if a.film.shape != b.film.shape or not np.array_equal(a.data.x_train, b.data.x_train):
        return False
    return np.allclose(a.film, b.film, rtol=1e-5, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("name", KNOBS_BESIDE)
@profile(max_examples=40)
@given(data=st.data())
def test_experiments_that_train_to_different_runs_have_different_lines(name, data):
    one = data.draw(EXPERIMENTS)
    other = replace(one, **{name: data.draw(values(name))})
    assert settings(one) != settings(other) or same_run(one, other)


USED = {
    "dataset": "xor", "noise": 0.3, "points": 30, "seed": 4, "hidden": (8,), "activation": "relu", "layer_norm": True,
    "lr": 0.5, "lr_adaptive": 0.02, "momentum": 0.8, "nesterov": True, "schedule": "cosine", "steps": 299,
    "batch_size": 8, "weight_decay": 0.05, "weight_decay_adaptive": 0.1, "decayed": "biases", "max_norm": 2.0,
}  # fmt: skip


@pytest.mark.parametrize("name", KNOBS_BESIDE)
def test_every_knob_that_is_used_is_in_the_line(name):
    assert settings(replace(EVERY, **{name: USED[name]})) != settings(EVERY)


@pytest.mark.parametrize("name", ["lr_adaptive", "weight_decay_adaptive", "momentum", "nesterov", "max_norm"])
def test_a_knob_that_nobody_uses_is_left_out(name):
    plain = Experiment(variants=("sgd", "sgd_l2"))
    assert settings(replace(plain, **{name: USED[name]})) == settings(plain)


def footer(key, experiment=Experiment(), **options):  # noqa: B008  it is frozen
    shot = shot_of(key, experiment, **options)
    return settings(FIGURES[key].seen(shot), FIGURES[key].axes)


def test_the_footer_is_that_of_what_was_trained():
    quick = Experiment(steps=20, variants=("sgdw",))
    shot = Shot("norms.box", quick)
    assert slide_of(shot).settings == settings(FIGURES["norms.box"].seen(shot))
    assert "(Adam, Lion)" in slide_of(shot).settings
    for key in ("norms.settled", "norms.turns"):
        assert all(word in footer(key) for word in ("N = 200", "LayerNorm", "biases too", "1,000 steps", "batches of"))
    assert all("logistic regression" in footer(f"prior.{name}") for name in ("weights", "plug_in", "distance"))
    assert "6,000 steps" in footer("prior.data_long")
    assert "Momentum" in footer("coupling.apart")
    assert "λ = 0.03 (RMSProp, Adam)" in footer("coupling.rates")
    assert footer("two_decays.norms", Experiment(variants=("sgd",))).endswith("(Adam) · 300 steps, η cosine")


def test_what_a_figure_varies_itself_is_not_given_a_value():
    for key in ("map.left", "map.right"):
        text = footer(key)
        assert "λ and η on the axes" in text
        assert "seeds 3 to 6" in text
        assert not any(sign in text for sign in ("λ =", "η =", "seed 3"))
    assert "η = 0.01, λ on the axis (Adam)" in footer("map.left_losses")
    for name in ("table", "losses", "gains"):
        text = footer(f"what_to_decay.{name}", Experiment(decayed="biases"))
        assert "several choices of what decays" in text
        assert "biases" not in text
        assert "LayerNorm" in text
    for name in ("over_lambda", "norms_over_lambda"):
        both = footer(f"boundaries.{name}")
        assert "η = 0.7, λ on the axis (SGD); η = 0.01, λ = 70 × the axis's (Adam)" in both
        assert "λ = 0.1 (Adam)" in footer(f"boundaries.{name}", Experiment(weight_decay_adaptive=0.1))
        one = footer(f"boundaries.{name}", Experiment(weight_decay_adaptive=0.03))
        assert "λ on the axis (SGD); η = 0.01, λ on the axis (Adam)" in one


def test_what_is_solved_for_or_drawn_has_no_training():
    for name in ("plug_in", "averaged", "evidence", "linear_evidence", "paths", "coefficients"):
        assert footer(f"prior.{name}").endswith("logistic regression · λ = 0.03")
    assert footer("prior.networks").endswith("seed 3 · MLP 2-16-16-1 tanh")
