"""Exports at work: one after the other, in one process of its own that gives way to everything else and ends when idle.

The process is a bare Python and not one of multiprocessing's: those first import ``__main__``, which in a Streamlit
server is whatever page's script ran last. What goes between the two are pickles over its standard input and output.
"""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from bisect import insort
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")
Pulse = Callable[[], None]
Progress = Callable[[int, int], None]

LOG = logging.getLogger(__name__)
LINE = 40
"""Exports that wait or are being made at a time; whoever asks for one more is told so."""

LIMIT = 300.0
"""Seconds that one export may take."""

IDLE = 60.0
"""Seconds without work after which the process ends and its memory returns."""

SOON = 10.0
"""Seconds that work which nobody waits for any more may still take."""

TRIES = 2
"""Processes that one export may see end, each perhaps for want of memory."""

POLL = 0.05
"""Seconds between two looks at whether the visitor has moved on."""

TOLD = 0.1
"""Seconds between two words of progress."""

PRELOAD = ("engine.slides.make",)
"""What the process imports before it is asked for anything."""

LOWEST = 19
"""The niceness of the process: a slider that moves anywhere comes first."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FULL = "{} exports are ahead of yours; try again in a minute."
TOO_LONG = "The export took longer than {:g} seconds and was stopped; a smaller one may be ready in time."
DIED = "The export ended before it was done, perhaps for want of memory; a smaller one may fit."


class StudioError(Exception):
    """An export that was not made, in a sentence for the visitor."""


class StudioFullError(StudioError):
    """Too many others are in line."""


class _LeftError(BaseException):
    """The visitor has moved on while the work was being done."""

    def __init__(self, worker: _Worker, why: BaseException) -> None:
        self.worker, self.why = worker, why


class _DiedError(Exception):
    """There is no process, or it has ended in the middle of its work."""


def nothing() -> None:
    """The pulse of a visitor who stays."""


@dataclass(frozen=True, eq=False)
class _Request:
    """One visitor's place in the line: every visitor has one turn in a round.

    A round takes no more requests once it has begun, so that nobody is overtaken for ever. In a round, who had fewer
    in line when asking goes first.
    """

    who: Hashable
    round: int
    before: int
    number: int

    @property
    def order(self) -> tuple[int, int, int]:
        return self.round, self.before, self.number


class Studio:
    """The line of exports, and the process that makes them.

    Args:
        line: requests at a time.
        limit: seconds that one may take.
        idle: seconds without work after which the process ends.
        soon: seconds that work which nobody waits for any more may still take.
        preload: modules that the process imports when it starts.
    """

    def __init__(
        self,
        line: int = LINE,
        limit: float = LIMIT,
        idle: float = IDLE,
        soon: float = SOON,
        preload: Sequence[str] = PRELOAD,
    ) -> None:
        self.line, self.limit, self.idle, self.soon, self.preload = line, limit, idle, soon, preload
        self._changed = threading.Condition()
        self._line: list[_Request] = []
        self._running: _Request | None = None
        self._round = 0
        self._numbers = itertools.count()
        self._worker: _Worker | None = None

    def make(
        self,
        work: Callable[..., T],
        *args: Any,
        who: Hashable = None,
        pulse: Pulse = nothing,
        on_progress: Progress | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> T:
        """``work(*args)``, made in the process, when its turn has come; what it raises is raised here.

        Args:
            work: a function of a module, since it is sent by its name; called with the keyword ``progress``, a
                function of (done, total), if there is an ``on_progress``.
            args: what can be pickled.
            who: the visitor; different ones take turns.
            pulse: called while waiting. What it raises ends the wait; work that has begun is stopped only if it is
                not done soon, since a new process takes longer than most pictures.
            on_progress: told (done, total) now and then.
            ahead: told, while waiting, how many are ahead, when that has changed.

        Raises:
            StudioFullError: too many are in line.
            StudioError: the work took too long, or its process died over it more than once.
        """
        request, held = self._enter(who), True
        try:
            self._wait(request, pulse, ahead)
            made, answer = self._asked(pickle.dumps((work, args, on_progress is not None)), pulse, on_progress)
        except _LeftError as left:
            held = False
            threading.Thread(target=self._finish, args=(request, left.worker), name="studio rest", daemon=True).start()
            raise left.why from None
        finally:
            if held:
                self._leave(request)
        if made:
            return pickle.loads(answer)
        raise pickle.loads(answer)

    def warm(self) -> None:
        """Let the process be there, as somebody may want an export soon."""
        with self._changed, suppress(_DiedError):
            if self._running is None:
                self._ready().send(b"")

    def end(self) -> None:
        """End the process now."""
        with self._changed:
            worker, self._worker = self._worker, None
        if worker:
            worker.kill()
            worker.listener.join()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        with self._changed:
            return self._worker.process.pid if self._worker and self._worker.alive else None

    def _enter(self, who: Hashable) -> _Request:
        with self._changed:
            if len(self._line) >= self.line:
                raise StudioFullError(FULL.format(len(self._line)))
            mine = [request.round for request in self._line if request.who == who]
            request = _Request(who, max([self._round, *mine]) + 1, len(mine), next(self._numbers))
            insort(self._line, request, key=lambda other: other.order)
            return request

    def _wait(self, request: _Request, pulse: Pulse, ahead: Callable[[int], None] | None) -> None:
        told = 0
        while before := self._before(request):
            pulse()
            if ahead and before != told:  # each may be a message to a browser
                told = before
                ahead(before)

    def _before(self, request: _Request) -> int:
        """How many are ahead after a moment's wait; 0 when the turn has begun."""
        with self._changed:
            if self._running or self._line[0] is not request:
                self._changed.wait(POLL)
            if self._running or self._line[0] is not request:
                return self._line.index(request)
            self._running, self._round = request, request.round
            return 0

    def _leave(self, request: _Request) -> None:
        with self._changed:
            self._line.remove(request)
            if self._running is request:
                self._running = None
            self._changed.notify_all()

    def _finish(self, request: _Request, worker: _Worker) -> None:
        """Let the process come to the end of what nobody waits for, or end it, and go on with the line."""
        try:
            worker.answer(self.soon)
        except (StudioError, _DiedError):
            self.end()
        finally:
            self._leave(request)

    def _asked(self, question: bytes, pulse: Pulse, on_progress: Progress | None) -> tuple[bool, bytes]:
        """Whether it was made, and the pickle of what came of it; a process that dies over it is replaced once."""
        for _ in range(TRIES):
            try:
                worker = self._ready()
                return worker.asked(question, self.limit, pulse, on_progress)
            except _DiedError as error:
                LOG.warning("An export's process ended before its work. %s", error)
            except _LeftError:
                raise
            except BaseException:
                self.end()
                raise
        raise StudioError(DIED)

    def _ready(self) -> _Worker:
        with self._changed:
            if self._worker is None or not self._worker.alive:
                try:
                    self._worker = _Worker(self.idle, self.preload)
                except OSError as error:
                    raise _DiedError(error) from error
            return self._worker


