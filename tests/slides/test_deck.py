"""Decks, read back by other programs: text, links, notes, pictures; whatever somebody writes into them."""

import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pptx import Presentation
from pptx.util import Inches, Pt
from pypdf import PdfReader

from engine.experiment import Experiment
from engine.figures import Shot
from engine.slides import deck, render
from engine.slides.fonts import FOLDER
from engine.slides.powerpoint import address, fitted
from engine.slides.slide import slide_of
from engine.slides.words import clean

BASE = "https://playground.example"
HOSTILE = (
    "<b>bold</b> &amp; ]]> <!-- --> ${x} {{y}}",
    "=1+1",
    '=HYPERLINK("https://evil.example")',
    "nul\x00 vt\x0b esc\x1b fffe\ufffe lone\ud800 pair\U0001f9ea",
    "x" * 10_000,
    "word " * 2000,
    "משקולות שדועכות",
    "الوزن يتقلص ‮with an override",
    "重み減衰はどこで効くのか" * 20,
    "👩‍🔬🎉" * 100,
    "W" * 300,
    "_x0041_",
)


@pytest.fixture(scope="module")
def slides():
    """A table in light and curves in dark."""
    table = slide_of(Shot("boundaries.table", Experiment()), "light", BASE)
    return [table, slide_of(Shot("boundaries.norms", Experiment(seed=4)), "dark", BASE)]


@pytest.fixture(scope="module")
def pptx(slides):
    return deck.to_pptx(slides, "A lecture")


def blank():
    file = io.BytesIO()
    Image.new("RGB", (912, 372)).save(file, "PNG")
    return file.getvalue()


BLANK = blank()


@pytest.fixture
def quick(monkeypatch):
    """Pictures that cost nothing."""
    monkeypatch.setattr(render, "picture_png", lambda slide, scale: BLANK)


def opened(data):
    return Presentation(io.BytesIO(data))


def body(page):
    return next((box for box in page.placeholders if box.placeholder_format.type.name == "BODY"), None)


def shape(page, name):
    return next(found for found in page.shapes if found.name == name)


def sameish(text):
    """Text up to spaces, which extraction from a PDF does not keep."""
    return "".join(text.split())


def test_a_deck_is_16_to_9_with_one_layout_for_each_theme(pptx, slides):
    found = opened(pptx)
    assert (found.slide_width, found.slide_height) == (pytest.approx(Inches(13.333), abs=500), Inches(7.5))
    assert found.element.sldSz.get("type") is None
    assert [layout.name for layout in found.slide_layouts] == ["Figure, light", "Figure, dark"]
    assert [page.slide_layout.name for page in found.slides] == [f"Figure, {slide.theme}" for slide in slides]
    kinds = {box.placeholder_format.type.name for layout in found.slide_layouts for box in layout.placeholders}
    assert kinds == {"TITLE", "BODY"}


def test_title_caption_settings_and_link_are_text(pptx, slides):
    for page, slide in zip(opened(pptx).slides, slides, strict=True):
        assert page.shapes.title.text_frame.text == slide.title
        assert body(page).text_frame.text == slide.caption
        settings_line, link = shape(page, "Settings and permalink").text_frame.paragraphs
        assert (settings_line.text, link.text) == (slide.settings, slide.link)
        assert link.runs[0].hyperlink.address == slide.link
        assert [found.name for found in page.shapes][2:] == ["Figure", "Settings and permalink"]


def test_the_picture_is_sharp_on_4k_and_described(pptx, slides):
    for page, slide in zip(opened(pptx).slides, slides, strict=True):
        figure = shape(page, "Figure")
        assert figure._element.nvPicPr.cNvPr.get("descr") == slide.picture.alt
        pixels = Image.open(io.BytesIO(figure.image.blob)).size
        assert pixels[0] >= 2.5 * figure.width / Pt(1)
        assert pixels[0] / pixels[1] == pytest.approx(figure.width / figure.height, rel=1e-3)
        assert figure.width > 0.9 * Inches(13.333)


def test_notes_have_the_explanation_and_all_words(pptx, slides):
    for page, slide in zip(opened(pptx).slides, slides, strict=True):
        notes = page.notes_slide.notes_text_frame.text
        for words in (slide.title, slide.notes, slide.caption, slide.settings, slide.picture.alt, slide.link):
            assert words in notes


