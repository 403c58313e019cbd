"""The line for trainings: in order, in slices, with the place known, and left at once by who has moved on."""

import threading

import pytest

from pages import _turns
from pages._turns import Turns

PATIENCE = 10


class MovedOn(Exception):
    pass


def idle():
    return None


def leave():
    raise MovedOn


class Others:
    """Threads that wait in a line, one behind the other, and note in which order they worked."""

    def __init__(self, turns):
        self.turns, self.worked, self.threads, self.places = turns, [], [], {}

    def join(self, name, work=lambda give_way: None):
        """Send one more to the end of the line, and come back when it stands there."""
        told = threading.Event()

        def note(count):
            self.places.setdefault(name, count)
            told.set()

        def worked(give_way):
            self.worked.append(name)
            work(give_way)

        thread = threading.Thread(target=lambda: self.turns.take(worked, idle, note))
        thread.start()
        self.threads.append(thread)
        assert told.wait(PATIENCE)

    def done(self):
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def turns():
    return Turns(at_once=1)


def test_turns_come_in_order_and_everyone_knows_how_many_are_ahead(turns):
    others = Others(turns)

    def first(give_way):
        for name in "abc":
            others.join(name)

    turns.take(first, idle)
    others.done()
    assert others.worked == ["a", "b", "c"]
    assert others.places == {"a": 1, "b": 2, "c": 3}
    assert not turns.wanted()


def test_as_many_work_at_once_as_may():
    turns, together = Turns(at_once=2), threading.Barrier(2, timeout=PATIENCE)
    threads = [threading.Thread(target=turns.take, args=(lambda give_way: together.wait(), idle)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not together.broken


def test_a_long_training_lets_the_next_go_on_when_its_slice_is_over(turns, monkeypatch):
    monkeypatch.setattr(_turns, "SLICE", 0.0)
    others, order = Others(turns), []

    def long(give_way):
        give_way()  # nobody waits: it goes on
        order.append("long")
        others.join("short", lambda give_way: order.append("short"))
        give_way()
        order.append("long again")

    turns.take(long, idle)
    others.done()
    assert order == ["long", "short", "long again"]


def test_within_its_slice_a_training_goes_on(turns, monkeypatch):
    monkeypatch.setattr(_turns, "SLICE", 1000.0)
    others, order = Others(turns), []

    def long(give_way):
        others.join("short", lambda give_way: order.append("short"))
        give_way()
        order.append("long")

    turns.take(long, idle)
    others.done()
    assert order == ["long", "short"]


def test_who_moves_on_leaves_the_line(turns):
    others = Others(turns)

    def first(give_way):
        with pytest.raises(MovedOn):
            turns.take(lambda give_way: pytest.fail("it was not its turn"), leave)
        others.join("next")

    turns.take(first, idle)
    others.done()
    assert others.places == {"next": 1}
    assert not turns.wanted()


def test_work_that_fails_gives_its_turn_back(turns):
    with pytest.raises(MovedOn):
        turns.take(lambda give_way: leave(), idle)
    assert turns.take(lambda give_way: "free", leave) == "free"


def test_what_can_wait_begins_when_nobody_is_in_line_and_knows_when_somebody_is(turns):
    begun, seen = threading.Event(), []

    def background(wanted):
        begun.set()
        seen.append(wanted())
        turns.take(lambda give_way: seen.append(wanted()), idle)
        seen.append(wanted())

    def picture(give_way):
        thread = threading.Thread(target=turns.behind, args=(background, asked.set))
        thread.start()
        assert asked.wait(PATIENCE)
        assert not begun.is_set()
        return thread

    asked = threading.Event()
    turns.take(picture, idle).join(PATIENCE)
    assert seen == [False, True, False]


def test_what_can_wait_is_left_while_it_waits(turns):
    def picture(give_way):
        with pytest.raises(MovedOn):
            turns.behind(lambda wanted: pytest.fail("somebody is at a picture"), leave)

    turns.take(picture, idle)
    assert turns.behind(lambda wanted: "free", leave) == "free"
