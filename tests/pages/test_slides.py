"""Page 9 and the export menu through AppTest: the deck in session and address, words that are no markup, files."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from engine import Experiment
from engine.figures import FIGURES
from engine.slides.entry import MOST, read_entry
from engine.slides.lecture import LECTURE
from pages import _deck, _exports

ROOT = Path(__file__).parents[2]
HOSTILE = ["<script>alert(1)</script>", "=1+1", "$x$ **b** `c` [l](javascript:alert(1))", "שלום عالم", "😀" * 40]


def opened(page: str, slides: list[str] | None = None, **query: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / page), default_timeout=120)
    for name, value in {"steps": "30", **query}.items():
        at.query_params[name] = value
    if slides:
        at.query_params["slide"] = slides
    return ran(at)


def ran(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    return at


def links_of(at: AppTest) -> list[str]:
    return [card.entry.link for card in at.session_state.deck]


def link_of(at: AppTest) -> str:
    """The link that the open menu offers."""
    (shown,) = (part.proto for part in at.get("bidi_component") if part.proto.component_name == "wdp_link")
    return json.loads(shown.json)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Thumbnails that are not drawn: what is asked for is remembered."""
    asked = []

    def make(work, *args, **others):
        asked.append((work.__name__, *args))
        return (PIXEL, "words <b>") if work.__name__ == "preview" else PIXEL

    monkeypatch.setattr(_exports.STUDIO, "make", make)
    monkeypatch.setattr(_exports.STUDIO, "warm", lambda: None)
    return asked


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645"
    "400000000049454e44ae426082"
)


def test_an_empty_deck_says_how_to_fill_it():
    at = opened("pages/slides.py")
    assert "No slides yet" in at.info[0].value
    assert links_of(at) == []


def test_figures_are_added_moved_reworded_and_removed():
    at = opened("pages/slides.py", seed="7")
    for key in ("boundaries.losses", "norms.norms"):
        at.selectbox(key="deck_new").select(key)
        ran(at)
        next(button for button in at.button if button.label == "Add").click()
        ran(at)
    assert links_of(at) == ["/?v=1&seed=7&steps=30&figure=losses", "/norms?v=1&seed=7&steps=30&figure=norms"]
    first, second = (card.number for card in at.session_state.deck)
    at.button(key=f"down_{first}").click()
    ran(at)
    assert [card.number for card in at.session_state.deck] == [second, first]
    at.text_input(key=f"title_{first}").set_value("Mine")
    ran(at)
    assert links_of(at)[1].endswith("figure=losses&title=Mine")
    at.text_input(key=f"caption_{second}").set_value("  two \n words ")
    ran(at)
    assert "caption=two+words" in links_of(at)[0]
    at.button(key=f"remove_{second}").click()
    ran(at)
    assert [card.number for card in at.session_state.deck] == [first]
    assert at.button(key=f"up_{first}").disabled
    assert at.button(key=f"down_{first}").disabled


def test_the_address_holds_the_deck_and_opens_it():
    slides = ["/norms?v=1&figure=layers&part=2&title=A+%3Cb%3E&caption=%3D1%2B1", "/?v=1&seed=4&figure=table&at=100"]
    at = opened("pages/slides.py", slides)
    assert not at.warning
    assert links_of(at) == slides
    assert at.session_state.written["slide"] == slides


def test_what_a_links_slides_cannot_be_is_named_and_the_rest_stays():
    good = "/?v=1&figure=norms"
    bad = ["/nowhere?v=1", "/norms?v=1&figure=nonsense", "/?v=1&figure=norms&part=3&steps=nan", "http://["]
    at = opened("pages/slides.py", [good, *bad, *[good] * MOST])
    said = at.warning[0].value
    for named in ("Slide 2: No page", "Slide 3", "`nonsense`", "Slide 4", "`steps=nan`", "first 40 are taken"):
        assert named in said
    assert links_of(at)[0] == good
    assert len(links_of(at)) < MOST


@pytest.mark.parametrize("text", HOSTILE)
def test_words_come_back_from_the_address_as_they_were(text):
    at = opened("pages/slides.py", ["/?v=1&figure=norms"])
    number = at.session_state.deck[0].number
    at.text_input(key=f"title_{number}").set_value(text)
    ran(at)
    entry, notices = read_entry(links_of(at)[0])
    assert (entry.title, notices) == (text, [])
    assert at.text_input(key=f"title_{number}").value == text


def test_the_lecture_has_ten_slides_and_asks_for_ten_pictures(drawn):
    at = opened("pages/slides.py")
    at.button(key="deck_lecture").click()
    ran(at)
    assert links_of(at) == [read_entry(link)[0].link for link in LECTURE]
    assert [name for name, *_ in drawn] == ["preview"] * 10
    at.button(key="deck_pptx").click()
    ran(at)
    name, kind, entries, theme, *_ = drawn[10]
    assert (name, kind, len(entries), theme) == ("export_deck", "pptx", 10, "light")
    assert at.session_state.made.name == "weight-decay-light.pptx"


