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
    chain,
    descend,
    scale_by_adam,
    scale_by_rms,
    shrink_weights,
    trace,
)

Where = Literal["none", "gradient", "weight"]


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
        torch_shrink: the factor that PyTorch code multiplies into decayed weights before the step, where torch.optim
            has no flag for it.
    """

    key: str
    title: str
    family: str
    chain: tuple[Transform, ...]
    rule: str
    lesson: str
    paper: str
    torch_optimizer: str
    torch_shrink: str = ""

    @property
    def where(self) -> Where:
        """Where λ enters, read off the chain: "none", "gradient" (L2) or "weight" (decay)."""
        names = {transform.name for transform in self.chain}
        return "gradient" if "add_l2" in names else "weight" if "shrink_weights" in names else "none"

    @property
    def adaptive(self) -> bool:
        """Whether the step is divided by a gradient scale, so that ``lr_adaptive`` is its learning rate."""
        return any(transform.name.startswith("scale_by_") for transform in self.chain)

    @property
    def has_momentum(self) -> bool:
        """Whether the ``momentum`` knob acts on it."""
        return any(transform.name == "trace" for transform in self.chain)

    @property
    def shrinks_by_lr(self) -> bool:
        """Whether a step's shrink is ηλ; False for the paper's form, where it is λ alone."""
        return ("times_lr", False) not in [option for transform in self.chain for option in transform.options]

    @property
    def snippet(self) -> str:
        """The training loop in PyTorch, given model, batches, loss_fn, decayed, groups and the hyperparameters."""
        shrink = (
            f"    with torch.no_grad():\n        for w in decayed:\n            w.mul_({self.torch_shrink})\n"
            if self.torch_shrink
            else ""
        )
        return (
            f"optimizer = {self.torch_optimizer}\n"
            "for x, y in batches:\n"
            "    optimizer.zero_grad()\n"
            "    loss_fn(model(x), y).backward()\n"
            f"{shrink}"
            "    optimizer.step()\n"
        )


_SGD = "plain gradient descent; Robbins & Monro 1951"
_GOODFELLOW = "Goodfellow, Bengio & Courville 2016, Deep Learning, ch. 7.1.1"
_LOSHCHILOV = "Loshchilov & Hutter 2019, arXiv 1711.05101"
_ADAM = "Kingma & Ba 2015, arXiv 1412.6980"
_RMS = "Tieleman & Hinton 2012, lecture 6.5"
_DECAY = r"w \leftarrow (1-\eta\lambda)\,w"
_ADAM_MEANS = r"m \leftarrow \beta_1 m+(1-\beta_1)g,\quad v \leftarrow \beta_2 v+(1-\beta_2)g^2"
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
        torch_shrink="1 - lr * weight_decay",
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
        rule=_DECAY + r",\quad v \leftarrow \mu v+g,\quad w \leftarrow w-\eta v",
        lesson="Decay skips the velocity; the fixed point is that of L2 with (1 − μ)λ.",
        paper=_LOSHCHILOV,
        torch_optimizer="torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=0)",
        torch_shrink="1 - lr * weight_decay",
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
        torch_shrink="1 - lr * weight_decay",
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
        torch_shrink="1 - weight_decay",
    ),
)

VARIANTS: dict[str, Variant] = {variant.key: variant for variant in _ENTRIES}
