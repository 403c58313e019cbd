"""What page 3 and its figures make of the shared experiment: the two-weight model, its beliefs, and their frames."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TypeVar

import pandas as pd
import torch
from numpy.typing import NDArray

from engine.bayes import Posterior, posterior
from engine.corrections import Journey, far_beyond, journey, theta
from engine.evidence import Evidence, evidence
from engine.experiment import Experiment
from engine.figures.figure import Shot, trained
from engine.measure import window
from engine.networks import PriorDraws, prior_draws
from engine.run import Run, architecture_of
from engine.scene import Scene, scene, two_weight
from engine.sparse import Sparse, sparse
from engine.train import train

T = TypeVar("T")


@lru_cache(maxsize=4)
def _scene(experiment: Experiment) -> Scene:
    return scene(trained(experiment))


@lru_cache(maxsize=4)
def _journey(experiment: Experiment) -> Journey:
    return journey_of(_scene(experiment).run)


@lru_cache(maxsize=2)
def _evidence(experiment: Experiment) -> Evidence | str:
    return evidence_of(_scene(experiment))


@lru_cache(maxsize=2)
def _sparse(experiment: Experiment) -> Sparse | str:
    return sparse_of(_scene(experiment))


SOLVED = ("lr", "lr_adaptive", "momentum", "nesterov", "schedule", "steps", "batch_size")
"""Knobs that do not matter to a figure whose weights are solved for instead of trained."""

DRAWN = (*SOLVED, "weight_decay", "weight_decay_adaptive", "decayed", "max_norm")
"""Those that do not matter to networks whose weights are drawn."""


def two_weights(shot: Shot) -> Experiment:
    """The two-weight model's experiment, within a page's budget."""
    return two_weight(shot.experiment).within_budget()[0]


def far_along(shot: Shot) -> Experiment:
    """The same trained far longer."""
    return far_beyond(two_weight(shot.experiment))


def view_of(shot: Shot) -> Scene:
    """The two-weight model of the shared experiment."""
    return _scene(two_weights(shot))


def far_of(shot: Shot) -> tuple[Scene, Journey]:
    """The same trained far longer, where there is a MAP to reach."""
    experiment = far_along(shot)
    view = _scene(experiment)
    if not view.map.finite:
        raise ValueError(view.map.why)
    return view, _journey(experiment)


def with_evidence(shot: Shot) -> tuple[Scene, Evidence]:
    """The two-weight model and its evidence; a ValueError says why there is none."""
    return view_of(shot), there(_evidence(two_weights(shot)))


def with_paths(shot: Shot) -> tuple[Scene, Sparse]:
    """The two-weight model and both priors' paths; a ValueError says why there are none."""
    return view_of(shot), there(_sparse(two_weights(shot)))


def there(found: T | str) -> T:
    """What was found; a ValueError says why nothing was."""
    if isinstance(found, str):
        raise ValueError(found)
    return found


def journey_of(run: Run) -> Journey:
    """Distances of a long run from where its rules go."""
    return journey(run, partial(train, dtype=torch.float64))


def belief_of(view: Scene) -> Posterior:
    """Laplace's posterior at the MAP; a ValueError says why there is none."""
    return posterior(view.run.data.x_train, view.run.data.y_train, view.map, view.weight_decay)


def evidence_of(view: Scene) -> Evidence | str:
    """Evidence over σ, or why there is none."""
    return evidence(view.run.data.x_train, view.run.data.y_train, view.sigma)


def sparse_of(view: Scene) -> Sparse | str:
    """The paths of both priors, or why there are none."""
    return sparse(view.run.data.x_train, view.run.data.y_train, view.weight_decay)


def draws_of(asked: Experiment, run: Run) -> PriorDraws:
    """Networks of the shared experiment's shape over the window of a run's data."""
    shown = window(run.data)
    return prior_draws(architecture_of(asked), shown.x, shown.y, asked.seed)


def shape_of(asked: Experiment) -> str:
    """The shared experiment's network in words."""
    if not asked.hidden:
        return "without hidden layer"
    return "-".join(map(str, asked.hidden)) + f" {asked.activation}" + (" with LayerNorm" if asked.layer_norm else "")


def other_ends(found: Journey) -> dict[str, NDArray]:
    """Where decay on the weight goes instead of the MAP, as marks of weight space."""
    ends = {"MAP at (1−μ)λ": theta(found.momentum_end)} if found.momentum_end.finite else {}
    return ends | ({"box": found.box} if found.box is not None else {})


def spots(view: Scene, ends: dict[str, NDArray]) -> pd.DataFrame:
    """Points of weight space: fits, other marks, and every training at every recorded step."""
    fits = {name: theta(fit) for name, fit in (("MLE", view.mle), ("MAP", view.map)) if fit.finite}
    parts = [pd.DataFrame([at], columns=["w1", "w2", "b"]).assign(kind="fit", name=name)
             for name, at in (fits | ends).items()]  # fmt: skip
    parts += [
        pd.DataFrame(trail, columns=["w1", "w2", "b"]).assign(kind="training", name=key, step=view.run.steps)
        for key, trail in view.trails.items()
    ]
    return pd.concat(parts, ignore_index=True)


def field(points: NDArray, p: NDArray) -> pd.DataFrame:
    """P(y = 1) over the picture's grid, one row a point."""
    return pd.DataFrame({"x1": points[..., 0].ravel(), "x2": points[..., 1].ravel(), "p": p.ravel()})


def nats(sigmas: NDArray, values: NDArray, top: float, method: str) -> pd.DataFrame:
    """Log evidence against the best σ's, ``top``; its level means nothing."""
    return pd.DataFrame({"method": method, "sigma": sigmas, "nats_from_best": values - top})


def weights_over(found: Sparse) -> pd.DataFrame:
    """Both paths over λ, one row a prior and λ."""
    priors = {"Laplace": found.laplace, "Gaussian": found.gauss}
    parts = [
        pd.DataFrame(path, columns=["w1", "w2", "b"]).assign(prior=name, weight_decay=found.weight_decays)
        for name, path in priors.items()
    ]
    return pd.concat(parts, ignore_index=True)


def distances(found: Journey) -> pd.DataFrame:
    """Every training's distance from the MAP, and from where its own rule goes, over the steps."""
    parts = [
        pd.DataFrame({"variant": key, "to": to, "step": found.steps, "distance": values})
        for to, curves in (("MAP", found.to_map), ("end of its rule", found.to_own))
        for key, values in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)
