"""What the page of weight norms claims."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.averages import averages, bound, box, has_box, largest, side_name
from engine.claims.claim import Measurement, claim
from engine.equilibrium import NARROW, Motion, motions, scale_invariance, unsettled
from engine.probe import TOO_LONG, affordable
from engine.run import Run

REST = 0.01
"""Weights count as at rest when none moved by more than this share of the box over the last quarter of training."""

TOO_NARROW = (
    "layers of one or two units are too narrow: LayerNorm makes 0 or ±1 of them whatever the weights are, and all of "
    "their gradient comes from its ε."
)
NOT_ALIVE = "no variant with the same λ on every weight stayed finite at λ > 0."


@claim(
    says="With λ on the weight, every step's decay multiplies the weights by 1 − η_tλ, whatever the gradient does.",
    formula=r"\Bigl(\prod_t |1-\eta_t\lambda|\Bigr)^{1/T}",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/test_science.py::test_free_decay",
    tolerance=1e-12,
    kind="absolute",
)
def free_decay_factor(run: Run) -> list[Measurement] | str:
    if not affordable(run.experiment):
        return TOO_LONG
    found = averages(run)
    return [Measurement(f"{a.variant.title}, mean factor of a step", a.predicted, a.factor) for a in found] or NOT_ALIVE


@claim(
    says="Decayed weights are an exponential average of the optimizer's own steps over about τ = 1/(ηλ) of them.",
    formula=r"w_t=(1-\eta\lambda)^t w_0-\sum_s \eta(1-\eta\lambda)^{t-1-s}u_s",
    source="Wang & Aitchison 2024, arXiv 2405.13698",
    link="https://arxiv.org/abs/2405.13698",
    test="tests/test_science.py::test_ema_view",
    tolerance=1e-12,
    kind="absolute",
)
def ema_view(run: Run) -> list[Measurement] | str:
    if not affordable(run.experiment):
        return TOO_LONG
    found = averages(run)
    if not found:
        return NOT_ALIVE
    values = []
    for a in found:
        if a.averaged is not None:
            worst = int(np.argmax(np.abs(a.averaged - a.final)))
            values.append(Measurement(f"{a.variant.title}, the weight furthest off", a.averaged[worst], a.final[worst]))
    return values or "η changes from step to step; the average over τ steps is for a constant one."


@claim(
    says="At full batch Lion's weights come into the box ±1/λ at least as fast as decay takes them and then stay "
    "inside; AdamW's are inside where they have come to rest at a constant η.",
    formula=r"|w_i|\le \tfrac1\lambda+\bigl(|w_0|-\tfrac1\lambda\bigr)_+\textstyle\prod_t(1-\eta_t\lambda)",
    source="Xie & Li 2024, arXiv 2404.04454; Chen et al. 2023, arXiv 2310.05898",
    link="https://arxiv.org/abs/2404.04454",
    test="tests/test_science.py::test_box",
    tolerance=1e-2,
    kind="at most",
)
def weights_in_box(run: Run) -> list[Measurement] | str:
    exp, found, reasons = run.experiment, [], []
    for key, reached in largest(run).items():
        variant = exp.chosen[run.row(key)]
        reason = outside_theory(run, key)
        if reason:
            reasons.append(f"{variant.title}: {reason}")
            continue
        start, name = float(reached[0]), side_name(variant)
        from_start = f", bound {name} and what is left of the start" if start > box(exp, variant) else f", bound {name}"
        what = f"{variant.title}, largest weight at the end{from_start}"
        found.append(Measurement(what, bound(run, variant, start), float(reached[-1])))
    return found or ("; ".join(reasons) or "neither AdamW nor Lion is on screen") + "."


def outside_theory(run: Run, key: str) -> str | None:
    """Why the box is not promised for a variant of this run, in a few words; None where it is."""
    exp, row = run.experiment, run.row(key)
    variant = exp.chosen[row]
    shrink = exp.shrink_of(variant)
    if not has_box(variant) or shrink == 0:
        return "λ = 0, no box"
    if run.diverged[key] is not None or shrink >= 1:
        return f"ηλ = {shrink:.2g}, too much to settle"
    if exp.batch < exp.points:
        return "minibatches; the box is for full-batch training"
    if variant.uses("scale_by_lion"):
        return None
    if exp.schedule != "constant":
        return "a schedule that lowers η stops it wherever it is"
    late = run.film[3 * len(run.steps) // 4 :, row, : run.architecture.weights]
    moved = float(np.ptp(late, axis=0).max()) if len(run.steps) > 4 else np.inf
    return None if moved <= REST * box(exp, variant) else "its weights have not come to rest"


@claim(
    says="Under LayerNorm the loss does not feel the size of a layer's (W, b): the gradient is at right angles to it, "
    "up to LayerNorm's ε = 1e-5 beside the variance.",
    formula=r"\langle g,w\rangle=0,\qquad \nabla L(\alpha w)=\nabla L(w)/\alpha",
    source="van Laarhoven 2017, arXiv 1706.05350",
    link="https://arxiv.org/abs/1706.05350",
    test="tests/test_science.py::test_scale_invariance",
    tolerance=1e-3,
    kind="absolute",
)
def scale_does_not_matter(run: Run) -> list[Measurement] | str:
    if not run.experiment.layer_norm or not run.experiment.hidden:
        return "there is no LayerNorm."
    if max(run.experiment.hidden) < NARROW:
        return TOO_NARROW
    names = ("cos(g, w)", "relative error of 2∇L(2w)")
    return [
        Measurement(f"layer {number}, {name} at the start", 0.0, value)
        for number, pair in enumerate(scale_invariance(run), 1)
        if run.experiment.hidden[number - 1] >= NARROW
        for name, value in zip(names, pair, strict=True)
    ]


@claim(
    says="Under minibatch noise the norm of a layer before LayerNorm settles where decay and the steps balance: within "
    "20 %, since the gradients of a training are not independent of each other (under independent ones 3 %).",
    formula=r"\text{SGD+L2: }\Bigl(\tfrac{\eta\|\tilde g\|^2}{2\lambda(1-\mu)}\Bigr)^{1/4},\quad"
    r"\text{AdamW: }\sqrt{\tfrac{\eta C}{2\lambda}},\quad"
    r"\text{Adam+L2: }\Bigl(\tfrac{\eta}{2\lambda}\textstyle\sum_i\sqrt{E\tilde g_i^2}\Bigr)^{1/3}",
    source="Kosson, Messmer & Jaggi 2023, arXiv 2305.17212; exact for gradients that are independent of each other",
    link="https://arxiv.org/abs/2305.17212",
    test="tests/test_science.py::test_equilibrium_norm",
    tolerance=0.2,
)
def norm_settles(run: Run) -> list[Measurement] | str:
    return _settled(run, lambda motion: (motion.predicted[0], motion.norm))


@claim(
    says="There each step turns the layer by an angle that depends on ηλ alone: within 20 %, since the gradients of a "
    "training are not independent of each other (under independent ones 3 %).",
    formula=r"\text{SGD+L2: }\sqrt{\tfrac{2\eta\lambda}{1+\mu}},\quad"
    r"\text{AdamW: }\sqrt{2\eta\lambda\,\tfrac{1-\beta_1}{1+\beta_1}}",
    source="Kosson, Messmer & Jaggi 2023, arXiv 2305.17212; exact for gradients that are independent of each other",
    link="https://arxiv.org/abs/2305.17212",
    test="tests/test_science.py::test_rotation",
    tolerance=0.2,
)
def rotation_settles(run: Run) -> list[Measurement] | str:
    return _settled(run, lambda motion: (motion.predicted[1], motion.rotation))


def _settled(run: Run, pick: Callable[[Motion], tuple[float | None, float]]) -> list[Measurement] | str:
    reasons = {variant.title: unsettled(run, variant) for variant in run.experiment.chosen}
    exp, found = run.experiment, []
    if exp.layer_norm and exp.hidden and max(exp.hidden) < NARROW:
        return TOO_NARROW
    if None in reasons.values() and not affordable(exp):
        return TOO_LONG
    for motion in motions(run):
        predicted, measured = pick(motion)
        if predicted is not None and reasons[motion.variant.title] is None:
            found.append(Measurement(f"{motion.variant.title}, layer {motion.layer}", predicted, measured))
    if found:
        return found
    why = {reason for title, reason in reasons.items() if reason and reason != "no formula"}
    return "; ".join(sorted(why)) + "." if why else "none of the variants on screen has a formula."
