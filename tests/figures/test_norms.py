"""Page 2's figures: takeaways hold the run's own numbers, whatever the experiment."""

import math
import re
from functools import cache

import numpy as np
import pytest

import engine.figures.norms as page
from engine import VARIANTS, Experiment, probe
from engine.equilibrium import motions, settling, unsettled
from engine.figures import FIGURES, Shot, figure

HOT = {"lr": 100.0, "lr_adaptive": 10.0, "weight_decay": 10.0, "weight_decay_adaptive": 10.0}
CASES = {
    "default": Experiment(),
    "all": Experiment(variants=tuple(VARIANTS), steps=60),
    "all diverged": Experiment(variants=("sgdw", "adamw", "lion"), steps=30, **HOT),
    "one diverged": Experiment(variants=("sgd", "sgdw"), steps=30, lr=100.0, weight_decay=10.0),
    "some diverged": Experiment(steps=40, **HOT),
    "no decay": Experiment(weight_decay=0.0, steps=40),
    "one": Experiment(variants=("sgdw",), steps=40),
    "nothing decays": Experiment(variants=("sgd",), steps=40),
    "logistic regression": Experiment(hidden=(), steps=40),
    "one step": Experiment(steps=1),
    "two points": Experiment(points=2, steps=40),
    "priors": Experiment(variants=("l1", "max_norm", "l2_sp"), weight_decay=0.3, steps=60),
    "norm, batches, schedule": Experiment(layer_norm=True, batch_size=4, schedule="cosine", steps=40),
    "many": Experiment(variants=tuple(key for key in VARIANTS if VARIANTS[key].where != "other"), hidden=(4,)),
    "two decays": Experiment(variants=("sgdw", "adamw"), weight_decay=0.3, weight_decay_adaptive=7, steps=40),
}
KEYS = [key for key, entry in FIGURES.items() if entry.page == "norms"]
LONG, SETTLED = ("norms.settled", "norms.turns"), ("default", "no decay", "all diverged")
EACH = [(key, name) for name in CASES for key in KEYS if key not in LONG or name in SETTLED]


@cache
def panel_of(shot):
    return FIGURES[shot.figure].draw(shot, "light")


@cache
def trained(experiment):
    return figure.trained(experiment)


def drawn(key, experiment, **options):
    return panel_of(Shot(key, experiment, tuple(options.items())))


def numbers(text):
    """The numbers of a takeaway, without those of names."""
    for name in [*(v.title for v in VARIANTS.values() if re.search(r"\d", v.title)), *re.findall(r"layer \d", text)]:
        text = text.replace(name, "")
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?", text)


def said(*values):
    return sorted(f"{value:.3g}" for value in values)


def ends(run, column="weight_norm"):
    last = run.curves[run.curves.step == run.curves.step.max()].set_index("variant")[column]
    return last[[key for key in last.index if run.diverged[key] is None]]


def kind(exp, key):
    variant = VARIANTS[key]
    if variant.where == "none" or (key != "max_norm" and exp.weight_decay_of(variant) == 0):
        return "without"
    return "other" if variant.where == "other" else "with"


def steps_of(run):
    gone = [step for step in run.diverged.values() if step is not None]
    return [str(step) for step in ([len(gone), min(gone)] if len(gone) > 2 else dict.fromkeys(gone))]


def of_groups(exp, last):
    def ends_of(values):
        return values if len(values) <= 2 else [min(values), max(values)]

    kinds = np.array([kind(exp, key) for key in last.index])
    return [v for each in ("without", "with", "other") for v in ends_of(last[kinds == each].tolist())]


@pytest.mark.parametrize(("key", "name"), EACH)
def test_every_figure_has_a_takeaway_and_data(key, name):
    panel = drawn(key, CASES[name])
    text = panel.takeaway
    assert panel.picture.title
    assert 10 < len(text) <= 220
    assert text.endswith(".")
    assert not re.search(r"[\n*`$]|\. |nan|inf\b|None|not finite", text)
    assert len(panel.frame)
    assert set(panel.frame.variant) <= set(VARIANTS)


