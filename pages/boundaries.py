"""Page 1, Decision boundaries: rows are optimizers, columns say where λ enters."""

from engine import Experiment
from engine.charts.curves import loss_curves, norm_curves
from pages import _ui


def body(experiment: Experiment) -> None:
    run = _ui.trained(experiment)

    def losses():
        return loss_curves(run.steps, run.series("test_loss"), run.series("train_loss"), run.diverged)

    def norms():
        return norm_curves(run.steps, run.series("weight_norm"), {}, run.diverged)

    _ui.play(run, "boundaries", lambda: [losses(), norms()])


_ui.page("Does it matter where λ enters?", body)
