"""Every claim about weight decay that the playground makes, proved in float64 at its tolerance.

The optimizers are the registry's own rules, driven by gradients whose answer is known by other means: closed forms,
torch.optim, scikit-learn, scipy, autograd.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from torch.nn.functional import binary_cross_entropy_with_logits

from engine import VARIANTS, Experiment, train
from engine.datasets import make_data
from engine.drive import drive
from engine.mlp import Architecture, LossGradient
from engine.prior import map_fit, sigma_of, weight_decay_of
from engine.schedules import SCHEDULES, multipliers
from engine.theory import (
    Equilibrium,
    adam_l2_equilibrium_norm,
    adamw_equilibrium,
    early_stopping,
    eigen_shrinkage,
    explodes_beyond,
    momentum_factors,
    moving_average,
    sgd_l2_equilibrium,
    sgdw_equilibrium,
)


def regression(seed=0, n=40, d=6, noise=0.5):
    """Points (n, d), targets (n,), and the gradient of half the mean squared error for ``drive``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.linspace(0.5, 1.5, d)
    y = x @ rng.normal(size=d) + noise * rng.normal(size=n)
    design, target = torch.tensor(x), torch.tensor(y)
    return x, y, lambda w, t: (w @ design.T - target) @ design / n


def ridge(x, y, weight_decay):
    """argmin of half the mean squared error + λ/2‖w‖², by scikit-learn."""
    return Ridge(alpha=len(x) * weight_decay, fit_intercept=False, tol=1e-12).fit(x, y).coef_


def settled(key, start, gradient, steps, **rates):
    """The last weights (P,) of one variant from one start."""
    return drive(VARIANTS[key], np.atleast_2d(start), gradient, steps, **rates)[0].numpy()


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b))


# ---- one update, three forms -----------------------------------------------------------------------------------


def test_sgd_three_forms():
    """weight_decay=λ, the loss + λ/2‖w‖², and (1 − ηλ)w − ηg are one update: to 1e-12 over 300 steps."""
    data = make_data("moons", 0.3, 30, 0)
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train, dtype=torch.float64)
    lr, weight_decay, steps = 0.4, 0.05, 300

    def loss(w):
        return binary_cross_entropy_with_logits(torch.tanh(x @ w.view(2, 3)).sum(1), y)

    def gradient(w, t):
        with torch.inference_mode(False), torch.enable_grad():
            at = w[0].clone().requires_grad_()
            return torch.autograd.grad(loss(at), at)[0][None]

    start = np.random.default_rng(1).normal(size=6)
    by_flag = torch.tensor(start, requires_grad=True)
    by_penalty = torch.tensor(start, requires_grad=True)
    flag = torch.optim.SGD([by_flag], lr=lr, weight_decay=weight_decay)
    plain = torch.optim.SGD([by_penalty], lr=lr)
    by_hand = torch.tensor(start)
    for _ in range(steps):
        flag.zero_grad(), loss(by_flag).backward(), flag.step()
        plain.zero_grad()
        (loss(by_penalty) + weight_decay / 2 * by_penalty.square().sum()).backward()
        plain.step()
        by_hand = (1 - lr * weight_decay) * by_hand - lr * gradient(by_hand[None], 0)[0]
    forms = [by_flag.detach().numpy(), by_penalty.detach().numpy(), by_hand.numpy()]
    forms += [settled(key, start, gradient, steps, lr=lr, weight_decay=weight_decay) for key in ("sgd_l2", "sgdw")]
    assert np.linalg.norm(forms[0] - start) > 0.1
    for one, other in pairwise(forms):
        assert np.abs(one - other).max() <= 1e-12


# ---- where training ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "share"), [("sgd_l2", 1), ("sgdw", 1), ("momentum_l2", 1), ("momentum_w", 1 - 0.8), ("sgds", 1)]
)
def test_fixed_points(key, share):
    """momentum_l2 and sgds(λ) end at ridge(λ), momentum_w at ridge((1 − μ)λ): relative 1e-8."""
    x, y, gradient = regression()
    weight_decay = 0.3
    end = settled(key, np.zeros(6), gradient, 3000, lr=0.1, weight_decay=weight_decay, momentum=0.8)
    assert relative(end, ridge(x, y, share * weight_decay)) <= 1e-8
    if share != 1:
        assert relative(end, ridge(x, y, weight_decay)) > 0.05


