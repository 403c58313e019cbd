"""λ × η maps at work: one at a time for the whole server, in processes that give way to everything else."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from engine.landscape import Landscape, Plan, Tile, train_tile
from engine.sweep.errors import SweepError
from engine.sweep.pool import finished

LOG = logging.getLogger(__name__)
PROCESSES = min(8, max(2, os.cpu_count() or 1))
KEPT = 40
"""Maps that are remembered, a quarter of a megabyte each."""

AWAY = 60.0
"""Seconds after which a visitor who has asked for nothing has left; a hidden tab asks once in a while."""

LOWEST = 19
"""The niceness of a map's processes: a slider that moves anywhere comes first."""


@dataclass
class Map:
    """One map, shared by all who look at it.

    Attributes:
        landscape: as far as it is trained.
        state: "idle", "waiting", "training", "done" or "failed".
        watchers: who looks at it, and when they last did.
        stop: a file whose existence tells the processes to stop.
        started: when the processes began, in seconds of time.monotonic.
    """

    landscape: Landscape
    state: str = "idle"
    watchers: dict[Hashable, float] = field(default_factory=dict)
    stop: Path | None = None
    started: float = 0.0
    done_before: int = 0

    @property
    def active(self) -> bool:
        """Whether it will change by itself."""
        return self.state in ("waiting", "training")

    @property
    def seconds_left(self) -> float | None:
        """About how long the training will still take; None before there is anything to go by."""
        models = self.landscape.models - self.done_before
        if self.state != "training" or not models:
            return None
        return (self.landscape.plan.models - self.landscape.models) * (time.monotonic() - self.started) / models


class Maps:
    """The server's maps, and the line in which they are trained."""

    def __init__(self) -> None:
        self._maps: dict[Plan, Map] = {}
        self._line: list[Map] = []
        self._lock = threading.RLock()
        self._worker: threading.Thread | None = None

    def find(self, plan: Plan, known: Map | None = None) -> Map:
        """The map of a plan, which may be ``known`` and forgotten here since."""
        with self._lock:
            here = self._maps.pop(plan) if plan in self._maps else known or Map(Landscape(plan))
            self._maps[plan] = here
            idle = [old for old, entry in self._maps.items() if not entry.active and entry is not here]
            for old in idle[: max(0, len(self._maps) - KEPT)]:
                del self._maps[old]
            return here

    def watch(self, plan: Plan, who: Hashable, known: Map | None = None) -> Map:
        """The map that a visitor looks at now; maps that nobody looks at any more stop."""
        with self._lock:
            here = self.find(plan, known)
            here.watchers[who] = time.monotonic()
            self.leave(who, here)
            return here

    def leave(self, who: Hashable, but: Map | None = None) -> None:
        """A visitor looks at no map any more, ``but`` one; what nobody looks at stops."""
        with self._lock:
            for other in self._maps.values():
                if other is not but:
                    other.watchers.pop(who, None)
            self._stop_unwatched()

    def go(self, chosen: Map) -> None:
        """Train the rest of a map, after those that were asked for before."""
        with self._lock:
            if chosen.active or chosen.state == "done":
                return
            chosen.state = "waiting"
            self._line.append(chosen)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="maps", daemon=True)
                self._worker.start()

    def ahead(self, chosen: Map) -> int:
        """Maps that are trained before this one."""
        with self._lock:
            return self._line.index(chosen) if chosen in self._line else 0

    def _stop_unwatched(self) -> None:
        now = time.monotonic()
        for chosen in list(self._line):
            for who in [who for who, seen in chosen.watchers.items() if now - seen > AWAY]:
                del chosen.watchers[who]
            if chosen.watchers:
                continue
            if chosen.state == "waiting" and chosen is not self._line[0]:
                chosen.state = "idle"
                self._line.remove(chosen)
            elif chosen.stop:
                with suppress(OSError):  # a full disk: then no further tile is given out
                    chosen.stop.touch()

    def _work(self) -> None:
        """Train what is in line, until nothing is."""
        while True:
            with self._lock:
                if not self._line:
                    self._worker = None
                    return
                chosen = self._line[0]
            failed = True
            try:
                with tempfile.TemporaryDirectory(prefix="map-") as folder:
                    self._train(chosen, Path(folder) / "stop")
                failed = False
            except (SweepError, OSError) as error:
                LOG.warning("A map was not finished: %s", error)
            except Exception:  # the next map must not wait for ever
                LOG.exception("A map was not finished.")
            with self._lock:
                whole = chosen.landscape.models == chosen.landscape.plan.models
                chosen.state = "done" if whole else "failed" if failed else "idle"
                if chosen in self._line:  # a map that waited may have been given up meanwhile
                    self._line.remove(chosen)

    def _train(self, chosen: Map, stop: Path) -> None:
        landscape = chosen.landscape
        with self._lock:
            chosen.state, chosen.stop = "training", stop
            chosen.started, chosen.done_before = time.monotonic(), landscape.models
            self._stop_unwatched()

        def missing() -> Iterator[Tile]:
            for tile in landscape.plan.tiles():
                if not chosen.watchers:
                    return
                if tile not in landscape.done:
                    yield tile

        try:
            for tile, made in finished(partial(train_gently, str(stop), landscape.plan), missing(), PROCESSES):
                if made is not None:
                    landscape.add(tile, *made)
                with self._lock:
                    self._stop_unwatched()
        finally:
            with self._lock:
                chosen.stop = None


MAPS = Maps()


class _StoppedError(Exception):
    """Nobody looks at the map any more."""


def train_gently(stop: str, plan: Plan, tile: Tile) -> tuple[NDArray, NDArray] | None:
    """``train_tile`` in a process of its own that gives way to others; None once the file ``stop`` exists."""
    if hasattr(os, "nice") and os.nice(0) < LOWEST:
        os.nice(LOWEST)

    def on_step(step: int) -> None:
        if os.path.exists(stop):
            raise _StoppedError

    try:
        on_step(0)
        return train_tile(plan, tile, on_step)
    except _StoppedError:
        return None
