"""The captured training beside the CPU's: replayed by a stand-in everywhere, and by CUDA where there is a GPU."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from engine import VARIANTS, Experiment, capture, mlp, train, train_many, trainer
from engine.capture import AHEAD, Captured, bytes_of_model, models_at_once
from engine.run import METRICS, quiet_cpu
from engine.schedules import SCHEDULES
from engine.train import TRAINERS, train_finals
from engine.trainer import Trainer, rows_of
from tests.engine.tape import HostSync, Tape, tensors

SMALL = Experiment(points=20, hidden=(4, 3), steps=60, lr=0.05, lr_adaptive=0.003, weight_decay=0.05, max_norm=0.6,
                   momentum=0.8, variants=tuple(VARIANTS))  # fmt: skip
WAYS = {
    "full": SMALL,
    "batches": replace(SMALL, batch_size=7),
    "cosine": replace(SMALL, schedule="cosine", nesterov=True),
    "norm": replace(SMALL, layer_norm=True, decayed="all", lr=0.02, lr_adaptive=0.001),
    "all-of-it": replace(SMALL, layer_norm=True, batch_size=5, schedule="warmup_cosine", activation="relu", lr=0.02,
                         lr_adaptive=0.001, hidden=(5,)),
}  # fmt: skip
DIVERGING = Experiment(points=20, hidden=(4, 3), steps=200, lr=0.5, weight_decay=5.0, weight_decay_adaptive=8.0,
                       lr_adaptive=0.2625, variants=("sgd", "sgd_l2", "sgdw", "adam", "adamw"))  # fmt: skip
CALM = {
    "default": Experiment(points=60, hidden=(16, 16), steps=400, lr=0.1, lr_adaptive=0.001, weight_decay=0.01),
    "every": Experiment(points=60, hidden=(16, 16), steps=400, lr=0.1, lr_adaptive=0.003, weight_decay=0.01,
                        batch_size=16, schedule="cosine", variants=tuple(VARIANTS)),
}  # fmt: skip
"""Experiments in which rounding does not grow, as a test asserts; at a full batch it does in Lion and RMSProp."""
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the stand-in was compared instead")


@cache
def plain(experiment):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRAINERS, "cpu", Trainer)
        return train(experiment, dtype=torch.float64, device="cpu")


@pytest.fixture
def by_tape(monkeypatch):
    """Everything that trains on the "CPU" is captured and replayed by the stand-in."""
    monkeypatch.setattr(capture, "Graph", Tape)
    monkeypatch.setitem(TRAINERS, "cpu", Captured)


def captured(rows, device="cpu", dtype=torch.float64):
    with quiet_cpu(), torch.inference_mode():
        return Captured(rows, dtype, torch.device(device))


@pytest.mark.usefixtures("by_tape")
class TestReplay:
    @pytest.mark.parametrize("way", WAYS)
    def test_every_variant_has_the_film_of_the_cpu(self, way):
        run = train(WAYS[way], dtype=torch.float64, device="cpu")
        expected = plain(WAYS[way])
        assert not any(expected.diverged.values())
        assert np.array_equal(run.steps, expected.steps)
        for key in VARIANTS:
            row = run.row(key)
            np.testing.assert_allclose(run.film[:, row], expected.film[:, row], rtol=0, atol=1e-10, err_msg=key)

    @pytest.mark.parametrize("schedule", SCHEDULES)
    def test_experiments_of_one_batch_keep_their_own_schedules(self, schedule):
        batch = [replace(SMALL, schedule=schedule, variants=("adamw_paper", "sgdw")), replace(SMALL, decayed="biases")]
        for run, one in zip(train_many(batch, dtype=torch.float64, device="cpu"), batch, strict=True):
            np.testing.assert_allclose(run.film, plain(one).film, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("batch_size", [None, 7], ids=["full", "batch"])
    def test_a_diverging_run_is_frozen_at_the_same_step(self, batch_size):
        bad = replace(DIVERGING, batch_size=batch_size)
        run, expected = train(bad, dtype=torch.float64, device="cpu"), plain(bad)
        gone = {key: step for key, step in expected.diverged.items() if step}
        assert len(set(gone.values())) > 1, "some diverge after others"
        assert len(gone) < len(bad.variants), "and some do not"
        assert run.diverged == expected.diverged
        for key in bad.variants:
            ours, theirs = run.film[:, run.row(key)], expected.film[:, run.row(key)]
            scale = 1e-10 if key not in gone else 1e-10 * np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=scale, err_msg=key)

    def test_metrics_come_with_the_film(self, monkeypatch):
        expected = plain(DIVERGING)
        metrics = expected.metrics
        run = train(DIVERGING, dtype=torch.float64, device="cpu")
        monkeypatch.setattr("engine.run.metrics_of", lambda *_: pytest.fail("measured again"))
        assert tuple(run.metrics) == METRICS
        for name, values in metrics.items():
            np.testing.assert_allclose(run.metrics[name], values, rtol=1e-6, atol=1e-9, err_msg=name)
            np.testing.assert_array_equal(run.metrics_at(slice(3, 5))[name], run.metrics[name][3:5])

    def test_finals_are_those_of_the_cpu(self, monkeypatch):
        batch = [replace(DIVERGING, weight_decay=value) for value in (0.0, 5.0)]
        metrics, gone = train_finals(batch, dtype=torch.float64, device="cpu")
        monkeypatch.undo()
        expected, expected_gone = train_finals(batch, dtype=torch.float64, device="cpu")
        assert metrics.dtype == expected.dtype
        assert gone.tolist() == expected_gone.tolist()
        assert gone.any()
        np.testing.assert_allclose(metrics, expected, rtol=1e-6, atol=1e-9)

    def test_only_recorded_steps_are_kept(self):
        run, *_ = train_many([SMALL], dtype=torch.float64, device="cpu", frames=2)
        assert run.steps.tolist() == [0, 60]
        np.testing.assert_allclose(run.film, plain(SMALL).film[[0, -1]], rtol=0, atol=1e-10)

    def test_on_step_hears_of_steps_that_are_done(self, monkeypatch):
        monkeypatch.setattr(trainer, "TOLD_AT_LEAST", float("inf"))
        heard = []
        train(replace(SMALL, steps=100 + AHEAD), device="cpu", on_step=heard.append)
        assert heard == [25, 50, 75, 100]
        monkeypatch.setattr(trainer, "TOLD_AT_LEAST", 0.0)
        heard.clear()
        train(replace(SMALL, steps=30), device="cpu", on_step=heard.append)
        assert heard == list(range(1, 31 - AHEAD))

    def test_what_on_step_raises_stops_the_replays(self, monkeypatch):
        monkeypatch.setattr(trainer, "TOLD_AT_LEAST", float("inf"))
        tapes = []
        monkeypatch.setattr(capture, "Graph", lambda step: tapes.append(Tape(step)) or tapes[-1])

        def cancel(step):
            raise InterruptedError

        with pytest.raises(InterruptedError):
            train(replace(SMALL, steps=20_000), device="cpu", on_step=cancel)
        assert tapes[0].replays == 25 + AHEAD


class TestStandIn:
    """The stand-in notices what would go wrong on a GPU."""

    def step(self, monkeypatch, wrong):
        monkeypatch.setattr(capture, "Graph", Tape)
        right = Captured._captured
        monkeypatch.setattr(Captured, "_captured", lambda self: (right(self), wrong(self)))
        monkeypatch.setitem(TRAINERS, "cpu", Captured)
        return train(SMALL, dtype=torch.float64, device="cpu")

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda self: self.w.sum().item(),
            lambda self: self.gone.tolist(),
            lambda self: self.clock.cpu(),
            lambda self: self.clock.to("cpu"),
            lambda self: bool(self.gone.any()),
            lambda self: self.multipliers.rows[self.clock],
            lambda self: self.w[self.w > 0],
        ],
        ids=["item", "tolist", "cpu", "to-cpu", "branch", "index", "mask"],
    )
    def test_a_step_that_asks_the_host_is_refused(self, monkeypatch, wrong):
        with pytest.raises(HostSync):
            self.step(monkeypatch, wrong)

    def test_a_number_of_python_stays_what_it_was(self, monkeypatch):
        steps = iter(range(1000))
        run = self.step(monkeypatch, lambda self: self.w.add_(next(steps) * 1e-6))
        drift = run.film - plain(SMALL).film
        assert np.abs(drift[-1]).max() > 1e-5
        first = run.film[1] - plain(SMALL).film[1]
        assert np.abs(first).max() == pytest.approx(run.steps[1] * 3e-6, rel=0.2), "the number of the captured call"


class Cuda:
    """Notes what is asked of torch.cuda, in its order."""

    def __init__(self, patch):
        self.asked = []
        for name in ("Stream", "CUDAGraph", "Event"):
            patch.setattr(torch.cuda, name, lambda name=name: Handle(self.asked, name))
        patch.setattr(torch.cuda, "current_stream", lambda: Handle(self.asked, "here"))
        patch.setattr(torch.cuda, "stream", lambda stream: self.within(f"on {stream.name}"))
        patch.setattr(torch.cuda, "graph", lambda graph, capture_error_mode: self.within(f"in {capture_error_mode}"))

    @contextmanager
    def within(self, what):
        self.asked.append(what)
        yield
        self.asked.append("out")


class Handle:
    """A stream, a graph or an event."""

    def __init__(self, asked, name):
        self.asked, self.name = asked, name

    def __getattr__(self, method):
        return lambda *args: self.asked.append(" ".join([self.name, method, *(other.name for other in args)]))


class TestGraph:
    def test_it_warms_up_aside_then_captures_in_full_precision(self, monkeypatch):
        cuda = Cuda(monkeypatch)
        torch.set_float32_matmul_precision("high")
        try:
            capture.Graph(lambda: cuda.asked.append(torch.get_float32_matmul_precision()))
            assert torch.get_float32_matmul_precision() == "high"
        finally:
            torch.set_float32_matmul_precision("highest")
        assert cuda.asked == [
            "Stream wait_stream here", "on Stream", "highest", "highest", "highest", "out", "here wait_stream Stream",
            "in thread_local", "highest", "out",
        ]  # fmt: skip

    def test_a_failing_step_leaves_the_precision_and_the_next_capture_alone(self, monkeypatch):
        Cuda(monkeypatch)
        torch.set_float32_matmul_precision("high")
        try:
            with pytest.raises(ZeroDivisionError):
                capture.Graph(lambda: 1 // 0)
            assert torch.get_float32_matmul_precision() == "high"
            capture.Graph(lambda: None)
        finally:
            torch.set_float32_matmul_precision("highest")

    def test_few_replays_are_under_way(self, monkeypatch):
        cuda = Cuda(monkeypatch)
        graph = capture.Graph(lambda: None)
        made = iter(range(AHEAD))
        for event in graph._under_way:
            event.name = f"event {next(made)}"
        cuda.asked.clear()
        for _ in range(AHEAD + 2):
            graph.replay()
        waits = [[f"event {i} synchronize", f"event {i} record"] for i in [*range(AHEAD), 0, 1]]
        assert cuda.asked == [asked for wait in waits for asked in ("CUDAGraph replay", *wait)]


class EverythingOn(TorchDispatchMode):
    """Refuses a tensor that lies elsewhere, even one number: a graph keeps the value that it had."""

    def __init__(self, device):
        super().__init__()
        self.device = torch.device(device)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        elsewhere = [tensor for tensor in tensors((args, kwargs)) if tensor.device != self.device]
        assert not elsewhere, f"{func} reads from {elsewhere[0].device}"
        return func(*args, **(kwargs or {}))


class OnDevice:
    """In place of ``capture.Graph``: takes one step, all of whose tensors must lie on the trainer's device."""

    def __init__(self, step):
        with EverythingOn("meta"):
            step()


