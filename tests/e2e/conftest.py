"""A real server and a real browser; every page that a test opens must stay quiet."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, expect, sync_playwright

from bench.latency import ROOT, served
from tools.browser import BROWSER_ARGS, find_browser, in_ci

DESKTOP = {"width": 1440, "height": 900}
PATIENCE = 30_000
"""Milliseconds that an expectation waits: a loaded machine is not a failure."""


@dataclass
class Visit:
    """A page on screen, and the websocket messages that it has sent."""

    page: Page
    sent: list[bytes | str] = field(default_factory=list)

    @property
    def film(self) -> Locator:
        return self.page.locator(".film, .atlas")

    @property
    def step(self) -> Locator:
        """The film's own slider."""
        return self.film.locator("input[type=range]")

    def settled(self) -> "Visit":
        """Wait until the server has nothing more to say and the whole film is on screen."""
        expect(self.film).to_have_attribute("data-picture", re.compile("."))
        expect(self.page.locator('[data-testid="stApp"]')).to_have_attribute("data-test-script-state", "notRunning")
        # In one look: a picture that is on its way may come between two.
        whole = "film => film.dataset.picture && film.dataset.charts === film.dataset.picture"
        self.page.wait_for_function(whole, arg=self.film.element_handle(), timeout=PATIENCE)
        return self

    def cell(self, title: str) -> Locator:
        """The cell of one variant in the signature table."""
        return self.film.locator("figure", has=self.page.locator(f'canvas[aria-label^="{title} at "]'))

    def pixels(self, title: str) -> str:
        """The picture of one variant, as a data URL."""
        return self.cell(title).locator("canvas").evaluate("canvas => canvas.toDataURL()")


@pytest.fixture(scope="session")
def browser_path():
    path = find_browser()
    if path is None:
        reason = "No browser: install Chromium or Chrome, or set WDP_BROWSER to its path."
        pytest.fail(reason) if in_ci() else pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def server(browser_path, tmp_path_factory):
    """(url, log file) of the app."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with served(ROOT / "app.py", log=log) as url:
        yield url, log


@pytest.fixture(scope="module")
def browser(browser_path):
    # Of a module, since Playwright's loop would be in the way of tests elsewhere that start one.
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=BROWSER_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """visit(path, **context options) opens a page; no console error, foreign request or server traceback may follow."""
    url, log = server
    contexts, problems = [], []
    already = _tracebacks(log)

    def open_page(path="/", **options) -> Visit:
        context = browser.new_context(**({"viewport": DESKTOP, "reduced_motion": "no-preference"} | options))
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        visit = Visit(page)
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: visit.sent.append(frame)))
        page.on("console", lambda message: _is_error(message) and problems.append(f"{message.text} {message.location}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith((url, "data:", "blob:")) or problems.append(f"asked {r.url}"))
        page.goto(url + path)
        return visit

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
    assert _tracebacks(log) == already, log.read_text(encoding="utf-8")


def _is_error(message: ConsoleMessage) -> bool:
    # Streamlit itself asks for /<page>/_stcore/… before it finds that the app lives at /.
    looking = re.search(r"/\w+/_stcore/(health|host-config)$", message.location.get("url", ""))
    return message.type == "error" and not looking


def _tracebacks(log: Path) -> int:
    return log.read_text(encoding="utf-8").count("Traceback")
