"""Posterior, evidence, L1 and long trainings of the prior's page, against independent truths, in float64."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression

from engine import Experiment, bayes, claims, corrections, evidence, networks, prior, sparse, train
from engine.claims.prior import dense_evidence, mackay_sigma
from engine.datasets import make_data
from engine.mlp import Architecture
from engine.scene import two_weight

ONE_CLASS = dict(points=2, seed=next(s for s in range(99) if len(set(make_data("moons", 0.4, 2, s).y_train)) == 1))
SEPARABLE = dict(dataset="blobs", noise=0.0)
train64 = partial(train, dtype=torch.float64)


def points(n=30, seed=0):
    """Off-centre points with noisy labels, so that the intercept and its coupling to w matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal([0.6, -0.4], [1.0, 1.4], size=(n, 2))
    y = (x @ [1.5, -1.0] + 0.4 + rng.logistic(size=n) > 0).astype(int)
    y[:2] = 0, 1
    return x, y


def belief(x, y, weight_decay=0.02):
    return bayes.posterior(x, y, prior.map_fit(x, y, weight_decay), weight_decay)


# ---- posterior -------------------------------------------------------------------------------------------------


def test_the_posterior_of_the_weights_alone_is_its_block():
    x, y = points()
    fit = prior.map_fit(x, y, 0.02)
    block = belief(x, y).covariance[:2, :2]
    np.testing.assert_allclose(block, prior.laplace_covariance(x, y, fit, 0.02), rtol=1e-9)


def test_draws_have_the_posteriors_mean_and_covariance():
    ours = belief(*points())
    draws = ours.draws(200_000, seed=1)
    np.testing.assert_allclose(draws.mean(axis=0), ours.mean, atol=5 * np.sqrt(ours.covariance.max() / 200_000))
    np.testing.assert_allclose(np.cov(draws.T), ours.covariance, rtol=0.03, atol=0.005)


def test_predictive_is_the_average_over_draws():
    ours, where = belief(*points()), np.random.default_rng(2).normal(size=(20, 2)) * 2
    draws = ours.draws(40_000, seed=3)
    sampled = expit(where @ draws[:, :2].T + draws[:, 2]).mean(axis=1)
    np.testing.assert_allclose(bayes.predictive(ours, where), sampled, atol=4 * 0.5 / np.sqrt(40_000))


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (2.0, 0.1), (-3.0, 5.0), (4.0, 9.0)])
def test_predictive_is_the_integral(mean, deviation):
    ours = bayes.Posterior(np.array([0.0, 0.0, mean]), np.diag([1.0, 1.0, deviation**2]))
    truth = quad(lambda u: expit(mean + deviation * u) * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi), -9, 9, limit=200)[0]
    assert bayes.predictive(ours, np.zeros((1, 2)))[0] == pytest.approx(truth, abs=1e-9)


def test_the_average_is_less_certain_than_the_map_and_agrees_on_the_line():
    x, y = points()
    ours = belief(x, y)
    where = np.random.default_rng(0).normal(size=(500, 2)) * 3
    one, many = bayes.plug_in(ours, where), bayes.predictive(ours, where)
    assert np.all(np.abs(many - 0.5) < np.abs(one - 0.5) + 1e-12)
    assert np.all((many > 0.5) == (one > 0.5))


@pytest.mark.parametrize("problem", [ONE_CLASS, SEPARABLE])
def test_no_posterior_without_an_optimum(problem):
    exp = Experiment(weight_decay=0.0, **problem)
    data = make_data(exp.dataset, exp.noise, exp.points, exp.seed)
    with pytest.raises(ValueError, match=r"All labels are|a line separates"):
        belief(data.x_train, data.y_train, 0.0)


