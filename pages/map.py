"""Page 8, λ × η map: the test loss of two variants over a grid of both, and the U-curve over λ."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import streamlit as st

from engine import VARIANTS, Experiment
from engine.charts.landscape import here_rows, landscape_map, loss_over_lambda, lowest_shown, short_loss
from engine.claims.landscape import a_cell_is_its_run, sgd_has_one_map
from engine.figures import Shot
from engine.figures.figure import shot_of
from engine.figures.landscape import default_pair, here, own_rows, with_a_decay
from engine.landscape import GUESSING, SIDE, Landscape, Plan, Tile, etas, plan_of, train_tile, weight_decays
from engine.ridge import best_cell
from engine.train import in_blocks
from pages import _atlas, _controls, _exports, _ui
from pages._map_words import command_lines, story
from pages._maps import MAPS, Map

REFRESH = 1.5
"""Seconds between two pictures of a map that is being trained: drawing them takes from the training."""


def body(experiment: Experiment) -> None:
    line = st.empty()
    pair = choose(experiment)
    plan, notices = plan_of(experiment, pair)
    chosen = look(plan)
    begin(chosen, line, notices)
    if chosen.state == "idle" and not stopped(plan):
        MAPS.go(chosen)
    watched(experiment, chosen)
    landscape = chosen.landscape
    _ui.measured(landscape, [a_cell_is_its_run, sgd_has_one_map], (plan, landscape.seeds))
    _exports.exports(shots(pair, landscape))
    _ui.rules(replace(plan.experiment, variants=pair))
    with st.expander("The same from the command line, as a table of all models", icon=":material/terminal:"):
        st.code(command_lines(plan), language="bash", wrap_lines=True)


def look(plan: Plan, known: Map | None = None) -> Map:
    """The map of a plan, which goes on while this visitor looks at it and has not stopped it."""
    if stopped(plan):
        MAPS.leave(_ui.visitor())
        return MAPS.find(plan, known)
    return MAPS.watch(plan, _ui.visitor(), known)


def stopped(plan: Plan) -> bool:
    return st.session_state.get("map_stopped") == plan


def choose(experiment: Experiment) -> tuple[str, str]:
    """The two variants, at first the last L2 and decay of one optimizer that the experiment trains."""
    options, state = with_a_decay(), st.session_state
    asked = _controls.opened_with().get("of", "").split(",")
    if len(set(asked)) == 2 and set(asked) <= set(options):
        state.map_left, state.map_right = asked
    left, right = default_pair(experiment)
    columns = st.columns(2, gap="medium")
    state.setdefault("map_left", left)
    first = columns[0].selectbox(
        "Left map", options, format_func=title_of, key="map_left", help="Any variant with a λ."
    )
    others = [key for key in options if key != first]
    state.setdefault("map_right", right)
    if state.map_right not in others:
        state.map_right = next(key for key in (left, right, *others) if key in others)
    second = columns[1].selectbox("Right map", others, format_func=title_of, key="map_right", help="Another one.")
    return first, second


def title_of(key: str) -> str:
    return VARIANTS[key].title


def begin(chosen: Map, line: Any, notices: list[str]) -> None:
    """Train a coarse map of the first seed, as any picture is trained: in line, with progress."""
    plan, landscape = chosen.landscape.plan, chosen.landscape
    exp = plan.experiment

    def work(on_step: Callable[[int], None]) -> list[Any]:
        def train(tile: Tile, report: Callable[[int], None]) -> Any:
            return tile, *train_tile(plan, tile, report)

        coarse = list(islice(plan.tiles(), len(plan.pair)))
        return in_blocks(train, coarse, len(coarse), exp.steps, on_step, lambda: False)

    coarse = _ui.in_turn(_ui.COARSE, plan, work, line, "  \n".join(notices), exp.steps, "a coarse map")
    if not landscape.done:
        for made in coarse:
            landscape.add(*made)


def watched(experiment: Experiment, chosen: Map) -> None:
    """The map and what it says, drawn again by itself while it is trained."""
    active = chosen.active

    @st.fragment(run_every=REFRESH if active else None)
    def picture() -> None:
        if st.session_state.pop("export_pressed", False):
            st.rerun()  # the menu opens with the page, not with a picture that is soon drawn again
        if st.session_state.pop("cell_opened", False):
            st.switch_page("pages/boundaries.py")
        look(chosen.landscape.plan, chosen)
        status(chosen)
        draw(experiment, chosen.landscape)
        if chosen.active != active:
            st.rerun()

    picture()


def status(chosen: Map) -> None:
    """How far the map is, and a button to stop it or to go on."""
    landscape, state = chosen.landscape, chosen.state
    left, right = st.container(key="map_status").columns([6, 1], vertical_alignment="center")
    share, done = landscape.models / landscape.plan.models, f"{landscape.models:,} of {landscape.plan.models:,} models"
    if state == "training":
        seconds = chosen.seconds_left
        left.progress(share, f"{done}{f', about {seconds:.0f} s left' if seconds else ''}")
    elif state == "waiting":
        ahead = MAPS.ahead(chosen)
        left.progress(share, f"{done}. {ahead} {'map' if ahead == 1 else 'maps'} ahead of yours")
    elif state == "failed":
        left.error("The map's processes ended before their time; the server's log says why. What is trained is kept.")
    else:
        left.caption(f"{done} trained." if state == "done" else f"Stopped: {done} trained.")
    if chosen.active:
        right.button("Stop", on_click=stop, args=(chosen,), key="map_stop", width="stretch")
    elif state != "done":
        right.button("Go on", on_click=go_on, args=(chosen,), key="map_go", width="stretch")


def described(plan: Plan) -> str:
    """What a map is made of, in a caption."""
    exp = plan.experiment
    return (
        f"{plan.models:,} models of {exp.parameters:,} parameters, the same initial weights and points within a seed; "
        f"seeds {plan.seeds[0]}–{plan.seeds[-1]}, {exp.steps:,} steps on {exp.points:,} points. λ and η are the axes; "
        "every other knob of the sidebar counts."
    )


def stop(chosen: Map) -> None:
    st.session_state.map_stopped = chosen.landscape.plan
    MAPS.leave(_ui.visitor())


def go_on(chosen: Map) -> None:
    st.session_state.map_stopped = None
    MAPS.go(look(chosen.landscape.plan, chosen))


def draw(experiment: Experiment, landscape: Landscape) -> None:
    """Both maps with their curves, and the words."""
    plan, rows = landscape.plan, own_rows(experiment, landscape.plan)
    version = (plan, len(landscape.done))
    pictures = _ui.ATLASES.get(version, lambda: both_sides(landscape), _ui.pulse)
    own = {
        "rows": rows,
        "here": [here_rows(v, here(experiment, v)) for v in plan.variants],
        "pair": " ".join(plan.pair),
    }
    _atlas.show(f"map:{hash(version) & 0xFFFFFFFF:08x}", own, pictures, partial(open_cell, experiment, plan), export)
    st.caption(described(plan))
    for line in story(landscape, rows):
        st.markdown(line)


def both_sides(landscape: Landscape) -> bytes:
    """All that is the same for everybody who looks at a map."""
    sides = []
    for number, variant in enumerate(landscape.plan.variants):
        curve = loss_over_lambda(landscape, number) if landscape.seeds else None
        names = [f"{value:g}" for value in etas(variant)]
        more = {
            "etas": names,
            "col": SIDE // 2,
            "words": "",
            "title": variant.title,
            "curves": f"{hash(landscape.plan)} {landscape.seeds}",
        }
        best = best_cell(landscape.scores(number)) if landscape.seeds else None
        if best:
            place = f"η = {names[best.eta]}, λ = {weight_decays()[best.weight_decay]:g}"
            more["col"] = best.weight_decay
            more["words"] = (
                f"Best: {place}, test loss {short_loss(best.loss)}. Point at a cell for its numbers; click to open its "
                "run on page 1."
            )
        sides.append(_atlas.side(landscape_map(landscape, number), curve, **more))
    low, high = short_loss(lowest_shown(landscape)), f"{GUESSING:.2f}, guessing, or more"
    return _atlas.packed(sides, low=low, high=high, lambdas=[f"{value:g}" for value in weight_decays()])


def open_cell(experiment: Experiment, plan: Plan) -> None:
    """Make a cell of the map the experiment of all pages, and go to page 1."""
    cell = st.session_state["map"].cell
    variant, row, col = (int(cell[name]) for name in ("variant", "row", "col"))
    there = plan.at(variant, row, col)
    family = ("lr_adaptive", "weight_decay_adaptive") if plan.variants[variant].adaptive else ("lr", "weight_decay")
    own = {name: getattr(there, name) for name in (*family, "seed", "steps", "variants")}
    _controls.load(replace(experiment, **own))
    st.session_state.cell_opened = True
    MAPS.leave(_ui.visitor())


def export() -> None:
    """A figure's own export button."""
    st.session_state.export_asked, st.session_state.export_pressed = st.session_state["map"].export, True


def shots(pair: tuple[str, str], landscape: Landscape) -> list[Shot]:
    """The page's figures, as links name them."""
    names = ("left", "right", "left_losses", "right_losses") if landscape.seeds else ("left", "right")
    return [shot_of(f"map.{name}", st.session_state.experiment, of=",".join(pair)) for name in names]


_ui.page("Does the best λ depend on η?", body, of_maps=True)
