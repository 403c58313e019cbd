"""The words of the page of weight norms, computed from the run on screen."""

import math

import numpy as np

from engine import Experiment, Run
from engine.averages import bound, box, largest, side_name
from engine.charts.picture import short
from engine.claims.norms import outside_theory
from engine.equilibrium import NARROW, Motion, unsettled
from engine.figures.norms import steps_of, taus
from engine.measure import free_decay_curves
from engine.probe import TOO_LONG, affordable
from engine.variants import Variant


def changed(seen: Experiment, sidebar: Experiment) -> str:
    """What a view makes of the sidebar's experiment."""
    words = []
    if seen.variants != sidebar.variants:
        more = ", ".join(v.title for v in seen.chosen if v.key not in sidebar.variants)
        words.append(f"{more} {'as well' if set(sidebar.variants) <= set(seen.variants) else 'instead'}")
    if seen.layer_norm != sidebar.layer_norm:
        words.append("LayerNorm")
    if seen.hidden != sidebar.hidden:
        words.append("two hidden layers")
    if seen.decayed != sidebar.decayed:
        words.append("decay on biases too, since W and b of a layer are scale-invariant only together")
    if seen.batch != sidebar.batch:
        words.append(f"batches of {seen.batch}")
    if seen.points != sidebar.points:
        words.append(f"{seen.points} points, too many to be fitted, so that the batches' noise keeps pushing")
    if seen.schedule != sidebar.schedule:
        words.append("a constant η")
    if seen.steps != sidebar.steps:
        words.append(f"{seen.steps:,} steps, time enough to settle")
    return f"This view trains the sidebar's experiment with {'; '.join(words)}."


def story(run: Run, view: str) -> list[str]:
    """Norms of this run in words, and what the dashed line is."""
    start = run.metrics["weight_norm"][0, 0]
    ends = dict(zip(run.experiment.chosen, run.metrics["weight_norm"][-1], strict=True))
    other = {v: n for v, n in ends.items() if v.where == "other" and (_decays(run, v) or not v.has_weight_decay)}
    free = {v: n for v, n in ends.items() if not _decays(run, v) and v not in other}
    held = {v: n for v, n in ends.items() if _decays(run, v) and v.where in ("gradient", "weight")}
    lines = [f"All variants start at ‖w‖ = {short(start)}, from the same weights."]
    if free:
        lines[0] += " Without decay: " + ", ".join(f"{v.title} ends at {short(n)}" for v, n in free.items()) + "."
    if held:
        lines[0] += " With it: " + ", ".join(f"{v.title} {short(n)}" for v, n in held.items()) + "."
    if other:
        lines[0] += " With another prior: " + ", ".join(f"{v.title} {short(n)}" for v, n in other.items()) + "."
    beyond = [f"{', '.join(t)} ({steps_of(tau)})" for tau, t in taus(run).items() if tau > run.experiment.steps]
    if beyond:
        lines.append(
            f"**τ = 1/(ηλ) is beyond the {run.experiment.steps:,} steps** for {', '.join(beyond)}: decay alone "
            "would not bring a weight down to a third in that time."
        )
    if view == "box":
        return lines + box_story(run)
    if view != "settled" and any(v.where == "weight" for v in held):
        product = "|1 − ηλ|ᵗ" if run.experiment.schedule == "constant" else "Π|1 − η_tλ|, which follows the schedule"
        lines.append(
            f"The dashed line is decay alone, ‖w₀‖ · {product}: where the norm would go if the data never pushed."
            + _gap(run, [v for v in held if v.where == "weight"])
        )
    return lines


def _decays(run: Run, variant: Variant) -> bool:
    return run.experiment.weight_decay_of(variant) > 0


def _gap(run: Run, variants: list[Variant]) -> str:
    """What the data add to decay alone, or take off as well: the norms of some variants beside their lines."""
    line = free_decay_curves(run)
    calm = [variant for variant in variants if run.diverged[variant.key] is None]
    norms = run.series("weight_norm")
    below = {v: np.flatnonzero(norms[v.key] < 0.99 * line[v.key]) for v in calm}
    last = len(run.steps) - 1
    words = ""
    if any(last not in steps for steps in below.values()):
        words += " The gap above it is what the gradient of the data wins back at every step."
    under = {v.title: steps for v, steps in below.items() if len(steps)}
    if under:
        until = [
            title if last in steps else f"{title} up to step {int(run.steps[steps[-1]]):,}"
            for title, steps in under.items()
        ]
        words += (
            f" Below it {'is' if len(until) == 1 else 'are'} {', '.join(until)}: there the gradient of the data itself "
            "makes weights smaller, on top of decay."
        )
    return words


