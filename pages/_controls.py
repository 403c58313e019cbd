"""The controls: one widget for each knob of Experiment, and the URL kept equal to what they say."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from engine import VARIANTS, Experiment
from engine.experiment import KNOBS
from engine.figures.link import apart
from engine.knobs import Choice, Flag, Names, Number
from engine.presets import PRESETS
from engine.prior import sigma_of
from engine.theory import explodes_beyond, time_scale
from pages import _deck

MODES: dict[str, str] = {"matched": "matched shrink ηλ", "same": "same λ", "separate": "separate λ"}
SLIDE = "slide"
"""The parameter that holds one slide of the visitor's deck."""

SHAPES = ["0", "4", "8", "16", "8-8", "16-16", "32-32", "64-64", "16-16-16", "32-32-32"]


@dataclass(frozen=True)
class FigureLink:
    """The link of a figure that a page was opened with: it stays in the address until the experiment or page changes.

    Attributes:
        asked: the figure's name and options.
        experiment: what the link's knobs made.
        page: where it was opened.
    """

    asked: dict[str, str]
    experiment: Experiment
    page: str


def sidebar() -> None:
    """Draw the controls, keep ``st.session_state.experiment`` and the URL in step with them."""
    load_url()
    with st.sidebar:
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        left.selectbox("Preset", list(PRESETS), index=None, placeholder="Start from a preset …", key="preset",
                       on_change=_load_preset, label_visibility="collapsed")  # fmt: skip
        why = "Another seed: other points, other initial weights."
        right.button("", icon=":material/casino:", on_click=_dice, help=why, width="stretch")
        values = _decay() | _group("Training") | _group("Data") | _group("Model")
        st.button("Reset all but the seed", on_click=_reset, icon=":material/restart_alt:", type="tertiary")
    _keep(Experiment(weight_decay=_lambda(), **values))


def lambda_bar(seen_as: Callable[[Experiment], Experiment]) -> Experiment:
    """λ itself, above the picture, with what it means beside it; returns the experiment that the page shows.

    It is drawn inside the page's fragment, so that moving it reruns the page's picture and nothing else.
    """
    state = st.session_state
    state.knob_weight_decay = _lambda()
    left, right = st.columns([2, 3], vertical_alignment="center", gap="medium")
    with left:
        weight_decay = _widget("weight_decay")
    if state.mode == "same":
        _keep(replace(state.experiment, weight_decay=weight_decay, weight_decay_adaptive=weight_decay))
    else:
        _keep(replace(state.experiment, weight_decay=weight_decay))
    with right:
        _readout(seen_as(state.experiment))
    return seen_as(state.experiment)


def prior_bar(exp: Experiment) -> None:
    """σ, which is λ seen as a prior, and N: the page's own handles on two knobs that it shares with all others."""
    state = st.session_state
    left, right = st.columns(2, gap="medium")
    options = sorted({*_grid("weight_decay"), exp.weight_decay}, reverse=True)
    state.sigma = exp.weight_decay
    left.select_slider(
        "Prior width σ = 1/√(λN)", options, key="sigma", on_change=_take_sigma,
        format_func=lambda value: "∞ (no prior)" if value == 0 else f"{sigma_of(value, exp.points):.3g}",
        help="The same slider as λ, seen as the standard deviation of the Gaussian prior on each weight.",
    )  # fmt: skip
    state.n = exp.points
    right.select_slider(
        KNOBS["points"].label, sorted({*_grid("points"), exp.points}), key="n", on_change=_take_points,
        help="More data outweigh the same prior σ; at fixed λ the prior narrows with N, since λ = 1/(Nσ²).",
    )  # fmt: skip
    if state.pop("rerun", False):
        st.rerun(scope="app")


def _grid(name: str) -> tuple[float, ...]:
    knob = KNOBS[name]
    assert isinstance(knob, Number)
    return knob.grid


def _take_sigma() -> None:
    st.session_state.knob_weight_decay = st.session_state.sigma


def _take_points() -> None:
    st.session_state.knob_points = st.session_state.n
    st.session_state.rerun = True  # the sidebar shows N too


