"""Pages 5 and 6 through AppTest: their numbers are the run's, and what people get wrong is on screen."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from engine import VARIANTS, Experiment, train
from engine.anatomy import anatomy
from engine.claims.groups import module_of
from engine.experiment import DECAYED
from engine.groups import named_tensors
from engine.trainer import batch_order

ROOT = Path(__file__).parents[2]
QUICK = {"steps": "30"}


def opened(page, query):
    at = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=60)
    for name, value in (QUICK | query).items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, [error.stack_trace for error in at.exception]
    return at


def words(at):
    return "\n".join(part.value for part in at.markdown)


def step_on_screen(key, t):
    run = train(Experiment(steps=30), dtype=torch.float64)
    return run, anatomy(run, VARIANTS[key], t)


def test_the_numbers_on_page_5_are_those_of_the_run():
    at = opened("one_step", {})
    at.select_slider(key="one_step").set_value(20).run()
    run, step = step_on_screen("sgd_l2", 20)
    i = int(abs(step.before[: run.architecture.weights]).argmax())
    text = words(at)
    shown = re.search(r"own next weight: \*\*(.+?)\*\*", text).group(1)
    assert float(shown) == pytest.approx(run.film[run.frame(20), run.row("sgd_l2"), i], rel=1e-9)
    assert re.search(r"Difference to the lines above: \*\*(0|[1-9]e-1[5-9])\*\*", text)
    kept = step.after * step.before >= 0
    grow = int((kept & (abs(step.after) > abs(step.before)))[: run.architecture.weights].sum())
    assert re.search(rf"Of 304 weights, {grow} grow", text)
    for slip, name in (("twice", "Decay applied twice"), ("constant", "A constant taken off"),
                       ("ignored", "λ ignored"), ("doubled", "Factor 2")):  # fmt: skip
        value = re.search(rf"\*\*{name}\*\*: .* \| (\S+) \| \S+ \|", text).group(1)
        assert float(value) == pytest.approx(step.slips[slip][i], rel=1e-5)
    assert "this step's λ = 0.03 is `L2(0.015)`" in text


def test_every_variant_and_weight_can_be_chosen():
    at = opened("one_step", {"variants": ",".join(VARIANTS)})
    for key, variant in VARIANTS.items():
        at.selectbox(key="one_variant").set_value(key).run()
        assert not at.exception
        assert f"**{variant.title}, step" in words(at)
    for pick in at.selectbox(key="one_pick").options:
        at.selectbox(key="one_pick").select(pick).run()
        assert not at.exception
    assert "weight `4.weight[0, 0]`" in words(at)
    at.number_input[0].set_value(3).run()
    assert "weight `4.weight[0, 3]`" in words(at)


def test_the_choice_survives_what_it_can():
    at = opened("one_step", {"variants": "sgd_l2,adamw"})
    at.selectbox(key="one_variant").set_value("adamw").run()
    at.select_slider(key="one_step").set_value(30).run()
    at.session_state.experiment = Experiment(steps=30, variants=("sgd_l2",))
    at.run()
    assert not at.exception
    assert "**SGD + L2, step 30" in words(at)


@pytest.mark.parametrize(("key", "why"), [
    ("adam_l2", "remembered from when the weight had the other sign"),
    ("momentum_l2", "remembered from when the weight had the other sign"),
    ("l2_sp", "back to the weight's start, which lies farther out"),
])  # fmt: skip
def test_page_5_says_when_it_is_lambda_that_grew_the_weights(key, why):
    at = opened("one_step", {"variants": key, "steps": "300"})
    run = train(Experiment(variants=(key,)), dtype=torch.float64)
    step = anatomy(run, VARIANTS[key], at.session_state.one_step)
    before, after, push = (a[: run.architecture.weights] for a in (step.before, step.after, step.push))
    count = int(((after * before > 0) & (abs(after) > abs(before)) & (push * before <= 0)).sum())
    assert count > 0
    text = words(at)
    assert f"For **{count}** of those that grow, it was λ's part that pulled outwards" in text
    assert why in text
    assert "grows only if" not in text
    assert "grows only if" in words(opened("one_step", {"variants": "adamw"}))


@pytest.mark.parametrize(("key", "said"), [
    ("sgdw", "**2.1 %** off every weight: ηλ."),
    ("sgds", "**21 %** off every weight: ηλ/(1 − μ)."),
    ("adamw_paper", "**2.1 %** off every weight: λ."),
])  # fmt: skip
def test_page_5_names_the_fraction_that_the_variant_takes_off(key, said):
    text = words(opened("one_step", {"variants": key}))
    assert said in text
    rate = said.rpartition(": ")[2].rstrip(".")
    assert f"{rate} instead of {rate} **w**" in text


def test_without_lambda_page_5_says_so():
    text = words(opened("one_step", {"weight_decay": "0"}))
    assert "pulls at no weight in this step" in text
    assert "with a bug" not in text
    assert "has no decay" in words(opened("one_step", {"variants": "sgd"}))


def test_page_6_counts_what_model_parameters_holds():
    at = opened("what_to_decay", {})
    text = words(at)
    assert "`model.parameters()` is everything." in text
    assert "Of the 401 parameters here, 97 are no weights: 33 biases, 32 LayerNorm gains, 32 LayerNorm shifts" in text
    assert "the gains, 1 at the start" in text
    assert any("p.dim() >= 2" in code.value for code in at.code)
    run = train(Experiment(steps=30, layer_norm=True, variants=("adamw",)), dtype=torch.float64)
    held = train(Experiment(steps=30, layer_norm=True, variants=("adamw",), decayed="biases"), dtype=torch.float64)
    change = held.series("test_loss")["adamw"][-1] - run.series("test_loss")["adamw"][-1]
    assert f"{'raises' if change > 0 else 'lowers'} the test loss by **{abs(change):.2g}**" in text


def test_layer_norm_on_page_6_is_a_switch():
    at = opened("what_to_decay", {})
    assert "| `1.weight` | LayerNorm gains | 16 | 1 | 16 | – | – | **decays** |" in words(at)
    at.toggle(key="with_norm").set_value(False).run()
    assert not at.exception
    assert "LayerNorm gains" not in words(at)
    assert "| `2.weight` | weights | 16 × 16 | 2 | 256 | **decays** | **decays** |" in words(at)
    assert not at.session_state.experiment.layer_norm


def test_two_variants_side_by_side_on_page_6():
    at = opened("what_to_decay", {})
    at.multiselect(key="decayed_variants").set_value(["sgd_l2", "adamw"]).run()
    assert not at.exception
    assert "**SGD + L2, biases decayed too:**" in words(at)
    assert "**AdamW, biases decayed too:**" in words(at)


@pytest.mark.parametrize("key", ["sgdw", "lion", "adamw", "rmsprop_w", "l2_sp", "sgds"])
def test_the_code_on_page_6_trains_the_engines_weights(key):
    at = opened("what_to_decay", {"variants": key, "schedule": "linear", "batch_size": "8"})
    at.multiselect(key="decayed_variants").set_value([key]).run()
    codes = [code.value for code in at.code if "decayed = " in code.value]
    assert len(codes) == len(DECAYED)
    exp = Experiment(steps=30, layer_norm=True, variants=(key,), schedule="linear", batch_size=8)
    for decayed, code in zip(DECAYED, codes, strict=True):
        run = train(replace(exp, decayed=decayed), dtype=torch.float64)
        model, tensors = module_of(exp).double(), named_tensors(run.architecture)
        named = dict(model.named_parameters())
        for tensor in tensors:
            named[tensor.name].data = torch.tensor(run.film[0, 0, tensor.columns]).reshape(tensor.shape)
        x, y = torch.tensor(run.data.x_train), torch.tensor(run.data.y_train, dtype=torch.float64)[:, None]
        variant = VARIANTS[key]
        exec(code, {
            "torch": torch, "model": model, "batches": [(x[points], y[points]) for points in batch_order(exp)],
            "loss_fn": torch.nn.BCEWithLogitsLoss(), "lr": exp.lr_of(variant), "steps": exp.steps,
            "weight_decay": exp.weight_decay_of(variant), "momentum": exp.momentum,
        })  # fmt: skip
        for tensor in tensors:
            ends = named[tensor.name].detach().flatten().numpy()
            assert ends == pytest.approx(run.film[-1, 0, tensor.columns], rel=0, abs=1e-9)


def test_page_6_shows_the_loop_of_each_variant():
    at = opened("what_to_decay", {"variants": "sgdw,adamw"})
    at.multiselect(key="decayed_variants").set_value(["sgdw", "adamw"]).run()
    codes = [code.value for code in at.code]
    assert sum("w.mul_(1 - lr * weight_decay)" in code for code in codes) == len(DECAYED)
    assert sum("torch.optim.AdamW(groups" in code for code in codes) == len(DECAYED)


def test_page_6_says_where_the_pull_of_a_gain_ends():
    ends = "what λ pulls it to is "
    assert ends + "0, not the 1 where it started" in words(opened("what_to_decay", {"variants": "sgd_l2"}))
    text = words(opened("what_to_decay", {"variants": "l2_sp"}))
    assert ends + "exactly the 1 where it started" in text
    assert ends + "0" not in text


def test_page_6_calls_no_change_no_change():
    text = words(opened("what_to_decay", {"variants": "l2_sp", "steps": "1"}))  # the first step starts at the start
    assert "leaves the test loss as it is" in text
    assert "the test loss by **0**" not in text


@pytest.mark.parametrize(("query", "said"), [
    ({"variants": "sgd"}, "None of the chosen variants has a λ"),
    ({"weight_decay": "0"}, "**AdamW: λ = 0.** Nothing decays"),
    ({"hidden": "0"}, "Without hidden layers there is no LayerNorm"),
    ({"lr": "100", "lr_adaptive": "10", "weight_decay": "10", "weight_decay_adaptive": "10"}, "**AdamW diverged.**"),
])  # fmt: skip
def test_page_6_says_what_is_missing(query, said):
    at = opened("what_to_decay", query)
    everything = words(at) + "\n".join(part.value for part in [*at.info, *at.caption])
    assert said in everything
