"""The λ × η map: every cell is its run, and what is read off a map is what was put into it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import VARIANTS, Experiment, train
from engine.charts.landscape import landscape_map, loss_over_lambda, lowest_shown, shade, short_loss
from engine.claims.landscape import a_cell_is_its_run, sgd_has_one_map
from engine.landscape import (
    BUDGET,
    GUESSING,
    SEEDS,
    SIDE,
    Landscape,
    etas,
    plan_of,
    train_tile,
    weight_decays,
)
from engine.ridge import best_cell, interaction, ridge
from engine.run import METRICS

QUICK = Experiment(points=10, steps=12, hidden=(4,))
DECAYING = [key for key, variant in VARIANTS.items() if variant.has_weight_decay]
ETA, DECAY = np.geomspace(1e-3, 1, SIDE), np.geomspace(1e-3, 10, SIDE)


def trained(pair, experiment=QUICK, seeds=SEEDS):
    """A whole map of a small experiment."""
    plan, notices = plan_of(experiment, pair)
    assert notices == []
    landscape = Landscape(plan)
    for tile in plan.tiles():
        if tile.seed < seeds:
            landscape.add(tile, *train_tile(plan, tile))
    return landscape


@pytest.fixture(scope="module")
def adams():
    return trained(("adam_l2", "adamw"))


# ---- the plan --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", DECAYING)
def test_axes_are_values_of_the_sliders_four_decades_long(key):
    for values in (etas(VARIANTS[key]), weight_decays()):
        assert len(values) == SIDE
        assert values[-1] / values[0] > 5000
        assert np.ptp(np.diff(np.log(values))) < 0.25


def test_tiles_cover_every_model_once_and_begin_with_a_coarse_map_of_both():
    plan, _ = plan_of(QUICK, ("sgd_l2", "adamw"))
    seen = np.zeros((2, SEEDS, SIDE, SIDE), dtype=int)
    for tile in plan.tiles():
        seen[tile.variant, tile.seed, tile.eta :: 3, tile.weight_decay :: 3] += 1
    assert (seen == 1).all()
    first, second, *_ = plan.tiles()
    assert {first.variant, second.variant} == {0, 1}
    assert first[2:] == second[2:] == (1, 1)
    assert plan.models == seen.sum() == 4608


@pytest.mark.parametrize("pair", [("sgd_l2", "adamw"), ("adamw", "sgdw"), ("lion", "adamw_paper")])
@pytest.mark.parametrize("cell", [(0, 0, 0, 0), (1, 23, 5, 3), (0, 7, 23, 1)])
def test_a_cell_has_its_own_eta_and_lambda(pair, cell):
    variant, eta, decay, seed = cell
    plan, _ = plan_of(replace(QUICK, seed=5), pair)
    there, chosen = plan.at(variant, eta, decay, seed), VARIANTS[pair[variant]]
    assert there.lr_of(chosen) == etas(chosen)[eta]
    assert there.weight_decay_of(chosen) == weight_decays()[decay]
    assert there.seed == 5 + seed
    assert set(there.variants) == set(pair)


def test_own_lambda_and_eta_do_not_matter_all_else_does():
    pair = ("adam_l2", "adamw")
    moved = replace(QUICK, lr=0.01, lr_adaptive=0.5, weight_decay=1.0, weight_decay_adaptive=0.1, variants=("sgd",))
    assert plan_of(moved, pair) == plan_of(QUICK, pair)
    assert plan_of(replace(QUICK, noise=0.1), pair) != plan_of(QUICK, pair)
    assert plan_of(QUICK, pair) != plan_of(QUICK, ("adamw", "adam_l2"))


def test_the_last_seeds_still_make_four():
    plan, _ = plan_of(replace(QUICK, seed=9999), ("sgd_l2", "sgdw"))
    assert plan.seeds == [9996, 9997, 9998, 9999]


def test_a_map_is_cut_to_its_budget_and_says_so():
    heavy = Experiment(points=2000, hidden=(64, 64, 64), steps=5000)
    plan, (notice,) = plan_of(heavy, ("sgd_l2", "sgdw"))
    assert "4,608 models" in notice
    assert f"using {plan.experiment.steps} steps" in notice
    assert 0.5 * BUDGET < plan.experiment.cost * SIDE * SIDE * SEEDS <= BUDGET


def test_a_variant_without_lambda_has_no_map():
    with pytest.raises(ValueError, match="with a λ"):
        plan_of(QUICK, ("adam", "adamw"))


# ---- training --------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.tuples(st.integers(0, 1), st.integers(0, SEEDS - 1), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1)))
def test_a_cell_is_its_run(adams, place):
    variant, seed, eta, decay = place
    key = adams.plan.pair[variant]
    run = train(replace(adams.plan.at(variant, eta, decay, seed), variants=(key,)), dtype=torch.float64)
    there = adams.metrics[place]
    for name, value in zip(METRICS, there, strict=True):
        # Test losses are float32.
        assert value == pytest.approx(run.series(name)[key][-1], rel=1e-5 if name.startswith("test") else 1e-9)
    assert adams.diverged[place] == (run.diverged[key] or 0)


def test_the_claim_of_cells_is_measured(adams):
    found = a_cell_is_its_run.check(adams)
    assert len(found) == 2
    assert all(a_cell_is_its_run.holds(value) for value in found)
    spoilt = trained(("adam_l2", "adamw"), seeds=1)
    spoilt.metrics[..., METRICS.index("test_loss")] *= 1.01
    assert not any(a_cell_is_its_run.holds(value) for value in a_cell_is_its_run.check(spoilt))
    assert a_cell_is_its_run.check(Landscape(adams.plan)) == "no seed is whole yet."


def test_sgd_has_one_map(adams):
    sgd = trained(("sgd_l2", "sgdw"), seeds=1)
    (value,) = sgd_has_one_map.check(sgd)
    assert sgd_has_one_map.holds(value)
    sgd.metrics[0] *= 1.001
    assert not sgd_has_one_map.holds(sgd_has_one_map.check(sgd)[0])
    assert isinstance(sgd_has_one_map.check(adams), str)


def test_what_is_not_trained_yet_shows_its_coarse_cell():
    plan, _ = plan_of(QUICK, ("adam_l2", "adamw"))
    landscape = Landscape(plan)
    assert np.isnan(landscape.preview("test_loss")).all()
    first, *_ = plan.tiles()
    landscape.add(first, *train_tile(plan, first))
    shown = landscape.preview("test_loss")
    assert np.isnan(shown[1]).all()
    coarse = landscape.metrics[0, 0, 1::3, 1::3, METRICS.index("test_loss")]
    assert np.array_equal(shown[0], coarse.repeat(3, 0).repeat(3, 1))
    assert landscape.models == 64
    assert landscape.seeds == 0


def test_the_preview_of_a_whole_map_is_the_mean_over_seeds(adams):
    assert adams.seeds == SEEDS
    np.testing.assert_allclose(adams.preview("test_loss"), adams.values("test_loss").mean(1), rtol=1e-14)


# ---- what is read off a map ------------------------------------------------------------------------------------


def valley(slope, at=0.1, seeds=1, noise=0.0, rng=None):
    """Test losses (seeds, η, λ) whose lowest λ goes as at · (η/η₀)^slope, a parabola in log λ."""
    best = np.log(at) + slope * np.log(ETA / ETA[SIDE // 2])
    losses = 0.3 + 0.01 * (np.log(DECAY)[None] - best[:, None]) ** 2
    shifts = (rng or np.random.default_rng(0)).normal(size=(seeds, 1, 1)) * noise
    return losses[None] + shifts


@given(st.floats(-0.4, 0.4))
def test_the_ridge_of_a_parabola_is_exact(slope):
    found = ridge(valley(slope), ETA, DECAY)
    assert found.slope == pytest.approx(slope, abs=1e-9)
    expected = 0.1 * (ETA[found.rows] / ETA[SIDE // 2]) ** slope
    np.testing.assert_allclose(found.weight_decays, expected, rtol=1e-9)
    assert found.factor == pytest.approx(1, abs=1e-9)


def test_what_is_no_line_is_said_to_be_off_it():
    best = np.where(np.arange(SIDE) % 2, 0.05, 0.2)  # half of the η at one λ, half at another
    losses = 0.3 + 0.01 * (np.log(DECAY)[None] - np.log(best)[:, None]) ** 2
    assert ridge(losses[None], ETA, DECAY).factor == pytest.approx(2, rel=0.02)


def test_the_ridge_leaves_out_rows_that_train_badly_diverge_or_guess():
    losses = valley(0.0)
    losses[:, :4] += 0.1
    losses[:, 20:, 9:14] = np.inf
    losses[:, 19, 0] = 0.31  # no better than the floor by a little: the best λ may lie beyond the axis
    assert ridge(losses, ETA, DECAY).rows.tolist() == list(range(4, 19))
    assert ridge(losses[:, :6], ETA[:6], DECAY) is None
    assert ridge(losses + GUESSING, ETA, DECAY) is None
    assert ridge(np.full((2, SIDE, SIDE), np.inf), ETA, DECAY) is None


@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_the_slope_of_a_noisy_valley_is_not_pulled_to_zero(slope):
    """Rows are not chosen by their own noisy λ*: a diagonal through the map comes out as one, within its errors."""
    rng, found = np.random.default_rng(0), []
    best = np.log(DECAY).mean() + slope * (np.log(ETA) - np.log(ETA).mean())
    clean = 0.3 * (1 + 0.02 * (np.log(DECAY)[None] - best[:, None]) ** 2)
    for _ in range(40):
        found.append(ridge(clean + rng.normal(0, 0.004, (SEEDS, SIDE, SIDE)), ETA, DECAY))
    slopes, errors = np.array([(one.slope, one.error) for one in found]).T
    assert abs(slopes.mean() - slope) < 0.04
    assert np.mean(np.abs(slopes - slope) <= 2 * errors) > 0.75


def test_the_ridges_error_is_the_jackknifes():
    losses = np.concatenate([valley(slope) for slope in (0.1, 0.2, 0.3, 0.4)])
    found = ridge(losses, ETA, DECAY)
    assert found.slope == pytest.approx(0.25, abs=1e-9)
    assert found.error == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2, rel=1e-6)  # linear in the seeds
    assert np.isnan(ridge(losses[:1], ETA, DECAY).error)


def test_the_best_cell_its_error_and_what_is_near():
    losses = np.full((4, SIDE, SIDE), 0.5)
    losses[:, 3, 4] = (0.1, 0.2, 0.3, 0.4)
    losses[:, 5, 6] = (0.2, 0.1, 0.4, 0.35)  # 0.0125 worse on average, ± 0.055 seed by seed
    losses[:, 7, 8] = (0.12, 0.22, 0.32, 0.42)  # 0.02 worse on every seed
    losses[:, 9, 10] = (0.1, 0.2, 0.3, 9.0)  # equal but for one seed that exploded
    best = best_cell(losses)
    assert (best.eta, best.weight_decay) == (3, 4)
    assert best.loss == pytest.approx(0.25)
    assert best.error == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2)
    assert np.argwhere(best.near).tolist() == [[3, 4], [5, 6]]
    assert np.isnan(best_cell(losses[:1]).error)


def test_a_diverged_model_is_never_the_best(adams):
    landscape = Landscape(adams.plan)
    landscape.metrics, landscape.diverged = adams.metrics.copy(), adams.diverged.copy()
    landscape.metrics[0, :, 5, 6, METRICS.index("test_loss")] = 0.0
    assert best_cell(landscape.scores(0))[:2] == (5, 6)
    landscape.diverged[0, 2, 5, 6] = 9
    best = best_cell(landscape.scores(0))
    assert best[:2] != (5, 6)
    assert best.loss > 0
    assert lowest_shown(landscape) == pytest.approx(min(best.loss, best_cell(landscape.scores(1)).loss))
    landscape.diverged[0] = 1
    assert best_cell(landscape.scores(0)) is None
    assert landscape_map(landscape, 0).data["best"] == []
    assert ridge(landscape.scores(0), ETA, DECAY) is None
    assert interaction(landscape.scores(0)) is None


def test_seeds_are_whole_from_the_first_on(adams):
    landscape = Landscape(adams.plan)
    landscape.metrics = adams.metrics.copy()
    landscape.metrics[0, 1, 3, 3] = np.nan
    assert landscape.seeds == 1
    assert np.isfinite(landscape.values("test_loss")).all()


def test_no_interaction_where_log_loss_is_a_sum():
    rows, columns = np.random.default_rng(0).uniform(-0.8, -0.5, size=(2, SIDE))
    found = interaction(np.exp(rows[:, None] + columns[None])[None])
    assert found.share == pytest.approx(0, abs=1e-20)
    assert found.cells == SIDE * SIDE
    assert np.isnan(found.noise)


def test_interaction_is_the_share_of_a_product():
    a = np.linspace(-1, 1, SIDE)
    logs = -1 + 0.2 * a[:, None] + 0.1 * a[:, None] * a[None]
    ours = 0.1**2 * np.var(a) ** 2
    assert interaction(np.exp(logs)[None]).share == pytest.approx(ours / (ours + 0.2**2 * np.var(a)), rel=1e-9)


def test_interaction_leaves_out_what_only_guesses():
    a = np.linspace(-0.5, 0.4, SIDE)
    losses = np.exp(-0.5 + a[:, None] + 0 * a[None])[None]
    found = interaction(losses)
    assert found.cells == (losses < GUESSING).sum() < SIDE * SIDE
    assert interaction(np.full((1, SIDE, SIDE), 1.0)) is None


@pytest.mark.parametrize("losses", [np.full((2, SIDE, SIDE), 0.5), np.zeros((2, SIDE, SIDE))], ids=["equal", "zero"])
def test_no_interaction_in_nothing(losses):
    assert interaction(losses) is None


def test_the_noise_of_seeds_explains_the_interaction_that_it_makes():
    rng = np.random.default_rng(1)
    losses = np.exp(-1 + 0.1 * np.linspace(-1, 1, SIDE)[:, None] + 0.02 * rng.normal(size=(SEEDS, SIDE, SIDE)))
    found = interaction(losses)
    assert found.noise == pytest.approx(found.share, rel=0.15)


# ---- pictures --------------------------------------------------------------------------------------------------


def test_shades_go_from_the_best_to_guessing():
    assert shade(np.array([0.2, GUESSING, 5.0]), 0.2).tolist() == [0, 1, 1]
    assert shade(np.array([0.9]), 0.8).tolist() == [1]


def test_the_maps_data_are_its_losses(adams):
    adams.diverged[1, 2, 3, 4] = 7
    picture = landscape_map(adams, 1, here=(0.1, 0.01))
    losses = adams.values("test_loss")[1].mean(0)
    cells = {(cell["row"], cell["col"]): cell for cell in picture.data["cells"]}
    assert len(cells) == SIDE * SIDE
    assert all(cell["loss"] == pytest.approx(losses[place], rel=6e-3) for place, cell in cells.items())
    gone = (adams.diverged[1] > 0).any(0)
    assert gone[3, 4]
    assert all(cell["gone"] == gone[place] for place, cell in cells.items())
    (best,) = picture.data["best"]
    assert losses[best["row"], best["col"]] == losses.min()
    assert all(cell["own"] for cell in cells.values())
    (here,) = picture.data["here"]
    assert etas(adams.plan.variants[1])[int(here["row"])] == 0.01
    assert weight_decays()[int(here["col"])] == 0.1
    assert landscape_map(adams, 1, here=(1e-5, 0.01)).data["here"] == []
    adams.diverged[1, 2, 3, 4] = 0


def test_a_cell_that_is_not_trained_yet_says_so():
    plan, _ = plan_of(QUICK, ("adam_l2", "adamw"))
    landscape = Landscape(plan)
    first, *_ = plan.tiles()
    landscape.add(first, *train_tile(plan, first))
    cells = landscape_map(landscape, 0).data["cells"]
    assert {(cell["row"], cell["col"]) for cell in cells if cell["own"]} == {
        (row, col) for row in range(1, SIDE, 3) for col in range(1, SIDE, 3)
    }
    assert landscape_map(landscape, 1).data["cells"] == []


def test_losses_are_short_and_never_a_false_zero():
    assert [short_loss(loss) for loss in (0.4, 0.0101, 8.14e-5, 0.0)] == ["0.400", "0.010", "8.1e-05", "0"]


def beyond_the_picture(whole):
    """The same map with a seed whose loss is above the end of the axis."""
    landscape = Landscape(whole.plan)
    landscape.metrics, landscape.diverged = whole.metrics.copy(), whole.diverged
    landscape.metrics[0, 1, 9, 3, METRICS.index("test_loss")] = 2.5
    return landscape


def test_the_curves_data_are_the_losses_of_the_row_and_their_seeds(adams):
    adams = beyond_the_picture(adams)
    picture = loss_over_lambda(adams, 0, row=9)
    top = picture.data["frame"][1]["y"]
    for kind in ("test", "train"):
        own = adams.values(f"{kind}_loss")[0][:, 9]
        rows = [r for r in picture.data["curves"] if r["kind"] == kind and r["row"] == 9]
        exact = np.stack([own.mean(0), own.min(0), own.max(0)], 1)
        said = [[r[name] for name in ("loss", "least", "most")] for r in rows]
        np.testing.assert_allclose(said, exact, rtol=1e-3)
        drawn = np.array([[r[name] for name in ("mean", "low", "high")] for r in rows], dtype=float)
        exact[:, 2] = exact[:, 2].clip(max=top)
        np.testing.assert_allclose(drawn, np.where(exact <= top, exact, np.nan), rtol=1e-3)
    assert f"η = {etas(adams.plan.variants[0])[9]:g}" in picture.alt
