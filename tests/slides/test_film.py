"""Films of the table: the training and the λ axis, as files that other programs play."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from engine.axis import lambdas
from engine.figures.figure import trained
from engine.figures.link import from_link
from engine.slides.entry import read_entry
from engine.slides.film import MOMENT, PAUSE, frames
from engine.slides.make import export_film
from engine.slides.slide import settings

ENTRY = read_entry("/?v=1&steps=8&variants=sgd_l2,adamw&figure=table")[0]
SIZE = (1280, 720)


@pytest.fixture(scope="module", params=["webp", "gif"])
def film(request):
    told = []
    made = export_film(request.param, ENTRY, "light", "steps", progress=lambda *now: told.append(now))
    return request.param, made, told


def test_a_film_has_a_picture_for_every_recorded_step_and_stays_on_the_last(film):
    kind, made, told = film
    steps = len(trained(ENTRY.shot.experiment).steps)
    moving = Image.open(io.BytesIO(made))
    assert (moving.format, moving.size, moving.n_frames) == (kind.upper(), SIZE, steps)
    assert moving.info["loop"] == 0
    times = []
    for i in range(steps):
        moving.seek(i)
        moving.load()
        times.append(moving.info["duration"])
    assert times == [MOMENT] * (steps - 1) + [PAUSE]
    assert told == [(i, steps) for i in range(1, steps + 1)]


def test_the_pictures_of_a_film_differ(film):
    _, made, _ = film
    moving = Image.open(io.BytesIO(made))
    seen = set()
    for i in range(moving.n_frames):
        moving.seek(i)
        seen.add(moving.convert("RGB").tobytes())
    assert len(seen) == moving.n_frames


def test_a_film_over_lambda_goes_over_the_whole_axis():
    slides, total = frames(ENTRY, "dark", "lambda")
    assert total == len(lambdas())
    shown = list(slides)
    for value, slide in zip(lambdas(), shown, strict=True):
        assert slide.caption.startswith(f"λ = {value:g} (SGD): ")
        assert "Step" not in slide.caption
        exp = replace(ENTRY.shot.experiment, weight_decay=value)
        assert slide.settings == settings(exp)
        shot, notices = from_link(slide.link)
        assert (shot.experiment, notices) == (exp, [])
    gone = [key for key, step in trained(replace(ENTRY.shot.experiment, weight_decay=10.0)).diverged.items() if step]
    assert len(gone) == 2
    assert "diverged" in shown[-1].caption
    assert "=" not in shown[-1].caption.partition(": ")[2]


def test_every_picture_of_a_training_has_a_link_to_itself():
    slides, _ = frames(ENTRY, "light", "steps")
    steps = trained(ENTRY.shot.experiment).steps.tolist()
    shots = [from_link(slide.link)[0] for slide in slides]
    assert [int(shot.option("at")) for shot in shots] == steps


def test_a_figure_that_does_not_move_says_so():
    with pytest.raises(ValueError, match="Norms does not move"):
        frames(read_entry("/?v=1&figure=norms")[0], "light", "steps")
