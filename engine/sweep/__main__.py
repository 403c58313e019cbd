"""``python -m engine.sweep``: train every combination of some knobs into one file."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engine.experiment import KNOBS, Experiment
from engine.sweep.errors import SweepError
from engine.sweep.grid import PRECISIONS, Sweep
from engine.sweep.pool import BACKENDS
from engine.sweep.run import BLOCK_MODELS, Means, Progress, on_the_faster_device, sweep_file
from engine.sweep.store import FORMATS, Store
from engine.sweep.values import values_of

EXAMPLES = """
values: as in a permalink (16-16, adam_l2,adamw), 0..3 (whole numbers), 1e-3..10:log24, 0..1:lin5, grid (the slider's
values), default. Knobs are the fields of Experiment:
  {knobs}

examples:
  python -m engine.sweep --over weight_decay grid --over seed 0..9 --out lambda.parquet
  python -m engine.sweep --link '?v=1&points=200' --over variants adam_l2 adamw \\
      --over lr_adaptive 1e-4..0.7:log24 --over weight_decay_adaptive 1e-3..7:log24 --over seed 0..3 --out map.csv
  python -m engine.sweep --over seed 0..999 --backend dask --scheduler tcp://10.0.0.1:8786 --out seeds.parquet

A sweep that was stopped goes on when the same command is given again.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 it cannot go on, 2 a wrong call, 130 interrupted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        named = "cpu" if given.device == "auto" else given.device
        sweep = Sweep(_base(given), _over(given.over), given.precision, named)
    except ValueError as error:
        parser.error(str(error))
    tell = _Teller(sys.stderr.isatty())
    if given.device == "auto":
        sweep = on_the_faster_device(sweep)
    jobs = given.jobs or (1 if sweep.device == "cuda" else os.cpu_count() or 1)
    means = Means(jobs, given.backend, given.scheduler, given.block)
    print(f"{len(sweep):,} models in {sweep.batches:,} batches → {given.out}", file=sys.stderr)
    try:
        out = sweep_file(sweep, given.out, means, tell.progress, tell.start)
    except SweepError as error:
        return _stopped(str(error), tell, 1)
    except KeyboardInterrupt:
        return _stopped("Interrupted.", tell, 130)
    tell.clear()
    print(f"{out}: {len(sweep):,} models, {out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    return 0


def _stopped(message: str, tell: _Teller, status: int) -> int:
    tell.clear()
    kept = f" {tell.kept:,} batches are kept; the same command goes on from there." if tell.kept else ""
    print(f"{message}{kept}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m engine.sweep",
        description="Train every combination of some knobs and write one row a model.",
        epilog=EXAMPLES.format(knobs=", ".join(KNOBS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--over", nargs="+", action="append", default=[], metavar=("KNOB", "VALUE"), help="a knob and its values")
    add("--set", action="append", default=[], metavar="KNOB=VALUE", help="a knob that has one value all along")
    add("--link", default="", help="start from a permalink, or its part behind ?, instead of the default experiment")
    add("--out", type=Path, required=True, help=f"the file to make: {' or '.join(FORMATS)}")
    add("--jobs", type=_positive, help="processes of this machine (default: its cores, or 1 with a GPU)")
    add("--block", type=_positive, default=BLOCK_MODELS, metavar="MODELS", help="models of one task (%(default)s)")
    add("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="%(default)s by default, as the pages train")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes the faster one, as measured here")
    add("--backend", choices=BACKENDS, default=BACKENDS[0], help="joblib's; dask needs --scheduler")
    add("--scheduler", metavar="ADDRESS", help="of dask.distributed, such as tcp://10.0.0.1:8786")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _base(given: argparse.Namespace) -> Experiment:
    query = parse_qs(urlsplit(given.link).query or given.link.lstrip("?"))
    base, notices = Experiment.from_query(query)
    if notices:
        raise ValueError(" ".join(notices))
    for text in given.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set takes KNOB=VALUE, not {text!r}.")
        chosen, *more = values_of(name, [value])
        if more:
            raise ValueError(f"--set takes one value, not {text!r}; --over takes several.")
        base = replace(base, **{name: chosen})
    return base


def _over(given: list[list[str]]) -> dict[str, list[Any]]:
    over: dict[str, list[Any]] = {}
    for name, *texts in given:
        if name in over:
            raise ValueError(f"--over {name} is given twice.")
        over[name] = values_of(name, texts)
    return over


class _Teller:
    """Progress on stderr: one line that changes on a terminal, a line every few seconds elsewhere."""

    SELDOM = 10.0

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.told, self.width = terminal, time.monotonic(), 0
        self.store: Store | None = None

    @property
    def kept(self) -> int:
        """Batches that are safe."""
        return len(self.store.done) if self.store else 0

    def start(self, store: Store) -> None:
        self.store = store
        for path in store.spoilt:
            print(f"{path.name} could not be read; its models are trained again.", file=sys.stderr)
        if store.done:
            print(f"Going on: {len(store.done):,} batches are finished.", file=sys.stderr)

    def progress(self, progress: Progress) -> None:
        line = (
            f"{progress.done:,} of {progress.models:,} models · {progress.rate:,.0f} a second · "
            f"{_clock(progress.left)} left"
        )
        if self.terminal:
            print(f"\r{line:<{self.width}}", end="", file=sys.stderr, flush=True)
            self.width = len(line)
        elif time.monotonic() - self.told > self.SELDOM:
            self.told = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.terminal and self.width:
            print(f"\r{'':<{self.width}}\r", end="", file=sys.stderr)


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # dask's tracebacks: what went wrong is said in a sentence
    sys.exit(main())
