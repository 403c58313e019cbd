"""Which device "auto" picks: the arithmetic on timings made up, and on measured ones on a GPU."""

import math
import sys
from dataclasses import replace

import pytest
import torch

from engine import Experiment, crossover, train, train_many
from engine.crossover import GPU_MODELS, LENGTHS, TINY, Line, fit, gpu_wins, lines, work_of
from engine.train import TRAINERS

CPU, GPU = Line(0.001, 20e-6, 1e-10), Line(0.1, 120e-6, 1e-12)
BIG = [Experiment(points=200, variants=("adamw",), weight_decay_adaptive=i / 100) for i in range(100)]


def clock(line, work):
    """A device that takes exactly what a line says."""
    return lambda models, steps: line.start + steps * (line.step + models * work * line.each)


@pytest.fixture
def with_gpu(monkeypatch):
    """A GPU that is only said to be there, and what was measured of it."""
    measured = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(crossover, "lines", lambda dtype: measured.append(dtype) or (CPU, GPU))
    return measured


@pytest.mark.parametrize("line", [CPU, GPU, Line(0, 0, 3e-9)])
def test_a_line_is_found_again(line):
    assert fit(clock(line, 7e4), (8, 64), 7e4) == pytest.approx(line, rel=1e-9, abs=1e-15)


def test_noise_makes_nothing_negative():
    seconds = {(64, 20): 0.2, (64, 120): 0.23, (2048, 20): 0.19, (2048, 120): 0.21}
    start, step, each = fit(lambda models, steps: seconds[models, steps], GPU_MODELS, 7e4)
    assert each == 0, "more models took less"
    assert step == pytest.approx(0.03 / (LENGTHS[1] - LENGTHS[0]))
    assert start == pytest.approx(0.2 - LENGTHS[0] * step)


@pytest.mark.parametrize("steps", [1, 400, 20_000])
def test_at_the_crossover_both_take_the_same_time(steps):
    work = crossover.crossover(CPU, GPU, steps)
    cpu, gpu = (line.start + steps * (line.step + work * line.each) for line in (CPU, GPU))
    assert cpu == pytest.approx(gpu)
    more = [line.start + steps * (line.step + 2 * work * line.each) for line in (CPU, GPU)]
    assert more[1] < more[0]


def test_long_trainings_are_worth_a_gpu_sooner():
    works = [crossover.crossover(CPU, GPU, steps) for steps in (10, 400, 20_000)]
    assert works == sorted(works, reverse=True)
    assert works[1] == pytest.approx(((0.1 - 0.001) / 400 + 100e-6) / (1e-10 - 1e-12))


def test_a_gpu_that_is_slower_for_every_model_never_wins():
    assert crossover.crossover(CPU, Line(0, 0, CPU.each), 400) == math.inf
    assert crossover.crossover(CPU, GPU._replace(each=1e-9), 400) == math.inf
    assert crossover.crossover(CPU, Line(0, 0, 0), 400) == 0, "and one that is faster at all sizes always"


def test_auto_goes_by_the_crossover_and_measures_only_for_real_work(with_gpu):
    border = crossover.crossover(CPU, GPU, 400)
    assert border > TINY
    assert not gpu_wins(TINY * 0.99, 400, torch.float32)
    assert with_gpu == []
    assert not gpu_wins(border * 0.99, 400, torch.float32)
    assert gpu_wins(border * 1.01, 400, torch.float64)
    assert with_gpu == [torch.float32, torch.float64]


def test_train_asks_for_all_models_of_the_batch(with_gpu, monkeypatch):
    class Taken(Exception):
        """The GPU's trainer was taken."""

    def taken(rows, dtype, device):
        raise Taken(len(rows))

    monkeypatch.setitem(TRAINERS, "cuda", taken)
    monkeypatch.setattr(sys.modules["engine.train"], "free_bytes", lambda: 1e9)  # the name itself is the function
    assert work_of(BIG[:1]) < crossover.crossover(CPU, GPU, 400) < work_of(BIG)
    train(replace(BIG[0], points=20))
    with pytest.raises(Taken, match="100"):
        train_many(BIG)


def test_without_a_gpu_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(crossover, "lines", lambda dtype: pytest.fail("measured"))
    assert not gpu_wins(1e12, 400, torch.float32)


def test_trainings_are_timed_on_the_cpu():
    seconds = crossover._clock(TRAINERS["cpu"], torch.device("cpu"), torch.float32)
    assert seconds(8, 300) > 2 * seconds(8, 20) > 0
    assert seconds(8, 300) == seconds(8, 300), "kept"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the crossover cannot be measured")
def test_auto_takes_the_gpu_from_the_measured_crossover_on():
    border = crossover.crossover(*lines(torch.float32), 400)
    print(f"crossover at {border:.3g} multiply-adds a step: {lines(torch.float32)}")
    assert lines(torch.float32) is lines(torch.float32)
    assert gpu_wins(max(border, TINY) * 1.01, 400, torch.float32) == (border < math.inf)
    assert not gpu_wins(min(border, 1e30) * 0.99, 400, torch.float32) or border < TINY