def test_adam_l2_reaches_the_map_in_the_end():
    """At full-batch convergence Adam + L2 and RMSProp + L2 are at ridge(λ): what breaks is the rate on the way."""
    x, y, gradient = regression()
    for key in ("adam_l2", "rmsprop_l2"):
        rates = {"lr": 0.02, "weight_decay": 0.1}
        end = settled(key, np.zeros(6), gradient, 5000, **rates, multipliers=multipliers("linear", 5000))
        assert relative(end, ridge(x, y, 0.1)) <= 1e-12
        early = settled(key, np.zeros(6), gradient, 30, **rates)
        assert relative(early, ridge(x, y, 0.1)) > 0.1


def test_rmsprop_hovers_where_adam_settles():
    """At a constant η RMSProp's steps do not shrink: it stays about η away from ridge(λ), Adam + L2 does not.

    After 1,000 steps, that is: once the gradient is down to rounding, m/√v is anything, and bursts carry Adam away.
    """
    x, y, gradient = regression()
    apart = {}
    for key in ("adam_l2", "rmsprop_l2"):
        end = settled(key, np.zeros(6), gradient, 1000, lr=0.02, weight_decay=0.1)
        apart[key] = np.abs(end - ridge(x, y, 0.1)).max()
    assert apart["adam_l2"] <= 1e-8
    assert 0.2 * 0.02 < apart["rmsprop_l2"] < 2 * 0.02


def test_adamw_is_not_the_map():
    """Full batch, AdamW ends at the least data loss within ‖w‖∞ ≤ 1/λ (arXiv 2404.04454), not at ridge."""
    x, y, gradient = regression()
    free = LinearRegression(fit_intercept=False).fit(x, y).coef_
    for weight_decay in (0.1, 1.5):
        limit = 1 / weight_decay
        boxed = minimize(
            lambda w: np.mean((x @ w - y) ** 2) / 2, np.zeros(6), jac=lambda w: (x @ w - y) @ x / len(x),
            bounds=[(-limit, limit)] * 6, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-12},
        ).x  # fmt: skip
        rates = {"lr": 0.01, "weight_decay": weight_decay, "multipliers": multipliers("linear", 20_000)}
        end = settled("adamw", np.zeros(6), gradient, 20_000, **rates)
        assert relative(end, boxed) <= 1e-3
        assert relative(end, ridge(x, y, weight_decay)) > 0.05
    assert np.abs(free).max() > 1 / 1.5  # the second box was tight, the first was not
    assert np.abs(free).max() < 1 / 0.1


def test_eigen_shrinkage():
    """On a quadratic L2 leaves h/(h + λ) of the optimum along each eigenvector: 1e-10."""
    rng = np.random.default_rng(0)
    h, optimum = np.array([0.01, 0.1, 0.5, 1.0]), rng.normal(size=4)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    hessian, centre = torch.tensor(basis * h @ basis.T), torch.tensor(basis @ optimum)
    end = settled("sgd_l2", np.zeros(4), lambda w, t: (w - centre) @ hessian, 3000, lr=1.0, weight_decay=0.02)
    np.testing.assert_allclose(basis.T @ end, eigen_shrinkage(h, 0.02) * optimum, rtol=0, atol=1e-10)


def test_early_stopping_is_near_l2():
    """t steps from zero leave 1 − (1 − ηh)^t; L2 with λ = 1/(ηt) leaves h/(h + λ): up to 0.204 apart, never equal."""
    lr, steps = 0.01, 200
    h = np.logspace(-3, 1.9, 400)
    curvature = torch.tensor(h)
    end = settled("sgd", np.zeros(400), lambda w, t: (w - 1) * curvature, steps, lr=lr, weight_decay=0.0)
    np.testing.assert_allclose(end, early_stopping(h, lr, steps), rtol=0, atol=1e-12)
    gap = np.abs(end - eigen_shrinkage(h, 1 / (lr * steps)))
    assert 0.19 < gap.max() <= 0.21
    assert gap.min() > 0


def test_box():
    """Full batch, AdamW and Lion end with max|w_i| ≤ (1/λ)(1 + 1e-2), wherever the optimum and the start are."""
    optimum = torch.tensor([30.0, -30.0, 1.0, 0.0, 5.0, -4.9], dtype=torch.float64)
    start = np.array([0.0, 0.0, 0.0, 12.0, -9.0, 0.0])
    weight_decay = 0.2
    for key in ("adamw", "lion"):
        end = settled(key, start, lambda w, t: w - optimum, 6000, lr=0.01, weight_decay=weight_decay)
        assert np.abs(end).max() <= 1.01 / weight_decay
        assert np.abs(end[:2]).min() > 0.9 / weight_decay  # the box is reached …
        assert abs(end[2]) < 0.5 / weight_decay  # … by weights that want to leave it, not by all
        assert np.abs(settled(key, start, lambda w, t: w - optimum, 6000, lr=0.01, weight_decay=0.0)).max() > 10


