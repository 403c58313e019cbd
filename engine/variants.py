"""The decay variants: one registry entry each. Nothing else in the project lists variants.

A variant is a chain of transforms, and the *place* of λ in the chain is the whole subject: ``add_l2`` before the
preconditioner is an L2 penalty, ``shrink_weights`` after it is weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.transforms import (
    Transform,
    add_l2,
    add_pull_to_start,
    chain,
    descend,
    project_units,
    scale_by_adagrad,
    scale_by_adam,
    scale_by_lion,
    scale_by_rms,
    shrink_weights,
    soft_threshold,
    trace,
)

Where = Literal["none", "gradient", "weight", "other"]
_PLACES: dict[str, Where] = {
    "add_l2": "gradient",
    "shrink_weights": "weight",
    "add_pull_to_start": "other",
    "soft_threshold": "other",
    "project_units": "other",
}


@dataclass(frozen=True)
class Variant:
    """One optimizer with one way for λ to enter.

    Attributes:
        key: name in code and in URLs.
        title: name on screen.
        family: the row of the signature table: optimizers that share a preconditioner.
        chain: transforms in the order in which they act at every step.
        rule: the update in LaTeX.
        lesson: one sentence on what it teaches.
        paper: source with year and arXiv id.
        torch_optimizer: the constructor call in PyTorch, given ``groups``, ``lr``, ``weight_decay``, ``momentum``.
        torch_setup: lines before the loop, where torch.optim has no flag for the rule.
        torch_before: lines between backward() and step(), which may change gradients and weights.
        torch_after: lines after step().
    """

    key: str
    title: str
    family: str
    chain: tuple[Transform, ...]
    rule: str
    lesson: str
    paper: str
    torch_optimizer: str
    torch_setup: str = ""
    torch_before: str = ""
    torch_after: str = ""

    @property
    def where(self) -> Where:
        """Where λ enters, read off the chain: "none", "gradient" (L2), "weight" (decay), or "other" priors."""
        return next((_PLACES[step.name] for step in self.chain if step.name in _PLACES), "none")

    @property
    def adaptive(self) -> bool:
        """Whether the step is divided by a gradient scale, so that ``lr_adaptive`` is its learning rate."""
        return any(transform.name.startswith("scale_by_") for transform in self.chain)

    @property
    def has_momentum(self) -> bool:
        """Whether the ``momentum`` knob acts on it."""
        return self.uses("trace")

    @property
    def has_weight_decay(self) -> bool:
        """Whether λ acts on it."""
        return self.where != "none" and not self.uses("project_units")

    @property
    def shrinks_by_lr(self) -> bool:
        """Whether a step's shrink is ηλ; False for the paper's form, where it is λ alone."""
        return not self.uses("shrink_weights", times_lr=False)

    def uses(self, name: str, **options: object) -> bool:
        """Whether a transform of this name is in the chain, with at least these options."""
        return any(step.name == name and options.items() <= dict(step.options).items() for step in self.chain)

    def chain_with(self, nesterov: bool) -> tuple[Transform, ...]:
        """The chain, with Nesterov's momentum where it has momentum and that is asked for."""
        return tuple(trace(nesterov=True) if nesterov and step.name == "trace" else step for step in self.chain)

    def snippet(self, nesterov: bool = False, schedule: str = "1.0") -> str:
        """The training loop in PyTorch, given model, batches, loss_fn, decayed, groups and the hyperparameters.

        Args:
            nesterov: with Nesterov's momentum, where the variant has momentum.
            schedule: multiplier of the learning rate as an expression in ``x``, the share of training done; with one
                that is not constant the loop is also given ``steps``.
        """
        scheduled = schedule != "1.0"
        optimizer = self.torch_optimizer
        if nesterov:
            optimizer = optimizer.replace("momentum=momentum", "momentum=momentum, nesterov=True")
        lines = [*self.torch_setup.splitlines(), f"optimizer = {optimizer}"]
        if "max_lr" in self.torch_before or (scheduled and "S_T" in self.torch_before):
            lines += ["max_lr = lr"]
        if scheduled:
            lines += [*schedule_code(schedule).splitlines(), _SCHEDULER]
        lines += ["for x, y in batches:"]
        if scheduled and any(word in self.torch_before + self.torch_after for word in ("lr", "S_T")):
            lines += ["    lr = scheduler.get_last_lr()[0]"]
        lines += ["    optimizer.zero_grad()", "    loss_fn(model(x), y).backward()"]
        lines += _without_gradients(self.torch_before)
        lines += ["    optimizer.step()"]
        lines += _without_gradients(self.torch_after)
        if scheduled:
            lines += ["    scheduler.step()"]
        return "\n".join(lines).replace(" * S_T", " * lr / max_lr" if scheduled else "") + "\n"


