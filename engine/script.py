"""An experiment as one file of plain PyTorch that trains the same weights: the code of what is on screen.

The file is put together from what the project already says once: the dataset's function, ``groups_code``, the
variants' snippets, the schedule's expression, and the knobs' numbers with their meaning.
"""

from __future__ import annotations

import ast
import inspect
import json
import platform
import re
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

from engine.datasets import DATASETS, MAX_POINTS, TEST_POINTS, standardised
from engine.experiment import DECAYED, KNOBS, Experiment
from engine.groups import groups_code
from engine.knobs import Number
from engine.schedules import SCHEDULES
from engine.trainer import DIVERGED_BEYOND
from engine.variants import Variant, schedule_code

WIDTH = 100
"""Characters of a line, unless a link is longer."""

PACKAGES = ("torch", "scikit-learn", "numpy")

LAYERS = {"tanh": "nn.Tanh()", "relu": "nn.ReLU()", "sigmoid": "nn.Sigmoid()", "identity": "nn.Identity()"}
"""Activations as PyTorch has them."""


def script(experiment: Experiment, link: str = "") -> str:
    """A self-contained file that trains every variant of an experiment in PyTorch, from the engine's initial weights.

    It ends with a table of test loss, test accuracy and ‖w‖, and leaves the models in ``models``, by title. In float64,
    as it computes, its weights are those of ``train(experiment, dtype=torch.float64)`` up to rounding; a run that
    diverges ends with a line that says at which step.

    Args:
        experiment: what to train; its numbers stand at the top of the file, to be changed.
        link: its permalink, for the header; by default the part behind the host.

    Raises:
        OSError: the dataset's function has no source, since it was not read from a file.
    """
    blocks = [
        *_data(experiment),
        *_model(experiment),
        *_training(experiment),
        *_optimizers(experiment),
        *_results(experiment),
    ]
    settings = _settings(experiment, _joined(blocks))
    return _joined([_header(experiment, link), _imports(experiment), _SET_UP, settings, *blocks]) + "\n"


def _joined(blocks: list[str]) -> str:
    """Blocks of code with the blank lines of a formatted file: two around functions."""
    text = blocks[0]
    for before, block in pairwise(blocks):
        text += ("\n\n\n" if _is_function(before) or _is_function(block) else "\n\n") + block
    return text


def _is_function(block: str) -> bool:
    return re.search("^def ", block, re.MULTILINE) is not None


def _header(experiment: Experiment, link: str) -> str:
    count = len(experiment.variants)
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {_release(name)}" for name in PACKAGES)])
    models = f"{count} optimizers from the same initial weights" if count > 1 else experiment.chosen[0].title
    what = f"{DATASETS[experiment.dataset].title}: {models}, in plain PyTorch."
    words = (
        "It has the points, the initial weights, the batches and the updates of that page, and computes in float64 as "
        "the page does. Sums are added up in another order, which unstable runs alone make visible. It needs torch and "
        f"scikit-learn; it was written for {versions}."
    )
    address = link or "?" + urlencode(experiment.to_query())
    return "\n".join([
        _filled(f'"""{what}'), "", "This trains what the Weight Decay Playground shows at", _printable(address), "",
        _filled(words), '"""',
    ])  # fmt: skip


def _release(package: str) -> str:
    """A package's version without the build, as cpu or cu126."""
    return version(package).partition("+")[0]


def _printable(link: str) -> str:
    """A link that cannot end the docstring it stands in: no quotes, backslashes or line breaks, all percent-encoded."""
    return quote(link, safe=":/?#[]@!$&()*+,;=%", errors="replace")


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _literal(value: float | str | None) -> str:
    """A number or a text as Python code: the only way in which a value comes into the file."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


# The parts of the file, from top to bottom


def _imports(experiment: Experiment) -> str:
    """Standard library first, then the others; modules before names out of modules."""
    _, found = _needed(DATASETS[experiment.dataset].sample)
    others = {"import numpy as np", "import torch", "from torch import nn", *found}
    ordered = sorted(others, key=lambda line: (line.startswith("from"), line))
    return "import math\n\n" * ("math." in SCHEDULES[experiment.schedule].code) + "\n".join(ordered)


_SET_UP = """\
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)  # models this small are trained sooner by one thread than by several"""


def _settings(experiment: Experiment, code: str) -> str:
    """The numbers that the code reads, each with its knob's meaning."""
    read = _globals_of(code)
    lines = [
        line
        for name, knob in KNOBS.items()
        if isinstance(knob, Number) and name in read
        for line in _explained(f"{name} = {_literal(_number(experiment, name))}", knob.help)
    ]
    return "# %% Settings: change a number and run again\n\n" + "\n".join(lines)


