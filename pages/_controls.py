"""The controls: one widget for each knob of Experiment, and the URL kept equal to what they say."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import streamlit as st

from engine import Experiment
from engine.experiment import KNOBS
from engine.knobs import Choice, Flag, Names, Number
from engine.presets import PRESETS
from engine.theory import time_scale

MODES = {"matched": "matched shrink ηλ", "same": "same λ", "separate": "separate λ"}
SHAPES = ["0", "4", "8", "16", "8-8", "16-16", "32-32", "64-64", "16-16-16", "32-32-32"]


def sidebar() -> None:
    """Draw the controls, keep ``st.session_state.experiment`` and the URL in step with them."""
    state = st.session_state
    load_url()
    with st.sidebar:
        st.selectbox("Preset", list(PRESETS), index=None, placeholder="Start from a preset …", key="preset",
                     on_change=_load_preset, label_visibility="collapsed")  # fmt: skip
        values = _decay() | _group("Training") | _data() | _group("Model")
        st.button("Reset all but the seed", on_click=_reset, icon=":material/restart_alt:", type="tertiary")
    _keep(Experiment(weight_decay=state.knob_weight_decay, **values))


def lambda_bar() -> Experiment:
    """λ itself, above the picture, with what it means beside it; returns the experiment on screen.

    It is drawn inside the page's fragment, so that moving it reruns the page's picture and nothing else.
    """
    state = st.session_state
    left, right = st.columns([2, 3], vertical_alignment="center", gap="medium")
    with left:
        weight_decay = _widget("weight_decay")
    if state.mode == "same":
        _keep(replace(state.experiment, weight_decay=weight_decay, weight_decay_adaptive=weight_decay))
    else:
        _keep(replace(state.experiment, weight_decay=weight_decay))
    with right:
        _readout(state.experiment)
    return state.experiment


def _keep(exp: Experiment) -> None:
    """Make this the session's experiment, within what a visitor may spend, and write its URL."""
    state = st.session_state
    chosen, notices = exp.within_budget()
    if chosen != state.experiment:
        state.notices = notices
    state.experiment = chosen
    _write_url(chosen)


def load_url() -> None:
    """Take the URL's experiment on the first run, and whenever it is no longer the one written here."""
    state = st.session_state
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    flat = {name: values[-1] for name, values in query.items()}
    if "experiment" not in state or (query and flat != state.get("written", flat)):
        _load(*Experiment.from_query(query))
    elif "knob_seed" not in state:
        _load(state.experiment, state.notices)


def _write_url(exp: Experiment) -> None:
    query = exp.to_query()
    if len(query) == 1:
        query = {}
    if st.session_state.get("written") != query or dict(st.query_params) != query:
        st.query_params.from_dict(query)
        st.session_state.written = query


def _load(exp: Experiment, notices: list[str]) -> None:
    """Set every widget to an experiment."""
    state = st.session_state
    state.experiment, state.notices = exp, notices
    for name, knob in KNOBS.items():
        value = getattr(exp, name)
        state[f"knob_{name}"] = knob.write(value) if name == "hidden" else list(value) if name == "variants" else value
    adaptive = exp.weight_decay_adaptive
    state.mode = "matched" if adaptive is None else "same" if adaptive == exp.weight_decay else "separate"
    if adaptive is None:
        state.knob_weight_decay_adaptive = exp.weight_decay


def _load_preset() -> None:
    if st.session_state.preset:
        _load(*Experiment.from_query(PRESETS[st.session_state.preset]))


def _reset() -> None:
    st.session_state.preset = None
    _load(Experiment(seed=st.session_state.experiment.seed), [])


def _dice() -> None:
    st.session_state.knob_seed = random.randrange(10_000)


def _group(group: str) -> dict[str, Any]:
    """The widgets of one group, one a knob, and their values."""
    st.subheader(group, divider="gray")
    return {name: _widget(name) for name, knob in KNOBS.items() if knob.group == group}