@pytest.mark.parametrize("page", sorted({figure.page for figure in FIGURES.values()}))
def test_the_menu_of_every_page_offers_its_figures(page, drawn):
    at = opened(f"pages/{page}.py")
    at.button(key="export_open").click()
    ran(at)
    link = link_of(at)
    entry, notices = read_entry(link)
    assert notices == []
    assert entry.shot.figure.startswith(f"{page}.")
    assert entry.shot.experiment.steps == 30
    assert urlsplit(link).path.strip("/") == ("" if page == "boundaries" else page)
    options = at.selectbox(key="export_figure").options
    assert len(set(options)) == len(options) >= 2


@pytest.mark.parametrize(
    ("asked", "link"),
    [
        ({"figure": 0, "step": 15, "weight_decay": None}, "/?v=1&steps=30&figure=table&at=15"),
        ({"figure": 0, "step": 30, "weight_decay": None}, "/?v=1&steps=30&figure=table"),
        ({"figure": 0, "step": 0, "weight_decay": 0.5}, "/?v=1&steps=30&weight_decay=0.5&figure=table"),
        ({"figure": 2, "step": 15, "weight_decay": None}, "/?v=1&steps=30&figure=norms"),
        ({"figure": 2, "step": 0, "weight_decay": 0.5}, "/?v=1&steps=30&figure=norms_over_lambda"),
    ],
)
def test_a_figures_own_button_asks_for_what_is_on_screen(asked, link):
    at = opened("pages/boundaries.py")
    at.session_state.export_asked = asked
    ran(at)
    assert link_of(at) == link


@pytest.mark.parametrize(
    ("link", "lines"),
    [
        ("/?v=1&weight_decay=0.5&figure=table", ["weight_decay = 0.5 "]),
        ("/norms?v=1&figure=settled", ["nn.LayerNorm(16)"]),
        ("/what_to_decay?v=1&figure=gains&of=sgdw", ["nn.LayerNorm(16)"]),
        ("/what_to_decay?v=1&figure=weights&of=sgdw&norm=0", ["nn.Linear(16, 16)"]),
        ("/prior?v=1&figure=weights", ["nn.Linear(2, 1)"]),
        ("/two_decays?v=1&schedule=cosine&figure=alone", ["math.cos"]),
    ],
)
def test_the_script_trains_what_the_figure_shows(link, lines):
    entry = read_entry(link)[0]
    code = _exports.code_of(entry, "https://example.org")
    assert all(line in code for line in lines)
    assert "https://example.org" + entry.link in code
    assert ("LayerNorm" in code) == any("LayerNorm" in line for line in lines)


def test_a_link_of_a_figure_opens_its_view():
    at = opened("pages/norms.py", figure="box")
    assert at.session_state.view == "box"
    assert not at.warning
    at = opened("pages/prior.py", figure="evidence")
    assert at.session_state.prior_view == "evidence"
    at = opened("pages/one_step.py", figure="race", of="adamw", at="10", part="close")
    state = at.session_state
    assert (state.one_variant, state.one_step, state.one_pick) == ("adamw", 10, "close")
    at = opened("pages/what_to_decay.py", figure="losses", of="sgdw", norm="0")
    assert at.session_state.decayed_variants == ["sgdw"]
    assert at.session_state.with_norm is False
    at = opened("pages/map.py", figure="left", of="sgd_l2,sgdw")
    assert (at.session_state.map_left, at.session_state.map_right) == ("sgd_l2", "sgdw")


def test_a_figures_link_is_of_its_page_alone_and_leaves_with_the_experiment():
    at = opened("pages/one_step.py", figure="race", of="adamw", at="10")
    assert at.query_params["at"] == "10"
    at.session_state.knob_weight_decay = 0.1
    ran(at)
    assert "at" not in at.query_params
    at = opened("pages/boundaries.py", figure="table", at="15")
    assert at.session_state.figure_link.asked == {"figure": "table", "at": "15"}
    assert not at.warning


def test_a_deck_that_no_address_could_hold_is_kept_and_said_so():
    at = opened("pages/slides.py", ["/?v=1&figure=norms"] * 3)
    for card in at.session_state.deck:
        at.text_input(key=f"caption_{card.number}").set_value("長い説明" * 100)
    ran(at)
    assert len(links_of(at)) == 3
    assert "slide" not in at.session_state.written
    assert any("too much for a link" in caption.value for caption in at.caption)
    ran(at)
    assert all("長い説明" in card.entry.caption for card in at.session_state.deck)


def test_every_slide_of_the_deck_has_a_number_of_its_own():
    at = opened("pages/slides.py", ["/?v=1&figure=norms"] * 5)
    numbers = [card.number for card in at.session_state.deck]
    assert len(set(numbers)) == 5
    assert _deck.MOST == MOST
    assert Experiment.from_query({"v": "1"})[1] == []
