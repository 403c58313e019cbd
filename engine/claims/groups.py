"""What page 6 claims: the rule p.dim() >= 2 is the weight matrices, and λ does nothing to what is not decayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from engine.claims.claim import Measurement, claim
from engine.claims.step import largest_of_first_steps
from engine.experiment import DECAYED, Experiment
from engine.probe import Step
from engine.run import Run, decayed_columns
from engine.variants import Variant


def module_of(experiment: Experiment) -> torch.nn.Sequential:
    """The model as a user of PyTorch writes it, with weights of its own."""
    activations = {
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "sigmoid": torch.nn.Sigmoid,
        "identity": torch.nn.Identity,
    }
    modules: list[torch.nn.Module] = []
    width = 2
    for after in experiment.hidden:
        norm = [torch.nn.LayerNorm(after)] * experiment.layer_norm
        modules += [torch.nn.Linear(width, after), *norm, activations[experiment.activation]()]
        width = after
    return torch.nn.Sequential(*modules, torch.nn.Linear(width, 1))


@claim(
    says="In PyTorch, `p.dim() >= 2` picks the weight matrices and nothing else; `model.parameters()` is everything.",
    formula=r"\#\{w : \dim \ge 2\}",
    source="PyTorch, per-parameter options",
    link="https://docs.pytorch.org/docs/stable/optim.html#per-parameter-options",
    test="tests/engine/test_groups.py::test_the_code_picks_the_engines_columns",
    tolerance=0.0,
    kind="absolute",
)
def groups_are_the_masks(run: Run) -> list[Measurement] | str:
    """The number of parameters that each rule picks of a PyTorch model, and that the engine decays."""
    model = module_of(run.experiment)
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.LayerNorm) for p in m.parameters()}
    rules: dict[str, Callable[[torch.nn.Parameter], bool]] = {
        "weights": lambda p: p.dim() >= 2,
        "biases": lambda p: id(p) not in norms,
        "all": lambda p: True,
    }
    found = []
    for decayed, title in DECAYED.items():
        picked = sum(p.numel() for p in model.parameters() if rules[decayed](p))
        columns = decayed_columns(replace(run.experiment, decayed=decayed), run.architecture)
        found.append(Measurement(title, float(picked), float(len(range(run.experiment.parameters)[columns]))))
    return found


@claim(
    says="λ does nothing to a parameter that is not decayed: with “weights only”, biases and LayerNorm go where the "
    "data push them.",
    formula=r"\Delta_\lambda b = 0",
    source="Loshchilov & Hutter 2019",
    link="https://arxiv.org/abs/1711.05101",
    test="tests/engine/test_probe.py::test_where_lambda_is_on_the_weight_its_part_is_the_shrink",
    tolerance=0.0,
    kind="absolute",
)
def what_is_not_decayed_is_not_pulled(run: Run) -> list[Measurement] | str:
    """The largest part of a step that is λ's doing, over the parameters that do not decay."""
    exp = replace(run.experiment, decayed="weights")
    shown = [variant for variant in exp.chosen if variant.has_weight_decay]
    if not shown:
        return "no variant on screen has a λ."
    shown = [variant for variant in shown if exp.weight_decay_of(variant) > 0]
    if not shown:
        return "λ = 0."

    def part(step: Step, variant: Variant, row: int) -> float:
        return float(np.abs(step.decay[row, run.architecture.weights :]).max())

    return largest_of_first_steps(exp, shown, "λ's largest part", part)