# ---- evidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 10, 60])
def test_linear_evidence_is_the_density_of_the_targets(n):
    x, y = points(n)
    t, noise, sigmas = 2.0 * y - 1, 0.7, np.array([0.0, 0.05, 1.0, 30.0])
    ours = evidence.linear(x, t, sigmas, noise)
    np.testing.assert_allclose(ours, [dense_evidence(x, t, sigma, noise) for sigma in sigmas], rtol=1e-10)
    wide = 1e3  # a prior on b so wide that it is flat: its height 1/(√2π·wide) is what a density of 1 per unit lacks
    for sigma, value in zip(sigmas, ours, strict=True):
        covariance = sigma**2 * x @ x.T + noise**2 * np.eye(n) + wide**2
        flat = multivariate_normal.logpdf(t, np.zeros(n), covariance) + np.log(np.sqrt(2 * np.pi) * wide)
        assert value == pytest.approx(flat, abs=1e-5)


def brute_force(x, y, sigma, half=9.0, count=91):
    """log ∫ p(y|w, b) N(w|0, σ²I) dw db on an even grid about the MAP, half deviations of the posterior wide."""
    weight_decay = 1 / (len(y) * sigma**2)
    ours = belief(x, y, weight_decay)
    axes = [m + s * np.linspace(-half, half, count) for m, s in zip(ours.mean, np.sqrt(np.diag(ours.covariance)))]  # noqa: B905
    w1, w2, b = np.meshgrid(*axes, indexing="ij", sparse=True)
    total = -(w1**2 + w2**2) / (2 * sigma**2) - np.log(2 * np.pi * sigma**2) + 0 * b
    for (u, v), label in zip(x, y, strict=True):
        total = total - np.logaddexp(0, (1 - 2 * label) * (w1 * u + w2 * v + b))
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    return np.log(np.exp(total - total.max()).sum() * cell) + total.max()


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_logistic_evidence_is_the_integral(sigma):
    x, y = points(24)
    truth = brute_force(x, y, sigma)
    assert evidence.integrated(x, y, [sigma])[0] == pytest.approx(truth, abs=0.003)
    assert evidence.laplace(x, y, [sigma])[0] == pytest.approx(truth, abs=0.2)


def test_laplace_gets_better_with_the_number_of_points():
    errors = []
    for n in (12, 48, 192):
        x, y = points(n, seed=n)
        errors.append(abs(evidence.laplace(x, y, [1.0])[0] - evidence.integrated(x, y, [1.0])[0]))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_the_peak_of_the_linear_evidence_is_mackays():
    x, y = points(40)
    found = evidence.evidence(x, y, 1.0)
    sigma, top, inside = evidence.peak(found.sigmas, found.linear)
    assert inside
    assert sigma == pytest.approx(mackay_sigma(x, 2.0 * y - 1, sigma, found.noise), rel=0.01)
    assert mackay_sigma(x, 2.0 * y - 1, 4 * sigma, found.noise) < 3 * sigma  # elsewhere it is not a fixed point
    assert top >= found.linear.max()


def test_peak_of_a_parabola_is_exact():
    sigmas = np.geomspace(0.1, 10, 21)
    sigma, top, inside = evidence.peak(sigmas, 3 - 2 * np.log(sigmas / 1.37) ** 2)
    assert (sigma, top, inside) == (pytest.approx(1.37), pytest.approx(3), True)
    assert evidence.peak(sigmas, np.log(sigmas)) == (10, pytest.approx(np.log(10)), False)


def test_the_axis_of_sigma_holds_the_current_one():
    x, y = points()
    for sigma in (1e-3, 1.0, 500.0):
        found = evidence.evidence(x, y, sigma)
        assert found.sigmas[0] < sigma < found.sigmas[-1]
        assert np.isfinite([*found.logistic, *found.linear, *found.integrated]).all()
    assert "one class" in evidence.evidence(x, np.ones(len(y), dtype=int), 1.0)


