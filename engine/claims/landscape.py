"""Page 8's claims: a cell is the run that it opens, and where two maps must be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.claims.claim import Measurement, claim
from engine.landscape import GUESSING, Landscape, etas, weight_decays
from engine.ridge import best_cell
from engine.train import train


@claim(
    says="What a cell shows of a seed is what its run ends with, trained alone.",
    formula=r"L_{\text{cell}} = L_{\text{run}}",
    source="the engine: a model's numbers do not depend on what is trained beside it",
    link="",
    test="tests/engine/test_landscape.py::test_a_cell_is_its_run",
    tolerance=1e-3,
)
def a_cell_is_its_run(landscape: Landscape) -> list[Measurement] | str:
    """The best cell of each map, and its run of the first seed trained by itself."""
    if not landscape.seeds:
        return "no seed is whole yet."
    found = []
    for number, variant in enumerate(landscape.plan.variants):
        losses = landscape.scores(number)
        best = best_cell(losses)
        if best is None:
            return f"every model of {variant.title} diverged."
        alone = replace(landscape.plan.at(number, best.eta, best.weight_decay), variants=(variant.key,))
        there = f"η = {etas(variant)[best.eta]:g}, λ = {weight_decays()[best.weight_decay]:g}"
        value = train(alone, dtype=torch.float64).series("test_loss")[variant.key][-1]
        found.append(
            Measurement(f"{variant.title}, {there}", float(value), float(losses[0, best.eta, best.weight_decay]))
        )
    return found


@claim(
    says="Without momentum, L2 and decay under SGD have one map: over the cells that beat guessing, the "
    "median difference of test loss is rounding; at single cells on the edge of stability rounding grows.",
    formula=r"w-\eta(g+\lambda w)=(1-\eta\lambda)w-\eta g",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/engine/test_landscape.py::test_sgd_has_one_map",
    tolerance=1e-6,
    kind="absolute",
)
def sgd_has_one_map(landscape: Landscape) -> list[Measurement] | str:
    """The two maps of SGD, cell by cell, where both beat guessing."""
    if set(landscape.plan.pair) != {"sgd_l2", "sgdw"}:
        return "it is about the maps of SGD + L2 and SGDW."
    if not landscape.seeds:
        return "no seed is whole yet."
    left, right = landscape.values("test_loss")
    inside = (left < GUESSING) & (right < GUESSING)
    if not inside.any():
        return "no cell beats guessing."
    return [Measurement("median of |ΔL|", 0.0, float(np.median(np.abs(left - right)[inside])))]
