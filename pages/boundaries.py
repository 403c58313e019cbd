"""Page 1, Decision boundaries: rows are optimizers, columns say where λ enters."""

import streamlit as st

from engine import Experiment, Run
from engine.charts.picture import short
from engine.charts.table import divergence_note
from engine.claims.coupling import sgd_pair_is_equal
from engine.figures import Shot
from engine.figures.boundaries import loss_picture, norm_picture
from engine.measure import EQUAL, pair_difference, pairs
from engine.variants import Variant
from pages import _exports, _ui

DEAD = 0.05
"""Below this share of its start ‖w‖ counts as dead."""


def body(experiment: Experiment) -> None:
    run = _ui.trained(experiment)

    _ui.play(run, "boundaries", lambda: [loss_picture(run), norm_picture(run)], over_lambda=True)
    for line in story(run):
        st.markdown(line)
    _ui.measured(run, [sgd_pair_is_equal])
    names = ("table", "losses", "norms", "over_lambda", "norms_over_lambda")
    _exports.exports([Shot(f"boundaries.{name}", experiment) for name in names], over_lambda=(0, 3, 4))
    _ui.rules(run.experiment)
    _ui.lambda_axis(experiment)


def story(run: Run) -> list[str]:
    """What the pictures of this run show, pair by pair, with its numbers."""
    lines = [
        f"**{variant.title} {note}.** Its picture stays at the last step before; the others go on."
        for variant in run.experiment.chosen
        if (note := divergence_note(run, variant))
    ]
    calm = [pair for pair in pairs(run) if all(run.diverged[variant.key] is None for variant in pair)]
    return lines + [pair_words(run, l2, decay) for l2, decay in calm]


def pair_words(run: Run, l2: Variant, decay: Variant) -> str:
    """Whether L2 and decay of one optimizer are the same on this run, and why."""
    exp, apart = run.experiment, float(pair_difference(run, l2, decay).max())
    both, differ = f"{l2.title} and {decay.title}", f"a weight differs by up to {apart:.2g}"
    remembers = l2.has_momentum and exp.momentum > 0
    if not exp.weight_decay_of(l2) and not exp.weight_decay_of(decay):
        return f"**{both} are the same optimizer at λ = 0:** nothing decays."
    if apart <= EQUAL and (l2.adaptive or remembers):
        return f"**{both} are still together:** λ has done so little in {exp.steps:,} steps that {differ}."
    if apart <= EQUAL:
        return (
            f"**{both} are the same:** over all recorded steps no weight differs by more than {apart:.0e}. The "
            "penalty's gradient λw turns the step into w − η(g + λw) = (1 − ηλ)w − ηg, and that is weight decay."
        )
    if l2.adaptive:
        return (
            f"**{both} are not the same:** {differ}. {l2.family} divides the L2 term by √v with the rest of the "
            "gradient, so its rate is ηλ/√v instead of ηλ: the larger a weight's gradients, the less it is decayed."
            + dead_words(run, l2, decay)
        )
    if remembers:
        return (
            f"**{both} are not the same** at μ = {exp.momentum:g}: {differ}. The velocity remembers the pull λw of L2, "
            "and does not remember decay."
        )
    return (
        f"**{both} are the same on paper,** yet {differ}: at this learning rate training is unstable and rounding "
        "errors grow. A smaller η brings the = back."
    )


def dead_words(run: Run, l2: Variant, decay: Variant) -> str:
    """What became of weights that the penalty has pulled to zero, where it has, and of their twins under decay."""
    norms, exp = run.metrics["weight_norm"], run.experiment
    left, kept = (float(norms[-1, run.row(variant.key)] / norms[0, 0]) for variant in (l2, decay))
    if left >= DEAD:
        return ""
    words = (
        f" Here the penalty has won: ‖w‖ is down to {_share(left)} of its start. As part of the gradient, "
        f"λ = {exp.weight_decay_of(l2):.3g} pulls towards w = 0 and the normalised step marches there"
    )
    if kept < DEAD:
        return f"{words}; on the weight, {_share(exp.shrink_of(decay))} a step, it has won too."
    end = short(norms[-1, run.row(decay.key)])
    return f"{words}; on the weight it takes {_share(exp.shrink_of(decay))} a step, and ‖w‖ ends at {end}."


def _share(value: float) -> str:
    percent = 100 * value
    return "less than 0.1 %" if percent < 0.1 else f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


_ui.page("Does it matter where λ enters?", body)
