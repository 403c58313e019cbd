"""The models of a task, trained as a JAX user would: a pure loss, ``jax.grad``, ``lax.scan``, ``vmap``, one ``jit``.

Only the process that bench/rivals.py starts imports this. Activations are (points, units), as JAX's tutorials write
them, or (units, points), as in the engine: on a CPU XLA then needs half of the time.
"""

from __future__ import annotations

import jax
from jax import Array, lax, tree
from jax import numpy as jnp

Model = list[tuple[Array, Array]]
"""[(W (out, in), b (out,)), …]"""


def by_points(model: Model, x: Array) -> Array:
    """Logits (N,) of one model at points x (N, 2), activations (N, H)."""
    *hidden, (weight, bias) = model
    a = x
    for w, b in hidden:
        a = jnp.tanh(a @ w.T + b)
    return (a @ weight.T + bias)[:, 0]


def by_units(model: Model, x: Array) -> Array:
    """Logits (N,) of one model at points x (N, 2), activations (H, N)."""
    *hidden, (weight, bias) = model
    a = x.T
    for w, b in hidden:
        a = jnp.tanh(w @ a + b[:, None])
    return (weight @ a + bias[:, None])[0]


def sgd(lr, model, gradient, memory, t):
    """w ← w − ηg."""
    return tree.map(lambda w, g: w - lr * g, model, gradient), memory


def adam(lr, model, gradient, memory, t):
    """w ← w − η m̂/(√v̂ + ε), as torch.optim.Adam."""
    m = tree.map(lambda m, g: 0.9 * m + 0.1 * g, memory[0], gradient)
    v = tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, memory[1], gradient)
    first, second = 1 - 0.9**t, 1 - 0.999**t
    model = tree.map(lambda w, m, v: w - lr * (m / first) / (jnp.sqrt(v / second) + 1e-8), model, m, v)
    return model, (m, v)


def trainer(steps: int, frames: int, logits):
    """A jitted function of (families, start, points): all models trained, both families in one call.

    Args:
        steps: of a training.
        frames: 2 for the last weights alone, else so many even steps, each with losses and ‖w‖.
        logits: ``by_points`` or ``by_units``.
    """

    def loss(model: Model, x: Array, y: Array) -> Array:
        return jax.nn.softplus((1 - 2 * y) * logits(model, x)).mean()

    def train(rule, lr, l2, shrink, start, x, y, x_test, y_test):
        decays = [(1.0, 0.0)] * len(start)

        def step(state, t):
            model, memory = state
            gradient = jax.grad(loss)(model, x, y)
            gradient = tree.map(lambda g, w, on: g + on * l2 * w, gradient, model, decays)
            model = tree.map(lambda w, on: (1 - on * shrink) * w, model, decays)
            return rule(lr, model, gradient, memory, t), None

        def measures(model):
            norm = jnp.sqrt(sum((w * w).sum() for w, _ in model))
            return loss(model, x, y), loss(model, x_test, y_test), norm

        def frame(state, ts):
            state, _ = lax.scan(step, state, ts)
            return state, (state[0], measures(state[0]))

        zeros = tree.map(jnp.zeros_like, start)
        state, ts = (start, (zeros, zeros)), jnp.arange(1.0, steps + 1)
        if frames == 2:
            (model, _), _ = lax.scan(step, state, ts)
            return model, loss(model, x, y)
        (model, _), film = lax.scan(frame, state, ts.reshape(frames - 1, -1))
        film = tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), (start, measures(start)), film)
        return film, loss(model, x, y)

    def train_all(families, start, points):
        rules = zip((sgd, adam), families, strict=True)
        return [jax.vmap(lambda *knobs, rule=rule: train(rule, *knobs, start, *points))(*own) for rule, own in rules]

    return jax.jit(train_all)
