"""Page 6, What to decay: weight matrices only, or biases and LayerNorm too."""

from functools import partial

import numpy as np
import streamlit as st

from engine import VARIANTS, Experiment, Run
from engine.charts import Picture
from engine.charts.picture import short
from engine.charts.table import divergence_note
from engine.claims import groups as claims
from engine.experiment import DECAYED
from engine.figures import Shot
from engine.figures.choices import USUAL, choices, decaying, first_of, pairs_of, pictures, plan, table_of, with_norm
from engine.figures.figure import shot_of
from engine.groups import KINDS, Kind, entry_of, groups_code, is_decayed, named_tensors, norms_of, root_mean_square
from engine.variants import Variant
from pages import _controls, _exports, _ui

AT_ONCE = 2
"""Variants that the page compares at once."""
TITLE = "What should decay?"


def seen(experiment: Experiment) -> Experiment:
    """The experiment with LayerNorm, unless the page's own switch says no."""
    return with_norm(experiment, st.session_state.get("with_norm", True))


def body(experiment: Experiment) -> None:
    opened()
    variants = selectors(experiment)
    runs = _ui.trained_together(plan(experiment, variants))
    made = dict(zip(choices(experiment), runs, strict=True))
    table = partial(table_of, made, variants)
    _ui.play(runs[0], "what_to_decay", lambda: pictures(made, variants), table=lambda run: table())
    for line in story(made, variants):
        st.markdown(line)
    st.markdown(tensors(made))
    st.caption(
        "Pick the tensors that decay when you build the optimizer; the rest go into a group with `weight_decay=0`. "
        "Where no flag of the optimizer has the rule, the loop itself decays the tensors in `decayed`."
    )
    for tab, key in zip(st.tabs([DECAYED[key] for key in made]), made, strict=True):
        for place, variant in zip(tab.columns(len(variants)), variants, strict=True):
            place.code(
                f"# {variant.title}\n" + groups_code(key) + "\n" + experiment.snippet_of(variant), language="python"
            )
    _exports.exports(shots(variants, made))
    _ui.measured(runs[0], [claims.groups_are_the_masks, claims.what_is_not_decayed_is_not_pulled])
    _ui.rules(runs[0].experiment)


def shots(variants: list[Variant], made: dict[str, Run]) -> list[Shot]:
    """The page's figures, as links name them."""
    shared = st.session_state.experiment
    names = ["table", "losses", "weights", "biases"] + ["gains", "shifts"] * made["weights"].experiment.layer_norm
    options = {
        "of": ",".join(variant.key for variant in variants),
        "norm": "1" if st.session_state.get("with_norm", True) else "0",
    }
    return [shot_of(f"what_to_decay.{name}", shared, **options) for name in names]


def opened() -> None:
    """Set the page's selectors as the link of a figure says."""
    asked, state = _controls.opened_with(), st.session_state
    if "of" in asked:
        state.decayed_variants = asked["of"].split(",")
    if "norm" in asked:
        state.with_norm = asked["norm"] != "0"


def selectors(experiment: Experiment) -> list[Variant]:
    """Which variants to compare, and whether the page's model has LayerNorm."""
    state, keys = st.session_state, decaying(experiment)
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
    if not keys:
        left.info("None of the chosen variants has a λ, so this page shows AdamW; choose others in the sidebar.")
        chosen = [USUAL]
    else:
        kept = [key for key in state.get("decayed_variants", []) if key in keys]
        state.decayed_variants = kept or [pairs_of(experiment)[0]]
        chosen = left.multiselect(
            "Variants", keys, format_func=lambda key: VARIANTS[key].title, key="decayed_variants",
            max_selections=AT_ONCE, help="One or two of the sidebar's variants that have a λ.",
        ) or [first_of(keys)]  # fmt: skip
    if not experiment.hidden:
        right.caption("Without hidden layers there is no LayerNorm: two choices are left.")
    elif st.session_state.experiment.layer_norm:
        right.caption("The model has LayerNorm, as the sidebar says.")
    else:
        right.toggle(
            "Give this page's model LayerNorm", value=True, key="with_norm",
            help="The sidebar's model has none, and without it the third choice would have nothing to act on.",
        )  # fmt: skip
        right.caption("The sidebar's has none: nothing for “+ LayerNorm” to act on.")
    return [VARIANTS[key] for key in VARIANTS if key in chosen]


def figure(made: dict[str, Run], variants: list[Variant], i: int, theme: str = "light") -> Picture:
    return pictures(made, variants)[i]


