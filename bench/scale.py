"""Maps and sweeps at scale: ``python -m bench.scale`` measures, prints, and writes bench/SCALE.md.

Ratios are taken in one run, the two sides in turn. Nothing else may run on the machine meanwhile: the processes of a
map give way to everything.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from joblib import Parallel, delayed
from playwright.sync_api import Page, sync_playwright

from bench.__main__ import machine
from bench.latency import LAMBDA_SLIDER, ROOT, moves, served
from engine import Experiment
from engine.landscape import plan_of
from engine.sweep import Means, Sweep, sweep_file
from engine.train import train_finals
from pages._maps import Maps
from tools.browser import BROWSER_ARGS, find_browser

SCALE = Path(__file__).parent / "SCALE.md"
BASE = Experiment(points=200, steps=400, variants=("adamw",))
"""The map of the target: 4,608 models × 400 steps on 200 points."""

VALUES = tuple(round(10 ** (-3 + 4 * i / 31), 8) for i in range(32))
SWEEP = Sweep(BASE, {"weight_decay_adaptive": VALUES, "lr_adaptive": VALUES[:16]})
"""512 models for the comparison of rates."""

MANY = ["--over", "weight_decay_adaptive", "1e-3..10:log50", "--over", "lr_adaptive", "1e-4..1:log50"]
MANY += ["--over", "seed", "0..39", "--set", "variants=adamw", "--set", "steps=100"]
"""100,000 models."""

MOVES = 12


def throughput(repeats: int, jobs: int) -> list[tuple[float, float]]:
    """Seconds of (the bare engine, the sweep into a file) for the same models in as many processes, already started."""
    with tempfile.TemporaryDirectory() as folder:
        means = Means(jobs=jobs, block_models=128)

        def bare() -> None:
            blocks = list(SWEEP.blocks(range(SWEEP.batches), 128))
            if jobs == 1:
                for block in blocks:
                    _bare(block)
            else:
                Parallel(jobs, batch_size=1)(delayed(_bare)(block) for block in blocks)

        def swept() -> None:
            out = Path(folder) / "sweep.parquet"
            out.unlink(missing_ok=True)
            sweep_file(SWEEP, out, means)

        bare(), swept()
        return [(_seconds(bare), _seconds(swept)) for _ in range(repeats)]


def _bare(block: tuple[int, ...]) -> None:
    for number in block:
        train_finals(SWEEP.batch(number), dtype=torch.float64)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory() -> tuple[list[float], list[float], float]:
    """Megabytes of all processes of a sweep of 100,000 models (shared pages counted once) and of its first process,
    over time, and the seconds that it took."""
    everything, main = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "engine.sweep", *MANY, "--out", str(Path(folder) / "many.parquet")]
        start = time.monotonic()
        sweep = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while sweep.poll() is None:
            sizes = [_megabytes(pid) for pid in _tree(sweep.pid)]
            if sizes and sizes[0]:
                everything.append(sum(sizes))
                main.append(sizes[0])
            time.sleep(0.5)
        seconds = time.monotonic() - start
        assert sweep.returncode == 0
    return everything, main, seconds


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        tasks = [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                 for child in (task / "children").read_text(encoding="ascii").split()]  # fmt: skip
    except OSError:
        return []
    return [pid, *(grand for child in {*map(int, children), *tasks} for grand in _tree(child))]


def _megabytes(pid: int) -> float:
    """Proportional set size."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)


def cancels(repeats: int) -> list[float]:
    """Seconds from a visitor's Stop until every process of a map has stopped, at the target's size."""
    maps, times = Maps(), []
    for seed in range(repeats):
        plan, _ = plan_of(Experiment(points=200, steps=400, seed=100 + seed), ("adam_l2", "adamw"))
        chosen = maps.watch(plan, "a visitor")
        maps.go(chosen)
        _await(lambda chosen=chosen, tiles=seed + 2: len(chosen.landscape.done) > tiles)
        start = time.perf_counter()
        maps.leave("a visitor")
        _await(lambda chosen=chosen: chosen.state == "idle")
        times.append(time.perf_counter() - start)
    return times


