"""
Which neighbours in a ranking can be told apart: each ranked row against the one above it.

A rank says which average is higher as printed, and nothing of how far chance could have moved it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from granite_bench.comparison.differences import ALPHA, Comparison, compare_scores
from granite_bench.comparison.measured import measured_rows
from granite_bench.printed import some
from granite_bench.tables.table import Table


@dataclass(frozen=True)
class Separation:
    """
    A ranked row and the one above it.

    Attributes:
        above, model: names of the two rows.
        p: that their averages are equal, by the paired randomisation test; None where it was not
            tested.
        why_not: why it was not; empty where it was.
    """

    above: str
    model: str
    p: float | None
    why_not: str = ""

    @property
    def inseparable(self) -> bool:
        """Whether the test does not tell the two apart."""
        return self.p is not None and self.p >= ALPHA


def separations_of(table: Table) -> list[Separation]:
    """
    Each ranked row of a suite's table against the ranked row above it, in their order.

    Rows without a rank take no part. Not corrected for the number of pairs: a correction would
    call more neighbours inseparable.

    Raises:
        BadInput: rows per query that cannot be read, or are not those of their result; all named.
    """
    measured = measured_rows((row for row in table.rows if row.rank is not None), table.suite)
    return [
        _separation(compare_scores(one, other, table.suite)) for one, other in pairwise(measured)
    ]


def _separation(found: Comparison) -> Separation:
    above, model = found.one.model, found.other.model
    if found.unlike:
        return Separation(above, model, None, some([str(each) for each in found.unlike], 1))
    if found.average is None or found.average.p is None:
        return Separation(above, model, None, _without_queries(found))
    return Separation(above, model, found.average.p)


def _without_queries(found: Comparison) -> str:
    """Whose results have no scores per query, of which evaluations."""
    sides = [
        (side.model, [e.label for e, each in side.evaluations.items() if each.queries is None])
        for side in (found.one, found.other)
    ]
    lacking = [f"of {model} for {some(labels, 1)}" for model, labels in sides if labels]
    return f"no scores per query {' and '.join(lacking)}"