_SCHEDULER = "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)"


def schedule_code(expression: str) -> str:
    """What ``Variant.snippet`` gives LambdaLR: the multiplier of the learning rate as a function of the step.

    Args:
        expression: the multiplier in ``x``, the share of training done.
    """
    needs = "import math\n" if "math." in expression else ""
    return f"{needs}def schedule(t):\n    x = t / steps\n    return {expression}\n"


def _without_gradients(code: str) -> list[str]:
    lines = [f"        {line}" for line in code.splitlines()]
    return ["    with torch.no_grad():", *lines] if lines else []


_SGD = "plain gradient descent; Robbins & Monro 1951"
_GOODFELLOW = "Goodfellow, Bengio & Courville 2016, Deep Learning, ch. 7.1.1"
_LOSHCHILOV = "Loshchilov & Hutter 2019, arXiv 1711.05101"
_ADAM = "Kingma & Ba 2015, arXiv 1412.6980"
_RMS = "Tieleman & Hinton 2012, lecture 6.5"
_VELOCITY = r"v \leftarrow \mu v+g,\quad w \leftarrow w-\eta v"
_DECAY = r"w \leftarrow (1-\eta\lambda)\,w"
_ADAM_MEANS = r"m \leftarrow \beta_1 m+(1-\beta_1)g,\quad v \leftarrow \beta_2 v+(1-\beta_2)g^2"
_XIE = "Xie et al. 2020, arXiv 2011.11152"
_SHRINK = "for w in decayed:\n    w.mul_(1 - {})"
_ADAM_STEP = r"\eta\,\hat m/(\sqrt{\hat v}+\epsilon)"

