"""Which device trains sooner, measured: from how much work on a GPU is worth its calls."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch

from engine.capture import Captured
from engine.experiment import Experiment
from engine.run import quiet_cpu
from engine.trainer import Trainer, rows_of

TINY = 1e6
"""Multiply-adds a step below which no GPU wins: a step that a CPU takes in less time than a GPU needs for its calls."""

REPEATS = 2
LENGTHS = (20, 120)
"""Steps of the two trainings that tell what comes before the first step from what every step takes."""

CPU_MODELS, GPU_MODELS = (8, 64), (64, 2048)
"""Models of the two trainings that tell what a step takes anyway from what each model adds; 64 are a CPU's block."""

PROBE = Experiment(hidden=(16, 16), points=200, variants=("adamw",))

_MEASURING = threading.Lock()


class Line(NamedTuple):
    """Seconds of a training of n steps with w multiply-adds each: start + n·(step + w·each)."""

    start: float
    step: float
    each: float


def fit(seconds: Callable[[int, int], float], models: tuple[int, int], work: float) -> Line:
    """The line through four trainings: two numbers of models × two of steps. Nothing in it is negative.

    Args:
        seconds: of a training, given models and steps.
        models: the two numbers of models.
        work: multiply-adds a step of one model.
    """
    few, many = LENGTHS
    small, large = models
    a_step = [(seconds(count, many) - seconds(count, few)) / (many - few) for count in models]
    each = max(0.0, (a_step[1] - a_step[0]) / ((large - small) * work))
    step = max(0.0, a_step[0] - each * small * work)
    start = max(0.0, seconds(small, few) - few * (step + each * small * work))
    return Line(start, step, each)


def crossover(cpu: Line, gpu: Line, steps: int) -> float:
    """Multiply-adds a step from which on a training of so many steps is done sooner on the GPU; infinite if none is."""
    lead = (gpu.start - cpu.start) / steps + gpu.step - cpu.step
    return max(0.0, lead / (cpu.each - gpu.each)) if cpu.each > gpu.each else math.inf


def gpu_wins(work: float, steps: int, dtype: torch.dtype) -> bool:
    """Whether a training is done sooner on the GPU; False where there is none.

    The first call with enough work measures both devices, which takes about a second.

    Args:
        work: multiply-adds a step of all models.
        steps: of the training.
        dtype: of all tensors.
    """
    if work < TINY or not torch.cuda.is_available():
        return False
    with _MEASURING:
        cpu, gpu = lines(dtype)
    return work >= crossover(cpu, gpu, steps)


@cache
def lines(dtype: torch.dtype) -> tuple[Line, Line]:
    """What trainings take on the CPU, in one block, and on the GPU; measured once in a process."""
    work = work_of([PROBE])
    cpu = fit(_clock(Trainer, torch.device("cpu"), dtype), CPU_MODELS, work)
    gpu = fit(_clock(Captured, torch.device("cuda"), dtype), GPU_MODELS, work)
    return cpu, gpu


def _clock(trainer: type[Trainer], device: torch.device, dtype: torch.dtype) -> Callable[[int, int], float]:
    """Seconds of a training, given models and steps: the best of some, after one that warms up."""

    def once(models: int, steps: int) -> float:
        rows = rows_of([replace(PROBE, weight_decay_adaptive=i / models, steps=steps) for i in range(models)])
        started = time.perf_counter()
        with quiet_cpu(), torch.inference_mode():
            trainer(rows, dtype, device).finals(lambda step: None)
        return time.perf_counter() - started

    @cache
    def best(models: int, steps: int) -> float:
        return min(once(models, steps) for _ in range(REPEATS))

    once(1, 1)
    return best


def work_of(experiments: Sequence[Experiment]) -> float:
    """Multiply-adds of a step of several experiments, about: models × points × parameters."""
    return sum(len(experiment.variants) * experiment.batch * experiment.parameters for experiment in experiments)