@pytest.mark.parametrize("name", CASES)
def test_norms_are_those_of_the_run(name):
    exp = CASES[name]
    run, panel = trained(exp), drawn("norms.norms", exp)
    start, last = run.curves.weight_norm.iloc[0], ends(run)
    expected = [start, *of_groups(exp, last)] if len(last) else []
    text = panel.takeaway
    found, parts = numbers(text), text.split("decay alone would leave")
    assert sorted(numbers(parts[0])) == sorted([*said(*expected), *steps_of(run)])
    left = []
    for key in last.index:
        variant = VARIANTS[key]
        if variant.where == "weight" and kind(exp, key) == "with":
            left.append(start * np.prod(np.abs(1 - exp.shrinks_of(variant))))
    if len(parts) > 1:
        assert found[len(numbers(parts[0])) :] == list(
            dict.fromkeys(f"{value:.3g}" for value in (min(left), max(left)))
        )
    else:
        assert not left or name in ("all", "some diverged")
    assert all(float(low) < float(high) for low, high in re.findall(r"([\d.e+-]+) \([^)]*\)?\) to ([\d.e+-]+)", text))
    for value, title in re.findall(r"([\d.e+-]+) \(([^)]*\)?)\)", parts[0]):
        key = next(v.key for v in VARIANTS.values() if v.title == title)
        assert value == f"{last[key]:.3g}"
    whole = panel.frame.set_index(["variant", "step"]).weight_norm
    assert np.array_equal(whole, run.curves.set_index(["variant", "step"]).weight_norm)


def test_what_decay_alone_leaves_is_in_the_data():
    exp = CASES["norm, batches, schedule"]
    run, frame = trained(exp), drawn("norms.norms", exp).frame
    factors = np.cumprod([1, *(1 - exp.lr * exp.weight_decay * exp.schedule_of_steps())])
    own = frame[frame.variant == "adamw"]
    assert own.decay_alone.to_numpy() == pytest.approx(own.weight_norm.iloc[0] * factors[run.steps])
    assert frame[frame.variant == "adam_l2"].decay_alone.isna().all()


@pytest.mark.parametrize("name", ["default", "all", "logistic regression", "one diverged", "no decay"])
def test_layers_are_those_of_the_run(name):
    exp = CASES[name]
    run = trained(exp)
    parts = FIGURES["norms.layers"].options["part"](exp)
    assert parts == [str(i + 1) for i in range(len(exp.hidden) + 1)]
    for part in parts:
        panel = drawn("norms.layers", exp, part=part)
        norms = {key: [np.linalg.norm(run.weights(key, int(s))[int(part) - 1][0]) for s in (0, run.steps[-1])]
                 for key in exp.variants}  # fmt: skip
        last = ends(run).copy()
        for key in last.index:
            last[key] = norms[key][1]
        expected = said(norms[exp.variants[0]][0], *of_groups(exp, last))
        assert sorted(numbers(panel.takeaway)) == sorted([*expected, *steps_of(run)])
        assert f"layer {part}" in panel.takeaway
        final = panel.frame[panel.frame.step == exp.steps].set_index("variant").layer_norm
        assert all(final[key] == pytest.approx(norms[key][1]) for key in exp.variants)


@pytest.mark.parametrize("name", ["default", "one diverged", "priors", "one step"])
def test_single_weights_and_their_bins(name):
    exp = CASES[name]
    run = trained(exp)
    assert FIGURES["norms.weights"].options["part"](exp) == list(exp.variants)
    for key in exp.variants:
        paths, bins = (drawn(f"norms.{name}", exp, part=key) for name in ("weights", "histogram"))
        if run.diverged[key]:
            gone = f"{VARIANTS[key].title} diverged at step {run.diverged[key]} "
            assert paths.takeaway.startswith(gone)
            assert bins.takeaway.startswith(gone)
            continue
        weights = np.abs(run.film[:, run.row(key), : run.architecture.weights])
        columns = paths.frame.weight.unique()
        few = weights[[0, -1]][:, columns]
        zeros = (few[1] == 0).sum()
        expected = [*said(*few.max(axis=1), *np.median(few, axis=1)), str(len(columns)), *[str(zeros)] * bool(zeros)]
        if zeros:
            expected.append("0")  # “exactly 0”
        assert sorted(numbers(paths.takeaway)) == sorted(expected)
        edge = bins.frame[(bins.frame.low < 0) & (bins.frame.high > 0)].high.iloc[0]
        shares = [(weights[i] < edge).mean() for i in (0, -1)]
        assert sorted(numbers(bins.takeaway)) == said(edge, *(100 * share for share in shares))
        assert bins.frame.groupby("step").share.sum().to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("name", ["default", "no decay", "many"])
