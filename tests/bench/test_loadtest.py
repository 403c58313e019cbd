"""The load test: its protocol, its figures, and three students in front of a real server."""

import asyncio
import re
from dataclasses import replace

import pytest
import torch
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Slider_pb2 import Slider

from bench.latency import ROOT, served
from bench.loadtest.client import KEPT_RUNS, Answer, App, Tab, widget_state
from bench.loadtest.students import PAGES, VALUES, Classroom, Room, film_header, playground, wrong, wrong_pictures
from bench.loadtest.table import HEAD, Line, percentile, problems
from engine import Experiment, train
from engine.charts.film import film
from engine.charts.table import signature_table

EXPERIMENT = Experiment(steps=20, weight_decay=0.03)


@pytest.fixture(scope="module")
def picture():
    run = train(EXPERIMENT, dtype=torch.float64)
    return film(run, "key", [], signature_table(run), extra={"weight_decay": EXPERIMENT.weight_decay})


def test_a_right_picture_is_right(picture):
    assert wrong(picture, EXPERIMENT) == ""


@pytest.mark.parametrize("change", [{"weight_decay": 0.05}, {"seed": 4}, {"steps": 21}, {"variants": ("sgd",)}])
def test_a_picture_of_another_experiment_is_wrong(picture, change):
    assert wrong(picture, replace(EXPERIMENT, **change))


def test_only_pictures_that_were_kept_are_compared(picture):
    moved = Answer("", "0.03", film=picture)
    assert wrong_pictures([Answer("", "0.03"), Answer("norms", "0.03", film=b"other")]) == []
    assert wrong_pictures([moved]) != []  # the default experiment has more steps


def test_percentiles_are_measured_values():
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, q) for q in (0, 25, 50, 51, 95, 100)] == [1, 1, 2, 3, 4, 4]
    assert percentile(range(1, 101), 95) == 95


def test_a_line_says_what_was_missed():
    line = Line("row", [0.010, 0.200], ["timeout (page 1)"], "p95 ≤ 120 ms", False, 0.5, 0.0123, (500.0, 510.0))
    assert line.row() == (
        "| row | p95 ≤ 120 ms **missed** | 2 | 10 ms | 200 ms | 200 ms | 1 | 50 % | 12.3 ms | 500 → 510 MB |"
    )
    assert line.row().count("|") == HEAD[0].count("|") == Line("bare", []).row().count("|")


def slider(**fields):
    return Element(slider=Slider(id="λ", type=Slider.SELECT_SLIDER, options=["0", "0.1", "1"], default=[1], **fields))


def test_a_widget_starts_at_its_default_and_follows_the_server():
    assert list(widget_state(slider()).string_array_value.data) == ["0.1"]
    assert list(widget_state(slider(set_value=True, raw_value=["1"])).string_array_value.data) == ["1"]
    assert widget_state(Element(text={"body": "words"})) is None


def delta(body, run="1", fragment="", path=0, **metadata):
    message = ForwardMsg(hash=body)
    message.delta.new_element.text.body = body
    message.delta.fragment_id = fragment
    message.metadata.delta_path.append(path)
    message.metadata.run.script_run_id = run
    message.metadata.cacheable = True
    return message


def finished(run, *fragments):
    status = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY if fragments else ForwardMsg.FINISHED_SUCCESSFULLY
    message = ForwardMsg(script_finished=status)
    message.metadata.run.script_run_id = run
    message.metadata.run.fragment_ids.extend(fragments)
    return message


@pytest.fixture
def tab():
    return Tab(App("http://nowhere", "λ", lambda element: element.text.body == "picture"))


def test_a_hash_stands_for_the_message_that_was_kept(tab):
    tab._take(delta("picture"), 0.1)
    tab._answer = answer = Answer("")
    tab._take(ForwardMsg(ref_hash="picture"), 0.2)
    assert answer.picture == 0.2
    tab._take(ForwardMsg(ref_hash="never sent"), 0.3)
    assert len(answer.problems) == 1


def test_kept_messages_are_forgotten_as_the_browser_does(tab):
    tab._take(delta("outside"), 0)
    tab._take(delta("inside", fragment="f", path=1), 0)
    for run in range(KEPT_RUNS + 1):
        assert set(tab._kept) == {"outside", "inside"}
        tab._take(finished(str(run), "f"), 0)
    assert set(tab._kept) == {"outside"}


def test_what_a_run_no_longer_draws_is_gone(tab):
    tab._take(delta("old"), 0)
    tab._take(delta("in the fragment", fragment="f", path=1), 0)
    tab._take(finished("2", "f"), 0)
    assert [node.element.text.body for node in tab.nodes.values()] == ["old"]
    tab._take(finished("3"), 0)
    assert tab.nodes == {}


def test_an_interrupted_run_is_no_answer_and_a_failed_one_is_an_error(tab):
    tab._take(ForwardMsg(script_finished=ForwardMsg.FINISHED_EARLY_FOR_RERUN), 0)
    assert not tab._answer.done.is_set()
    tab._take(ForwardMsg(script_finished=ForwardMsg.FINISHED_WITH_COMPILE_ERROR), 0)
    assert problems([tab._answer]) == ["script failed (page 1)"]
    assert tab._answer.done.is_set()


def test_every_page_is_visited():
    text = (ROOT / "app.py").read_text(encoding="utf-8")
    assert {""} | set(re.findall(r'url_path="(\w+)"', text)) - {"slides"} == set(PAGES)


def test_three_students_see_right_pictures_and_no_error(tmp_path):
    log = tmp_path / "log.txt"

    async def lesson(url):
        sent = []
        first = Tab(playground(url))
        opened = await first.open()
        send = first._socket.send
        first._socket.send = lambda data: (sent.append(BackMsg.FromString(data)), send(data))[1]
        moved = await first.move(VALUES[5])
        elsewhere = await first.visit("norms")
        first.drop()
        room = Room(3, 0.05, pages=("", "norms"), values=VALUES[5:7], sample=1.0)
        classroom = Classroom(first.app, room)
        await classroom.run(await classroom.seated(), 1.5)
        return sent, [opened, moved, elsewhere], classroom

    with served(ROOT / "app.py", log=log) as url:
        sent, firsts, classroom = asyncio.run(lesson(url))
    answers = [*firsts, *classroom.openings, *classroom.moves]
    assert problems(answers) == []
    assert film_header(firsts[1].film)["weight_decay"] == float(VALUES[5])
    assert sum(bool(answer.film) for answer in classroom.moves) > 3
    assert wrong_pictures([firsts[1], *classroom.moves]) == []
    move, visit = (message.rerun_script for message in sent)
    assert move.fragment_id, "moving λ reruns its fragment alone"
    assert not visit.fragment_id
    decay = {"knob_variants", "mode", "knob_decayed"}  # the sidebar's widgets that are not folded away
    assert {widget.id.rpartition("-")[2] for widget in visit.widget_states.widgets} == decay
    assert len(move.widget_states.widgets) > len(decay)
    assert "Traceback" not in log.read_text(encoding="utf-8")
