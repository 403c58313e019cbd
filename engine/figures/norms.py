"""Page 2's figures: norms of all weights and of a layer, single weights, the equilibrium, and the box."""

from __future__ import annotations

import math

import pandas as pd

from engine.averages import boxed
from engine.charts.curves import Series, norm_curves
from engine.charts.picture import Picture
from engine.charts.weights import weight_histogram, weight_paths
from engine.equilibrium import motions, settling
from engine.experiment import Experiment
from engine.figures import settled as under_norm
from engine.figures.figure import Panel, Shot, figure, shared, trained
from engine.figures.sentences import course, ends_of, figures_of, group_of, percent, sentence, tidy
from engine.measure import free_decay_curves, histogram, layer_series, weight_trajectories
from engine.probe import TOO_LONG, affordable
from engine.run import Run
from engine.theory import time_scale
from engine.variants import VARIANTS, Variant


def run_of(shot: Shot) -> Run:
    """The run of the shared experiment, within a page's budget."""
    return trained(shared(shot))


def tau_of(exp: Experiment, variant: Variant) -> float:
    """The steps in which decay alone takes a weight to about a third; inf where no fixed share is taken off."""
    if variant.where not in ("gradient", "weight") or (variant.where == "gradient" and variant.adaptive):
        return math.inf
    longer = 1 - exp.momentum if variant.where == "gradient" and variant.has_momentum else 1.0
    return time_scale(exp.shrink_of(variant) / longer)


def taus(run: Run) -> dict[float, list[str]]:
    """Every finite time scale of decay, with the titles of the variants that have it."""
    found: dict[float, list[str]] = {}
    for variant in run.experiment.chosen:
        tau = tau_of(run.experiment, variant)
        if math.isfinite(tau):
            found.setdefault(float(f"{tau:.3g}"), []).append(variant.title)
    return found


def steps_of(tau: float) -> str:
    """A time scale in words."""
    return f"{tau:,.0f}" if tau >= 10 else f"{tau:.2g}"


def marks(run: Run) -> dict[str, float]:
    """The time scales that the axis of time names; those beyond the last step are the story's."""
    found = taus(run)
    if len(found) == 1:
        return {f"τ = 1/(ηλ) = {steps_of(tau)}": tau for tau in found}
    return {f"τ {titles[0]}{' …' if len(titles) > 1 else ''}": tau for tau, titles in found.items()}


def norm_picture(run: Run, theory: bool = True) -> Picture:
    """‖w‖ of all weight matrices, with decay alone beside it."""
    alone = free_decay_curves(run) if theory else {}
    title = "‖w‖ over training; dashed: decay alone" if alone else "‖w‖ over training"
    return norm_curves(run.steps, run.series("weight_norm"), alone, run.diverged, title, 330, marks=marks(run))


@figure(
    "norms.norms",
    "Norms",
    "Where does the norm of the weights go?",
    "‖w‖ is the norm of all weight matrices together; all variants start from the same weights. A dashed line, drawn "
    "where λ acts on the weight, is decay alone, the product of all its factors, as 1 − ηλ: where the norm would go if "
    "the data never pushed. A gap above it is what the gradient of the data wins back.",
)
def norms(shot: Shot, theme: str) -> Panel:
    run = run_of(shot)
    frame = tidy(run, weight_norm=run.series("weight_norm"), decay_alone=free_decay_curves(run))
    return Panel(norm_picture(run), norms_words(run), frame)


def norms_words(run: Run) -> str:
    """Where the norms start and end, and what decay alone would leave."""
    alone = ends_of(run, free_decay_curves(run))
    values = sorted(v for key, v in alone.items() if group_of(run.experiment, VARIANTS[key]) == "with decay")
    left = list(dict.fromkeys(figures_of(value) for value in values))
    more = f"decay alone would leave {' to '.join(dict.fromkeys((left[0], left[-1])))}" if left else ""
    return course(run, "‖w‖", run.series("weight_norm"), more)


def matrices(experiment: Experiment) -> list[str]:
    """Numbers of the weight matrices, 1 for the first."""
    return [str(layer) for layer in range(1, len(experiment.hidden) + 2)]


def layer_picture(run: Run, layer: int, series: Series) -> Picture:
    """‖W‖ of one weight matrix."""
    title = f"‖W‖ of layer {layer}"
    return norm_curves(run.steps, series, {}, run.diverged, title, under_norm.HEIGHT, "‖W‖")


@figure(
    "norms.layers",
    "One layer",
    "What does decay do to one layer?",
    "‖W‖ is the norm of one layer's weight matrix over training; all variants start from the same weights. λ is one "
    "number for all layers, but the gradient of the data differs from layer to layer, and with it the norm that a "
    "layer reaches.",
    part=matrices,
)
def layers(shot: Shot, theme: str) -> Panel:
    run, layer = run_of(shot), int(shot.option("part"))
    series = layer_series(run)[layer - 1]
    words = course(run, f"‖W‖ of layer {layer}", series)
    return Panel(layer_picture(run, layer, series), words, tidy(run, layer_norm=series).assign(layer=layer))


def each(experiment: Experiment) -> list[str]:
    """Every variant, by its key."""
    return list(experiment.variants)


@figure(
    "norms.weights",
    "Single weights",
    "What does decay do to single weights?",
    "Each line is one weight over training; up to 24 are drawn, evenly spaced among all weights of this variant. The "
    "axis is the same for every variant of the experiment. Decay pulls weights towards 0; the gradient of the data "
    "moves them to where they lower the loss.",
    part=each,
)
def weights(shot: Shot, theme: str) -> Panel:
    run, key = run_of(shot), shot.option("part")
    paths, reach = weight_trajectories(run)
    own = paths[paths.variant == key].reset_index(drop=True)
    return Panel(weight_paths(paths, reach, key), gone_alone(run, key) or weights_words(run, key, own), own)


