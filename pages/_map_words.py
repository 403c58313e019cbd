"""What the λ × η map of a run shows, in sentences with its numbers."""

from __future__ import annotations

import math
import shlex

import numpy as np

from engine.charts.picture import short
from engine.experiment import KNOBS
from engine.landscape import SIDE, Landscape, Plan, best_cell, etas, interaction, ridge, weight_decays
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
    losses, eta, decay = landscape.values("test_loss")[number], etas(variant), weight_decays()
    best = best_cell(losses)
    spread = "" if math.isnan(best.error) else f" ± {best.error:.3f}"
    words = [f"Lowest test loss **{best.loss:.3f}{spread}** at η = {eta[best.eta]:g}, λ = {decay[best.weight_decay]:g}"]
    if len(losses) > 1:
        own = [decay[int(place)] for place in (seed.argmin() % SIDE for seed in losses)]
        words[0] += (
            f" (mean and standard error of {len(losses)} seeds; {int(best.near.sum())} of {SIDE * SIDE} cells are "
            f"within one standard error of it on the same seeds, and single seeds have their best at λ from "
            f"{min(own):g} to {max(own):g})"
        )
    words[0] += "."
    found = ridge(losses, np.array(eta), np.array(decay))
    if found is None:
        words.append("No ridge: fewer than three η have their best λ inside the map.")
    else:
        error = "" if math.isnan(found.error) else f" ± {found.error:.2f}"
        words.append(
            f"Along the ridge, η from {eta[found.rows[0]]:g} to {eta[found.rows[-1]]:g}, the best λ goes as "
            f"$\\eta^{{{found.slope:.2f}{_tex(error)}}}$: an exponent of 0 is a best λ that does not depend on η, −1 "
            "one where only the product ηλ counts."
        )
    shared = interaction(losses)
    if shared is not None:
        noise = "" if math.isnan(shared.noise) else f", of which seeds alone would make about {shared.noise:.0%}"
        words.append(
            f"In the {shared.cells} cells where every seed beats guessing, {shared.share:.0%} of the variance of log "
            f"test loss is interaction: no sum of a part of η and a part of λ explains it{noise}."
        )
    return [*words, _course(landscape, number, row)]


def _course(landscape: Landscape, number: int, row: int) -> str:
    """How test and train loss go with λ in one row."""
    variant, decay = landscape.plan.variants[number], weight_decays()
    test, train = (landscape.values(f"{kind}_loss")[number].mean(0)[row] for kind in ("test", "train"))
    low, ends = int(test.argmin()), f"λ = {decay[0]:g}"
    start = f"At η = {etas(variant)[row]:g} test loss is {short(test[0])} at {ends}"
    middle = f", lowest at λ = {decay[low]:g} with {short(test[low])}" if 0 < low < SIDE - 1 else ""
    return (
        f"{start}{middle} and {short(test[-1])} at λ = {decay[-1]:g}; train loss goes from {short(train[0])} to "
        f"{short(train[-1])}."
    )


def _tex(text: str) -> str:
    return text.replace("±", "\\pm")


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
