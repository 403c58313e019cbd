"""Page 7's figures: the learning rate's decay and the weights', each with and without the other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from engine.charts.lines import line_chart
from engine.charts.picture import Picture
from engine.experiment import Experiment, budgeted
from engine.figures.figure import Panel, Shot, figure, trained_together
from engine.figures.sentences import compared, figures_of, listed, percent
from engine.run import Run
from engine.schedules import SCHEDULES
from engine.two_decays import (
    FACTORS,
    TORCH,
    Line,
    crossed,
    free_lines,
    parametrizations,
    plan,
    schedule_lines,
    scheduled,
)
from engine.variants import VARIANTS

Runs = Sequence[Run]
"""The run under a schedule, and the same at a constant η."""


def both(shot: Shot) -> list[Experiment]:
    """The page's two experiments, within its budget."""
    return budgeted(plan(scheduled(shot.experiment)))[0]


def falling(shot: Shot) -> Experiment:
    """That with a schedule that lowers η."""
    return both(shot)[0]


def runs_of(shot: Shot) -> list[Run]:
    """The page's two runs."""
    return trained_together(*both(shot))


def tidy(runs: Runs, lines: Sequence[Line], value: str) -> pd.DataFrame:
    """One row a line and recorded step."""
    steps = runs[0].steps
    parts = [pd.DataFrame({"line": line.name, "step": steps, value: line.values}) for line in lines]
    return pd.concat(parts, ignore_index=True)


def schedule_name(runs: Runs) -> str:
    return f"“{SCHEDULES[runs[0].experiment.schedule].title}”"


# ---- trained ----------------------------------------------------------------------------------------------------


def norm_picture(runs: Runs) -> Picture:
    return line_chart(runs[0].steps, crossed(runs, "weight_norm"), "‖w‖, dashed at a constant η")


def loss_picture(runs: Runs) -> Picture:
    return line_chart(runs[0].steps, crossed(runs, "test_loss"), "Test loss, dashed at a constant η")


@figure(
    "two_decays.norms",
    "Norms",
    "Is learning-rate decay weight decay?",
    "‖w‖ of Adam and AdamW over training: solid with a schedule that lowers η, dashed at a constant η, all from the "
    "same weights. A schedule makes the steps smaller, whatever the weights are; weight decay pulls on the weights "
    "themselves. Where the experiment's η is constant, the schedule shown is the cosine.",
    seen=falling,
)
def norms(shot: Shot, theme: str) -> Panel:
    runs = runs_of(shot)
    return Panel(norm_picture(runs), crossed_words(runs, "‖w‖", "weight_norm"), crossed_frame(runs, "weight_norm"))


@figure(
    "two_decays.losses",
    "Test loss",
    "What do the two decays do to the test loss?",
    "Mean cross-entropy on 1,000 test points, without any penalty: solid with a schedule that lowers η, dashed at a "
    "constant η. All models start from the same weights. Where the experiment's η is constant, the schedule shown is "
    "the cosine.",
    seen=falling,
)
def losses(shot: Shot, theme: str) -> Panel:
    runs = runs_of(shot)
    return Panel(loss_picture(runs), crossed_words(runs, "Test loss", "test_loss"), crossed_frame(runs, "test_loss"))


def crossed_words(runs: Runs, what: str, metric: str) -> str:
    """Where the four runs end."""
    falling, steady = runs
    ways = {"at a constant η": steady, f"with {schedule_name(runs)}": falling}
    cells = {
        v.title: {
            way: run.diverged[v.key] or figures_of(float(run.series(metric)[v.key][-1])) for way, run in ways.items()
        }
        for v in falling.experiment.chosen
    }
    free = falling.experiment.weight_decay_of(VARIANTS[TORCH]) == 0
    return compared(what, cells, "λ = 0, so there is no weight decay" if free else "")


def crossed_frame(runs: Runs, metric: str) -> pd.DataFrame:
    """One metric of the four runs over training."""
    parts = [run.curves[["variant", "step", metric]].assign(schedule=run.experiment.schedule) for run in runs]
    return pd.concat(parts, ignore_index=True)


# ---- closed forms -----------------------------------------------------------------------------------------------


