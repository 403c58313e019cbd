"""The only Streamlit helper of the pages: the shared experiment, training with progress, downloads."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import streamlit as st
import torch
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from engine import Experiment, Run, train_many
from engine.axis import affordable, anywhere, lambdas, train_axis
from engine.charts import Picture
from engine.charts.axis import axis_film
from engine.charts.film import film, reel
from engine.charts.table import Table, signature_table
from engine.claims import Claim, Measurement
from engine.experiment import budgeted
from pages import _controls, _film
from pages._maps import MAPS
from pages._shared import Shelf
from pages._turns import Turns

T = TypeVar("T")

TURNS = Turns()
RUNS = Shelf(200, lambda runs: sum(run.film.nbytes + 200_000 for run in runs))
FILMS = Shelf(40)
REELS = Shelf(200)
AXES = Shelf(100)
AXIS_PATIENCE = 45.0
"""Seconds that a page waits for a λ axis behind everybody's pictures before it comes to its end without."""

COARSE = Shelf(5, lambda tiles: 100_000)
ATLASES = Shelf(10)
THUMBNAILS = Shelf(20, lambda made: len(made[0]))
SCENES = Shelf(20, lambda scene: 300_000)
PATIENCE = 0.4
"""Seconds of training before the page shows progress."""


def wide() -> None:
    """Let pictures use the width that Streamlit leaves empty beside them."""
    st.html(
        "<style>[data-testid=stMainBlockContainer] {padding: 3.5rem clamp(1rem, 2.5vw, 3rem) 3rem}"
        "[data-testid=stMarkdown] table {display: block; overflow-x: auto; max-width: 100%}"
        ".st-key-map_status {min-height: 3.7rem}</style>"
    )


def visitor() -> str:
    """This session, as the maps know it."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def page(
    title: str,
    body: Callable[[Experiment], None],
    seen_as: Callable[[Experiment], Experiment] = lambda exp: exp,
    of_maps: bool = False,
) -> None:
    """A page: its question as the title, the λ slider, and ``body(experiment)``, redrawn alone when λ moves.

    Args:
        title: the question that the page answers.
        body: draws the picture and the words of an experiment.
        seen_as: what the page makes of the shared experiment, where it shows a model of its own.
        of_maps: whether a map may go on while this visitor looks at the page.
    """
    frame(title, of_maps)

    @st.fragment
    def picture() -> None:
        body(_controls.lambda_bar(seen_as))

    picture()


def frame(title: str, of_maps: bool = False, of_deck: bool = False) -> None:
    """What every page begins with.

    Args:
        title: the question that the page answers.
        of_maps: whether a map may go on while this visitor looks at the page.
        of_deck: whether the page's address holds the visitor's slides.
    """
    _in_frame()
    if not of_maps:
        MAPS.leave(visitor())
    st.title(title)
    if "experiment" not in st.session_state:
        _controls.load_url()
    _controls.pin_deck(of_deck)
    notices()


def _in_frame() -> None:
    """Start over inside app.py if a fresh server was first asked for this page by its own address.

    Until app.py has called st.navigation once, Streamlit takes the folder pages/ for its older kind of multipage app
    and runs the page alone.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def notices() -> None:
    """What could not be taken from the link, in plain sentences."""
    lines = st.session_state.get("notices", [])
    if lines:
        st.warning("\n".join(f"- {line}" for line in lines[:8]), icon=":material/link:")


def pulse() -> None:
    """Let Streamlit stop this run if the visitor has moved on: any read of the session state does."""
    _ = "pulse" in st.session_state


def trained(exp: Experiment) -> Run:
    """The run of an experiment in float64, shared by all sessions; shows progress when it takes a while."""
    return trained_together([exp])[0]


def trained_together(experiments: Sequence[Experiment]) -> list[Run]:
    """The runs of several experiments that ``train_many`` can train as one batch, as ``trained`` gives each."""
    chosen, notices = budgeted(experiments)
    one, models = chosen[0], sum(len(exp.variants) for exp in chosen)

    def work(on_step: Callable[[int], None]) -> list[Run]:
        return train_many(chosen, dtype=torch.float64, on_step=on_step)

    words = _described(one, models, notices)
    return in_turn(RUNS, tuple(chosen), work, st.empty(), words, one.steps, f"{models} models")


