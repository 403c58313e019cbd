"""Page 5, One step: the derivation with the numbers of a real step, and push against pull for every weight."""

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine import VARIANTS, Experiment, Run
from engine.anatomy import Anatomy, anatomy, steps_to_show
from engine.charts import Picture
from engine.charts.steps import FATES, Forces, pulls, race, tally
from engine.charts.theme import PALETTE
from engine.claims import step as claims
from engine.derivation import derive
from engine.figures.figure import shot_of
from engine.figures.one_step import PICKS, first_variant, forces_of, nearest, opening, picked, rate_of, weights
from engine.groups import entry_of, named_tensors
from engine.latex import par, tex
from engine.variants import Variant
from pages import _controls, _exports, _ui

PULL = r"\text{pull}"
ENTRY = "one_entry"
"""The state that holds the place of the chosen weight in its tensor."""

SLIPS = {
    "twice": ("Decay applied twice", "as from an algorithm box printed without its colours: λ in the gradient **and** "
              "on the weight"),
    "constant": ("A constant taken off", "{0} instead of {0} **w**: the “× w” is missing"),
    "ignored": ("λ ignored", "the argument is taken and never used"),
    "doubled": ("Factor 2", "the penalty λΣw² instead of λ/2 Σw², as in Keras `L2(λ)`"),
}  # fmt: skip


def body(experiment: Experiment) -> None:
    run = _ui.trained(experiment)
    opened(run)
    places = st.columns([3, 3, 5], gap="medium")
    variant, t = chosen_step(run, places[0], places[2])
    step: Anatomy = _ui.replayed(f"step {variant.key} {t}", run, lambda run, see: anatomy(run, variant, t, see))
    if not np.isfinite(step.after).all():
        st.info(
            f"{variant.title} left the finite numbers in this very step: choose another variant, or a smaller η or λ."
        )
    i = chosen_weight(step, run, places[1])
    name, forces = entry_of(run.architecture, i), forces_of(step, run)
    left, right = st.columns([5, 6], gap="large")
    with right:
        shown = replace(run, steps=run.steps[-1:], film=run.film[-1:])
        _ui.play(shown, f"one_step {variant.key} {t} {i}", lambda: figures(forces, i, name), fields=False)
    left.markdown(derivation(step, i, name))  # after the picture, which is what the eye waits for
    right.markdown("\n\n".join([winner(forces, i, name), *story(step, forces)]))
    if step.slips:
        st.markdown(slips(step, i, name))
    pick = st.session_state.one_pick
    options = {"of": variant.key, "at": str(t), "part": pick if pick in PICKS else str(i)}
    _exports.exports(
        [shot_of(f"one_step.{name}", st.session_state.experiment, **options) for name in ("race", "pulls")]
    )
    _ui.measured(run, [claims.sgd_three_forms, claims.decay_is_a_shrink, claims.adaptive_l2_has_a_rate_a_weight])
    _ui.rules(run.experiment)


def opened(run: Run) -> None:
    """Set the page's selectors as the link of a figure says."""
    asked, state = _controls.opened_with(), st.session_state
    if asked.get("of") in run.experiment.variants:
        state.one_variant = asked["of"]
    if asked.get("at", "").isascii() and asked.get("at", "").isdecimal():
        state.one_step = int(asked["at"])
    pick = asked.get("part", "")
    if pick in PICKS:
        state.one_pick = pick
    elif pick in weights(run.experiment):
        tensor = next(t for t in named_tensors(run.architecture) if int(pick) in range(t.columns.start, t.columns.stop))
        state.one_pick, state[ENTRY] = tensor.name, int(pick) - tensor.columns.start


