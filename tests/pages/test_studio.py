"""Exports in their own process: in order, bounded, never for ever, and nobody is harmed by another's."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pages._studio import LIMIT, LOWEST, Studio, StudioError, StudioFullError

ROOT = Path(__file__).parents[2]
PATIENCE = 20


class MovedOn(Exception):
    pass


class Unreadable(Exception):
    """Cannot be made again of its arguments."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


# What the process is asked to do.


def note(path, name):
    with open(path, "a", encoding="utf-8") as file:
        file.write(name)
    return name


def hold(path, progress):
    """Say that it has begun, and wait for a file."""
    progress(1, 2)
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()


def this_process():
    return os.getpid()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path):
    if not os.path.exists(path):
        Path(path).touch()
        die()
    return "made"


def fail(error, *args):
    raise error(*args)


def torch_threads():
    import torch

    return torch.get_num_threads()


def chatter():
    print("not an answer", flush=True)
    os.write(1, b"nor this")
    return "answer"


def steps(progress):
    for step in range(5):
        progress(step, 4)
        time.sleep(0.15)
    return "done"


class Gate:
    """A work that has begun and goes on when told."""

    def __init__(self, path):
        self.path, self.begun = str(path), threading.Event()

    def work(self, studio, **options):
        return studio.make(hold, self.path, on_progress=lambda done, total: self.begun.set(), **options)

    def open(self):
        Path(self.path).touch()


class Visitors:
    def __init__(self, pool):
        self.submit = pool.submit

    def hold(self, studio, gate, **options):
        """Let one ask for what lasts, and come back when it has begun."""
        asked = self.submit(gate.work, studio, **options)
        assert gate.begun.wait(PATIENCE), asked
        return asked

    def join(self, studio, *work, **options):
        """Let one more ask, and come back when it stands in line; also how many were ahead."""
        told, places = threading.Event(), []

        def ahead(count):
            places.append(count)
            told.set()

        asked = self.submit(studio.make, *work, ahead=ahead, **options)
        assert told.wait(PATIENCE), asked
        return asked, places[0]


@pytest.fixture
def new_studio():
    studios = []

    def new(**options):
        studios.append(Studio(**{"preload": ()} | options))
        return studios[-1]

    yield new
    for studio in studios:
        studio.end()


@pytest.fixture
def visitors(new_studio):
    with ThreadPoolExecutor(25) as pool:
        yield Visitors(pool)


@pytest.fixture
def new_gate(tmp_path, visitors):
    """Gates, which are open by the time that the visitors' threads are waited for."""
    gates = []

    def new():
        gates.append(Gate(tmp_path / f"gate {len(gates)}"))
        return gates[-1]

    yield new
    for gate in gates:
        gate.open()