def _lambda() -> float:
    """λ as the slider has it; Streamlit forgets the slider of a page that has been left, the experiment does not."""
    return st.session_state.get("knob_weight_decay", st.session_state.experiment.weight_decay)


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
    if "experiment" not in state or (query and query != state.get("written", query)):
        slides = query.pop(SLIDE, [])
        knobs, asked = apart(query)
        _load(*Experiment.from_query(knobs))
        state.figure_link = FigureLink(asked, state.experiment, _page()) if asked else None
        state.asked = dict(asked)
        if slides:
            state.notices = [*state.notices, *_deck.take(slides)]
    # Streamlit forgets the widgets of a folded group; the experiment does not.
    for name in KNOBS:
        state.setdefault(f"knob_{name}", _as_widget(name, state.experiment))
    state.setdefault("mode", _mode(state.experiment))


def _write_url(exp: Experiment) -> None:
    query = {name: [value] for name, value in exp.to_query().items()}
    slides = _deck.links() if st.session_state.get("deck_pinned") else []
    link: FigureLink | None = st.session_state.get("figure_link")
    if link and (link.experiment, link.page) != (exp, _page()):
        link = st.session_state.figure_link = None
    if slides:
        query[SLIDE] = slides
    elif link:
        query |= {name: [value] for name, value in link.asked.items()}
    elif len(query) == 1:
        query = {}
    shown = {name: st.query_params.get_all(name) for name in st.query_params}
    if st.session_state.get("written") != query or shown != query:
        st.query_params.from_dict(query)
        st.session_state.written = query


def pin_deck(pinned: bool) -> None:
    """Whether the address holds the visitor's slides from now on."""
    st.session_state.deck_pinned = pinned
    _write_url(st.session_state.experiment)


def opened_with() -> dict[str, str]:
    """What this page's link said of a figure, once: its name and its options."""
    asked, link = st.session_state.pop("asked", {}), st.session_state.get("figure_link")
    return asked if link and link.page == _page() else {}


def _page() -> str:
    """The page on screen, as Streamlit knows it."""
    context = get_script_run_ctx()
    return context.page_script_hash if context else ""


def load(exp: Experiment) -> None:
    """Make this the experiment of all pages, from a callback: widgets can only be set before they are drawn."""
    _load(exp, [])


def _load(exp: Experiment, notices: list[str]) -> None:
    """Set every widget to an experiment."""
    state = st.session_state
    state.experiment, state.notices = exp, notices
    for name in KNOBS:
        state[f"knob_{name}"] = _as_widget(name, exp)
    state.mode = _mode(exp)


def _mode(exp: Experiment) -> str:
    """How λ of the Adam family follows from λ: a key of MODES."""
    adaptive = exp.weight_decay_adaptive
    return "matched" if adaptive is None else "same" if adaptive == exp.weight_decay else "separate"


def _as_widget(name: str, exp: Experiment) -> Any:
    """A knob's value as its widget keeps it."""
    value = getattr(exp, name)
    if name == "weight_decay_adaptive" and value is None:
        return exp.weight_decay
    return KNOBS[name].write(value) if name == "hidden" else list(value) if name == "variants" else value


def _load_preset() -> None:
    if st.session_state.preset:
        _load(*Experiment.from_query(PRESETS[st.session_state.preset]))


def _reset() -> None:
    st.session_state.preset = None
    _load(Experiment(seed=st.session_state.experiment.seed), [])


def _dice() -> None:
    st.session_state.knob_seed = random.randrange(10_000)


def _group(group: str) -> dict[str, Any]:
    """The values of one group's knobs, and its widgets once it is opened: each one on screen slows every answer."""
    panel = st.expander(group, key=f"group_{group}", on_change="rerun")
    with panel:
        shown = _widget if panel.open else _folded
        return {name: shown(name) for name, knob in KNOBS.items() if knob.group == group}


def _folded(name: str) -> Any:
    """The value of a knob whose widget is not on screen, as a link, a preset, the dice or another page left it."""
    value = st.session_state[f"knob_{name}"]
    st.session_state[f"knob_{name}"] = value  # written by the script, it outlives the widget
    if name != "hidden":
        return value
    try:
        return _read_widths(value)
    except ValueError:
        return st.session_state.experiment.hidden


def _read_widths(text: str) -> tuple[int, ...]:
    """Hidden widths as written in the box; raises ValueError."""
    knob = KNOBS["hidden"]
    return knob.check(knob.read(text.strip()))


