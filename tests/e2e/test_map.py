"""The λ × η map in a browser: it fills by itself, answers to pointer and keys, and opens a cell's run."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from engine.landscape import etas, weight_decays
from engine.variants import VARIANTS

pytestmark = pytest.mark.e2e

SMALL = "/map?steps=20&points=10&hidden=4&seed=11"
WHOLE = re.compile("4,608 of 4,608 models trained")
ADAMW = VARIANTS["adamw"]


@pytest.fixture(scope="module")
def whole(browser, server):
    """A page with a whole map, for tests that only look."""
    url, _ = server
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url + SMALL)
    expect(page.get_by_text(WHOLE)).to_be_visible(timeout=90_000)
    expect(page.locator(".atlas")).to_have_attribute("data-picture", re.compile("."))
    yield page
    page.close()


def words(page, side):
    return page.locator(".atlas section p").nth(side)


def middle(page, side, row, col):
    """Where a cell is, in pixels of its map: the frame of the 24 × 24 cells as Vega drew it."""
    box = page.locator(".atlas .map canvas").nth(side).bounding_box()
    left, right, top, bottom = box["x"] + 76, box["x"] + box["width"] - 14, box["y"] + 30, box["y"] + box["height"] - 50
    return left + (col + 0.5) / 24 * (right - left), bottom - (row + 0.5) / 24 * (bottom - top)


def test_pointing_at_a_cell_says_its_numbers_and_moves_the_curve(whole):
    title = whole.locator(".atlas .curve canvas").nth(1)
    before = title.evaluate("canvas => canvas.toDataURL()")
    whole.mouse.move(*middle(whole, 1, 20, 12))
    expect(words(whole, 1)).to_contain_text(re.compile(r"η = [\d.]+, λ = [\d.]+: test loss [\d.]+.*train loss"))
    expect(words(whole, 0)).to_contain_text("Best:")
    whole.wait_for_function("([a, b]) => a.toDataURL() !== b", arg=[title.element_handle(), before])
    whole.mouse.move(5, 5)
    expect(words(whole, 1)).to_contain_text("Best:")


def test_the_arrow_keys_walk_from_cell_to_cell(whole):
    whole.locator(".atlas .map").nth(0).focus()
    whole.keyboard.press("ArrowRight")
    first = words(whole, 0).inner_text()
    whole.keyboard.press("ArrowRight")
    expect(words(whole, 0)).not_to_have_text(first)
    at = [float(re.search(r"λ = ([\d.]+)", text)[1]) for text in (first, words(whole, 0).inner_text())]
    columns = weight_decays()
    assert columns.index(at[1]) == min(columns.index(at[0]) + 1, len(columns) - 1)
    whole.keyboard.press("Escape")
    expect(words(whole, 0)).to_contain_text("Best:")


def test_the_slider_of_eta_moves_both_curves(whole):
    slider = whole.get_by_label("η of the curves")
    slider.focus()
    whole.keyboard.press("Home")
    expect(whole.locator(".atlas output")).to_have_text(f"η = {etas(ADAMW)[0]:g}")
    whole.keyboard.press("ArrowRight")
    expect(whole.locator(".atlas output")).to_have_text(f"η = {etas(ADAMW)[1]:g}")


@pytest.mark.parametrize("by", ["click", "Enter"])
def test_a_cell_opens_its_run_on_page_one(visit, by):
    shown = visit(SMALL).settled()
    page = shown.page
    if by == "click":
        place = middle(page, 1, 15, 20)
        page.mouse.move(*place)
        expect(words(page, 1)).to_contain_text("Click to open")
        text = words(page, 1).inner_text()
        page.mouse.click(*place)
    else:
        page.locator(".atlas .map").nth(1).focus()
        page.keyboard.press("ArrowUp")
        expect(words(page, 1)).to_contain_text("Click to open")
        text = words(page, 1).inner_text()
        page.keyboard.press("Enter")
    expect(page.locator(".film")).to_be_visible()
    expect(page.locator("h1")).to_contain_text("λ")
    shown.settled()
    eta, decay = (float(value) for value in re.search(r"η = ([\d.]+), λ = ([\d.]+)", text).groups())
    query = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
    assert float(query.get("lr_adaptive", 0.01)) == eta
    assert float(query["weight_decay_adaptive"]) == decay
    assert query["variants"] == "adam_l2,adamw"
    assert urlsplit(page.url).path == "/"
    expect(shown.cell("AdamW")).to_be_visible()


def test_stop_and_go_on(visit):
    page = visit("/map?steps=600&points=100&seed=12").settled().page
    page.get_by_role("button", name="Stop").click()
    stopped = page.get_by_text(re.compile(r"Stopped: [\d,]+ of 4,608 models trained"))
    expect(stopped).to_be_visible()
    before = int(re.search(r"Stopped: ([\d,]+) of", stopped.inner_text())[1].replace(",", ""))
    assert before < 4608
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function(
        """before => [...document.querySelectorAll('[data-testid="stProgress"]')]
        .some((bar) => parseInt(bar.innerText.replaceAll(',', '')) > before)""",
        arg=before,
    )
    page.get_by_role("button", name="Stop").click()
    expect(stopped).to_be_visible()
