"""Page 8's figures, of a small map that is trained, of maps that are made up, and of maps that are not whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import VARIANTS, Experiment, train
from engine.figures import landscape as figures
from engine.figures.figure import FIGURES
from engine.landscape import SEEDS, SIDE, Landscape, etas, plan_of, weight_decays
from engine.run import METRICS
from tests.figures.printed import drawn, numbers, right

QUICK = Experiment(points=6, steps=3, hidden=(4,))
OWN = [key for key in FIGURES if key.startswith("map.")]
TEST, TRAIN = (METRICS.index(f"{kind}_loss") for kind in ("test", "train"))
LAMBDAS = weight_decays()


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """No map is remembered from another test."""
    monkeypatch.setattr(figures, "_KNOWN", type(figures._KNOWN)())


def made_up(experiment=QUICK, pair=("adam_l2", "adamw"), seeds=SEEDS, slope=-0.5, noise=0.003):
    """A map whose test loss is a valley: λ* ∝ η^slope, lowest in the middle row; remembered."""
    plan, _ = plan_of(experiment, pair)
    landscape = Landscape(plan)
    rng = np.random.default_rng(0)
    for side, variant in enumerate(plan.variants):
        x, y = np.log(LAMBDAS), np.log(etas(variant))
        best = x.mean() + slope * (y - y.mean())
        valley = 0.3 + 0.02 * (x - best[:, None]) ** 2 + 0.0005 * (y - y[11])[:, None] ** 2
        values = valley + noise * rng.standard_normal((SEEDS, SIDE, SIDE))
        for kind, share in ((TEST, 1.0), (TRAIN, 0.5)):
            landscape.metrics[side, :seeds, ..., kind] = share * values[:seeds]
    landscape.metrics[:, :seeds, ..., 1] = 0.0
    landscape.metrics[:, :seeds, ..., 0] = landscape.metrics[:, :seeds, ..., TRAIN]
    landscape.done = {tile for tile in plan.tiles() if tile.seed < seeds}
    figures.remember(landscape)
    return landscape


def test_a_map_that_nobody_has_trained_is_trained_whole(monkeypatch):
    monkeypatch.setattr(figures, "PROCESSES", 1)  # a test's processes would outlive it
    told = []
    monkeypatch.setattr(figures, "progress", lambda landscape: told.append(landscape.models))
    panel = drawn("map.right", QUICK)
    assert told == list(range(64, 4608 + 1, 64))
    losses = drawn("map.right_losses", QUICK)
    assert len(told) == 72  # once for all four
    plan = plan_of(QUICK, ("adam_l2", "adamw"))[0]
    row, col = 5, 17
    cell = panel.frame.iloc[row * SIDE + col]
    assert (cell.eta, cell.weight_decay, cell.seeds) == (etas(VARIANTS["adamw"])[row], LAMBDAS[col], SEEDS)
    ends = [
        train(plan.at(1, row, col, seed), dtype=torch.float64).series("test_loss")["adamw"][-1] for seed in range(SEEDS)
    ]
    assert cell.test_loss == pytest.approx(np.mean(ends), rel=1e-6)
    assert cell.standard_error == pytest.approx(np.std(ends, ddof=1) / 2, rel=1e-4)
    own = losses.frame[losses.frame.loss == "test_loss"]
    nearest = int(np.argmin([abs(np.log(eta / QUICK.lr_adaptive)) for eta in etas(VARIANTS["adamw"])]))
    cells = panel.frame.test_loss.to_numpy().reshape(SIDE, SIDE)
    np.testing.assert_allclose(own["mean"], cells[nearest])
    right(*numbers(losses.takeaway, r"test loss is (\S+) at λ = 0.0015"), cells[nearest, 0])


@pytest.mark.parametrize("key", OWN)
@pytest.mark.parametrize("experiment", [QUICK, replace(QUICK, variants=("sgd",), lr=100.0, weight_decay=0.0),
                                        replace(QUICK, variants=tuple(VARIANTS), hidden=(), points=2)])  # fmt: skip
def test_figures_are_sensible(key, experiment):
    made_up(experiment, figures.default_pair(experiment))
    drawn(key, experiment)


def test_the_options_are_all_ordered_pairs_the_pages_first():
    pairs = FIGURES["map.left"].options["of"](replace(QUICK, variants=("sgd_l2", "sgdw", "adam")))
    assert pairs[0] == "sgd_l2,sgdw"
    decaying = [key for key, variant in VARIANTS.items() if variant.has_weight_decay]
    assert sorted(pairs) == sorted(f"{a},{b}" for a in decaying for b in decaying if a != b)
    made_up(pair=("lion", "sgds"))
    assert drawn("map.left", QUICK, of="lion,sgds").takeaway.startswith("Lion: ")
    assert drawn("map.right", QUICK, of="lion,sgds").takeaway.startswith("SGDS (stable): ")


@pytest.mark.parametrize(("key", "side"), [("map.left", 0), ("map.right", 1)])
def test_the_best_cell_and_the_ridge(key, side):
    landscape = made_up(noise=0.02)
    losses = landscape.metrics[side, ..., TEST]
    panel = drawn(key, QUICK)
    loss, error, eta, lam, seeds, near, whole, slope, plus = numbers(
        panel.takeaway,
        r"test loss (\S+) ± (\S+) at η = (\S+), λ = (\S+) \((\d) seeds; (\d+) of (\d+) cells .* η\^\((\S+) ± (\S+)\)",
    )
    row, col = np.unravel_index(losses.mean(0).argmin(), (SIDE, SIDE))
    right(loss, losses.mean(0).min())
    right(error, losses[:, row, col].std(ddof=1) / 2)
    assert (float(eta), float(lam)) == (etas(landscape.plan.variants[side])[row], LAMBDAS[col])
    assert (int(seeds), int(whole)) == (4, 576)
    away = losses - losses[:, row, col][:, None, None]
    within = losses.mean(0) <= losses[:, row, col].mean() + losses[:, row, col].std(ddof=1) / 2
    assert int(near) == ((away.mean(0) <= away.std(0, ddof=1) / 2) & within).sum() > 1
    assert panel.frame.near_best.sum() == int(near)
    rows = rows_of_a_ridge(losses.mean(0))
    without = [slope_over(np.delete(losses, seed, 0).mean(0), rows, landscape.plan.variants[side]) for seed in range(4)]
    right(slope, slope_over(losses.mean(0), rows, landscape.plan.variants[side]))
    right(plus, np.sqrt(3) * np.std(without))
    assert float(plus) > 0


def rows_of_a_ridge(mean):
    """Rows near the best, better than guessing, and clearly worse at both ends."""
    low = mean.min(1)
    ends = np.minimum(mean[:, 0], mean[:, -1])
    return np.flatnonzero((low <= 1.1 * low.min()) & (low < np.log(2)) & (ends >= 1.1 * low))


def slope_over(mean, rows, variant):
    """Of log λ* over log η, λ* the vertex of a parabola through the five cells about each row's lowest."""
    best = []
    for row in rows:
        middle = np.clip(mean[row].argmin(), 2, SIDE - 3)
        bend, tilt, _ = np.polyfit(np.log(LAMBDAS)[middle - 2 : middle + 3], mean[row, middle - 2 : middle + 3], 2)
        ends = np.log(LAMBDAS)[[middle - 2, middle + 2]]
        best.append(np.clip(-tilt / bend / 2, *ends) if bend > 0 else np.log(LAMBDAS)[mean[row].argmin()])
    return np.polyfit(np.log(etas(variant))[rows], best, 1)[0]


