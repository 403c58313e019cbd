"""Exports in a browser: from a figure's own button to a file; the page of slides; narrow, dark."""

import io
import re
import struct
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from bench.latency import LAMBDA_SLIDER

pytestmark = pytest.mark.e2e

KINDS = {
    "PNG 1920": lambda made: struct.unpack(">II", made[16:24]) == (1920, 1080),
    "PNG 3840": lambda made: struct.unpack(">II", made[16:24]) == (3840, 2160),
    "SVG": lambda made: made.startswith(b"<svg") and "Does it matter where λ enters?" in made.decode(),
    "PDF": lambda made: made.startswith(b"%PDF"),
    "CSV": lambda made: made.decode("utf-8-sig").startswith("variant,") and made.count(b"\n") == 7,
    "PyTorch": lambda made: b"torch.optim" in made,
}
WIDE = (
    "dialog => dialog.getBoundingClientRect().right <= innerWidth + 1 && dialog.scrollWidth <= dialog.clientWidth + 1"
)

TOO_WIDE = """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
    .map((node) => node.scrollWidth - node.clientWidth)"""


def saved(page: Page, button: re.Pattern, timeout: float = 120_000) -> tuple[str, bytes]:
    """The file that a button saves by itself."""
    with page.expect_download(timeout=timeout) as download:
        page.get_by_role("button", name=button).first.click()
    path = Path(download.value.path())
    return download.value.suggested_filename, path.read_bytes()


@pytest.fixture
def menu(visit):
    """Page 1 with the export menu of its table open."""
    shown = visit("/?v=1&steps=30").settled()
    shown.film.get_by_role("button", name="Export", exact=True).click()
    expect(shown.page.get_by_role("dialog")).to_be_visible()
    return shown.page


def test_every_format_is_one_click(menu):
    for kind, fits in KINDS.items():
        name, made = saved(menu, re.compile(f"^{kind}"))
        assert fits(made), (kind, name, made[:80])
        assert name.isascii()


def test_the_link_is_copied_and_opens_the_same(menu):
    menu.context.grant_permissions(["clipboard-read", "clipboard-write"])
    menu.get_by_role("button", name="Copy link").click()
    expect(menu.get_by_role("button", name="Copied")).to_be_visible()
    link = menu.evaluate("navigator.clipboard.readText()")
    assert link == menu.get_by_label("Link to this figure").input_value()
    parts = urlsplit(link)
    assert parts.netloc == urlsplit(menu.url).netloc
    assert parse_qs(parts.query) == {"v": ["1"], "steps": ["30"], "figure": ["table"]}


def test_a_figures_button_asks_for_what_its_slider_shows(visit):
    shown = visit("/?v=1&steps=30").settled()
    shown.step.fill("10")
    shown.film.get_by_role("button", name="Export", exact=True).click()
    step = shown.film.get_attribute("data-step")
    expect(shown.page.get_by_label("Link to this figure")).to_have_value(re.compile(f"at={step}$"))
    shown.page.keyboard.press("Escape")
    shown.film.locator(".frame .export").nth(1).click()
    expect(shown.page.get_by_label("Link to this figure")).to_have_value(re.compile("figure=norms$"))


def test_a_film_shows_its_progress_and_is_saved(menu):
    button = menu.get_by_role("button", name="WebP of the training")
    with menu.expect_download(timeout=240_000) as download:
        button.click()
        expect(menu.get_by_text(re.compile(r"Drawing: \d+ of \d+")).first).to_be_visible(timeout=120_000)
    assert Path(download.value.path()).read_bytes()[8:12] == b"WEBP"


def test_a_figures_link_opens_at_its_step_and_stays_in_the_address_until_the_experiment_changes(visit):
    shown = visit("/?v=1&steps=40&figure=table&at=10").settled()
    expect(shown.film).to_have_attribute("data-step", "10")
    assert parse_qs(urlsplit(shown.page.url).query)["at"] == ["10"]
    shown.page.locator(LAMBDA_SLIDER).first.focus()
    shown.page.keyboard.press("ArrowRight")
    shown.page.wait_for_url(re.compile(r"\?v=1&steps=40&weight_decay=[^&]+$"))
    shown.settled()
    expect(shown.film).to_have_attribute("data-step", "10")
    shown.page.get_by_role("link", name="One step").first.click()
    expect(shown.page.locator("h1")).to_contain_text("Who wins")
    shown.settled()
    assert "at" not in parse_qs(urlsplit(shown.page.url).query)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_menu_fits_a_phone(visit, scheme):
    shown = visit("/norms?v=1&steps=30", viewport={"width": 390, "height": 844}, color_scheme=scheme).settled()
    shown.film.locator(".frame .export").first.click()
    dialog = shown.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Copy link")).to_be_visible()
    assert dialog.evaluate(WIDE)


def test_slides_are_gathered_reordered_and_saved_and_the_address_keeps_them(menu):
    menu.get_by_role("button", name="Add to the slides").click()
    menu.get_by_role("link", name="Slides: 1 slide").click()
    expect(menu.locator("h1")).to_contain_text("your slides")
    menu.get_by_role("combobox", name=re.compile("Figure of the sidebar")).click()
    menu.get_by_role("option", name="Norms: Norms").click()
    menu.get_by_role("button", name="Add", exact=True).click()
    title = menu.get_by_label("Title of slide 2")
    title.fill("Weights stay small <b>")
    title.press("Enter")
    expect(menu.locator("img[alt^='Weights stay small <b> ‖w‖ starts at']")).to_be_visible()
    expect(menu.locator("img[alt^='Does it matter']")).to_be_visible()
    menu.get_by_role("button", name="Up 2").click()
    expect(menu.get_by_label("Title of slide 1")).to_have_value("Weights stay small <b>")
    name, made = saved(menu, re.compile("^PPTX, 2 slides"))
    assert name.endswith(".pptx")
    slides = zipfile.ZipFile(io.BytesIO(made))
    assert "Weights stay small &lt;b&gt;" in slides.read("ppt/slides/slide1.xml").decode()
    menu.wait_for_url(re.compile(r"slide=.*Weights"))
    kept = parse_qs(urlsplit(menu.url).query)["slide"]
    assert [urlsplit(link).path for link in kept] == ["/norms", "/"]
    menu.reload()
    expect(menu.get_by_label("Title of slide 1")).to_have_value("Weights stay small <b>")
    assert parse_qs(urlsplit(menu.url).query)["slide"] == kept


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_the_page_of_slides_opens_a_deck(visit, look):
    page = visit("/slides?v=1&slide=%2F%3Fv%3D1%26steps%3D30%26figure%3Dnorms&slide=%2Fnowhere", **look).page
    expect(page.get_by_label("Title of slide 1")).to_be_visible()
    expect(page.locator("img[alt^='How large do the weights become?']")).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_contain_text("Slide 2")
    assert page.evaluate(TOO_WIDE) == [0, 0]