def test_a_dark_slide_is_dark_for_its_own_words_and_for_added_ones(pptx):
    light, dark = opened(pptx).slides
    paper = [page.slide_layout.background.fill.fore_color.rgb for page in (light, dark)]
    assert [str(colour) for colour in paper] == ["FFFFFF", "14161A"]
    assert dark.element.findall(".//{*}overrideClrMapping[@bg1='dk1'][@tx1='lt1']")
    assert not light.element.findall(".//{*}overrideClrMapping")
    footer = shape(dark, "Settings and permalink").text_frame.paragraphs[0].runs[0]
    assert min(footer.font.color.rgb) > 0xA0


def test_the_font_is_that_of_the_drawn_slide(pptx):
    with zipfile.ZipFile(io.BytesIO(pptx)) as parts:
        assert parts.read("ppt/theme/theme1.xml").decode().count('<a:latin typeface="Source Sans 3"') == 2


def test_a_file_names_nobody_and_no_date(pptx):
    with zipfile.ZipFile(io.BytesIO(pptx)) as parts:
        core = parts.read("docProps/core.xml").decode()
        assert not [name for name in parts.namelist() if "printer" in name or "thumbnail" in name or "app.xml" in name]
    assert "A lecture" in core
    assert not re.search("creator|modified|created|Canny|python", core, re.I)


def boxes(page):
    """Tops and bottoms in points, from the top of the slide down."""
    shapes = [page.shapes.title, body(page), shape(page, "Figure"), shape(page, "Settings and permalink")]
    return [(found.top / Pt(1), (found.top + found.height) / Pt(1)) for found in shapes if found is not None]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("text", ["short", "many words " * 30, *HOSTILE])
def test_nothing_overlaps_and_nothing_leaves_the_slide(slides, text):
    slide = replace(slides[0], title=text, caption=text * 3, settings=text, link=BASE + "/?" + "x" * 3000)
    (page,) = opened(deck.to_pptx([slide])).slides
    edges = [edge for box in boxes(page) for edge in box]
    assert edges == pytest.approx(sorted(edges), abs=0.01)
    assert edges[0] >= 0
    assert edges[-1] <= 540
    sizes = [[run.font.size for run in box.text_frame.paragraphs[0].runs] for box in (page.shapes.title, body(page))]
    assert all(size is None or size >= Pt(least) for (size,), least in zip(sizes, (20, 12), strict=True))


def test_text_is_as_large_as_fits_and_cut_at_last():
    assert fitted("Short", 78, (28, 24, 20), bold=True)[:2] == ("Short", 28)
    words, size, _ = fitted("several words " * 9, 78, (28, 24, 20), bold=True)
    assert words.count("several") == 9
    assert size < 28
    words, size, height = fitted("several words " * 90, 78, (28, 24, 20), bold=True)
    assert words.endswith("…")
    assert ("several words " * 90).startswith(words[:-1])
    assert size == 20
    assert height <= 78


@pytest.mark.usefixtures("quick")
def test_a_text_from_the_right_begins_at_the_right(slides):
    (page,) = opened(deck.to_pptx([replace(slides[0], title="משקולות ו-λ")])).slides
    ways = [box.text_frame.paragraphs[0]._p.pPr for box in (page.shapes.title, body(page))]
    assert (ways[0].get("rtl"), ways[0].get("algn")) == ("1", "r")
    assert ways[1] is None


@pytest.mark.usefixtures("quick")
def test_a_slide_without_caption_has_no_empty_box(slides):
    (page,) = opened(deck.to_pptx([replace(slides[0], caption="")])).slides
    assert body(page) is None


@pytest.mark.parametrize("link", ["http://a.example/?x=1", "https://a.example/norms?figure=norms", "HTTPS://a.example"])
def test_links_of_the_web_can_be_clicked(link):
    assert address(link) == link


