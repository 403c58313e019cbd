"""Training: the public contract of a Run, divergence, batches, and the batched pass itself."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.default_search import good
from engine import VARIANTS, Experiment, train, trainer
from engine.datasets import make_data
from engine.run import quiet_cpu
from engine.train import FRAMES
from engine.trainer import DIVERGED_BEYOND, batch_order
from engine.transforms import BRIDGE, IDLE_AT_ZERO, Transform, bridge, merge

EVERY = tuple(VARIANTS)
SMALL = Experiment(points=20, hidden=(4, 3), steps=60, lr=0.1, lr_adaptive=0.01, variants=EVERY)


@cache
def trained(experiment):
    return train(experiment, dtype=torch.float64)


def seed_of_two_points(classes):
    """The first seed whose two moons' points are of so many classes."""
    return next(seed for seed in range(50) if len(set(make_data("moons", 0.4, 2, seed).y_train)) == classes)


class TestContract:
    def test_the_code_block_of_the_readme(self):
        exp = Experiment(
            dataset="moons", noise=0.3, points=60, seed=1, hidden=(32, 32), activation="tanh", layer_norm=False,
            lr=0.5, lr_adaptive=0.003, weight_decay=0.01, weight_decay_adaptive=None, momentum=0.9, steps=100,
            batch_size=None, decayed="weights", variants=("sgd", "sgd_l2", "sgdw", "adam", "adam_l2", "adamw"),
        )  # fmt: skip
        run = train(exp)
        assert run.film.dtype == np.float32
        assert run.data.x_train.shape == (60, 2)
        assert run.data.y_train.shape == (60,)
        assert set(run.data.y_train) == {0, 1}
        assert run.data.x_test.shape == (1000, 2)
        assert [(w.shape, b.shape) for w, b in run.weights("adamw", step=-1)] == [
            ((32, 2), (32,)), ((32, 32), (32,)), ((1, 32), (1,)),
        ]  # fmt: skip
        assert list(run.curves.columns) == [
            "variant", "step", "train_loss", "train_penalised_loss", "test_loss", "train_accuracy", "test_accuracy",
            "weight_norm",
        ]  # fmt: skip
        assert run.diverged == dict.fromkeys(exp.variants)
        assert run.experiment == exp
        assert Experiment.from_query(exp.to_query()) == (exp, [])

    def test_the_run_saw_the_experiments_data(self):
        run, data = trained(SMALL), make_data(SMALL.dataset, SMALL.noise, SMALL.points, SMALL.seed)
        for field in ("x_train", "y_train", "x_test", "y_test"):
            assert np.array_equal(getattr(run.data, field), getattr(data, field))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_all_variants_start_from_the_same_weights(self, dtype):
        run = train(SMALL, dtype=dtype)
        assert np.array_equal(run.film[0], np.tile(run.film[0, :1], (len(EVERY), 1)))
        initial = run.architecture.initial(SMALL.seed).to(dtype).numpy()
        assert np.array_equal(run.film[0, 0], initial)
        assert not any(np.array_equal(run.film[-1, row], initial) for row in range(len(EVERY)))

    def test_weights_are_the_films_at_a_recorded_step(self):
        run = trained(SMALL)
        for step, frame in [(0, 0), (-1, -1), (60, -1), (int(run.steps[7]), 7)]:
            flat = torch.from_numpy(run.film[frame, [EVERY.index("adamw")]])
            for (weight, bias), layer in zip(run.weights("adamw", step), run.architecture.layers(flat), strict=True):
                assert np.array_equal(weight, layer.weight[0])
                assert np.array_equal(bias, layer.bias[0])

    @pytest.mark.parametrize("steps", [1, 2, 39, 40, 41, 400, 1234])
    def test_recorded_steps_are_even_from_first_to_last(self, steps):
        run = train(replace(SMALL, steps=steps, variants=("sgd",)))
        assert (run.steps[0], run.steps[-1]) == (0, steps)
        assert len(run.steps) == len(run.film) == min(steps + 1, FRAMES)
        gaps = np.diff(run.steps)
        assert gaps.min() >= 1
        assert np.ptp(gaps) <= 1

    def test_what_was_not_trained_or_recorded_is_an_error(self):
        run = trained(replace(SMALL, variants=("sgd", "adamw"), steps=90))
        with pytest.raises(KeyError, match="'adam' was not trained; the run has sgd, adamw"):
            run.weights("adam")
        with pytest.raises(KeyError, match="step 1 was not recorded; recorded are 0, 2,"):
            run.weights("adamw", step=1)

    def test_training_again_gives_the_same_run(self):
        first, second = trained(SMALL), train(SMALL, dtype=torch.float64)
        assert np.array_equal(first.film, second.film)
        assert first.curves.equals(second.curves)

    def test_the_recorded_film_does_not_depend_on_how_long_training_goes_on(self):
        long = trained(replace(SMALL, steps=80))
        short = trained(replace(SMALL, steps=40))
        assert np.array_equal(short.film[-1], long.film[long.frame(40)])


