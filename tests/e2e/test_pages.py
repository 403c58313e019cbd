"""Every page in a browser: light, dark and narrow; λ, links and bad links."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from bench.latency import LAMBDA_SLIDER, ROOT, served

pytestmark = pytest.mark.e2e

HOME = "boundaries"
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py") if path.stem != "slides")
"""Those with a picture of their own; the page of slides has tests of its own."""
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
TOO_WIDE = """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
    .map((node) => node.scrollWidth - node.clientWidth)"""
BRIGHTNESS = """() => getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor"""


def url_path(page: str) -> str:
    return "/" if page == HOME else f"/{page}"


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_page_opens(visit, name, look):
    page = visit(url_path(name), **LOOKS[look]).settled().page
    expect(page.locator("canvas").first).to_be_visible()
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)
    expect(page.locator("h1")).to_have_count(1)
    assert page.evaluate(TOO_WIDE) == [0, 0]
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate(BRIGHTNESS))[:3])
    assert (red + green + blue > 3 * 128) == (look != "dark")


def test_lambda_changes_picture_and_url_and_the_url_brings_it_back(visit):
    shown = visit().settled()
    key, pixels = shown.film.get_attribute("data-picture"), shown.pixels("SGDW")
    shown.page.locator(LAMBDA_SLIDER).first.focus()
    shown.page.keyboard.press("ArrowRight")
    expect(shown.film).not_to_have_attribute("data-picture", key)
    shown.page.wait_for_url(re.compile(r"\?v=1&weight_decay=[^&]+$"))
    shown.settled()
    moved = shown.film.get_attribute("data-picture")
    assert shown.pixels("SGDW") != pixels
    shown.page.reload()
    expect(shown.film).to_have_attribute("data-picture", moved)
    assert float(parse_qs(urlsplit(shown.page.url).query)["weight_decay"][0]) > 0.02


def test_the_experiment_follows_to_other_pages(visit):
    shown = visit("/?v=1&weight_decay=0.05&points=20").settled()
    shown.page.get_by_role("link", name="Norms").first.click()
    expect(shown.page.locator("h1")).not_to_contain_text("where λ enters")
    shown.settled()
    query = parse_qs(urlsplit(shown.page.url).query)
    assert query == {"v": ["1"], "weight_decay": ["0.05"], "points": ["20"]}


@pytest.mark.parametrize("name", PAGES)
def test_bad_link_gets_a_notice_and_a_picture(visit, name):
    page = visit(f"{url_path(name)}?weight_decay=nan&foo=1&points=1e999&steps=99999").settled().page
    notice = page.locator('[data-testid="stAlert"]')
    for parameter in ("weight_decay=nan", "foo", "points=1e999", "steps=99999"):
        expect(notice).to_contain_text(parameter)
    expect(page.locator("canvas").first).to_be_visible()


def test_a_shape_that_is_none_keeps_the_last_and_says_how(visit):
    shown = visit("/?hidden=8").settled()
    key = shown.film.get_attribute("data-picture")
    shown.page.locator(".st-key-group_Model summary").click()
    box = shown.page.get_by_role("combobox", name=re.compile("Hidden layers"))
    box.click()
    box.fill("nonsense")
    box.press("Enter")
    expect(shown.page.get_by_text("written like 32-32")).to_be_visible()
    expect(shown.film).to_have_attribute("data-picture", key)
    expect(shown.page.locator('[data-testid="stException"]')).to_have_count(0)


def test_a_deep_link_on_a_fresh_server_opens_inside_the_frame(browser):
    with served(ROOT / "app.py") as url:
        page = browser.new_page()
        page.goto(f"{url}/prior?weight_decay=0.05")
        expect(page.locator("h1")).to_have_text("What does λ believe about the weights?")
        expect(page.get_by_role("link", name="Norms").first).to_be_visible()
        expect(page.locator('[data-testid="stSidebar"]').get_by_text("Variants", exact=True)).to_be_visible()
        expect(page.locator(".film")).to_have_attribute("data-picture", re.compile("^prior:"))
        expect(page).to_have_url(re.compile(r"/prior\?v=1&weight_decay=0.05$"))
        page.close()