class _Worker:
    """The process, as the server sees it."""

    def __init__(self, idle: float, preload: Sequence[str]) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from pages._studio import serve; serve({idle}, {[*preload]})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
        )
        self._said: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self.listener = threading.Thread(target=self._listen, name="studio", daemon=True)
        self.listener.start()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def send(self, question: bytes) -> None:
        """Ask for something."""
        assert self.process.stdin
        with suppress(OSError, ValueError):  # it has ended, which is what will be heard of it
            pickle.dump(question, self.process.stdin)
            self.process.stdin.flush()

    def asked(self, question: bytes, limit: float, pulse: Pulse, on_progress: Progress | None) -> tuple[bool, bytes]:
        """Whether it was made, and the pickle of what came of it."""
        self.send(question)
        return self.answer(limit, pulse, on_progress)

    def answer(self, limit: float, pulse: Pulse = nothing, on_progress: Progress | None = None) -> tuple[bool, bytes]:
        """What came of the question, within ``limit`` seconds."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            try:
                said = self._said.get(timeout=POLL)
            except queue.Empty:
                said = ("progress", None)
            if said is None:
                raise _DiedError
            kind, what = said
            if kind != "progress":
                return kind == "made", what
            try:
                pulse()
                if on_progress and what:
                    on_progress(*what)
            except BaseException as why:
                raise _LeftError(self, why) from None
        raise StudioError(TOO_LONG.format(limit))

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()

    def _listen(self) -> None:
        """Take in what it says, until it ends."""
        assert self.process.stdout
        try:
            with suppress(EOFError, pickle.UnpicklingError):
                while True:
                    self._said.put(pickle.load(self.process.stdout))
        finally:
            self.process.kill()
            with suppress(OSError), self.process:  # closes its pipes and waits
                pass
            self._said.put(None)


STUDIO = Studio()


def serve(idle: float, preload: Sequence[str]) -> None:
    """What the process does: answer what it is asked, until nothing is for so many seconds, or the server is gone."""
    # Ctrl-C is the server's, which it ends with. In a session of its own, where it would not hear it, its niceness
    # would not count against the server: Linux weighs sessions against each other first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _give_way()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a work prints is no answer
        questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_hear, args=(questions,), daemon=True).start()
        for name in preload:
            import_module(name)
        with suppress(queue.Empty):
            while True:
                if question := questions.get(timeout=idle):
                    _say(answers, *_worked(question, answers))
    os._exit(0)  # Python's own end waits for torch's threads and for the one that reads


def _give_way() -> None:
    """Let others have the processor first, and the memory."""
    if hasattr(os, "nice"):
        os.nice(LOWEST)
    with suppress(OSError):  # without it Linux ends whoever is largest, which may be the server
        Path("/proc/self/oom_score_adj").write_text("1000")


def _hear(questions: queue.SimpleQueue[bytes]) -> None:
    """Take in questions; end with the server, in the middle of a work too."""
    with suppress(Exception), os.fdopen(os.dup(0), "rb") as asked:
        while True:
            questions.put(pickle.load(asked))
    os._exit(1)


def _worked(question: bytes, answers: IO[bytes]) -> tuple[str, bytes]:
    """The kind of an answer, and its pickle."""
    try:
        work, args, with_progress = pickle.loads(question)
        more = {"progress": _progress(answers)} if with_progress else {}
        return "made", pickle.dumps(work(*args, **more))
    except Exception as error:
        if not isinstance(error, ValueError):  # which is a sentence for the visitor
            LOG.exception("An export was not made.")
        return "raised", _pickled(error)


def _progress(answers: IO[bytes]) -> Progress:
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done >= total or time.monotonic() - told > TOLD:
            told = time.monotonic()
            _say(answers, "progress", (done, total))

    return progress


def _say(answers: IO[bytes], kind: str, what: Any) -> None:
    pickle.dump((kind, what), answers)
    answers.flush()


def _pickled(error: Exception) -> bytes:
    """An error as it can be sent: not every one can be pickled, nor read again."""
    with suppress(Exception):
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
        return pickled
    return pickle.dumps(StudioError(f"{type(error).__name__}: {error}"))
