"""The code that a page shows and the engine train the same weights, and both are the optimizer of the textbook."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from engine import VARIANTS, Experiment, train, train_many
from engine.schedules import SCHEDULES
from engine.trainer import batch_order

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
        weight_decay_adaptive=separate if seed % 3 else None, max_norm=rng.uniform(0.4, 0.9), **knobs,
    )  # fmt: skip


def experiments():
    """A draw for every way to batch, to decay and to normalise, two without LayerNorm; schedules and Nesterov vary."""
    ways = list(product((None, 8), ("weights", "all"), (False, True)))
    for draw, (i, (batch, decayed, norm)) in product(range(2), enumerate(ways)):
        if draw and norm:
            continue
        activation = list(ACTIVATIONS)[(i + i // 4 + 2 * draw) % 4]
        schedule = list(SCHEDULES)[(i + 2 * draw) % 5]
        nesterov = i % 3 == 1
        words = ["batch" if batch else "full", decayed, activation, schedule, *["norm"] * norm, *["nest"] * nesterov]
        knobs = {"batch_size": batch, "decayed": decayed, "layer_norm": norm, "activation": activation}
        yield "-".join(words), drawn(2 * i + draw, **knobs, schedule=schedule, nesterov=nesterov)


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
    return [p for p in everything if run.experiment.decayed == "all" or p.dim() >= 2]


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
        "max_norm": experiment.max_norm,
        "steps": experiment.steps,
    }
    exec(experiment.snippet_of(variant), scope)
    return [torch.stack(tensor) for tensor in zip(*notes, strict=True)]


@dataclass
class Now:
    """One step of one parameter tensor, as a textbook has it."""

    w: torch.Tensor
    g: torch.Tensor
    state: dict
    t: int
    lr: float
    lr_max: float
    weight_decay: float
    momentum: float
    nesterov: bool
    start: torch.Tensor
    feeds_norm: bool
    max_norm: float


def by_hand(run, key, update):
    """Autograd's gradients and ``update(now) -> w``; parameters as in ``parameters``."""
    experiment, variant, model = run.experiment, VARIANTS[key], module(run, key)
    decayed = decayed_of(run, model)
    everything = list(model.parameters())
    starts, states = [p.detach().clone() for p in everything], [{} for _ in everything]
    points, notes = recorded(run, model, batches(run))
    schedule = experiment.schedule_of_steps()
    for t, (x, y) in enumerate(points, 1):
        gradients = torch.autograd.grad(binary_cross_entropy_with_logits(model(x), y), everything)
        lr_max = experiment.lr_of(variant)
        for p, g, state, start in zip(everything, gradients, states, starts, strict=True):
            p.data = update(Now(
                w=p.data, g=g, state=state, t=t, lr=lr_max * schedule[t - 1], lr_max=lr_max,
                weight_decay=experiment.weight_decay_of(variant) if any(p is q for q in decayed) else 0.0,
                momentum=experiment.momentum, nesterov=experiment.nesterov, start=start, max_norm=experiment.max_norm,
                feeds_norm=experiment.layer_norm and p.dim() == 2 and p is not everything[len(everything) - 2],
            ))  # fmt: skip
    return [torch.stack(tensor) for tensor in zip(*notes, strict=True)]


