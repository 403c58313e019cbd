"""Page 8's figures: test loss over λ and η for two variants, and both losses over λ at one η."""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from engine.charts.landscape import landscape_map, loss_over_lambda, short_loss
from engine.charts.picture import Picture
from engine.experiment import Experiment
from engine.figures.figure import Panel, Shot, figure
from engine.landscape import GUESSING, SIDE, Landscape, Plan, etas, plan_of, train_tile, weight_decays
from engine.ridge import Best, best_cell, ridge, standard_error
from engine.run import METRICS
from engine.sweep.pool import finished
from engine.variants import VARIANTS, Variant

OVER_LAMBDA = ("weight_decay", "weight_decay_adaptive", "seed")
OVER_BOTH = ("lr", "lr_adaptive", *OVER_LAMBDA)
"""What the figures vary themselves."""

LESSON = ("gradient", "weight")
PROCESSES = min(8, os.cpu_count() or 1)
KEPT = 4
"""Maps that are remembered here, a quarter of a megabyte each."""

_KNOWN: OrderedDict[Plan, Landscape] = OrderedDict()


def _quiet(landscape: Landscape) -> None:
    """Nobody asked how far a map is."""


progress: Callable[[Landscape], None] = _quiet
"""Called with a map after each tile that is trained here; whoever exports may put a function in its place."""


def remember(landscape: Landscape) -> None:
    """Draw the figures of a plan from this map, as far as it is trained, instead of training one."""
    _KNOWN[landscape.plan] = landscape
    _KNOWN.move_to_end(landscape.plan)
    while len(_KNOWN) > KEPT:
        _KNOWN.popitem(last=False)


def landscape_of(plan: Plan) -> Landscape:
    """The remembered map of a plan; or the whole map, trained now in several processes, and remembered."""
    if plan not in _KNOWN:
        landscape = Landscape(plan)
        for tile, made in finished(partial(train_tile, plan), plan.tiles(), PROCESSES):
            landscape.add(tile, *made)
            progress(landscape)
        remember(landscape)
    remember(_KNOWN[plan])
    return _KNOWN[plan]


def with_a_decay() -> list[str]:
    """The variants that a map can show."""
    return [key for key, variant in VARIANTS.items() if variant.has_weight_decay]


def default_pair(experiment: Experiment) -> tuple[str, str]:
    """The last L2 and decay of one optimizer among the experiment's variants, or else the default's."""
    for chosen in (experiment.chosen, Experiment().chosen):
        pairs = [
            (a.key, b.key) for a in chosen for b in chosen if a.family == b.family and (a.where, b.where) == LESSON
        ]
        if pairs:
            return pairs[-1]
    raise AssertionError("the default experiment has both")


def every_pair(experiment: Experiment) -> list[str]:
    """Ordered pairs of variants with a λ, the page's first."""
    first = ",".join(default_pair(experiment))
    pairs = [f"{a},{b}" for a in with_a_decay() for b in with_a_decay() if a != b]
    return [first, *(pair for pair in pairs if pair != first)]


def map_of(shot: Shot) -> Landscape:
    """The map that a shot shows."""
    return landscape_of(plan_of_shot(shot))


def plan_of_shot(shot: Shot) -> Plan:
    """What a shot's map trains."""
    left, right = shot.option("of").split(",")
    return plan_of(shot.experiment, (left, right))[0]


def mapped(side: int) -> Callable[[Shot], Experiment]:
    """What a map's side trains, at the experiment's own λ and η: the cross."""

    def seen(shot: Shot) -> Experiment:
        plan, own = plan_of_shot(shot), shot.experiment
        return replace(
            plan.experiment, variants=(plan.pair[side],), seed=plan.seeds[0], lr=own.lr, lr_adaptive=own.lr_adaptive,
            weight_decay=own.weight_decay, weight_decay_adaptive=own.weight_decay_adaptive,
        )  # fmt: skip

    return seen


def in_its_row(side: int) -> Callable[[Shot], Experiment]:
    """The same at the η of the map that is nearest to the experiment's own."""

    def seen(shot: Shot) -> Experiment:
        plan, at_the_cross = plan_of_shot(shot), mapped(side)(shot)
        variant = plan.variants[side]
        eta = etas(variant)[own_rows(shot.experiment, plan)[side]]
        return replace(at_the_cross, lr_adaptive=eta) if variant.adaptive else replace(at_the_cross, lr=eta)

    return seen