def _decay() -> dict[str, Any]:
    st.subheader("Decay", divider="gray")
    values = {"variants": _widget("variants")}
    mode = st.selectbox("λ of Adam and RMSProp", list(MODES), format_func=MODES.__getitem__, key="mode",
                        help="Matched: SGD's shrink ηλ a step. Same: SGD's number λ. Separate: its own.")  # fmt: skip
    adaptive = {"matched": None, "same": _lambda()}
    values["weight_decay_adaptive"] = adaptive[mode] if mode in adaptive else _widget("weight_decay_adaptive")
    values["decayed"] = _widget("decayed")
    if any(VARIANTS[key].uses("project_units") for key in values["variants"]):
        values["max_norm"] = _widget("max_norm")
    else:
        values["max_norm"] = st.session_state.experiment.max_norm
    return values


def _readout(exp: Experiment) -> None:
    """λ, ηλ and τ of each family, and a word where decay is invisible or explosive."""
    decaying = [variant for variant in exp.chosen if variant.has_weight_decay]
    lines = []
    for adaptive, title in ((False, "SGD family"), (True, "Adam family")):
        family = [variant for variant in decaying if variant.adaptive == adaptive]
        if not family:
            continue
        first = next((variant for variant in family if variant.shrinks_by_lr), family[0])
        shrink = exp.weight_decay_of(first) * (exp.lr_of(first) if first.shrinks_by_lr else 1.0)
        factor = "ηλ" if first.shrinks_by_lr else "λ"
        line = f"{title}: λ = **{exp.weight_decay_of(first):.3g}**, {factor} = **{_percent(shrink)}** a step"
        if any(variant.where != "other" for variant in family):
            line += f", time scale τ = 1/({factor}) = **{_steps(time_scale(shrink))}**"
        lines.append(line)
    st.caption("  \n".join(lines) or "No variant on screen decays.")
    words = _extremes(exp)
    if words:
        st.caption("  \n".join(f":orange-background[{word}]" for word in words))


def _extremes(exp: Experiment) -> list[str]:
    """Where decay makes weights grow, or does next to nothing in so many steps."""
    wild, idle = [], []
    for variant in exp.chosen:
        # The L2 term of an adaptive variant has a rate of its own, ηλ/√v, of which τ says nothing.
        if variant.where not in ("gradient", "weight") or (variant.where == "gradient" and variant.adaptive):
            continue
        shrink = exp.shrink_of(variant)
        remembered = variant.where == "gradient" and variant.has_momentum
        momentum = exp.momentum if remembered else 0.0
        if shrink > explodes_beyond(momentum, remembered and exp.nesterov):
            wild.append(variant.title)
        elif time_scale(shrink / (1 - momentum)) > 5 * exp.steps:
            idle.append(variant.title)
    words = [f"{', '.join(wild)}: ηλ is so large that decay alone flips weights and makes them larger."] if wild else []
    if idle:
        words.append(f"{', '.join(idle)}: τ is far beyond the {exp.steps:,} steps, so decay is invisible here.")
    return words


def _percent(share: float) -> str:
    return f"{100 * share:,.0f} %" if share >= 1 else f"{100 * share:.2g} %"


def _steps(tau: float) -> str:
    return "never" if tau == float("inf") else f"{tau:,.0f} steps" if tau >= 10 else f"{tau:.2g} steps"


def _widget(name: str) -> Any:
    """The widget of one knob, by the kind of the knob; returns a value that the knob accepts."""
    knob, key = KNOBS[name], f"knob_{name}"
    current = st.session_state[key]
    if isinstance(knob, Flag):
        return st.toggle(knob.label, key=key, help=knob.help)
    if isinstance(knob, Choice):
        return st.selectbox(
            knob.label, list(knob.options), format_func=knob.options.__getitem__, key=key, help=knob.help
        )
    if isinstance(knob, Names):
        chosen = st.pills(knob.label, list(knob.options), format_func=knob.options.__getitem__, key=key, help=knob.help,
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
        return _read_widths(text)
    except ValueError as error:
        st.caption(f"{knob.label} {error}, written like 32-32. The last shape stays.")
        return st.session_state.experiment.hidden
