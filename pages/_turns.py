"""Turns at heavy work: who asks first begins first, and nobody waits for the end of a long training."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

AT_ONCE = min(4, max(1, (os.cpu_count() or 1) // 2))
"""Trainings at a time: two on two cores take as long together as one after the other, and hold up who serves pages;
more than a few only wait for Python."""

SLICE = 0.2
"""Seconds after which a training lets the next in line go on."""

POLL = 0.05
"""Seconds between two looks at whether the visitor has moved on."""

Pulse = Callable[[], None]
Work = Callable[[Callable[[], None]], Any]


class Turns:
    """A line for pictures, and behind it, one at a time, what has to wait while anyone wants a picture.

    ``pulse`` is called while waiting; what it raises ends the wait, which is how a newer control move cancels an older
    one.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self.changed = threading.Condition()
        self.waiting: deque[_Turn] = deque()
        self.running = 0
        self._behind = threading.Semaphore()

    def take(self, work: Work, pulse: Pulse, ahead: Callable[[int], None] = lambda count: None) -> Any:
        """Do ``work(give_way)`` in turn; it calls ``give_way`` often, which lets others go on when its slice is over.

        Args:
            work: what to do.
            pulse: called while waiting.
            ahead: told, while waiting, how many are ahead.
        """
        turn = _Turn(self, pulse, ahead)
        try:
            turn.begin()
            return work(turn.give_way)
        finally:
            turn.end()

    def behind(self, work: Callable[[Callable[[], bool]], Any], pulse: Pulse) -> Any:
        """Do ``work(wanted)`` once nobody is in line; it pauses while ``wanted()`` says that somebody is again."""
        while not self._behind.acquire(timeout=POLL):
            pulse()
        try:
            while self.wanted():
                pulse()
                time.sleep(POLL)
            return work(self.wanted)
        finally:
            self._behind.release()

    def wanted(self) -> bool:
        """Whether anyone waits for a picture or is at one."""
        return bool(self.running or self.waiting)


class _Turn:
    """One visitor's place in the line."""

    def __init__(self, turns: Turns, pulse: Pulse, ahead: Callable[[int], None]) -> None:
        self.turns, self.pulse, self.ahead = turns, pulse, ahead
        self.held, self.since = False, 0.0

    def begin(self) -> None:
        turns = self.turns
        with turns.changed:
            turns.waiting.append(self)
        while before := self._before():
            self.pulse()
            self.ahead(before)

    def _before(self) -> int:
        """How many are ahead after a moment's wait; 0 when the turn has begun."""
        turns = self.turns
        with turns.changed:
            if turns.waiting[0] is not self or turns.running >= turns.at_once:
                turns.changed.wait(POLL)
            place = turns.waiting.index(self)
            if place or turns.running >= turns.at_once:
                return place + turns.running
            turns.waiting.popleft()
            turns.running += 1
            self.held, self.since = True, time.monotonic()
            turns.changed.notify_all()
            return 0

    def give_way(self) -> None:
        if self.turns.waiting and time.monotonic() - self.since > SLICE:
            self.end()
            self.begin()

    def end(self) -> None:
        turns = self.turns
        with turns.changed:
            if self.held:
                self.held = False
                turns.running -= 1
            elif self in turns.waiting:
                turns.waiting.remove(self)
            turns.changed.notify_all()
