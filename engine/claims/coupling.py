"""What the page on where L2 stops being decay claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.claims.claim import Measurement, claim
from engine.measure import EQUAL, pair_difference, pairs
from engine.probe import TOO_LONG, Step, affordable, replay
from engine.rates import Rates, effective_rates, swings
from engine.run import Run
from engine.variants import Variant

DYING = 0.05
"""Below this share of its first norm a model's weights swing around zero, and no rate of decay describes them."""

ROUNDING, GROWTH = 1e-14, 1e4
"""A difference comes from rounding if the first step leaves no more than this share of the largest weight, and if no
step makes it grow by more than this factor. Unstable trainings were seen to reach 8e3."""


@claim(
    says="Under SGD, λ in the gradient and λ on the weight are the same to rounding.",
    formula=r"w-\eta(g+\lambda w)=(1-\eta\lambda)w-\eta g",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/test_science.py::test_sgd_three_forms",
    tolerance=EQUAL,
    kind="absolute",
)
def sgd_pair_is_equal(run: Run) -> list[Measurement] | str:
    plain = [(a, b) for a, b in pairs(run) if not a.adaptive and not a.has_momentum]
    calm = [(a, b) for a, b in plain if run.diverged[a.key] is None and run.diverged[b.key] is None]
    if not calm:
        return "SGD diverged." if plain else "SGD is not among the variants in both forms."
    found, unstable = [], []
    for a, b in calm:
        reach = float(pair_difference(run, a, b).max())
        if reach > EQUAL and affordable(run.experiment) and grown_from_rounding(run, a, b):
            unstable.append(f"{a.title} / {b.title}: training is unstable at this η, and rounding grows to {reach:.2g}")
        else:
            found.append(Measurement(f"largest Δw, {a.title} / {b.title}", 0.0, reach))
    return found or "; ".join(unstable) + "."


def grown_from_rounding(run: Run, a: Variant, b: Variant) -> bool:
    """Whether a pair starts a rounding error apart and every step multiplies that, up to more than ``EQUAL``; seen in a
    replay of the two."""
    apart: list[float] = []
    size: list[float] = []

    def see(step: Step) -> None:
        apart.append(float(np.abs(step.after[0] - step.after[1]).max()))
        size.append(float(np.abs(step.after[:2]).max()))

    with np.errstate(all="ignore"):
        replay(replace(run.experiment, variants=(a.key, b.key)), see)
    floor = ROUNDING * np.maximum.accumulate(size)
    before = np.maximum(apart, floor)[:-1]
    return bool(max(apart) > EQUAL and apart[0] <= floor[0] and (np.array(apart[1:]) <= GROWTH * before).all())


@claim(
    says="The larger a weight's gradients, the less L2 decays it under an optimizer that divides by √v (slope −1); "
    "decay on the weight, and L2 under SGD, take the same share of every weight (slope 0).",
    formula=r"\log\,\text{rate}_i = \log(\eta\lambda) - \log\sqrt{v_i}",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/engine/test_rates.py::test_slopes",
    tolerance=0.1,
    kind="absolute",
)
def slope_of_each(run: Run) -> list[Measurement] | str:
    if not affordable(run.experiment):
        return TOO_LONG
    found = {key: r for key, r in effective_rates(run).items() if r.expected_slope is not None}
    alive = {key: r for key, r in found.items() if np.isfinite(r.slope) and not dying(run, key)}
    if not alive:
        return _why_not(run, found)
    return [Measurement(f"slope, {r.variant.title}", r.expected_slope or 0.0, r.slope) for r in alive.values()]


@claim(
    says="Where the optimizer divides by √v, the rate of the L2 term is ηλ/√v of the weight, at every step's own v.",
    formula=r"\text{rate}_i=\frac{\eta\lambda}{\sqrt{v_i}}",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/test_science.py::test_adam_l2_effective_rate",
    tolerance=0.05,
)
def divided_rate(run: Run) -> list[Measurement] | str:
    if run.experiment.schedule != "constant":
        return "η changes while the rates are measured; choose a constant schedule."
    if not affordable(run.experiment):
        return TOO_LONG
    found = {key: r for key, r in effective_rates(run).items() if r.divided}
    return _ratios({key: r for key, r in found.items() if not dying(run, key)}, "ηλ/√v") or _why_not(run, found)


@claim(
    says="Momentum remembers the pull of L2: its rate is ηλ/(1 − μ), not ηλ.",
    formula=r"\text{rate}=\eta\lambda\,(1+\mu+\mu^2+\dots)=\frac{\eta\lambda}{1-\mu}",
    source="the geometric sum of the velocity; Goh 2017",
    link="https://doi.org/10.23915/distill.00006",
    test="tests/test_science.py::test_momentum_free_rate",
    tolerance=0.05,
)
def momentum_rate(run: Run) -> list[Measurement] | str:
    exp = run.experiment
    if not affordable(exp):
        return TOO_LONG
    found = {k: r for k, r in effective_rates(run).items() if r.variant.has_momentum and r.variant.where == "gradient"}
    if found and not exp.momentum:
        return "μ = 0: there is no momentum, and nothing to remember."
    if any(swings(exp, r.variant) for r in found.values()):
        shrink = max(exp.shrink_of(r.variant) for r in found.values())
        return (
            f"ηλ = {shrink:.2g} is above (1 − √μ)² = {(1 - exp.momentum**0.5) ** 2:.2g}, where a weight left to decay "
            "swings through zero instead of shrinking at a steady rate."
        )
    if exp.steps < 10 / (1 - exp.momentum):
        return f"{exp.steps} steps are too few for a velocity that remembers 1/(1 − μ) = {1 / (1 - exp.momentum):.0f}."
    beyond = max((exp.shrink_of(r.variant) for r in found.values()), default=0) * exp.momentum / (1 - exp.momentum) ** 2
    if beyond > 0.01:
        return f"the formula is for small ηλ; here the next term, ηλμ/(1 − μ)², is {beyond:.1%} of it."
    return _ratios(found, "ηλ/(1 − μ)") or _why_not(run, found)


def dying(run: Run, key: str) -> bool:
    """Whether a variant's weights have shrunk to so little that they swing around zero."""
    norms = run.metrics["weight_norm"][:, run.row(key)]
    return bool(norms[-1] < DYING * norms[0])


def _ratios(found: dict[str, Rates], name: str) -> list[Measurement]:
    return [Measurement(f"median rate / ({name}), {r.variant.title}", 1.0, r.ratio)
            for r in found.values() if r.kept.any()]  # fmt: skip


def _why_not(run: Run, found: dict[str, Rates]) -> str:
    if run.experiment.weight_decay == 0 and not run.experiment.weight_decay_adaptive:
        return "λ = 0: there is no decay to measure."
    gone = [r.variant.title for key, r in found.items() if dying(run, key)]
    if gone:
        return f"the weights of {', '.join(gone)} are down to less than 5 % of their start and swing around zero."
    return "none of the variants that this is about stayed finite with weights left to decay."
