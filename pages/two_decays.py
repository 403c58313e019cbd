"""Page 7, Two decays: the learning rate's and the weights', which share a word and little else."""

from collections.abc import Callable

import streamlit as st

from engine import VARIANTS, Experiment, Run
from engine.charts import Picture
from engine.charts.picture import short
from engine.charts.table import divergence_note
from engine.claims.schedules import decay_follows_the_schedule, the_papers_form_does_not_know_the_learning_rate
from engine.figures import Shot
from engine.figures import two_decays as pictures
from engine.schedules import SCHEDULES
from engine.theory import free_decay
from engine.two_decays import PAPER, PLAIN, TORCH, forms, plan
from engine.two_decays import scheduled as seen
from pages import _exports, _ui

PICTURES: dict[str, Callable[[list[Run]], Picture]] = {
    "norms": pictures.norm_picture,
    "losses": pictures.loss_picture,
    "schedules": pictures.schedule_picture,
    "alone": pictures.alone_picture,
    "forms": pictures.forms_picture,
}


def body(experiment: Experiment) -> None:
    runs = _ui.trained_together(plan(experiment))
    _ui.play(runs[0], "two decays", lambda: [draw(runs) for draw in PICTURES.values()], fields=False)
    for line in story(runs):
        st.markdown(line)
    _ui.measured(runs[0], [decay_follows_the_schedule, the_papers_form_does_not_know_the_learning_rate])
    shared = st.session_state.experiment
    _exports.exports([Shot(f"two_decays.{name}", shared) for name in PICTURES])
    _ui.rules(runs[0].experiment)


def story(runs: list[Run]) -> list[str]:
    """What the four runs show, and what the two parametrizations do, with this run's numbers."""
    exp, (falling, steady) = runs[0].experiment, runs
    name = SCHEDULES[exp.schedule].title
    plain, held = (
        f"{short(steady.series('weight_norm')[key][-1])} at a constant η and at "
        f"{short(falling.series('weight_norm')[key][-1])} with {name}"
        for key in (PLAIN, TORCH)
    )
    gone = [
        f"**{variant.title} {note}**, {'at a constant η' if run is steady else f'with {name}'}."
        for run in runs
        for variant in run.experiment.chosen
        if (note := divergence_note(run, variant))
    ]
    lines = [
        *gone,
        f"**Learning-rate decay is not weight decay.** Without weight decay ‖w‖ ends at {plain}; with it at {held}. A "
        "schedule makes the steps smaller, whatever the weights are; weight decay pulls on the weights themselves.",
    ]
    s, shrink, form = exp.schedule_of_steps(), exp.shrink_of(VARIANTS[TORCH]), forms(exp)
    if shrink <= 0:
        return [*lines, "λ = 0: there is no weight decay for the schedule to change."]
    scheduled, constant = (_share(float(free_decay(1.0, shrink * m, exp.steps))) for m in (s, 0 * s + 1))
    if shrink < 1 and s[-1] < s.max():
        lines.append(
            "**Yet the schedule decays the decay.** PyTorch's factor is $1-\\eta_t\\lambda$, so as $\\eta_t$ falls, "
            f"decay falls with it: alone it would leave {scheduled} of a weight instead of {constant} at a constant η, "
            f"and its time scale $1/(\\eta_t\\lambda)$ grows from {1 / (shrink * s.max()):,.0f} steps to "
            f"{1 / (shrink * s[-1]):,.0f} at the last step."
        )
    lines.append(
        "**“Decoupled” has two senses.** AdamW takes decay out of the gradient; the paper also takes it out of η: its "
        "factor is $1-s_t\\lambda$ with $s_t=\\eta_t/\\eta_{\\max}$. "
        f"Here torch's λ = {form[TORCH]:.3g} and the paper's λ = {form[PAPER]:.3g} shrink alike; double η, and torch's "
        "form decays twice as fast while the paper's stays (last figure). A λ copied from one form into the other is "
        "off by the factor η."
    )
    if s[-1] < 1:
        lines.append(
            f"**A λ outside η must still follow the schedule.** If it stayed at {shrink:.3g} a step while $\\eta_t$ "
            f"falls to {s[-1]:.2g} of its largest value, steps of about $\\eta_t$ could hold a weight only up to about "
            f"$\\eta_t$/{shrink:.3g} = {exp.lr_adaptive * s[-1] / shrink:.2g} at the end, instead of 1/λ = "
            f"{exp.lr_adaptive / shrink:.3g}. The line “constant” is how such a decay would go on."
        )
    return lines


def _share(value: float) -> str:
    percent = 100 * value
    return f"{value:.0e}" if value < 1e-4 else f"{percent:.3g} %" if percent < 99.95 else "nearly all"


_ui.page("Does the schedule decay the decay?", body, seen)
