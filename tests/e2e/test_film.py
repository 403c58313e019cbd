"""Page 1 in a browser: what is painted is what the engine computed, and scrubbing needs no server."""

import re

import pytest
import torch
from playwright.sync_api import expect

from engine import VARIANTS, Experiment, train
from engine.measure import pair_difference

pytestmark = pytest.mark.e2e

COLOURS = """canvas => new Set(new Uint32Array(
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
MOVE = "(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input', { bubbles: true })); }"
REPAINTED = "([canvas, before]) => canvas.toDataURL() !== before"


@pytest.fixture(scope="module")
def run():
    """The default experiment as the app trains it."""
    return train(Experiment(), dtype=torch.float64)


def test_the_table_shows_what_the_engine_computed(visit, run):
    shown = visit().settled()
    canvases = shown.film.locator(".table canvas")
    expect(canvases).to_have_count(len(run.experiment.variants))
    for canvas in canvases.all():
        assert canvas.evaluate(COLOURS) > 50

    expect(shown.film.locator(".pair b")).to_have_text(["=", "≠"])
    pairs = ("sgd_l2", "sgdw"), ("adam_l2", "adamw")
    sgd, adam = (pair_difference(run, VARIANTS[a], VARIANTS[b])[-1] for a, b in pairs)
    assert sgd <= 1e-6 < 0.1 < adam

    last = run.curves.groupby("variant").last()
    for variant in run.experiment.chosen:
        texts = shown.cell(variant.title).locator("figcaption b").all_inner_texts()
        row = last.loc[variant.key]
        expected = [100 * row.test_accuracy, row.test_loss, row.weight_norm]
        for text, value in zip(texts, expected, strict=True):
            number = text.removesuffix("%").strip()
            digits = len(number.partition(".")[2])
            assert float(number) == pytest.approx(value, abs=0.5001 * 10**-digits), (variant.title, texts)


def test_scrubbing_by_keyboard_and_mouse_sends_nothing(visit, run):
    shown = visit().settled()
    shown.sent.clear()
    title = "Adam"
    before = _look(shown, title)
    curve = shown.film.locator(".chart canvas").first.element_handle()
    curve_before = curve.evaluate("canvas => canvas.toDataURL()")

    shown.step.focus()
    shown.page.keyboard.press("Home")
    for frame, step in enumerate(run.steps.tolist()):
        expect(shown.film).to_have_attribute("data-step", str(step))
        expect(shown.step).to_have_value(str(frame))
        shown.page.keyboard.press("ArrowRight")
    assert _look(shown, title) == before

    for frame in reversed(range(len(run.steps))):
        shown.step.evaluate(MOVE, frame)
        expect(shown.film).to_have_attribute("data-step", str(run.steps[frame]))
    after = _look(shown, title)
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert f"{title} at step 0:" in after[-1]
    shown.page.wait_for_function(REPAINTED, arg=[curve, curve_before])
    assert shown.sent == []


def test_at_step_0_all_variants_are_the_same_model(visit):
    shown = visit().settled()
    captions = shown.film.locator("figcaption")
    assert len(set(captions.all_inner_texts())) > 2
    shown.step.evaluate(MOVE, 0)
    expect(shown.film).to_have_attribute("data-step", "0")
    assert len(set(captions.all_inner_texts())) == 1
    expect(shown.film.locator(".pair b")).to_have_text(["=", "="])


def test_play_pauses_goes_on_runs_to_the_end_and_stops(visit, run):
    shown = visit().settled()
    shown.sent.clear()
    last = str(run.steps[-1])
    play = shown.film.get_by_role("button", name="Play the training")
    pause = shown.film.get_by_role("button", name="Pause")
    play.click()
    expect(shown.film).not_to_have_attribute("data-step", last)
    pause.click()
    expect(play).to_be_visible()
    assert int(shown.film.get_attribute("data-step")) < run.steps[-1]
    play.click()
    expect(pause).to_be_visible()
    expect(play).to_be_visible()
    expect(shown.film).to_have_attribute("data-step", last)
    assert shown.sent == []


@pytest.mark.parametrize("query", ["lr=100&weight_decay=0.03", "weight_decay=5"])
def test_a_diverged_cell_says_so_and_the_others_stay(visit, query):
    experiment, notices = Experiment.from_query(dict(part.split("=") for part in query.split("&")))
    assert not notices
    run = train(experiment, dtype=torch.float64)
    assert run.diverged["sgdw"]
    assert run.diverged["adam"] is None
    shown = visit(f"/?{query}").settled()
    for variant in experiment.chosen:
        cell, step = shown.cell(variant.title), run.diverged[variant.key]
        assert cell.locator("canvas").evaluate(COLOURS) > 20
        if step is None:
            expect(cell.locator(".badge")).to_be_hidden()
        else:
            words = re.compile(f"diverged at step {step}: η(λ = .*factor 1 − ηλ = | = )")
            expect(cell.locator(".badge")).to_be_visible()
            expect(cell.locator(".badge")).to_contain_text(words)


def _look(shown, title):
    """Pixels, captions and words of one cell."""
    cell = shown.cell(title)
    return (
        shown.pixels(title),
        cell.locator("figcaption").inner_text(),
        cell.locator("canvas").get_attribute("aria-label"),
    )
