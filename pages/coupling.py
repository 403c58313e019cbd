"""Page 4, Where L2 stops being decay: the same optimizer with λ in the gradient and on the weight, measured."""

import streamlit as st

from engine import Experiment
from engine.charts.pairs import pair_curves
from engine.charts.picture import Picture
from engine.charts.rates import blank_panel, frame
from engine.claims import coupling as claims
from engine.figures import Shot
from engine.figures.coupling import differences, families, family_panel, keys, missing
from engine.figures.figure import shot_of
from engine.probe import affordable
from engine.rates import Rates, effective_rates, paired
from pages import _coupling_words as words
from pages import _exports, _ui


def body(experiment: Experiment) -> None:
    st.caption(words.changed(experiment, st.session_state.experiment))
    run = _ui.trained(experiment)
    members = families(run.experiment) if affordable(run.experiment) else {}

    def found() -> dict[str, Rates]:
        return _ui.replayed("rates", run, effective_rates)

    def apart() -> Picture:
        return pair_curves(run.steps, differences(run))

    def panel(family: str) -> Picture:
        return family_panel(run, family, members[family], found(), frame(list(found().values())))

    # The rates take twice the training again: the first picture does not wait for them, and a long training has none.
    blank = [blank_panel(f, keys(run, m), bool(missing(run, m))) for f, m in members.items()]
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
    shared = st.session_state.experiment
    rates = [shot_of("coupling.rates", shared, part=family) for family in members]
    _exports.exports([Shot("coupling.apart", shared), *rates])
    _ui.measured(run, [claims.sgd_pair_is_equal, claims.slope_of_each, claims.divided_rate, claims.momentum_rate])
    _ui.rules(run.experiment)


_ui.page("Does L2 stay weight decay?", body, paired)
