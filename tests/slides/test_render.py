"""Slides as files: exact pixels, words of a size that can be read from the back, text as text, whatever it says."""

import csv
import dataclasses
import io
import itertools
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pypdf import PdfReader

from engine import VARIANTS, Experiment
from engine.charts.picture import HEIGHT, WIDTH
from engine.charts.theme import PALETTE
from engine.figures import FIGURES, Shot
from engine.figures.landscape import remember
from engine.landscape import Landscape, plan_of
from engine.slides.render import PICTURE, SMALLEST, opens, picture_png, to_csv, to_pdf, to_png, to_svg
from engine.slides.slide import Slide, slide_of
from tests.slides.drawing import SVG, plain, words

SHORT = Experiment(steps=60)
LINK = "https://decay.example.org/?v=1&figure=norms&note=a%20b"
FAMILIES = {
    "one": ("adamw",),
    "pair": ("adam_l2", "adamw"),
    "row": ("sgd", "sgd_l2", "sgdw"),
    "three rows": ("sgd", "momentum_l2", "adam", "adamw"),
    "other priors": tuple(key for key, variant in VARIANTS.items() if variant.where == "other"),
    "all": tuple(VARIANTS),
}


@cache
def slide(figure="boundaries.norms", theme="light", variants=SHORT.variants) -> Slide:
    return slide_of(Shot(figure, dataclasses.replace(SHORT, variants=variants)), theme, "https://decay.example.org")


def says(**words) -> Slide:
    return dataclasses.replace(slide(), **words)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_exact_pixels(theme):
    for scale, size in ((1, (960, 540)), (2, (1920, 1080)), (4, (3840, 2160))):
        assert Image.open(io.BytesIO(to_png(slide(theme=theme), scale))).size == size
    picture = Image.open(io.BytesIO(picture_png(slide(theme=theme), 2)))
    assert picture.size == (2 * PICTURE.width, 2 * PICTURE.height)
    assert len(picture.convert("RGB").resize((96, 40)).getcolors(96 * 40)) > 30


def legible(svg: bytes, canvas=(WIDTH, HEIGHT)):
    """Every word is large enough, on the canvas, and on no other word."""
    found = words(svg)
    assert min(word.size for word in found) >= SMALLEST
    for word in found:
        left, top, right, bottom = word.box
        assert left >= 0 and top >= 0 and right <= canvas[0] and bottom <= canvas[1], word  # noqa: PT018
    on_another = [(a, b) for a, b in itertools.combinations(found, 2) if a.text != b.text and a.covers(b) > 0.1]
    assert not on_another


@pytest.fixture(scope="module", autouse=True)
def no_map_is_trained():
    """A map of losses that nobody trained stands for one that takes half a minute."""
    plan, _ = plan_of(SHORT, ("adam_l2", "adamw"))
    made_up = Landscape(plan)
    made_up.metrics[:] = np.random.default_rng(0).uniform(0.3, 0.7, made_up.metrics.shape)
    made_up.done = set(plan.tiles())
    remember(made_up)


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_legible_from_the_back(figure):
    drawn = slide(figure)
    svg = to_svg(drawn)
    legible(svg)
    assert drawn.title in plain(svg)
    assert ET.fromstring(svg).get("width") == "960"


@pytest.mark.parametrize("figure", {entry.page: key for key, entry in FIGURES.items()}.values())
def test_dark_is_the_same_in_other_colours(figure):
    light, dark = to_svg(slide(figure)), to_svg(slide(figure, "dark"))
    assert [word.box for word in words(light)] == [word.box for word in words(dark)]
    colours = [
        {node.get("fill", "").upper() for node in ET.fromstring(svg).iter(f"{SVG}text")} for svg in (light, dark)
    ]
    assert PALETTE["light"]["ink"] in colours[0]
    assert colours[1] & set(PALETTE["light"].values()) <= set(PALETTE["dark"].values())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_table_of_any_size_is_legible(name):
    svg = to_svg(slide("boundaries.table", variants=FAMILIES[name]))
    legible(svg)
    assert plain(svg).count("‖w‖") >= len(FAMILIES[name])


def test_the_footer_says_all_settings_also_of_all_variants():
    for variants in (SHORT.variants, tuple(VARIANTS)):
        shown = slide(variants=variants)
        said = "".join(plain(to_svg(shown)).split())
        for part in shown.settings.split(" · "):
            assert "".join(part.split()) in said


def test_the_same_slide_makes_the_same_bytes():
    assert to_svg(slide("boundaries.table")) == to_svg(slide("boundaries.table"))


