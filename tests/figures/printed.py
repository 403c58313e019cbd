"""What tests of takeaways ask: one plain sentence, and numbers that are right to their printed digits."""

import re
from decimal import Decimal

import pytest

from engine.figures.figure import FIGURES, Shot

LONGEST = 220


def drawn(key, experiment, **options):
    """A figure's panel; its takeaway is one plain sentence."""
    panel = FIGURES[key].draw(Shot(key, experiment, tuple(options.items())), "light")
    assert panel.picture.standalone("light")["datasets"]
    assert len(panel.frame)
    text = panel.takeaway
    assert text[-1] == "."
    assert len(text) <= LONGEST
    assert not re.search(r"[\n*$`#]|\.\s+[A-Z]|nan|inf\b|\b1 steps", text), text
    return panel


def numbers(text, pattern):
    """The groups of a pattern that the text must hold."""
    found = re.search(pattern, text)
    assert found, text
    return found.groups()


def right(text, value):
    """Whether a printed number is a value, to the digits that are printed."""
    printed = Decimal(text.replace("−", "-").replace(",", "").rstrip(".").removesuffix("%").strip())
    digit = float(Decimal(1).scaleb(printed.as_tuple().exponent))
    assert float(printed) == pytest.approx(value, rel=1e-9, abs=0.5001 * digit), (text, value)
