"""Slider → picture in headless Chromium, beside a bare Streamlit app in the same run: ``python -m bench.latency``.

A move is an arrow key on a slider. It ends when the new text (bare) or the new picture (page 1) has been drawn: a
frame after the DOM says so. It starts when the app is idle: its script has ended and its charts are drawn. Every λ is
one that the server has not seen. The two sides alternate in blocks of moves.
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
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from tools.browser import BROWSER_ARGS, find_browser

ROOT = Path(__file__).parent.parent
BARE = """
import streamlit as st
value = st.slider("value", 0, 100, 20)
st.text(f"value is {value}")
"""
BARE_SLIDER = "input[type=range]"
LAMBDA_SLIDER = '[data-testid="stMain"] [data-testid="stSlider"] input[type=range]'
FIRST_LAMBDA = 1e-4
MOVES = 24
"""Moves of each side; the λ slider has this many values above FIRST_LAMBDA."""
BLOCKS = 4

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


@contextmanager
def served(script: Path, *options: str, log: Path | None = None) -> Iterator[str]:
    """A Streamlit server of its own for one app, on a free port, until the block ends.

    Args:
        script: the app.
        options: for ``streamlit run``.
        log: a file for what the server prints.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        server = subprocess.Popen(
            [*command, "--browser.serverAddress", "localhost", *options],
            cwd=ROOT,
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


def measure(blocks: int = BLOCKS, page: str = "") -> list[tuple[list[float], list[float]]]:
    """(bare app, page) in milliseconds for each block of moves; both meet the same machine, warmed up by one move.

    Args:
        blocks: how many.
        page: the page's address, "" for page 1.
    """
    each = MOVES // BLOCKS
    with ExitStack() as stack:
        bare_script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bare.py"
        bare_script.write_text(BARE, encoding="utf-8")
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
        stack.callback(browser.close)
        bare, ours = browser.new_page(), browser.new_page()
        bare.goto(stack.enter_context(served(bare_script)))
        ours.goto(f"{stack.enter_context(served(ROOT / 'app.py'))}/{page}?weight_decay={FIRST_LAMBDA}")
        ours.wait_for_selector(".film[data-charts]", timeout=60_000)
        sides = (
            (bare, BARE_SLIDER, '[data-testid="stText"]', None),
            (ours, LAMBDA_SLIDER, ".film", "data-picture"),
        )
        for side in sides:
            moves(*side, 1)
        measured = []
        for _ in range(blocks):
            times = [moves(*side, each) for side in sides]
            measured.append((times[0], times[1]))
        return measured


def main() -> None:
    """Print the p50 of both for each block, and the ratio, of one page or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one block of moves")
    parser.add_argument("--page", default="", help="a page's address, as norms; page 1 by default")
    parser.add_argument("--all", action="store_true", help="every page")
    options = parser.parse_args()
    every = sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py") if path.stem != "boundaries")
    for page in ["", *every] if options.all else [options.page]:
        blocks = measure(1 if options.quick else BLOCKS, page)
        ratios = [median(ours) / median(bare) for bare, ours in blocks]
        name = page or "page 1"
        for (bare, ours), ratio in zip(blocks, ratios, strict=True):
            print(
                f"bare app {median(bare):5.0f} ms   {name} {median(ours):5.0f} ms   ratio {ratio:.2f}   n {len(ours)}"
            )
        print(f"{name}: median ratio {median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