def here(experiment: Experiment, variant: Variant) -> tuple[float, float]:
    """(λ, η) of a variant in the experiment of the other pages."""
    return experiment.weight_decay_of(variant), experiment.lr_of(variant)


def own_rows(experiment: Experiment, plan: Plan) -> list[int]:
    """The row of each map whose η is nearest to the experiment's own."""
    return [
        int(np.abs(np.log(etas(variant)) - np.log(experiment.lr_of(variant))).argmin()) for variant in plan.variants
    ]


def map_picture(experiment: Experiment, landscape: Landscape, side: int) -> Picture:
    """One of the two maps, with the experiment's own λ and η marked."""
    return landscape_map(landscape, side, here(experiment, landscape.plan.variants[side]), legend=True)


def loss_picture(experiment: Experiment, landscape: Landscape, side: int) -> Picture:
    """Both losses over λ at the η that is nearest to the experiment's own."""
    return loss_over_lambda(landscape, side, own_rows(experiment, landscape.plan)[side])


MAP_NOTES = (
    "Each cell is one λ and one η; its colour is the test loss averaged over seeds, yellow the lowest, dark guessing "
    "or worse, × diverged. The ring marks the best cell, dots those that cannot be told from it, the cross the "
    "experiment of the other pages, the line the ridge: the best λ at each η. An upright ridge is a best λ that does "
    "not depend on η; a diagonal one, λ ∝ 1/η, says that only the product ηλ counts. The best cell is chosen on the "
    "points that score it, so its loss flatters it a little."
)
LOSS_NOTES = (
    "Test loss (solid) and training loss (dashed) over λ at one η, the mean of the seeds, with a band from the lowest "
    "seed to the highest. Where training loss lies far below test loss, the model overfits; where λ holds the weights "
    "so small that both end at guessing, ln 2, it fits nothing."
)


@figure(
    "map.left", "Left map", "Does the best λ depend on η?", MAP_NOTES, seen=mapped(0), axes=OVER_BOTH, of=every_pair
)
def left(shot: Shot, theme: str) -> Panel:
    return map_panel(shot, 0)


@figure(
    "map.right", "Right map", "Does the best λ depend on η?", MAP_NOTES, seen=mapped(1), axes=OVER_BOTH, of=every_pair
)
def right(shot: Shot, theme: str) -> Panel:
    return map_panel(shot, 1)


@figure(
    "map.left_losses",
    "Losses of the left map",
    "At which λ is the test loss lowest?",
    LOSS_NOTES,
    seen=in_its_row(0),
    axes=OVER_LAMBDA,
    of=every_pair,
)
def left_losses(shot: Shot, theme: str) -> Panel:
    return loss_panel(shot, 0)


@figure(
    "map.right_losses",
    "Losses of the right map",
    "At which λ is the test loss lowest?",
    LOSS_NOTES,
    seen=in_its_row(1),
    axes=OVER_LAMBDA,
    of=every_pair,
)
def right_losses(shot: Shot, theme: str) -> Panel:
    return loss_panel(shot, 1)


def map_panel(shot: Shot, side: int) -> Panel:
    """One map, its best cell and its ridge."""
    landscape = map_of(shot)
    return Panel(map_picture(shot.experiment, landscape, side), map_words(landscape, side), cells(landscape, side))


def loss_panel(shot: Shot, side: int) -> Panel:
    """The losses of one map's row."""
    landscape = map_of(shot)
    if not landscape.seeds:
        raise ValueError("A coarse map of one seed has no curves yet: they come when all models of a seed are trained.")
    row = own_rows(shot.experiment, landscape.plan)[side]
    return Panel(
        loss_picture(shot.experiment, landscape, side), loss_words(landscape, side, row), curves(landscape, side, row)
    )


