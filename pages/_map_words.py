"""What the λ × η map of a run shows, in sentences with its numbers."""

from __future__ import annotations

import math
import shlex

import numpy as np
from numpy.typing import NDArray

from engine.charts.landscape import short_loss
from engine.experiment import KNOBS
from engine.landscape import GUESSING, SIDE, Landscape, Plan, etas, weight_decays
from engine.ridge import WELL, Best, best_cell, interaction, ridge
from engine.variants import Variant


def story(landscape: Landscape, rows: list[int]) -> list[str]:
    """Per variant the best cell, the ridge, the interaction and the curve of one row; as far as seeds are whole."""
    if not landscape.seeds:
        return ["A coarse map of one seed: every third λ and η. The picture fills as its models are trained."]
    lines = []
    for number, variant in enumerate(landscape.plan.variants):
        lines.append(f"**{variant.title}.** " + " ".join(_words(landscape, number, variant, rows[number])))
    lines.append(
        ":small[The best of "
        f"{SIDE * SIDE} cells is chosen on the points that score it, so its loss flatters it a little; a study would "
        "choose on others. Losses are the mean cross-entropy without the penalty; the colours end at guessing, ln 2.]"
    )
    return lines


def _words(landscape: Landscape, number: int, variant: Variant, row: int) -> list[str]:
    losses = landscape.scores(number)
    best = best_cell(losses)
    if best is None:
        return ["Every model of the map diverged."]
    parts = [
        _best(losses, variant, best),
        _ridge(losses, variant),
        _interaction(losses),
        _course(landscape, number, row),
    ]
    if best.loss >= GUESSING:
        parts[0] += " No cell beats guessing."
    return [part for part in parts if part]


def _best(losses: NDArray, variant: Variant, best: Best) -> str:
    """The best cell, its uncertainty, and what cannot be told from it."""
    decay, seeds = weight_decays(), len(losses)
    place = f"at η = {etas(variant)[best.eta]:g}, λ = {decay[best.weight_decay]:g}"
    if seeds < 2:
        return f"Lowest test loss **{short_loss(best.loss)}** {place}, of one seed."
    own = [decay[int(seed.argmin()) % SIDE] for seed in losses]
    return (
        f"Lowest test loss **{short_loss(best.loss)} ± {short_loss(best.error)}** {place}, mean and standard error of "
        f"{seeds} seeds. {int(best.near.sum())} of {SIDE * SIDE} cells cannot be told from it (within one standard "
        f"error, also seed by seed), and single seeds have their best at λ from {min(own):g} to {max(own):g}."
    )


def _ridge(losses: NDArray, variant: Variant) -> str:
    """How the best λ goes with η, as measured."""
    eta = etas(variant)
    found = ridge(losses, np.array(eta), np.array(weight_decays()))
    if found is None:
        return (
            f"No ridge: fewer than three η come within {WELL - 1:.0%} of the lowest loss, beat guessing, and are "
            "clearly worse at both ends of the λ axis."
        )
    error = "" if math.isnan(found.error) else f"\\pm {found.error:.2f}"
    return (
        f"Along the ridge, η from {eta[found.rows[0]]:g} to {eta[found.rows[-1]]:g}, a line through the best λ "
        f"goes as $\\eta^{{{found.slope:.2f}{error}}}$, and single η are off it by a factor of {found.factor:.2g}: an "
        "exponent of 0 is a best λ that does not depend on η, −1 one where only the product ηλ counts."
    )


def _interaction(losses: NDArray) -> str:
    found = interaction(losses)
    if found is None:
        return ""
    noise = "" if math.isnan(found.noise) else f", of which seeds alone would make about {found.noise:.0%}"
    return (
        f"In the {found.cells} cells where every seed beats guessing, {found.share:.0%} of the variance of log test "
        f"loss is interaction: no sum of a part of η and a part of λ explains it{noise}."
    )


def _course(landscape: Landscape, number: int, row: int) -> str:
    """How test and train loss go with λ in one row."""
    variant, decay = landscape.plan.variants[number], weight_decays()
    test, train = (landscape.values(f"{kind}_loss")[number].mean(0)[row] for kind in ("test", "train"))
    stays = np.flatnonzero(np.isfinite(landscape.scores(number)[:, row].mean(0)))
    if not stays.size:
        return ""
    last, low = int(stays[-1]), int(stays[test[stays].argmin()])
    middle = f", lowest at λ = {decay[low]:g} with {short_loss(test[low])}" if 0 < low < last else ""
    return (
        f"At η = {etas(variant)[row]:g} test loss is {short_loss(test[0])} at λ = {decay[0]:g}{middle} and "
        f"{short_loss(test[last])} at λ = {decay[last]:g}; train loss goes from {short_loss(train[0])} to "
        f"{short_loss(train[last])}."
    )


def command_lines(plan: Plan) -> str:
    """The commands that train the same models into files, one for each variant."""
    query = "&".join(f"{name}={value}" for name, value in plan.experiment.to_query().items())
    commands = []
    for variant in plan.variants:
        lr, decay = ("lr_adaptive", "weight_decay_adaptive") if variant.adaptive else ("lr", "weight_decay")
        over = {lr: etas(variant), decay: weight_decays()}
        values = [
            f"--over {name} {' '.join(KNOBS[name].write(value) for value in values)}" for name, values in over.items()
        ]
        seeds = f"--over seed {plan.seeds[0]}..{plan.seeds[-1]}"
        start = f"python -m engine.sweep --link {shlex.quote('?' + query)} --set variants={variant.key}"
        commands.append(" \\\n  ".join([start, *values, f"{seeds} --out {variant.key}.parquet"]))
    return "\n".join(commands)
