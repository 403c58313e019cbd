"""``python -m engine.slides PERMALINK… --out DIR``: figures and decks from permalinks, without browser or network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.figures import FIGURES
from engine.slides.entry import MOST, Entry, read_entry
from engine.slides.film import MOVING
from engine.slides.lecture import LECTURE, TITLE
from engine.slides.make import DECK_FORMATS, FIGURE_FORMATS, FILM_FORMATS, export, export_deck, export_film

KINDS = (*FIGURE_FORMATS, *(kind for kind in DECK_FORMATS if kind not in FIGURE_FORMATS), *FILM_FORMATS)
DECKS = {"lecture": (TITLE, LECTURE)}
THEMES = ("light", "dark")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    words = argparse.ArgumentParser(
        prog="python -m engine.slides",
        description="Make slides from permalinks of the playground's figures: trained again here, without a browser.",
        epilog="A permalink is what “Copy link” of a figure gives: whole, or from its path on, as "
        "'/norms?v=1&weight_decay=0.1&figure=norms'. &title=… and &caption=… replace the slide's own words.",
    )
    words.add_argument("links", nargs="*", metavar="PERMALINK", help=f"a figure; at most {MOST}")
    words.add_argument("--deck", choices=DECKS, help="a ready deck: “Weight decay in ten figures”")
    words.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; made if missing")
    words.add_argument("--format", default="png", metavar="KIND,…", help=f"of {', '.join(KINDS)}; png by default")
    words.add_argument("--theme", choices=THEMES, default="light")
    words.add_argument("--over", choices=("steps", "lambda"), default="steps", help="what webp and gif move over")
    words.add_argument("--base", default="", metavar="URL", help="scheme and host of the playground, for the footer")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    words = parser()
    asked = words.parse_args(arguments)
    kinds = [kind.strip() for kind in asked.format.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in KINDS]
    title, ready = DECKS.get(asked.deck, ("", ()))
    links = [*ready, *asked.links]
    if unknown or not kinds:
        words.error(f"no format {', '.join(unknown) or 'given'}; there are {', '.join(KINDS)}")
    if not 0 < len(links) <= MOST:
        words.error(f"give between 1 and {MOST} permalinks, or --deck lecture; got {len(links)}")
    try:
        entries = [_read(link) for link in links]
        asked.out.mkdir(parents=True, exist_ok=True)
        _write(entries, kinds, asked.out, asked.theme, asked.over, asked.base, title)
    except ValueError as error:
        return _stopped(str(error))
    except OSError as error:
        return _stopped(f"{error.filename or asked.out} cannot be written: {error.strerror}.")
    except KeyboardInterrupt:
        return _stopped("stopped; the files that were named are whole.", 130)
    return 0


def _stopped(why: str, status: int = 1) -> int:
    print(f"python -m engine.slides: {why}", file=sys.stderr)
    return status


def _read(link: str) -> Entry:
    entry, notices = read_entry(link)
    for notice in notices:
        print(f"{link[:80]}: {notice}", file=sys.stderr)
    return entry


def _write(entries: list[Entry], kinds: list[str], out: Path, theme: str, over: str, base: str, title: str) -> None:
    """Each figure in each kind that is of one figure; one document where there are several and a kind is of decks."""
    still = next((entry for entry in entries if entry.shot.figure != MOVING), None)
    if still and any(kind in FILM_FORMATS for kind in kinds):
        raise ValueError(f"{still.link} does not move: webp and gif are of the table of page 1.")
    several = len(entries) > 1
    failed = []
    for number, entry in enumerate(entries, 1):
        try:
            _write_figure(number, entry, [kind for kind in kinds if not (several and kind in DECK_FORMATS)],
                          out, theme, over, base)  # fmt: skip
        except ValueError as error:
            failed.append(entry)
            print(f"{entry.link} is left out: {error}", file=sys.stderr)
    whole = [entry for entry in entries if entry not in failed]
    for kind in kinds:
        if whole and kind in DECK_FORMATS and (several or kind not in FIGURE_FORMATS):
            made = export_deck(kind, whole, theme, base, title)
            _keep(out / f"deck-{theme}.{DECK_FORMATS[kind].suffix}", made)
    if failed:
        raise ValueError(f"{len(failed)} of {len(entries)} figures could not be drawn.")


def _write_figure(number: int, entry: Entry, kinds: list[str], out: Path, theme: str, over: str, base: str) -> None:
    """One figure in each kind that is of one figure."""
    FIGURES[entry.shot.figure].draw(entry.shot, theme)  # what cannot be drawn is known before anything is written
    name = f"{number:02d}-{entry.shot.figure.replace('.', '-')}-{theme}"
    for kind in kinds:
        if kind in FIGURE_FORMATS:
            large = "-4k" if kind == "png4k" else ""
            _keep(out / f"{name}{large}.{FIGURE_FORMATS[kind].suffix}", export(kind, entry, theme, base))
        elif kind in FILM_FORMATS:
            _keep(out / f"{name}.{FILM_FORMATS[kind].suffix}", export_film(kind, entry, theme, over, base))


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and say so."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_bytes(content)
    draft.replace(path)
    print(f"{path}  {len(content):,} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