def test_adamws_box_is_for_weights_at_rest():
    """While gradients change AdamW's steps can exceed η, and its weights the box; Lion's cannot, at any step."""
    exp = Experiment(variants=("adamw", "lion"))
    run = train(exp, dtype=torch.float64)
    limit = 1 / exp.weight_decay_of(VARIANTS["adamw"])
    start = np.abs(run.film[0, 0, : run.architecture.weights]).max()
    largest = {key: np.abs(run.film[:, run.row(key), : run.architecture.weights]).max(axis=1) for key in exp.variants}
    assert largest["adamw"].max() > 1.5 * limit
    left = (1 - exp.shrink_of(VARIANTS["lion"])) ** run.steps
    assert np.all(largest["lion"] <= limit + max(start - limit, 0) * left + 1e-12)


# ---- decay alone, and its rate ---------------------------------------------------------------------------------


def still(w, t):
    return torch.zeros_like(w)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_free_decay(schedule):
    """Without a gradient ‖w‖ is Π(1 − η_tλ) under AdamW, Π(1 − s_tλ) in the paper's form whatever η is: 1e-12."""
    s, start = multipliers(schedule, 150), np.random.default_rng(0).normal(size=8)
    before = np.linalg.norm(start)
    for lr in (0.5, 0.02):
        rates = {"lr": lr, "weight_decay": 0.03, "multipliers": s}
        after = np.linalg.norm(settled("adamw", start, still, 150, **rates))
        assert after == pytest.approx(before * np.prod(1 - lr * s * 0.03), rel=1e-12)
        after = np.linalg.norm(settled("adamw_paper", start, still, 150, **rates))
        assert after == pytest.approx(before * np.prod(1 - s * 0.03), rel=1e-12)


def fall(shrink, momentum, steps, nesterov=False):
    """A weight that starts at 1 under momentum + L2 without a gradient, after every step."""
    path: list[float] = []
    rates = {"lr": 1.0, "weight_decay": shrink, "momentum": momentum, "nesterov": nesterov}
    drive(VARIANTS["momentum_l2"], [[1.0]], still, steps, **rates, see=lambda w, t: path.append(w.item()))
    return path


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_free_rate(momentum):
    """Momentum + L2 decays freely by about ηλ/(1 − μ) a step (1 % at ηλ = 1e-4), and swings once ηλ > (1 − √μ)²."""
    path = fall(1e-4, momentum, 2000)
    rate = -np.log(path[-1] / path[-1001]) / 1000
    assert rate == pytest.approx(1e-4 / (1 - momentum), rel=0.01)
    assert rate == pytest.approx(-np.log(momentum_factors(1e-4, momentum)[0].real), rel=1e-6)
    edge = (1 - np.sqrt(momentum)) ** 2
    for shrink, swings in ((0.9 * edge, False), (1.1 * edge, True)):
        assert (min(fall(shrink, momentum, 400)) < 0) == swings
        assert bool(np.abs(momentum_factors(shrink, momentum).imag).max() > 0) == (swings and momentum > 0)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_decay_alone_explodes_beyond(momentum, nesterov):
    """L2 alone makes weights grow once ηλ > 2, with momentum 2(1 + μ), with Nesterov's 1 + 1/(1 + 2μ)."""
    edge = explodes_beyond(momentum, nesterov)
    assert np.abs(fall(0.98 * edge, momentum, 2000, nesterov)[-2:]).max() < 1e-3
    assert np.abs(fall(1.02 * edge, momentum, 2000, nesterov)[-2:]).max() > 1e3


def test_momentum_free_rate_is_an_approximation():
    """ηλ/(1 − μ) is 1 % only where ηλμ/(1 − μ)² is: at μ = 0.97 it is 10 % short, and the quadratic is exact."""
    path = fall(1e-4, 0.97, 3000)
    rate = -np.log(path[-1] / path[-1001]) / 1000
    assert rate == pytest.approx(-np.log(momentum_factors(1e-4, 0.97)[0].real), rel=1e-6)
    assert 1.05 < rate / (1e-4 / 0.03) < 1.2


