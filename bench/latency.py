"""Slider → picture in headless Chromium, beside a bare Streamlit app in the same run: ``python -m bench.latency``.

A move is an arrow key on a slider. It ends when the new text (bare) or the new picture (page 1) has been drawn: a
frame after the DOM says so. It starts when the app is idle: its script has ended and its charts are drawn. Sides
alternate in blocks of moves. Every λ is one that the server has not seen; page 1 is measured twice, as it is until the
λ axis has arrived, and with the axis, which shows the end of training at any λ before the server answers. The bare app
has a server of its own with Streamlit's defaults.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from tools.browser import BROWSER_ARGS, find_browser

ROOT = Path(__file__).parent.parent
BARE = """
import streamlit as st
value = st.slider("value", 0, 100, 20)
st.text(f"value is {value}")
"""
BARE_SLIDER = "input[type=range]"
BARE_TEXT = '[data-testid="stText"]'
LAMBDA_SLIDER = '[data-testid="stMain"] [data-testid="stSlider"] input[type=range]'
FIRST_LAMBDA = 1e-6
MOVES = 32
"""Moves on a page; the λ slider has a few more values above FIRST_LAMBDA."""
BLOCKS = 4
OPENINGS = 5
"""Openings of each side."""
SCRUB = 2.0
"""Seconds of scrubbing."""

_DRAWN = """
() => [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".film")?.dataset).filter(Boolean)
    .every((film) => film.charts === film.picture)
