"""The picture of the README: ``python -m tools.picture`` opens page 1 and saves docs/picture.png.

``--all DIR`` saves every page instead, in light, in dark and on a narrow screen, to be looked at.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from bench.latency import ROOT, served
from tools.browser import BROWSER_ARGS, find_browser

PICTURE = ROOT / "docs" / "picture.png"
HOME = "boundaries"
PATIENCE = 60_000
DESKTOP, PHONE = (1440, 900), (390, 844)
LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "narrow": ("light", PHONE)}
QUIET = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def save(browser: Browser, url: str, path: Path, look: str, full_page: bool = False) -> None:
    """Save one page as PNG when its film and its charts are on screen.

    Args:
        browser: a running browser.
        url: the page.
        path: the file.
        look: a key of LOOKS.
        full_page: down to the page's end instead of one screen.
    """
    scheme, (width, height) = LOOKS[look]
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    page.goto(url)
    page.wait_for_selector(".film[data-charts]", timeout=PATIENCE)
    page.wait_for_selector(QUIET, timeout=PATIENCE)
    if full_page:
        end = page.locator('[data-testid="stMainBlockContainer"]').evaluate("node => Math.ceil(node.scrollHeight)")
        page.set_viewport_size({"width": width, "height": max(height, end)})
        expect(page.locator(QUIET)).to_be_visible()
    page.evaluate("() => document.fonts.ready")
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, animations="disabled")
    page.close()
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


def main() -> int:
    """Save the pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.picture", description=__doc__.splitlines()[0])
    parser.add_argument("--all", metavar="DIR", type=Path, help="save every page in every look there")
    folder = parser.parse_args().all
    path = find_browser()
    if path is None:
        print("No browser was found: `make browser` installs one.", file=sys.stderr)
        return 1
    with served(ROOT / "app.py") as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        if folder is None:
            save(browser, url, PICTURE, "light")
        else:
            for name in sorted(file.stem for file in (ROOT / "pages").glob("[!_]*.py")):
                for look in LOOKS:
                    there = url if name == HOME else f"{url}/{name}"
                    save(browser, there, folder / f"{name}-{look}.png", look, full_page=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