def box_story(run: Run) -> list[str]:
    """Who is inside ±1/λ, and where the box is promised."""
    lines = []
    for key, reached in largest(run).items():
        variant = run.experiment.chosen[run.row(key)]
        side, last = box(run.experiment, variant), float(reached[-1])
        if not math.isfinite(side):
            lines.append(f"**{variant.title}:** λ = 0 makes no box.")
            continue
        start = float(reached[0])
        place = "is inside" if last <= 1.01 * side else "is outside"
        why = outside_theory(run, key)
        if place == "is outside" and why is None and last <= 1.01 * bound(run, variant, start):
            place = "is on its way into the box"
            from_start = f"; it started at {short(start)}, and decay has so far to bring it below "
            from_start += f"{short(bound(run, variant, start))}"
        else:
            from_start = ""
        lines.append(
            f"**{variant.title} {place}:** the largest weight ends at {short(last)}, "
            f"{side_name(variant)} is {short(side)}{from_start}" + (f". No promise here: {why}." if why else ".")
        )
    paper = any(side_name(run.experiment.chosen[run.row(key)]) != "1/λ" for key in largest(run))
    lines.append(
        "A step adds at most about η to a weight and decay takes ηλ|w| off it; they balance at |w| = 1/λ"
        + (" (in the paper's form decay takes λ|w|, and they balance at η/λ)" if paper else "")
        + ". Lion's step "
        "is exactly ±η, so its weights stay inside at every step once they are in. AdamW's is η·m̂/√v̂, which can "
        "exceed η while gradients change within the 1,000 steps that v remembers: its box is where full-batch training "
        "comes to rest."
    )
    return lines


def settled(run: Run, moved: list[Motion]) -> list[str]:
    """Misconception 11, and the layers' numbers beside theory."""
    if not affordable(run.experiment):
        return [f"How far a step turns a layer, and the norm by theory, are left out: {TOO_LONG}"]
    if not moved:
        return ["Every variant diverged; there is no norm to settle."]
    lines = [
        "**With normalisation layers decay does not limit capacity; it sets the effective learning rate.** LayerNorm "
        "divides the size of Wx + b out again, so that a layer's (W, b) can shrink or grow without changing any "
        "prediction (but for LayerNorm's ε). What the norm does set is how far a step of the same η turns the layer: "
        "the effective learning rate is η/‖w‖² where the step grows with the gradient, which is 1/‖w‖ in size (the SGD "
        "family), and η/‖w‖ where the step is about η whatever the gradient (the Adam family, Lion)."
        + _compared(run, moved)
    ]
    lines.append(_table(run, moved))
    out: dict[str, list[str]] = {}
    for variant in run.experiment.chosen:
        reason = unsettled(run, variant)
        if reason and variant.where != "none":
            out.setdefault(reason, []).append(variant.title)
    if any(width < NARROW for width in run.experiment.hidden):
        lines.append(
            "No theory for layers of one or two units: LayerNorm makes 0 or ±1 of them whatever the weights are, and "
            "all of their gradient comes from its ε."
        )
    lines += [f"No theory for {', '.join(titles)}: {reason}." for reason, titles in out.items()]
    lines.append(
        "The formulas (Kosson et al.) are exact when the gradients of different steps are independent; those of a "
        "real training are not, so that norms and turns can be some 20 % off. ‖g̃‖ = ‖g‖·‖w‖ "
        f"is measured, over steps {moved[0].first:,} to {moved[0].last:,}."
    )
    return lines


def _compared(run: Run, moved: list[Motion]) -> str:
    """The first layer without and with decay, of the first optimizer that has both."""
    first = [motion for motion in moved if motion.layer == 1]
    for free in (m for m in first if m.variant.where == "none"):
        held = next((m for m in first if m.variant.family == free.variant.family and m.variant.where != "none"), None)
        if held and free.rotation > 0:
            return (
                f" Layer 1 of {free.variant.title}: ‖(W, b)‖ = {short(free.norm)} and "
                f"{np.degrees(free.rotation):.2g}° a step; of {held.variant.title} {short(held.norm)} and "
                f"{np.degrees(held.rotation):.2g}°."
            )
    return ""


def _table(run: Run, moved: list[Motion]) -> str:
    lines = [
        "| | layer | ‖(W, b)‖ | theory | turn a step | theory | effective η | cos(g, w) |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for m in moved:
        known = unsettled(run, m.variant) is None
        norm, turn = m.predicted if known else (None, None)
        power = 1 if m.variant.adaptive else 2
        rate = run.experiment.lr_of(m.variant) / m.norm**power if m.norm > 0 else math.inf
        lines.append(
            f"| {m.variant.title} | {m.layer} | {m.norm:.3g} | {f'{norm:.3g}' if norm else '–'} "
            f"| {np.degrees(m.rotation):.2g}° | {f'{np.degrees(turn):.2g}°' if turn else '–'} "
            f"| η/‖w‖{'²' if power == 2 else ''} = {rate:.2g} | {m.cosine:.0e} |"
        )
    return "\n".join(lines)
