"""Sweeps: every combination of some knobs, in many processes, into a table or a file. ``python -m engine.sweep``."""

from engine.sweep.errors import SweepError
from engine.sweep.grid import Sweep
from engine.sweep.rows import SCHEMA, experiment_of
from engine.sweep.run import Means, Progress, sweep_file, sweep_frame

__all__ = ["SCHEMA", "Means", "Progress", "Sweep", "SweepError", "experiment_of", "sweep_file", "sweep_frame"]