class TestCurves:
    def test_one_row_a_variant_and_step(self):
        run = trained(SMALL)
        assert run.curves.variant.tolist() == [name for name in EVERY for _ in run.steps]
        assert run.curves.step.tolist() == run.steps.tolist() * len(EVERY)
        assert run.curves.step.dtype == np.int64
        assert all(dtype.kind == "f" for dtype in run.curves.dtypes.iloc[2:])
        assert np.isfinite(run.curves.iloc[:, 2:]).all(axis=None)

    @pytest.mark.parametrize("biases", [False, True], ids=["weights", "all"])
    @pytest.mark.parametrize("key", EVERY)
    def test_values_are_those_of_numpy(self, key, biases):
        experiment = replace(SMALL, decayed="all" if biases else "weights")
        run = trained(experiment)
        step = int(run.steps[13])
        layers = run.weights(key, step)

        def scores(x, y):
            a = x
            for weight, bias in layers[:-1]:
                a = np.tanh(a @ weight.T + bias)
            logits = (a @ layers[-1][0].T + layers[-1][1])[:, 0]
            return np.logaddexp(0, np.where(y == 1, -logits, logits)).mean(), np.mean((logits > 0) == y)

        got = run.curves.query("variant == @key and step == @step").iloc[0]
        train_loss, train_accuracy = scores(run.data.x_train, run.data.y_train)
        test_loss, test_accuracy = scores(run.data.x_test, run.data.y_test)
        squares = sum((w**2).sum() for w, _ in layers)
        decayed = squares + biases * sum((b**2).sum() for _, b in layers)
        penalty = experiment.weight_decay_of(VARIANTS[key]) / 2 * decayed if key.endswith("_l2") else 0
        assert got.train_loss == pytest.approx(train_loss, rel=1e-12)
        assert got.train_penalised_loss == pytest.approx(train_loss + penalty, rel=1e-12)
        assert got.train_accuracy == train_accuracy
        assert got.weight_norm == pytest.approx(np.sqrt(squares), rel=1e-12)
        assert got.test_loss == pytest.approx(test_loss, rel=1e-5)
        assert got.test_accuracy == pytest.approx(test_accuracy, abs=1.5e-3)

    def test_metrics_of_some_frames_are_those_of_the_whole(self):
        run = trained(SMALL)
        some = run.metrics_at(slice(3, 5))
        for name, values in run.metrics.items():
            assert values.shape == (len(run.steps), len(EVERY))
            np.testing.assert_allclose(some[name], values[3:5], rtol=1e-6)
            assert np.array_equal(run.series(name)["adamw"], values[:, EVERY.index("adamw")])


