"""Toy 2-D datasets: one ``@dataset`` function each, sampled reproducibly and standardised by the training points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_blobs, make_circles, make_moons

Sampler = Callable[[int, float, np.random.Generator], tuple[NDArray, NDArray]]

MAX_POINTS = 2000
TEST_POINTS = 1000


@dataclass(frozen=True)
class Dataset:
    """A registry entry: ``sample(n, noise, rng)`` gives x of shape (n, 2) and labels y of shape (n,) in {0, 1}."""

    key: str
    title: str
    sample: Sampler


@dataclass(frozen=True)
class Data:
    """Standardised points: x_train (N, 2), y_train (N,) in {0, 1}, and 1,000 test points of the same distribution."""

    x_train: NDArray
    y_train: NDArray
    x_test: NDArray
    y_test: NDArray


DATASETS: dict[str, Dataset] = {}


def dataset(title: str) -> Callable[[Sampler], Sampler]:
    """Register a sampler ``(n, noise, rng) -> x (n, 2), y (n,)`` under its function name."""

    def register(sample: Sampler) -> Sampler:
        key = sample.__name__
        DATASETS[key] = Dataset(key, title, sample)
        return sample

    return register


def _random_state(rng: np.random.Generator) -> int:
    """A seed for scikit-learn, which takes no Generator."""
    return int(rng.integers(2**31))


@dataset("Two moons")
def moons(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    return make_moons(n, noise=noise, random_state=_random_state(rng))


@dataset("Circles")
def circles(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    return make_circles(n, noise=noise, factor=0.45, random_state=_random_state(rng))


@dataset("Two blobs")
def blobs(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    centers = [(-1.0, -1.0), (1.0, 1.0)]
    spread = 0.3 + 3 * noise
    return make_blobs(n, centers=centers, cluster_std=spread, random_state=_random_state(rng))


@dataset("XOR")
def xor(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    x = rng.uniform(-1, 1, size=(n, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    return x + noise * rng.normal(size=x.shape), y


@dataset("Spirals")
def spirals(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    y = rng.integers(0, 2, size=n)
    turn = np.sqrt(rng.uniform(0.02, 1, size=n))
    angle = 3 * np.pi * turn + np.pi * y
    x = turn[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + 0.4 * noise * rng.normal(size=x.shape), y


@dataset("Linear")
def linear(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    x = rng.normal(size=(n, 2))
    y = (x @ np.array([1.0, 0.6]) + 2 * noise * rng.normal(size=n) > 0).astype(int)
    return x, y


@dataset("Checkerboard")
def checkerboard(n: int, noise: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    x = rng.uniform(-2, 2, size=(n, 2))
    y = (np.floor(x).sum(axis=1) % 2).astype(int)
    return x + noise * rng.normal(size=x.shape), y


def standardised(x: NDArray, points: int) -> NDArray:
    """x shifted and scaled so that its first points have mean 0 and deviation 1, if they differ."""
    mean, deviation = x[:points].mean(axis=0), x[:points].std(axis=0)
    return (x - mean) / np.where(deviation > 0, deviation, 1.0)


@lru_cache(maxsize=32)
def make_data(name: str, noise: float, points: int, seed: int) -> Data:
    """Sample training and test points of one dataset, standardised by the training points' mean and deviation.

    More ``points`` extend the same sample: the first N of one seeded pool are the training points, so moving N adds
    or removes points and leaves the rest, and the test points, where they are (up to the standardisation).
    The last few samples are kept and shared: do not write into them.

    Args:
        name: a key of ``DATASETS``.
        noise: spread of the points, 0 (clean) to 1, in the dataset's own units.
        points: number of training points N, 2 to 2,000.
        seed: seed of the pool.

    Raises:
        ValueError: an unknown name or a number of points outside the pool.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no dataset {name!r}; choose one of {', '.join(DATASETS)}.")
    if not 2 <= points <= MAX_POINTS:
        raise ValueError(f"points must be between 2 and {MAX_POINTS}, not {points}.")
    x, y = DATASETS[name].sample(MAX_POINTS + TEST_POINTS, noise, np.random.default_rng(seed))
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64)
    x = standardised(x, points)
    return Data(x[:points], y[:points], x[MAX_POINTS:], y[MAX_POINTS:])