@pytest.mark.parametrize(
    "knobs",
    [
        {"dataset": "xor", "noise": 1.0, "points": 4, "seed": 7},
        {"dataset": "moons", "noise": 0.0, "points": 4, "seed": 0, "weight_decay": 1e-5},
        {"dataset": "circles", "noise": 0.0, "points": 4, "seed": 0, "weight_decay": 1e-5},
    ],
    ids=str,
)
def test_a_noise_that_rounds_away_is_a_reason(knobs):
    run = train64(two_weight(Experiment(steps=1, **knobs)))
    assert "rounds it away" in claims.CLAIMS["linear_evidence_is_exact"].check(run)
    assert not isinstance(claims.CLAIMS["peak_is_mackays"].check(run), str)


# ---- L1 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_l1_satisfies_its_conditions(seed):
    x, y = points(25, seed)
    decays = np.geomspace(1.0, 1e-3, 12)
    for weight_decay, (w1, w2, b) in zip(decays, sparse.l1_path(x, y, decays), strict=True):
        w, residual = np.array([w1, w2]), (expit(x @ [w1, w2] + b) - y) / len(y)
        slopes = residual @ x
        assert abs(residual.sum()) <= 1e-10
        assert np.all(np.abs(slopes) <= weight_decay + 1e-10)
        assert np.all(np.abs(slopes + weight_decay * np.sign(w))[w != 0] <= 1e-10)


def test_a_weight_with_less_than_the_full_slope_fails(monkeypatch):
    claim, run = claims.CLAIMS["l1_slopes"], train64(two_weight(Experiment(steps=1)))
    assert all(claim.holds(value) for value in claim.check(run))
    less = sparse.l1_path(run.data.x_train, run.data.y_train, [0.5 * run.experiment.weight_decay])
    monkeypatch.setattr(claims.prior, "l1_path", lambda x, y, decays: less)
    assert not all(claim.holds(value) for value in claim.check(run))


def test_l1_is_scikit_learns_answer_where_a_weight_is_left():
    x, y = points(25)
    for weight_decay in (0.003, 0.03, 0.1):
        model = LogisticRegression(
            l1_ratio=1, solver="saga", C=1 / (weight_decay * 25), tol=1e-12, max_iter=100_000, random_state=0
        ).fit(x, y)
        ours = sparse.l1_path(x, y, [weight_decay])[0]
        np.testing.assert_allclose(ours, [*model.coef_[0], *model.intercept_], atol=1e-4)


def test_zeros_are_exact_and_begin_where_they_are_said_to():
    x, y = points(40)
    found = sparse.sparse(x, y, 0.02)
    top = sparse.all_zero_from(x, y)
    assert max(found.zero_from) == pytest.approx(top, rel=0.011)
    for j, start in enumerate(found.zero_from):
        below, above = sparse.l1_path(x, y, [start * 1.001])[0, j], sparse.l1_path(x, y, [start * 0.98])[0, j]
        assert below == 0
        assert above != 0
    assert np.all(found.gauss[:, :2] != 0)
    np.testing.assert_array_equal(found.here, sparse.l1_path(x, y, [0.02])[0])


def test_l1_refuses_what_has_no_answer():
    x, y = points()
    assert "one class" in sparse.sparse(x, np.zeros(len(y), dtype=int), 0.1)
    with pytest.raises(ValueError, match="both classes"):
        sparse.l1_path(x, np.zeros(len(y)), [0.1])
    with pytest.raises(ValueError, match="above zero"):
        sparse.l1_path(x, y, [0.0])


# ---- long trainings --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far():
    return train64(corrections.far_beyond(two_weight(Experiment())))


def test_the_penalty_in_the_gradient_ends_at_the_map(far):
    best = corrections.theta(prior.map_fit(far.data.x_train, far.data.y_train, far.experiment.weight_decay))
    ends = {key: np.linalg.norm(far.film[-1, far.row(key)] - best) for key in far.experiment.variants}
    assert ends["sgd_l2"] <= 1e-9
    assert ends["adam_l2"] <= 1e-9
    assert ends["adamw"] > 0.5
    assert ends["momentum_w"] > 0.5
    weaker = prior.map_fit(far.data.x_train, far.data.y_train, 0.1 * far.experiment.weight_decay)
    assert np.linalg.norm(far.film[-1, far.row("momentum_w")] - corrections.theta(weaker)) <= 1e-9