def _data() -> dict[str, Any]:
    st.subheader("Data", divider="gray")
    values = {name: _widget(name) for name, knob in KNOBS.items() if knob.group == "Data" and name != "seed"}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        values["seed"] = _widget("seed")
    right.button("🎲", on_click=_dice, help="Another seed: other points and other initial weights, for all variants.",
                 width="stretch")  # fmt: skip
    return values


def _decay() -> dict[str, Any]:
    st.subheader("Decay", divider="gray")
    values = {"variants": _widget("variants")}
    mode = st.selectbox("λ of Adam and RMSProp", list(MODES), format_func=MODES.get, key="mode",
                        help="Matched: the same shrink ηλ a step as SGD. Same: the same number λ. Separate: its own.")  # fmt: skip
    adaptive = {"matched": None, "same": st.session_state.knob_weight_decay}
    values["weight_decay_adaptive"] = adaptive[mode] if mode in adaptive else _widget("weight_decay_adaptive")
    values["decay_biases"] = _widget("decay_biases")
    return values


def _readout(exp: Experiment) -> None:
    """λ, ηλ and τ of each family, and a word where decay is invisible or explosive."""
    lines, words = [], []
    families = {variant.adaptive: variant for variant in exp.chosen if variant.where != "none"}
    for adaptive, variant in sorted(families.items()):
        title = "Adam family" if adaptive else "SGD family"
        shrink = exp.shrink_of(variant)
        tau = time_scale(shrink)
        shown = "never" if tau == float("inf") else f"{tau:,.0f} steps" if tau >= 10 else f"{tau:.2g} steps"
        lines.append(f"{title}: λ = **{exp.weight_decay_of(variant):.3g}**, shrink a step ηλ = **{100 * shrink:.2g} %**, "
                     f"time scale τ = 1/(ηλ) = **{shown}**")  # fmt: skip
        if shrink > 2:
            words.append(f"{title}: ηλ > 2, so each step turns a weight over and makes it larger.")
        elif tau > 5 * exp.steps:
            words.append(f"{title}: τ is far beyond the {exp.steps:,} steps, so decay is invisible here.")
    st.caption("  \n".join(lines) or "No variant on screen decays.")
    if words:
        st.caption("  \n".join(f":orange-background[{word}]" for word in words))


def _widget(name: str) -> Any:
    """The widget of one knob, by the kind of the knob; returns a value that the knob accepts."""
    knob, key = KNOBS[name], f"knob_{name}"
    current = st.session_state[key]
    if isinstance(knob, Flag):
        return st.toggle(knob.label, key=key, help=knob.help)
    if isinstance(knob, Choice):
        return st.selectbox(knob.label, list(knob.options), format_func=knob.options.get, key=key, help=knob.help)
    if isinstance(knob, Names):
        chosen = st.pills(knob.label, list(knob.options), format_func=knob.options.get, key=key, help=knob.help,
                          selection_mode="multi")  # fmt: skip
        if chosen:
            return tuple(chosen)
        st.caption("Choose at least one; the last choice stays on screen.")
        return st.session_state.experiment.variants
    if isinstance(knob, Number):
        return _number(knob, key, current)
    return _widths(name, key)


def _number(knob: Number, key: str, current: Any) -> Any:
    if not knob.grid:
        return int(st.number_input(knob.label, int(knob.low), int(knob.high), step=1, key=key, help=knob.help))
    options = sorted({*knob.grid, *({current} - {None})})
    blank = [None] if knob.optional and knob.whole else []
    return st.select_slider(
        knob.label, [*options, *blank], key=key, help=knob.help,
        format_func=lambda value: knob.optional if value is None else f"{value:,}" if knob.whole else f"{value:g}",
    )  # fmt: skip


def _widths(name: str, key: str) -> tuple[int, ...]:
    knob = KNOBS[name]
    options = list(dict.fromkeys([*SHAPES, st.session_state[key]]))
    text = st.selectbox(knob.label, options, key=key, help=knob.help, accept_new_options=True)
    try:
        return knob.check(knob.read(text.strip()))
    except ValueError:
        st.caption(f"{knob.label} are written like 32-32: up to 4 widths from 1 to 128. The last shape stays.")
        return st.session_state.experiment.hidden
