"""The experiment: every knob declared once, and its URL form both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from engine.datasets import DATASETS, MAX_POINTS
from engine.knobs import Choice, Flag, Knob, Names, Number, Widths
from engine.schedules import SCHEDULES, multipliers
from engine.variants import VARIANTS, Variant

URL_VERSION = "1"
VISITOR_BUDGET = 2e10
"""Largest ``Experiment.cost`` that a URL or a slider may ask for: about three seconds on one core."""

DECAYED = {"weights": "weights only", "biases": "weights and biases", "all": "everything, LayerNorm too"}
"""Sets of parameters that λ may act on, each with its title; every one holds the one before."""

_OLD = {("decay_biases", "1"): ("decayed", "all"), ("decay_biases", "0"): ("decayed", "weights")}
"""What older links say, and how it is said now."""

_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


_LOW = (3e-6, 5e-6, 7e-6)


def _log_grid(low: int, high: int) -> tuple[float, ...]:
    """Round values from 10^low to 10^high, six a decade."""
    values = [float(f"{step}e{decade}") for decade in range(low, high) for step in _STEPS]
    return (*values, float(f"1e{high}"))


def _knob(default: Any, knob: Knob) -> Any:
    return field(default=default, metadata={"knob": knob})


@dataclass(frozen=True)
class Experiment:
    """One frozen experiment: data, model, training and decay. Equal experiments train to equal runs.

    Each field's metadata holds its knob: label, unit, bounds, URL form. The variants are kept in registry order.

    Raises:
        ValueError: a field out of its bounds; the message names the field, the bounds and the value.
    """

    dataset: str = _knob(
        "moons",
        Choice("Dataset", "The distribution that training and test points come from.", "Data",
               {key: entry.title for key, entry in DATASETS.items()}),
    )  # fmt: skip
    noise: float = _knob(
        0.4,
        Number("Noise", "Spread of the points, in the dataset's own units: 0 is clean.", "Data", 0, 1,
               tuple(i / 20 for i in range(21))),
    )  # fmt: skip
    points: int = _knob(
        24,
        Number("Training points N", "How many points the models train on; 1,000 more test them.", "Data", 2,
               MAX_POINTS, (2, 4, 6, 10, 15, 20, 24, 30, 40, 60, 80, 100, 150, 200, 300, 500, 700, 1000, 2000), True),
    )  # fmt: skip
    seed: int = _knob(
        3,
        Number("Seed", "Draws the points, the initial weights and the batches, the same for all variants.", "Data",
               0, 9999, (), True),
    )  # fmt: skip
    hidden: tuple[int, ...] = _knob(
        (16, 16),
        Widths(
            "Hidden layers",
            "Widths of the hidden layers, as 32-32; 0 is logistic regression.",
            "Model",
            4,
            64,
        ),
    )
    activation: str = _knob(
        "tanh",
        Choice("Activation", "The nonlinearity after each hidden layer.", "Model",
               {"tanh": "tanh", "relu": "ReLU", "sigmoid": "sigmoid", "identity": "none (linear)"}),
    )  # fmt: skip
    layer_norm: bool = _knob(
        False,
        Flag("LayerNorm", "Normalise each hidden layer before its activation (Ba 2016, 1607.06450).", "Model"),
    )
    lr: float = _knob(
        0.7,
        Number("η, SGD family", "Learning rate (step size) of SGD with and without momentum.", "Training", 1e-5, 100,
               _log_grid(-4, 2)),
    )  # fmt: skip
    lr_adaptive: float = _knob(
        0.01,
        Number("η, Adam family", "Learning rate of Adam and RMSProp: about the size of one step of a weight.",
               "Training", 1e-6, 10, _log_grid(-5, 0)),
    )  # fmt: skip
    momentum: float = _knob(
        0.9,
        Number("Momentum μ", "Share of the last step that the momentum variants keep; the others have none.",
               "Training", 0, 0.999, (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)),
    )  # fmt: skip
    nesterov: bool = _knob(
        False, Flag("Nesterov", "Look ahead: the momentum variants step along g + μv instead of v.", "Training")
    )
    schedule: str = _knob(
        "constant",
        Choice("Schedule of η", "How the learning rate falls over the steps; η above is its largest value.",
               "Training", {key: entry.title for key, entry in SCHEDULES.items()}),
    )  # fmt: skip
    steps: int = _knob(
        300,
        Number("Steps", "Number of optimizer steps.", "Training", 1, 20000,
               (50, 100, 200, 300, 400, 600, 800, 1000, 1200, 1500, 2000, 3000, 5000), True),
    )  # fmt: skip
    batch_size: int | None = _knob(
        None,
        Number("Batch size", "Points a step sees, the same batches for all variants; all points by default.",
               "Training", 1, MAX_POINTS, (1, 2, 4, 8, 16, 32, 64, 128), True, "all points"),
    )  # fmt: skip
    weight_decay: float = _knob(
        0.03,
        Number("λ, SGD family", "Decay strength: each step takes the fraction ηλ off every decayed weight.", "Decay",
               0, 10, (0.0, *_LOW, *_log_grid(-5, 1)), least=1e-6),
    )  # fmt: skip
    weight_decay_adaptive: float | None = _knob(
        None,
        Number("λ, Adam family", "Decay strength of Adam and RMSProp; by default the λ with the same ηλ as SGD's.",
               "Decay", 0, 10, (0.0, *_LOW, *_log_grid(-5, 1)), False, "matched shrink", 1e-6),
    )  # fmt: skip
    decayed: str = _knob(
        "weights",
        Choice("What decays", "Which parameters λ acts on; usually weight matrices only.", "Decay", DECAYED),
    )
    max_norm: float = _knob(
        1.0,
        Number("Max-norm c", "Largest norm of a unit's incoming weights, for the max-norm variant alone.", "Decay",
               1e-3, 100, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)),
    )  # fmt: skip
    variants: tuple[str, ...] = _knob(
        ("sgd", "sgd_l2", "sgdw", "adam", "adam_l2", "adamw"),
        Names("Variants", "Optimizers to train side by side from the same initial weights.", "Decay",
              {key: variant.title for key, variant in VARIANTS.items()}),
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, knob in KNOBS.items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, knob.check(value))
            except ValueError as error:
                raise ValueError(f"{name} {error}, not {value!r}.") from None

    @property
    def chosen(self) -> list[Variant]:
        """The registry entries of the experiment's variants."""
        return [VARIANTS[key] for key in self.variants]

    @property
    def parameters(self) -> int:
        """Number of trained parameters of one model, P."""
        sizes = (2, *self.hidden, 1)
        norms = 2 * sum(self.hidden) if self.layer_norm else 0
        return sum((before + 1) * after for before, after in pairwise(sizes)) + norms

    @property
    def batch(self) -> int:
        """Points that one step sees: the batch size, at most N."""
        return min(self.batch_size or self.points, self.points)

    @property
    def cost(self) -> float:
        """Multiply-adds of a training, about: steps × models × (points a step × parameters × 6, the optimizer's work on
        every parameter, and the calls themselves)."""
        return self.steps * len(self.variants) * ((6.0 * self.batch + 120) * self.parameters + 4e4)

    def lr_of(self, variant: Variant) -> float:
        """η of one variant: ``lr_adaptive`` where its step is divided by a gradient scale, else ``lr``."""
        return self.lr_adaptive if variant.adaptive else self.lr

    def weight_decay_of(self, variant: Variant) -> float:
        """λ of one variant; under matched shrink the λ that takes the same fraction off a weight in a step."""
        if not variant.has_weight_decay:
            return 0.0
        if not variant.adaptive:
            return self.weight_decay
        if self.weight_decay_adaptive is not None:
            return self.weight_decay_adaptive
        return self.weight_decay * self.lr / (self.lr_adaptive if variant.shrinks_by_lr else 1.0)

    def shrink_of(self, variant: Variant) -> float:
        """The fraction that one step of decay takes off a weight at the schedule's largest η: ηλ, or λ in the paper's
        form; 0 where λ takes no fixed fraction of the weight."""
        if variant.where not in ("gradient", "weight"):
            return 0.0
        longer = 1 - self.momentum if variant.uses("shrink_weights", over_momentum=True) else 1.0
        return self.weight_decay_of(variant) * (self.lr_of(variant) if variant.shrinks_by_lr else 1.0) / longer

    def schedule_of_steps(self) -> NDArray:
        """The schedule multiplier s_t = η_t/η_max of every step, (steps,)."""
        return multipliers(self.schedule, self.steps)

    def shrinks_of(self, variant: Variant, normalised: bool = False) -> NDArray:
        """The fraction that decay takes off at every step, (steps,): η_tλ, s_tλ in the paper's form.

        Args:
            variant: of the registry.
            normalised: of a weight that feeds LayerNorm, which AdamC decays by η_t s_t λ.
        """
        s = self.schedule_of_steps()
        corrected = normalised and variant.uses("shrink_weights", corrected=True)
        return self.shrink_of(variant) * (s * s if corrected else s)

    def snippet_of(self, variant: Variant) -> str:
        """The training loop of one variant in PyTorch, as this experiment trains it."""
        nesterov = self.nesterov and self.momentum > 0  # torch refuses Nesterov without momentum
        return variant.snippet(nesterov, SCHEDULES[self.schedule].code)

    def to_query(self) -> dict[str, str]:
        """The experiment as URL parameters: a version and every knob that is not at its default."""
        query = {"v": URL_VERSION}
        for name, knob in KNOBS.items():
            if getattr(self, name) != getattr(type(self), name):
                query[name] = knob.write(getattr(self, name))
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str | Sequence[str]]) -> tuple[Experiment, list[str]]:
        """Read URL parameters: never raises; what cannot be used is dropped or clamped, with a notice each.

        Args:
            query: parameter name to text, or to a list of texts where a name is repeated (the last counts).

        Returns:
            The experiment and a list of sentences, one for each parameter that was not taken as it was written.
        """
        values: dict[str, Any] = {}
        notices: list[str] = []
        for name, raw in query.items():
            texts = [raw] if isinstance(raw, str) else list(raw)
            if len(texts) > 1:
                notices.append(f"The link gives `{shown(name)}` {len(texts)} times; the last one counts.")
            if texts:
                notices += _read(*_OLD.get((name, texts[-1]), (name, texts[-1])), values)
        return cls(**values).within_budget(notices)

    def within_budget(self, notices: list[str] | None = None) -> tuple[Experiment, list[str]]:
        """The experiment with its steps cut so that ``cost`` stays within VISITOR_BUDGET, and the notices so far."""
        (chosen,), more = budgeted([self])
        return chosen, [*(notices or []), *more]