HOSTILE = {
    "markup": "<script>alert(1)</script> ]]> & \" ' <!-- &amp; <![CDATA[ </svg>",
    "formulas": "=1+1 $x$ \\frac{1}{2} `code` **bold** {{x}} %s",
    "controls": "a\x00b\x1b[31mc\x07d\ud800e\ufffef\u202egpj.exe\u202c\u2067x\u2069\r\n\ty",
    "one long word": "W" * 10_000,
    "many words": "decay " * 2_000,
    "Cyrillic": "Где входит λ: в градиент или в вес?",
    "Japanese": "重み減衰はどこに入るのか？学習率との関係について考える" * 3,
    "Hebrew": "האם זה משנה היכן λ נכנס? (AdamW לעומת Adam + L2)",
    "Arabic": "هل يهم أين يدخل λ؟ 11.9 مقارنة AdamW مع Adam + L2",
    "emoji": "😀👨\u200d👩\u200d👧🇩🇪👍🏽 1\ufe0f\u20e3 ❤\ufe0f",
    "marks": "e\u0301\u0302\u0303\u0304 " * 30,
    "no face": "ภาษาไทย हिन्दी 한국어 \U0001f9ff\U000e0041",
    "nothing": " ",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_words_end_as_plain_text_on_the_slide(name):
    text = HOSTILE[name]
    made = says(title=text, caption=text, settings=text, link=text)
    svg = to_svg(made)
    legible(svg)
    assert {node.tag.removeprefix(SVG) for node in ET.fromstring(svg).iter()} <= {
        "svg", "g", "a", "text", "rect", "path", "image", "style", "title", "desc", "defs", "clipPath", "line",
    }  # fmt: skip
    assert Image.open(io.BytesIO(to_png(made, 1))).size == (960, 540)
    assert len(PdfReader(io.BytesIO(to_pdf(made))).pages) == 1


def test_markup_is_read_as_it_was_written():
    assert '<script>alert(1)</script> ]]> & "' in plain(to_svg(says(title=HOSTILE["markup"])))


def test_a_link_is_whole_and_goes_nowhere_else():
    long = LINK + "&x=1" * 400
    root = ET.fromstring(to_svg(says(link=long)))
    assert [node.get("href") for node in root.iter(f"{SVG}a")] == [long]
    assert "…" in plain(to_svg(says(link=long)))
    assert LINK in plain(to_svg(says(link=LINK)))
    for fine in (LINK, "http://h/", "/norms?v=1", "?v=1"):
        assert opens(fine)
    for foul in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil",
        "file:///etc",
        "https:",
        " ",
        "a\nb",
    ):
        assert not opens(foul)
        assert not list(ET.fromstring(to_svg(says(link=foul))).iter(f"{SVG}a"))


def test_numbers_stay_in_their_order_beside_arabic():
    found = words(to_svg(says(title=HOSTILE["Arabic"])))
    boxes = {word.text.strip(): word.box[0] for word in found if word.box[3] < PICTURE.y}
    assert "11.9" in boxes
    assert boxes["Adam + L2"] < boxes["AdamW"] < boxes["11.9"] < boxes["λ"]


@pytest.mark.parametrize("name", ["Cyrillic", "Japanese", "Hebrew", "Arabic", "markup"])
def test_text_in_a_pdf_is_text(name):
    made = says(title=HOSTILE[name][:60], caption="From ‖w‖ = 3.2 to 5.1, λ ≠ η")
    pdf = PdfReader(io.BytesIO(to_pdf(made)))
    text = "".join(pdf.pages[0].extract_text().split())
    for part in ("From‖w‖=3.2to5.1,λ≠η", "steps", "AdamW"):
        assert part in text
    fonts = pdf.pages[0]["/Resources"]["/Font"].values()
    files = [font.get_object()["/DescendantFonts"][0]["/FontDescriptor"] for font in fonts]
    assert all({"/FontFile2", "/FontFile3"} & set(file) for file in files)
    if not shutil.which("pdftotext"):
        print("pdftotext (poppler-utils) is not installed: the PDF was read with pypdf alone")
        return
    done = subprocess.run(["pdftotext", "-", "-"], input=to_pdf(made), capture_output=True, check=True)
    letters = {c for c in HOSTILE[name][:60] if c.isalpha()}
    assert letters <= set(done.stdout.decode())


def test_csv_is_the_frame_and_runs_no_formula():
    frame = pd.DataFrame({
        "=name": ["=1+1", "+a", "-b", "@c", "\t=d", "SGD + L2", "λ, \"x\"\n"],
        "value": [-1.5, 2, 3, 4, 5, 6, 7],
    })  # fmt: skip
    rows = list(csv.reader(io.StringIO(to_csv(says(frame=frame)).decode())))
    assert rows[0] == ["'=name", "value"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+a", "'-b", "'@c", "'\t=d", "SGD + L2", 'λ, "x"\n']
    assert rows[1][1] == "-1.5"
    own = pd.read_csv(io.BytesIO(to_csv(slide())))
    assert list(own.columns) == list(slide().frame.columns)
    assert len(own) == len(slide().frame)


OFFLINE = """
import dataclasses, socket, sys
from engine import Experiment
from engine.figures import Shot
from engine.slides.render import *
from engine.slides.slide import slide_of
assert [name for _, name in socket.if_nameindex()] in ([], ["lo"])
slide = slide_of(Shot("boundaries.norms", Experiment(steps=60)), "light", "https://decay.example.org")
assert to_png(slide)[:4] == b"\\x89PNG" and to_pdf(slide)[:4] == b"%PDF" and picture_png(slide)
sys.stdout.buffer.write(to_svg(slide))
"""


def test_slides_are_made_without_any_network():
    alone = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here (unshare --net): not tried without a network")
    done = subprocess.run([*alone, sys.executable, "-c", OFFLINE], capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == to_svg(slide())
