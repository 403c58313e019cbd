"""Page 4, Where L2 stops being decay: the same optimizer with λ in the gradient and on the weight, measured."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from engine import Experiment, Run
from engine.charts.pairs import pair_curves
from engine.charts.picture import Picture
from engine.charts.rates import Frame, blank_panel, frame, rate_panel
from engine.claims import coupling as claims
from engine.measure import pairs
from engine.probe import affordable
from engine.rates import Rates, effective_rates, measurable, paired
from engine.variants import Variant
from pages import _coupling_words as words
from pages import _ui


def body(experiment: Experiment) -> None:
    st.caption(words.changed(experiment, st.session_state.experiment))
    run = _ui.trained(experiment)
    members = families(run) if affordable(run.experiment) else {}

    def found() -> dict[str, Rates]:
        return _ui.replayed("rates", run, effective_rates)

    def apart(theme: str = "light") -> Picture:
        return pair_curves(run.steps, {(a, b): words.apart(run, a, b) for a, b in pairs(run)})

    def panel(family: str, theme: str = "light") -> Picture:
        return drawn(run, family, members[family], found(), frame(list(found().values())))

    # The rates take twice the training again: the first picture does not wait for them, and a long training has none.
    blank = [blank_panel(f, keys(run, m), bool(words.missing(run, m))) for f, m in members.items()]
    _ui.play(
        run,
        "coupling",
        lambda: [apart(), *blank],
        fields=False,
        late=(lambda: [apart(), *(panel(family) for family in members)]) if members else None,
    )
    for line in [*words.pair_story(run, found()), *words.rate_story(run, found())]:
        st.markdown(line)
    st.markdown(words.ports(run, found()))
    st.caption(words.method(run, found()))
    shown: dict[str, Callable[[str], Picture]] = {"L2 against decay": apart}
    _ui.downloads(shown | {f"Decay rates, {family}": partial(panel, family) for family in members})
    _ui.measured(run, [claims.sgd_pair_is_equal, claims.slope_of_each, claims.divided_rate, claims.momentum_rate])
    _ui.rules(run.experiment)


def families(run: Run) -> dict[str, list[Variant]]:
    """The variants that decay, by optimizer: one panel each."""
    found: dict[str, list[Variant]] = {}
    for variant in run.experiment.chosen:
        if variant.where in ("gradient", "weight"):
            found.setdefault(variant.family, []).append(variant)
    return found


def keys(run: Run, members: list[Variant]) -> tuple[str, ...]:
    return tuple(variant.key for variant in members if variant in measurable(run))


def drawn(run: Run, family: str, members: list[Variant], found: dict[str, Rates], shared: Frame) -> Picture:
    return rate_panel(family, [found[key] for key in keys(run, members)], shared, words.missing(run, members))


_ui.page("Is L2 weight decay? Only under plain SGD", body, paired)