def budgeted(
    experiments: Sequence[Experiment], times: int = 1, budget: float = VISITOR_BUDGET
) -> tuple[list[Experiment], list[str]]:
    """Experiments of one batch, steps cut so that together, so many times, they stay in budget; and why, if so."""
    cost, one = times * sum(experiment.cost for experiment in experiments), experiments[0]
    if cost <= budget:
        return list(experiments), []
    steps = max(1, int(one.steps * budget / cost))
    steps -= steps % 10 ** max(0, len(str(steps)) - 2)  # two digits are enough for a cut
    models = times * sum(len(experiment.variants) for experiment in experiments)
    notice = (
        f"{one.steps} steps × {models:,} models × {one.batch} points × {one.parameters} parameters "
        f"is more than this page trains at once; using {steps} steps."
    )
    return [replace(experiment, steps=steps) for experiment in experiments], [notice]


def _knobs() -> Iterator[tuple[str, Knob]]:
    for entry in fields(Experiment):
        yield entry.name, entry.metadata["knob"]


KNOBS: dict[str, Knob] = dict(_knobs())


def shown(text: str, length: int = 40) -> str:
    """Foreign text made safe to show in a sentence between backticks: printable, one line, no backticks, short."""
    clean = "".join(c if c.isprintable() and c != "`" else "·" for c in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def _read(name: str, text: str, values: dict[str, Any]) -> list[str]:
    """Put the value of one URL parameter into ``values``, or say why not."""
    if name == "v":
        return [] if text == URL_VERSION else [f"The link is of version `{shown(text)}`; read as {URL_VERSION}."]
    if name not in KNOBS:
        return [f"The link's `{shown(name)}` is not a knob of this app; it is ignored."]
    knob = KNOBS[name]
    try:
        value = knob.read(text)
        clamped = knob.clamp(value)
        values[name] = knob.check(clamped)
    except (ValueError, OverflowError):
        values.pop(name, None)
        default = knob.write(getattr(Experiment, name)) if getattr(Experiment, name) is not None else "the default"
        return [f"The link's `{name}={shown(text)}` cannot be used; using {default}."]
    if clamped != value:
        return [f"The link's `{name}={shown(text)}` is out of bounds; using {knob.write(clamped)}."]
    return []
