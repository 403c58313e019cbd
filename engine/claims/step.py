"""What page 5 claims: SGD's three forms are one step, λ on the weight is a shrink, and Adam's L2 is divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, layer_norm, linear
from torch.optim.sgd import sgd

from engine.claims.claim import Measurement, claim
from engine.experiment import Experiment
from engine.mlp import NORM_EPS
from engine.probe import Step, replay
from engine.run import Run, decayed_columns, decayed_mask, quiet_cpu
from engine.trainer import DIVERGED_BEYOND
from engine.transforms import scale_by_rms
from engine.variants import Variant

STEPS = 10
"""Steps that the checks replay: enough for momentum and means to remember, few enough to be free."""
_GOODFELLOW = "Goodfellow, Bengio & Courville 2016, ch. 7.1.1"
_LINK = "https://www.deeplearningbook.org/contents/regularization.html"


@claim(
    says="Three ways to write it, one step: weight_decay=λ in torch.optim.SGD, λ/2‖w‖² added to the loss, "
    "and (1 − ηλ)w − ηg.",
    formula=r"w-\eta\,\nabla\bigl(L+\tfrac{\lambda}{2}\lVert w\rVert^2\bigr) = (1-\eta\lambda)\,w-\eta g",
    source=_GOODFELLOW,
    link=_LINK,
    test="tests/test_science.py::test_sgd_three_forms",
    tolerance=1e-12,
    kind="absolute",
)
def sgd_three_forms(run: Run) -> list[Measurement] | str:
    """The largest gap between the forms, over max(1, max|w|), in one more step from the end of each SGD with λ."""
    found = []
    for variant in run.experiment.chosen:
        if variant.adaptive or variant.has_momentum or variant.where not in ("gradient", "weight"):
            continue
        if run.diverged[variant.key] is None:
            by_torch, by_loss, by_hand = sgd_forms(run, variant)
            size = max(1.0, float(by_hand.abs().max()))
            for name, other in (("torch", by_torch), ("penalised loss", by_loss)):
                gap = float((other - by_hand).abs().max()) / size
                found.append(Measurement(f"{variant.title}: largest gap, {name} and shrink", 0.0, gap))
    return found or "it needs SGD + L2 or SGDW, not diverged."


def sgd_forms(run: Run, variant: Variant) -> tuple[Tensor, Tensor, Tensor]:
    """The next parameters (P,) by torch.optim, by the gradient of the penalised loss, and by shrink and step.

    The gradient is autograd's, on all training points, from the run's last weights.
    """
    lr, weight_decay = run.experiment.lr_of(variant), run.experiment.weight_decay_of(variant)
    start = torch.from_numpy(run.film[-1, run.row(variant.key)].astype(np.float64))
    decayed = torch.from_numpy(decayed_mask(run.experiment, run.architecture))
    with quiet_cpu(), torch.inference_mode(False), torch.enable_grad():
        w = start.clone().requires_grad_()
        (g,) = torch.autograd.grad(_loss(run, w), w)
        penalised = _loss(run, w) + weight_decay / 2 * (decayed * w).square().sum()
        (whole,) = torch.autograd.grad(penalised, w)
    by_torch = start.clone()
    for mask, own in ((1, weight_decay), (0, 0.0)):
        # What torch.optim.SGD.step calls; the class itself would spend a second on imports that a step does not need.
        part = start[decayed == mask]
        sgd([part], [g[decayed == mask]], [None], weight_decay=own, momentum=0.0, lr=lr, dampening=0.0,
            nesterov=False, maximize=False)  # fmt: skip
        by_torch[decayed == mask] = part
    return by_torch, start - lr * whole, (1 - lr * weight_decay * decayed) * start - lr * g


def _loss(run: Run, w: Tensor) -> Tensor:
    """The data loss of one model, written with torch.nn.functional so that autograd sees it."""
    phi = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda a: a}
    a = torch.from_numpy(run.data.x_train)
    *hidden, last = run.architecture.layers(w[None])
    for layer in hidden:
        a = linear(a, layer.weight[0], layer.bias[0])
        if layer.gain is not None and layer.shift is not None:
            a = layer_norm(a, a.shape[1:], layer.gain[0], layer.shift[0], NORM_EPS)
        a = phi[run.experiment.activation](a)
    logits = linear(a, last.weight[0], last.bias[0])[:, 0]
    return binary_cross_entropy_with_logits(logits, torch.from_numpy(run.data.y_train).to(w.dtype))


@claim(
    says="Where λ is on the weight, its part of every step is a fraction of the weight that no gradient changes: ηλ, "
    "in SGDS ηλ/(1 − μ), in the paper's form λ.",
    formula=r"w_{\text{next}} - w_{\text{next}}\big|_{\lambda=0} = -\rho_t\,w,\quad \rho_t \in \bigl\{\eta_t\lambda,\;"
    r"\tfrac{\eta_t\lambda}{1-\mu},\;s_t\lambda\bigr\},\;\text{AdamC before LayerNorm }s_t\eta_t\lambda",
    source="Loshchilov & Hutter 2019",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/engine/test_probe.py::test_where_lambda_is_on_the_weight_its_part_is_the_shrink",
    tolerance=1e-12,
    kind="absolute",
)
def decay_is_a_shrink(run: Run) -> list[Measurement] | str:
    """The largest gap over the first steps, for variants that take a fixed fraction off every decayed weight.

    A gap is in units of the largest weight before or after the step, at least 1.
    """
    exp, normed = run.experiment, run.architecture.normalised()
    shown = [v for v in exp.chosen if v.where == "weight" and not v.uses("shrink_weights", cautious=True)]
    if not shown:
        return "no variant on screen has λ on the weight of every step."
    shown = [v for v in shown if exp.weight_decay_of(v) > 0]
    if not shown:
        return "λ = 0."

    def gap(step: Step, variant: Variant, row: int) -> float:
        columns = decayed_columns(exp, run.architecture)
        rates = [exp.shrinks_of(variant, way)[step.t - 1] for way in (True, False)]
        expected = -np.where(normed, *rates) * step.before[row]
        size = max(1.0, *(float(np.abs(w[row]).max()) for w in (step.before, step.after, step.without)))
        return float(np.abs(step.decay[row] - expected)[columns].max()) / size

    return largest_of_first_steps(exp, shown, "largest gap", gap)


def largest_of_first_steps(
    exp: Experiment, shown: Sequence[Variant], what: str, measure: Callable[[Step, Variant, int], float]
) -> list[Measurement] | str:
    """What should be 0 in every step: its largest value over each variant's first steps, those before it diverges.

    Args:
        exp: what is trained.
        shown: variants of the experiment.
        what: the value, in words.
        measure: the value in one step, given the step, the variant and its row.
    """
    largest, counts = {variant: 0.0 for variant in shown}, {variant: 0 for variant in shown}

    def see(step: Step) -> None:
        for variant in shown:
            row = exp.variants.index(variant.key)
            if counts[variant] == step.t - 1 and np.abs(step.after[row]).max() <= DIVERGED_BEYOND:
                counts[variant] += 1
                largest[variant] = float(np.maximum(largest[variant], measure(step, variant, row)))  # keeps a NaN

    with np.errstate(all="ignore"):  # diverged rows are part of the replay
        replay(exp, see, min(STEPS, exp.steps))
    found = [
        Measurement(f"{variant.title}: {what} in {count} step{'s' * (count != 1)}", 0.0, largest[variant])
        for variant, count in counts.items()
        if count
    ]
    return found or "all that it is about diverged in the first step."


@claim(
    says="Where an adaptive optimizer gets λ in its gradient, the pull is divided with it: in the first step the rate "
    "of a weight is ηλ over the size of its own gradient, one rate for each weight.",
    formula=r"\frac{-\Delta_\lambda w_i}{w_i} = \frac{\eta\lambda}{\sqrt{\hat v_i}+\epsilon}",
    source="Loshchilov & Hutter 2019",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/engine/test_anatomy.py::test_the_first_pull_of_an_adaptive_l2_is_divided_by_the_gradients_size",
    tolerance=1e-6,
)
def adaptive_l2_has_a_rate_a_weight(run: Run) -> list[Measurement] | str:
    """The slowest and the fastest rate of the first step, by the formula and by the replay."""
    exp = run.experiment
    shown = [v for v in exp.chosen if v.where == "gradient" and v.adaptive and exp.weight_decay_of(v) > 0]
    if not shown:
        return "no variant on screen puts λ > 0 into the gradient of an adaptive optimizer."
    found: list[Measurement] = []

    def see(step: Step) -> None:
        for variant in shown:
            row, columns = run.row(variant.key), slice(run.architecture.weights)
            w, g, decay = (a[row, columns] for a in (step.before, step.gradient, step.decay))
            predicted = first_rates(exp, variant, w, g)
            measured = -decay / w
            for name, i in (("slowest", predicted.argmin()), ("fastest", predicted.argmax())):
                found.append(Measurement(f"{variant.title}: {name} weight", float(predicted[i]), float(measured[i])))

    replay(exp, see, 1)
    return found


def first_rates(exp: Experiment, variant: Variant, w: NDArray, g: NDArray) -> NDArray:
    """The share of each weight that λ takes off in the first step of an adaptive L2 variant: ηλ/(√v̂ + ε)."""
    weight_decay = exp.weight_decay_of(variant)
    root = np.abs(g + weight_decay * w)
    if variant.uses(scale_by_rms().name):
        root *= np.sqrt(1 - 0.99)  # RMSProp does not correct v for its start at 0
    eps = 1e-10 if variant.family == "Adagrad" else 1e-8
    return exp.lr_of(variant) * exp.schedule_of_steps()[0] * weight_decay / (root + eps)


__all__ = ["adaptive_l2_has_a_rate_a_weight", "decay_is_a_shrink", "largest_of_first_steps", "sgd_three_forms"]
