"""A step written out: each line of the derivation in symbols and in the numbers of one weight.

The lines do their own arithmetic from the textbook's formulas, and so hold the engine's step against them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine.anatomy import Anatomy
from engine.latex import par, tex
from engine.run import architecture_of


@dataclass(frozen=True)
class Line:
    """One line of a derivation.

    Attributes:
        says: what happens, in words.
        symbols: the formula in LaTeX.
        numbers: the same with the numbers of the weight, its result last.
        pull: the line is where λ enters.
    """

    says: str
    symbols: str
    numbers: str
    pull: bool = False


@dataclass
class _Weight:
    """The weight on its way through the chain: its value w, the update u and how it is written, and the lines so far.

    Attributes:
        a: the step.
        i: the weight's column.
        memory: what the optimizer remembers of it, in the order in which the chain asks.
    """

    a: Anatomy
    i: int
    w: float
    u: float
    memory: list[float]
    symbol: str = "g"
    lines: list[Line] = field(default_factory=list)

    @property
    def weight_decay(self) -> float:
        return float(self.a.weight_decay[self.i])

    @property
    def lr(self) -> float:
        return self.a.lr

    def say(self, says: str, symbols: str, numbers: str, value: float, pull: bool = False) -> float:
        self.lines.append(Line(says, symbols, f"{numbers} = {tex(value)}", pull))
        return value


def derive(a: Anatomy, i: int) -> tuple[list[Line], float]:
    """The step of one parameter line by line, and its next value by this arithmetic.

    Args:
        a: the step.
        i: the parameter's column, 0 … P − 1.
    """
    weight = _Weight(a, i, float(a.before[i]), float(a.gradient[i]), [float(state[i]) for state in a.memory])
    weight.lines += _loss_lines(a, i)
    for step in a.variant.chain_with(a.experiment.nesterov):
        _LINES[step.name](weight, **dict(step.options))
    weight.lines += _regrouped(a, i)
    return weight.lines, weight.w


def _loss_lines(a: Anatomy, i: int) -> list[Line]:
    g, loss = float(a.gradient[i]), a.loss
    gradient = Line("Its gradient for this weight, by backpropagation", r"g = \partial L/\partial w", tex(g))
    decayed = a.weight_decay > 0
    if a.variant.where == "gradient" and decayed.any():
        weight_decay, square = float(a.weight_decay.max()), float(np.square(a.before[decayed]).sum())
        return [
            Line(
                "The penalty is added to the loss of the data",
                r"L_{\text{reg}} = L + \tfrac{\lambda}{2}\lVert w\rVert^2",
                rf"{tex(loss)} + \tfrac{{{tex(weight_decay)}}}{{2}}\cdot {tex(square)} = "
                f"{tex(loss + weight_decay / 2 * square)}",
                True,
            ),
            Line("The data's part of the gradient, by backpropagation", gradient.symbols, gradient.numbers),
        ]
    return [Line("The loss is that of the data alone", "L", tex(loss)), gradient]


def _regrouped(a: Anatomy, i: int) -> list[Line]:
    """SGD's step in its other form: shrink, then step."""
    plain = {step.name for step in a.variant.chain} <= {"add_l2", "shrink_weights", "descend"}
    if not plain or a.variant.where == "none" or not a.shrink[i]:
        return []
    w, g, shrink = float(a.before[i]), float(a.gradient[i]), float(a.shrink[i])
    value = (1 - shrink) * w - a.lr * g
    numbers = rf"{tex(1 - shrink)}\cdot {par(w)} - {tex(a.lr)}\cdot {par(g)} = {tex(value)}"
    if a.variant.where == "gradient":
        says, symbols = "Sort by w: the penalty is a shrink", r"w-\eta(g+\lambda w) = (1-\eta\lambda)\,w-\eta g"
    else:
        says, symbols = "Multiplied out: the same as a penalty", r"(1-\eta\lambda)\,w-\eta g = w-\eta(g+\lambda w)"
        numbers = rf"{tex(w)} - {tex(a.lr)}\,\bigl({tex(g)} + {tex(shrink / a.lr)}\cdot {par(w)}\bigr) = {tex(value)}"
    return [Line(says, symbols, numbers, True)]


# ---- one function a transform -------------------------------------------------------------------------------------