@pytest.mark.parametrize(
    "link",
    [
        "",
        "/?v=1",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://",
        "http://[",
        "mailto:a@b.example",
        "https://a.example/\n\r",
        "https://a.example/" + "x" * 3000,
        " javascript:https://a.example",
        "//a.example",
    ],
)
def test_other_links_stay_text(slides, link, quick):
    if link.strip() != "https://a.example/":
        assert not address(link)
    slide = replace(slides[0], link=link)
    (page,) = opened(deck.to_pptx([slide])).slides
    run = [run for line in shape(page, "Settings and permalink").text_frame.paragraphs for run in line.runs][-1]
    assert run.hyperlink.address in (None, "https://a.example/")


def test_an_address_is_of_ascii():
    assert unquote(address(BASE + "/?title=λ")) == BASE + "/?title=λ"
    assert address(BASE + "/?title=λ").isascii()


TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec=None), max_size=400))


@settings(max_examples=60)
@given(title=TEXTS, caption=TEXTS, other=TEXTS)
def test_any_text_is_text_in_a_pptx(slides, title, caption, other):
    alt = replace(slides[0].picture, alt=other)
    slide = replace(slides[0], title=title, caption=caption, settings=other, link=other, notes=other, picture=alt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "picture_png", lambda slide, scale: BLANK)
        (page,) = opened(deck.to_pptx([slide], title)).slides
    shown = page.shapes.title.text_frame.text
    assert clean(title).startswith(shown.removesuffix("…"))
    if len(clean(title)) < 60:
        assert shown == clean(title)
    notes = page.notes_slide.notes_text_frame.text
    assert clean(title) in notes
    assert f"Takeaway: {clean(caption)}" in notes
    assert shape(page, "Figure")._element.nvPicPr.cNvPr.get("descr") == clean(other)


def test_pdf(slides):
    told = []
    data = deck.to_pdf(slides, "A lecture", lambda done, total: told.append((done, total)))
    found = PdfReader(io.BytesIO(data))
    assert told == [(1, 2), (2, 2)]
    assert found.metadata.title == "A lecture"
    assert [tuple(map(float, page.mediabox[2:])) for page in found.pages] == [(960, 540)] * 2
    assert [mark.title for mark in found.outline] == [slide.title for slide in slides]
    assert [found.get_destination_page_number(mark) for mark in found.outline] == [0, 1]
    assert found.page_mode == "/UseOutlines"
    assert found.root_object["/Lang"] == "en"
    assert found.root_object["/ViewerPreferences"]["/DisplayDocTitle"].value is True
    for page, slide in zip(found.pages, slides, strict=True):
        text = sameish(page.extract_text())
        assert sameish(slide.title) in text
        assert sameish(slide.link) in text


def test_a_permalink_of_a_pdf_is_a_link_where_it_is_written(slides):
    page = PdfReader(io.BytesIO(deck.to_pdf(slides[:1]))).pages[0]
    (link,) = (note.get_object() for note in page["/Annots"])
    assert link["/A"]["/URI"] == slides[0].link
    left, low, right, high = map(float, link["/Rect"])
    found = []

    def see(text, page_matrix, text_matrix, *_):
        found.append((text, text_matrix[4], page_matrix[5] - text_matrix[5]))

    page.extract_text(visitor_text=see)
    inside = [(text, x) for text, x, y in found if text and low <= y <= high]
    assert "".join(text for text, _ in inside) == slides[0].link
    assert left <= inside[0][1] <= inside[-1][1] <= right <= inside[-1][1] + 8


def test_a_pdf_without_a_server_has_no_link(slides):
    page = PdfReader(io.BytesIO(deck.to_pdf([replace(slides[0], link="/?v=1&figure=table")]))).pages[0]
    assert "/Annots" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_not_break_a_pdf(slides, text):
    small = replace(slides[1].picture, alt=text)
    slide = replace(slides[1], title=text, caption=text, settings=text, link=text, notes=text, picture=small)
    found = PdfReader(io.BytesIO(deck.to_pdf([slide], text)))
    (mark,) = found.outline
    assert mark.title == clean(text)
    assert "/Annots" not in found.pages[0]


