"""
A table as it is printed: heads, texts, what is marked; one source for every format.

Scores are fractions in files and times 100 here, with two decimals.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

HOLE = "–"
"""In place of a value that is not there."""


@dataclass(frozen=True)
class PrintedCell:
    """
    One cell.

    Attributes:
        text: what is printed.
        note: the provenance or the reason of a hole; empty where there is nothing to say.
        value: a number to sort by; None sorts last.
        place: 1 for the highest of its column, 2 for the second, 0 otherwise.
        partial: whether something is missing of it, or spoils it.
    """

    text: str
    note: str = ""
    value: float | None = None
    place: int = 0
    partial: bool = False


@dataclass(frozen=True)
class PrintedTable:
    """
    A table as it is printed: heads[i] is over rows[.][i]; subheads say the metric or the unit.

    Attributes:
        numeric: per column, whether it is aligned to the right.
        scores: per column, whether its values are scores (fractions, printed times 100).
        notes: sentences that belong under the table.
    """

    title: str
    heads: Sequence[str]
    subheads: Sequence[str]
    numeric: Sequence[bool]
    scores: Sequence[bool]
    rows: Sequence[Sequence[PrintedCell]]
    notes: Sequence[str]


def printed_table(
    title: str,
    heads: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[PrintedCell]],
    notes: Sequence[str],
    *,
    texts: Collection[str],
    scores: Collection[str] = (),
) -> PrintedTable:
    """
    A table by the names of its columns.

    Args:
        heads: each with the metric or unit under it.
        texts: heads of the columns of texts; the others are of numbers.
        scores: heads of the columns of scores.
    """
    return PrintedTable(
        title=title,
        heads=[head for head, _ in heads],
        subheads=[under for _, under in heads],
        numeric=[head not in texts for head, _ in heads],
        scores=[head in scores for head, _ in heads],
        rows=rows,
        notes=notes,
    )
