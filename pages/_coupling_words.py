"""The words of the page on where L2 stops being decay, computed from the run on screen."""

import numpy as np

from engine import Experiment, Run
from engine.charts.pairs import size
from engine.charts.picture import short
from engine.charts.rates import DOTS
from engine.claims.coupling import dying
from engine.measure import EQUAL, pair_difference, pairs
from engine.probe import TOO_LONG, affordable
from engine.rates import Rates, families, swings
from engine.theory import time_scale
from engine.variants import VARIANTS, Variant

Found = dict[str, Rates]


def changed(shown: Experiment, sidebar: Experiment) -> str:
    """What the page makes of the shared experiment."""
    names = ", ".join(families())
    line = f"This page trains {names} both ways, whatever variants the sidebar names"
    if sidebar.weight_decay_adaptive is not None or sidebar.weight_decay == 0:
        return line + "."
    adaptive = next(v for v in VARIANTS.values() if v.adaptive and v.where == "weight" and v.shrinks_by_lr)
    return (
        f"{line}, and all with the same λ = {shown.weight_decay:g}, so that only its place and the optimizer differ. "
        f"(Matched shrink would give the Adam family λ = {sidebar.weight_decay_of(adaptive):.3g}; page 1 shows that.)"
    )


def pair_story(run: Run, found: Found) -> list[str]:
    """Each pair in a sentence, with what was measured of their rates."""
    lines = []
    for l2, decay in pairs(run):
        gone = [v.title for v in (l2, decay) if run.diverged[v.key] is not None]
        if gone:
            lines.append(f"**{l2.title} and {decay.title}:** {' and '.join(gone)} diverged, so nothing is compared.")
            continue
        lines.append(_pair(run, l2, decay, float(pair_difference(run, l2, decay).max()), found))
    return lines


def _pair(run: Run, l2: Variant, decay: Variant, reach: float, found: Found) -> str:
    exp, names = run.experiment, f"**{l2.title} and {decay.title}"
    if exp.weight_decay_of(l2) == 0:
        return f"{names}:** λ = 0, so they are the same optimizer; max|Δw| is {size(reach)}."
    if l2.adaptive:
        if reach <= EQUAL:
            return f"{names} are not the same rule,** yet in this run max|Δw| is only {size(reach)}."
        return (
            f"{names} are not the same:** a weight differs by up to {size(reach)}. {l2.family} divides the L2 term "
            "by √v together with the rest of the gradient."
        )
    if not l2.has_momentum or exp.momentum == 0:
        if reach <= EQUAL:
            return f"{names} are the same:** max|Δw| is {size(reach)}, rounding. w − η(g + λw) = (1 − ηλ)w − ηg."
        return (
            f"{names} are the same on paper,** yet a weight differs by up to {size(reach)}: at this η training is "
            "unstable, and rounding errors grow. A smaller η brings the zero back."
        )
    shrink = exp.weight_decay_of(l2) * exp.lr_of(l2)
    if swings(exp, l2):
        edge = (1 - exp.momentum**0.5) ** 2
        return (
            f"{names} part at μ = {exp.momentum:g}:** a weight differs by up to {size(reach)}. The velocity remembers "
            f"the pull λw, and ηλ = {shrink:.2g} is above (1 − √μ)² = {edge:.2g}: there L2 does not decay at "
            f"ηλ/(1 − μ), but would swing a weight through zero{_measured(found, l2)}. {decay.title} decays at "
            f"{exp.shrink_of(decay):.2g}."
        )
    if decay.uses("shrink_weights", over_momentum=True):
        return (
            f"{names} are not the same either:** a weight differs by up to {size(reach)}. Both decay at ηλ/(1 − μ) = "
            f"{exp.shrink_of(decay):.2g} a step, but the velocity of L2 spreads the pull over the steps that follow."
        )
    return (
        f"{names} part at μ = {exp.momentum:g}:** a weight differs by up to {size(reach)}. “SGDW = SGD + L2” holds "
        f"at μ = 0 only: the velocity remembers the pull λw, so L2 decays at ηλ/(1 − μ) = "
        f"{shrink / (1 - exp.momentum):.2g} a step, {decay.title} at {exp.shrink_of(decay):.2g}."
    )


def _measured(found: Found, variant: Variant) -> str:
    """The median rate of a variant, where it was measured and some weights are left."""
    rates = found.get(variant.key)
    if rates is None or not rates.kept.any():
        return ""
    return f"; measured, its median rate is {np.median(rates.rate[rates.kept]):.2g} a step"


def rate_story(run: Run, found: Found) -> list[str]:
    """What the clouds of rates say: who is decayed least, and that 1/√v cuts both ways."""
    lines = []
    for rates in found.values():
        if rates.divided and rates.kept.sum() >= 10:
            low, high = _tenths(rates)
            rule = "the larger a weight's gradients, the less it is decayed" if low > 1.05 * high else "no clear order"
            lines.append(
                f"**{rates.variant.title}: {rule}.** The tenth of the "
                f"weights with the smallest gradients loses {low:.2g} of itself a step, the tenth with the largest "
                f"{high:.2g}, {_times(low / high)} (medians)."
                + _constructor(run, rates.variant, found)
                + _swinging(run, rates.variant)
            )
    divided = [rates for rates in found.values() if rates.divided and rates.kept.any()]
    if divided:
        lines.append("**1/√v cuts both ways.** " + " ".join(_both_ways(rates) for rates in divided))
    return lines