def assert_same(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_snippet_trains_the_engines_weights(experiment, key):
    run = trained(experiment)
    assert_same(parameters(run, key), by_snippet(run, VARIANTS[key]), 1e-10)


def velocity(now):
    v = now.state["v"] = now.momentum * now.state.get("v", 0) + now.g
    return now.g + now.momentum * v if now.nesterov else v


def adam_step(now):
    m = now.state["m"] = 0.9 * now.state.get("m", 0) + 0.1 * now.g
    v = now.state["v"] = 0.999 * now.state.get("v", 0) + 0.001 * now.g**2
    return m / (1 - 0.9**now.t) / ((v / (1 - 0.999**now.t)).sqrt() + 1e-8)


def sgdw(now):
    return (1 - now.lr * now.weight_decay) * now.w - now.lr * now.g


def momentum_w(now):
    return (1 - now.lr * now.weight_decay) * now.w - now.lr * velocity(now)


def sgds(now):
    return (1 - now.lr * now.weight_decay / (1 - now.momentum)) * now.w - now.lr * velocity(now)


def rmsprop_w(now):
    now.state["v"] = 0.99 * now.state.get("v", 0) + 0.01 * now.g**2
    return (1 - now.lr * now.weight_decay) * now.w - now.lr * now.g / (now.state["v"].sqrt() + 1e-8)


def adamw_paper(now):
    return (1 - now.lr / now.lr_max * now.weight_decay) * now.w - now.lr * adam_step(now)


def adamc(now):
    lr = now.lr**2 / now.lr_max if now.feeds_norm else now.lr
    return (1 - lr * now.weight_decay) * now.w - now.lr * adam_step(now)


def cautious(now):
    u = adam_step(now)
    return now.w - now.lr * (u + now.weight_decay * torch.where(u * now.w >= 0, now.w, 0))


def lion(now):
    m = now.state.get("m", torch.zeros_like(now.w))
    now.state["m"] = 0.99 * m + 0.01 * now.g
    return (1 - now.lr * now.weight_decay) * now.w - now.lr * torch.sign(0.9 * m + 0.1 * now.g)


def l2_sp(now):
    return now.w - now.lr * (now.g + now.weight_decay * (now.w - now.start))


def l1(now):
    z = now.w - now.lr * now.g
    return torch.sign(z) * torch.clamp(z.abs() - now.lr * now.weight_decay, min=0)


def max_norm(now):
    z = now.w - now.lr * now.g
    if z.dim() < 2:
        return z
    return torch.stack([unit * min(1.0, now.max_norm / float(unit.norm())) for unit in z])


BY_HAND = {
    update.__name__: update
    for update in (sgdw, momentum_w, sgds, rmsprop_w, adamw_paper, adamc, cautious, lion, l2_sp, l1, max_norm)
}


def test_what_torch_lacks_has_a_reference():
    lacking = {key for key, v in VARIANTS.items() if v.torch_setup or v.torch_before or v.torch_after}
    assert set(BY_HAND) == lacking


@pytest.mark.parametrize("key", BY_HAND)
@pytest.mark.parametrize("name", list(EXPERIMENTS)[::2])
def test_what_torch_lacks_follows_its_reference(name, key):
    run = trained(EXPERIMENTS[name])
    assert_same(parameters(run, key), by_hand(run, key, BY_HAND[key]), 1e-10)


def test_the_rules_bite():
    """The draws reach what is special in a rule: some weights at 0, some units at c, some decay held back."""
    run = trained(Experiment(points=20, hidden=(8, 6), lr=0.3, weight_decay=0.05, max_norm=0.5, steps=STEPS,
                             variants=("l1", "max_norm", "adamw", "cautious")))  # fmt: skip
    assert (run.film[-1, run.row("l1"), : run.architecture.weights] == 0).sum() > 3
    norms = np.concatenate([np.linalg.norm(w, axis=1) for w, _ in run.weights("max_norm")])
    assert np.isclose(norms, 0.5, rtol=1e-12).sum() > 3
    assert np.abs(run.film[-1, run.row("adamw")] - run.film[-1, run.row("cautious")]).max() > 1e-3


def test_a_batch_of_experiments_trains_each_as_alone():
    one = EXPERIMENTS["full-weights-tanh-constant"]
    other = replace(
        one, weight_decay=0.3, lr=0.02, schedule="cosine", decayed="all", momentum=0.5, nesterov=True, max_norm=0.3,
        variants=("adamw", "sgd", "momentum_l2", "max_norm"),
    )  # fmt: skip
    runs = train_many([one, other], dtype=torch.float64)
    for run, experiment in zip(runs, (one, other), strict=True):
        np.testing.assert_allclose(run.film, trained(experiment).film, rtol=0, atol=1e-12)
        assert run.experiment == experiment
    np.testing.assert_array_equal(runs[0].film[0, 0], runs[1].film[0, 0])


def test_a_batch_refuses_what_it_cannot_share():
    with pytest.raises(ValueError, match="agree on points, steps"):
        train_many([Experiment(), Experiment(points=10, steps=7)])
    with pytest.raises(ValueError, match="at least one"):
        train_many([])


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
                             decayed="all", variants=("sgd_l2", "sgdw")))  # fmt: skip
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
