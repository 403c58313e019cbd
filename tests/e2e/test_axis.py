"""The λ axis in a browser: it arrives behind the picture, scrubs without the server, and follows the λ slider."""

import re

import pytest
from playwright.sync_api import expect

from bench.latency import LAMBDA_SLIDER
from engine import Experiment
from engine.axis import lambdas, train_axis

pytestmark = pytest.mark.e2e

MOVE = "(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input', { bubbles: true })); }"
QUICK = "points=20&steps=60"


@pytest.fixture(scope="module")
def axis():
    return train_axis(Experiment(points=20, steps=60))


def over_lambda(visit):
    """Page 1 with its slider on the λ axis."""
    shown = visit(f"/?{QUICK}").settled()
    expect(shown.film).to_have_attribute("data-axis", re.compile("axis:"))
    shown.film.get_by_role("button", name="over λ").click()
    return shown


def test_scrubbing_over_lambda_shows_every_training_and_sends_nothing(visit, axis):
    shown = over_lambda(visit)
    expect(shown.film.locator("output")).to_have_text("λ = 0.03")
    shown.sent.clear()
    for place in (0, 12, 27):
        shown.step.evaluate(MOVE, place)
        expect(shown.film.locator("output")).to_have_text(f"λ = {lambdas()[place]:g}")
        for variant in axis.run.experiment.chosen:
            loss = shown.cell(variant.title).locator("figcaption b").nth(1).inner_text()
            expected = axis.run.series("test_loss")[variant.key][place]
            assert float(loss) == pytest.approx(expected, abs=0.00501), variant.title
    assert shown.sent == []
    shown.film.get_by_role("button", name="over training").click()
    expect(shown.film.locator("output")).to_have_text("step 60 of 60")
    assert shown.sent == []


def test_the_lambda_slider_moves_the_cursor_on_the_axis(visit):
    shown = over_lambda(visit)
    shown.page.locator(LAMBDA_SLIDER).first.focus()
    shown.page.keyboard.press("ArrowRight")
    expect(shown.film.locator("output")).to_have_text("λ = 0.05")
    shown.settled()
    expect(shown.film.get_by_role("button", name="over λ")).to_have_attribute("aria-pressed", "true")


def test_another_experiment_goes_back_to_its_training(visit):
    shown = over_lambda(visit)
    key = shown.film.get_attribute("data-axis")
    shown.page.get_by_role("button", name=re.compile("casino")).first.click()
    expect(shown.film.locator("output")).to_have_text("step 60 of 60")
    expect(shown.film).not_to_have_attribute("data-axis", key)


def test_pages_without_the_axis_do_not_offer_it(visit):
    shown = over_lambda(visit)
    shown.page.get_by_role("link", name="Norms").first.click()
    shown.page.wait_for_url(re.compile("/norms"))
    expect(shown.film).to_have_attribute("data-picture", re.compile("norms"))
    expect(shown.film.locator(".views")).to_be_hidden()


def test_dragging_the_lambda_slider_shows_the_end_of_training_before_the_server_knows(visit, axis):
    shown = visit(f"/?{QUICK}").settled()
    expect(shown.film).to_have_attribute("data-axis", re.compile("axis:"))
    shown.sent.clear()
    track = shown.page.locator(".st-key-knob_weight_decay").locator("input[type=range]").first
    before = shown.pixels("SGD + L2")
    box = shown.page.locator(".st-key-knob_weight_decay").bounding_box()
    thumb = track.bounding_box()
    assert box
    assert thumb
    shown.page.mouse.move(box["x"] + box["width"] / 2, thumb["y"] + thumb["height"] / 2)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + 0.7 * box["width"], thumb["y"] + thumb["height"] / 2, steps=4)
    weight_decay = float(track.get_attribute("aria-valuetext") or "nan")
    assert weight_decay > 0.03
    expect(shown.film).to_have_attribute("data-foreseen", re.compile(f" {weight_decay:g}$"))
    loss = shown.cell("SGD + L2").locator("figcaption b").nth(1).inner_text()
    place = lambdas().index(weight_decay)
    assert float(loss) == pytest.approx(axis.run.series("test_loss")["sgd_l2"][place], abs=0.00501)
    assert shown.pixels("SGD + L2") != before
    assert shown.sent == []
    foreseen = shown.pixels("SGD + L2")
    shown.page.mouse.up()
    shown.page.wait_for_url(re.compile(f"weight_decay={weight_decay:g}"))
    shown.settled()
    assert shown.pixels("SGD + L2") == foreseen
    assert shown.cell("SGD + L2").locator("figcaption b").nth(1).inner_text() == loss


@pytest.mark.parametrize("weight_decay", ["0.03", "0.0123"], ids=["on-the-grid", "off-the-grid"])
def test_dragging_back_shows_the_training_again(visit, weight_decay):
    shown = visit(f"/?{QUICK}&weight_decay={weight_decay}").settled()
    expect(shown.film).to_have_attribute("data-axis", re.compile("axis:"))
    before = shown.pixels("SGD + L2")
    slider = shown.page.locator(".st-key-knob_weight_decay")
    thumb = slider.locator("input[type=range]").first
    box, y = slider.bounding_box(), thumb.bounding_box()
    assert box
    assert y
    x, y = box["x"] + 0.9 * box["width"], y["y"] + y["height"] / 2
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    expect(shown.film.locator(".charts")).to_have_class(re.compile("old"))
    assert shown.pixels("SGD + L2") != before
    while thumb.get_attribute("aria-valuetext") != weight_decay:
        x -= 2
        assert x > box["x"]
        shown.page.mouse.move(x, y)
    expect(shown.film.locator(".charts")).not_to_have_class(re.compile("old"))
    assert shown.pixels("SGD + L2") == before
    shown.page.mouse.up()
