"""The Gaussian-prior view against independent truths, in float64."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from engine import prior

SIZES = (3, 10, 60, 300)
DECAYS = (1e-4, 1e-2, 1.0, 10.0)


def noisy(n, seed=0, slope=(2.0, -1.0), shift=0.5):
    """Labels drawn from a logistic model, off centre so that the intercept and its coupling to w matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal([0.4, -0.3], 1.0, size=(n, 2))
    y = (x @ slope + shift + rng.logistic(size=n) > 0).astype(int)
    y[:2] = 0, 1
    return x, y


def separated(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    x = x[np.abs(x @ [2, 1]) > 0.3]
    return x, (x @ [2, 1] > 0).astype(int)


def mean_loss(x, y, weight_decay):
    """Torch's penalised loss of theta = (w1, w2, b), written without the code under test."""
    points, labels = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)

    def loss(theta):
        bce = torch.nn.functional.binary_cross_entropy_with_logits(points @ theta[:2] + theta[2], labels)
        return bce + weight_decay / 2 * (theta[:2] ** 2).sum()

    return loss


def theta_of(fit):
    return torch.tensor([*fit.w, fit.b], dtype=torch.float64, requires_grad=True)


def gradient_norm(x, y, weight_decay, fit):
    theta = theta_of(fit)
    return torch.autograd.grad(mean_loss(x, y, weight_decay)(theta), theta)[0].norm()


@pytest.mark.parametrize(("n", "weight_decay"), list(product(SIZES, DECAYS)))
def test_map_is_the_optimum_and_scikit_learns_answer(n, weight_decay):
    x, y = noisy(n, seed=n)
    fit = prior.map_fit(x, y, weight_decay)
    assert fit.finite
    assert fit.why == ""
    assert gradient_norm(x, y, weight_decay, fit) <= 1e-12

    model = LogisticRegression(C=1 / (weight_decay * n), solver="newton-cholesky", tol=1e-12).fit(x, y)
    ours = prior.sklearn_map(x, y, weight_decay)
    for w, b in ((model.coef_[0], model.intercept_[0]), (ours.w, ours.b)):
        np.testing.assert_allclose([*fit.w, fit.b], [*w, b], rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [1e-8, 1e-3, 10.0])
def test_two_points_have_a_scalar_equation(weight_decay):
    fit = prior.map_fit([[1, 0], [-1, 0]], [1, 0], weight_decay)
    w = brentq(lambda v: expit(-v) - weight_decay * v, 0, 40, xtol=1e-14)
    np.testing.assert_allclose([*fit.w, fit.b], [w, 0, 0], rtol=1e-9, atol=1e-9)


def test_map_survives_a_tiny_decay_on_separable_points():
    x, y = separated()
    fit = prior.map_fit(x, y, 1e-8)
    assert fit.finite
    assert gradient_norm(x, y, 1e-8, fit) <= 1e-12
    assert np.all((x @ fit.w + fit.b > 0) == y)


def test_an_outlier_does_not_throw_newton_off():
    x, y = [[24.0, -25.8], [2.2, -1.0], [-0.5, 0.7], [-0.6, 0.9]], [0, 1, 0, 1]  # undamped, w goes past 1e4
    assert gradient_norm(x, y, 1e-4, prior.map_fit(x, y, 1e-4)) <= 1e-12


def test_mle_of_overlapping_classes():
    x, y = noisy(60, slope=(1.0, -0.5))
    fit, theirs = prior.mle(x, y), prior.sklearn_map(x, y, 0.0)
    assert fit.finite
    assert gradient_norm(x, y, 0.0, fit) <= 1e-12
    np.testing.assert_allclose([*fit.w, fit.b], [*theirs.w, theirs.b], rtol=0, atol=1e-6)


def test_copies_of_every_point_change_nothing():
    x, y = noisy(20)
    one, two = prior.map_fit(x, y, 0.01), prior.map_fit(np.tile(x, (3, 1)), np.tile(y, 3), 0.01)
    np.testing.assert_allclose([*one.w, one.b], [*two.w, two.b], rtol=1e-10)


def test_coincident_points_tell_only_of_the_intercept():
    for weight_decay in (0.0, 0.1):
        fit = prior.map_fit(np.full((5, 2), 0.7), [1, 0, 1, 1, 0], weight_decay)
        assert fit.finite
        np.testing.assert_allclose([*fit.w, fit.b], [0, 0, logit(0.6)], atol=1e-12)


