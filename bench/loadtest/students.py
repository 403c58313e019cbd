"""What students do: open a page, look, move λ, leave. Also which apps they do it to, and whether pictures are right."""

from __future__ import annotations

import asyncio
import json
import math
import random
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import torch

from bench.latency import BARE, ROOT
from bench.loadtest.client import Answer, App, Tab
from engine import VARIANTS, Experiment, train
from engine.axis import lambdas
from engine.experiment import KNOBS

PAGES = ("", *sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py")
                     if path.stem not in ("boundaries", "slides")))  # fmt: skip
"""Addresses of all pages with pictures, the first one first."""
VALUES = tuple(f"{value:g}" for value in lambdas()[2::4])
"""The λ in use: every fourth of the slider's."""
BARE_VALUES = tuple(str(value) for value in range(100))
ALTAIR = """
import altair as alt
import pandas as pd
import streamlit as st
value = st.slider("value", 0, 100, 20)
frame = pd.DataFrame({"x": range(41), "y": [value * x for x in range(41)]})
st.altair_chart(alt.Chart(frame).mark_line().encode(x="x", y="y"))
"""
SAMPLE = 0.2
PAGE_ONE = 0.5
"""Share of students who are on the first page."""
VISIT = 12
"""Moves that a student makes before leaving, on average."""


def playground(url: str) -> App:
    """The playground; its picture is the film, or the map of page 8."""
    label = KNOBS["weight_decay"].label
    return App(url, label, lambda element: element.bidi_component.component_name.endswith(("wdp_film", "wdp_map")))


def bare(url: str) -> App:
    """One slider and one line of text."""
    return App(url, "value", lambda element: element.WhichOneof("type") == "text")


def one_chart(url: str) -> App:
    """One slider and one Altair chart."""
    return App(url, "value", lambda element: element.WhichOneof("type") == "vega_lite_chart")


def written(folder: Path, name: str, script: str = BARE) -> Path:
    """A script's file."""
    path = folder / f"{name}.py"
    path.write_text(script, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Room:
    """Who is in the room: how many, how long they think, the pages they are on, the values they choose from, and the
    share of the first page's pictures that is kept for a comparison."""

    students: int
    think: float
    pages: Sequence[str] = PAGES
    values: Sequence[str] = VALUES
    sample: float = SAMPLE


async def warm(app: App, room: Room) -> list[Answer]:
    """See every page at every value once, one after the other."""
    answers = []
    for page in room.pages:
        tab = Tab(app, page)
        answers.append(await tab.open())
        for value in room.values if not answers[-1].problems else ():
            answers.append(await tab.move(value))
        tab.drop()
    return answers


class Classroom:
    """Students come, think, move λ and leave, and others come, for some seconds.

    The time starts when all have their first picture. Half of those who leave do so in the middle of an answer.
    """

    def __init__(self, app: App, room: Room) -> None:
        self.app, self.room = app, room
        self.openings: list[Answer] = []
        self.moves: list[Answer] = []
        self._seated = 0
        self._everyone = asyncio.Event()
        self._until = math.inf

    async def seated(self) -> list[asyncio.Task[None]]:
        """Let all in; returns their tasks when everyone has a picture."""
        tasks = [asyncio.create_task(self._student(random.Random(seat))) for seat in range(self.room.students)]
        await self._everyone.wait()
        return tasks

    async def run(self, tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
        """Let them work for so long; what was sent before does not count."""
        self.moves.clear()
        self._until = time.perf_counter() + seconds
        await asyncio.gather(*tasks)

    async def _student(self, rng: random.Random) -> None:
        await asyncio.sleep(rng.uniform(0, self.room.think))
        first = True
        while time.perf_counter() < self._until:
            tab = self._tab(rng)
            self.openings.append(await tab.open())
            if first:
                first = False
                self._seated += 1
                if self._seated == self.room.students:
                    self._everyone.set()
            if self.openings[-1].problems:
                await asyncio.sleep(self.room.think)
            else:
                await self._stay(tab, rng)
            tab.drop()

    def _tab(self, rng: random.Random) -> Tab:
        first = rng.random() < PAGE_ONE or len(self.room.pages) == 1
        return Tab(self.app, self.room.pages[0] if first else rng.choice(self.room.pages[1:]))

    async def _stay(self, tab: Tab, rng: random.Random) -> None:
        shown = ""
        for _ in range(1 + int(rng.expovariate(1 / VISIT))):
            await asyncio.sleep(rng.uniform(0.5, 1.5) * self.room.think)
            if time.perf_counter() >= self._until:
                return
            shown = rng.choice([value for value in self.room.values if value != shown])
            answer = await tab.move(shown)
            self.moves.append(answer)
            if rng.random() >= self.room.sample:
                answer.film = b""
        if rng.random() < 0.5:
            unheard = asyncio.create_task(tab.move(rng.choice(self.room.values)))
            await asyncio.sleep(0.02)
            unheard.cancel()
            with suppress(asyncio.CancelledError):
                await unheard


async def flat_out(tab: Tab, values: Sequence[str], rng: random.Random, until: float) -> list[Answer]:
    """Move as fast as the app answers, until a time."""
    answers: list[Answer] = []
    while time.perf_counter() < until:
        last = answers[-1].value if answers else ""
        answers.append(await tab.move(rng.choice([value for value in values if value != last])))
        answers[-1].film = b""
    return answers


def seeded(seed: int) -> str:
    """The URL of the default experiment at another seed."""
    return f"v=1&seed={seed}"


def experiment_of(query: str, value: str = "") -> Experiment:
    """What a URL and a λ on the slider ask for."""
    experiment, notices = Experiment.from_query(parse_qs(query))
    assert not notices, notices
    return replace(experiment, weight_decay=float(value)) if value else experiment


def wrong(film: bytes, experiment: Experiment) -> str:
    """What a picture of the first page says wrongly about an experiment, trained here; "" for a right one."""
    header = film_header(film)
    run = train(experiment, dtype=torch.float64)
    rows = {VARIANTS[key].title: run.row(key) for key in experiment.variants}
    if header["weight_decay"] != experiment.weight_decay or {p["title"] for p in header["panels"]} != set(rows):
        return f"a picture of another experiment: λ = {header['weight_decay']}"
    metrics = run.metrics_at(slice(-1, None))
    for panel in header["panels"]:
        for said, metric in (("loss", "test_loss"), ("norm", "weight_norm"), ("accuracy", "test_accuracy")):
            shown, true = panel[said][-1], float(metrics[metric][-1, rows[panel["title"]]])
            if (shown is None) != (not math.isfinite(true)) or (shown is not None and not _same(shown, true)):
                return f"{panel['title']} shows {metric} {shown}, trained here {true}"
    return ""


def _same(shown: float, true: float) -> bool:
    return math.isclose(shown, true, rel_tol=1e-4)


def film_header(film: bytes) -> dict[str, Any]:
    """The header of a film, as the player reads it."""
    (length,) = struct.unpack_from("<I", film)
    return json.loads(film[4 : 4 + length])


def wrong_pictures(answers: Sequence[Answer], query: str = "v=1") -> list[str]:
    """What the kept pictures of the first page say wrongly."""
    kept = [answer for answer in answers if answer.page == "" and answer.film and answer.value and not answer.problems]
    return [words for answer in kept if (words := wrong(answer.film, experiment_of(query, answer.value)))]