def test_one_seed_has_no_uncertainty_and_says_so():
    made_up(seeds=1)
    text = drawn("map.left", QUICK).takeaway
    assert ", of one seed; along the ridge the best λ goes as η^(−0." in text
    assert "±" not in text
    assert drawn("map.left", QUICK).frame.standard_error.isna().all()


def test_no_ridge_no_cell_better_than_guessing_and_all_diverged():
    landscape = made_up()
    landscape.metrics[0, ..., TEST] += 0.5
    landscape.diverged[1] = 2
    left, right_one = (drawn(f"map.{side}", QUICK) for side in ("left", "right"))
    loss = landscape.metrics[0, ..., TEST].mean(0).min()
    right(*numbers(left.takeaway, r"no cell beats guessing, the lowest test loss is (\S+); no ridge to fit"), loss)
    assert right_one.takeaway == "AdamW: every cell of the map has a model that diverged."
    assert right_one.frame.test_loss.isna().all()
    assert (right_one.frame.diverged == SEEDS).all()
    assert drawn("map.right_losses", QUICK).takeaway == "AdamW at η = 0.01: a model diverged at every λ."


def test_losses_over_lambda_end_where_a_model_diverges():
    landscape = made_up()
    row = int(np.argmin(np.abs(np.log(etas(VARIANTS["adam_l2"])) - np.log(QUICK.lr_adaptive))))
    landscape.diverged[0, 2, row, 20:] = 1
    test, training = (landscape.metrics[0, :, row, :, kind].mean(0) for kind in (TEST, TRAIN))
    low = int(test[:20].argmin())
    said = numbers(
        drawn("map.left_losses", QUICK).takeaway,
        r"η = (\S+): test loss is (\S+) at λ = (\S+), lowest at λ = (\S+) with (\S+), and (\S+) at λ = (\S+); "
        r"training loss goes from (\S+) to (\S+)\.$",
    )
    wanted = [0.01, test[0], LAMBDAS[0], LAMBDAS[low], test[low], test[19], LAMBDAS[19], training[0], training[19]]
    for text, value in zip(said, wanted, strict=True):
        right(text, value)


def test_a_coarse_map_has_a_picture_and_no_curves():
    landscape = Landscape(plan_of(QUICK, ("adam_l2", "adamw"))[0])
    tile = next(landscape.plan.tiles())
    landscape.add(tile, np.full((8, 8, len(METRICS)), 0.5), np.zeros((8, 8), dtype=int))
    figures.remember(landscape)
    panel = drawn("map.left", QUICK)
    assert panel.takeaway.startswith("Adam + L2: a coarse map, 64 of 4,608 models trained")
    assert panel.frame.seeds.sum() == 64
    assert panel.frame.test_loss.notna().sum() == 64
    with pytest.raises(ValueError, match=r"^A coarse map of one seed has no curves yet.*\.$"):
        drawn("map.left_losses", QUICK)


def test_only_the_last_maps_are_remembered():
    plans = [made_up(replace(QUICK, seed=seed)).plan for seed in range(figures.KEPT + 1)]
    assert list(figures._KNOWN) == plans[1:]
    figures.landscape_of(plans[1])
    made_up(replace(QUICK, seed=99))
    assert plans[1] in figures._KNOWN
    assert plans[2] not in figures._KNOWN


def test_titles_are_short_and_names_differ():
    own = [FIGURES[key] for key in OWN]
    assert [entry.key for entry in own] == ["map.left", "map.right", "map.left_losses", "map.right_losses"]
    assert all(len(entry.title) <= 60 for entry in own)
    assert len({entry.name for entry in own}) == 4
