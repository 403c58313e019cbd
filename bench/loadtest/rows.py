"""The rows of the table: each starts its own servers, measures, and says what it found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.latency import ROOT
from bench.loadtest import students as at
from bench.loadtest.client import PATIENCE, Answer, App, Tab
from bench.loadtest.process import Clock, Server, pinned
from bench.loadtest.table import Line, milliseconds, percentile, pictures, problems

APP = ROOT / "app.py"
GROWTH = 1.05
"""Memory after all reruns over memory after the first tenth that counts as flat."""
ARRIVALS = 25
"""A second, of those who come and drop."""
IDLE = 0.05
"""Share of a core below which nobody trains."""


@dataclass(frozen=True)
class Scale:
    """How much of everything: the full measurement, or a quick one that only shows that it works."""

    students: float = 1.0
    seconds: float = 60.0
    think: float = 1.0
    reruns: int = 20_000
    drops: int = 500
    blocks: int = 10
    values: int | None = None

    def of(self, students: int) -> int:
        """So many students, scaled."""
        return max(3, round(students * self.students))


QUICK = Scale(students=0.03, seconds=3, think=0.1, reruns=60, drops=10, blocks=3, values=2)


def classroom(name: str, number: int, think: float, limit: float) -> Callable[[Scale, Path], list[Line]]:
    """A class that moves λ over pictures that others have seen, and the same class in front of the bare app."""

    def measure(scale: Scale, folder: Path) -> list[Line]:
        values = at.VALUES[: scale.values]
        room = at.Room(scale.of(number), think * scale.think, values=values)
        plain = at.Room(scale.of(number), think * scale.think, pages=("",), values=at.BARE_VALUES)
        theirs = _class(at.written(folder, "bare"), at.bare, plain, scale.seconds / 2)
        ours = _class(APP, at.playground, room, scale.seconds)
        ours.what = f"{name}: {room.students} students, {room.think:g} s think, warm, all pages"
        theirs.what = f"{name} in the bare app"
        ours.target = f"p95 ≤ {1e3 * limit:.0f} ms, no errors"
        ours.met = bool(ours.times) and percentile(ours.times, 95) <= limit and not ours.errors
        return [ours, theirs]

    return measure


def _class(script: Path, make: Callable[[str], App], room: at.Room, seconds: float) -> Line:
    with pinned(script) as server:
        return asyncio.run(_in_class(server, make(server.url), room, seconds))


async def _in_class(server: Server, app: App, room: at.Room, seconds: float) -> Line:
    warm_up = await at.warm(app, room) if room.pages != ("",) else []
    lesson = at.Classroom(app, room)
    seated = await lesson.seated()
    opened, before, memory = len(lesson.openings), Clock.read(server), server.memory()
    await lesson.run(seated, seconds)
    spent, after = Clock.read(server).since(before), server.memory()
    came = lesson.openings[opened:]
    reruns = len(lesson.moves) + len(came)
    wrong = at.wrong_pictures(lesson.moves) if room.pages != ("",) else []
    ended = [answer.finished for answer in lesson.moves if answer.finished is not None]
    notes = [
        f"to the end of the script p50 {milliseconds(ended, 50)}, p95 {milliseconds(ended, 95)}",
        f"{len(came)} came during it, opening p95 {milliseconds(pictures(came), 95)}",
        *_shares(spent),
    ]
    if room.pages != ("",):
        notes.append(f"{sum(bool(a.film) and a.page == '' for a in lesson.moves)} pictures compared with the engine")
    everything = [*warm_up, *lesson.openings, *lesson.moves]
    return Line("", pictures(lesson.moves), [*problems(everything), *wrong], cpu=spent.server / spent.wall,
                rerun_cpu=spent.server / max(1, reruns), memory=(memory, after), notes=notes)  # fmt: skip


def cold(scale: Scale, folder: Path) -> list[Line]:
    """Everyone opens an experiment of their own at the same moment."""
    number, limit = scale.of(60), 8.0
    with pinned(at.written(folder, "bare")) as server:
        theirs = asyncio.run(_openings(server, at.bare(server.url), [""] * number))
    with pinned(APP) as server:
        app = at.playground(server.url)
        asyncio.run(at.warm(app, at.Room(1, 0, pages=("",), values=at.VALUES[:1])))
        ours = asyncio.run(_openings(server, app, [at.seeded(1000 + seat) for seat in range(number)]))
    theirs.what = "cold60 in the bare app"
    ours.what = f"cold60: {number} students open page 1 at once, each at a seed never seen"
    ours.target = f"p95 ≤ {limit:.0f} s, right pictures, no errors"
    ours.met = len(ours.times) == number and percentile(ours.times, 95) <= limit and not ours.errors
    return [ours, theirs]


async def _openings(server: Server, app: App, queries: list[str]) -> Line:
    first = Tab(app)
    await first.open()
    before, memory = Clock.read(server), server.memory()
    tabs = [Tab(app, "", query) for query in queries]
    answers = await asyncio.gather(*(tab.open(patience=5 * PATIENCE) for tab in tabs))
    spent, after = Clock.read(server).since(before), server.memory()
    for tab in (first, *tabs):
        tab.drop()
    errors = problems(answers) + ["no picture in time" for time_ in pictures(answers) if time_ > PATIENCE]
    films = [(a.film, query) for a, query in zip(answers, queries, strict=True) if query and a.film]
    errors += [words for film, query in films if (words := at.wrong(film, at.experiment_of(query)))]
    notes = [f"all scripts ended after {spent.wall:.1f} s"]
    notes += [f"{len(films)} pictures compared with the engine"] if films else []
    return Line("", pictures(answers), errors, cpu=spent.server / spent.wall, rerun_cpu=spent.server / len(queries),
                memory=(memory, after), notes=[*notes, *_shares(spent)])  # fmt: skip


def flat(scale: Scale, folder: Path) -> list[Line]:
    """As many reruns over all pages as twenty tabs get answered; the server's memory at every tenth."""
    with pinned(APP) as server:
        return [asyncio.run(_memory(server, at.playground(server.url), scale))]