class TestDivergence:
    BAD = Experiment(points=20, hidden=(4, 3), steps=200, lr=0.5, weight_decay=5.0, weight_decay_adaptive=0.1,
                     variants=("sgd", "sgd_l2", "sgdw", "adam", "adamw"))  # fmt: skip

    def test_diverged_runs_say_when_and_stay_at_their_last_finite_step(self):
        run = trained(self.BAD)
        assert {key for key, step in run.diverged.items() if step} == {"sgd_l2", "sgdw"}
        assert np.isfinite(run.film).all()
        assert np.isfinite(run.curves.iloc[:, 2:]).all(axis=None)
        for key in ("sgd_l2", "sgdw"):
            late = run.film[run.steps >= run.diverged[key], run.row(key)]
            assert len(late) > 5
            assert (late == late[0]).all()

    @pytest.mark.parametrize("batch_size", [None, 7], ids=["full", "batch"])
    @pytest.mark.parametrize("key", ["sgdw", "sgd_l2"])
    def test_the_last_finite_step_is_that_of_a_replay_step_by_step(self, key, batch_size):
        bad = replace(self.BAD, batch_size=batch_size)
        run, order = trained(bad), batch_order(bad)
        x, y = torch.tensor(run.data.x_train), torch.tensor(run.data.y_train).double()
        parameters = [torch.tensor(p) for pair in run.weights(key, step=0) for p in pair]
        for t in range(1, 201):
            leaves = [p.clone().requires_grad_() for p in parameters]
            batch = slice(None) if order is None else order[t - 1]
            a = x[batch]
            for weight, bias in zip(leaves[:-2:2], leaves[1:-2:2], strict=True):
                a = torch.tanh(a @ weight.T + bias)
            loss = torch.nn.functional.binary_cross_entropy_with_logits((a @ leaves[-2].T + leaves[-1])[:, 0], y[batch])
            new = [
                p * (1 - 0.5 * 5.0 * (p.dim() == 2)) - 0.5 * g
                for p, g in zip(parameters, torch.autograd.grad(loss, leaves), strict=True)
            ]
            if max(p.abs().max() for p in new) > DIVERGED_BEYOND:
                break
            parameters = new
        assert run.diverged[key] == t
        frozen = [p for pair in run.weights(key) for p in pair]
        for ours, theirs in zip(frozen, parameters, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)

    @pytest.mark.parametrize("batch_size", [None, 7], ids=["full", "batch"])
    def test_others_train_as_if_the_diverging_were_not_there(self, batch_size):
        bad = replace(self.BAD, batch_size=batch_size)
        run, calm = trained(bad), trained(replace(bad, weight_decay=0))
        alone = trained(replace(bad, variants=("sgd", "adam", "adamw")))
        assert not any(calm.diverged.values())
        for key in alone.experiment.variants:
            film = run.film[:, run.row(key)]
            assert np.array_equal(film, calm.film[:, calm.row(key)])
            # other places in memory are rounded otherwise
            np.testing.assert_allclose(film, alone.film[:, alone.row(key)], rtol=0, atol=1e-12)

    def test_a_rate_beyond_all_measure_diverges_at_once(self):
        run = train(Experiment(lr=100, weight_decay=10, lr_adaptive=10, variants=EVERY, steps=50))  # λ of AdamW is 100
        assert all(
            run.diverged[key] in range(1, 10) for key in ("sgd_l2", "sgdw", "momentum_l2", "momentum_w", "adamw")
        )
        assert np.isfinite(run.film).all()
        assert np.isfinite(run.curves.iloc[:, 2:]).all(axis=None)

    def test_a_run_may_diverge_after_another(self):
        run = trained(
            replace(self.BAD, weight_decay_adaptive=8.0, lr_adaptive=0.2625)
        )  # 1 − ηλ = −1.1, slower than −1.5
        assert run.diverged["sgdw"] + 20 < run.diverged["adamw"]
        for key in ("sgdw", "adamw"):
            before = train(replace(run.experiment, steps=run.diverged[key] - 1), dtype=torch.float64)
            assert before.diverged[key] is None
            assert np.array_equal(before.film[-1, before.row(key)], run.film[-1, run.row(key)])


