"""The house keeps its shape: no Streamlit in the engine, arrows one way, one list of variants."""

import ast
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from engine import VARIANTS, Experiment
from engine.scene import TRAINED
from engine.two_decays import PAPER, PLAIN, TORCH

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("engine", "pages", "bench", "tools")
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted([ROOT / "app.py", *chain.from_iterable((ROOT / place).rglob("*.py") for place in PLACES)])
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}
ENGINE = [module for module in SOURCES if module.split(".")[0] == "engine"]

ORDER = (
    "low",
    "transforms",
    "variants",
    "experiment",
    "run",
    "train",
    "engine",
    "measure",
    "claims",
    "charts",
    "figures",
    "slides",
    "pages",
    "app",
    "outside",
)
"""Rooms from the ground up; ``engine`` is the package's own ``__init__``, ``outside`` is bench and tools."""
SHARED = {
    "low": {"latex", "datasets", "schedules", "knobs", "mlp", "theory", "prior", "presets", "bayes", "evidence",
            "sparse"},
    "train": {"train", "trainer", "capture", "crossover", "probe", "drive"},
    "measure": {"measure", "scene", "two_decays", "axis", "corrections", "networks", "rates", "equilibrium", "averages",
                "anatomy", "derivation", "groups", "sweep", "landscape", "ridge", "script"},
}  # fmt: skip
"""Rooms of the engine with several modules."""


def room(module):
    top, _, rest = module.partition(".")
    if top in ("bench", "tools"):
        return "outside"
    name = rest.split(".")[0]
    if top != "engine" or not name:
        return top
    return next((shared for shared, names in SHARED.items() if name in names), name)


def imports(tree):
    """The dotted names that a module imports anywhere, also inside functions: (name, line)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if name in SOURCES else node.module), node.lineno


def own_imports(module):
    """The project's modules that a module imports."""
    return [name for name, _ in imports(TREES[module]) if name in SOURCES or name.split(".")[0] in PLACES]


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_has_a_room(module):
    assert room(module) in ORDER, "a new module needs a place in ORDER or SHARED"


@pytest.mark.parametrize("module", SOURCES)
def test_arrows_point_one_way(module):
    for other in own_imports(module):
        mine, theirs = ORDER.index(room(module)), ORDER.index(room(other))
        assert theirs < mine or room(other) == room(module), f"{module} must not import {other}"


def test_the_arrows_are_seen():
    assert "engine.transforms" in own_imports("engine.variants")
    assert "pages._ui" in own_imports("app")
    assert "engine.charts.picture" in own_imports("engine.charts.film")


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_never_imports_streamlit(module):
    assert "streamlit" not in {name.split(".")[0] for name, _ in imports(TREES[module])}


@pytest.mark.parametrize("module", [module for module in ENGINE if room(module) == "charts"])
def test_charts_never_import_torch(module):
    assert "torch" not in {name.split(".")[0] for name, _ in imports(TREES[module])}


@pytest.mark.parametrize("modules", [["engine"], ENGINE], ids=["engine", "all-of-it"])
def test_importing_the_engine_loads_no_streamlit(modules):
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    ).stdout.split()
    assert "torch" in loaded
    assert "streamlit" not in loaded


def listed_variants(tree):
    """Literals that name three or more variants: collections, mappings, and texts like "sgd,adam,adamw"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = node.elts
        elif isinstance(node, ast.Dict):
            items = [key for key in node.keys if key]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            items = [ast.Constant(word) for word in node.value.replace(",", " ").split()]
            if not {item.value for item in items} <= set(VARIANTS):
                continue
        else:
            continue
        named = [item.value for item in items if isinstance(item, ast.Constant) and item.value in set(VARIANTS)]
        if len(named) >= 3:
            yield node.lineno, tuple(named)


CHOICES = {
    "engine.experiment": [Experiment.variants],  # the default
    "engine.two_decays": [(PLAIN, TORCH, PAPER)],  # Adam in the two parametrizations of decay
    "engine.scene": [TRAINED],  # what the MAP is compared with
}


@pytest.mark.parametrize("module", [module for module in SOURCES if module != "engine.presets"])
def test_nothing_else_lists_variants(module):
    found = [named for _, named in listed_variants(TREES[module])]
    assert found == CHOICES.get(module, []), "read VARIANTS, or the experiment's own variants"


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.js")), ids=lambda path: path.name)
def test_scripts_know_no_variant(path):
    text = path.read_text(encoding="utf-8")
    assert [key for key in VARIANTS if "_" in key and key in text] == []
