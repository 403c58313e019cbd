"""The code that a page shows and the engine train the same weights, and both are the optimizer of the textbook."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from engine import VARIANTS, Experiment, train
from engine.train import batch_order

STEPS = 200
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def drawn(seed, **knobs):
    """An experiment of all variants with random rates; λ of the Adam family is matched for every third seed.

    Rates are small enough that rounding does not grow: where a full batch leaves RMSProp at its optimum, or LayerNorm
    meets large steps, an error of 1e-16 in the initial weights alone ends at 1e-3.
    """
    rng = np.random.default_rng(seed)
    low, high = np.log([[1e-4, 30, 5e-5, 1e-3], [5e-4, 100, 5e-4, 2e-2]])
    lr_adaptive, ratio, weight_decay, separate = np.exp(rng.uniform(low, high))
    if knobs["layer_norm"]:
        lr_adaptive, ratio = lr_adaptive / 3, ratio / 2
    return Experiment(
        points=20, seed=seed, hidden=(8, 6), steps=STEPS, variants=tuple(VARIANTS),
        lr=ratio * lr_adaptive, lr_adaptive=lr_adaptive, momentum=rng.uniform(0, 0.95), weight_decay=weight_decay,
        weight_decay_adaptive=separate if seed % 3 else None, **knobs,
    )  # fmt: skip


def experiments():
    """A draw for every way to batch, to decay biases and to normalise, two without LayerNorm."""
    ways = list(product((None, 8), (False, True), (False, True)))
    for draw, (i, (batch, biases, norm)) in product(range(2), enumerate(ways)):
        if draw and norm:
            continue
        activation = list(ACTIVATIONS)[(i + i // 4 + 2 * draw) % 4]
        words = ["batch" if batch else "full", "all" if biases else "weights", activation, *["norm"] * norm]
        knobs = {"batch_size": batch, "decay_biases": biases, "layer_norm": norm, "activation": activation}
        yield "-".join(words), drawn(2 * i + draw, **knobs)


EXPERIMENTS = dict(experiments())


@cache
def trained(experiment):
    run = train(experiment, dtype=torch.float64)
    assert not any(run.diverged.values())
    return run


def parameters(run, key):
    """All parameters of one variant at the recorded steps, each (T, …), in the order of nn.Sequential.parameters."""
    film = torch.from_numpy(run.film[:, run.row(key)])
    return [tensor for layer in run.architecture.layers(film) for tensor in layer if tensor is not None]


def module(run, key):
    """The model as a user of PyTorch writes it, with the engine's initial weights."""
    *hidden, _ = layers = [nn.Linear(*w.shape[::-1], dtype=torch.float64) for w, _ in run.weights(key, step=0)]
    for layer, (weight, bias) in zip(layers, run.weights(key, step=0), strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    modules = []
    for layer in hidden:
        norm = [nn.LayerNorm(layer.out_features, dtype=torch.float64)] * run.experiment.layer_norm
        modules += [layer, *norm, ACTIVATIONS[run.experiment.activation]()]
    return nn.Sequential(*modules, layers[-1])


def batches(run):
    """The points of every step, x (n, 2) and y (n, 1)."""
    x, y = torch.tensor(run.data.x_train), torch.tensor(run.data.y_train, dtype=torch.float64)[:, None]
    order = batch_order(run.experiment)
    for step in range(run.experiment.steps):
        batch = slice(None) if order is None else order[step]
        yield x[batch], y[batch]


def decayed_of(run, model):
    everything = list(model.parameters())
    return [p for p in everything if run.experiment.decay_biases or p.dim() >= 2]


def recorded(run, model, points):
    """Pass the batches on, and note the model's parameters whenever the engine did: (generator, notes)."""
    notes = []

    def generator():
        for step, batch in enumerate([*points, None]):
            if step in run.steps:
                notes.append([p.detach().clone() for p in model.parameters()])
            if batch:
                yield batch

    return generator(), notes


def by_snippet(run, variant):
    """Run the registry's own code; parameters as in ``parameters``."""
    experiment, model = run.experiment, module(run, variant.key)
    decayed = decayed_of(run, model)
    rest = [p for p in model.parameters() if not any(p is q for q in decayed)]
    points, notes = recorded(run, model, batches(run))
    scope = {
        "torch": torch,
        "model": model,
        "batches": points,
        "loss_fn": nn.BCEWithLogitsLoss(),
        "decayed": decayed,
        "groups": [{"params": decayed}, *[{"params": rest, "weight_decay": 0.0}] * bool(rest)],
        "lr": experiment.lr_of(variant),
        "weight_decay": experiment.weight_decay_of(variant),
        "momentum": experiment.momentum,
    }
    exec(variant.snippet, scope)
    return [torch.stack(tensor) for tensor in zip(*notes, strict=True)]


def by_hand(run, key, update):
    """Autograd's gradients and ``update(w, g, state, t, lr, weight_decay)``; parameters as in ``parameters``."""
    experiment, variant, model = run.experiment, VARIANTS[key], module(run, key)
    decayed = decayed_of(run, model)
    everything = list(model.parameters())
    states = [{} for _ in everything]
    points, notes = recorded(run, model, batches(run))
    for t, (x, y) in enumerate(points, 1):
        gradients = torch.autograd.grad(binary_cross_entropy_with_logits(model(x), y), everything)
        for p, g, state in zip(everything, gradients, states, strict=True):
            weight_decay = experiment.weight_decay_of(variant) if any(p is q for q in decayed) else 0.0
            p.data = update(p.data, g, state, t, experiment.lr_of(variant), weight_decay)
    return [torch.stack(tensor) for tensor in zip(*notes, strict=True)]


def assert_same(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_snippet_trains_the_engines_weights(experiment, key):
    run = trained(experiment)
    assert_same(parameters(run, key), by_snippet(run, VARIANTS[key]), 1e-10)


def sgdw(momentum):
    def update(w, g, state, t, lr, weight_decay):
        state["v"] = momentum * state.get("v", 0) + g
        return (1 - lr * weight_decay) * w - lr * state["v"]

    return update


def rmsprop_w(w, g, state, t, lr, weight_decay):
    state["v"] = 0.99 * state.get("v", 0) + 0.01 * g**2
    return (1 - lr * weight_decay) * w - lr * g / (state["v"].sqrt() + 1e-8)


def adamw_paper(w, g, state, t, lr, weight_decay):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.999**t)
    return (1 - weight_decay) * w - lr * m / (v.sqrt() + 1e-8)


BY_HAND = {
    "sgdw": lambda experiment: sgdw(0.0),
    "momentum_w": lambda experiment: sgdw(experiment.momentum),
    "rmsprop_w": lambda experiment: rmsprop_w,
    "adamw_paper": lambda experiment: adamw_paper,
}


def test_what_torch_lacks_has_a_reference():
    assert set(BY_HAND) == {key for key, variant in VARIANTS.items() if variant.torch_shrink}


@pytest.mark.parametrize("key", BY_HAND)
@pytest.mark.parametrize("name", list(EXPERIMENTS)[::3])
def test_what_torch_lacks_follows_its_reference(name, key):
    run = trained(EXPERIMENTS[name])
    assert_same(parameters(run, key), by_hand(run, key, BY_HAND[key](run.experiment)), 1e-10)


def sgd_by_flag(model, points, lr, weight_decay):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay)
    for x, y in points:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()