def map_words(landscape: Landscape, side: int) -> str:
    """The best cell with its uncertainty, and how the best λ goes with η."""
    variant = landscape.plan.variants[side]
    if not landscape.seeds:
        return (
            f"{variant.title}: a coarse map, {landscape.models:,} of {landscape.plan.models:,} models trained; none of "
            "its seeds is whole yet."
        )
    losses = landscape.scores(side)
    best = best_cell(losses)
    if best is None:
        return f"{variant.title}: every cell of the map has a model that diverged."
    found = ridge(losses, np.array(etas(variant)), np.array(weight_decays()))
    if found is None:
        goes = "no ridge to fit"
    else:
        error = "" if math.isnan(found.error) else f" ± {found.error:.2f}"
        goes = f"along the ridge the best λ goes as η^({found.slope:.2f}{error})".replace("-", "−")
    return f"{variant.title}: {best_words(variant, best, len(losses))}; {goes}."


def best_words(variant: Variant, best: Best, seeds: int) -> str:
    """The best cell, and how many cannot be told from it."""
    place = f"at η = {etas(variant)[best.eta]:g}, λ = {weight_decays()[best.weight_decay]:g}"
    if best.loss >= GUESSING:
        return f"no cell beats guessing, the lowest test loss is {short_loss(best.loss)}"
    if seeds < 2:
        return f"lowest test loss {short_loss(best.loss)} {place}, of one seed"
    return (
        f"lowest test loss {short_loss(best.loss)} ± {short_loss(best.error)} {place} ({seeds} seeds; "
        f"{int(best.near.sum())} of {SIDE * SIDE} cells cannot be told from it)"
    )


def loss_words(landscape: Landscape, side: int, row: int) -> str:
    """How test and training loss go with λ in one row."""
    variant, decay = landscape.plan.variants[side], weight_decays()
    test, train = (landscape.values(f"{kind}_loss")[side].mean(0)[row] for kind in ("test", "train"))
    stays = np.flatnonzero(np.isfinite(landscape.scores(side)[:, row].mean(0)))
    start = f"{variant.title} at η = {etas(variant)[row]:g}"
    if not stays.size:
        return f"{start}: a model diverged at every λ."
    first, last, low = int(stays[0]), int(stays[-1]), int(stays[test[stays].argmin()])
    middle = f", lowest at λ = {decay[low]:g} with {short_loss(test[low])}," if first < low < last else ""
    return (
        f"{start}: test loss is {short_loss(test[first])} at λ = {decay[first]:g}{middle} and {short_loss(test[last])} "
        f"at λ = {decay[last]:g}; training loss goes from {short_loss(train[first])} to {short_loss(train[last])}."
    )


def cells(landscape: Landscape, side: int) -> pd.DataFrame:
    """The map, one row a cell: mean test loss over the seeds that are trained, nan where one diverged or none is."""
    variant = landscape.plan.variants[side]
    losses = landscape.metrics[side, ..., METRICS.index("test_loss")]
    gone, trained = (landscape.diverged[side] > 0).sum(0), (~np.isnan(losses)).sum(0)
    mean = np.where(gone > 0, np.nan, np.nansum(losses, 0) / np.where(trained > 0, trained, np.nan))
    whole = landscape.scores(side) if landscape.seeds else None
    best = None if whole is None else best_cell(whole)
    error = np.full(mean.shape, np.nan) if whole is None else standard_error(np.where(gone > 0, np.nan, whole))
    return pd.DataFrame({
        "variant": variant.key, "eta": np.repeat(etas(variant), SIDE), "weight_decay": np.tile(weight_decays(), SIDE),
        "seeds": trained.ravel(), "diverged": gone.ravel(), "test_loss": mean.ravel(), "standard_error": error.ravel(),
        "near_best": best.near.ravel() if best else False,
    })  # fmt: skip


def curves(landscape: Landscape, side: int, row: int) -> pd.DataFrame:
    """Mean, lowest and highest seed of both losses over λ in one row."""
    variant, parts = landscape.plan.variants[side], []
    for loss in ("test_loss", "train_loss"):
        values = landscape.values(loss)[side][:, row]
        columns = {"mean": values.mean(0), "lowest": values.min(0), "highest": values.max(0)}
        parts.append(
            pd.DataFrame({"loss": loss, "eta": etas(variant)[row], "weight_decay": weight_decays(), **columns})
        )
    return pd.concat(parts, ignore_index=True).assign(variant=variant.key)
