"""Slider → picture in headless Chromium, beside a bare Streamlit app in the same run: ``python -m bench.latency``.

A move is an arrow key on a slider. It ends when the new text (bare) or the new picture (page 1) has been drawn: a
frame after the DOM says so. Every λ is one that the server has not seen.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Page, sync_playwright

from tools.browser import BROWSER_ARGS, find_browser

ROOT = Path(__file__).parent.parent
BARE = """
import streamlit as st
value = st.slider("value", 0, 100, 20)
st.text(f"value is {value}")
"""
MOVES = 24

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
def served(script: Path, *options: str) -> Iterator[str]:
    """A Streamlit server of its own for one app, on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": None if os.environ.get("WDP_LOUD") else subprocess.DEVNULL}
    server = subprocess.Popen([*command, "--browser.serverAddress", "localhost"], cwd=ROOT, env=os.environ, **quiet)
    try:
        url = f"http://localhost:{port}"
        _await_health(url)
        yield url
    finally:
        server.terminate()
        server.wait()


def _await_health(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def moves(page: Page, slider: str, selector: str, attribute: str | None, count: int = MOVES) -> list[float]:
    """Milliseconds of ``count`` slider moves, each waited for before the next."""
    times = []
    for _ in range(count):
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        page.locator(slider).first.focus()
        page.evaluate(_WATCH, [selector, attribute])
        page.keyboard.press("ArrowRight")
        page.wait_for_function("window.moved !== null", timeout=20_000, polling=20)
        times.append(page.evaluate("window.moved"))
    return times


def measure() -> tuple[list[float], list[float]]:
    """(bare app, page 1) in milliseconds, alternating in blocks so that both meet the same machine."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        bare_script = Path(folder) / "bare.py"
        bare_script.write_text(BARE, encoding="utf-8")
        browser = driver.chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)
        with served(bare_script) as bare_url, served(ROOT / "app.py") as url:
            bare_page, page = browser.new_page(), browser.new_page()
            bare_page.goto(bare_url)
            page.goto(f"{url}/?weight_decay=0.0001")
            page.wait_for_selector(".film[data-charts]", timeout=60_000)
            bare: list[float] = []
            ours: list[float] = []
            for _ in range(4):
                bare_page.bring_to_front()
                bare += moves(bare_page, "input[type=range]", '[data-testid="stText"]', None, MOVES // 4)
                page.bring_to_front()
                ours += moves(page, '[data-testid="stMain"] [data-testid="stSlider"] input[type=range]', ".film", "data-picture", MOVES // 4)
        browser.close()
    return bare, ours


def main() -> None:
    """Print p50 and p90 of both, and their ratio."""
    bare, ours = measure()
    for name, times in (("bare Streamlit app", bare), ("page 1, never-seen λ", ours)):
        print(f"{name:22s} p50 {median(times):6.0f} ms   p90 {quantiles(times, n=10)[-1]:6.0f} ms   n {len(times)}")
    print(f"ratio of p50: {median(ours) / median(bare):.2f}")


if __name__ == "__main__":
    main()
