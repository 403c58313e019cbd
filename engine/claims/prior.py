"""What the page of the Gaussian prior claims."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import multivariate_normal

from engine import bayes, evidence, prior
from engine.claims.claim import Measurement, claim
from engine.corrections import momentum_end, not_arrived, theta
from engine.run import Run
from engine.sparse import l1_path
from engine.variants import VARIANTS

NAMES = ("w₁", "w₂", "b")
DENSE = 300
"""Points up to which the evidence is also computed from the full covariance matrix."""

SHARP = 1e5
"""Condition of the full covariance beyond which its inverse is worse than the claim's tolerance."""

SAMPLE, SEEN = 20_000, 40
"""Draws of the Monte-Carlo average, and training points at which it is taken."""

ONE_CLASS = "all labels are of one class"


@claim(
    says="The MAP is scikit-learn's LogisticRegression(C = 1/(λN)).",
    formula=r"\lambda = \frac{1}{N\sigma^2},\quad C = \frac{1}{\lambda N}",
    source="Pedregosa et al. 2011, arXiv 1201.0490",
    link="https://arxiv.org/abs/1201.0490",
    test="tests/test_science.py::test_map_classification",
    tolerance=1e-6,
    kind="absolute",
)
def map_is_sklearn(run: Run) -> list[Measurement] | str:
    x, y, weight_decay = run.data.x_train, run.data.y_train, run.experiment.weight_decay
    if weight_decay == 0:
        return "λ = 0 is no prior."
    ours, theirs = prior.map_fit(x, y, weight_decay), prior.sklearn_map(x, y, weight_decay)
    if not ours.finite:
        return ours.why
    return _compared("", theta(theirs), theta(ours))


@claim(
    says="With the penalty in the gradient, SGD and Adam both end at the MAP.",
    formula=r"g(w)+\lambda w = 0",
    source="Goodfellow, Bengio & Courville 2016, ch. 7.1.1",
    link="https://www.deeplearningbook.org/contents/regularization.html",
    test="tests/engine/test_bayes.py::test_the_penalty_in_the_gradient_ends_at_the_map",
    tolerance=1e-6,
    kind="absolute",
)
def penalty_ends_at_map(run: Run) -> list[Measurement] | str:
    best = prior.map_fit(run.data.x_train, run.data.y_train, run.experiment.weight_decay)
    keys = [variant.key for variant in run.experiment.chosen if variant.where == "gradient"]
    return best.why if not best.finite else _ends(run, keys, theta(best))


@claim(
    says="SGDW with momentum does not end at the MAP of λ but at that of (1 − μ)λ.",
    formula=r"\eta\lambda w = -\frac{\eta\, g}{1-\mu}\;\Rightarrow\; g+(1-\mu)\lambda w = 0",
    source="the rule's fixed point; Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/test_science.py::test_fixed_points",
    tolerance=1e-6,
    kind="absolute",
)
def momentum_ends_at_less(run: Run) -> list[Measurement] | str:
    end = momentum_end(run)
    keys = [v.key for v in run.experiment.chosen if v.where == "weight" and v.has_momentum]
    return end.why if not end.finite else _ends(run, keys, theta(end))


@claim(
    says="The average over the posterior is the mean prediction of 20,000 draws of (w, b).",
    formula=r"p(y{=}1\,|\,x)=\int \mathrm{sigmoid}(a)\,\mathcal N(a\,|\,m(x),s^2(x))\,da",
    source="MacKay 1992, Neural Computation 4(5)",
    link="https://doi.org/10.1162/neco.1992.4.5.720",
    test="tests/engine/test_bayes.py::test_predictive_is_the_average_over_draws",
    tolerance=0.02,
    kind="absolute",
)
def predictive_is_average(run: Run) -> list[Measurement] | str:
    x, y, weight_decay = run.data.x_train, run.data.y_train, run.experiment.weight_decay
    try:
        belief = bayes.posterior(x, y, prior.map_fit(x, y, weight_decay), weight_decay)
    except ValueError as error:
        return str(error)
    points = x[:SEEN]
    draws = belief.draws(SAMPLE, run.experiment.seed)
    sampled = expit(points @ draws[:, :2].T + draws[:, 2]).mean(axis=1)
    ours = bayes.predictive(belief, points)
    worst = int(np.argmax(np.abs(sampled - ours)))
    return [Measurement("P(y=1), where they differ most", float(ours[worst]), float(sampled[worst]))]


@claim(
    says="The linear model's evidence is the density of the targets under their full covariance matrix.",
    formula=r"p(t\,|\,\sigma)=\int \mathcal N(t\,|\,b\mathbf 1,\ \sigma^2XX^\top+s^2I)\,db",
    source="Bishop 2006, section 3.5.1",
    link="https://www.microsoft.com/en-us/research/publication/pattern-recognition-machine-learning/",
    test="tests/engine/test_bayes.py::test_linear_evidence_is_the_density_of_the_targets",
    tolerance=1e-9,
)
def linear_evidence_is_exact(run: Run) -> list[Measurement] | str:
    x, y = run.data.x_train, run.data.y_train
    if len(y) > DENSE:
        return f"the full covariance of {len(y):,} points takes seconds; choose {DENSE} points or fewer."
    sigma = prior.sigma_of(run.experiment.weight_decay, len(y))
    sigma, noise = sigma if np.isfinite(sigma) else 1.0, evidence.residual_deviation(x, y)
    ours = evidence.linear(x, 2.0 * y - 1, [sigma], noise)[0]
    if len(y) > 1 and np.linalg.cond(_covariance(x, sigma, noise)) > SHARP:
        return f"beside σ = {sigma:.3g} the noise s = {noise:.2g} is so small that the full covariance rounds it away."
    return [Measurement(f"log evidence at σ = {sigma:.3g}", dense_evidence(x, 2.0 * y - 1, sigma, noise), float(ours))]


