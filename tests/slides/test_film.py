"""Films of the table: the training and the λ axis, as files that other programs play."""

import io

import pytest
from PIL import Image

from engine.axis import lambdas
from engine.figures.figure import trained
from engine.slides.entry import read_entry
from engine.slides.film import MOMENT, PAUSE, frames
from engine.slides.make import export_film

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
    captions = [next(slides).caption for _ in range(3)]
    assert [caption.partition(".")[0] for caption in captions[:1]] == ["λ = 0"]
    assert captions[1].startswith(f"λ = {lambdas()[1]:g}. ")


def test_a_figure_that_does_not_move_says_so():
    with pytest.raises(ValueError, match="Norms does not move"):
        frames(read_entry("/?v=1&figure=norms")[0], "light", "steps")
