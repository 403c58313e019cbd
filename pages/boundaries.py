"""Page 1, Decision boundaries: rows are optimizers, columns say where λ enters."""

import streamlit as st

from engine import Experiment, Run
from engine.charts import Picture
from engine.charts.boundary import signature
from engine.charts.curves import loss_curves, norm_curves
from engine.charts.table import divergence_note
from engine.claims.coupling import sgd_pair_is_equal
from engine.measure import EQUAL, pair_difference, pairs
from pages import _ui


def body(experiment: Experiment) -> None:
    run = _ui.trained(experiment)

    def losses(theme: str = "light") -> Picture:
        return loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged)

    def norms(theme: str = "light") -> Picture:
        return norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)

    _ui.play(run, "boundaries", lambda: [losses(), norms()])
    for line in story(run):
        st.markdown(line)
    _ui.measured(run, [sgd_pair_is_equal])
    _ui.downloads({"Table": lambda theme: signature(run, theme), "Losses": losses, "Norms": norms})
    _ui.rules(run)


def story(run: Run) -> list[str]:
    """What the pictures of this run show, pair by pair, with its numbers."""
    lines = [
        f"**{variant.title} {note}.** Its picture stays at the last step before; the others go on."
        for variant in run.experiment.chosen
        if (note := divergence_note(run, variant))
    ]
    for l2, decay in pairs(run):
        if run.diverged[l2.key] is not None or run.diverged[decay.key] is not None:
            continue
        apart = pair_difference(run, l2, decay).max()
        if apart <= EQUAL:
            lines.append(
                f"**{l2.title} and {decay.title} are the same:** over all recorded steps no weight differs by more "
                f"than {apart:.0e}. The penalty's gradient λw turns the step into w − η(g + λw) = (1 − ηλ)w − ηg, "
                "and that is weight decay."
            )
        elif l2.adaptive:
            norm = run.metrics["weight_norm"][-1, run.row(l2.key)] / run.metrics["weight_norm"][0, 0]
            left = f"{100 * norm:.1f} %" if norm > 1e-3 else "less than 0.1 %"
            dead = (
                f" Here the penalty has won: ‖w‖ is down to {left} of its start. As part of the gradient, "
                f"λ = {run.experiment.weight_decay_of(l2):.3g} pulls towards w = 0 and the normalised step marches "
                "there; on the weight it is a small pull each step, and weights that the data need survive."
            )
            lines.append(
                f"**{l2.title} and {decay.title} are not the same:** some weight differs by up to {apart:.2g}. "
                f"{l2.family} divides the L2 term by √v with the rest of the gradient, so its rate is ηλ/√v instead of "
                f"ηλ: the larger a weight's gradients, the less it is decayed.{dead if norm < 0.05 else ''}"
            )
        elif l2.has_momentum:
            lines.append(
                f"**{l2.title} and {decay.title} are not the same** at μ = {run.experiment.momentum:g}: a weight "
                f"differs by up to {apart:.2g}. The velocity remembers the pull λw of L2, and does not remember decay."
            )
        else:
            lines.append(
                f"**{l2.title} and {decay.title} are the same on paper,** yet a weight differs by up to {apart:.2g}: "
                "at this learning rate training is unstable and rounding errors grow. A smaller η brings the = back."
            )
    return lines


_ui.page("Does it matter where λ enters?", body)
