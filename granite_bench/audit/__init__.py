"""
Published tables against raw results: what agrees, what differs, and why.

    cells = audit([Path("published/r1_t02.csv")], [Path("mteb-results/results")])
    summary = summarize(cells)

published.py reads the CSV, columns.py says what its columns name, raw.py looks that up, cases.py
compares, rows.py checks the tables against themselves, causes.py explains. Pure reading: mteb is
imported only where a size is audited and its metadata are not in the cache yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from granite_bench.audit.cases import DIFFERS, VERDICTS, Case, Cases, judge
from granite_bench.audit.causes import find_causes
from granite_bench.audit.columns import load_columns
from granite_bench.audit.published import read_published
from granite_bench.audit.quantities import Gap, Quantity, leaves
from granite_bench.audit.raw import FactsOf, RawResults
from granite_bench.audit.rows import contradictions, explained_row, not_its_row, row_mean
from granite_bench.errors import BadInput, Fault, gathered
from granite_bench.results.tree import Result, read_results
from granite_bench.tables.model_facts import facts_of

__all__ = [
    "VERDICTS",
    "AuditedCell",
    "Contradiction",
    "Summary",
    "audit",
    "summarize",
]


@dataclass(frozen=True)
class AuditedCell:
    """
    One printed cell, judged.

    Attributes:
        printed: the digits as they are printed.
        reproduced: from the raw results, in the unit of the column; None unless all of it is
            there.
        difference: printed less reproduced.
        verdict: agrees, differs, no-raw, raw-incomplete or related-only.
        cause: why it differs, or why there is nothing to compare with; empty when unknown.
        provenance: the results that the reproduced value comes from.
        note: the published file's own.
        row_mean: the mean of the average's own printed row, where the two do not fit.
        contradiction: the number of the contradiction that the cell is in; None for none.
    """

    source: str
    table: str
    model: str
    column: str
    unit: str
    printed: str
    reproduced: float | None
    difference: float | None
    verdict: str
    cause: str
    provenance: str
    note: str = ""
    row_mean: float | None = None
    contradiction: int | None = None


@dataclass(frozen=True)
class Contradiction:
    """One quantity of one model, printed differently: every cell that prints it."""

    cells: tuple[AuditedCell, ...]

    @property
    def values(self) -> dict[str, list[AuditedCell]]:
        """The printed values, each with the cells that print it."""
        found: dict[str, list[AuditedCell]] = {}
        for cell in self.cells:
            found.setdefault(cell.printed, []).append(cell)
        return found


@dataclass(frozen=True)
class Summary:
    """
    What an audit found.

    Attributes:
        cells: all of them.
        counts: verdict -> cells.
        tables: (source, table) -> verdict -> cells, in the order of the files.
        differing: the cells that differ, the farthest off first.
        wrong_averages: averages that their own printed rows refute.
        contradictions: scores and sizes first, then speeds and other things without raw results.
    """

    cells: Sequence[AuditedCell]
    counts: dict[str, int]
    tables: dict[tuple[str, str], dict[str, int]]
    differing: Sequence[AuditedCell]
    wrong_averages: Sequence[AuditedCell]
    contradictions: Sequence[Contradiction]


def audit(
    published: Sequence[Path],
    results: Sequence[Path],
    *,
    facts: FactsOf = facts_of,
) -> list[AuditedCell]:
    """
    Compare every printed cell with what the raw results give.

    A cell agrees when the reproduced value, rounded as the cell is printed, can read as it does:
    within half a unit of its last printed digit, ties included. A value that is printed with
    fewer digits than its neighbours is compared at its own digits (50 is anything from 49.5 to
    50.5). Scores are reproduced in points.

    Args:
        published: CSV files; a YAML of the same stem beside one declares its columns.
        results: results folders in mteb's layout.
        facts: what is known of a model's size; mteb's metadata.

    Returns:
        One AuditedCell per row of the files, in their order.

    Raises:
        BadInput: broken CSV or YAML files, or results; each with all of its faults.
    """
    cells = read_published(published)
    faults: list[Fault] = []
    columns = dict(
        gathered(dict.fromkeys(published), lambda path: (path, load_columns(path)), faults)
    )
    if faults:
        raise BadInput(faults)
    wanted = {
        columns[cell.path].resolve(cell.column, cell.unit, columns[cell.path].model(cell.model))
        for cell in cells
    }
    tasks = {name for quantity in wanted for name in _tasks(quantity)}
    for known in columns.values():
        tasks |= known.all_tasks()
    found: list[Result] = [result for folder in results for result in read_results(folder, tasks)]
    raw = RawResults(found, facts)
    cases = judge(cells, columns, raw)
    causes = find_causes(cases, raw)
    number_of = {
        id(case): number
        for number, contradicting in enumerate(contradictions(cases), start=1)
        for case in contradicting
    }
    return [_audited(case, cases, causes.get(id(case), ""), number_of) for case in cases.all]


def _tasks(quantity: Quantity) -> set[str]:
    inner = (quantity.quantity, quantity.other) if isinstance(quantity, Gap) else (quantity,)
    return {
        name
        for part in inner
        for leaf in leaves(part)
        for name in (leaf.task, *leaf.parts, *leaf.related)
    }


def _audited(case: Case, cases: Cases, cause: str, contradiction_of: dict[int, int]) -> AuditedCell:
    cell = case.cell
    row = row_mean(case, cases)
    wrong = row if row is not None and not row.fits(case) else None
    causes = [text for text in (case.remark, cause) if text]
    if wrong is not None:
        causes.insert(0, not_its_row(case, wrong))
        causes += explained_row(case, cases)
    reproduced = case.reproduced
    return AuditedCell(
        source=cell.source,
        table=cell.table,
        model=cell.model,
        column=cell.column,
        unit=cell.unit,
        printed=cell.printed,
        reproduced=reproduced,
        difference=None if reproduced is None else cell.value - reproduced,
        verdict=case.verdict,
        cause="; ".join(causes),
        provenance=case.value.provenance,
        note=cell.note,
        row_mean=wrong.mean if wrong is not None else None,
        contradiction=contradiction_of.get(id(case)),
    )


def summarize(cells: Sequence[AuditedCell]) -> Summary:
    """Counts per verdict and table, the cells that differ, wrong averages, contradictions."""
    tables: dict[tuple[str, str], Counter[str]] = {}
    groups: dict[int, list[AuditedCell]] = {}
    for cell in cells:
        tables.setdefault((cell.source, cell.table), Counter())[cell.verdict] += 1
        if cell.contradiction is not None:
            groups.setdefault(cell.contradiction, []).append(cell)
    counts = Counter(cell.verdict for cell in cells)
    differing = [cell for cell in cells if cell.verdict == DIFFERS]
    return Summary(
        cells=cells,
        counts={verdict: counts[verdict] for verdict in VERDICTS},
        tables={
            place: {verdict: found[verdict] for verdict in VERDICTS}
            for place, found in tables.items()
        },
        differing=sorted(differing, key=lambda cell: -abs(cell.difference or 0.0)),
        wrong_averages=[cell for cell in cells if cell.row_mean is not None],
        contradictions=[Contradiction(tuple(groups[number])) for number in sorted(groups)],
    )
