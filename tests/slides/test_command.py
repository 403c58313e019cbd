"""``python -m engine.slides``: files from permalinks, without browser or network, and sentences for what is no link."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pptx import Presentation
from pypdf import PdfReader

from engine.slides.__main__ import KINDS, main
from engine.slides.entry import MOST, read_entry
from engine.slides.lecture import LECTURE, TITLE
from engine.slides.make import DECK_FORMATS, FIGURE_FORMATS

ROOT = Path(__file__).parents[2]
NORMS = "/?v=1&steps=20&figure=norms"
LOSSES = "https://example.org/?v=1&steps=20&figure=losses&title=Mine+%3Cb%3E&caption=%3D1%2B1"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def size(path: Path) -> tuple[int, int]:
    return Image.open(io.BytesIO(path.read_bytes())).size


def test_every_format_of_a_figure(tmp_path, capsys):
    kinds = ",".join([*FIGURE_FORMATS, "pptx", "zip"])
    assert main([NORMS, "--out", str(tmp_path / "new"), "--format", kinds, "--theme", "dark"]) == 0
    stem = "01-boundaries-norms-dark"
    wanted = [f"{stem}-4k.png", *(f"{stem}.{kind}" for kind in ("csv", "pdf", "png", "svg"))]
    assert names(tmp_path / "new") == sorted([*wanted, "deck-dark.pptx", "deck-dark.zip"])
    assert size(tmp_path / "new" / f"{stem}.png") == (1920, 1080)
    assert size(tmp_path / "new" / f"{stem}-4k.png") == (3840, 2160)
    assert len(PdfReader(tmp_path / "new" / f"{stem}.pdf").pages) == 1
    told = capsys.readouterr()
    assert all(name in told.out for name in wanted)
    assert told.err == ""


def test_several_figures_are_one_document_in_their_order(tmp_path):
    assert main([LOSSES, NORMS, "--out", str(tmp_path), "--format", "pptx,pdf,svg", "--base", "https://x.org"]) == 0
    assert names(tmp_path) == [
        "01-boundaries-losses-light.svg", "02-boundaries-norms-light.svg", "deck-light.pdf", "deck-light.pptx",
    ]  # fmt: skip
    first, second = Presentation(str(tmp_path / "deck-light.pptx")).slides
    assert first.shapes.title.text == "Mine <b>"
    texts = [shape.text_frame.text for shape in first.shapes if shape.has_text_frame]
    assert "=1+1" in texts
    assert second.shapes.title.text == "How large do the weights become?"
    pages = PdfReader(tmp_path / "deck-light.pdf").pages
    assert ["Mine" in page.extract_text() for page in pages] == [True, False]
    assert "https://x.org/?v=1&steps=20&figure=norms" in pages[1].extract_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere?v=1", "--out", "{}"], "No page with figures is called `nowhere`"),
        (["http://[", "--out", "{}"], "is no link"),
        (["/what_to_decay?v=1&hidden=0&steps=9&figure=gains", "--out", "{}"], "1 of 1 figures could not be drawn."),
        ([NORMS, "--out", "{}/file/folder"], "file/folder cannot be written: Not a directory."),
        ([NORMS, "--out", "{}/file"], "file cannot be written: File exists."),
        ([NORMS, "--out", "{}", "--format", "gif,webp"], "does not move"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(arguments, said, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([text.format(tmp_path) for text in arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x"], "between 1 and 40 permalinks"),
        ([NORMS] * (MOST + 1) + ["--out", "x"], "got 41"),
        ([NORMS, "--out", "x", "--format", "png,bmp"], "no format bmp; there are png"),
        ([NORMS, "--out", "x", "--format", ","], "no format given"),
        ([NORMS], "--out"),
    ],
)
def test_a_wrong_command_is_told_what_there_is(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert names(tmp_path) == []


def test_a_figure_that_cannot_be_drawn_is_named_and_the_others_are_made(tmp_path, capsys):
    bad = "/what_to_decay?v=1&hidden=0&steps=9&figure=gains"
    assert main([bad, NORMS, LOSSES, "--out", str(tmp_path), "--format", "svg,pptx"]) == 1
    assert names(tmp_path) == [
        "02-boundaries-norms-light.svg", "03-boundaries-losses-light.svg", "deck-light.pptx",
    ]  # fmt: skip
    assert len(Presentation(str(tmp_path / "deck-light.pptx")).slides) == 2
    error = capsys.readouterr().err
    assert "/what_to_decay?v=1&hidden=0&steps=9&figure=gains is left out: " in error
    assert "LayerNorm" in error


def test_a_film_of_what_does_not_move_is_refused_before_anything_is_made(tmp_path):
    assert main(["/?v=1&steps=20&figure=table", NORMS, "--out", str(tmp_path), "--format", "csv,webp"]) == 1
    assert names(tmp_path) == []


def test_ctrl_c_is_a_sentence(tmp_path, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.slides.__main__.export", interrupted)
    assert main([NORMS, "--out", str(tmp_path)]) == 130
    assert "stopped" in capsys.readouterr().err


def test_what_a_link_says_wrongly_is_named_and_the_rest_is_drawn(tmp_path, capsys):
    assert main(["/?v=1&steps=20&seed=nan&figure=norms&zz=1", "--out", str(tmp_path), "--format", "csv"]) == 0
    error = capsys.readouterr().err
    assert "`seed=nan` cannot be used" in error
    assert "`zz` is not a knob" in error
    assert names(tmp_path) == ["01-boundaries-norms-light.csv"]


def test_the_lecture_is_ten_figures_with_titles_of_their_own():
    entries = [read_entry(link) for link in LECTURE]
    assert len(entries) == 10
    assert [notices for _, notices in entries] == [[]] * 10
    assert [entry.link for entry, _ in entries] == list(LECTURE)
    assert all(entry.title for entry, _ in entries[1:])
    assert len({entry.shot for entry, _ in entries}) == 10
    assert TITLE == "Weight decay in ten figures"


def test_all_of_it_works_without_any_network(tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("unshare, which takes the network away, is not on this machine")
    command = ["unshare", "-rn", sys.executable, "-m", "engine.slides", NORMS, "/?v=1&steps=4&figure=table"]
    kinds = ",".join(kind for kind in KINDS if kind not in ("webp", "gif"))
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no network namespace of one's own")
    run = [*command, "--out", str(tmp_path), "--format", kinds]
    subprocess.run(run, cwd=ROOT, check=True, timeout=300)
    film = [*command[:5], command[6], "--out", str(tmp_path), "--format", "webp,gif"]
    subprocess.run(film, cwd=ROOT, check=True, timeout=300)
    assert len(names(tmp_path)) == 2 * (len(FIGURE_FORMATS) - 1) + len(DECK_FORMATS) + 2
    for path in tmp_path.glob("*.png"):
        assert len(Image.open(io.BytesIO(path.read_bytes())).convert("RGB").resize((96, 54)).getcolors(6000)) > 30