@pytest.mark.parametrize("way", WAYS)
def test_a_step_reads_only_the_device(monkeypatch, way):
    monkeypatch.setattr(capture, "Graph", OnDevice)
    captured(rows_of([WAYS[way], replace(WAYS[way], decayed="biases")]), "meta")


def test_a_tensor_left_on_the_host_is_noticed(monkeypatch):
    monkeypatch.setattr(capture, "Graph", OnDevice)
    right = Captured._captured
    monkeypatch.setattr(Captured, "_captured", lambda self: (right(self), self.w.mul_(torch.tensor(1.0))))
    with pytest.raises(AssertionError, match="reads from cpu"):
        captured(rows_of([SMALL]), "meta")


class TestMemory:
    @pytest.mark.parametrize("frames", [1, 41])
    @pytest.mark.parametrize("way", ["full", "norm"])
    def test_a_model_takes_no_more_than_is_reckoned_and_not_much_less(self, monkeypatch, way, frames):
        monkeypatch.setattr(capture, "Graph", Tape)
        monkeypatch.setattr(mlp, "WORKSPACE", float("inf"))
        one = replace(WAYS[way], points=50, hidden=(12, 10), batch_size=None, steps=41)
        rows = rows_of([replace(one, weight_decay=0.1 * i) for i in range(10)])
        steps = np.linspace(0, one.steps, frames).round().astype(int)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen, torch.inference_mode():
            made = Captured(rows, torch.float64, torch.device("cpu"))
            monkeypatch.setattr(mlp, "WORKSPACE", 1e6)  # of the evaluation, which a block's reckoning leaves out
            made._sheet(steps.tolist(), lambda step: None)
        events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
        peak = np.cumsum([event.nbytes() for event in events]).max() / len(rows)
        assert peak <= bytes_of_model(one, frames, torch.float64) <= 2 * peak

    def test_blocks_fill_the_free_memory_and_no_tensor_is_too_long(self):
        one = Experiment()
        a_model = bytes_of_model(one, 41, torch.float32)
        assert models_at_once(one, 41, torch.float32, 1000 * a_model) == 800
        assert models_at_once(one, 41, torch.float32, 10) == 1
        wide = Experiment(hidden=(64,), points=500)
        assert models_at_once(wide, 2, torch.float32, 1e15) * 65 * 500 < 2**31
        assert models_at_once(one, 41, torch.float64, 1e9) * 2 == pytest.approx(
            models_at_once(one, 41, torch.float32, 1e9), abs=2
        )


