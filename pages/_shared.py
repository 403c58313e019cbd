"""Finished work shared by all sessions: bounded, and each piece computed once however many ask for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

_POLL = 0.05


class Shelf:
    """The most recently used results of expensive work, by key, in so many megabytes.

    st.cache_resource would replay the progress bar that the work draws, so this is its own forty lines. ``pulse`` is
    called while waiting; what it raises ends the wait, which is how a newer control move cancels an older one.
    """

    def __init__(self, megabytes: float, weigh: Callable[[Any], int] = len) -> None:
        self._room = megabytes * 1e6
        self._weigh = weigh
        self._done: OrderedDict[Hashable, Any] = OrderedDict()
        self._busy: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, work: Callable[[], Any], pulse: Callable[[], None]) -> Any:
        """The result of ``work()`` for this key: from the shelf, from the session that is at it, or computed now."""
        while True:
            with self._lock:
                if key in self._done:
                    self._done.move_to_end(key)
                    return self._done[key]
                other = self._busy.get(key)
                if other is None:
                    mine = self._busy[key] = threading.Event()
                    break
            while not other.wait(_POLL):
                pulse()
        try:
            result = work()
            with self._lock:
                self._done[key] = result
                self._room -= self._weigh(result)
                while self._room < 0 and self._done:
                    self._room += self._weigh(self._done.popitem(last=False)[1])
            return result
        finally:
            with self._lock:
                del self._busy[key]
            mine.set()
