"""Every dataset: shapes, standardisation, reproducibility, and points that stay where they are when N moves."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from engine.datasets import DATASETS, MAX_POINTS, TEST_POINTS, make_data

every_dataset = pytest.mark.parametrize("name", DATASETS)


def standardised(x, by):
    """Points x in the units of ``by``: what no scaling and shifting of both can change."""
    return (x - by.mean(axis=0)) / by.std(axis=0)


@every_dataset
@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("points", [2, 3, 60, MAX_POINTS])
def test_shapes_labels_and_finite_numbers(name, points, noise):
    data = make_data(name, noise, points, seed=1)
    assert data.x_train.shape == (points, 2)
    assert data.x_test.shape == (TEST_POINTS, 2) == (1000, 2)
    assert data.y_train.shape == (points,)
    assert data.y_test.shape == (1000,)
    assert data.x_train.dtype == data.x_test.dtype == np.float64
    assert np.isfinite(data.x_train).all()
    assert np.isfinite(data.x_test).all()
    assert set(data.y_train) <= {0, 1}
    assert 0.3 < data.y_test.mean() < 0.7


@every_dataset
@pytest.mark.parametrize("points", [2, 7, 500])
def test_training_points_are_standardised(name, points):
    x = make_data(name, 0.2, points, seed=4).x_train
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-12)


def test_a_constant_coordinate_is_only_shifted(monkeypatch):
    entry = DATASETS["linear"]

    def flat(n, noise, rng):
        x, y = entry.sample(n, noise, rng)
        x[:, 1] = 5
        return x, y

    monkeypatch.setitem(DATASETS, "linear", type(entry)(entry.key, entry.title, flat))
    data = make_data("linear", 0.2, 10, seed=0)
    assert np.array_equal(data.x_train[:, 1], np.zeros(10))
    assert np.array_equal(data.x_test[:, 1], np.zeros(1000))


@every_dataset
def test_the_seed_decides_the_points(name):
    one, again, other = (make_data(name, 0.2, 40, seed) for seed in (7, 7, 8))
    for field in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(getattr(one, field), getattr(again, field))
    assert not np.array_equal(one.x_train, other.x_train)
    assert not np.array_equal(one.x_test, other.x_test)


@every_dataset
def test_more_points_leave_the_first_where_they_are(name):
    few, many = make_data(name, 0.2, 50, seed=3), make_data(name, 0.2, 100, seed=3)
    first = many.x_train[:50]
    np.testing.assert_allclose(standardised(first, by=first), few.x_train, atol=1e-12)
    np.testing.assert_allclose(standardised(many.x_test, by=first), few.x_test, atol=1e-12)
    assert np.array_equal(many.y_train[:50], few.y_train)
    assert np.array_equal(many.y_test, few.y_test)


@every_dataset
def test_training_and_test_points_are_apart_and_alike(name):
    data = make_data(name, 0.2, MAX_POINTS, seed=3)
    assert not {tuple(x) for x in data.x_train} & {tuple(x) for x in data.x_test}
    np.testing.assert_allclose(data.x_test.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(data.x_test.std(axis=0), 1, rtol=0.1)


@every_dataset
def test_clean_points_can_be_learnt_and_noisy_ones_less(name):
    def neighbour_accuracy(noise):
        data = make_data(name, noise, 1000, seed=0)
        return KNeighborsClassifier(5).fit(data.x_train, data.y_train).score(data.x_test, data.y_test)

    clean, noisy = neighbour_accuracy(0), neighbour_accuracy(0.5)
    assert clean > 0.9
    assert noisy < clean - 0.05


def test_an_unknown_dataset_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"no dataset 'mars'.*moons.*checkerboard"):
        make_data("mars", 0.2, 10, 0)


@pytest.mark.parametrize("points", [-1, 0, 1, MAX_POINTS + 1])
def test_too_few_or_too_many_points_are_an_error(points):
    with pytest.raises(ValueError, match=f"between 2 and {MAX_POINTS}, not {points}"):
        make_data("moons", 0.2, points, 0)