def _add_l2(s: _Weight) -> None:
    if not s.weight_decay:
        return _undecayed(s)
    numbers = rf"{tex(s.u)} + {tex(s.weight_decay)}\cdot {par(s.w)}"
    value = s.u + s.weight_decay * s.w
    s.u = s.say("λ enters: the penalty's gradient λw is added", r"u = g+\lambda w", numbers, value, True)
    s.symbol = "u"


def _add_pull_to_start(s: _Weight) -> None:
    if not s.weight_decay:
        return _undecayed(s)
    start = float(s.a.start[s.i])
    numbers = rf"{tex(s.u)} + {tex(s.weight_decay)}\,\bigl({tex(s.w)} - {par(start)}\bigr)"
    value = s.u + s.weight_decay * (s.w - start)
    s.u = s.say("λ enters: a pull back to the starting weight", r"u = g+\lambda(w-w_0)", numbers, value, True)
    s.symbol = "u"


def _undecayed(s: _Weight) -> None:
    why = "λ = 0" if not s.a.weight_decay.any() else "λ does not act on this parameter (see “What decays”)"
    s.lines.append(Line(f"{why}: nothing is pulled", r"\lambda = 0", tex(s.w), True))


def _trace(s: _Weight, nesterov: bool = False) -> None:
    mu, v = s.a.experiment.momentum, s.memory.pop(0)
    numbers = rf"{tex(mu)}\cdot {par(v)} + {par(s.u)}"
    v = s.say("Momentum remembers", rf"v \leftarrow \mu v+{s.symbol}", numbers, mu * v + s.u)
    if nesterov:
        numbers = rf"{tex(s.u)} + {tex(mu)}\cdot {par(v)}"
        v = s.say("Nesterov looks ahead", rf"{s.symbol}+\mu v", numbers, s.u + mu * v)
    s.u, s.symbol = v, "u" if nesterov else "v"


def _second_moment(s: _Weight, v: float, keep: float, add: float, keep_tex: str) -> float:
    numbers = rf"{tex(keep)}\cdot {tex(v)} + {tex(add)}\cdot {par(s.u)}^2"
    return s.say("The mean of squares", keep_tex.replace("u", s.symbol), numbers, keep * v + add * s.u**2)


def _divide(s: _Weight, top: float, symbol: str, v: float, v_symbol: str, eps: float) -> None:
    root = math.sqrt(v) + eps
    numbers = rf"\frac{{{tex(top)}}}{{\sqrt{{{tex(v)}}}+{tex(eps)}}} = \frac{{{tex(top)}}}{{{tex(root)}}}"
    symbols = rf"u = \frac{{{symbol}}}{{\sqrt{{{v_symbol}}}+\epsilon}}"
    within = s.a.variant.where == "gradient" and s.weight_decay > 0
    says = (
        "Divided by the size of its gradients, the pull with it" if within else "Divided by the size of its gradients"
    )
    s.u, s.symbol = s.say(says, symbols, numbers, top / root, within), "u"


def _scale_by_rms(s: _Weight, alpha: float = 0.99, eps: float = 1e-8) -> None:
    v = _second_moment(s, s.memory.pop(0), alpha, 1 - alpha, r"v \leftarrow \alpha v+(1-\alpha)u^2")
    _divide(s, s.u, s.symbol, v, "v", eps)


def _scale_by_adagrad(s: _Weight, eps: float = 1e-10) -> None:
    v = s.memory.pop(0)
    numbers = rf"{tex(v)} + {par(s.u)}^2"
    v = s.say("The sum of squares", rf"v \leftarrow v+{s.symbol}^2", numbers, v + s.u**2)
    _divide(s, s.u, s.symbol, v, "v", eps)


