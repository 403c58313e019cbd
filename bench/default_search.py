"""Search for the default experiment: ``python -m bench.default_search``. What it found is in DECISIONS.md.

A candidate is good on a seed when both panels without decay overfit (test loss at least 1.5 times the best panel's),
SGD+L2 and SGDW agree to 1e-6 and are within a third of the best panel, and Adam+L2 and AdamW end at least 0.1 apart.
"""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import torch

from engine import Experiment, Run, train

SEEDS = range(1, 11)
GRID = {
    "hidden": [(16, 16)],
    "points": [24, 30],
    "noise": [0.4],
    "steps": [300, 400],
    "lr": [0.5, 0.7],
    "lr_adaptive": [0.007, 0.01],
    "weight_decay": [0.02, 0.03],
}


def good(run: Run) -> bool:
    """Whether one run of the six default variants shows what the page says."""
    loss = run.curves.groupby("variant", sort=False).test_loss.last()
    sgd_pair = np.abs(run.film[:, run.row("sgd_l2")] - run.film[:, run.row("sgdw")]).max()
    adam_pair = np.abs(run.film[-1, run.row("adam_l2")] - run.film[-1, run.row("adamw")]).max()
    overfits = min(loss["sgd"], loss["adam"]) >= 1.5 * loss.min()
    return overfits and loss["sgd_l2"] <= 4 / 3 * loss.min() and sgd_pair <= 1e-6 and adam_pair >= 0.1


def main() -> None:
    """Print one line a candidate: good seeds of ten, median test losses, milliseconds a training."""
    for values in product(*GRID.values()):
        knobs = dict(zip(GRID, values, strict=True))
        started = time.perf_counter()
        runs = [train(Experiment(**knobs, seed=seed), dtype=torch.float64) for seed in SEEDS]
        each = (time.perf_counter() - started) / len(runs) * 1e3
        losses = np.median([run.curves.groupby("variant", sort=False).test_loss.last() for run in runs], axis=0)
        print(f"{sum(map(good, runs)):2d}/10  {each:4.0f} ms  {losses.round(2)}  {knobs}", flush=True)


if __name__ == "__main__":
    main()