@claim(
    says="At the linear evidence's peak, σ² is ‖w‖² over the number of weights that the data determine.",
    formula=r"\sigma^2=\|m\|^2/\gamma,\quad \gamma=\textstyle\sum_i l_i^2/(l_i^2+s^2/\sigma^2)",
    source="MacKay 1992, Neural Computation 4(3)",
    link="https://doi.org/10.1162/neco.1992.4.3.415",
    test="tests/engine/test_bayes.py::test_the_peak_of_the_linear_evidence_is_mackays",
    tolerance=0.01,
)
def peak_is_mackays(run: Run) -> list[Measurement] | str:
    x, y = run.data.x_train, run.data.y_train
    found = evidence.evidence(x, y, np.inf)
    if isinstance(found, str):
        return found
    sigma, _, inside = evidence.peak(found.sigmas, found.linear)
    if not inside:
        return "the evidence has no peak inside the axis."
    return [Measurement("best σ", mackay_sigma(x, 2.0 * y - 1, sigma, found.noise), sigma)]


@claim(
    says="Under the Laplace prior no slope of the data loss exceeds λ, and where it stays below, the weight is zero.",
    formula=r"|\partial L/\partial w_i| \le \lambda",
    source="Tibshirani 1996, JRSS B 58",
    link="https://doi.org/10.1111/j.2517-6161.1996.tb02080.x",
    test="tests/engine/test_bayes.py::test_l1_satisfies_its_conditions",
    tolerance=1e-8,
    kind="at most",
)
def l1_slopes(run: Run) -> list[Measurement] | str:
    x, y, weight_decay = run.data.x_train, run.data.y_train, run.experiment.weight_decay
    if len(np.unique(y)) < 2:
        return f"{ONE_CLASS}."
    if weight_decay == 0:
        return "λ = 0 is no prior."
    w1, w2, b = l1_path(x, y, [weight_decay])[0]
    slopes = (expit(x @ [w1, w2] + b) - y) @ x / len(y)
    found = []
    for name, weight, slope in zip(NAMES, (float(w1), float(w2)), slopes.tolist(), strict=False):
        found.append(Measurement(f"{name} = {weight:.3g}, size of the slope", weight_decay, abs(slope)))
        if weight != 0:  # then the slope is exactly −λ·sign(w): no less than λ in size, and against the weight
            found.append(Measurement(f"{name} = {weight:.3g}, slope along it", -weight_decay, slope * np.sign(weight)))
    return found


def dense_evidence(x: np.ndarray, t: np.ndarray, sigma: float, noise: float) -> float:
    """The linear evidence the slow way: scipy's normal density in the N − 1 directions that a flat b leaves."""
    n = len(t)
    covariance = _covariance(x, sigma, noise)
    return float(multivariate_normal.logpdf(_across(n) @ t, np.zeros(n - 1), covariance) - 0.5 * np.log(n))


def _across(n: int) -> np.ndarray:
    """An orthonormal basis of the directions across (1, …, 1), (N − 1, N)."""
    return np.linalg.svd(np.ones((1, n)))[2][1:]


def _covariance(x: np.ndarray, sigma: float, noise: float) -> np.ndarray:
    """σ²XXᵀ + s²I in those directions, (N − 1, N − 1)."""
    across = _across(len(x))
    return across @ (sigma**2 * x @ x.T + noise**2 * np.eye(len(x))) @ across.T


def mackay_sigma(x: np.ndarray, t: np.ndarray, sigma: float, noise: float) -> float:
    """√(‖m‖²/γ) at a given σ: the posterior mean m and the number γ of well-determined weights; σ where σ is best."""
    centred = x - x.mean(axis=0)
    precision = centred.T @ centred / noise**2 + np.eye(2) / sigma**2
    mean = np.linalg.solve(precision, centred.T @ t) / noise**2
    gamma = 2 - np.trace(np.linalg.inv(precision)) / sigma**2
    return float(np.linalg.norm(mean) / np.sqrt(gamma))


def _ends(run: Run, keys: list[str], end: np.ndarray) -> list[Measurement] | str:
    """The last weights of the variants that have come to rest, beside where they should; or why none has."""
    found, reasons = [], []
    for key in keys:
        title, reason = VARIANTS[key].title, not_arrived(run, key)
        if reason:
            reasons.append(f"{title}: {reason}")
        else:
            found += _compared(f"{title}, ", end, run.film[-1, run.row(key)].astype(np.float64))
    return found or "; ".join(reasons) + "."


def _compared(title: str, predicted: np.ndarray, measured: np.ndarray) -> list[Measurement]:
    return [
        Measurement(f"{title}{name}", float(a), float(b)) for name, a, b in zip(NAMES, predicted, measured, strict=True)
    ]