def chosen_step(run: Run, place: DeltaGenerator, slider: DeltaGenerator) -> tuple[Variant, int]:
    """The selectors of variant and step."""
    keys, state = list(run.experiment.variants), st.session_state
    if state.get("one_variant") not in keys:
        state.one_variant = first_variant(run.experiment).key
    key = place.selectbox("Variant", keys, format_func=lambda key: VARIANTS[key].title, key="one_variant")
    steps = steps_to_show(run, VARIANTS[key])
    if state.get("one_step") not in steps:
        state.one_step = nearest(steps, state.get("one_step", opening(run.experiment)))
    if len(steps) == 1:
        slider.caption(f"Step {steps[0]} is the only one to show.")
        return VARIANTS[key], steps[0]
    help = "The step that leads to the weights of this number; 1 is the first."
    return VARIANTS[key], int(slider.select_slider("Step", steps, format_func="{:,}".format, key="one_step", help=help))


def chosen_weight(step: Anatomy, run: Run, place: DeltaGenerator) -> int:
    """The selector of the weight: by what is special about it, or by its place."""
    matrices = {t.name: t for t in named_tensors(run.architecture) if t.kind == "weight"}
    names = PICKS | {name: f"an entry of {name}" for name in matrices}
    if st.session_state.get("one_pick") not in names:
        st.session_state.one_pick = next(iter(names))
    pick = place.selectbox("Weight", list(names), format_func=names.__getitem__, key="one_pick")
    if pick in matrices:
        tensor = matrices[pick]
        last, state = tensor.size - 1, st.session_state
        state[ENTRY] = min(state.get(ENTRY, 0), last)
        entry = place.number_input(f"Which of its {tensor.size} entries, row by row", 0, last, key=ENTRY)
        return tensor.columns.start + int(entry)
    return picked(step, run, pick)


def figures(forces: Forces, i: int, name: str) -> list[Picture]:
    return [race(forces, i, name), pulls(forces, i, name)]


def derivation(step: Anatomy, i: int, name: str) -> str:
    """The step of one weight, line by line, in symbols and numbers, down to the engine's own next weight."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    tone = partial(r"\textcolor{{{}}}{{{}}}".format, PALETTE[theme][step.variant.where])
    lines, value = derive(step, i)
    w, push, pull, after = (float(a[i]) for a in (step.before, step.push, step.pull, step.after))
    known = [rf"w = {tex(w)}", rf"g = {tex(float(step.gradient[i]))}", rf"\eta = {tex(step.lr)}"]
    if step.variant.has_weight_decay:
        known.append(tone(rf"\lambda = {tex(float(step.weight_decay[i]))}"))
    text = [
        f"**{step.variant.title}, step {step.t:,}, weight `{name}`**  ",
        ", ".join(f"${part}$" for part in known),
        "",
    ]
    for number, line in enumerate(lines, 1):
        symbols, numbers = (tone(part) if line.pull else part for part in (line.symbols, line.numbers))
        text += [f"**{number}** {line.says}  ", f"${symbols}$  ", f"$= {numbers}$", ""]
    text += [
        f"**Push and pull** the data's part of the step, and {tone_word(step)}'s  ",
        rf"$w + \text{{push}} + {tone(PULL)}$  ",
        rf"$= {tex(w)} + {par(push)} + {tone(par(pull))} = {tex(w + push + pull)}$",
        "",
        f"The engine's own next weight: **{after:.10g}**. Difference to the lines above: **{abs(value - after):.1g}**.",
    ]
    return "\n".join(text)


def tone_word(step: Anatomy) -> str:
    return "λ" if step.variant.has_weight_decay else "the constraint" if step.variant.where == "other" else "λ"


def winner(forces: Forces, i: int, name: str) -> str:
    """Who wins at the chosen weight."""
    push, pull, fate = float(forces.outwards[i]), -float(forces.inwards[i]), FATES[str(forces.fates[i])]
    return f"**`{name}` {fate}:** away from zero, the data's push is {push:+.3g} and the pull {pull + 0:+.3g}."


def story(step: Anatomy, forces: Forces) -> list[str]:
    """Who wins, counted over all weights, and what the pull is."""
    counts, total = tally(forces), len(forces.before)
    lines = [
        f"**Of {total:,} weights, {counts['grows']:,} grow and {counts['shrinks']:,} shrink in this step"
        + (f"; {counts['crosses']:,} pass through zero" if counts["crosses"] else "")
        + ".** "
        + who_grows(step, counts)
        + (
            f" Of those that shrink, the data pushed {counts['outrun']:,} outwards and lost."
            if counts["outrun"]
            else ""
        )
    ]
    if not forces.pull.any():
        why = "has no decay" if step.variant.where == "none" else "pulls at no weight in this step"
        return [*lines, f"{step.variant.title} {why}: all marks stand on the line pull = 0, and the data decide alone."]
    rate = rate_of(step) + f", s = {step.schedule:.3g}" * rate_of(step).startswith("s")
    rates = -forces.pull / np.where(forces.before == 0, np.nan, forces.before)
    low, high = np.nanpercentile(rates, [25, 75])
    if step.variant.where not in ("gradient", "weight"):
        return lines
    if np.nanmax(rates) - np.nanmin(rates) < 1e-9 * abs(high):
        lines.append(f"The pull takes **{100 * high:.3g} %** off every weight: {rate}. All its marks lie on one line.")
    else:
        lines.append(
            f"The pull is not one fraction of the weight: for half of all weights it is between **{100 * low:.3g} %** "
            f"and **{100 * high:.3g} %**, for the others beyond; {rate} is {100 * float(step.shrink.max()):.3g} %."
            + (
                " Below 0 it goes away from zero: it is remembered from when the weight had the other sign."
                * bool(low < 0)
            )
        )
    return lines


def who_grows(step: Anatomy, counts: dict[str, int]) -> str:
    """What a weight needs to grow: the data's push, or a pull that itself goes away from zero, and why it does."""
    if not counts["lifted"]:
        return "A weight grows only if the data's push outruns the pull back to zero."
    why = (
        "it goes back to the weight's start, which lies farther out."
        if step.variant.uses("add_pull_to_start")
        else "it is remembered from when the weight had the other sign."
    )
    return (
        f"For **{counts['lifted']:,}** of those that grow, it was λ's part that pulled outwards, without a push of the "
        f"data: {why} The others grow because the data push outwards by more than λ pulls back."
    )


