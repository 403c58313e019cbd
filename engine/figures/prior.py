"""Page 3's figures: the two-weight model's prior, posterior and evidence, the L1 path, and who reaches the MAP."""

from __future__ import annotations

import pandas as pd

from engine.bayes import plug_in, predictive
from engine.charts.bayes import grid_of, plug_in_field, predictive_field
from engine.charts.corrections import distance_curves
from engine.charts.evidence import linear_evidence, logistic_evidence
from engine.charts.networks import prior_networks
from engine.charts.prior import data_space, weight_space
from engine.charts.sparse import coefficients, two_paths
from engine.evidence import peak
from engine.figures import prior_takeaways as words
from engine.figures.figure import Panel, Shot, figure
from engine.figures.prior_views import (
    DRAWN,
    SOLVED,
    belief_of,
    distances,
    draws_of,
    far_along,
    far_of,
    field,
    nats,
    other_ends,
    shape_of,
    spots,
    two_weights,
    view_of,
    weights_over,
    with_evidence,
    with_paths,
)


@figure(
    "prior.weights", "Weight space", "Which prior over the weights is λ?",
    "The plane of the two weights of logistic regression. Grey contours: the likelihood; orange circles: one and two σ "
    "of the prior; bold ellipses: one and two deviations of the posterior by Laplace. The blue line is the MAP over "
    "λ, which starts at zero for the largest; the thin trails are real trainings.",
    seen=two_weights,
)  # fmt: skip
def weights(shot: Shot, theme: str) -> Panel:
    view = view_of(shot)
    path = pd.DataFrame(view.path, columns=["w1", "w2", "b"]).assign(kind="path", name="MAP(λ)")
    return Panel(weight_space(view), words.weights(view), pd.concat([spots(view, {}), path], ignore_index=True))


@figure(
    "prior.data", "Data space", "The same fits, seen among the points",
    "The training points and the lines where P(y = 1) is one half: of the MLE, of the MAP with its contours at 0.1 and "
    "0.9, and of each real training at its last step. A smaller weight vector is a less steep field: the contours lie "
    "farther apart.",
    seen=two_weights,
)  # fmt: skip
def data(shot: Shot, theme: str) -> Panel:
    view = view_of(shot)
    return Panel(data_space(view), words.data(view), spots(view, {}))


