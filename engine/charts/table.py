"""Tables of fields: which run and variant each cell shows. The signature table is one of them."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray

from engine.charts.theme import WHERE_TITLE
from engine.measure import pair_difference, pairs
from engine.run import Run
from engine.variants import Variant, Where

COLUMNS: tuple[Where, ...] = ("none", "gradient", "weight")


@dataclass(frozen=True)
class Cell:
    """One field of a table: a variant of a run, and what it is called."""

    run: Run
    variant: Variant
    title: str

    @property
    def index(self) -> int:
        """The variant's index on the run's film."""
        return self.run.row(self.variant.key)


@dataclass(frozen=True)
class Line:
    """One row of a table: its title, notes under it, and a cell or None for each column.

    ``pair`` are two neighbouring cells that the row compares, L2 and decay, or None.
    """

    title: str
    notes: list[str]
    cells: tuple[Cell | None, ...]
    pair: tuple[Cell, Cell] | None = None


@dataclass(frozen=True)
class Table:
    """Fields side by side that are scrubbed together; the runs in it share data and recorded steps.

    Attributes:
        columns: title and palette colour of each column.
        rows: from top to bottom, at least one with a cell.
        paired: keeps room for = or ≠ between the second and the third column.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[Line, ...]
    paired: bool = True

    @property
    def cells(self) -> list[Cell]:
        """All cells, left to right and top to bottom."""
        return [cell for row in self.rows for cell in row.cells if cell]


def apart(row: Line, frames: slice) -> NDArray:
    """max|Δw| between the two cells that a row compares, at recorded steps (T,)."""
    assert row.pair
    l2, decay = row.pair
    return pair_difference(l2.run, l2.variant, decay.variant, frames)


def signature_table(run: Run) -> Table:
    """The signature table of a run: rows are optimizers, columns say where λ enters."""
    known = {(a.key, b.key) for a, b in pairs(run)}
    rows = []
    for title, line in signature_rows(run):
        cells = tuple(Cell(run, variant, variant.title) if variant else None for variant in line)
        _, l2, decay = cells
        paired = l2 and decay and (l2.variant.key, decay.variant.key) in known
        rows.append(Line(title, notes(run, line), cells, (l2, decay) if l2 and decay and paired else None))
    return Table(signature_columns(run), tuple(rows))


def signature_columns(run: Run) -> tuple[tuple[str, str], ...]:
    """Title and colour of the signature table's columns."""
    only_others = all(variant.where == "other" for variant in run.experiment.chosen)
    return tuple((WHERE_TITLE["other"], "other") if only_others else (WHERE_TITLE[where], where) for where in COLUMNS)


def signature_rows(run: Run) -> list[tuple[str, list[Variant | None]]]:
    """The rows of the signature table: (optimizer, a variant or None for each column).

    A family with two variants in one column gets a second row, named after the variant. Other priors and constraints
    have no column: they come last, three in a row, and their cells say their names.
    """
    rows: list[tuple[str, list[Variant | None]]] = []
    families: dict[str, list[Variant]] = {}
    others = [variant for variant in run.experiment.chosen if variant.where == "other"]
    for variant in run.experiment.chosen:
        if variant not in others:
            families.setdefault(variant.family, []).append(variant)
    for family, members in families.items():
        placed: list[list[Variant | None]] = [[None] * len(COLUMNS)]
        for variant in members:
            column = COLUMNS.index(variant.where)
            line = next((line for line in placed if line[column] is None), None)
            if line is None:
                line = [None] * len(COLUMNS)
                placed.append(line)
            line[column] = variant
        rows.append((family, placed[0]))
        rows += [(next(v.title for v in line if v), line) for line in placed[1:]]
    for start in range(0, len(others), len(COLUMNS)):
        three = others[start : start + len(COLUMNS)]
        rows.append(("Other priors", [*three, *[None] * (len(COLUMNS) - len(three))]))
    return rows


def divergence_note(run: Run, variant: Variant) -> str | None:
    """The words "diverged at step k: ηλ = …, factor 1 − ηλ = …", or None for a run that stayed finite."""
    step = run.diverged[variant.key]
    if step is None:
        return None
    shrink = run.experiment.shrink_of(variant)
    cause = (
        f"ηλ = {shrink:.3g}, factor 1 − ηλ = {1 - shrink:.3g}" if shrink else f"η = {run.experiment.lr_of(variant):g}"
    )
    return f"diverged at step {step}: {cause}"


def notes(run: Run, line: list[Variant | None]) -> list[str]:
    """η, λ and ηλ of a row, as short lines."""
    experiment = run.experiment
    present = [variant for variant in line if variant]
    notes = [f"η = {experiment.lr_of(present[0]):g}"]
    if any(variant.has_momentum for variant in present):
        notes.append(f"μ = {experiment.momentum:g}")
    decaying = next((variant for variant in present if variant.has_weight_decay), None)
    if any(variant.uses("project_units") for variant in present):
        notes.append(f"c = {experiment.max_norm:g}")
    if decaying:
        notes.append(f"λ = {experiment.weight_decay_of(decaying):.3g}")
    return notes