def _tenths(rates: Rates) -> tuple[float, float]:
    """Median rates of the tenth of the weights with the smallest and with the largest gradients."""
    order = np.argsort(rates.gradient[rates.kept])
    rate, tenth = rates.rate[rates.kept][order], max(1, len(order) // 10)
    return float(np.median(rate[:tenth])), float(np.median(rate[-tenth:]))


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times less" if ratio > 1.05 else "no less than that in this run"


def _constructor(run: Run, l2: Variant, found: Found) -> str:
    """torch's flag and what it really does, beside the variant that decays."""
    optimizer = l2.torch_optimizer.split("(")[0]
    lam = run.experiment.weight_decay_of(l2)
    flat = next((found[b.key] for a, b in pairs(run) if a.key == l2.key and b.key in found), None)
    other = f" {flat.variant.title} takes {np.median(flat.level):.2g} off every weight." if flat else ""
    return f" That is what `{optimizer}(…, weight_decay={lam:.3g})` does: L2, not decay.{other}"


def _swinging(run: Run, l2: Variant) -> str:
    if not dying(run, l2.key):
        return ""
    return (
        " Its weights are down to less than 5 % of their start: they swing around zero, and ηλ/√v no longer describes "
        "them."
    )


def _both_ways(rates: Rates) -> str:
    root, total = rates.gradient[rates.kept], int(rates.kept.sum())
    below = int((root < 1).sum())
    faster = float(np.median(rates.rate[rates.kept] / rates.level[rates.kept]))
    level = f"ηλ = {np.median(rates.level):.2g}"
    words = [f"{_share(below, total)} √v below 1, where L2 decays faster than {level}"] * (below > 0)
    words += [f"{_share(total - below, total)} √v above 1, where it decays slower than {level}"] * (below < total)
    return f"{rates.variant.title}: {', and '.join(words)}; the median is {short(faster)} times ηλ."


def _share(count: int, total: int) -> str:
    return f"all {total:,} weights have" if count == total else f"{count:,} of {total:,} weights have"


def ports(run: Run, found: Found) -> str:
    """One λ, as many decays as optimizers: a table in Markdown."""
    exp = run.experiment
    if not affordable(exp):
        return f"The rate of decay of every weight is left out: {TOO_LONG}"
    if not found:
        return "With λ = 0, or with every decaying variant diverged, there is no rate to compare."
    lines = [
        f"**λ does not port between optimizers.** Compare τ = 1/(ηλ) with the {exp.steps:,} steps of this run, and "
        "with what was measured:",
        "",
        "| | λ | ηλ a step | τ = 1/(ηλ), steps | τ / steps | measured median rate | its own 1/rate, steps |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for rates in found.values():
        variant = rates.variant
        shrink = exp.weight_decay_of(variant) * (exp.lr_of(variant) if variant.shrinks_by_lr else 1.0)
        rate = float(np.median(rates.rate[rates.kept])) if rates.kept.any() else float("nan")
        own = _steps(1 / rate) if rate > 0 else "–"
        lines.append(
            f"| {variant.title} | {exp.weight_decay_of(variant):.3g} | {shrink:.2g} | {_steps(time_scale(shrink))} "
            f"| {time_scale(shrink) / exp.steps:.2g} | {f'{rate:.2g}' if np.isfinite(rate) else '–'} | {own} |"
        )
    return "\n".join(lines)


def _steps(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def method(run: Run, found: Found) -> str:
    """How the rates were measured, and what is not on the picture."""
    if not found:
        return "" if not affordable(run.experiment) else "Nothing was left out."
    one = next(iter(found.values()))
    lines = [
        f"Rate of weight i: −Σ dᵢwᵢ / Σ wᵢ² over steps {one.first:,} to {one.last:,}, the last half of training, where "
        "dᵢ is the part of a step that is λ's doing: each step is taken twice from the same weights, with λ and "
        "without. Gradient: root mean square over the same steps of what the optimizer sees, g + λw under L2 and g "
        "elsewhere; where it divides by √v, the harmonic mean of √v over them, as v remembers gradients (RMSProp about "
        "100 steps, Adam about 1,000, Adagrad the root of the sum of all). Theory: ηλ/√v, ηλ/(1 − μ) or ηλ, with the "
        "mean η of those steps; none for momentum with ηλ above (1 − √μ)².",
    ]
    out = [
        f"{rates.variant.title}: {count:,} of {len(rates.rate):,} ({reason})"
        for rates in found.values()
        for reason, count in rates.left_out.items()
    ]
    lines.append(f"Left out of the log-log picture: {'; '.join(out)}." if out else "No weight was left out.")
    if len(one.rate) > DOTS:
        lines.append(f"Each variant shows {DOTS} evenly spaced weights of {len(one.rate):,}; the slopes see all.")
    return " ".join(lines)
