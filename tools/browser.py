"""Finds the browser that the end-to-end tests drive, and installs one where there is none.

``python -m tools.browser`` prints its path. Order: the program that WDP_BROWSER names, a Chromium or Chrome
on the machine, Playwright's own, then Debian's package ``chromium`` through apt-get when root. Without any,
it ends with status 1 under CI=true and with status 0 elsewhere, where the end-to-end tests skip themselves.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""For ``chromium.launch(executable_path=find_browser(), args=BROWSER_ARGS)``: starts as root, quiet."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


@functools.cache
def find_browser() -> str | None:
    """Path of a Chromium that starts, or None; installs nothing.

    Raises:
        FileNotFoundError: WDP_BROWSER is set and names no program that starts.
    """
    if wanted := os.environ.get("WDP_BROWSER"):
        path = shutil.which(wanted)
        if path is None or not _starts(path):
            raise FileNotFoundError(f"WDP_BROWSER={wanted} names no browser that starts.")
        return path
    return next((path for path in _candidates() if _starts(path)), None)


def main() -> int:
    """Print the browser's path, after installing one where needed; return the exit status."""
    try:
        path = find_browser()
        for install in (_install_from_playwright, _install_from_debian):
            if path is None and install():
                find_browser.cache_clear()
                path = find_browser()
    except FileNotFoundError as error:
        _say(str(error))
        return 1
    if path is not None:
        print(path)
        return 0
    _say("No browser for the end-to-end tests: install Chromium or Chrome, or set WDP_BROWSER to its path.")
    if in_ci():
        _say("Under CI=true this is an error.")
        return 1
    _say("The end-to-end tests will be skipped.")
    return 0


def in_ci() -> bool:
    """Whether CI=true, where a missing browser is an error and not a reason to skip."""
    return os.environ.get("CI") == "true"


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, (*NAMES, *MAC_APPS)))
    if (own := _playwright_browser()) is not None:
        yield own


def _playwright_browser() -> str | None:
    # A process of its own: Playwright's sync API refuses to start twice in one thread.
    script = "from playwright.sync_api import *\nwith sync_playwright() as p: print(p.chromium.executable_path)"
    path = (_output(sys.executable, "-c", script) or "").strip()
    return path if path and Path(path).exists() else None


def _starts(path: str) -> bool:
    # Some distributions ship a stub of that name which only says where to get the browser.
    return _output(path, "--version") is not None


def _install_from_playwright() -> bool:
    _say("No browser found; asking Playwright for its own …")
    return _install(sys.executable, "-m", "playwright", "install", "chromium")


def _install_from_debian() -> bool:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return False
    _say("Installing Debian's chromium …")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    _install("apt-get", "update")
    return _install("apt-get", "install", "-y", "--no-install-recommends", "chromium")


def _output(*command: str) -> str | None:
    """What the command prints; None where it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _install(*command: str) -> bool:
    """Whether the command succeeds; its output goes to stderr, since stdout is for the path alone."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode == 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
