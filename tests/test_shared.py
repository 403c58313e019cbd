"""Work shared by sessions: computed once, bounded, and given up by who has moved on."""

import threading

import pytest

from pages._shared import Shelf


class MovedOn(Exception):
    pass


def idle():
    return None


def test_the_same_key_is_computed_once_for_all_who_ask_at_once():
    shelf, calls, gate = Shelf(1), [], threading.Event()

    def work():
        calls.append(1)
        gate.wait(10)
        return "result"

    waiting = threading.Event()
    results = []
    threads = [threading.Thread(target=lambda: results.append(shelf.get("k", work, waiting.set))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert waiting.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert results == ["result"] * 5
    assert len(calls) == 1


def test_the_least_recently_used_leaves_first():
    shelf, computed = Shelf(2e-6, lambda result: 1), []

    def get(key):
        return shelf.get(key, lambda: computed.append(key), idle)

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert computed == ["a", "b", "c", "b"]


def test_work_that_fails_leaves_no_trace_and_the_next_one_computes():
    shelf = Shelf(1, lambda result: 1)

    def fail():
        raise MovedOn

    with pytest.raises(MovedOn):
        shelf.get("k", fail, idle)
    assert shelf.get("k", lambda: 7, idle) == 7


def test_waiting_for_another_session_ends_when_the_visitor_moves_on():
    shelf, started, gate = Shelf(1, lambda result: 1), threading.Event(), threading.Event()

    def work():
        started.set()
        gate.wait(10)

    def leave():
        raise MovedOn

    thread = threading.Thread(target=lambda: shelf.get("k", work, idle))
    thread.start()
    assert started.wait(10)
    with pytest.raises(MovedOn):
        shelf.get("k", work, leave)
    gate.set()
    thread.join(10)


def test_a_result_too_large_for_the_shelf_is_given_but_not_kept():
    shelf, calls = Shelf(1e-6), []
    for _ in range(2):
        assert shelf.get("k", lambda: calls.append(1) or "long", idle) == "long"
    assert len(calls) == 2
