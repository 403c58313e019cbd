"""The hand-written model and its gradient against torch.nn and autograd, in float64."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional

import engine.mlp
from engine import Experiment
from engine.mlp import ACTIVATIONS, Architecture, LossGradient
from engine.run import architecture_of

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "identity": nn.Identity}
RUNS, POINTS = 3, 7
ARCHITECTURES = {
    "-".join([*map(str, hidden or [0]), activation, *["norm"] * norm]): Architecture(hidden, activation, norm)
    for hidden, activation, norm in product([(), (5,), (4, 3)], ACTIVATIONS, [False, True])
}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(seed=0):
    return (random(POINTS, seed=seed) > 0).double()


def module(architecture, row):
    """One row of parameters (P,) as a torch model."""
    modules = []
    for layer in architecture.layers(row[None]):
        linear = nn.Linear(layer.weight.shape[2], layer.weight.shape[1], dtype=torch.float64)
        linear.weight.data, linear.bias.data = layer.weight[0], layer.bias[0]
        modules.append(linear)
        if layer.gain is not None:
            norm = nn.LayerNorm(linear.out_features, dtype=torch.float64)
            norm.weight.data, norm.bias.data = layer.gain[0], layer.shift[0]
            modules.append(norm)
        modules.append(MODULES[architecture.activation]())
    return nn.Sequential(*modules[:-1])


def autograd(architecture, row, x, y):
    """The gradient of the mean loss of one model at points x (N, 2), laid out as the row."""
    model = module(architecture, row)
    functional.binary_cross_entropy_with_logits(model(x)[:, 0], y).backward()
    flat = torch.full((1, len(row)), torch.nan, dtype=torch.float64)
    places = [view for layer in architecture.layers(flat) for view in layer if view is not None]
    for place, p in zip(places, model.parameters(), strict=True):
        place[0] = p.grad
    return flat[0]


def test_every_activation_is_tested():
    assert (
        set(MODULES) == set(ACTIVATIONS) == set(Experiment.__dataclass_fields__["activation"].metadata["knob"].options)
    )


@every_architecture
@pytest.mark.parametrize("workspace", [engine.mlp.WORKSPACE, 1], ids=["one-piece", "pieces"])
def test_gradient_is_autograds(architecture, workspace, monkeypatch):
    monkeypatch.setattr(engine.mlp, "WORKSPACE", workspace)
    flat, packing = random(RUNS, architecture.parameters), architecture.packing()
    gradient = LossGradient(architecture, flat[:, packing], POINTS)
    concatenations = sum(call.func is torch.cat for call in gradient.calls if isinstance(call, partial))
    assert concatenations == (RUNS if workspace == 1 else 1)
    for seed in (1, 2):  # the second call must not see what the first left in its buffers
        x, y = random(POINTS, 2, seed=seed), labels(seed)
        gradient.see(x.T, y)
        expected = torch.stack([autograd(architecture, row, x, y) for row in flat])
        torch.testing.assert_close(gradient()[:, packing.argsort()], expected, rtol=0, atol=1e-12)


@every_architecture
def test_packed_rows_hold_a_block_for_every_layer(architecture):
    flat = random(RUNS, architecture.parameters)
    packed = flat[:, architecture.packing()]
    assert torch.equal(packed[:, architecture.packing().argsort()], flat)
    matrices = architecture.packed_matrices()
    for layer, block, (columns, shape) in zip(
        architecture.layers(flat), architecture.blocks(packed), matrices, strict=True
    ):
        assert torch.equal(block, torch.cat([layer.weight, layer.bias[:, :, None]], 2).mT)
        assert torch.equal(packed[:, columns].unflatten(1, shape), layer.weight.mT)


def test_gradient_reads_the_parameters_at_every_call():
    architecture = ARCHITECTURES["4-3-tanh-norm"]
    flat, x, y = random(RUNS, architecture.parameters), random(POINTS, 2, seed=1), labels()
    packing = architecture.packing()
    packed = flat[:, packing]
    gradient = LossGradient(architecture, packed, POINTS)
    gradient.see(x.T, y)
    first = gradient().clone()
    packed.mul_(0.5)
    second = gradient()
    assert not torch.allclose(first, second)
    expected = autograd(architecture, flat[1] * 0.5, x, y)
    torch.testing.assert_close(second[1, packing.argsort()], expected, rtol=0, atol=1e-12)


def test_gradient_of_certain_models_is_finite():
    architecture = Architecture((4,), "relu")
    flat = random(1, architecture.parameters) * 1e4
    gradient = LossGradient(architecture, flat, POINTS)
    gradient.see(random(2, POINTS), labels())
    assert gradient().isfinite().all()


@every_architecture
@pytest.mark.parametrize("workspace", [engine.mlp.WORKSPACE, 1], ids=["one-piece", "pieces"])
def test_logits_are_those_of_torch_modules(architecture, workspace, monkeypatch):
    monkeypatch.setattr(engine.mlp, "WORKSPACE", workspace)
    flat, x = random(RUNS, architecture.parameters), random(POINTS, 2, seed=1)
    expected = torch.stack([module(architecture, row)(x)[:, 0] for row in flat])
    torch.testing.assert_close(architecture.logits(flat, x), expected.detach(), rtol=0, atol=1e-12)


@every_architecture
def test_layers_cut_a_row_into_pieces_that_cover_it_once(architecture):
    flat = torch.arange(2 * architecture.parameters).view(2, -1)
    layers = architecture.layers(flat)
    pieces = [tensor for layer in layers for tensor in layer if tensor is not None]
    covered = torch.cat([piece[1].flatten() for piece in pieces])
    assert torch.equal(covered.sort().values, flat[1])
    assert [tuple(layer.weight.shape[1:]) for layer in layers] == [
        (after, before) for before, after in zip(architecture.sizes, architecture.sizes[1:], strict=False)
    ]
    assert all(piece._is_view() for piece in pieces)
    assert [layer.gain is not None for layer in layers] == [architecture.layer_norm] * len(architecture.hidden) + [
        False
    ]


@every_architecture
def test_weights_come_first(architecture):
    flat = torch.arange(architecture.parameters)[None]
    weights = torch.cat([layer.weight.flatten() for layer in architecture.layers(flat)])
    assert torch.equal(weights, torch.arange(architecture.weights))
    dimensions = [p.dim() for p in module(architecture, random(architecture.parameters)).parameters()]
    assert sum(d >= 2 for d in dimensions) == len(architecture.layers(flat))


@every_architecture
def test_experiment_counts_the_parameters(architecture):
    experiment = Experiment(
        hidden=architecture.hidden, activation=architecture.activation, layer_norm=architecture.layer_norm
    )
    assert architecture_of(experiment) == architecture
    model = module(architecture, random(architecture.parameters))
    assert experiment.parameters == architecture.parameters == sum(p.numel() for p in model.parameters())


@every_architecture
def test_initial_parameters_are_torch_nn_linears(architecture):
    start = architecture.initial(5)
    assert start.dtype == torch.float64
    assert torch.equal(start, architecture.initial(5))
    assert not torch.equal(start, architecture.initial(6))
    for layer in architecture.layers(start[None]):
        bound = 1 / math.sqrt(layer.weight.shape[2])
        assert layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound
        if layer.gain is not None:
            assert torch.equal(layer.gain, torch.ones_like(layer.gain))
            assert torch.equal(layer.shift, torch.zeros_like(layer.shift))


def test_initial_parameters_fill_their_range():
    for layer in Architecture((100, 100)).layers(Architecture((100, 100)).initial(0)[None])[:2]:
        bound = 1 / math.sqrt(layer.weight.shape[2])
        for tensor in (layer.weight, layer.bias):
            assert tensor.max() > 0.9 * bound
            assert tensor.min() < -0.9 * bound
            assert tensor.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)
