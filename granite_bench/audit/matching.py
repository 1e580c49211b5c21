"""
An alternative that reads as a cell is printed, and how easily it does so by chance.

Finders (other_quantities.py, slips.py) take a cell that differs and yield the alternatives of
one kind whose value reads exactly as printed. They count those they tried, because the more are
tried the sooner one fits by chance; causes.py weighs that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from granite_bench.audit.cases import Case, Cases
from granite_bench.audit.published import n_decimals
from granite_bench.audit.quantities import Fact, Gap, NoRaw
from granite_bench.audit.raw import RawResults, Value


@dataclass(frozen=True)
class Match:
    """
    An alternative that reads as the cell is printed.

    Attributes:
        kind: the finder's name (see causes.KINDS).
        key: cells of one table with the same kind and key have one cause.
        text: the cause in words.
        n_tried: alternatives of this kind that were looked at.
        share: the chance that one of them fits a value anywhere in its range.
    """

    kind: str
    key: tuple[str, ...]
    text: str
    n_tried: int = 1
    share: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything that an alternative may be looked up in."""

    cases: Cases
    raw: RawResults
    models: Sequence[str]


Finder = Callable[[Case, Scene], Iterator[Match]]
Option: TypeAlias = tuple[tuple[str, ...], float | None, str]
"""(key, value in the unit of the column, text)."""


def matching(kind: str, case: Case, options: Iterable[Option]) -> Iterator[Match]:
    """
    The options that read as the cell is printed.

    Args:
        options: all that were tried; those without a value do not count.
    """
    tried = [(key, value, text) for key, value, text in options if value is not None]
    values = [value for _, value, _ in tried] + [case.reproduced or 0.0]
    half = case.cell.half_unit
    spread = max(max(values) - min(values), 2 * case.off, 20 * half)
    for key, value, text in tried:
        if case.cell.agrees(value):
            yield Match(kind, key, text, len(tried), 2 * half / spread)


def scaled(case: Case, value: Value) -> float | None:
    """A value in the unit of the column."""
    return None if value.value is None else value.value * case.scale


def shown(case: Case, value: float | None) -> str:
    """One digit more than is printed."""
    return "" if value is None else f"{value:.{n_decimals(case.cell.printed) + 1}f}"


def is_score(case: Case) -> bool:
    """Whether the cell is a score, not a size or a difference."""
    return not isinstance(case.quantity, Fact | NoRaw | Gap)