@figure(
    "prior.plug_in", "MAP alone", "What does one set of weights predict?",
    "P(y = 1) of the single most probable weights, with its contours at 0.1, 0.5 and 0.9 and the training points. "
    "How sure it is depends on the distance from its line alone, not on whether there are points near.",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def map_alone(shot: Shot, theme: str) -> Panel:
    view = view_of(shot)
    belief, points = belief_of(view), grid_of(view.run)[2]
    frame = field(points, plug_in(belief, points))
    return Panel(plug_in_field(view.run, belief), words.plug_in(view.run, belief), frame)


@figure(
    "prior.averaged", "Averaged", "What do all plausible weights predict together?",
    "P(y = 1) averaged over Laplace's posterior, with its contours at 0.1, 0.5 and 0.9; the thin lines are 40 draws of "
    "the weights. The contours fan out away from the points: there the draws disagree. P = 1/2 is the "
    "line of the MAP, since the posterior's mean is the MAP.",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def averaged(shot: Shot, theme: str) -> Panel:
    view = view_of(shot)
    belief, points = belief_of(view), grid_of(view.run)[2]
    frame = field(points, predictive(belief, points))
    return Panel(predictive_field(view.run, belief), words.averaged(view.run, belief), frame)


@figure(
    "prior.networks", "Prior predictive", "What does σ believe about functions?",
    "Networks of the experiment's shape before any data: every weight and bias is drawn from N(0, σ²). Each row is one "
    "draw, each column multiplies it by another σ. Below stand the mean slope of the logit and the mean length of the "
    "line P = 1/2 over many draws.",
    axes=DRAWN,
)  # fmt: skip
def networks(shot: Shot, theme: str) -> Panel:
    drawn, shape = draws_of(shot.experiment, view_of(shot).run), shape_of(shot.experiment)
    columns = {"sigma": drawn.sigmas, "slope": drawn.slope, "length": drawn.length, "draws": drawn.count}
    return Panel(prior_networks(drawn, shape), words.networks(drawn, shape), pd.DataFrame(columns))


@figure(
    "prior.evidence", "Evidence, logistic", "Which width of the prior do the labels favour?",
    "The log probability of the training labels over the prior's σ, with all weights averaged out: the evidence, by "
    "Laplace's approximation; rings are the same integral done numerically. No test point is used. Only differences "
    "count, since a flat prior on the intercept leaves the level open.",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def logistic(shot: Shot, theme: str) -> Panel:
    view, found = with_evidence(shot)
    top = peak(found.sigmas, found.logistic)[1]
    curve = nats(found.sigmas, found.logistic, top, "Laplace")
    checks = nats(found.checked, found.integrated, top, "integrated numerically")
    frame = pd.concat([curve, checks], ignore_index=True)
    return Panel(logistic_evidence(found, view.sigma), words.evidence(found, view, True), frame)


@figure(
    "prior.linear_evidence", "Evidence, linear", "Where the evidence is exact: linear regression",
    "The log evidence over σ of linear regression on the same points with targets ±1, where the integral over the "
    "weights is exact. The noise s is that of the least-squares residuals, taken as known; here λ = s²/(Nσ²).",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def linear(shot: Shot, theme: str) -> Panel:
    view, found = with_evidence(shot)
    frame = nats(found.sigmas, found.linear, peak(found.sigmas, found.linear)[1], "exact")
    return Panel(linear_evidence(found, view.sigma), words.evidence(found, view, False), frame)


@figure(
    "prior.paths", "L1 and L2 paths", "Which prior makes weights exactly zero?",
    "The plane of both weights with the likelihood's contours. The lines are the MAP over all λ: orange under a "
    "Laplace prior (L1), blue under a Gaussian prior (L2); rings are exact zeros. The dashed diamond and circle are "
    "the sets of equal prior through the two MAPs of the current λ: the diamond has corners on the axes.",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def both_paths(shot: Shot, theme: str) -> Panel:
    view, found = with_paths(shot)
    return Panel(two_paths(view, found), words.paths(found), weights_over(found))


@figure(
    "prior.coefficients", "Weights over λ", "How do the weights change as λ grows?",
    "Both weights of the MAP over λ, thick under the Laplace prior, thin under the Gaussian; rings are exact zeros. "
    "The same λ is not the same strength: one penalty is λ‖w‖₁, the other λ/2·‖w‖².",
    seen=two_weights, axes=SOLVED,
)  # fmt: skip
def over_lambda(shot: Shot, theme: str) -> Panel:
    view, found = with_paths(shot)
    return Panel(coefficients(found, view.weight_decay), words.coefficients(found, view), weights_over(found))


@figure(
    "prior.distance", "Distance from the MAP", "Who reaches the MAP?",
    "The same optimizers trained far longer at a constant η: thick, the distance of (w₁, w₂, b) from the MAP over the "
    "steps, on log axes; thin and dashed, the distance from where the rule goes instead. Those with λ in the gradient "
    "head for the MAP; SGDW with momentum for the MAP at (1 − μ)λ, full-batch AdamW, if it converges, for the least "
    "loss among weights up to 1/λ.",
    seen=far_along,
)  # fmt: skip
def distance(shot: Shot, theme: str) -> Panel:
    _, found = far_of(shot)
    return Panel(distance_curves(found), words.distance(found), distances(found))


@figure(
    "prior.weights_long", "Weight space, long run", "Where do the others go instead?",
    "The plane of the two weights with the trails of the long trainings: a triangle marks the MAP at (1 − μ)λ, a "
    "circle the least loss in the box of weights up to 1/λ. In general decay on the weight does not end where L2 does.",
    seen=far_along,
)  # fmt: skip
def weights_long(shot: Shot, theme: str) -> Panel:
    view, found = far_of(shot)
    ends = other_ends(found)
    return Panel(weight_space(view, ends), words.instead(found), spots(view, ends))


@figure(
    "prior.data_long", "Data space, long run", "How different are the models in the end?",
    "The training points and the lines P(y = 1) = 1/2 of MLE, MAP and the long trainings at their last step. Models "
    "whose weights differ in length alone have the same line; how steep they are across it differs.",
    seen=far_along,
)  # fmt: skip
def data_long(shot: Shot, theme: str) -> Panel:
    view, _ = far_of(shot)
    return Panel(data_space(view), words.data(view), spots(view, {}))
