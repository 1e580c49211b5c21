"""
What printed tables say of themselves: averages against their own rows, one value in two places.

Nothing here needs a raw result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from granite_bench.audit.cases import Case, Cases
from granite_bench.audit.published import n_decimals
from granite_bench.audit.quantities import (
    Fact,
    Gap,
    NoRaw,
    Quantity,
    TaskScore,
    leaves,
    parts_of,
)

_FLOAT_SLACK = 1e-9


@dataclass(frozen=True)
class RowMean:
    """
    The mean of the printed cells that an average is made of.

    Attributes:
        mean: of the printed values.
        half_unit: how far rounding of the parts can have moved it, at most.
        parts: the cells.
    """

    mean: float
    half_unit: float
    parts: tuple[Case, ...]

    def fits(self, average: Case) -> bool:
        """Whether rounding alone can make the average of these cells look as it is printed."""
        bound = average.cell.half_unit + self.half_unit + _FLOAT_SLACK
        return abs(self.mean - average.cell.value) <= bound


def row_mean(average: Case, cases: Cases) -> RowMean | None:
    """
    The mean of an average's own printed row; None unless the row has all of its parts.

    The parts may be printed as groups (an average per type under the average of all tasks);
    each then counts as often as it has tasks.
    """
    row = [case for case in cases.row(average) if case.cell is not average.cell]
    parts = parts_of(average.quantity)
    if not parts:
        return None
    single = [_printed(part, row) for part in parts]
    found = [case for case in single if case is not None]
    if len(found) == len(parts):
        return _weighted([(case, 1) for case in found])
    return _of_groups(average, row)


def _printed(part: Quantity, row: Sequence[Case]) -> Case | None:
    wanted = _apart_from_metric(part)
    return next((case for case in row if _apart_from_metric(case.quantity) == wanted), None)


def _apart_from_metric(quantity: Quantity) -> Quantity:
    """Accuracy@1 of a task is printed under its own name and averaged as nDCG@1: one column."""
    return replace(quantity, metric="") if isinstance(quantity, TaskScore) else quantity


def _of_groups(average: Case, row: Sequence[Case]) -> RowMean | None:
    wanted = {_apart_from_metric(leaf) for leaf in leaves(average.quantity)}
    chosen: list[tuple[Case, int]] = []
    covered: set[Quantity] = set()
    for case in sorted(row, key=lambda case: len(leaves(case.quantity))):
        group = {_apart_from_metric(leaf) for leaf in leaves(case.quantity)}
        if group and group < wanted and not group & covered:
            chosen.append((case, len(group)))
            covered |= group
    return _weighted(chosen) if wanted and covered == wanted else None


def _weighted(parts: Sequence[tuple[Case, int]]) -> RowMean:
    total = sum(weight for _, weight in parts)
    mean = sum(case.cell.value * weight for case, weight in parts) / total
    half = sum(case.cell.half_unit * weight for case, weight in parts) / total
    return RowMean(mean, half, tuple(case for case, _ in parts))


def not_its_row(average: Case, row: RowMean) -> str:
    """The sentence for an average that its own row refutes."""
    digits = n_decimals(average.cell.printed) + 2
    return (
        "printed average is not the mean of its own printed row: "
        f"{average.cell.printed} vs {row.mean:.{digits}f}"
    )


def explained_row(average: Case, cases: Cases) -> list[str]:
    """Other averages of a similar name, over the same printed row, that read as this one does."""
    texts = []
    for name in average.columns.family(average.cell.column):
        like = replace(average, quantity=average.columns.resolve(name, "mean"))
        row = row_mean(like, cases)
        if row is not None and average.cell.agrees(row.mean):
            texts.append(f"the {name} of the same row is {row.mean:.2f}")
    return texts


def contradictions(cases: Cases) -> list[list[Case]]:
    """
    The same quantity of the same model with printed values that rounding cannot reconcile.

    A value with fewer digits stands for any that rounds to it: 65 and 65.2 agree, 65.1 and 65.2
    do not.

    Returns:
        Of each every cell that prints it, in the order of the files. Scores and sizes first:
        speeds change with what they were measured on.
    """
    found: dict[tuple[object, ...], list[Case]] = {}
    for case in cases.all:
        if not isinstance(case.quantity, Gap):
            unit = case.cell.unit if isinstance(case.quantity, NoRaw | Fact) else ""
            found.setdefault((case.model, case.quantity, unit), []).append(case)
    contradicting = [
        group
        for group in found.values()
        if not all(_same(one, other) for one in group for other in group)
    ]
    return sorted(contradicting, key=lambda group: isinstance(group[0].quantity, NoRaw))


def _same(one: Case, other: Case) -> bool:
    bound = max(one.cell.half_unit, other.cell.half_unit) + _FLOAT_SLACK
    return abs(one.cell.value - other.cell.value) <= bound