def until(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def all_of(asked):
    return [future.result(PATIENCE) for future in asked]


def test_who_asks_first_is_served_first_and_everyone_knows_how_many_are_ahead(new_studio, new_gate, visitors, tmp_path):
    studio, gate, notes = new_studio(), new_gate(), tmp_path / "notes"
    visitors.hold(studio, gate)
    told = []
    first = visitors.submit(studio.make, note, notes, "a", ahead=told.append)
    until(lambda: told)
    asked, places = zip(*[visitors.join(studio, note, notes, name) for name in "bc"], strict=True)
    gate.open()
    assert all_of([first, *asked]) == ["a", "b", "c"]
    assert notes.read_text() == "abc"
    assert (told, places) == ([1], (2, 3))


def test_visitors_take_turns(new_studio, new_gate, visitors, tmp_path):
    studio, gate, notes = new_studio(), new_gate(), tmp_path / "notes"
    visitors.hold(studio, gate, who="many")
    asked = [visitors.join(studio, note, notes, name, who="many")[0] for name in "abc"]
    asked += [visitors.join(studio, note, notes, "1", who="one")[0]]
    asked += [visitors.join(studio, note, notes, name, who="two")[0] for name in "xy"]
    gate.open()
    all_of(asked)
    assert notes.read_text() == "1xaybc"


def test_who_asks_again_and_again_does_not_hold_up_who_asked_before(new_studio, new_gate, visitors, tmp_path):
    studio, gate, again, notes = new_studio(), new_gate(), new_gate(), tmp_path / "notes"
    visitors.hold(studio, gate, who="many")
    asked = [visitors.join(studio, note, notes, name, who="many")[0] for name in "abc"]
    asked.append(visitors.submit(again.work, studio, who="one"))
    until(lambda: len(studio._line) == 5)
    gate.open()
    assert again.begun.wait(PATIENCE)
    asked += [visitors.join(studio, note, notes, name, who=name)[0] for name in "12"]
    again.open()
    all_of(asked)
    assert notes.read_text() == "a12bc"  # they are of the round after the one that has begun


def test_the_line_is_bounded(new_studio, new_gate, visitors):
    studio, gate = new_studio(line=2), new_gate()
    visitors.hold(studio, gate)
    asked, _ = visitors.join(studio, os.getpid)
    with pytest.raises(StudioFullError, match=r"^2 exports are ahead of yours; try again in a minute\.$"):
        visitors.submit(studio.make, os.getpid).result(PATIENCE)
    gate.open()
    asked.result(PATIENCE)
    assert studio.make(os.getpid) == studio.pid


def test_twenty_at_once_all_arrive_from_one_process(new_studio, visitors):
    studio = new_studio()
    asked = [visitors.submit(studio.make, divmod, number, 7, who=number % 3) for number in range(20)]
    assert all_of(asked) == [divmod(number, 7) for number in range(20)]
    assert studio.make(os.getpid) == studio.pid != os.getpid()


def test_what_a_work_raises_arrives_as_it_is(new_studio):
    studio = new_studio()
    with pytest.raises(ValueError, match=r"^At most 10 points\.$"):
        studio.make(fail, ValueError, "At most 10 points.")
    with pytest.raises(MovedOn):
        studio.make(fail, MovedOn)
    with pytest.raises(StudioError, match=r"^Unreadable: salt and pepper$"):
        studio.make(fail, Unreadable, "salt", "pepper")
    with pytest.raises(TypeError, match="pickle"):
        studio.make(threading.Lock)
    pid = studio.pid
    assert studio.make(os.getpid) == pid


def test_what_cannot_be_sent_is_said_at_once(new_studio):
    studio = new_studio()
    with pytest.raises(Exception, match="pickle"):
        studio.make(lambda: 1)
    assert studio.make(os.getpid)


def test_a_process_that_dies_is_replaced_once(new_studio, tmp_path):
    assert new_studio().make(die_once, tmp_path / "died") == "made"


def test_a_work_that_kills_its_process_harms_no_other(new_studio, new_gate, visitors):
    studio, gate = new_studio(), new_gate()
    visitors.hold(studio, gate)
    (deadly, _), (other, _) = visitors.join(studio, die), visitors.join(studio, divmod, 7, 2)
    gate.open()
    with pytest.raises(StudioError, match="perhaps for want of memory"):
        deadly.result(PATIENCE)
    assert other.result(PATIENCE) == (3, 1)


def test_a_work_that_takes_too_long_is_ended_and_the_next_begins(new_studio, new_gate, visitors):
    studio, gate = new_studio(), new_gate()
    first = studio.make(this_process)
    studio.limit = 2.0
    long = visitors.hold(studio, gate)
    studio.limit = LIMIT
    other, _ = visitors.join(studio, os.getpid)
    with pytest.raises(StudioError, match="longer than 2 seconds"):
        long.result(PATIENCE)
    assert other.result(PATIENCE) != first


def test_the_process_ends_when_idle_and_another_comes_when_asked(new_studio):
    studio = new_studio(idle=0.1)
    first = studio.make(os.getpid)
    until(lambda: studio.pid is None)
    assert studio.make(os.getpid) != first


def test_a_warm_studio_has_its_process_before_anyone_asks(new_studio, new_gate, visitors):
    studio, gate = new_studio(), new_gate()
    assert studio.pid is None
    studio.warm()
    pid = studio.pid
    assert pid
    studio.warm()
    assert studio.make(os.getpid) == pid
    visitors.hold(studio, gate)
    studio.warm()  # while it works: not in anybody's way
    assert studio.pid == pid


def test_who_moves_on_while_waiting_leaves_the_line(new_studio, new_gate, visitors):
    studio, gate = new_studio(), new_gate()
    visitors.hold(studio, gate)
    left, asked = threading.Event(), []

    def pulse():
        if left.is_set():
            raise MovedOn

    asked = [visitors.join(studio, os.getpid, pulse=pulse)[0], visitors.join(studio, os.getpid)[0]]
    left.set()
    with pytest.raises(MovedOn):
        asked[0].result(PATIENCE)
    assert visitors.join(studio, os.getpid)[1] == 2
    assert not asked[1].done()
    gate.open()
    assert asked[1].result(PATIENCE) == studio.pid


@pytest.mark.parametrize("error", [MovedOn, TimeoutError])
def test_who_moves_on_from_a_long_work_ends_it(new_studio, new_gate, visitors, error):
    studio, gate, left = new_studio(soon=0.1), new_gate(), threading.Event()

    def pulse():
        if left.is_set():
            raise error

    unwanted = visitors.hold(studio, gate, pulse=pulse)
    first = studio.pid
    other, _ = visitors.join(studio, os.getpid)
    left.set()
    with pytest.raises(error):
        unwanted.result(PATIENCE)
    assert other.result(PATIENCE) != first


@pytest.mark.parametrize("at", ["pulse", "on_progress"])
def test_who_moves_on_from_a_short_work_leaves_the_process_to_the_next(new_studio, new_gate, visitors, at):
    studio, gate, left = new_studio(), new_gate(), threading.Event()

    def move_on(*told):
        if left.is_set() or told:
            raise MovedOn

    unwanted = visitors.hold(studio, gate, pulse=move_on) if at == "pulse" else None
    if unwanted:
        first = studio.pid
        left.set()
    else:
        with pytest.raises(MovedOn):
            studio.make(steps, on_progress=move_on)
        first = studio.pid
    other, _ = visitors.join(studio, os.getpid)
    if unwanted:
        with pytest.raises(MovedOn):
            unwanted.result(PATIENCE)
        assert not other.done()
        gate.open()
    assert other.result(PATIENCE) == first


def test_progress_comes_while_it_works(new_studio):
    told = []
    assert new_studio().make(steps, on_progress=lambda done, total: told.append((done, total))) == "done"
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_process_gives_way_and_its_own_words_are_no_answers(new_studio, capfd):
    studio = new_studio()
    assert studio.make(os.nice, 0) == LOWEST
    assert studio.make(torch_threads) == 1
    assert studio.make(chatter) == "answer"
    assert "not an answer" in capfd.readouterr().err


@pytest.mark.parametrize("working", [False, True])
def test_the_process_ends_with_a_server_that_was_killed(new_gate, working):
    gate = new_gate()
    call = f"s.make(hold, {gate.path!r}, on_progress=lambda *_: print('ready', flush=True))"
    code = f"""
import os, threading
from pages._studio import Studio
from tests.pages.test_studio import hold
s = Studio(preload=())
{call if working else "s.make(os.getpid); print('ready', flush=True)"}
threading.Event().wait()
"""
    # stderr is the process's too, so that its end is the end of both.
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "ready\n"
        server.kill()
        assert server.communicate(timeout=PATIENCE) == ("", "")


def test_in_a_streamlit_server_the_process_runs_no_script_of_it(tmp_path):
    # Here, since the processes of these tests import this module.
    from bench.latency import served
    from bench.loadtest.client import App, Tab

    runs, log = tmp_path / "runs", tmp_path / "log.txt"
    script = tmp_path / "app.py"
    script.write_text(
        f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import streamlit as st
from pages._studio import Studio
with open({str(runs)!r}, "a") as file:
    file.write(".")
st.text(Studio(preload=()).make(os.getppid) == os.getpid())
"""
    )

    async def opened(url):
        texts = []
        tab = Tab(App(url, "", lambda element: element.WhichOneof("type") == "text" and not texts.append(element)))
        answer = await tab.open()
        tab.drop()
        return answer.problems, [element.text.body for element in texts]

    with served(script, log=log) as url:
        assert asyncio.run(opened(url)) == ([], ["True"])
    assert runs.read_text() == "."
    assert "Traceback" not in log.read_text()
    assert "Fatal" not in log.read_text()
