"""The faces: what they cover, whose they are, and that they are the files that their table names."""

import hashlib
import re

import pytest

from engine.slides.fonts import EMOJI, FACES, FOLDER, STRONG, TEXT, UNKNOWN, advance, covered, set_in, subset
from engine.slides.words import levels, runs, wrap

NEEDED = {
    "signs": "λ η ‖ w ² ³ σ √ ≠ ≤ ≥ ⟨ ⟩ ∞ Σ Π μ β − × · … → Δ ₀ ₁ ₂ ½ ± ≈ θ ∇ ∝ ∈ ℝ ∂ ◇ ▲ ● – — ’ “ ” °",
    "Latin": "ABCXYZabcxyz0123456789äöüßéñçåøłőžğ",
    "Cyrillic": "Где входит весовой распад ёЁїєґ",
    "Japanese": "重み減衰はどこに入るのか、学習率。「」ー？カタカナ",
    "Hebrew": "היכן נכנס דעיכת משקולות?",
    "Arabic": "هل يهم أين يدخل؟ پچگکی ٠١٢٣",
    "emoji": "😀🎉👍🔥🤖🧠📉📈",
}


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("bold", [False, True])
def test_every_needed_character_has_a_glyph(name, bold):
    assert UNKNOWN not in set_in(NEEDED[name], bold)


def test_every_character_of_the_source_of_charts_and_figures_has_a_glyph():
    engine = FOLDER.parents[1]
    files = [
        *engine.glob("charts/*.py"),
        *engine.glob("figures/*.py"),
        engine / "variants.py",
        engine / "slides/slide.py",
    ]
    chars = "".join(sorted({char for file in files for char in file.read_text(encoding="utf-8") if char.isprintable()}))
    missing = [char for char, face in zip(chars, set_in(chars, False), strict=True) if face is UNKNOWN]
    assert missing == []


def test_the_table_of_faces_is_that_of_the_files():
    rows = re.findall(
        r"\| (\S+\.ttf) \|.*\((\S+OFL\.txt)\).*`([0-9a-f]{64})`", (FOLDER / "README.md").read_text("utf-8")
    )
    assert (
        {name for name, _, _ in rows} == {file.name for file in FOLDER.glob("*.ttf")} == {face.file for face in FACES}
    )
    for name, licence, digest in rows:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
        text = (FOLDER / licence).read_text(encoding="utf-8")
        assert re.match(r"Copyright", text)
        assert "SIL OPEN FONT LICENSE Version 1.1" in text
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 9e6


def test_a_cluster_stays_in_one_face():
    for text in ("👨\u200d👩\u200d👧", "🇩🇪", "👍🏽", "1\ufe0f\u20e3", "❤\ufe0f"):
        assert set(set_in(text, False)) == {EMOJI}
        assert len(runs(text)) == 1
    assert set_in("a b", True) == [STRONG] * 3


def test_a_subset_has_what_it_is_asked_for_and_is_small():
    few = subset(TEXT, frozenset("λ‖w‖ = 3"))
    assert few[:4] == b"\x00\x01\x00\x00"
    assert len(few) < 20_000
    assert few == subset.__wrapped__(TEXT, frozenset("λ‖w‖ = 3"))
    assert ord("λ") in covered(TEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc 12", "000000"),
        ("אב 12", "11122"),
        ("אב (ab)?", "11122211"[:3] + "122" + "11"),
        ("ab אב 1", "0001112"),
        ("عر 11.9", "1112222"),
        ("ab אב.", "000110"),
    ],
)
def test_directions_are_those_of_unicode(text, expected):
    assert levels(text) == [int(level) for level in expected]


def test_lines_break_where_they_may_and_fit():
    for text in ("weight decay " * 30, "重み減衰、" * 40, "x" * 500):
        lines = wrap(text.strip(), 20, 300, 3)
        assert len(lines) == 3
        assert lines[-1].endswith("…")
        assert all(20 * advance(line, TEXT) <= 300 for line in lines if line.isascii())
    assert wrap("a b", 20, 300, 2) == ["a b"]
    assert wrap("", 20, 300, 2) == []
    assert not any(line.startswith("、") for line in wrap("重み減衰、" * 40, 20, 300, 9))
