"""docs/engine.md runs as printed, from top to bottom as in one notebook, and prints what it says it prints."""

import json
import os
import re
import socket
import subprocess
import sys
from itertools import pairwise, zip_longest
from pathlib import Path

import pytest

from engine.sweep import SCHEMA

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "engine.md"
TEXT = PAGE.read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
AT_THE_END = "what holds at the end"
BLOCKS = [(f"line {TEXT.count(chr(10), 0, m.start()) + 1}", m[1], m[2]) for m in FENCE.finditer(TEXT)]
RUN = [(where, kind, code) for where, kind, code in BLOCKS if kind in ("python", "bash")]
PRINTED = {before[0]: after[2] for before, after in pairwise(BLOCKS) if after[1] == "text"}
NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?")

NOTEBOOK = """
import ast, contextlib, io, json, os, subprocess, sys, traceback
sys.modules["streamlit"] = None  # importing it would fail
cells = {"__name__": "__main__"}

def cell(where, code):
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), cells)
    shown = eval(compile(ast.Expression(last.value), where, "eval"), cells) if last else None
    if shown is not None:
        print(repr(shown))

def shell(where, code):
    done = subprocess.run(["bash", "-ec", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {done.stdout}")

for where, kind, code in json.load(sys.stdin):
    told, error = io.StringIO(), None
    with contextlib.redirect_stdout(told):
        try:
            (cell if kind == "python" else shell)(where, code)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([where, told.getvalue(), error]), flush=True)
    if error:
        break
"""
"""Runs blocks as a notebook runs cells, up to the first that fails: each one's output, and its error or null."""

AFTER = """
# the torch code of the page's own variant trains the engine's weights, as tests/engine/test_parity.py has it of others
from torch import nn
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).double()
for layer, (w, b) in zip(model[::2], trained.weights("adagradw", step=0)):
    layer.weight.data, layer.bias.data = torch.tensor(w), torch.tensor(b)
x, y = torch.tensor(trained.data.x_train), torch.tensor(trained.data.y_train, dtype=torch.float64)[:, None]
decayed, rest = [p for p in model.parameters() if p.dim() >= 2], [p for p in model.parameters() if p.dim() < 2]
exec(adagradw.snippet(), dict(
    torch=torch, model=model, batches=[(x, y)] * trial.steps, loss_fn=nn.BCEWithLogitsLoss(), lr=trial.lr_adaptive,
    weight_decay=trial.weight_decay_adaptive, decayed=decayed,
    groups=[{"params": decayed}, {"params": rest, "weight_decay": 0.0}],
))
for layer, (w, b) in zip(model[::2], trained.weights("adagradw")):
    np.testing.assert_allclose(layer.weight.data, w, rtol=0, atol=1e-10)
    np.testing.assert_allclose(layer.bias.data, b, rtol=0, atol=1e-10)

# a notebook shows the picture, and the files are what the page says
bundle = alt.Chart.from_dict(picture.standalone("dark"))._repr_mimebundle_()
assert "image/png" in (bundle[0] if isinstance(bundle, tuple) else bundle)
png = Path("norms.png").read_bytes()
assert png[:4] == b"\\x89PNG" and [int.from_bytes(png[at:at + 4]) for at in (16, 20)] == [1920, 1080]
assert b"<svg" in Path("layer.svg").read_bytes() and Path("lambda.png").stat().st_size > 10_000
assert len(pd.read_parquet("seeds.parquet")) == 10 * len(Experiment().variants)
"""
"""What must hold after the last snippet."""