def test_adam_arrives_later_than_sgd(far):
    found = corrections.journey(far, train64)
    first = {key: found.steps[np.argmax(values <= 1e-3)] for key, values in found.to_map.items()}
    assert first["sgd_l2"] < first["adam_l2"]
    assert found.steps[0] == 1
    assert np.all(np.diff(found.steps) > 0)


def test_early_steps_are_those_of_the_long_training(far):
    found = corrections.journey(far, train64)
    best = corrections.theta(prior.map_fit(far.data.x_train, far.data.y_train, far.experiment.weight_decay))
    for step in (40, 400, 450):  # the last steps of the short trainings, and the first after them
        shorter = train64(replace(far.experiment, steps=step))
        truth = np.linalg.norm(shorter.film[-1, shorter.row("adamw")] - best)
        assert found.to_map["adamw"][found.steps == step] == pytest.approx(truth, rel=1e-9)


def test_an_exact_arrival_has_a_place_on_a_log_axis():
    run = train64(two_weight(Experiment(weight_decay=1.0, steps=2000)))
    values = corrections.journey(run, train64).to_map["sgd_l2"]
    assert corrections.SMALLEST <= values.min() <= 1e-15


def test_adamw_is_on_its_way_to_the_box():
    run = train64(corrections.far_beyond(two_weight(Experiment(weight_decay=3.0, lr=0.1))))
    box = corrections.box_optimum(run.data.x_train, run.data.y_train, 1 / 3)
    assert np.linalg.norm(run.film[-1, run.row("adamw")] - box) <= 2e-3
    assert np.abs(box[:2]).max() == pytest.approx(1 / 3)


@pytest.mark.parametrize("bound", [0.2, 0.8, 50.0])
def test_the_box_optimum_satisfies_its_conditions(bound):
    x, y = points()
    at = corrections.box_optimum(x, y, bound)
    slopes = (expit(x @ at[:2] + at[2]) - y) @ np.column_stack([x, np.ones(len(y))]) / len(y)
    held = np.abs(at[:2]) >= bound - 1e-12
    assert np.abs(at[:2]).max() <= bound
    assert np.all(np.abs(slopes[~np.append(held, False)]) <= 1e-8)
    assert np.all(slopes[:2][held] * np.sign(at[:2][held]) < 0)  # the loss would fall further outside
    assert corrections.box_optimum(x, np.ones(len(y), dtype=int), bound) is None


def test_why_a_training_has_not_arrived():
    def reason(key, **knobs):
        run = train64(two_weight(Experiment(**knobs)))
        return corrections.not_arrived(run, key)

    assert "still moves" in reason("adam_l2")
    assert "diverged at step" in reason("sgd_l2", weight_decay=10.0)
    assert "minibatches" in reason("sgd_l2", batch_size=8)
    assert "schedule" in reason("sgd_l2", schedule="cosine")
    assert reason("sgd_l2", steps=3000) == ""


def test_a_cycle_of_two_is_not_rest():
    run = train64(corrections.far_beyond(two_weight(Experiment(lr=30.0))))
    assert corrections.still_moving(run, "sgd_l2") <= corrections.REST  # recorded an even number of steps apart
    assert corrections.one_more_step(run, "sgd_l2") > 1
    assert "does not settle" in corrections.not_arrived(run, "sgd_l2")
    for key in ("penalty_ends_at_map", "momentum_ends_at_less"):
        found = claims.CLAIMS[key].check(run)
        assert isinstance(found, str) or all(claims.CLAIMS[key].holds(value) for value in found), found


def test_rest_at_the_last_step_that_a_knob_allows_is_still_seen():
    run = train64(two_weight(Experiment(steps=20_000)))
    assert corrections.not_arrived(run, "sgd_l2") == ""