def _globals_of(code: str) -> set[str]:
    """The names that a file reads at its top level, there or in functions."""
    tables, names = [symtable.symtable(code, "script", "exec")], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        top = table.get_type() == "module"
        names |= {s.get_name() for s in table.get_symbols() if s.is_global() or (top and s.is_referenced())}
    return names


def _number(experiment: Experiment, name: str) -> float | None:
    return experiment.batch if name == "batch_size" else getattr(experiment, name)


def _explained(line: str, comment: str) -> list[str]:
    beside = f"{line}  # {comment}"
    return [beside] if len(beside) <= WIDTH else [_filled(comment, "# "), line]


def _data(experiment: Experiment) -> Iterator[str]:
    entry = DATASETS[experiment.dataset]
    functions, _ = _needed(entry.sample)
    yield f"# %% Data: the first points of one sample train, those behind {MAX_POINTS:,} test"
    yield from functions
    yield _plain(standardised)
    yield f"""\
x, y = {entry.sample.__name__}({MAX_POINTS + TEST_POINTS}, noise, np.random.default_rng(seed))
x, y = torch.tensor(standardised(x, points)), torch.tensor(y[:, None], dtype=torch.float64)
x_train, y_train = x[:points], y[:points]
x_test, y_test = x[{MAX_POINTS}:], y[{MAX_POINTS}:]"""


def _needed(function: Callable[..., Any]) -> tuple[list[str], set[str]]:
    """The source of a function behind that of its own module's it calls, and the imports that they need."""
    functions: list[str] = []
    imports: set[str] = set()
    for name in sorted({node.id for node in ast.walk(_tree(function)) if isinstance(node, ast.Name)}):
        thing = vars(sys.modules[function.__module__]).get(name)
        if isinstance(thing, ModuleType):
            imports.add(f"import {thing.__name__} as {name}")
        elif inspect.isfunction(thing) and thing.__module__ == function.__module__:
            if thing is function:
                continue
            more, further = _needed(thing)
            functions += more
            imports |= further
        elif thing is not None:
            imports.add(f"from {thing.__module__.partition('._')[0]} import {name}")
    return [*dict.fromkeys(functions), _plain(function)], imports


def _tree(function: Callable[..., Any]) -> ast.FunctionDef:
    """A function's definition without decorators and annotations."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list, tree.returns = [], None
    for node in ast.walk(tree.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _plain(function: Callable[..., Any]) -> str:
    """A function's source as it is written, without decorators and annotations."""
    tree, lines = _tree(function), textwrap.dedent(inspect.getsource(function)).splitlines()
    return "\n".join([f"def {tree.name}({ast.unparse(tree.args)}):", *lines[tree.body[0].lineno - 1 :]])


def _model(experiment: Experiment) -> Iterator[str]:
    layers, sizes = [], (2, *experiment.hidden, 1)
    for before, after in pairwise(sizes[:-1]):
        norm = [f"nn.LayerNorm({after})"] * experiment.layer_norm
        layers += [f"nn.Linear({before}, {after})", *norm, LAYERS[experiment.activation]]
    lines = [f"        {layer},\n" for layer in [*layers, f"nn.Linear({sizes[-2]}, 1)"]]
    inside = "\n" + "".join(lines) + "    " if layers else lines[0].strip(" ,\n")
    yield "# %% Model: one logit, whose sigmoid is the probability of class 1"
    yield f'''\
def new_model():
    """The same initial weights at every call: PyTorch's own, from U(±1/√inputs)."""
    torch.manual_seed(seed)
    return nn.Sequential({inside})'''
    yield "loss_fn = nn.BCEWithLogitsLoss()"


_ORDER = """\
# Every epoch is a new permutation; batches are cut from the row of epochs, so that each is full.
rng = np.random.default_rng([seed, 1])
epochs = -(-steps * batch_size // points)
order = np.concatenate([rng.permutation(points) for _ in range(epochs)])"""


def _training(experiment: Experiment) -> Iterator[str]:
    whole = experiment.batch == experiment.points
    yield "# %% Training: every optimizer sees the same points at the same step"
    if not whole:
        yield _ORDER
    batch = "x_train, y_train" if whole else "x_train[batch], y_train[batch]"
    cut = "" if whole else "        batch = order[t * batch_size : (t + 1) * batch_size]\n"
    yield f'''\
def batches_of(model):
    """The points of every step; ends the training where a weight is very large or not finite."""
    for t in range(steps):
{cut}        yield {batch}
        if not all((p.abs() <= {int(DIVERGED_BEYOND):_}).all() for p in model.parameters()):
            raise OverflowError(f"diverged at step {{t + 1}}")'''
    entry = SCHEDULES[experiment.schedule]
    if entry.code != "1.0":
        function = schedule_code(entry.code).removeprefix("import math\n").rstrip()
        words = f"Multiplier of the learning rate at step t: {entry.title}. {entry.paper}"
        yield _filled(words, "# ") + f"\n{function}"