def schedule_picture(runs: Runs) -> Picture:
    lines = schedule_lines(runs[0].experiment, runs[0].steps)
    return line_chart(runs[0].steps, lines, "Learning-rate decay: η over its largest value", top=1.0)


def alone_picture(runs: Runs) -> Picture:
    lines = free_lines(runs[0].experiment, runs[0].steps)
    return line_chart(runs[0].steps, lines, "Weight decay alone leaves Π(1 − ηλ)", log=True, top=1.0)


def forms_picture(runs: Runs) -> Picture:
    lines = parametrizations(runs[0].experiment, runs[0].steps)
    title = "What decay alone leaves at half and double η"
    return line_chart(runs[0].steps, lines, title, "dashed: the paper's form", log=True, top=1.0)


@figure(
    "two_decays.schedules",
    "Schedules",
    "What does a schedule do to η?",
    "The learning rate at each step as a share of its largest value, under every schedule; the experiment's own is "
    "drawn thick, or the cosine where its η is constant. No weight appears in it: learning-rate decay is a plan of "
    "step sizes.",
    seen=falling,
)
def schedules(shot: Shot, theme: str) -> Panel:
    runs = runs_of(shot)
    exp = runs[0].experiment
    shares = exp.schedule_of_steps()
    words = (
        f"With {schedule_name(runs)} η is {percent(float(shares[-1]))} of its largest value at the last step, "
        f"{exp.steps:,}, and {percent(float(shares.mean()))} of it on average."
    )
    return Panel(schedule_picture(runs), words, tidy(runs, schedule_lines(exp, runs[0].steps), "share_of_largest_lr"))


@figure(
    "two_decays.alone",
    "Decay alone",
    "Does the schedule decay the decay?",
    "What AdamW's decay would leave of a weight if the data never pushed, under every schedule; the experiment's own "
    "is drawn thick, or the cosine where its η is constant. In PyTorch the factor of a step is 1 − η_tλ, so a "
    "schedule that lowers η lowers the decay with it. The line of the constant schedule is how a decay outside η "
    "would go on.",
    seen=falling,
)
def alone(shot: Shot, theme: str) -> Panel:
    runs = runs_of(shot)
    lines = {line.name: line for line in free_lines(runs[0].experiment, runs[0].steps)}
    return Panel(alone_picture(runs), alone_words(runs, lines), tidy(runs, list(lines.values()), "share_left"))


def alone_words(runs: Runs, lines: dict[str, Line]) -> str:
    """What decay alone leaves with the schedule and without."""
    exp = runs[0].experiment
    if exp.shrink_of(VARIANTS[TORCH]) == 0:
        return "λ = 0: there is no weight decay for the schedule to change."
    left, steady = (_left(lines[SCHEDULES[key].title]) for key in (exp.schedule, "constant"))
    return f"Decay alone leaves {left} of a weight with {schedule_name(runs)}, {steady} at a constant η."


def _left(line: Line) -> str:
    """What is left at the last step; where ηλ > 2 decay alone makes a weight grow."""
    share = float(line.values[-1])
    return percent(share) if share <= 10 else "over 1,000 %"


@figure(
    "two_decays.forms",
    "Two forms",
    "“Decoupled” has two senses",
    "What decay alone would leave of a weight at half, once and twice the η of the experiment, with λ as it is. In "
    "PyTorch's AdamW the factor of a step is 1 − η_tλ, so it changes with η; in the paper it is 1 − s_tλ with s_t = "
    "η_t/η_max, so it does not. The paper's λ is chosen so that both forms shrink alike at the experiment's η.",
    seen=falling,
)
def forms(shot: Shot, theme: str) -> Panel:
    runs = runs_of(shot)
    lines = parametrizations(runs[0].experiment, runs[0].steps)
    return Panel(forms_picture(runs), forms_words(runs, lines), tidy(runs, lines, "share_left"))


def forms_words(runs: Runs, lines: Sequence[Line]) -> str:
    """What each form leaves at each η."""
    if runs[0].experiment.shrink_of(VARIANTS[TORCH]) == 0:
        return "λ = 0: both forms leave a weight as it is, at any η."
    *torch_form, paper = (_left(line) for line in lines)
    return (
        f"Decay alone leaves {listed(torch_form)} of a weight at {listed(list(FACTORS.values()))} in PyTorch's form, "
        f"and {paper} at any η in the paper's."
    )