def test_the_equilibrium_is_held_against_theory(name):
    exp = settling(CASES[name])
    run = trained(exp.within_budget()[0])
    for part in FIGURES["norms.settled"].options["part"](CASES[name]):
        own = [m for m in motions(run) if m.layer == int(part)]
        known = [m for m in own if unsettled(run, m.variant) is None]
        norm, turn = (drawn(f"norms.{key}", CASES[name], part=part) for key in ("settled", "turns"))
        norms = [(m.norm, m.predicted[0]) for m in known if m.predicted[0]]
        angles = [(math.degrees(m.rotation), math.degrees(m.predicted[1])) for m in known if m.predicted[1]]
        for panel, pairs in ((norm, norms), (turn, angles)):
            assert f"layer {part}" in panel.takeaway
            found = numbers(panel.takeaway)
            if pairs and len(pairs) <= 4:
                assert found[2 : 2 + 2 * len(pairs)] == [f"{value:.3g}" for pair in pairs for value in pair]
                assert found[0].replace(",", "") == str(exp.steps // 2 + 1)
            elif pairs:
                ratios = [value / theory for value, theory in pairs]
                assert found[2:5] == [f"{min(ratios):.3g}", f"{max(ratios):.3g}", str(len(pairs))]
            else:
                assert "no theory" in panel.takeaway


def test_measured_norms_of_a_layer_are_those_of_its_weights_and_biases():
    exp = settling(CASES["two decays"])
    run, panel = trained(exp), drawn("norms.settled", CASES["two decays"], part="2")
    for key in exp.variants:
        own = panel.frame[(panel.frame.variant == key) & (panel.frame.step == exp.steps)].norm.iloc[0]
        weight, bias = run.weights(key)[1]
        assert own == pytest.approx(math.hypot(np.linalg.norm(weight), np.linalg.norm(bias)))


def test_without_a_replay_norms_are_drawn_and_turns_are_not(monkeypatch):
    monkeypatch.setattr(probe, "REPLAY_BUDGET", 1.0)
    exp = CASES["one"]
    panel = FIGURES["norms.settled"].draw(Shot("norms.settled", exp), "light")
    start, last = (trained(settling(exp)).film[i, 0] for i in (0, -1))
    size = [np.sqrt((w[:32] ** 2).sum() + (w[304:320] ** 2).sum()) for w in (start, last)]
    assert numbers(panel.takeaway) == [f"{value:.3g}" for value in size]
    with pytest.raises(ValueError, match="too long to be taken again"):
        FIGURES["norms.turns"].draw(Shot("norms.turns", exp), "light")


@pytest.mark.parametrize("name", ["default", "all", "no decay", "one step", "norm, batches, schedule", "some diverged"])
def test_the_box_is_where_it_is_said(name):
    exp = page.boxed(CASES[name])
    run, panel = trained(exp), drawn("norms.box", CASES[name])
    clauses = dict(re.findall(r"(?:^|; )([^;]+?) ends at max\|w\| = ([^;]*)", panel.takeaway.rstrip(".")))
    assert set(clauses) == {VARIANTS[k].title for k in panel.frame.variant.unique() if run.diverged[k] is None}
    for title, text in clauses.items():
        variant = next(v for v in VARIANTS.values() if v.title == title)
        last = np.abs(run.film[-1, run.row(variant.key), : run.architecture.weights]).max()
        shrink = exp.shrink_of(variant)
        if not shrink:
            assert text == f"{last:.3g}, and λ = 0 makes no box"
            continue
        side = exp.lr_of(variant) / shrink
        place = "inside" if last <= side else "at the edge of" if last <= 1.01 * side else "outside"
        assert text.startswith(f"{last:.3g}, {place} ")
        assert f"/λ = {side:.3g}" in text


@pytest.mark.parametrize(("variants", "who"), [
    (("sgd_l2", "sgdw", "adamw"), "AdamW and Lion diverged at step "),
    (tuple(VARIANTS), "AdamW, AdamW, paper form and Lion diverged, the first at step "),
])  # fmt: skip
def test_the_box_names_who_diverged_of_those_it_is_about(variants, who):
    exp = Experiment(variants=variants, steps=30, **HOT)
    run = trained(page.boxed(exp))
    own = [key for key in ("adamw", "adamw_paper", "lion") if key in run.diverged]
    first = min(run.diverged[key] for key in own)
    assert drawn("norms.box", exp).takeaway == f"{who}{first}."


def test_notes_and_titles_fit():
    for key in KEYS:
        entry = FIGURES[key]
        assert len(entry.title) <= 60
        assert 2 <= len(re.findall(r"[.] [A-Zλ‖]|[.]$", entry.notes)) <= 4, key
    assert len({FIGURES[key].name for key in KEYS}) == len(KEYS)
