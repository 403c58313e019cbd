"""Page 1, Decision boundaries: rows are optimizers, columns say where λ enters."""

import streamlit as st

from engine.charts.curves import loss_curves, norm_curves
from engine.charts.film import film
from engine.measure import free_decay_curves
from pages import _ui

st.title("Does it matter where λ enters?")
run = _ui.trained(_ui.experiment())
curves, theory = run.curves, free_decay_curves(run)


def pictures():
    return [loss_curves(curves, run.diverged), norm_curves(curves, theory.iloc[:0], run.diverged)]


_ui.film(run, "boundaries", lambda key: film(run, key, pictures()))