def in_turn(
    shelf: Shelf,
    key: Hashable,
    work: Callable[[Callable[[int], None]], T],
    line: Any,
    words: str,
    steps: int,
    what: str,
) -> T:
    """What ``work(on_step)`` trains, in turn with the others, once for all sessions; ``line`` shows ``words``, and
    progress over ``steps`` when it takes a while."""
    if words:
        line.caption(words)  # before the training: every message after it would hold the picture up
    started, share = time.monotonic(), 0.0
    tell = _now_and_then(line.progress)

    def ahead(count: int) -> None:
        if time.monotonic() - started > PATIENCE:
            tell(share, f"{count} ahead of you")

    def turn(give_way: Callable[[], None]) -> T:
        def on_step(step: int) -> None:
            nonlocal share
            pulse()
            share = step / steps
            if time.monotonic() - started > PATIENCE:
                tell(share, f"Training {what}: step {step:,} of {steps:,}")
            give_way()

        return work(on_step)

    result = shelf.get(key, lambda: TURNS.take(turn, pulse, ahead), pulse)
    if time.monotonic() - started > PATIENCE:
        line.caption(words) if words else line.empty()
    return result


def replayed(kind: str, run: Run, work: Callable[[Run, Callable[[int], None]], T]) -> T:
    """What ``work(run, on_step)`` makes of the training taken again, in turn with the others; once for all sessions."""

    def turn(give_way: Callable[[], None]) -> Any:
        def on_step(step: int) -> None:
            pulse()
            give_way()

        return work(run, on_step)

    return shared(kind, run, lambda: TURNS.take(turn, pulse))


def shared(kind: str, run: Run, work: Callable[[], Any]) -> Any:
    """Something derived from a run, computed once for all sessions."""
    return SCENES.get((kind, run.experiment), work, pulse)


def play(
    run: Run,
    view: str,
    pictures: Callable[[], list[Picture]],
    fields: bool = True,
    table: Callable[[Run], Table] = signature_table,
    late: Callable[[], list[Picture]] | None = None,
    over_lambda: bool = False,
) -> None:
    """Play the film of a run in one view: a table (``fields``), the signature table by default, and charts that
    follow the step. ``late``, on a page without a table, are the same charts with all their data, for a page that
    first sends ``pictures`` without those that take long. ``over_lambda``: the page offers ``lambda_axis`` as well."""
    key = f"{view}:{hash(run.experiment) & 0xFFFFFFFF:08x}"
    shelf_key = (view, run.experiment)
    exp = run.experiment
    extra = {"axis_key": axis_key(exp), "weight_decay": exp.weight_decay} if over_lambda else None

    def opening() -> bytes:
        return film(run, key, [] if fields else pictures(), table(run) if fields else None, extra=extra)

    first = FILMS.get(shelf_key, opening, pulse)

    def closing() -> bytes:
        if late:
            return _small(film(run, key, late()))
        # After the pictures that others wait for; it asks for nothing that could wait for a turn itself.
        return TURNS.take(lambda give_way: _small(reel(key, pictures(), table(run))), pulse)

    def export() -> None:
        st.session_state.export_asked = st.session_state.film.export

    _film.play(first, export, (lambda: REELS.get(shelf_key, closing, pulse)) if fields or late else None)


def lambda_axis(exp: Experiment) -> None:
    """Train the whole λ axis behind the picture, and let the film be scrubbed over λ; once for each experiment."""
    state, shared_by_all = st.session_state, anywhere(exp)
    held = state.get("mode") == "separate" and exp.weight_decay_adaptive == exp.weight_decay
    if state.get("axis_sent") == shared_by_all or held:  # held: equal by chance, where the axis would move both
        return
    line = st.empty()
    tell = _now_and_then(line.progress)
    if not affordable(shared_by_all):
        line.caption("The whole λ axis is more than this page trains at once: fewer steps, points or units allow it.")
        return

    until, told = time.monotonic() + AXIS_PATIENCE, -1

    def patient() -> None:
        pulse()
        if time.monotonic() > until:
            raise TimeoutError

    def on_step(step: int) -> None:
        nonlocal told
        patient()
        if step > told:
            told = step
            tell(min(step / exp.steps, 1.0), f"Training the whole λ axis: {len(lambdas())} values")

    def work() -> bytes:
        axis = TURNS.behind(lambda wanted: train_axis(shared_by_all, on_step, wanted), patient)
        return _small(axis_film(axis, axis_key(exp)))

    try:
        _film.offer_axis(AXES.get(shared_by_all, work, patient))
    except TimeoutError:
        line.caption(
            "The whole λ axis is not here yet, since others are training. It is tried again with your next move."
        )
        return
    line.empty()
    state.axis_sent = shared_by_all