def test_points_on_a_line_take_the_limit_of_the_map():
    t = np.linspace(-2, 2, 9)
    x, y = np.column_stack([t, 2 * t + 1]), np.array([0, 0, 1, 0, 0, 1, 0, 1, 1])
    fit, limit = prior.mle(x, y), prior.map_fit(x, y, 1e-9)
    assert fit.finite
    np.testing.assert_allclose([*fit.w, fit.b], [*limit.w, limit.b], rtol=0, atol=1e-6)
    theirs = prior.sklearn_map(x, y, 0.0)  # of all w with this likelihood it may pick another
    np.testing.assert_allclose(x @ fit.w + fit.b, x @ theirs.w + theirs.b, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="leave the weights open"):
        prior.laplace_covariance(x, y, fit, 0.0)


def separable_exactly(x, y):
    """Integer arithmetic: a weakly separating line can be turned until it runs through two points, or, where
    all points are on one line, moved across it to run through one."""
    differences = [p - q for p, q in product(x, x) if np.any(p != q)]
    normals = [v for d in differences for v in (d, np.array([-d[1], d[0]]))]
    for v, anchor in product(normals, x):
        margins = (2 * y - 1) * ((x - anchor) @ v)
        if np.all(margins >= 0) and np.any(margins > 0):
            return True
    return False


def test_separability_is_decided_exactly():
    rng, answers = np.random.default_rng(1), []
    for _ in range(150):  # a coarse grid of integers makes points coincide, touch the line and fall on one line
        n = rng.integers(2, 9)
        x, y = rng.integers(-2, 3, size=(n, 2)), rng.integers(0, 2, size=n)
        y[:2] = 0, 1
        fit, expected = prior.mle(x, y), separable_exactly(x, y)
        answers.append(expected)
        assert fit.finite is not expected, (x, y)
        assert np.all(np.isfinite([*fit.w, fit.b]))
        assert ("a line separates" in fit.why) is expected
    assert 30 < sum(answers) < 120


def test_a_hair_of_overlap_makes_the_mle_finite():
    x, y = np.array([[-1, 0.3], [1e-4, -0.5], [0, 0.4], [1, -0.1], [1e-4, 0.9]]), np.array([0, 0, 1, 1, 0])
    assert prior.mle(x, y).finite
    x[2, 0] = 2e-4
    assert not prior.mle(x, y).finite


def test_separable_points_report_the_way_out():
    x, y = separated()
    fit, theirs = prior.mle(x, y), prior.sklearn_map(x, y, 0.0)
    assert np.all((x @ fit.w + fit.b > 0) == y)
    assert not fit.finite
    assert not theirs.finite
    assert fit.why == theirs.why
    np.testing.assert_allclose(fit.w, theirs.w, rtol=1e-4)
    direction = fit.w / np.linalg.norm(fit.w)
    assert f"({direction[0]:.2f}, {direction[1]:.2f})" in fit.why


@pytest.mark.parametrize(("label", "end"), [(0, -math.inf), (1, math.inf)])
def test_one_class_sends_only_the_intercept_off(label, end):
    x, y = noisy(6)[0], np.full(6, label)
    for weight_decay, solve in product((0.0, 0.1), (prior.map_fit, prior.sklearn_map)):
        fit = solve(x, y, weight_decay)
        assert not fit.finite
        assert fit.b == end
        assert np.array_equal(fit.w, [0, 0])
        assert f"All labels are {label}" in fit.why
    assert np.array_equal(prior.map_path(x, y, [0.1, 1.0]), [[0, 0, end]] * 2)
    assert np.array_equal(prior.profile_nll(x, y, [0, 1, 2], [0, 1]), np.zeros((2, 3)))
    # labels that say nothing about w leave its prior as it was
    fit = prior.map_fit(x, y, 0.1)
    np.testing.assert_allclose(prior.laplace_covariance(x, y, fit, 0.1), np.eye(2) * prior.sigma_of(0.1, 6) ** 2)
    with pytest.raises(ValueError, match="leave the weights open"):
        prior.laplace_covariance(x, y, fit, 0.0)
    assert prior.window(x, y, 0.1)[1] >= 1