def story(made: dict[str, Run], variants: list[Variant]) -> list[str]:
    """What `model.parameters()` holds, and what each choice did to this run."""
    run = next(iter(made.values()))
    sizes = {kind: sum(t.size for t in named_tensors(run.architecture) if t.kind == kind) for kind in KINDS}
    rest = ", ".join(f"{count} {KINDS[kind]}" for kind, count in sizes.items() if count and kind != "weight")
    total = run.experiment.parameters
    lines = [
        f"**`model.parameters()` is everything.** Of the {total:,} parameters here, {total - sizes['weight']:,} are no "
        f"weights: {rest}. `AdamW(model.parameters(), weight_decay=…)` decays them all; usually only weight matrices, "
        "`p.dim() >= 2`, are meant to."
    ]
    for variant in variants:
        if run.experiment.weight_decay_of(variant) == 0:
            lines.append(f"**{variant.title}: λ = 0.** Nothing decays, so every choice is the same training.")
            continue
        gone = [f"{DECAYED[key]}: {note}" for key, r in made.items() if (note := divergence_note(r, variant))]
        if gone:
            lines.append(f"**{variant.title} diverged.** {'; '.join(gone)}.")
        calm = {key: r for key, r in made.items() if r.diverged[variant.key] is None}
        if {"weights", "biases"} <= set(calm):
            lines.append(cost_of_biases(calm["weights"], calm["biases"], variant))
        if {"weights", "all"} <= set(calm):
            lines.append(cost_of_norms(calm["weights"], calm["all"], variant))
    return lines


def cost_of_biases(free: Run, held: Run, variant: Variant) -> str:
    """What decaying the biases did to this run."""
    row, biases = free.row(variant.key), slice(free.architecture.weights, None)
    size = [norms_of(run, variant, "bias")[-1] for run in (free, held)]
    stop = free.architecture.weights + sum(free.architecture.sizes[1:])
    ends = [run.film[-1, row, biases.start : stop] for run in (free, held)]
    i = int(np.abs(ends[0] - ends[1]).argmax())
    name = entry_of(free.architecture, biases.start + i)
    return (
        f"**{variant.title}, biases decayed too:** ‖b‖ ends at {short(size[1])} instead of {short(size[0])}; the bias "
        f"that differs most, `{name}`, at {ends[1][i]:.2f} instead of {ends[0][i]:.2f}. {losses(free, held, variant)} "
        + (
            "LayerNorm divides out the common size of the weights and biases that feed it: what counts is their ratio."
            if free.experiment.layer_norm
            else "A bias moves the place where a unit switches; how steeply it does is up to the weights."
        )
    )


def cost_of_norms(free: Run, held: Run, variant: Variant) -> str:
    """What decaying LayerNorm's gains and shifts did to this run."""
    gain = [root_mean_square(run, variant, "gain")[-1] for run in (free, held)]
    shift = [norms_of(run, variant, "shift")[-1] for run in (free, held)]
    to_start = variant.uses("add_pull_to_start")
    target = "exactly the 1 where it started" if to_start else "0, not the 1 where it started"
    return (
        f"**{variant.title}, LayerNorm decayed too:** the gains, 1 at the start, end at {short(gain[1])} (root mean "
        f"square) instead of {short(gain[0])}, the shifts at ‖β‖ = {short(shift[1])} instead of {short(shift[0])}. "
        f"A gain multiplies all that its unit passes on, and what λ pulls it to is {target}. "
        f"{losses(free, held, variant)}"
    )


def losses(free: Run, held: Run, variant: Variant) -> str:
    """Test and training loss at the end of two runs, and the difference."""
    test, train = (
        [float(run.series(f"{part}_loss")[variant.key][-1]) for run in (free, held)] for part in ("test", "train")
    )
    change = test[1] - test[0]
    values = f"({short(test[0])} → {short(test[1])}; training loss {short(train[0])} → {short(train[1])})"
    if abs(change) <= 1e-7 * abs(test[0]):  # test losses are evaluated in float32
        return f"On this run that leaves the test loss as it is {values}."
    return f"On this run that {'raises' if change > 0 else 'lowers'} the test loss by **{abs(change):.2g}** {values}."


def tensors(made: dict[str, Run]) -> str:
    """Every tensor of the model and whether it decays, by choice, in Markdown."""
    run = next(iter(made.values()))
    lines = [
        "##### The model's tensors",
        "| name | | shape | `dim()` | parameters | " + " | ".join(DECAYED[key] for key in made) + " |",
        "|---|---|---|--:|--:|" + "---|" * len(made),
    ]
    for tensor in named_tensors(run.architecture):
        shape = " × ".join(map(str, tensor.shape))
        marks = " | ".join("**decays**" if is_decayed(tensor, r.experiment) else "–" for r in made.values())
        kind: Kind = tensor.kind
        lines.append(f"| `{tensor.name}` | {KINDS[kind]} | {shape} | {len(tensor.shape)} | {tensor.size} | {marks} |")
    return "\n".join(lines)


_ui.page(TITLE, body, seen)
