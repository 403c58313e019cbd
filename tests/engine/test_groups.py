"""What decays: names as PyTorch's, code that picks what the engine decays, sizes of the run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.claims.groups import groups_are_the_masks, module_of, what_is_not_decayed_is_not_pulled
from engine.experiment import DECAYED
from engine.groups import (
    entry_of,
    groups_code,
    is_decayed,
    named_tensors,
    norms_of,
    root_mean_square,
)
from engine.run import architecture_of, decayed_columns

SHAPES = [((), False), ((5,), False), ((5, 3), True), ((4, 4, 4), True), ((), True)]


def numbered(experiment):
    """A PyTorch model of the experiment, whose every parameter is its own column in the engine."""
    model = module_of(experiment).double()
    columns = {t.name: t.columns for t in named_tensors(architecture_of(experiment))}
    for name, p in model.named_parameters():
        p.data = torch.arange(columns[name].start, columns[name].stop, dtype=p.dtype).reshape(p.shape)
    return model


@pytest.mark.parametrize(("hidden", "layer_norm"), SHAPES)
def test_tensors_are_those_of_pytorch_and_lie_where_the_engine_has_them(hidden, layer_norm):
    experiment = Experiment(hidden=hidden, layer_norm=layer_norm)
    tensors = named_tensors(architecture_of(experiment))
    model = module_of(experiment)
    assert [(t.name, t.shape) for t in tensors] == [(n, tuple(p.shape)) for n, p in model.named_parameters()]
    flat = torch.arange(experiment.parameters, dtype=torch.float64)[None]
    layers = [part[0] for layer in architecture_of(experiment).layers(flat) for part in layer if part is not None]
    for tensor, part in zip(tensors, layers, strict=True):
        assert part.flatten().tolist() == list(range(tensor.columns.start, tensor.columns.stop))
        assert entry_of(architecture_of(experiment), tensor.columns.start) == f"{tensor.name}{[0] * part.dim()}"


@pytest.mark.parametrize("decayed", DECAYED)
@pytest.mark.parametrize(("hidden", "layer_norm"), SHAPES)
def test_the_code_picks_the_engines_columns(hidden, layer_norm, decayed):
    experiment = Experiment(hidden=hidden, layer_norm=layer_norm, decayed=decayed)
    scope = {"torch": torch, "model": numbered(experiment)}
    exec(groups_code(decayed), scope)
    mine = range(experiment.parameters)[decayed_columns(experiment, architecture_of(experiment))]
    picked = [int(i) for p in scope["decayed"] for i in p.detach().flatten()]
    grouped = [int(i) for group in scope["groups"] for p in group["params"] for i in p.detach().flatten()]
    assert sorted(picked) == list(mine)
    assert sorted(grouped) == list(range(experiment.parameters))
    decaying = [t for t in named_tensors(architecture_of(experiment)) if is_decayed(t, experiment)]
    assert sum(t.size for t in decaying) == len(mine)


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("decayed", DECAYED)
def test_the_optimizer_takes_the_groups(key, decayed):
    scope = {"torch": torch, "model": numbered(Experiment()), "lr": 0.1, "weight_decay": 0.2, "momentum": 0.9}
    exec(groups_code(decayed) + f"optimizer = {VARIANTS[key].torch_optimizer}", scope)
    first, rest = scope["optimizer"].param_groups
    assert first["weight_decay"] in (0, 0.2)
    assert rest["weight_decay"] == 0


def test_sizes_are_the_runs():
    run = train(Experiment(steps=20, layer_norm=True, decayed="all"), dtype=torch.float64)
    for variant in run.experiment.chosen:
        norms = run.series("weight_norm")[variant.key]
        np.testing.assert_allclose(norms_of(run, variant, "weight"), norms, rtol=1e-12)
        gains = root_mean_square(run, variant, "gain")
        assert gains[0] == 1
        last = run.architecture.layers(torch.from_numpy(run.film[-1, [run.row(variant.key)]]))
        expected = torch.cat([layer.gain[0] for layer in last[:-1]]).square().mean().sqrt()
        assert gains[-1] == pytest.approx(float(expected), rel=1e-12)
    assert gains[-1] < 0.9
    plain = train(Experiment(steps=2), dtype=torch.float64)
    assert not root_mean_square(plain, VARIANTS["adamw"], "gain").any()


@pytest.mark.parametrize("claim", [groups_are_the_masks, what_is_not_decayed_is_not_pulled], ids=lambda c: c.key)
@pytest.mark.parametrize("hidden", [(), (6, 6)])
def test_the_claims_of_the_page_hold(claim, hidden):
    run = train(Experiment(steps=5, hidden=hidden, layer_norm=True, decayed="all"), dtype=torch.float64)
    found = claim.check(run)
    assert all(claim.holds(value) for value in found)
    assert len(found) == (3 if claim is groups_are_the_masks else 4)


def test_without_lambda_the_claim_does_not_apply():
    run = train(replace(Experiment(steps=2), variants=("sgd", "adam")), dtype=torch.float64)
    assert isinstance(what_is_not_decayed_is_not_pulled.check(run), str)
    run = train(Experiment(steps=2, weight_decay=0), dtype=torch.float64)
    assert what_is_not_decayed_is_not_pulled.check(run) == "λ = 0."


def test_a_diverged_variant_is_checked_while_it_is_finite():
    wild = Experiment(steps=30, lr=100, weight_decay=10, activation="relu", variants=("sgdw", "l1", "adamw"))
    run = train(replace(wild, weight_decay_adaptive=0.1), dtype=torch.float64)
    end = run.diverged["sgdw"]
    assert end in range(2, 10)
    found = what_is_not_decayed_is_not_pulled.check(run)
    assert all(what_is_not_decayed_is_not_pulled.holds(value) for value in found)
    assert found[0].what == f"SGDW: λ's largest part in {end - 1} step{'s' * (end > 2)}"
    assert found[-1].what == "AdamW: λ's largest part in 10 steps"
