"""
Printed cells + raw results -> cases: what each cell names, its reproduced value, the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from granite_bench.audit.columns import FACT_UNITS, Columns
from granite_bench.audit.published import PublishedCell
from granite_bench.audit.quantities import (
    Fact,
    Gap,
    Mean,
    NoRaw,
    Quantity,
    TaskScore,
    leaves,
    with_variant,
)
from granite_bench.audit.raw import NOTHING, RawResults, Value
from granite_bench.printed import some

AGREES = "agrees"
DIFFERS = "differs"
NO_RAW = "no-raw"
RAW_INCOMPLETE = "raw-incomplete"
RELATED_ONLY = "related-only"
VERDICTS = (AGREES, DIFFERS, NO_RAW, RAW_INCOMPLETE, RELATED_ONLY)

_MOST_NAMED = 3
"""Tasks or evaluations that a sentence names."""


@dataclass(frozen=True)
class Case:
    """
    One printed cell and what the raw results say of it.

    Attributes:
        model: the id that the printed name stands for.
        reproduced: in the unit of the column; None unless all of it is there.
        remark: why there is no reproduced value.
    """

    cell: PublishedCell
    columns: Columns
    model: str
    quantity: Quantity
    scale: float
    value: Value
    verdict: str
    remark: str = ""

    @cached_property
    def reproduced(self) -> float | None:
        """The raw value in the unit of the column: points for scores."""
        return None if self.value.value is None else self.value.value * self.scale

    @property
    def off(self) -> float:
        """How far the printed value is from the reproduced one."""
        return 0.0 if self.reproduced is None else abs(self.cell.value - self.reproduced)


class Cases:
    """
    All cases, by row, by column of a table, and by table; in the order of the files.

    Attributes:
        all: every case.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.all = cases
        self._rows: dict[tuple[str, str, str], list[Case]] = {}
        self._columns: dict[tuple[str, str, str, str], list[Case]] = {}
        self._tables: dict[tuple[str, str], list[Case]] = {}
        self._models: dict[str, list[Case]] = {}
        for case in cases:
            cell = case.cell
            self._rows.setdefault(cell.row, []).append(case)
            self._columns.setdefault((*cell.place, cell.column, cell.unit), []).append(case)
            self._tables.setdefault(cell.place, []).append(case)
            self._models.setdefault(case.model, []).append(case)

    def row(self, case: Case) -> list[Case]:
        """The cells of the same model in the same table, itself among them."""
        return self._rows[case.cell.row]

    def column(self, case: Case) -> list[Case]:
        """The cells of the same column of the same table, itself among them."""
        cell = case.cell
        return self._columns[(*cell.place, cell.column, cell.unit)]

    def table(self, case: Case) -> list[Case]:
        """The cells of the same table, itself among them."""
        return self._tables[case.cell.place]

    def of_model(self, model: str) -> list[Case]:
        """The cells of a model in every table."""
        return self._models.get(model, [])


def judge(
    cells: Iterable[PublishedCell], columns: Mapping[Path, Columns], raw: RawResults
) -> Cases:
    """
    Find what each cell names, look it up, compare.

    Args:
        columns: per published file, what its columns name.
    """
    return Cases([_case(cell, columns[cell.path], raw) for cell in cells])


def _case(cell: PublishedCell, columns: Columns, raw: RawResults) -> Case:
    model = columns.model(cell.model)
    quantity = _own(columns.resolve(cell.column, cell.unit, model), model, raw)
    scale = FACT_UNITS[quantity.name][cell.unit] if isinstance(quantity, Fact) else 100.0
    value = raw.value(model, quantity) if model else NOTHING
    verdict, remark = _verdict(cell, model, quantity, value, scale, raw)
    return Case(cell, columns, model, quantity, scale, value, verdict, remark)


def _verdict(
    cell: PublishedCell,
    model: str,
    quantity: Quantity,
    value: Value,
    scale: float,
    raw: RawResults,
) -> tuple[str, str]:
    if isinstance(quantity, NoRaw):
        return NO_RAW, quantity.reason
    if value.value is not None:
        return AGREES if cell.agrees(value.value * scale) else DIFFERS, ""
    if value.n_there:
        text = f"{value.n_there} of {value.n_expected} evaluations are there"
        return RAW_INCOMPLETE, f"{text}; missing: {some(value.missing, _MOST_NAMED)}"
    if isinstance(quantity, Fact):
        return NO_RAW, f"mteb's metadata has no {quantity.name.replace('_', ' ')} of it"
    if not raw.has(model):
        return NO_RAW, "no results of this model"
    related = related_values(model, quantity, raw)
    if related:
        return RELATED_ONLY, f"only a related task has results: {related}"
    return NO_RAW, f"no results of {_names(quantity)}"


def _names(quantity: Quantity) -> str:
    tasks = dict.fromkeys(
        leaf.task + "".join(f" with {key} {value}" for key, value in leaf.variant)
        for part in (quantity, getattr(quantity, "quantity", quantity))
        for leaf in leaves(part)
    )
    return some(list(tasks), _MOST_NAMED)


def related_values(model: str, quantity: Quantity, raw: RawResults) -> str:
    """Related tasks that have results, with their scores; empty when there are none."""
    texts = []
    for leaf in leaves(quantity):
        for name in leaf.related:
            other = TaskScore(name, leaf.metric, (), _narrow(leaf.subsets), (), leaf.variant)
            value = raw.value(model, other)
            if value.value is not None:
                place = f"[{leaf.subsets[0]}]" if _narrow(leaf.subsets) else ""
                texts.append(f"{name}{place} {value.value * 100:.2f}")
    return some(texts, _MOST_NAMED)


def _narrow(subsets: tuple[str, ...]) -> tuple[str, ...]:
    """One subset of several is meant; *default* or all of them need no naming."""
    return subsets if len(subsets) == 1 and subsets != ("default",) else ()


def _own(quantity: Quantity, model: str, raw: RawResults) -> Quantity:
    """A model at its own dimension or its own maximum length is the model itself."""
    if isinstance(quantity, Gap):
        return replace(
            quantity,
            quantity=_own(quantity.quantity, model, raw),
            other=_own(quantity.other, quantity.other_model or model, raw),
        )
    found = leaves(quantity)
    if not isinstance(quantity, Mean | TaskScore) or not found or not found[0].variant:
        return quantity
    facts = {"embed_dim": "embedding_size", "max_length": "max_tokens"}
    for setting, number in found[0].variant:
        own = raw.value(model, Fact(facts[setting])).value if setting in facts else None
        if own is None or number != f"{own:.0f}":
            return quantity
    return with_variant(quantity, ())