def test_zip(slides):
    told = []
    data = deck.to_zip(slides, title="A lecture", progress=lambda done, total: told.append((done, total)))
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        names = found.namelist()
        readme = found.read("README.txt").decode()
        assert opened(found.read("deck.pptx")).core_properties.title == "A lecture"
        assert len(PdfReader(io.BytesIO(found.read("deck.pdf"))).pages) == 2
        assert Image.open(io.BytesIO(found.read("01-boundaries-table-light.png"))).size == (1920, 1080)
        assert found.read("02-boundaries-norms-dark.csv") == render.to_csv(slides[1])
        assert found.read("fonts/SourceSans3-OFL.txt") == (FOLDER / "SourceSans3-OFL.txt").read_bytes()
        assert {entry.date_time for entry in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    stems = ("01-boundaries-table-light", "02-boundaries-norms-dark")
    assert names[:9] == ["README.txt", *(f"{stem}.{kind}" for stem in stems for kind in ("png", "svg", "pdf", "csv"))]
    assert names[9:] == [
        "deck.pptx",
        "deck.pdf",
        *(f"fonts/{path.name}" for path in sorted(FOLDER.glob("SourceSans3*"))),
    ]
    for slide in slides:
        assert all(words in readme for words in (slide.title, slide.caption, slide.link, slide.settings))
    assert told == [(done, 11) for done in range(1, 12)]


@pytest.mark.usefixtures("quick")
def test_a_zip_of_some_formats(slides):
    with zipfile.ZipFile(io.BytesIO(deck.to_zip(slides, ["csv", "deck.pptx"]))) as found:
        names = [name for name in found.namelist() if not name.startswith("fonts/")]
    assert names == ["README.txt", "01-boundaries-table-light.csv", "02-boundaries-norms-dark.csv", "deck.pptx"]
    with pytest.raises(ValueError, match="exe"):
        deck.to_zip(slides, ["exe"])


@given(link=TEXTS)
def test_any_link_makes_a_plain_file_name(slides, link):
    assert re.fullmatch(r"07-[a-z0-9_-]+-light", deck.file_name(6, replace(slides[0], link=link)))


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("/?v=1&figure=table", "01-boundaries-table-light"),
        ("https://host/?v=1&figure=table", "01-boundaries-table-light"),
        ("https://host/../../etc?figure=passwd", "01-figure-light"),
    ],
)
def test_a_file_is_called_after_its_figure(slides, link, name):
    assert deck.file_name(0, replace(slides[0], link=link)) == name


@pytest.mark.parametrize("make", [deck.to_pptx, deck.to_pdf, lambda slides: deck.to_zip(slides, ["svg", "pdf", "csv"])])
def test_the_same_slides_are_the_same_bytes(slides, make, monkeypatch):
    first = make(slides[1:])
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert make(slides[1:]) == first


@pytest.mark.usefixtures("quick")
def test_a_deck_tells_how_far_it_is_and_names_itself_when_nobody_does(slides):
    told = []
    found = opened(deck.to_pptx(slides, "", lambda done, total: told.append((done, total))))
    assert told == [(1, 2), (2, 2)]
    assert found.core_properties.title == deck.TITLE


def test_libreoffice_shows_every_word(slides, tmp_path):
    office = shutil.which("soffice")
    if not office:
        pytest.skip("LibreOffice (soffice) is not installed")
    long = replace(slides[0], title="A long title that goes on and on, " * 9, caption="Many words of a takeaway. " * 40)
    several = [*slides, replace(slides[0], title="משקולות ו-λ"), replace(slides[1], title="重み減衰"), long]
    (tmp_path / "deck.pptx").write_bytes(deck.to_pptx(several))
    home = f"-env:UserInstallation=file://{tmp_path}/home"
    command = [
        office,
        "--headless",
        home,
        "--convert-to",
        "pdf",
        "--outdir",
        str(tmp_path),
        str(tmp_path / "deck.pptx"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = PdfReader(tmp_path / "deck.pdf")
    assert len(found.pages) == len(several)
    for page, slide in list(zip(found.pages, several, strict=True))[:2]:
        text = sameish(page.extract_text())
        for words in (slide.title, slide.caption, slide.settings, slide.link):
            assert sameish(words) in text
        assert [note.get_object()["/A"]["/URI"] for note in page["/Annots"]] == [slide.link]
    assert "A long title" in found.pages[-1].extract_text()