def _small(film: bytes) -> bytes:
    """A film as it goes over the wire when nobody waits for it: a quarter of the size, for a few milliseconds."""
    return zlib.compress(film, 1)


def axis_key(exp: Experiment) -> str:
    """Names the λ axis of an experiment; the same at every λ."""
    return f"axis:{hash(anywhere(exp)) & 0xFFFFFFFF:08x}"


def rules(experiment: Experiment) -> None:
    """The update rule, the lesson, the source and the PyTorch code of every variant on screen."""
    panel = st.expander("The rules on screen, and their PyTorch code", key="rules", on_change="rerun")
    if not panel.open:
        return
    with panel:
        for variant in experiment.chosen:
            left, right = st.columns(2)
            left.markdown(f"**{variant.title}**: {variant.lesson}  \n$${variant.rule}$$  \n_{variant.paper}_")
            right.code(experiment.snippet_of(variant), language="python")
        st.caption(
            "`decayed` are the weight matrices (`p.dim() >= 2`), `groups` puts the rest into a parameter group with "
            "`weight_decay=0`; the sidebar's “What decays” says which are in `decayed`."
        )


def measured(run: Any, claims: Sequence[Claim], key: Hashable = None) -> None:
    """The page's claims held against this run, once the panel is opened: predicted, measured, error, and where to read
    and to test each. What is no Run has a ``key`` of its own."""
    panel = st.expander("Measured, not asserted", icon=":material/fact_check:", key="measured", on_change="rerun")
    if not panel.open:
        return
    with panel:
        names = "claims " + " ".join(claim.key for claim in claims)
        checks = SCENES.get((names, key or run.experiment), lambda: [claim.check(run) for claim in claims], pulse)
        for claim, found in zip(claims, checks, strict=True):
            st.markdown(verdict(claim, found))


def verdict(claim: Claim, found: list[Measurement] | str) -> str:
    """One claim in Markdown: what it says, the values of this run or why there are none, the source and the test."""
    close = {"relative": "relative error", "absolute": "difference", "at most": "above the bound by"}[claim.kind]
    lines = [f"**{claim.says}** $\\;{claim.formula}$"]
    if isinstance(found, str):
        lines.append(f":gray[Not on this run: {found}]")
    else:
        lines += ["", f"| | predicted | measured | {close} | at most {claim.tolerance:.2g} |", "|---|--:|--:|--:|---|"]
        lines += [
            f"| {value.what} | {value.predicted:.6g} | {value.measured:.6g} | {claim.error(value):.1e} "
            f"| {':green[✓ holds]' if claim.holds(value) else ':red[✗ does not hold]'} |"
            for value in found
        ]
        lines.append("")
    source = f"[{claim.source}]({claim.link})" if claim.link else claim.source
    lines.append(f":small[{source} · `{claim.test}`]")
    return "  \n".join(lines) if isinstance(found, str) else "\n".join(lines)


def _now_and_then(tell: Callable[[float, str], Any]) -> Callable[[float, str], None]:
    """``tell``, at most ten times a second: every call is a message to the browser."""
    last = 0.0

    def seldom(share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            tell(share, text)

    return seldom


def _described(exp: Experiment, models: int, notices: list[str]) -> str:
    """What is trained, in a caption."""
    data = f"{exp.points:,} points" if exp.batch == exp.points else f"batches of {exp.batch} of {exp.points:,} points"
    words = [
        f"{models} models of {exp.parameters:,} parameters, the same initial weights, "
        f"{exp.steps:,} steps on {data}. Losses are the mean cross-entropy without the penalty.",
        *notices,
    ]
    return "  \n".join(words)