def _optimizers(experiment: Experiment) -> Iterator[str]:
    yield f"# %% Optimizers: λ is weight_decay, η is lr; what decays: {DECAYED[experiment.decayed]}"
    groups = groups_code(experiment.decayed).replace("groups = ", "return ")
    yield _function("parameter_groups", ["model"], "What λ acts on, and the rest.", groups)
    yield from (_optimizer(experiment, variant) for variant in experiment.chosen)


def _optimizer(experiment: Experiment, variant: Variant) -> str:
    """The snippet of a variant as a function of the model, its batches and rates."""
    snippet = experiment.snippet_of(variant).replace(schedule_code(SCHEDULES[experiment.schedule].code), "")
    given = ["groups = parameter_groups(model)"]
    if re.search(r"\bdecayed\b", snippet):
        given += ['decayed = groups[0]["params"]']
    words = f"{variant.lesson}\n\n{variant.paper}"
    arguments = ["model", "batches", "lr", "weight_decay"]
    return _function(_name(variant), arguments, words, "\n".join([*given, snippet]))


def _name(variant: Variant) -> str:
    return f"train_{variant.key}"


def _function(name: str, arguments: list[str], words: str, body: str) -> str:
    return "\n".join([f"def {name}({', '.join(arguments)}):", _docstring(words), *map(_indented, body.splitlines())])


def _docstring(words: str) -> str:
    """Paragraphs as the docstring of a function."""
    clean = words.replace("\\", "").replace('"', "'")
    paragraphs = [_filled(paragraph, "    ") for paragraph in f'"""{clean}'.split("\n\n")]
    return "\n\n".join(paragraphs) + ('\n    """' if len(paragraphs) > 1 else '"""')


def _indented(line: str) -> str:
    """A line of a function's body; one that is too long is broken inside its outer brackets."""
    line = f"    {line}"
    if len(line) <= WIDTH or line[-1] not in ")}]":
        return line
    margin = line[: len(line) - len(line.lstrip())]
    opening = re.search(r"[({\[]", line)
    assert opening is not None
    return f"{line[: opening.end()]}\n{margin}    {line[opening.end() : -1]}\n{margin}{line[-1]}"


def _results(experiment: Experiment) -> Iterator[str]:
    rows = [f"    ({', '.join(_row(experiment, variant))}),\n" for variant in experiment.chosen]
    wide = max(len(variant.title) for variant in experiment.chosen)
    matched = any("*" in _row(experiment, variant)[-1] for variant in experiment.chosen)
    yield "# %% Results"
    yield (_filled(_MATCHED, "# ") + "\n") * matched + "runs = [\n" + "".join(rows) + "]"
    yield f"""\
models = {{}}
print(" " * {wide}, " test loss  test accuracy  norm of weights")
for name, train, *rates in runs:
    models[name] = model = new_model()
    try:
        train(model, batches_of(model), *rates)
    except OverflowError as reason:
        print(f"{{name:<{wide}}}  {{reason}}")
        continue
    with torch.no_grad():
        logits = model(x_test)
        loss = loss_fn(logits, y_test)
        accuracy = ((logits > 0) == (y_test > 0)).double().mean()
        norm = torch.cat([p.flatten() for p in model.parameters() if p.dim() >= 2]).norm()
    print(f"{{name:<{wide}}} {{loss:10.4f}} {{accuracy:14.1%}} {{norm:16.3f}}")"""


_MATCHED = "Matched shrink: by its λ a step of the Adam family takes the same fraction off a weight as SGD's ηλ."


def _row(experiment: Experiment, variant: Variant) -> list[str]:
    """Title, function, η and λ of a variant as code."""
    lr = "lr_adaptive" if variant.adaptive else "lr"
    return [_literal(variant.title), _name(variant), lr, _weight_decay(experiment, variant)]


def _weight_decay(experiment: Experiment, variant: Variant) -> str:
    """``Experiment.weight_decay_of`` as code in the names of the settings."""
    if not variant.has_weight_decay:
        return "0.0"
    if not variant.adaptive:
        return "weight_decay"
    if experiment.weight_decay_adaptive is not None:
        return "weight_decay_adaptive"
    return "weight_decay * lr / lr_adaptive" if variant.shrinks_by_lr else "weight_decay * lr"
