"""The faces that slides are set in, shipped with the project: which one has a character, how wide it is, its subset."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import uharfbuzz
import vl_convert

FOLDER = Path(__file__).with_name("fonts")
ZWJ, ZWNJ, EMOJI_STYLE = "\u200d", "\u200c", "\ufe0f"


@dataclass(frozen=True)
class Face:
    """One font file: what CSS calls it, and its weight."""

    family: str
    weight: int
    file: str

    @property
    def css(self) -> str:
        """The value of font-family; the generic name is for programs that drop the embedded face."""
        return f"'{self.family}', sans-serif"


TEXT = Face("Source Sans 3", 400, "SourceSans3-Regular.ttf")
STRONG = Face("Source Sans 3", 600, "SourceSans3-SemiBold.ttf")
MATH = Face("Noto Sans Math", 400, "NotoSansMath-Regular.ttf")
HEBREW = Face("Noto Sans Hebrew", 400, "NotoSansHebrew-Regular.ttf")
ARABIC = Face("IBM Plex Sans Arabic", 400, "IBMPlexSansArabic-Regular.ttf")
"""One glyph a letter, so that a PDF gives the letters back; Noto draws their dots apart."""
JAPANESE = Face("Noto Sans JP", 400, "NotoSansJP-Regular.ttf")
EMOJI = Face("Noto Emoji", 400, "NotoEmoji-Regular.ttf")
UNKNOWN = Face("sans-serif", 400, "")
"""For characters that no face has: whatever the machine offers, each as wide as an em."""

FACES = (TEXT, STRONG, MATH, HEBREW, ARABIC, JAPANESE, EMOJI)
OTHERS = (HEBREW, ARABIC, MATH, JAPANESE, EMOJI)
"""In the order in which they are asked: the mathematical face has Arabic letters too, which it does not join."""
LEFTWARD = (HEBREW, ARABIC)
"""Faces that keep the marks between their words, for words and marks are one run to the left."""


@lru_cache(maxsize=1)
def register() -> None:
    """Make the faces known to vl_convert, once a process."""
    vl_convert.register_font_directory(str(FOLDER))


@lru_cache(maxsize=len(FACES))
def _open(face: Face) -> uharfbuzz.Font:
    return uharfbuzz.Font(uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(FOLDER / face.file))))


@lru_cache(maxsize=len(FACES))
def covered(face: Face) -> frozenset[int]:
    """The code points that a face has."""
    return frozenset(_open(face).face.unicodes) if face.file else frozenset()


def has(face: Face, char: str) -> bool:
    """Whether a face has a glyph for a character."""
    return ord(char) in covered(face)


def set_in(text: str, bold: bool) -> list[Face]:
    """The face of every character: the text's own where it has it, else the first other; clusters stay in one face."""
    own = STRONG if bold else TEXT
    faces: list[Face] = []
    for i, char in enumerate(text):
        last = faces[-1] if faces else own
        joined = i > 0 and (text[i - 1] == ZWJ or unicodedata.category(char) in ("Mn", "Me") or char in (ZWJ, ZWNJ))
        if (joined or char == EMOJI_STYLE or _modifies(char)) and faces and (has(last, char) or joined):
            faces.append(last)
        elif text[i + 1 : i + 2] == EMOJI_STYLE and has(EMOJI, char):
            faces.append(EMOJI)
        elif last in LEFTWARD and has(last, char) and unicodedata.category(char)[0] in "PSZ":
            faces.append(last)
        else:
            faces.append(next((face for face in (own, *OTHERS) if has(face, char)), UNKNOWN))
    return faces


def _modifies(char: str) -> bool:
    """Skin tones and flags, which are one picture with what is before them."""
    return "\U0001f3fb" <= char <= "\U0001f3ff" or "\U0001f1e6" <= char <= "\U0001f1ff"


@lru_cache(maxsize=4096)
def advance(text: str, face: Face) -> float:
    """Width of shaped text of one face, in em."""
    if not face.file or not text:
        return float(len(text))
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    font = _open(face)
    uharfbuzz.shape(font, buffer)
    return sum(place.x_advance for place in buffer.glyph_positions) / font.face.upem


@lru_cache(maxsize=64)
def subset(face: Face, chars: frozenset[str]) -> bytes:
    """A font file with the glyphs of some characters and what their shaping needs."""
    wanted = uharfbuzz.SubsetInput()
    wanted.unicode_set.update({ord(char) for char in chars} | {0x20})
    wanted.flags = uharfbuzz.SubsetFlags.NO_HINTING
    return bytes(uharfbuzz.subset(_open(face).face, wanted).blob.data)


def stylesheet(used: Mapping[Face, Iterable[str]]) -> str:
    """CSS that embeds the used characters of every face."""
    rules = []
    for face in FACES:
        if chars := frozenset(used.get(face, ())):
            data = base64.b64encode(subset(face, chars)).decode()
            rules.append(
                f"@font-face{{font-family:'{face.family}';font-weight:{face.weight};"
                f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
            )
    return "".join(rules)
