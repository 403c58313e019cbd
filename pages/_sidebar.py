"""The shared sidebar: one widget for each knob of Experiment, and the URL kept equal to what they say."""

from __future__ import annotations

import random
from typing import Any

import streamlit as st

from engine import VARIANTS, Experiment
from engine.experiment import KNOBS
from engine.knobs import Choice, Flag, Names, Number
from engine.presets import PRESETS
from engine.theory import time_scale

MODES = {"matched": "matched shrink ηλ", "same": "same λ", "separate": "separate λ"}
SHAPES = ["0", "4", "8", "16", "8-8", "16-16", "32-32", "64-64", "16-16-16", "32-32-32"]


def sidebar() -> None:
    """Draw the controls, keep ``st.session_state.experiment`` and the URL in step with them."""
    state = st.session_state
    _read_url()
    with st.sidebar:
        st.selectbox("Preset", list(PRESETS), index=None, placeholder="Start from a preset …", key="preset",
                     on_change=_load_preset, label_visibility="collapsed")  # fmt: skip
        values = _decay() | _group("Training") | _data() | _group("Model")
        st.button("Reset all but the seed", on_click=_reset, icon=":material/restart_alt:", type="tertiary")
    chosen, notices = Experiment(**values).within_budget()
    if chosen != state.experiment:
        state.notices = notices
    state.experiment = chosen
    _write_url(chosen)


def _read_url() -> None:
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
    values = {"weight_decay": _widget("weight_decay")}
    mode = st.selectbox("λ of Adam and RMSProp", list(MODES), format_func=MODES.get, key="mode",
                        help="Matched: the same shrink ηλ a step as SGD. Same: the same number λ. Separate: its own.")  # fmt: skip
    adaptive = {"matched": None, "same": values["weight_decay"]}
    values["weight_decay_adaptive"] = adaptive[mode] if mode in adaptive else _widget("weight_decay_adaptive")
    readout = st.container()
    values["variants"] = _widget("variants")
    values["decay_biases"] = _widget("decay_biases")
    with readout:
        _readout(st.session_state)
    return values


def _readout(state: Any) -> None:
    """λ, ηλ and τ of each family as the sliders stand now, and a word where decay is invisible or explosive."""
    knobs = {name: state[f"knob_{name}"] for name in ("lr", "lr_adaptive", "weight_decay", "steps")}
    knobs["weight_decay_adaptive"] = {"matched": None, "same": state.knob_weight_decay}.get(
        state.mode, state.knob_weight_decay_adaptive
    )
    exp = Experiment(**knobs)
    lines, words = [], []
    for title, key in (("SGD", "sgdw"), ("Adam", "adamw")):
        variant = VARIANTS[key]
        shrink = exp.shrink_of(variant)
        tau = time_scale(shrink)
        shown = f"{tau:,.0f} steps" if tau >= 10 else f"{tau:.2g} steps"
        lines.append(
            f"{title}: λ = **{exp.weight_decay_of(variant):.3g}**, ηλ = **{shrink:.2g}**, "
            f"τ = 1/(ηλ) = **{'∞' if shrink == 0 else shown}**"
        )
        if shrink > 2:
            words.append(f"{title}: ηλ > 2, so 1 − ηλ < −1 and every step of decay makes weights larger.")
        elif tau > 5 * exp.steps:
            words.append(f"{title}: τ is far beyond {exp.steps:,} steps, so decay has hardly begun by the end.")
    st.caption("  \n".join(lines), help="ηλ is the fraction that one step takes off a weight, τ the number of steps "
               "in which decay alone takes a weight to about a third.")  # fmt: skip
    for word in words:
        st.caption(f":orange-background[{word}]")


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