def test_path_is_the_map_at_each_decay_and_shrinks():
    x, y = noisy(80)
    decays = np.geomspace(1e-7, 10, 40)
    np.random.default_rng(0).shuffle(decays)
    path = prior.map_path(x, y, decays)
    for weight_decay, row in zip(decays[::8], path[::8], strict=True):
        fit = prior.map_fit(x, y, weight_decay)
        np.testing.assert_allclose(row, [*fit.w, fit.b], rtol=0, atol=1e-9)
    norms = np.linalg.norm(path[np.argsort(decays), :2], axis=1)
    assert np.all(np.diff(norms) < 0)
    np.testing.assert_allclose(path[np.argmin(decays), :2], prior.mle(x, y).w, rtol=1e-4)
    assert norms[-1] < 0.1


@pytest.mark.parametrize("case", [noisy(25), noisy(150, seed=3, shift=3.0), separated(), ([[1, 0], [0, 1]], [1, 0])])
def test_profile_is_the_minimum_over_the_intercept(case):
    x, y = np.asarray(case[0], dtype=float), np.asarray(case[1])
    w1, w2 = np.array([-40.0, -2.5, 0.0, 0.3, 6.0]), np.array([-9.0, 0.0, 1.5, 60.0])
    surface = prior.profile_nll(x, y, w1, w2)
    assert surface.shape == (4, 5)
    for (j, v), (i, u) in product(enumerate(w2), enumerate(w1)):
        z = x @ [u, v]

        def nll(b, z=z):
            return np.logaddexp(0, -(2 * y - 1) * (z + b)).sum()

        # unimodal in b, so the truth lies at the best of many starts, then to rounding within its bracket
        grid = np.linspace(-z.max() - 8, -z.min() + 8, 400)
        best = grid[np.argmin([nll(b) for b in grid])]
        gap = grid[1] - grid[0]
        truth = minimize_scalar(nll, bounds=(best - gap, best + gap), method="bounded", options={"xatol": 1e-7})
        assert surface[j, i] == pytest.approx(truth.fun, rel=1e-10, abs=1e-9)


def test_the_lowest_point_of_profile_and_penalty_is_the_map():
    x, y = noisy(50)
    n, weight_decay = len(y), 0.02
    fit = prior.map_fit(x, y, weight_decay)
    around = np.array([-1e-3, 0.0, 1e-3])
    grid = (fit.w[0] + around, fit.w[1] + around)
    total = prior.profile_nll(x, y, *grid) + prior.penalty(*grid, weight_decay, n)
    assert np.unravel_index(np.argmin(total), total.shape) == (1, 1)
    assert total[1, 1] == pytest.approx(n * mean_loss(x, y, weight_decay)(theta_of(fit)).item(), rel=1e-12)


def test_penalty_is_minus_log_prior():
    w1, w2, sigma, n = np.array([0.0, 1.0, -2.0]), np.array([0.0, 3.0]), 0.7, 40
    values = prior.penalty(w1, w2, prior.weight_decay_of(sigma, n), n)
    normal = torch.distributions.Normal(*torch.tensor([0.0, sigma], dtype=torch.float64))
    for j, i in product(range(2), range(3)):
        log = normal.log_prob(torch.tensor([w1[i], w2[j]], dtype=torch.float64)).sum()
        at_zero = 2 * normal.log_prob(torch.tensor(0.0, dtype=torch.float64))
        assert values[j, i] == pytest.approx((at_zero - log).item(), abs=1e-12)


@pytest.mark.parametrize(("n", "weight_decay"), [(3, 0.1), (40, 1e-4), (300, 10.0), (60, 0.0)])
def test_laplace_covariance_is_the_block_of_the_full_inverse(n, weight_decay):
    x, y = noisy(n, seed=n, slope=(1.0, -0.5))
    fit = prior.map_fit(x, y, weight_decay)
    hessian = n * torch.autograd.functional.hessian(mean_loss(x, y, weight_decay), theta_of(fit)).numpy()
    covariance = prior.laplace_covariance(x, y, fit, weight_decay)
    np.testing.assert_allclose(covariance, np.linalg.inv(hessian)[:2, :2], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("weight_decay", "n"), list(product((1e-300, 1e-5, 0.3, 10.0), (1, 7, 2000))))