def test_a_distance_that_still_falls():
    steps = np.arange(40)
    assert corrections.still_falls(np.exp(-steps / 1000))
    assert corrections.still_falls(np.exp(-steps / 10) * (1.1 + np.sin(steps)))
    assert not corrections.still_falls(np.full(40, 3.0))
    assert not corrections.still_falls(3 + np.sin(steps))


def test_far_beyond_is_bounded():
    for knobs in ({}, {"steps": 20_000}, {"points": 2000}, {"steps": 1, "schedule": "cosine"}):
        exp = corrections.far_beyond(two_weight(Experiment(**knobs)))
        assert exp.within_budget() == (exp, [])
        assert 6000 <= exp.steps <= 20_000
        assert exp.schedule == "constant"


# ---- networks drawn from the prior -----------------------------------------------------------------------------


def test_roughness_of_known_fields():
    x, y = np.linspace(-2, 1, 57), np.linspace(-1, 1, 41)[::-1]
    across, up = np.meshgrid(x, y)
    assert networks.mean_slope(3 * across - 4 * up, x, y) == pytest.approx(5)
    assert networks.contour_length(across - 0.1, x, y) == pytest.approx(2)
    assert networks.contour_length(across**2 + up**2 - 0.64, x, y) == pytest.approx(2 * np.pi * 0.8, rel=0.01)
    assert networks.contour_length(np.ones_like(across), x, y) == 0


def test_smaller_weights_are_smoother_functions():
    drawn = networks.prior_draws(Architecture((16, 16), "tanh"), (-2, 2), (-2, 2), seed=3)
    assert np.all(np.diff(drawn.slope) > 0)
    assert drawn.length[-1] > 2 * drawn.length[0]


def test_every_width_scales_the_same_draws():
    drawn = networks.prior_draws(Architecture((), "tanh"), (-2, 2), (-1, 1), seed=3)
    np.testing.assert_allclose(drawn.logits[2], drawn.logits[0] * 6, rtol=1e-5, atol=1e-6)
    normal = np.random.default_rng(3).standard_normal((networks.COUNT, 3))
    corner = normal[0, 0] * drawn.x[0] + normal[0, 1] * drawn.y[0] + normal[0, 2]
    assert drawn.logits[1, 0, 0, 0] == pytest.approx(0.5 * corner, rel=1e-5)
    assert np.ptp(drawn.length) <= 1e-3 * drawn.length[0]


def test_layer_norm_keeps_its_gain():
    drawn = networks.prior_draws(Architecture((8,), "tanh", True), (-2, 2), (-2, 2), seed=0)
    assert np.isfinite(drawn.logits).all()
    # only the last layer's width is left to σ, and the logit is linear in that
    assert drawn.slope[-1] / drawn.slope[0] == pytest.approx(15, rel=0.15)


# ---- claims ----------------------------------------------------------------------------------------------------

OWN = ["map_is_sklearn", "penalty_ends_at_map", "momentum_ends_at_less", "predictive_is_average",
       "linear_evidence_is_exact", "peak_is_mackays", "l1_slopes"]  # fmt: skip


@pytest.mark.parametrize("key", OWN)
def test_claims_hold_on_the_long_run(far, key):
    claim = claims.CLAIMS[key]
    found = claim.check(far)
    assert not isinstance(found, str), found
    assert found
    assert all(claim.holds(value) for value in found)


@pytest.mark.parametrize("key", OWN)
@pytest.mark.parametrize(
    "knobs",
    [ONE_CLASS, SEPARABLE | {"weight_decay": 0.0}, {"weight_decay": 10.0}, {"points": 2}, {"batch_size": 8},
     {"points": 2000, "weight_decay": 0.0}, {"schedule": "cosine"}],
    ids=str,
)  # fmt: skip
def test_claims_hold_or_say_why_they_do_not_apply(key, knobs):
    claim = claims.CLAIMS[key]
    found = claim.check(train64(two_weight(Experiment(steps=200, **knobs))))
    if isinstance(found, str):
        assert found.endswith(".")
        assert "e-" not in found or "moves" in found
    else:
        assert all(claim.holds(value) for value in found), found