class TestEdges:
    def test_without_lambda_every_decay_is_no_decay(self):
        run = trained(replace(SMALL, weight_decay=0))
        same = [("sgd", "sgd_l2", "sgdw"), ("momentum_l2", "momentum_w"), ("rmsprop_l2", "rmsprop_w"),
                ("adam", "adam_l2", "adamw", "adamw_paper")]  # fmt: skip
        for first, *rest in same:
            for key in rest:
                np.testing.assert_allclose(run.film[:, run.row(key)], run.film[:, run.row(first)], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_largest_lambda(self, dtype):
        run = train(replace(SMALL, weight_decay=10, lr=0.7, steps=400), dtype=dtype)
        assert {"sgd_l2", "sgdw", "adamw", "adamw_paper", "rmsprop_w"} <= {
            k for k, step in run.diverged.items() if step
        }
        assert not any(run.diverged[key] for key in ("sgd", "adam", "adam_l2", "rmsprop_l2"))
        assert np.isfinite(run.curves.iloc[:, 2:]).all(axis=None)

    @pytest.mark.parametrize("classes", [1, 2])
    def test_two_points(self, classes):
        run = trained(replace(SMALL, points=2, seed=seed_of_two_points(classes), weight_decay=0, steps=200))
        assert not any(run.diverged.values())
        last = run.curves.groupby("variant").last()
        assert (last.train_accuracy == 1).all()
        assert np.isfinite(run.curves.iloc[:, 2:]).all(axis=None)

    def test_one_step(self):
        run = trained(replace(SMALL, steps=1))
        assert run.steps.tolist() == [0, 1]
        assert run.film.shape[0] == 2
        assert (np.abs(run.film[1] - run.film[0]).max(axis=1) > 0).all()

    def test_a_linear_model(self):
        run = trained(replace(SMALL, hidden=()))
        assert [(w.shape, b.shape) for w, b in run.weights("adamw")] == [((1, 2), (1,))]

    def test_single_and_double_precision_agree_on_a_calm_experiment(self):
        calm = replace(SMALL, lr_adaptive=0.003, variants=("sgd", "sgd_l2", "sgdw", "momentum_l2", "momentum_w", "adam",
                                                           "adam_l2", "adamw", "adamw_paper"))  # fmt: skip
        single, double = train(calm), trained(calm)
        assert single.film.dtype == np.float32
        np.testing.assert_allclose(single.film, double.film, atol=1e-4)
        np.testing.assert_allclose(single.metrics["test_loss"], double.metrics["test_loss"], atol=1e-4)


class TestBatches:
    def test_every_step_has_a_full_batch_and_every_epoch_every_point(self):
        order = batch_order(replace(SMALL, points=10, batch_size=4, steps=15))
        assert order.shape == (15, 4)
        for epoch in order.reshape(6, 10):
            assert sorted(epoch) == list(range(10))
        assert len({tuple(epoch) for epoch in order.reshape(6, 10)}) == 6

    def test_the_seed_decides_the_order(self):
        small = replace(SMALL, batch_size=4)
        assert np.array_equal(batch_order(small), batch_order(replace(small, variants=("sgd",), lr=1)))
        assert not np.array_equal(batch_order(small), batch_order(replace(small, seed=9)))

    @pytest.mark.parametrize("batch_size", [20, 21, 2000])
    def test_a_batch_of_all_points_is_the_full_batch(self, batch_size):
        full = replace(SMALL, batch_size=batch_size)
        assert batch_order(full) is None
        assert np.array_equal(trained(full).film, trained(SMALL).film)

    def test_batches_of_one(self):
        run = trained(replace(SMALL, batch_size=1))
        assert not any(run.diverged.values())
        assert not np.array_equal(run.film, trained(SMALL).film)


class TestCalls:
    def test_on_step_hears_every_25_steps(self, monkeypatch):
        monkeypatch.setattr(trainer, "TOLD_AT_LEAST", float("inf"))
        heard = []
        train(replace(SMALL, steps=110), on_step=heard.append)
        assert heard == [25, 50, 75, 100]

    def test_what_on_step_raises_stops_training_at_once(self, monkeypatch):
        monkeypatch.setattr(trainer, "TOLD_AT_LEAST", float("inf"))
        heard = []

        def cancel(step):
            heard.append(step)
            if step == 50:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            train(replace(SMALL, steps=20_000), on_step=cancel)
        assert heard == [25, 50]

    @pytest.mark.parametrize("fails", [False, True])
    def test_quiet_cpu_gives_the_threads_back(self, fails):
        torch.set_num_threads(2)
        seen = []

        def listen(step):
            seen.append(torch.get_num_threads())
            if fails:
                raise InterruptedError

        try:
            if fails:
                with pytest.raises(InterruptedError):
                    train(SMALL, on_step=listen)
            else:
                train(SMALL, on_step=listen)
            assert set(seen) == {1}
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)

    def test_quiet_cpu_flushes_denormals(self):
        tiny = torch.tensor([1e-310], dtype=torch.float64)
        with quiet_cpu():
            assert (tiny * 0.5).item() == 0
        assert (tiny * 0.5).item() > 0

    def test_cuda_is_an_error_without_one(self):
        if torch.cuda.is_available():
            pytest.skip("a CUDA device is here")
        with pytest.raises(RuntimeError, match="no CUDA device"):
            train(SMALL, device="cuda")

    def test_auto_and_cpu_are_the_same_for_small_work(self):
        assert np.array_equal(train(SMALL, device="cpu").film, train(SMALL, device="auto").film)