@pytest.mark.parametrize("way", CALM)
def test_single_precision_is_calm_and_the_replay_agrees_over_400_steps(monkeypatch, way):
    single = train(CALM[way], device="cpu")
    assert np.abs(single.film - plain(CALM[way]).film).max() < 1e-5
    monkeypatch.setattr(capture, "Graph", Tape)
    monkeypatch.setitem(TRAINERS, "cpu", Captured)
    run = train(CALM[way], device="cpu")
    assert run.film.dtype == np.float32
    np.testing.assert_allclose(run.film, single.film, rtol=0, atol=1e-4)


@NO_GPU
class TestGPU:
    @pytest.mark.parametrize("way", CALM)
    def test_cpu_and_gpu_agree_in_float32(self, way):
        ours, theirs = (train(CALM[way], device=device) for device in ("cuda", "cpu"))
        assert ours.film.dtype == np.float32
        assert ours.diverged == theirs.diverged
        np.testing.assert_allclose(ours.film, theirs.film, rtol=0, atol=1e-4)
        for name, values in theirs.metrics.items():
            one_point = 1e-4 if "loss" in name or "norm" in name else 0.02
            np.testing.assert_allclose(ours.metrics[name], values, rtol=1e-4, atol=one_point, err_msg=name)

    @pytest.mark.parametrize("way", WAYS)
    def test_cpu_and_gpu_agree_in_float64(self, way):
        run = train(WAYS[way], dtype=torch.float64, device="cuda")
        np.testing.assert_allclose(run.film, plain(WAYS[way]).film, rtol=0, atol=1e-10)

    def test_a_diverging_run_is_frozen_at_the_same_step(self):
        assert train(DIVERGING, dtype=torch.float64, device="cuda").diverged == plain(DIVERGING).diverged

    def test_tf32_is_not_used_and_the_setting_is_given_back(self):
        torch.set_float32_matmul_precision("high")
        try:
            ours = train(CALM["default"], device="cuda")
            assert torch.get_float32_matmul_precision() == "high"
        finally:
            torch.set_float32_matmul_precision("highest")
        np.testing.assert_allclose(ours.film, train(CALM["default"], device="cpu").film, rtol=0, atol=1e-4)