async def _memory(server: Server, app: App, scale: Scale) -> Line:
    values = at.VALUES[: scale.values]
    warm_up = await at.warm(app, at.Room(1, 0, values=values))
    marks: list[float] = []
    answers: list[Answer] = []
    start = Clock.read(server)

    async def student(rng: random.Random) -> None:
        tab = None
        while len(answers) < scale.reruns:
            if tab is None or rng.random() < 0.01:
                if tab:
                    tab.drop()
                tab = Tab(app, rng.choice(at.PAGES))
                answer = await tab.open()
            elif rng.random() < 0.05:
                answer = await tab.visit(rng.choice([page for page in at.PAGES if page != tab.page]))
            else:
                answer = await tab.move(rng.choice(values))
            answer.film = b""
            answers.append(answer)
            if answer.problems:
                tab.drop()
                tab = None
            if len(answers) % max(1, scale.reruns // 10) == 0:
                marks.append(server.memory())
        if tab:
            tab.drop()

    await asyncio.gather(*(student(random.Random(seat)) for seat in range(scale.of(20))))
    spent = Clock.read(server).since(start)
    grown = marks[-1] / marks[0]
    return Line(
        f"flat: {len(answers):,} reruns over all pages, {scale.of(20)} tabs without a pause",
        pictures(answers),
        problems([*warm_up, *answers]),
        f"memory after all ≤ {GROWTH:g} × after the first tenth, no errors",
        grown <= GROWTH and not problems([*warm_up, *answers]),
        spent.server / spent.wall,
        spent.server / len(answers),
        (marks[0], marks[-1]),
        [f"MB at each tenth: {', '.join(f'{mark:.0f}' for mark in marks)}", *_shares(spent)],
    )


def drop(scale: Scale, folder: Path) -> list[Line]:
    """Connections that ask for a training and are gone before its picture, while a few others work."""
    with pinned(APP) as server:
        return asyncio.run(_dropped(server, at.playground(server.url), scale))


async def _dropped(server: Server, app: App, scale: Scale) -> list[Line]:
    values, seconds = at.VALUES[: scale.values], max(2.0, scale.seconds / 4)
    await at.warm(app, at.Room(1, 0, pages=("",), values=values))
    tabs = [Tab(app) for _ in range(5)]
    openings = await asyncio.gather(*(tab.open() for tab in tabs))
    before = await _watch(tabs, values, asyncio.create_task(asyncio.sleep(seconds)))
    await asyncio.sleep(1)
    threads, memory = server.threads(), server.memory()
    start = Clock.read(server)
    meanwhile = await _watch(tabs, values, asyncio.create_task(_come_and_go(app, scale.drops)))
    spent = Clock.read(server).since(start)
    await asyncio.sleep(5)
    left, idle = Clock.read(server), server.threads()
    await asyncio.sleep(3)
    busy = Clock.read(server).since(left)
    after = await _watch(tabs, values, asyncio.create_task(asyncio.sleep(1)))
    for tab in tabs:
        tab.drop()
    errors = problems([*openings, *before, *meanwhile, *after])
    share = busy.server / busy.wall
    notes = [f"5 s after the last: {100 * share:.1f} % of a core over 3 s, threads {threads} before and {idle} after",
             f"all came and went in {spent.wall:.1f} s", *_shares(spent)]  # fmt: skip
    what = f"drop: 5 others while {scale.drops} come, {ARRIVALS} a second, ask for a seed never seen, and drop"
    return [
        Line(what, pictures(meanwhile),
             errors, "the server stays up, nothing trains on afterwards, no errors",
             not errors and share < IDLE and idle <= threads + 2 and bool(after), spent.server / spent.wall,
             memory=(memory, server.memory()), notes=notes),
        Line("drop: the same 5 before", pictures(before), problems(before)),
    ]  # fmt: skip


async def _come_and_go(app: App, count: int) -> None:
    rng = random.Random(0)

    async def visitor(seat: int) -> None:
        await asyncio.sleep(seat / ARRIVALS)
        tab = Tab(app, "", at.seeded(2000 + seat))
        asked = asyncio.create_task(tab.open())
        await asyncio.wait([asked], timeout=rng.uniform(0.05, 0.5))
        tab.drop()
        asked.cancel()
        await asyncio.wait([asked])

    await asyncio.gather(*(visitor(seat) for seat in range(count)))


async def _watch(tabs: list[Tab], values: Sequence[str], during: asyncio.Task[None]) -> list[Answer]:
    """What tabs meet that move once a second or so while something lasts."""

    async def student(tab: Tab, rng: random.Random) -> list[Answer]:
        answers = []
        while not during.done():
            await asyncio.sleep(rng.uniform(0.2, 1.0))
            answers.append(await tab.move(rng.choice(values)))
        return answers

    lists = await asyncio.gather(*(student(tab, random.Random(seat)) for seat, tab in enumerate(tabs)))
    await during
    return [answer for answers in lists for answer in answers]


def rate(scale: Scale, folder: Path) -> list[Line]:
    """Reruns a second with eight tabs, in turns with an app of one Altair chart on the same core."""
    with pinned(APP) as ours, pinned(at.written(folder, "chart", at.ALTAIR)) as theirs:
        return asyncio.run(_rates(ours, theirs, scale))


async def _rates(ours: Server, theirs: Server, scale: Scale) -> list[Line]:
    values, seconds = at.VALUES[: scale.values], max(1.0, scale.seconds / 12)
    app, chart = at.playground(ours.url), at.one_chart(theirs.url)
    await at.warm(app, at.Room(1, 0, pages=("",), values=values))
    sides = [([Tab(app) for _ in range(8)], values, ours), ([Tab(chart) for _ in range(8)], at.BARE_VALUES, theirs)]
    for tabs, _, _ in sides:
        await asyncio.gather(*(tab.open() for tab in tabs))
    rates: list[list[float]] = [[], []]
    lines = [Line("", []), Line("", [])]
    costs, memory = [0.0, 0.0], [ours.memory(), theirs.memory()]
    counts, others = [0, 0], []
    for block in range(scale.blocks + 1):
        for side, (tabs, choice, server) in enumerate(sides):
            start = Clock.read(server)
            until = start.wall + seconds
            rngs = [random.Random(f"{block} {seat}") for seat in range(8)]
            lists = await asyncio.gather(
                *(at.flat_out(tab, choice, rng, until) for tab, rng in zip(tabs, rngs, strict=True))
            )
            spent = Clock.read(server).since(start)
            answers = [answer for answers in lists for answer in answers]
            lines[side].errors += problems(answers)
            if block:  # the first is a warm-up
                rates[side].append(len(answers) / spent.wall)
                lines[side].times = [*lines[side].times, *pictures(answers)]
                costs[side] += spent.server
                counts[side] += len(answers)
                others.append(spent.others)
    for tabs, _, _ in sides:
        for tab in tabs:
            tab.drop()
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    for side, line in enumerate(lines):
        line.rerun_cpu = costs[side] / max(1, counts[side])
        line.memory = (memory[side], sides[side][2].memory())
    lines[0].what = f"rate: 8 tabs on page 1 as fast as it answers, {median(rates[0]):.0f} reruns/s"
    lines[1].what = f"rate: one slider and one Altair chart, {median(rates[1]):.0f} reruns/s"
    lines[0].target = f"reruns/s ≥ 1.0 × those of one Altair chart: {median(ratios):.2f}"
    lines[0].met = median(ratios) >= 1.0 and not lines[0].errors
    lines[0].notes = [f"ratios of {len(ratios)} alternating blocks {min(ratios):.2f}–{max(ratios):.2f}",
                      f"other processes took {100 * median(others):.0f} % of a core"]  # fmt: skip
    return lines


def _shares(spent: Clock) -> list[str]:
    return [f"the client took {100 * spent.client / spent.wall:.0f} % of a core, other processes "
            f"{100 * spent.others:.0f} %"]  # fmt: skip


ROWS: dict[str, Callable[[Scale, Path], list[Line]]] = {
    "class100": classroom("class100", 100, 4, 0.120),
    "class300": classroom("class300", 300, 8, 0.300),
    "cold60": cold,
    "flat": flat,
    "drop": drop,
    "rate": rate,
}