chains = st.lists(
    st.lists(st.sampled_from("abc").map(lambda name: Transform(name, ())), max_size=5).map(tuple), max_size=7
)


class TestMerge:
    @given(chains)
    def test_every_row_sees_its_own_chain_once_in_order(self, some):
        seen = [[] for _ in some]
        for step, rows in merge(some):
            for row in range(rows.start, rows.stop):
                seen[row].append(step)
        assert [tuple(row) for row in seen] == some

    @given(chains.filter(bool), st.integers(1, 5))
    def test_equal_neighbours_share_every_call(self, some, copies):
        repeated = [chain for chain in some for _ in range(copies)]
        assert len(merge(repeated)) == len(merge(some))

    def test_equal_names_with_other_options_are_apart(self):
        shrinks = [(Transform("shrink_weights", (("times_lr", flag),)),) for flag in (True, False)]
        assert [rows for _, rows in merge(shrinks)] == [slice(0, 1), slice(1, 2)]

    def test_the_gradient_takes_its_steps_together(self):
        steps = merge([VARIANTS[key].chain for key in Experiment().variants])
        assert [step.name for step, _ in steps].count("scale_by_adam") == 1
        assert [step.name for step, _ in steps].count("descend") == 1


def test_slow_steps_call_back_sooner(monkeypatch):
    monkeypatch.setattr(trainer, "TOLD_AT_LEAST", 0.0)
    asked = []
    train(replace(SMALL, steps=30), on_step=asked.append)
    assert asked == list(range(1, 31))


class TestBridge:
    @given(st.lists(st.sampled_from(list(VARIANTS)), min_size=1, max_size=12))
    def test_every_row_keeps_its_chain_and_passes_over_only_what_is_idle_at_zero(self, names):
        chains = [VARIANTS[name].chain for name in names]
        seen = [[] for _ in chains]
        for step, own in bridge(merge(chains)):
            for row in own:
                seen[row].append(step)
            if own != list(range(own[0], own[-1] + 1)):
                assert step.name in IDLE_AT_ZERO
                assert max(b - a for a, b in pairwise(own)) <= BRIDGE + 1
        assert [tuple(row) for row in seen] == chains

    def test_the_default_variants_take_one_call_of_each(self):
        steps = bridge(merge([VARIANTS[key].chain for key in Experiment().variants]))
        assert sorted(step.name for step, _ in steps) == ["add_l2", "descend", "scale_by_adam", "shrink_weights"]

    def test_rows_that_are_passed_over_stay_what_they_are_alone(self):
        exp = replace(SMALL, variants=("sgd_l2", "sgdw", "adam_l2", "adamw"), weight_decay=0.5)
        together = train(exp, dtype=torch.float64)
        for key in exp.variants:
            alone = train(replace(exp, variants=(key,)), dtype=torch.float64)
            np.testing.assert_allclose(together.film[:, together.row(key)], alone.film[:, 0], rtol=0, atol=1e-12)


def test_the_default_experiment_teaches():
    runs = [train(Experiment(seed=seed), dtype=torch.float64) for seed in range(1, 11)]
    assert sum(map(good, runs)) >= 9