def sgd_by_penalty(model, points, lr, weight_decay):
    everything = list(model.parameters())
    for x, y in points:
        penalty = weight_decay / 2 * sum((p**2).sum() for p in everything)
        loss = binary_cross_entropy_with_logits(model(x), y) + penalty
        for p, g in zip(everything, torch.autograd.grad(loss, everything), strict=True):
            p.data = p.data - lr * g


def sgd_by_shrinking(model, points, lr, weight_decay):
    everything = list(model.parameters())
    for x, y in points:
        loss = binary_cross_entropy_with_logits(model(x), y)
        for p, g in zip(everything, torch.autograd.grad(loss, everything), strict=True):
            p.data = (1 - lr * weight_decay) * p.data - lr * g


@pytest.mark.parametrize("batch_size", [None, 8], ids=["full", "batch"])
@pytest.mark.parametrize("key", ["sgd_l2", "sgdw"])
@pytest.mark.parametrize("form", [sgd_by_flag, sgd_by_penalty, sgd_by_shrinking], ids=lambda form: form.__name__)
def test_sgd_has_three_forms_of_one_update(form, key, batch_size):
    run = trained(Experiment(points=20, hidden=(5, 4), lr=0.3, weight_decay=0.05, steps=STEPS, batch_size=batch_size,
                             decay_biases=True, variants=("sgd_l2", "sgdw")))  # fmt: skip
    model = module(run, key)
    points, notes = recorded(run, model, batches(run))
    form(model, points, 0.3, 0.05)
    assert_same(parameters(run, key), [torch.stack(tensor) for tensor in zip(*notes, strict=True)], 1e-12)


def test_without_momentum_there_is_nothing_to_tell_apart():
    keys = ("sgd_l2", "sgdw", "momentum_l2", "momentum_w")
    run = trained(
        Experiment(points=20, hidden=(5, 4), lr=0.3, weight_decay=0.05, momentum=0, steps=STEPS, variants=keys)
    )
    for key in keys[1:]:
        assert_same(parameters(run, key), parameters(run, keys[0]), 1e-12)


def test_with_momentum_the_place_of_decay_matters():
    run = trained(Experiment(points=20, hidden=(5, 4), lr=0.3, weight_decay=0.05, steps=STEPS,
                             variants=("momentum_l2", "momentum_w")))  # fmt: skip
    assert np.abs(np.diff(run.film[-1], axis=0)).max() > 0.1
