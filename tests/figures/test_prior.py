"""Page 3's figures: what they say is what scikit-learn, numpy and the runs say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from engine import VARIANTS, Experiment, train
from engine.corrections import far_beyond
from engine.datasets import make_data
from engine.figures import prior  # noqa: F401  enters its figures into FIGURES
from engine.figures.figure import FIGURES, Shot
from engine.mlp import Architecture
from engine.scene import TRAINED, two_weight
from tests.figures.printed import drawn, numbers, right

OWN = [key for key in FIGURES if key.startswith("prior.")]
ONE_CLASS = next(s for s in range(99) if len(set(make_data("moons", Experiment.noise, 2, s).y_train)) == 1)
TWO = next(s for s in range(99) if len(set(make_data("moons", Experiment.noise, 2, s).y_train)) == 2)
QUICK = Experiment(steps=40)
CASES = {
    "default": Experiment(),
    "no prior": replace(QUICK, weight_decay=0.0),
    "separable": replace(QUICK, dataset="blobs", noise=0.0),
    "no MAP": replace(QUICK, dataset="blobs", noise=0.0, weight_decay=0.0),
    "one class": replace(QUICK, points=2, seed=ONE_CLASS),
    "two points": Experiment(points=2, seed=TWO, steps=1),
    "diverged": Experiment(weight_decay=10, lr=3, steps=60),
    "all": replace(QUICK, variants=tuple(VARIANTS), batch_size=4, momentum=0.0, hidden=(), dataset="circles"),
}
LONG = ("prior.distance", "prior.weights_long", "prior.data_long")
NEEDS = {
    "no MAP": (*LONG, "prior.plug_in", "prior.averaged"),
    "one class": tuple(key for key in OWN if key not in ("prior.weights", "prior.data", "prior.networks")),
}


def data_of(experiment):
    data = make_data(experiment.dataset, experiment.noise, experiment.points, experiment.seed)
    return data.x_train, data.y_train, len(data.y_train)


def fit(experiment, weight_decay):
    """(w₁, w₂, b) by scikit-learn."""
    x, y, n = data_of(experiment)
    c = 1 / (weight_decay * n) if weight_decay else np.inf
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, y)
    return np.array([*model.coef_[0], model.intercept_[0]])


def ends(experiment):
    """Last (w₁, w₂, b) of the trainings that did not diverge."""
    run = train(experiment, dtype=torch.float64)
    return {key: run.film[-1, run.row(key)] for key in TRAINED if run.diverged[key] is None}


@pytest.mark.parametrize("key", OWN)
@pytest.mark.parametrize("name", CASES)
def test_figure_is_sensible(key, name):
    if key in NEEDS.get(name, ()):
        with pytest.raises(ValueError, match=r"^(No finite MLE|All labels are).*\.$"):
            FIGURES[key].draw(Shot(key, CASES[name]), "light")
        return
    drawn(key, CASES[name])


def test_titles_and_names():
    own = [FIGURES[key] for key in OWN]
    assert len(own) == 12
    assert all(len(entry.title) <= 60 and 2 <= entry.notes.count(". ") + 1 <= 4 for entry in own)
    assert len({entry.name for entry in own}) == 12


@pytest.mark.parametrize("name", ["default", "two points"])
def test_the_prior_and_its_map(name):
    exp = CASES[name]
    text, (_, _, n) = drawn("prior.weights", exp).takeaway, data_of(exp)
    lam, count, sigma, far, here = numbers(
        text, r"λ = (\S+) with N = (\d+) points .* σ = (\S+): .* from (.*) to ‖w‖ = (\S+) \(MAP"
    )
    right(lam, exp.weight_decay)
    right(count, n)
    right(sigma, 1 / np.sqrt(exp.weight_decay * n))
    right(here, np.linalg.norm(fit(exp, exp.weight_decay)[:2]))
    if name == "two points":
        assert far == "infinity (no finite MLE)"
    else:
        right(*numbers(far, r"‖w‖ = (\S+) \(MLE\)"), np.linalg.norm(fit(exp, 0)[:2]))


def test_without_a_prior_the_map_is_the_mle():
    exp = CASES["no prior"]
    text = drawn("prior.weights", exp).takeaway
    right(*numbers(text, r"the MAP is the MLE, at ‖w‖ = (\S+)$"), np.linalg.norm(fit(exp, 0)[:2]))
    assert "any λ > 0 stops them" in drawn("prior.data", CASES["no MAP"]).takeaway


def test_the_frame_of_weight_space_has_fits_trainings_and_path():
    exp = CASES["default"]
    frame = drawn("prior.weights", exp).frame
    best = frame[frame.name == "MAP"][["w1", "w2", "b"]].to_numpy()[0]
    np.testing.assert_allclose(best, fit(exp, exp.weight_decay), atol=1e-6)
    for key, end in ends(two_weight(exp)).items():
        last = frame[(frame.name == key) & (frame.step == exp.steps)][["w1", "w2", "b"]].to_numpy()
        np.testing.assert_array_equal(last, [end])
    assert (frame.kind == "path").sum() == 60


@pytest.mark.parametrize(("key", "name"), [("prior.data", "default"), ("prior.data_long", "default"),
                                           ("prior.data", "diverged"), ("prior.data", "two points")])  # fmt: skip
def test_the_lines_of_data_space(key, name):
    exp = CASES[name]
    trained = two_weight(exp) if key == "prior.data" else far_beyond(two_weight(exp))
    best = fit(exp, exp.weight_decay)[:2]
    angles = {}
    for variant, end in ends(trained).items():
        turned = np.angle(complex(*end[:2]) / complex(*best))
        angles[VARIANTS[variant].title] = abs(np.degrees(turned))
    text = drawn(key, exp).takeaway
    width, steps, title, angle, among = numbers(
        text, r"over (\S+) units of x; after (\S+) steps? the line of (.*) is turned from it by (\S+)°, (.*)\."
    )
    right(width, 2 * np.log(9) / np.linalg.norm(best))
    right(steps, trained.steps)
    assert title == max(angles, key=angles.get)
    right(angle, angles[title])
    assert among == (
        "the most of 2 trainings that did not diverge" if name == "diverged" else "the most of 4 trainings"
    )


def test_what_the_map_alone_and_the_average_leave_open():
    exp = CASES["default"]
    frame = drawn("prior.averaged", exp).frame
    x, _, n = data_of(exp)
    theta = fit(exp, exp.weight_decay)
    design, grid = np.column_stack([x, np.ones(n)]), np.column_stack([frame.x1, frame.x2, np.ones(len(frame))])
    p = expit(design @ theta)
    curvature = (design.T * (p * (1 - p))) @ design + n * exp.weight_decay * np.diag([1, 1, 0])
    spread = np.sqrt(np.einsum("ij,jk,ik->i", grid, np.linalg.inv(curvature), grid))
    draws = np.linspace(-8, 8, 4001)
    shares = np.exp(-(draws**2) / 2) / np.exp(-(draws**2) / 2).sum()
    one, many = expit(grid @ theta), expit((grid @ theta)[:, None] + spread[:, None] * draws) @ shares
    np.testing.assert_allclose(frame.p, many, atol=1e-6)
    np.testing.assert_allclose(drawn("prior.plug_in", exp).frame.p, one, atol=1e-6)
    open_one, open_many = (100 * ((p > 0.1) & (p < 0.9)).mean() for p in (one, many))
    alone, rest = numbers(drawn("prior.plug_in", exp).takeaway, r"leaves (\S+%) .* the other (\S+%)")
    right(alone, open_one)
    right(rest, 100 - open_one)
    whole, alone, apart = numbers(
        drawn("prior.averaged", exp).takeaway, r"posterior, (\S+%) .* alone (\S+%); .* up to (\S+) in"
    )
    right(whole, open_many)
    right(alone, open_one)
    right(apart, np.abs(one - many).max())


def test_what_the_width_does_to_networks():
    exp = replace(CASES["default"], hidden=(5,), activation="relu")
    panel = drawn("prior.networks", exp)
    normal = np.random.default_rng(exp.seed).standard_normal((24, Architecture((5,)).parameters))
    slopes = []
    for sigma in (0.2, 3.0):
        flat = sigma * normal
        w1, w2, b1, b2 = flat[:, :10].reshape(-1, 5, 2), flat[:, 10:15], flat[:, 15:20], flat[:, 20]
        x, y = grid_of_window(exp)
        points = np.stack(np.meshgrid(x, y), axis=-1)
        hidden = np.maximum(np.einsum("rhi,abi->rabh", w1, points) + b1[:, None, None], 0)
        field = np.einsum("rabh,rh->rab", hidden, w2) + b2[:, None, None]
        slopes.append(np.mean([np.hypot(*np.gradient(one, y, x)).mean() for one in field]))
    steeper, longer = numbers(panel.takeaway, r"becomes (\S+) times as steep and the line P = 1/2 becomes (\S+) times")
    right(steeper, slopes[1] / slopes[0])
    right(longer, panel.frame.length.iloc[-1] / panel.frame.length.iloc[0])
    assert "24 networks 5 relu" in panel.takeaway
    flat = drawn("prior.networks", CASES["all"]).takeaway
    steeper, longer = numbers(flat, r"becomes (\S+) times as steep and the line P = 1/2 becomes (\S+) times")
    right(steeper, 15)
    right(longer, 1)


def grid_of_window(experiment):
    data = make_data(experiment.dataset, experiment.noise, experiment.points, experiment.seed)
    spans = []
    for column in (0, 1):
        low, high = np.quantile(data.x_test[:, column], [0.01, 0.99])
        low, high = min(low, data.x_train[:, column].min()), max(high, data.x_train[:, column].max())
        spans.append((low - 0.08 * (high - low), high + 0.08 * (high - low)))
    return np.linspace(*spans[0], 57), np.linspace(*spans[1], 57)[::-1]


def log_joint(x, y, sigma):
    """Laplace's log evidence of the labels, from scikit-learn's MAP."""
    design = np.column_stack([x, np.ones(len(y))])
    model = LogisticRegression(C=sigma**2, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, y)
    theta = np.array([*model.coef_[0], model.intercept_[0]])
    p = expit(design @ theta)
    curvature = (design.T * (p * (1 - p))) @ design + np.diag([1, 1, 0]) / sigma**2
    likelihood = np.log(np.where(y == 1, p, 1 - p)).sum()
    prior_density = -(theta[:2] @ theta[:2]) / (2 * sigma**2) - np.log(2 * np.pi * sigma**2)
    return likelihood + prior_density + 1.5 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(curvature)[1]


def log_targets(x, y, sigma, noise):
    """The log density of targets ±1 with the weights and, nearly flat, the intercept averaged out."""
    n, flat = len(y), 1e4
    covariance = sigma**2 * x @ x.T + flat**2 * np.ones((n, n)) + noise**2 * np.eye(n)
    t = 2.0 * y - 1
    return -0.5 * (t @ np.linalg.solve(covariance, t) + np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("key", ["prior.evidence", "prior.linear_evidence"])
def test_the_best_width_and_what_the_current_one_loses(key):
    exp = CASES["default"]
    x, y, n = data_of(exp)
    design = np.column_stack([x, np.ones(n)])
    left = (2.0 * y - 1) - design @ np.linalg.lstsq(design, 2.0 * y - 1, rcond=None)[0]
    noise = np.sqrt(left @ left / (n - 3))
    logistic = key == "prior.evidence"
    value = (lambda s: log_joint(x, y, s)) if logistic else (lambda s: log_targets(x, y, s, noise))
    best = np.exp(minimize(lambda at: -value(np.exp(at[0])), [0.0], method="Nelder-Mead").x[0])
    text, frame = drawn(key, exp).takeaway, drawn(key, exp).frame
    said, lam, now, less = numbers(
        text, r"highest at σ = (\S+), that is λ = \S+ = (\S+?)[ ;].* current σ = (\S+) the \w+ are (\S+) times less"
    )
    assert float(said) == pytest.approx(best, abs=0.0151)  # a parabola through three points of the curve
    assert float(lam) == pytest.approx((1 if logistic else noise**2) / (n * best**2), rel=0.08)
    sigma = 1 / np.sqrt(n * exp.weight_decay)
    right(now, sigma)
    assert float(less) == pytest.approx(np.exp(value(best) - value(sigma)), rel=0.01)
    curve = frame[frame.method != "integrated numerically"]
    there = np.array([value(s) for s in curve.sigma]) - value(best)
    np.testing.assert_allclose(curve.nats_from_best, there, atol=2e-3)


def test_evidence_without_a_peak_or_a_current_width():
    assert "still rises at the largest σ: a line separates" in drawn("prior.evidence", CASES["separable"]).takeaway
    assert "current" not in drawn("prior.evidence", CASES["no prior"]).takeaway


def lasso(experiment, weight_decay):
    """(w₁, w₂) under the Laplace prior: w = p − q with p, q ≥ 0, so that the penalty is smooth."""
    x, y, n = data_of(experiment)
    signed = (2 * y - 1)[:, None] * np.column_stack([x, -x, np.ones(n)])

    def loss(at):
        wrong = expit(-signed @ at)
        slope = -wrong @ signed / n + weight_decay * np.array([1, 1, 1, 1, 0])
        return np.logaddexp(0, -signed @ at).mean() + weight_decay * at[:4].sum(), slope

    options = {"ftol": 0.0, "gtol": 1e-11, "maxiter": 5000, "maxls": 60}
    at = minimize(loss, np.zeros(5), jac=True, bounds=[(0, None)] * 4 + [(None, None)], options=options).x
    return at[:2] - at[2:4]


def test_where_the_weights_become_exactly_zero():
    exp = CASES["default"]
    text = drawn("prior.paths", exp).takeaway
    *zeros, least, high = numbers(
        text, r"w₁ is exactly 0 from about λ = (\S+) on and w₂ .* λ = (\S+) on; .* still (\S+) at λ = (\S+)\.$"
    )
    for j, zero in enumerate(map(float, zeros)):
        assert abs(lasso(exp, 1.04 * zero)[j]) < 1e-6
        assert abs(lasso(exp, 0.94 * zero)[j]) > 1e-3
    x, y, n = data_of(exp)
    top = 3 * np.abs((y - y.mean()) @ x).max() / n
    right(high, top)
    right(least, np.abs(fit(exp, top)[:2]).min())


@pytest.mark.parametrize(("weight_decay", "count"), [(0.03, "no weight is"), (0.25, "one weight is"),
                                                     (2.0, "both weights are")])  # fmt: skip
def test_the_weights_under_both_priors(weight_decay, count):
    exp = replace(QUICK, weight_decay=weight_decay)
    panel = drawn("prior.coefficients", exp)
    lam, *said, zero = numbers(
        panel.takeaway, r"At λ = (\S+) .* is \((.*), (.*)\) under the Lap.* and \((.*), (.*)\) under .*: (.*) exactly"
    )
    right(lam, weight_decay)
    for text, value in zip(said, [*lasso(exp, weight_decay), *fit(exp, weight_decay)[:2]], strict=True):
        if text == "0":
            assert abs(value) < 1e-6
        else:
            assert float(text.replace("−", "-")) == pytest.approx(value, abs=6e-3 * abs(value))
    assert zero == count
    for _, row in panel.frame[panel.frame.prior == "Gaussian"].iloc[::10].iterrows():
        np.testing.assert_allclose(row[["w1", "w2", "b"]].astype(float), fit(exp, row.weight_decay), atol=1e-5)


def test_without_a_current_lambda_the_paths_are_named_by_their_ends():
    exp = CASES["no prior"]
    low, high, first, last = numbers(
        drawn("prior.coefficients", exp).takeaway, r"λ = (\S+) to (\S+) .* and from (\S+) to (\S+) under the Gauss"
    )
    right(first, np.abs(fit(exp, 1e-3 * 3 * top_of(exp))[:2]).max())
    right(last, np.abs(fit(exp, 3 * top_of(exp))[:2]).max())
    right(high, 3 * top_of(exp))
    right(low, 3e-3 * top_of(exp))


def top_of(experiment):
    x, y, n = data_of(experiment)
    return np.abs((y - y.mean()) @ x).max() / n


@pytest.mark.parametrize("name", ["default", "diverged", "all"])
def test_distances_from_the_map(name):
    exp = CASES[name]
    there, long = fit(exp, exp.weight_decay), far_beyond(two_weight(exp))
    left = {VARIANTS[key].title: np.linalg.norm(end - there) for key, end in ends(long).items()}
    panel = drawn("prior.distance", exp)
    right(*numbers(panel.takeaway, r"After (\S+) steps"), long.steps)
    for key in TRAINED:
        title = VARIANTS[key].title
        if title not in left:
            assert title in numbers(panel.takeaway, r"; (.*) diverged\.$")[0]
            continue
        said = numbers(panel.takeaway, r"(\S+) \(" + title.replace("+", r"\+") + r"\)")[0]
        if left[title] > 1e-5:
            right(said, left[title])
        else:  # scikit-learn is right to 1e-8
            assert float(said) < 1e-5
        last = panel.frame[(panel.frame.variant == key) & (panel.frame.to == "MAP")].iloc[-1]
        assert last.distance == pytest.approx(left[title], abs=1e-5)


def test_where_decay_on_the_weight_goes_instead():
    exp = CASES["default"]
    end = ends(far_beyond(two_weight(exp)))
    near, box, first, second = numbers(
        drawn("prior.weights_long", exp).takeaway,
        r"momentum is (\S+) from the MAP at \(1 − μ\)λ and AdamW is (\S+) from .* they are (\S+) and (\S+) away",
    )
    weaker = fit(exp, (1 - exp.momentum) * exp.weight_decay)
    assert float(near) < 1e-5
    np.testing.assert_allclose(end["momentum_w"], weaker, atol=1e-5)
    assert np.abs(fit(exp, 0)[:2]).max() < 1 / exp.weight_decay  # so the best of the box is the MLE
    right(box, np.linalg.norm(end["adamw"] - fit(exp, 0)))
    there = fit(exp, exp.weight_decay)
    right(first, np.linalg.norm(end["momentum_w"] - there))
    right(second, np.linalg.norm(end["adamw"] - there))