"""
# The clock starts at the key press and stops when the frame in which the node changed is drawn.
_WATCH = """
([selector, attribute]) => {
  const roots = [document, ...[...document.querySelectorAll("*")].map((e) => e.shadowRoot).filter(Boolean)];
  const read = () => {
    const node = roots.map((root) => root.querySelector(selector)).find(Boolean);
    return attribute ? node?.getAttribute(attribute) : node?.textContent;
  };
  const before = read();
  window.moved = null;
  let start = 0;
  addEventListener("keydown", () => { start = performance.now(); }, { once: true, capture: true });
  const observers = roots.map((root) => {
    const observer = new MutationObserver(() => {
      if (!start || !read() || read() === before) return;
      observers.forEach((other) => other.disconnect());
      requestAnimationFrame(() => setTimeout(() => { window.moved = performance.now() - start; }));
    });
    observer.observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
    return observer;
  });
}
"""


# The slider jumps to another frame at every refresh of the display, as fast as a hand cannot.
_SCRUB = """
async (seconds) => {
  const film = [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".film")).find(Boolean);
  const slider = film.querySelector("input[type=range]");
  const run = (each) => new Promise((done) => {
    const started = performance.now();
    let frames = 0;
    const tick = (now) => {
      each(++frames);
      if (now - started < 1000 * seconds) requestAnimationFrame(tick);
      else done(frames / (now - started) * 1000);
    };
    requestAnimationFrame(tick);
  });
  const idle = await run(() => {});
  const scrubbed = await run((frame) => {
    slider.value = frame % (+slider.max + 1);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return [idle, scrubbed];
}
"""


@contextmanager
def served(script: Path, *options: str, log: Path | None = None, folder: Path = ROOT) -> Iterator[str]:
    """A Streamlit server of its own for one app, on a free port, until the block ends.

    Args:
        script: the app.
        options: for ``streamlit run``.
        log: a file for what the server prints.
        folder: where it runs, and so whose .streamlit/config.toml it reads.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        server = subprocess.Popen(
            [*command, "--browser.serverAddress", "localhost", *options],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_stop, server)
        url = f"http://localhost:{port}"
        _await_health(url, server)
        yield url


def _await_health(url: str, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def moves(page: Page, slider: str, selector: str, attribute: str | None, count: int) -> list[float]:
    """Milliseconds of ``count`` slider moves, each waited for before the next."""
    times = []
    page.bring_to_front()
    for _ in range(count):
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        page.wait_for_function(_DRAWN)
        page.locator(slider).first.focus()
        page.evaluate(_WATCH, [selector, attribute])
        page.keyboard.press("ArrowRight")
        page.wait_for_function("window.moved !== null", timeout=20_000, polling=20)
        times.append(page.evaluate("window.moved"))
    return times


@dataclass(frozen=True)
class Block:
    """Milliseconds of the moves of one block: bare app, page without the λ axis, page 1 with it (else empty)."""

    bare: list[float]
    unseen: list[float]
    trained: list[float]


@contextmanager
def both(path: str) -> Iterator[tuple[Browser, str, str]]:
    """A browser, and the addresses of a bare app and of one of ours, each on a server of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "bare.py").write_text(BARE, encoding="utf-8")
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
        stack.callback(browser.close)
        plain = ("--server.headless", "true", "--browser.gatherUsageStats", "false")
        bare = stack.enter_context(served(folder / "bare.py", *plain, folder=folder))
        yield browser, bare, f"{stack.enter_context(served(ROOT / 'app.py'))}/{path}"


def measure(blocks: int = BLOCKS, page: str = "") -> list[Block]:
    """Blocks of moves of all sides, which meet the same machine, warmed up by one move.

    Args:
        blocks: how many.
        page: the page's address, "" for page 1.
    """
    each = MOVES // BLOCKS // (2 if page == "" else 1)
    with both(f"{page}?weight_decay={FIRST_LAMBDA}") as (browser, bare_url, our_url):
        bare, ours = browser.new_page(), browser.new_page()
        bare.goto(bare_url)
        ours.goto(our_url)
        ours.wait_for_selector(".film[data-axis]" if page == "" else ".film[data-charts]", timeout=60_000)

        def unseen(count: int) -> list[float]:
            ours.evaluate("window.kept = window.wdpAxis; window.wdpAxis = null")
            times = moves(ours, LAMBDA_SLIDER, ".film", "data-picture", count)
            ours.evaluate("window.wdpAxis = window.kept")
            return times

        def trained(count: int) -> list[float]:
            return moves(ours, LAMBDA_SLIDER, ".film", "data-foreseen", count) if page == "" else []

        def bare_moves(count: int) -> list[float]:
            return moves(bare, BARE_SLIDER, BARE_TEXT, None, count)

        for side in (bare_moves, unseen, trained):
            side(1)
        return [Block(bare_moves(each), unseen(each), trained(each)) for _ in range(blocks)]


def openings(count: int = OPENINGS) -> list[tuple[float, float]]:
    """(bare app, page 1) in milliseconds from an address to the first text or picture, each in a browser without cache.

    Both servers have been opened before.
    """
    with both("") as (browser, bare_url, our_url):

        def opened(url: str, selector: str) -> float:
            context = browser.new_context()
            page = context.new_page()
            started = time.perf_counter()
            page.goto(url, wait_until="commit")
            page.wait_for_selector(selector, timeout=60_000)
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            seconds = time.perf_counter() - started
            page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
            context.close()
            return 1e3 * seconds

        sides = (bare_url, BARE_TEXT), (our_url, ".film[data-picture]")
        pairs = [tuple(opened(*side) for side in sides) for _ in range(count + 1)]
        return [(bare, ours) for bare, ours in pairs[1:]]


def scrub(blocks: int = BLOCKS) -> list[tuple[float, float]]:
    """(display refreshes, frames of page 1's film drawn) a second."""
    with both("") as (browser, _, our_url):
        ours = browser.new_page()
        ours.goto(our_url)
        ours.wait_for_selector(".film[data-axis]", timeout=60_000)
        return [tuple(ours.evaluate(_SCRUB, SCRUB)) for _ in range(blocks)]


def main() -> None:
    """Print the p50 of both for each block, and the ratio, of one page or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one block of moves")
    parser.add_argument("--page", default="", help="a page's address, as norms; page 1 by default")
    parser.add_argument("--all", action="store_true", help="every page")
    parser.add_argument("--open", action="store_true", help="opening page 1 and scrubbing it, instead of moves")
    options = parser.parse_args()
    if options.open:
        for bare, ours in openings():
            print(f"bare app {bare:5.0f} ms   opening page 1 {ours:5.0f} ms   ratio {ours / bare:.2f}")
        for idle, frames in scrub():
            print(f"display {idle:.0f} a second   frames {frames:.0f} a second   ratio {frames / idle:.2f}")
        return
    every = sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py") if path.stem != "boundaries")
    for page in ["", *every] if options.all else [options.page]:
        blocks = measure(1 if options.quick else BLOCKS, page)
        for name, side in (("unseen", "unseen"), ("with the axis", "trained")):
            times = [(median(block.bare), median(getattr(block, side))) for block in blocks if getattr(block, side)]
            ratios = [ours / bare for bare, ours in times]
            for (bare, ours), ratio in zip(times, ratios, strict=True):
                print(f"bare app {bare:5.0f} ms   {page or 'page 1'}, {name} {ours:5.0f} ms   ratio {ratio:.2f}")
            if ratios:
                spread = f"(min {min(ratios):.2f}, max {max(ratios):.2f})"
                print(f"{page or 'page 1'}, {name}: median ratio {median(ratios):.2f} {spread}", flush=True)


if __name__ == "__main__":
    main()