def _await(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.002)


@contextmanager
def visitors() -> Iterator[tuple[Page, Page, str]]:
    """Two browser windows and the address of a server that has been warm for a while."""
    with served(ROOT / "app.py") as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
        one, other = browser.new_page(), browser.new_page()
        one.goto(f"{url}/?weight_decay=1e-6")
        one.wait_for_selector(".film[data-axis]", timeout=60_000)
        yield one, other, url
        browser.close()


def map_times(repeats: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Seconds to (the first picture, the whole map) in a browser, and another visitor's milliseconds from slider to
    picture (before, during)."""
    whole, sliders = [], []
    with visitors() as (mover, looker, url):
        for seed in range(repeats):
            mover.goto(f"{url}/?weight_decay=1e-6&seed={10 + seed}")
            mover.wait_for_selector(".film[data-axis]", timeout=60_000)
            before = moves(mover, LAMBDA_SLIDER, ".film", "data-picture", MOVES)
            start = time.perf_counter()
            looker.goto(f"{url}/map?points=200&steps=400&seed={500 + seed}")
            looker.wait_for_selector(".atlas[data-picture]", timeout=60_000)
            first = time.perf_counter() - start
            during = moves(mover, LAMBDA_SLIDER, ".film", "data-picture", MOVES)
            looker.bring_to_front()
            looker.get_by_text("4,608 of 4,608 models trained").wait_for(timeout=180_000)
            whole.append((first, time.perf_counter() - start))
            sliders.append((median(before), median(during)))
    return whole, sliders


def rows(repeats: int) -> list[str]:
    """Every figure as a row in Markdown."""
    found = []

    def row(what: str, values: list[float], form: str, target: str) -> None:
        middle, least, most = (form.format(f(values)) for f in (median, min, max))
        found.append(f"| {what} | **{middle}** | {least}–{most} | {len(values)} | {target} |")
        print(found[-1], flush=True)

    stops = cancels(repeats)
    row("Stop → every process of the map has stopped", [1e3 * s for s in stops], "{:.0f} ms", "≤ 200 ms")
    whole, sliders = map_times(repeats)
    row("address → first partial picture of the map", [first for first, _ in whole], "{:.1f} s", "≤ 3 s")
    row("address → the whole map: 4,608 models × 400 steps, 200 points, float64", [all_ for _, all_ in whole],
        "{:.1f} s", "≤ 45 s")  # fmt: skip
    row("another visitor's slider → picture meanwhile, over before (p50)", [b / a for a, b in sliders], "{:.2f}",
        "≤ 2")  # fmt: skip
    for jobs in (1, 2):
        pairs = throughput(repeats, jobs)
        row(f"rate of a sweep into a file over the bare engine's, {jobs} process{'es' if jobs > 1 else ''}",
            [a / b for a, b in pairs], "{:.2f}", "≥ 0.90")  # fmt: skip
    everything, main, seconds = memory()
    row(f"100,000 models × 100 steps ({seconds:.0f} s): all processes at most", [max(everything)], "{:.0f} MB",
        "≤ 2,000 MB")  # fmt: skip
    half = len(main) // 2
    row("its first process in the second half of the time over the first half",
        [median(main[half:]) / median(main[len(main) // 8 : half])], "{:.2f}", "1: flat")  # fmt: skip
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-file", action="store_true", help="only print")
    given = parser.parse_args()
    table = ["| what | median | min–max | repeats | target |", "|---|---|---|---|---|", *rows(given.repeats)]
    how = "Written by `make scale`."
    text = "\n\n".join(["# Maps and sweeps, measured", how, "\n".join(table), machine()]) + "\n"
    if not given.no_file:
        SCALE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
