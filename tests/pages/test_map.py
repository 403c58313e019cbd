"""Page 8 through AppTest, its map trained by real processes; and the line in which maps are trained."""

import shlex
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from engine import Experiment, train
from engine.landscape import SEEDS, plan_of, train_tile
from engine.ridge import best_cell
from engine.run import METRICS
from engine.sweep.__main__ import main as sweep
from pages import _maps
from pages._map_words import command_lines
from pages._maps import MAPS, Maps

PAGE = Path(__file__).parents[2] / "pages" / "map.py"
QUICK = {"steps": "3", "points": "6", "hidden": "4"}
PATIENCE = 120.0


def until(true, what):
    """Wait for a state, not for a time."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited too long for {what}"
        threading.Event().wait(0.02)


@pytest.fixture
def at(monkeypatch):
    """The page of a small map, whose processes may start."""
    monkeypatch.setattr(MAPS, "go", lambda chosen: Maps.go(MAPS, chosen))
    at = AppTest.from_file(str(PAGE), default_timeout=60)
    for name, value in QUICK.items():
        at.query_params[name] = value
    return at


def looked(at):
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    return at


def map_of(at):
    plan, _ = plan_of(at.session_state.experiment, (at.session_state.map_left, at.session_state.map_right))
    return MAPS._maps[plan]


def test_a_map_fills_while_one_looks_and_says_what_was_trained(at):
    looked(at)
    chosen = map_of(at)
    until(lambda: looked(at) and chosen.state == "done", "the whole map")
    looked(at)
    assert any("4,608 of 4,608 models trained" in caption.value for caption in at.caption)
    landscape = chosen.landscape
    assert landscape.seeds == SEEDS
    text = "\n".join(line.value for line in at.markdown)
    for number, variant in enumerate(landscape.plan.variants):
        best = best_cell(landscape.scores(number))
        assert f"{best.loss:.3f} ± {best.error:.3f}" in text
        run = train(landscape.plan.at(number, best.eta, best.weight_decay, 2), dtype=torch.float64)
        there = landscape.metrics[number, 2, best.eta, best.weight_decay]
        assert there[METRICS.index("train_loss")] == pytest.approx(run.series("train_loss")[variant.key][-1], rel=1e-12)
    until(lambda: MAPS._worker is None, "the end of the work")


def test_stop_keeps_what_is_trained_and_go_on_trains_the_rest(at, monkeypatch):
    at.query_params["seed"] = "100"
    trained = []

    def slowly(work, tasks, jobs):
        for task in tasks:
            made = work(task)
            if made is not None:
                trained.append(task)
            yield task, made
            if len(trained) == 10:
                until(lambda: chosen().stop is None or chosen().stop.exists(), "the click on Stop")

    def chosen():
        return map_of(at)

    monkeypatch.setattr(_maps, "finished", slowly)
    monkeypatch.setattr(_maps, "LOWEST", 0)  # this process is not to give way
    looked(at)
    until(lambda: len(trained) == 10, "ten tiles")
    looked(at)
    at.button(key="map_stop").click()
    looked(at)
    until(lambda: chosen().state == "idle", "the map to stop")
    looked(at)
    assert len(trained) == 10
    assert chosen().landscape.models == 12 * 64
    assert any("Stopped: 768 of 4,608 models trained" in caption.value for caption in at.caption)
    looked(at)
    assert chosen().state == "idle"  # until one asks for it
    at.button(key="map_go").click()
    looked(at)
    until(lambda: chosen().state == "done", "the rest")
    assert len(trained) == len(set(trained)) == 70
    until(lambda: MAPS._worker is None, "the end of the work")


def test_processes_that_die_leave_a_clear_word_and_what_is_trained(at, monkeypatch):
    at.query_params["seed"] = "200"

    def dying(work, tasks, jobs):
        yield from ()
        raise _maps.SweepError("Processes died 3 times in a row, perhaps for want of memory.")

    monkeypatch.setattr(_maps, "finished", dying)
    looked(at)
    until(lambda: map_of(at).state == "failed", "the failure")
    looked(at)
    assert "ended before their time" in at.error[0].value
    assert map_of(at).landscape.models == 128
    assert at.button(key="map_go").label == "Go on"


def test_whoever_leaves_the_page_leaves_the_map(at):
    at.query_params["seed"] = "300"
    at.query_params["steps"] = "2000"
    looked(at)
    chosen = map_of(at)
    assert chosen.watchers
    other = AppTest.from_file(str(PAGE.with_name("norms.py")), default_timeout=60)
    looked(other)
    assert not chosen.watchers
    until(lambda: chosen.state == "idle", "the map to stop")


def test_another_pair_is_another_map(at, monkeypatch):
    monkeypatch.setattr(MAPS, "go", lambda chosen: None)
    looked(at)
    at.selectbox(key="map_left").select("adamw")
    looked(at)
    assert at.session_state.map_right != "adamw"
    at.selectbox(key="map_left").select("sgd_l2")
    at.selectbox(key="map_right").select("sgdw")
    looked(at)
    assert map_of(at).landscape.plan.pair == ("sgd_l2", "sgdw")
    assert "adamw" in at.selectbox(key="map_right").options or "AdamW" in at.selectbox(key="map_right").options


@pytest.mark.parametrize(
    ("variants", "pair"),
    [
        ("sgd,sgd_l2,sgdw", ("sgd_l2", "sgdw")),
        ("momentum_l2,momentum_w", ("momentum_l2", "momentum_w")),
        ("sgd,adam", ("adam_l2", "adamw")),
    ],
)
def test_the_first_pair_is_the_experiments(at, monkeypatch, variants, pair):
    monkeypatch.setattr(MAPS, "go", lambda chosen: None)
    at.query_params["variants"] = variants
    assert (looked(at).session_state.map_left, at.session_state.map_right) == pair


def test_the_command_lines_train_the_same_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan, _ = plan_of(Experiment(steps=2, points=4, hidden=(3,), seed=7), ("sgd_l2", "adamw"))
    first, second = command_lines(plan).replace("\\\n", " ").splitlines()
    for number, command in enumerate((first, second)):
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "engine.sweep"]
        assert sweep([*words[3:], "--jobs", "1"]) == 0
        key = plan.pair[number]
        frame = pd.read_parquet(tmp_path / f"{key}.parquet")
        assert len(frame) == SEEDS * 24 * 24
        for tile in list(plan.tiles())[number :: 2 * 9 + 2][:3]:
            metrics, _ = train_tile(plan, tile)
            own = frame[frame.seed == plan.seeds[tile.seed]].sort_values(["variant_lr", "variant_weight_decay"])
            table = own[list(METRICS)].to_numpy().reshape(24, 24, -1)[tile.eta :: 3, tile.weight_decay :: 3]
            np.testing.assert_allclose(metrics, table, rtol=1e-6)


# ---- the line ----------------------------------------------------------------------------------------------------


@pytest.fixture
def line(monkeypatch):
    """Maps whose tiles are trained when the test says so."""
    state = SimpleNamespace(maps=Maps(), gates={}, at_work=[])

    def gated(work, tasks, jobs):
        plan, stop = work.args[1], Path(work.args[0])
        state.at_work.append(plan)
        for task in tasks:
            until(lambda: state.gates[plan].is_set() or stop.exists(), "a gate")
            if stop.exists():
                return
            yield task, (np.zeros((8, 8, len(METRICS))), np.zeros((8, 8), dtype=int))

    monkeypatch.setattr(_maps, "finished", gated)
    yield state
    for gate in state.gates.values():
        gate.set()
    until(lambda: state.maps._worker is None, "the end of the line")


def asked(line, seed, who):
    plan, _ = plan_of(Experiment(seed=seed), ("adam_l2", "adamw"))
    line.gates.setdefault(plan, threading.Event())
    chosen = line.maps.watch(plan, who)
    line.maps.go(chosen)
    return plan, chosen


def test_one_map_at_a_time_in_the_order_of_asking(line):
    (first, a), (second, b), (_, c) = (asked(line, seed, f"visitor {seed}") for seed in (1, 2, 3))
    until(lambda: line.at_work == [first], "the first")
    assert [line.maps.ahead(chosen) for chosen in (a, b, c)] == [0, 1, 2]
    line.gates[first].set()
    until(lambda: a.state == "done" and line.at_work[-1] == second, "the second")
    assert line.maps.ahead(c) == 1


def test_all_who_look_share_one_map_and_it_stops_when_the_last_has_gone(line):
    plan, chosen = asked(line, 1, "a")
    assert asked(line, 1, "b")[1] is chosen
    until(lambda: chosen.stop is not None, "the work to begin")
    line.maps.leave("a")
    assert not chosen.stop.exists()
    line.maps.leave("b")
    until(lambda: chosen.state == "idle", "the map to stop")
    assert line.at_work == [plan]


def test_a_visitor_who_looks_at_another_map_has_left_the_first(line):
    _, first = asked(line, 1, "a")
    until(lambda: first.stop is not None, "the work to begin")
    _, second = asked(line, 2, "a")
    until(lambda: first.state == "idle" and second.state == "training", "the other map")


def test_a_visitor_who_has_gone_waits_no_longer(line, monkeypatch):
    _, first = asked(line, 1, "a")
    until(lambda: first.stop is not None, "the work to begin")
    _, second = asked(line, 2, "b")
    monkeypatch.setattr(_maps, "AWAY", -1.0)
    line.maps.watch(first.landscape.plan, "a")
    assert second.state == "idle"


def test_stop_holds_for_one_though_others_look(line):
    _, chosen = asked(line, 1, "a")
    asked(line, 1, "b")
    until(lambda: chosen.stop is not None, "the work to begin")
    for who in ("a", "b"):
        line.maps.leave(who)
        assert line.maps.find(chosen.landscape.plan) is chosen  # as a page that has stopped it looks on
    until(lambda: chosen.state == "idle", "the map to stop")


def test_a_stop_just_as_the_work_begins_counts(line, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    class Slow(tempfile.TemporaryDirectory):
        def __enter__(self):
            begun.set()
            assert go.wait(PATIENCE)
            return super().__enter__()

    monkeypatch.setattr(_maps.tempfile, "TemporaryDirectory", Slow)
    _, chosen = asked(line, 1, "a")
    assert begun.wait(PATIENCE)
    line.maps.leave("a")
    go.set()
    until(lambda: chosen.state == "idle", "the map to stop")
    assert chosen.landscape.models == 0


def test_a_full_disk_does_not_break_other_pages_and_the_map_ends(line, monkeypatch):
    plan, chosen = asked(line, 1, "a")
    until(lambda: chosen.stop is not None, "the work to begin")
    chosen.stop = Path("/proc/nothing/can/be/written/here")
    line.maps.leave("a")
    line.gates[plan].set()
    until(lambda: chosen.state == "idle", "the map to end")
    assert chosen.landscape.models < 4608


def test_a_map_that_was_forgotten_is_taken_up_again(line, monkeypatch):
    monkeypatch.setattr(_maps, "KEPT", 1)
    plan, chosen = asked(line, 1, "a")
    line.maps.leave("a")
    until(lambda: chosen.state == "idle", "the map to stop")
    line.maps.watch(plan_of(Experiment(seed=2), ("adam_l2", "adamw"))[0], "b")
    assert plan not in line.maps._maps
    assert line.maps.watch(plan, "a", chosen) is chosen


def test_maps_are_forgotten_in_the_order_of_looking(line, monkeypatch):
    monkeypatch.setattr(_maps, "KEPT", 2)
    plans = [plan_of(Experiment(seed=seed), ("adam_l2", "adamw"))[0] for seed in range(4)]
    for plan in plans:
        line.maps.watch(plan, "a")
    assert list(line.maps._maps) == plans[2:]


def test_a_gentle_process_gives_way_and_stops_at_once(tmp_path, monkeypatch):
    niceness = []
    monkeypatch.setattr(_maps.os, "nice", lambda by: niceness.append(by) or 0)
    plan, _ = plan_of(Experiment(steps=2, points=4, hidden=(3,)), ("adam_l2", "adamw"))
    first, *_ = plan.tiles()
    metrics, _ = _maps.train_gently(str(tmp_path / "stop"), plan, first)
    assert niceness == [0, 19]
    assert np.array_equal(metrics, train_tile(plan, first)[0])
    (tmp_path / "stop").touch()
    assert _maps.train_gently(str(tmp_path / "stop"), plan, first) is None