_ENTRIES = (
    Variant(
        key="sgd",
        title="SGD",
        family="SGD",
        chain=chain(descend()),
        rule=r"w \leftarrow w-\eta g",
        lesson="No decay: a weight moves only where the data loss pushes it.",
        paper=_SGD,
        torch_optimizer="torch.optim.SGD(groups, lr=lr)",
    ),
    Variant(
        key="sgd_l2",
        title="SGD + L2",
        family="SGD",
        chain=chain(add_l2(), descend()),
        rule=r"w \leftarrow w-\eta\,(g+\lambda w)",
        lesson="The penalty's gradient λw is one more push; the step becomes (1 − ηλ)w − ηg.",
        paper=_GOODFELLOW,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay)",
    ),
    Variant(
        key="sgdw",
        title="SGDW",
        family="SGD",
        chain=chain(shrink_weights(), descend()),
        rule=r"w \leftarrow (1-\eta\lambda)\,w-\eta g",
        lesson="Every weight is multiplied by 1 − ηλ, then steps; without momentum this is SGD + L2.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=0)",
        torch_before=_SHRINK.format("lr * weight_decay"),
    ),
    Variant(
        key="l2_sp",
        title="SGD + L2-SP",
        family="SGD",
        chain=chain(add_pull_to_start(), descend()),
        rule=r"w \leftarrow w-\eta\,\bigl(g+\lambda(w-w_0)\bigr)",
        lesson="A Gaussian prior around the starting weights w₀ instead of zero: the pull is back to the start.",
        paper="Li, Grandvalet & Davoine 2018, arXiv 1802.01483",
        torch_setup="starts = [w.detach().clone() for w in decayed]",
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=0)",
        torch_before="for w, start in zip(decayed, starts):\n    w.grad.add_(w - start, alpha=weight_decay)",
    ),
    Variant(
        key="l1",
        title="SGD + L1",
        family="SGD",
        chain=chain(descend(), soft_threshold()),
        rule=r"w \leftarrow \operatorname{sign}(z)\max(|z|-\eta\lambda,\,0),\quad z=w-\eta g",
        lesson="A Laplace prior: each step takes the same amount ηλ off every weight, so small ones end at exactly 0.",
        paper="Daubechies, Defrise & De Mol 2004, arXiv math/0307152; Tibshirani 1996",
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=0)",
        torch_after="for w in decayed:\n    w.copy_(torch.nn.functional.softshrink(w, lr * weight_decay))",
    ),
    Variant(
        key="max_norm",
        title="SGD, max-norm",
        family="SGD",
        chain=chain(descend(), project_units()),
        rule=r"w \leftarrow w-\eta g,\quad w_u \leftarrow w_u\,\min(1,\,c/\lVert w_u\rVert)",
        lesson="A constraint instead of a penalty: each unit's incoming weights are free up to norm c, and held there.",
        paper="Srivastava et al. 2014, JMLR 15",
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=0)",
        torch_after="for w in model.parameters():\n    if w.dim() >= 2:\n"
        "        w.mul_((max_norm / w.norm(dim=1, keepdim=True)).clamp(max=1))",
    ),
    Variant(
        key="momentum_l2",
        title="Momentum + L2",
        family="Momentum",
        chain=chain(add_l2(), trace(), descend()),
        rule=r"v \leftarrow \mu v+(g+\lambda w),\quad w \leftarrow w-\eta v",
        lesson="The pull λw is remembered by the velocity, so its free rate is about ηλ/(1 − μ) a step.",
        paper=_GOODFELLOW,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)",
    ),
    Variant(
        key="momentum_w",
        title="SGDW with momentum",
        family="Momentum",
        chain=chain(shrink_weights(), trace(), descend()),
        rule=_DECAY + r",\quad " + _VELOCITY,
        lesson="Decay skips the velocity; the fixed point is that of L2 with (1 − μ)λ.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=0)",
        torch_before=_SHRINK.format("lr * weight_decay"),
    ),
    Variant(
        key="sgds",
        title="SGDS (stable)",
        family="Momentum",
        chain=chain(shrink_weights(over_momentum=True), trace(), descend()),
        rule=r"w \leftarrow \Bigl(1-\tfrac{\eta\lambda}{1-\mu}\Bigr)w,\quad " + _VELOCITY,
        lesson="Decay over 1 − μ, as momentum lengthens steps by 1/(1 − μ): the fixed point is again that of L2.",
        paper=_XIE,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=0)",
        torch_before=_SHRINK.format("lr * weight_decay / (1 - momentum)"),
    ),
    Variant(
        key="rmsprop_l2",
        title="RMSProp + L2",
        family="RMSProp",
        chain=chain(add_l2(), scale_by_rms(), descend()),
        rule=r"g \leftarrow g+\lambda w,\quad v \leftarrow \alpha v+(1-\alpha)g^2,\quad "
        r"w \leftarrow w-\eta\,g/(\sqrt{v}+\epsilon)",
        lesson="The pull λw is divided by √v with the rest, so the largest gradients are decayed least.",
        paper=_RMS,
        torch_optimizer="torch.optim.RMSprop(groups, lr=lr, weight_decay=weight_decay)",
    ),
    Variant(
        key="rmsprop_w",
        title="RMSPropW",
        family="RMSProp",
        chain=chain(scale_by_rms(), shrink_weights(), descend()),
        rule=_DECAY + r",\quad v \leftarrow \alpha v+(1-\alpha)g^2,\quad w \leftarrow w-\eta\,g/(\sqrt{v}+\epsilon)",
        lesson="Decay on the weight: every weight shrinks by the same ηλ, whatever its gradients.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.RMSprop(groups, lr=lr, weight_decay=0)",
        torch_before=_SHRINK.format("lr * weight_decay"),
    ),
    Variant(
        key="adagrad_l2",
        title="Adagrad + L2",
        family="Adagrad",
        chain=chain(add_l2(), scale_by_adagrad(), descend()),
        rule=r"g \leftarrow g+\lambda w,\quad v \leftarrow v+g^2,\quad w \leftarrow w-\eta\,g/(\sqrt{v}+\epsilon)",
        lesson="The pull λw is divided by √v, which only grows: decay fades as training goes on.",
        paper="Duchi, Hazan & Singer 2011, JMLR 12",
        torch_optimizer="torch.optim.Adagrad(groups, lr=lr, weight_decay=weight_decay)",
    ),
    Variant(
        key="adam",
        title="Adam",
        family="Adam",
        chain=chain(scale_by_adam(), descend()),
        rule=_ADAM_MEANS + r",\quad w \leftarrow w-" + _ADAM_STEP,
        lesson="No decay: steps of about η whatever the size of the gradient.",
        paper=_ADAM,
        torch_optimizer="torch.optim.Adam(groups, lr=lr)",
    ),
    Variant(
        key="adam_l2",
        title="Adam + L2",
        family="Adam",
        chain=chain(add_l2(), scale_by_adam(), descend()),
        rule=r"g \leftarrow g+\lambda w,\quad " + _ADAM_MEANS + r",\quad w \leftarrow w-" + _ADAM_STEP,
        lesson="The pull λw goes through Adam's division by √v: the rate of decay is ηλ/√v, not ηλ.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)",
    ),
    Variant(
        key="adamw",
        title="AdamW",
        family="Adam",
        chain=chain(scale_by_adam(), shrink_weights(), descend()),
        rule=_DECAY + r"-" + _ADAM_STEP,
        lesson="Decay on the weight itself: every weight shrinks by ηλ, whatever its gradients.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)",
    ),
    Variant(
        key="adamw_paper",
        title="AdamW, paper form",
        family="Adam",
        chain=chain(scale_by_adam(), shrink_weights(times_lr=False), descend()),
        rule=r"w \leftarrow (1-s_t\lambda)\,w-\eta_t\,\hat m/(\sqrt{\hat v}+\epsilon)",
        lesson="The paper's λ is not multiplied by η: changing the learning rate leaves the decay as it is.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.Adam(groups, lr=lr, weight_decay=0)",
        torch_before=_SHRINK.format("weight_decay * S_T"),
    ),
    Variant(
        key="adamc",
        title="AdamC",
        family="Adam",
        chain=chain(scale_by_adam(), shrink_weights(corrected=True), descend()),
        rule=r"w \leftarrow \bigl(1-\tfrac{\eta_t^2}{\eta_{\max}}\lambda\bigr)w-\eta_t\,\hat m/(\sqrt{\hat v}+\epsilon)"
        r"\;\text{where } w \text{ feeds LayerNorm}",
        lesson="Weights that feed LayerNorm decay by η_t²λ/η_max, so that their norm keeps still while η_t falls; the "
        "others are AdamW's, and at a constant η all are.",
        paper="Defazio 2025, arXiv 2506.02285",
        torch_setup="norms = any(isinstance(layer, torch.nn.LayerNorm) for layer in model)\n"
        "feeds_norm = {id(p) for p in model[:-1].parameters() if norms and p.dim() >= 2}",
        torch_optimizer="torch.optim.Adam(groups, lr=lr, weight_decay=0)",
        torch_before="for w in decayed:\n    slower = lr / max_lr if id(w) in feeds_norm else 1\n"
        "    w.mul_(1 - lr * weight_decay * slower)",
    ),
    Variant(
        key="cautious",
        title="AdamW, cautious",
        family="Adam",
        chain=chain(scale_by_adam(), shrink_weights(cautious=True), descend()),
        rule=r"w \leftarrow w-\eta\lambda\,w\,[u w\ge 0]-\eta u,\quad u=\hat m/(\sqrt{\hat v}+\epsilon)",
        lesson="Decay only where it goes the way of the step: a weight that the data are growing is left alone.",
        paper="Chen et al. 2025, arXiv 2510.12402",
        torch_optimizer="torch.optim.Adam(groups, lr=lr, weight_decay=0)",
        torch_before="before = [w.clone() for w in decayed]",
        torch_after="for w, old in zip(decayed, before):\n"
        "    agree = (old - w) * old >= 0\n    w.sub_(lr * weight_decay * old * agree)",
    ),
    Variant(
        key="lion",
        title="Lion",
        family="Lion",
        chain=chain(scale_by_lion(), shrink_weights(), descend()),
        rule=_DECAY + r"-\eta\,\operatorname{sign}(\beta_1 m+(1-\beta_1)g),\quad m \leftarrow \beta_2 m+(1-\beta_2)g",
        lesson="Every weight steps by exactly η and shrinks by ηλ, so none can leave the box |w| ≤ 1/λ for long.",
        paper="Chen et al. 2023, arXiv 2302.06675; the box: arXiv 2310.05898",
        torch_setup="means = [torch.zeros_like(p) for p in model.parameters()]",
        torch_optimizer="torch.optim.SGD(groups, lr=lr, weight_decay=0)",
        torch_before="for p, m in zip(model.parameters(), means):\n"
        "    step = torch.sign(0.9 * m + 0.1 * p.grad)\n    m.lerp_(p.grad, 0.01)\n    p.grad.copy_(step)\n"
        + _SHRINK.format("lr * weight_decay"),
    ),
)

VARIANTS: dict[str, Variant] = {variant.key: variant for variant in _ENTRIES}
