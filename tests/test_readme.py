"""The README's Python runs as printed, needs no Streamlit, and says what is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
BEFORE = "import sys\nsys.modules['streamlit'] = None  # importing it would fail\n"
AFTER = """
assert run.data.x_train.shape == (24, 2) and set(run.data.y_train) == {0, 1} and len(run.data.x_test) == 1000
assert [w.shape + b.shape for w, b in run.weights("adamw")] == [(16, 2, 16), (16, 16, 16), (1, 16, 1)]
starts = [run.weights(variant, step=0)[0][0].tolist() for variant in exp.variants]
assert all(start == starts[0] for start in starts)
assert run.film.shape == (len(run.steps), 6, exp.parameters)
assert run.diverged == dict.fromkeys(exp.variants)
assert exp == Experiment() == same and query == {"v": "1"} and notices == []
assert DATASETS["moons"].title == "Two moons"
print(*run.curves.columns)
"""


def test_python_block_runs_without_streamlit():
    assert len(CODE) == 1
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEFORE + CODE[0] + AFTER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for column in done.stdout.split():
        assert column in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_link_leads_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", README))))
def test_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_picture_is_small_enough_to_commit():
    assert (ROOT / "docs" / "picture.png").stat().st_size < 400_000


def test_figures_are_those_of_the_benchmark():
    results = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    rows = [line for line in results.splitlines() if line.startswith("| ")]
    assert len(rows) > 1
    for row in rows:
        assert row in README
