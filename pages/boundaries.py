"""Page 1, Decision boundaries: rows are optimizers, columns say where λ enters."""

import streamlit as st

from engine.charts.curves import loss_curves, norm_curves
from pages import _ui

st.title("Does it matter where λ enters?")
run = _ui.trained(_ui.experiment())


def losses():
    return loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged)


def norms():
    return norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)


_ui.play(run, "boundaries", lambda: [losses(), norms()])