def test_decay_and_sigma_are_one_knob(weight_decay, n):
    sigma = prior.sigma_of(weight_decay, n)
    assert weight_decay * n * sigma**2 == pytest.approx(1, rel=1e-14)
    assert prior.weight_decay_of(sigma, n) == pytest.approx(weight_decay, rel=1e-14)


def test_no_decay_is_the_flat_prior():
    assert prior.sigma_of(0, 5) == math.inf
    assert prior.weight_decay_of(math.inf, 5) == 0


def test_ellipse_is_a_closed_contour_of_the_gaussian():
    center, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 0.5]])
    line = prior.ellipse(center, covariance, radius=1.7, points=33)
    away = line - center
    assert line.shape == (33, 2)
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away), 1.7**2, rtol=1e-9)
    np.testing.assert_allclose(line[0], line[-1], atol=1e-12)
    circle = prior.ellipse((0, 0), 0.3**2 * np.eye(2))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 0.3, rtol=1e-12)
    assert circle.shape == (64, 2)


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((2, 2), np.inf), [[1, 2], [0, 1]], [[1, 2], [2, 1]]])
def test_ellipse_refuses_what_is_no_covariance(matrix):
    with pytest.raises(ValueError, match="covariance"):
        prior.ellipse((0, 0), matrix)


def test_window_shows_the_whole_path_and_keeps_still():
    x, y = noisy(60)
    shown = np.abs(np.vstack([prior.map_path(x, y, np.geomspace(1e-6, 10, 30))[:, :2], prior.mle(x, y).w]))
    windows = {prior.window(x, y, weight_decay) for weight_decay in (0.0, 1e-4, 0.1, 10.0)}
    assert len(windows) == 1
    low, high = windows.pop()
    assert low == -high
    assert shown.max() < high < 2 * shown.max()


def test_window_is_bounded_by_what_is_there_to_see():
    x, y = separated()
    far = prior.map_fit(x, y, 1e-7).w
    assert np.linalg.norm(far) > prior.FAR
    assert prior.window(x, y, 1e-7)[1] > np.abs(far).max()
    outward = np.linalg.norm(prior.map_fit(x, y, prior.OUTWARD).w)
    assert outward < prior.FAR
    assert outward < prior.window(x, y, 0.0)[1] < 1.2 * outward
    extra = [[0, 1], [-90, 3], [np.nan, 1e9], [np.inf, 0]]
    assert 90 < prior.window(x, y, 0.1, extra)[1] < 120
    # almost separable: finite, but so far out that it must not set the scale
    x, y = np.column_stack([[-1, 1e-6, 0, 1], [0.3, -0.2, 0.1, -0.4]]), [0, 0, 1, 1]
    x, y = np.vstack([x, x * [1, -1]]), np.tile(y, 2)
    end = prior.mle(x, y)
    assert end.finite
    assert np.linalg.norm(end.w) > prior.FAR
    assert prior.window(x, y, 1.0)[1] == pytest.approx(1.15 * prior.FAR)


@pytest.mark.parametrize(
    ("x", "y", "weight_decay", "words"),
    [
        ([[0, 0]], [0, 1], 0.1, "must be"),
        ([[0, 0, 0]], [0], 0.1, "must be"),
        (np.zeros((0, 2)), [], 0.1, "N ≥ 1"),
        ([[0, np.nan]], [0], 0.1, "not finite"),
        ([[0, 0]], [2], 0.1, "only 0 and 1"),
        ([[0, 0]], [np.nan], 0.1, "only 0 and 1"),
        ([[0, 0]], [0], -0.1, "weight_decay"),
        ([[0, 0]], [0], math.nan, "weight_decay"),
        ([[0, 0]], [0], math.inf, "weight_decay"),
    ],
)
def test_bad_input_gets_a_sentence(x, y, weight_decay, words):
    for solve in (prior.map_fit, prior.sklearn_map):
        with pytest.raises(ValueError, match=words):
            solve(x, y, weight_decay)


def test_bad_numbers_get_a_sentence():
    for sigma in (0, -1, math.nan):
        with pytest.raises(ValueError, match="sigma"):
            prior.weight_decay_of(sigma, 5)
    with pytest.raises(ValueError, match="n must be"):
        prior.sigma_of(0.1, 0)
    with pytest.raises(ValueError, match="weight_decays"):
        prior.map_path(*noisy(5), [0.1, 0.0])