def _scale_by_adam(s: _Weight, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
    m, v, t = s.memory.pop(0), s.memory.pop(0), s.a.t
    numbers = rf"{tex(beta1)}\cdot {par(m)} + {tex(1 - beta1)}\cdot {par(s.u)}"
    symbols = rf"m \leftarrow \beta_1 m+(1-\beta_1){s.symbol}"
    m = s.say("The mean", symbols, numbers, beta1 * m + (1 - beta1) * s.u)
    v = _second_moment(s, v, beta2, 1 - beta2, r"v \leftarrow \beta_2 v+(1-\beta_2)u^2")
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    symbols = rf"\hat m = \frac{{m}}{{1-\beta_1^{{{t}}}}},\quad \hat v = \frac{{v}}{{1-\beta_2^{{{t}}}}}"
    s.lines.append(Line("Both corrected for their start at 0", symbols, rf"{tex(m_hat)},\quad {tex(v_hat)}"))
    _divide(s, m_hat, r"\hat m", v_hat, r"\hat v", eps)


def _scale_by_lion(s: _Weight, beta1: float = 0.9, beta2: float = 0.99) -> None:
    m = s.memory.pop(0)
    numbers = rf"\operatorname{{sign}}\bigl({tex(beta1)}\cdot {par(m)} + {tex(1 - beta1)}\cdot {par(s.u)}\bigr)"
    symbols = r"u = \operatorname{sign}(\beta_1 m+(1-\beta_1)g)"
    s.u = s.say("Only the sign of the mean", symbols, numbers, float(np.sign(beta1 * m + (1 - beta1) * s.u)))
    s.symbol = "u"


def _shrink_weights(
    s: _Weight, times_lr: bool = True, over_momentum: bool = False, corrected: bool = False, cautious: bool = False
) -> None:
    if not s.weight_decay:
        return _undecayed(s)
    rate, rate_tex, numbers = s.weight_decay, r"\lambda", tex(s.weight_decay)
    if times_lr:
        rate, rate_tex, numbers = s.lr * rate, r"\eta" + rate_tex, rf"{tex(s.lr)}\cdot {numbers}"
    else:
        rate, rate_tex, numbers = s.a.schedule * rate, "s_t" + rate_tex, rf"{tex(s.a.schedule)}\cdot {numbers}"
    if over_momentum:
        left = 1 - s.a.experiment.momentum
        rate, rate_tex, numbers = rate / left, rf"\tfrac{{{rate_tex}}}{{1-\mu}}", rf"\tfrac{{{numbers}}}{{{tex(left)}}}"
    if corrected and architecture_of(s.a.experiment).normalised()[s.i]:
        rate, rate_tex, numbers = s.a.schedule * rate, rate_tex + "s_t", rf"{numbers}\cdot {tex(s.a.schedule)}"
    if cautious and not s.u * s.w >= 0:
        s.lines.append(Line("Cautious: the step goes against the pull, so λ waits", r"u\,w < 0:\; w", tex(s.w), True))
        return
    numbers = rf"(1-{numbers})\cdot {par(s.w)} = {tex(1 - rate)}\cdot {par(s.w)}"
    says = "λ enters: the weight itself shrinks"
    s.w = s.say(says, rf"w \leftarrow (1-{rate_tex})\,w", numbers, (1 - rate) * s.w, True)


def _descend(s: _Weight) -> None:
    numbers = rf"{tex(s.w)} - {tex(s.lr)}\cdot {par(s.u)}"
    s.w = s.say("The step", rf"w \leftarrow w-\eta\,{s.symbol}", numbers, s.w - s.lr * s.u)


def _soft_threshold(s: _Weight) -> None:
    if not s.weight_decay:
        return _undecayed(s)
    cut = s.lr * s.weight_decay
    numbers = rf"{tex(s.w)} - \operatorname{{sign}}({tex(s.w)})\min(|{tex(s.w)}|,\,{tex(cut)})"
    symbols = r"w \leftarrow w-\operatorname{sign}(w)\min(|w|,\,\eta\lambda)"
    value = s.w - math.copysign(min(abs(s.w), cut), s.w)
    s.w = s.say("λ enters: the same amount ηλ off every weight", symbols, numbers, value, True)


def _project_units(s: _Weight) -> None:
    for columns, shape in architecture_of(s.a.experiment).matrices():
        if columns.start <= s.i < columns.stop:
            stepped = s.a.before - s.a.lr * s.a.gradient
            norm = float(np.linalg.norm(stepped[columns].reshape(shape)[(s.i - columns.start) // shape[1]]))
            limit = s.a.experiment.max_norm
            numbers = rf"{tex(s.w)}\cdot \min(1,\,{tex(limit)}/{tex(norm)})"
            symbols = r"w \leftarrow w\,\min(1,\,c/\lVert w_u\rVert)"
            says = "The unit's incoming weights are held to norm c"
            s.w = s.say(says, symbols, numbers, s.w * min(1.0, limit / norm) if norm else s.w, True)


_LINES: dict[str, Callable[..., None]] = {
    function.__name__.removeprefix("_"): function
    for function in (_add_l2, _add_pull_to_start, _trace, _scale_by_rms, _scale_by_adagrad, _scale_by_adam,
                     _scale_by_lion, _shrink_weights, _descend, _soft_threshold, _project_units)
}  # fmt: skip
