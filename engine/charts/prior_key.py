"""What the lines of weight space and of data space mean, for slides."""

from __future__ import annotations

from engine.charts import key as keys
from engine.charts.picture import Rows
from engine.scene import Scene


def weight_key(scene: Scene, shown: set[str]) -> Rows:
    """What the lines of weight space are."""
    kinds = {
        "prior": keys.line("prior: σ and 2σ", "other"),
        "likelihood": keys.line("likelihood", "quiet", 1),
        "posterior": keys.line("posterior"),
        "MAP(λ)": keys.line("MAP(λ)", "class0", 1.6, [3, 3]),
    }
    fit = [keys.point("MAP by scikit-learn", "cross")] if scene.sklearn.finite else []
    rows = [row for kind, row in kinds.items() if kind in shown]
    return [keys.head("Weight space"), *rows, *fit, *keys.trainings(scene.trails, 2.4)]


def data_key(scene: Scene, shown: set[str]) -> Rows:
    """What the lines of data space are."""
    kinds = {
        "MAP": keys.line("MAP", width=3.2),
        "MAP, P = 0.1": keys.line("MAP: P = 0.1 and 0.9", width=0.9),
        "MLE": keys.line("MLE", width=1.5, dash=[6, 4]),
    }
    rows = [row for kind, row in kinds.items() if kind in shown]
    return [keys.head("The line P(y=1) = 1/2"), *rows, *keys.trainings(scene.trails, 2.2), *keys.classes()]
