"""From every claim on screen one can go to its test and its source, and the panel says what it measured."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from engine.claims import CLAIMS, Claim, Measurement
from pages._ui import verdict

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "pages").glob("[!_]*.py") if path.stem != "slides")
"""Those with a run on screen."""


@cache
def functions_of(path):
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_names_a_test_that_exists_and_a_source(claim):
    path, _, name = claim.test.partition("::")
    assert name.startswith("test_")
    assert name in functions_of(path)
    assert claim.source
    assert claim.link.startswith("https://") or not claim.link
    assert claim.says.endswith(".")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_measures_what_it_claims(path):
    text = path.read_text(encoding="utf-8")
    assert "_ui.measured(" in text
    assert any(name in text for name in CLAIMS)


def test_every_claim_is_on_a_page():
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [key for key in CLAIMS if key not in text] == []


def claim(kind, tolerance=0.1):
    return Claim(
        "k", "It is so.", "x", "Someone 2020", "https://example.org", "t.py::test_x", tolerance, kind, lambda r: ""
    )


@pytest.mark.parametrize(
    ("kind", "predicted", "measured", "error"),
    [
        ("relative", 2.0, 2.1, 0.05),
        ("relative", 0.0, 0.0, 0.0),
        ("relative", -2.0, -1.0, 0.5),
        ("absolute", 2.0, 2.1, 0.1),
        ("at most", 2.0, 1.0, 0.0),
        ("at most", 2.0, 3.0, 0.5),
        ("relative", 2.0, float("nan"), float("inf")),
        ("at most", 2.0, float("inf"), float("inf")),
    ],
)
def test_errors(kind, predicted, measured, error):
    value = Measurement("w", predicted, measured)
    assert claim(kind).error(value) == pytest.approx(error, abs=1e-15)
    assert claim(kind, 0.0).holds(value) == (error == 0)


def test_the_panel_says_what_failed_where_to_read_and_what_to_run():
    text = verdict(claim("relative"), [Measurement("SGD", 2.0, 2.1), Measurement("Adam", 2.0, 3.0)])
    assert text.count("✓ holds") == text.count("✗ does not hold") == 1
    assert "[Someone 2020](https://example.org)" in text
    assert "`t.py::test_x`" in text
    assert "Not on this run: too few steps." in verdict(claim("relative"), "too few steps.")


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_the_list_of_claims_has_every_one_with_its_test(claim):
    lines = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").splitlines()
    assert any(claim.says in line and f"`{claim.test}`" in line and claim.source in line for line in lines)


def test_every_test_that_the_list_names_exists():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    science = functions_of("tests/test_science.py")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 5
    assert named <= science
    numbers = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")}
    assert {str(number) for number in range(1, 12)} <= numbers