AT_WORK = (
    """timeout 60 sh -c "until grep -q 'Registered to' dask.log; do sleep 0.2; done" || { cat dask.log; false; }"""
)
"""Waits for dask's worker, which a busy machine may start more slowly than a sweep has patience."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def commands_of(code):
    """The commands of a bash block without comments, each on one line."""
    lines = re.sub(r"\s*\\\n\s*", " ", code).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def for_this_machine(code, port):
    """A bash block with this Python for the project's, warnings as errors, and dask's processes started behind it.

    Those run in the project's folder and without a path to it, as the page says they do.
    """
    code = code.replace("10.0.0.1", "127.0.0.1").replace("8786", str(port)).replace("--nworkers 8", "--nworkers 1")
    script = ["trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
    for command in commands_of(code):
        python, _, rest = command.partition(" ")
        assert python == ".venv/bin/python", f"{command} is not run by this test"
        if rest.startswith("-m dask "):
            dask = f"exec '{sys.executable}' {rest} --no-dashboard"
            script.append(f"(cd '{ROOT}' && unset PYTHONPATH && {dask}) >>dask.log 2>&1 &")
        else:
            script += [AT_WORK] * ("--backend dask" in rest) + [f"'{sys.executable}' -W error {rest}"]
    return "\n".join(script)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(output, error) of every block that was run, by where it is."""
    folder, port = tmp_path_factory.mktemp("notebook"), free_port()
    blocks = [(w, kind, for_this_machine(code, port) if kind == "bash" else code) for w, kind, code in RUN]
    blocks.append((AT_THE_END, "python", AFTER))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder / "dask")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTEBOOK],
        input=json.dumps(blocks),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {where: (output, error) for where, output, error in map(json.loads, done.stdout.splitlines())}


def differences(expected, found):
    """Words of two outputs that differ: numbers with a point by more than one in the last printed digit."""
    words = zip_longest(expected.split(), found.split(), fillvalue="")
    return [f"{ours} is {theirs}" for ours, theirs in words if not _same(ours, theirs)]


def _same(expected, found):
    ours, theirs = list(NUMBER.finditer(expected)), list(NUMBER.finditer(found))
    if len(ours) != len(theirs) or NUMBER.sub("#", expected) != NUMBER.sub("#", found):
        return False
    return all(_near(a, b[0]) for a, b in zip(ours, theirs, strict=True))


def _near(expected, found):
    if not expected[1]:
        return expected[0] == found
    exponent = int((expected[2] or "e0")[1:])
    unit = 10.0 ** (exponent - (len(expected[1]) - 1))
    return abs(float(expected[0].replace(",", "")) - float(found.replace(",", ""))) <= 1.001 * unit


@pytest.mark.parametrize(("where", "kind"), [*((where, kind) for where, kind, _ in RUN), (AT_THE_END, "python")])
def test_a_snippet_does_what_the_page_says(where, kind, told):
    assert where in told, "an earlier snippet failed"
    output, error = told[where]
    assert error is None, error
    if kind == "python":
        assert differences(PRINTED.get(where, ""), output) == [], output


def test_every_output_belongs_to_a_snippet():
    texts = [where for where, kind, _ in BLOCKS if kind == "text"]
    assert {kind for _, kind, _ in BLOCKS} == {"python", "bash", "text"}
    assert len(texts) == len(PRINTED)
    assert set(PRINTED) <= {where for where, kind, _ in RUN if kind == "python"}


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("0.41", "0.43"),
        ("12", "13"),
        ("1.5e-03", "1.5e-04"),
        ("(56, 4)", "(56, 5)"),
        ("True", "False"),
        ("η = 0.001", "λ = 0.001"),
        ("0.41 0.42", "0.41"),
        ("", "0.41"),
        ("nan", "0.41"),
    ],
)
def test_a_difference_is_seen(expected, found):
    assert differences(expected, found)
    assert differences(found, expected)


@pytest.mark.parametrize(("expected", "found"), [("0.41", "0.42"), ("-0.00", "0.00"), ("1.25e-03", "1.24e-03")])
def test_rounding_is_no_difference(expected, found):
    assert differences(expected, found) == []


def test_the_table_of_columns_is_that_of_the_file():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \|.* \|$", TEXT, re.MULTILINE)
    told = [(name, kind) for names, kind in rows for name in re.findall(r"\w+", names)]
    assert told == [(field.name, str(field.type)) for field in SCHEMA]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT))))
def test_a_link_leads_somewhere(target):
    assert (PAGE.parent / target).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:engine|tests|bench)/[\w/.]+)`", TEXT))))
def test_a_path_in_the_text_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("said", re.findall(r"“(≥ [^”]+)”", TEXT))
def test_a_figure_of_speed_is_one_of_the_benchmark(said):
    assert f"| {said} |" in (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")


def test_the_readme_has_sweep_commands_of_the_page():
    in_readme = [c for m in FENCE.finditer(README) for c in commands_of(m[2]) if "engine.sweep" in c]
    run = [command for _, kind, code in RUN if kind == "bash" for command in commands_of(code)]
    assert in_readme
    assert set(in_readme) <= set(run)