def slips(step: Anatomy, i: int, name: str) -> str:
    """The same step of the same weight with four well-known slips, beside the right one."""
    w, right = float(step.before[i]), float(step.after[i])
    lines = [
        f"##### The same step of `{name}` with a bug",
        f"| from w = {w:.6g} | to | off by |",
        "|---|--:|--:|",
        f"| **As it should be** | **{right:.6g}** | |",
    ]
    for slip, after in step.slips.items():
        title, what = SLIPS[slip]
        value = float(after[i])
        off = f"{value - right:+.2g}" if value != right else "nothing, this time"
        lines.append(f"| **{title}**: {what.format(rate_of(step))} | {value:.6g} | {off} |")
    weights = slice(len(step.before) if (step.weight_decay > 0).all() else int((step.weight_decay > 0).sum()))
    before, wrong = step.before[weights], step.slips["constant"][weights]
    negative = int((before < 0).sum())
    grown = int(((before < 0) & (np.abs(wrong) > np.abs(step.after[weights]))).sum())
    weight_decay = float(step.weight_decay[i])
    lines += [
        "",
        f"A constant is no pull towards zero: it has one direction for all. Of the {negative:,} decayed weights below "
        f"zero, it makes {grown:,} larger in size than they should be.",
        "",
        f"**Factor 2.** Keras' `L2(l2)` adds l2·Σw², with gradient 2·l2·w, so λ = 2·l2: this step's "
        f"λ = {weight_decay:.3g} is `L2({weight_decay / 2:.3g})`, and `L2({weight_decay:.3g})` would pull with "
        f"λ = {2 * weight_decay:.3g}"
        + (f" and end this step at {float(step.slips['doubled'][i]):.6g}." if "doubled" in step.slips else
           ". Keras' `weight_decay=` argument, on the weight as here, has no such factor."),
    ]  # fmt: skip
    return "\n".join(lines)


_ui.page("Who wins one step: the data's push or λ's pull?", body)