def gone_alone(run: Run, key: str) -> str:
    """That one variant diverged, where it did."""
    step = run.diverged[key]
    return "" if step is None else f"{VARIANTS[key].title} diverged at step {step:,} and stays as it was before."


def weights_words(run: Run, key: str, own: pd.DataFrame) -> str:
    """How large the drawn weights are at the start and at the end."""
    first, last = (own[own.step == step].value.abs() for step in (run.steps[0], run.steps[-1]))
    zeros = int((last == 0).sum())
    return sentence(
        f"Of {len(last)} weights of {VARIANTS[key].title}, the largest |w| goes from {figures_of(first.max())} to "
        f"{figures_of(last.max())}, the median from {figures_of(first.median())} to {figures_of(last.median())}",
        f"{zeros} end at exactly 0" if zeros else "",
    )


def histogram_picture(shares: pd.DataFrame, key: str) -> Picture:
    """The weights of one variant in bins, on the axis that all variants share."""
    return weight_histogram(shares, key, float(shares[shares.step > 0].share.max()))


@figure(
    "norms.histogram",
    "Histogram",
    "How many weights are near zero?",
    "All weights of one variant in 31 bins of equal width, at the end of training. Weights beyond the axis count in "
    "the outer bins. The axes are the same for every variant of the experiment.",
    part=each,
)
def histograms(shot: Shot, theme: str) -> Panel:
    run, key = run_of(shot), shot.option("part")
    shares = histogram(run)
    own = shares[shares.variant == key].reset_index(drop=True)
    return Panel(histogram_picture(shares, key), gone_alone(run, key) or histogram_words(run, key, own), own)


def histogram_words(run: Run, key: str, own: pd.DataFrame) -> str:
    """How much is in the middle bin at the start and at the end."""
    middle = own[(own.low < 0) & (own.high > 0)]
    first, last = (middle[middle.step == step].share.iloc[0] for step in (run.steps[0], run.steps[-1]))
    return (
        f"The middle bin, |w| up to {figures_of(middle.high.iloc[0])}, holds {percent(first)} of the weights of "
        f"{VARIANTS[key].title} at the start and {percent(last)} at the end."
    )


def at_rest(shot: Shot) -> Experiment:
    """The equilibrium's experiment, within a page's budget."""
    return settling(shot.experiment).within_budget()[0]


def in_a_box(shot: Shot) -> Experiment:
    """The box's experiment, within a page's budget."""
    return boxed(shot.experiment).within_budget()[0]


def hidden_layers(experiment: Experiment) -> list[str]:
    """Numbers of the hidden layers of the equilibrium's experiment."""
    return [str(layer) for layer in range(1, len(settling(experiment).hidden) + 1)]


@figure(
    "norms.settled",
    "Equilibrium: norm",
    "Under LayerNorm, where does a norm settle?",
    "Under LayerNorm the size of a layer's weights and biases changes no prediction, so decay and gradient can "
    "come to a balance. The norm is on a log axis, with the theory of Kosson et al. dashed over the window in which it "
    "is measured. Where the experiment lacks LayerNorm, minibatches, a constant η, steps or decay on biases, one that "
    "has them is trained.",
    seen=at_rest,
    part=hidden_layers,
)
def settled(shot: Shot, theme: str) -> Panel:
    run, layer = trained(at_rest(shot)), int(shot.option("part"))
    moved = motions(run)
    words = under_norm.settled_words(run, moved, layer)
    return Panel(under_norm.settled_picture(run, moved, layer), words, under_norm.settled_frame(run, moved, layer))


@figure(
    "norms.turns",
    "Equilibrium: turn a step",
    "Under LayerNorm, how far does a step turn a layer?",
    "What a step can change under LayerNorm is the direction of a layer's weights and biases; the angle a step is its "
    "effective learning rate. Angles are root mean squares, on a log axis, with the theory of Kosson et al. dashed. "
    "Where the experiment lacks LayerNorm, minibatches, a constant η, steps or decay on biases, one that has them is "
    "trained.",
    seen=at_rest,
    part=hidden_layers,
)
def turns(shot: Shot, theme: str) -> Panel:
    run, layer = trained(at_rest(shot)), int(shot.option("part"))
    if not affordable(run.experiment):
        raise ValueError(f"How far a step turns a layer is left out: {TOO_LONG}")
    moved = motions(run)
    words = under_norm.turn_words(run, moved, layer)
    return Panel(under_norm.turn_picture(run, moved, layer), words, under_norm.turn_frame(run, moved, layer))


@figure(
    "norms.box",
    "Box ±1/λ",
    "Do AdamW and Lion stay in a box of ±1/λ?",
    "The largest weight in size over training; where a dashed line fits into the picture, it is half the side of the "
    "box. A step adds at most about η to a weight and decay takes ηλ|w| off it, which balance at |w| = 1/λ. Lion's "
    "steps are exactly ±η; AdamW's box is where full-batch training comes to rest, and minibatches or a schedule "
    "promise none.",
    seen=in_a_box,
)
def box(shot: Shot, theme: str) -> Panel:
    run = trained(in_a_box(shot))
    return Panel(under_norm.box_picture(run), under_norm.box_words(run), under_norm.box_frame(run))