@pytest.mark.parametrize("key", ["adam_l2", "rmsprop_l2"])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0])
def test_adam_l2_effective_rate(key, sigma):
    """Under gradients of deviation σ the L2 term decays by ηλ/√v, about ηλ/σ, a step: 5 %; on the weight by ηλ."""
    lr, weight_decay, steps = 1e-2, 0.05, 2000
    generator = torch.Generator().manual_seed(0)

    def noise(w, t):
        half = torch.randn(1, w.shape[1] // 2, generator=generator, dtype=w.dtype)
        return sigma * torch.cat([half, -half], 1)  # antithetic pairs: their mean steps are decay alone

    def rate(key):
        path = []
        drive(VARIANTS[key], np.ones((1, 4000)), noise, steps, lr=lr, weight_decay=weight_decay,
              see=lambda w, t: path.append(w.mean().item()))  # fmt: skip
        late = steps // 3
        return -np.log(path[-1] / path[late]) / (steps - 1 - late)

    assert rate(key) == pytest.approx(lr * weight_decay / sigma, rel=0.05)
    on_weight = VARIANTS["adamw" if key == "adam_l2" else "rmsprop_w"].key
    assert rate(on_weight) == pytest.approx(lr * weight_decay, rel=0.05)


def test_ema_view():
    """AdamW's weights are an exponential average of its updates over τ = 1/(ηλ) steps: 1e-12."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), torch.tensor(rng.normal(size=(200, 1, 5)))
    lr, weight_decay = 0.05, 0.4
    path = [start]
    drive(VARIANTS["adam"], start[None], lambda w, t: gradients[t - 1], 200, lr=lr, weight_decay=0.0,
          see=lambda w, t: path.append(w[0].numpy().copy()))  # fmt: skip
    updates = -np.diff(path, axis=0) / lr  # of plain Adam: these gradients do not depend on w
    end = settled("adamw", start, lambda w, t: gradients[t - 1], 200, lr=lr, weight_decay=weight_decay)
    np.testing.assert_allclose(moving_average(start, updates, lr, weight_decay), end, rtol=0, atol=1e-12)


# ---- the prior -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.003, 0.1, 2.0])
def test_map_classification(weight_decay):
    """With the mean NLL λ = 1/(Nσ²): the MAP is scikit-learn's at C = 1/(λN), and where −log posterior is least."""
    data = make_data("moons", 0.4, 40, 0)
    x, y = data.x_train, data.y_train
    fit = map_fit(x, y, weight_decay)
    model = LogisticRegression(C=1 / (weight_decay * len(y)), tol=1e-12, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose([*fit.w, fit.b], [*model.coef_[0], model.intercept_[0]], rtol=0, atol=1e-6)
    sigma = sigma_of(weight_decay, len(y))
    assert weight_decay_of(sigma, len(y)) == pytest.approx(weight_decay, rel=1e-12)
    assert sigma == pytest.approx(1 / np.sqrt(weight_decay * len(y)), rel=1e-12)

    def minus_log_posterior(theta):
        p = expit(x @ theta[:2] + theta[2])
        return -np.sum(np.log(np.where(y == 1, p, 1 - p))) - norm(0, sigma).logpdf(theta[:2]).sum()

    least = minimize(minus_log_posterior, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose([*fit.w, fit.b], least.x, rtol=0, atol=1e-4)
    end = settled(
        "sgd_l2", np.zeros(3), _logistic(x, y), 60_000 if weight_decay < 0.01 else 10_000, lr=0.5,
        weight_decay=[[weight_decay, weight_decay, 0]],
    )  # fmt: skip
    np.testing.assert_allclose(end, [*fit.w, fit.b], rtol=0, atol=1e-6)


def _logistic(x, y):
    design = torch.tensor(np.column_stack([x, np.ones(len(x))]))
    labels = torch.tensor(y, dtype=torch.float64)
    return lambda w, t: (torch.sigmoid(w @ design.T) - labels) @ design / len(labels)


def test_map_regression():
    """Half-MSE: Ridge(alpha = Nλ); torch's MSELoss: alpha = Nλ/2; with noise s² the MAP has λ = s²/(Nσ²): 1e-8."""
    x, y, gradient = regression()
    n, weight_decay = len(y), 0.2
    end = settled("sgd_l2", np.zeros(6), gradient, 3000, lr=0.2, weight_decay=weight_decay)
    assert relative(end, Ridge(alpha=n * weight_decay, fit_intercept=False, tol=1e-12).fit(x, y).coef_) <= 1e-8
    w = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=weight_decay)
    design, target, loss = torch.tensor(x), torch.tensor(y), torch.nn.MSELoss()
    for _ in range(3000):
        optimizer.zero_grad(), loss(design @ w, target).backward(), optimizer.step()
    expected = Ridge(alpha=n * weight_decay / 2, fit_intercept=False, tol=1e-12).fit(x, y).coef_
    assert relative(w.detach().numpy(), expected) <= 1e-8
    s2, sigma2 = 0.25, 0.4
    posterior_mean = np.linalg.solve(x.T @ x / s2 + np.eye(6) / sigma2, x.T @ y / s2)
    assert relative(ridge(x, y, s2 / (n * sigma2)), posterior_mean) <= 1e-8


def test_risk_optimal_weight_decay():
    """For weights drawn from N(0, σ_w²) and noise s² the λ of least risk is s²/(Nσ_w²): within one step of a grid."""
    n, d, s, sigma, draws = 30, 12, 0.7, 1.3, 3000
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    truth = sigma * rng.normal(size=(draws, d))
    y = truth @ x.T + s * rng.normal(size=(draws, n))
    best = s**2 / (n * sigma**2)
    grid = best * 10 ** np.linspace(-1.5, 1.5, 25)
    risks = []
    for weight_decay in grid:
        w = np.linalg.solve(x.T @ x / n + weight_decay * np.eye(d), x.T @ y.T / n).T
        risks.append(np.mean(np.sum((w - truth) ** 2, axis=1)))
    assert abs(int(np.argmin(risks)) - 12) <= 1
    assert risks[0] > 1.02 * min(risks)
    assert risks[-1] > 1.02 * min(risks)


# ---- normalised layers -----------------------------------------------------------------------------------------


def test_scale_invariance():
    """A layer before LayerNorm: ⟨g, w⟩ = 0, ∇L(αw) = ∇L(w)/α, and a step turns it by η/‖w‖²: 1e-6."""
    architecture = Architecture((8,), "tanh", layer_norm=True)
    data = make_data("moons", 0.3, 40, 0)
    x, y = torch.tensor(data.x_train).T.contiguous(), torch.tensor(data.y_train, dtype=torch.float64)
    flat = architecture.initial(0)[None].repeat(2, 1)
    first = torch.cat([torch.arange(16), architecture.weights + torch.arange(8)])  # W and b of the hidden layer
    flat[:, first] *= 1e3  # LayerNorm's ε is then nothing beside the variance
    alpha = 7.0
    flat[1, first] *= alpha
    packing = architecture.packing()
    loss_gradient = LossGradient(architecture, flat[:, packing], 40)
    loss_gradient.see(x, y)
    g, w = loss_gradient()[:, packing.argsort()][:, first].numpy(), flat[:, first].numpy()
    assert np.linalg.norm(g[0]) > 0
    for k in (0, 1):
        assert abs(g[k] @ w[k]) <= 1e-6 * np.linalg.norm(g[k]) * np.linalg.norm(w[k])
    assert relative(alpha * g[1], g[0]) <= 1e-6
    lr = 1e5
    turned = [w[k] - scale * lr * g[k] for k, scale in ((0, 1), (1, alpha**2))]  # the same η/‖w‖²
    assert relative(turned[1] / np.linalg.norm(turned[1]), turned[0] / np.linalg.norm(turned[0])) <= 1e-6
    assert relative(turned[0], w[0]) > 1e-3


SIZE, RUNS = 256, 16
RATES = {"lr": 0.05, "weight_decay": 0.02}


LENGTH = np.sqrt(SIZE - 1)
"""‖g̃‖: a standard normal vector without its part along w."""
EQUILIBRIA = {
    ("sgd_l2", 0.0): sgd_l2_equilibrium(**RATES, momentum=0.0, gradient=LENGTH),
    ("momentum_l2", 0.9): sgd_l2_equilibrium(**RATES, momentum=0.9, gradient=LENGTH),
    ("momentum_w", 0.9): sgdw_equilibrium(**RATES, momentum=0.9, gradient=LENGTH),
    ("adamw", 0.9): adamw_equilibrium(**RATES, size=SIZE),
    ("adam_l2", 0.9): Equilibrium(adam_l2_equilibrium_norm(**RATES, gradients=np.full(SIZE, LENGTH / 16)), np.nan),
}


def walked(key, momentum):
    """‖w‖ and the RMS rotation of a step of a scale-invariant weight under random gradients, in equilibrium.

    Its gradient is orthogonal to w and of size ∝ 1/‖w‖, as a normalised layer's is.
    """
    generator = torch.Generator().manual_seed(0)

    def gradient(w, t):
        z = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        square = w.square().sum(1, keepdim=True)
        return (z - (z * w).sum(1, keepdim=True) / square * w) / square.sqrt()

    norms, turns, last = [], [], []

    def see(w, t):
        size = w.norm(dim=1)
        if last and t > 4000:
            cosine = (w * last[0]).sum(1) / size / last[0].norm(dim=1)
            norms.append(size.mean().item())
            turns.append(torch.acos(cosine.clamp(max=1)).square().mean().item())
        last[:] = [w.clone()]

    start = np.random.default_rng(0).normal(size=(RUNS, SIZE))
    start *= 1.5 * EQUILIBRIA[key, momentum].norm / np.linalg.norm(start, axis=1, keepdims=True)
    drive(VARIANTS[key], start, gradient, 6000, momentum=momentum, **RATES, see=see)
    return np.mean(norms), np.sqrt(np.mean(turns))


@pytest.fixture(scope="module")
def walks():
    return {key: walked(*key) for key in EQUILIBRIA}


@pytest.mark.parametrize("key", EQUILIBRIA, ids=lambda key: key[0])
def test_equilibrium_norm(walks, key):
    """‖w‖ settles where Kosson et al. (arXiv 2305.17212) say, from another start: 3 %."""
    assert walks[key][0] == pytest.approx(EQUILIBRIA[key].norm, rel=0.03)


@pytest.mark.parametrize("key", list(EQUILIBRIA)[:-1], ids=lambda key: key[0])
def test_rotation(walks, key):
    """A step turns the weight by the angle that Kosson et al. (arXiv 2305.17212) give: 3 %."""
    assert walks[key][1] == pytest.approx(EQUILIBRIA[key].rotation, rel=0.03)


# ---- what people get wrong -------------------------------------------------------------------------------------


def test_weight_decay_of_torchs_adam_is_l2():
    """Misconception 1: ``Adam(weight_decay=λ)`` is Adam on the penalised gradient; AdamW is another optimizer."""
    _, _, gradient = regression()
    start = np.ones(6)
    ends = {}
    for name, flags in (("l2", {}), ("decay", {"decoupled_weight_decay": True})):
        w = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=0.01, weight_decay=0.5, **flags)
        for _ in range(100):
            w.grad = gradient(w.detach()[None], 0)[0]
            optimizer.step()
        ends[name] = w.detach().numpy()
    rates = {"lr": 0.01, "weight_decay": 0.5}
    np.testing.assert_allclose(ends["l2"], settled("adam_l2", start, gradient, 100, **rates), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ends["decay"], settled("adamw", start, gradient, 100, **rates), rtol=0, atol=1e-12)
    assert relative(ends["l2"], ends["decay"]) > 0.01


def test_l2_of_keras_is_twice_torchs():
    """Misconception 7: a penalty l2·Σw² has the gradient 2·l2·w, so λ = 2·l2."""
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    (0.05 * w.square().sum()).backward()
    torch.testing.assert_close(w.grad, 2 * 0.05 * w.detach())


def test_weight_decay_does_not_port_between_optimizers():
    """Misconception 8: one number λ is good for SGD and for Adam + L2 and next to nothing for AdamW."""
    exp = Experiment(
        dataset="moons", points=60, noise=0.3, seed=1, hidden=(32, 32), steps=800, lr=0.5, lr_adaptive=0.003,
        weight_decay=0.01, weight_decay_adaptive=0.01, variants=("sgd_l2", "sgdw", "adam", "adam_l2", "adamw"),
    )  # fmt: skip
    loss = {key: values[-1] for key, values in train(exp, dtype=torch.float64).series("test_loss").items()}
    assert max(loss[key] for key in ("sgd_l2", "sgdw", "adam_l2")) < 0.3
    assert loss["adamw"] > 0.6
    assert loss["adamw"] == pytest.approx(loss["adam"], rel=0.2)


def test_the_decayed_step_is_not_a_constant_and_not_twice():
    """Misconceptions 5 and 6: (1 − ηλ)w once; neither w − ηλ, nor L2 and decay together."""
    start = np.array([2.0, -3.0])
    end = settled("sgdw", start, still, 1, lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(end, 0.95 * start, rtol=1e-15)
    assert np.abs(end - (start - 0.05)).max() > 0.01
    both = 0.95 * start - 0.1 * (0.5 * start)
    assert np.abs(end - both).max() > 0.01
