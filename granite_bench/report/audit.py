"""
An audit as text for a terminal, as one HTML file, and as CSV with one row per printed cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rich.console import Console
from rich.text import Text

from granite_bench.audit import (
    VERDICTS,
    AuditedCell,
    Contradiction,
    Summary,
)
from granite_bench.report.frame import render
from granite_bench.report.text import as_printed, csv_text, print_grid

AuditForm: TypeAlias = Literal["terminal", "html", "csv"]

COLUMNS = (
    "source", "table", "model", "column", "unit", "printed", "reproduced", "difference", "verdict",
    "cause", "provenance",
)  # fmt: skip

MEANINGS: Mapping[str, str] = {
    "agrees": "the raw results, rounded as printed, give the printed digits",
    "differs": "the raw results give something else",
    "no-raw": "no public raw results",
    "raw-incomplete": "some of the raw results are missing",
    "related-only": "only a related task has raw results",
}

_SHOWN = 40


def finding(summary: Summary) -> str:
    """What the audit found, in a sentence."""
    n_cells, n_compared = len(summary.cells), summary.counts["agrees"] + summary.counts["differs"]
    if not n_compared:
        return f"None of {n_cells:,} printed cells has complete raw results."
    return (
        f"{summary.counts['agrees']:,} of the {n_compared:,} printed cells that have complete raw "
        f"results agree with them; {summary.counts['differs']:,} differ, and "
        f"{sum(bool(cell.cause) for cell in summary.differing):,} of those have a likely cause."
    )


def as_csv(cells: Iterable[AuditedCell]) -> str:
    """One row per printed cell, in the order of the files; numbers with six decimals at most."""
    return csv_text(
        COLUMNS,
        (
            [
                round(value, 6) if isinstance(value, float) else value
                for value in (getattr(cell, name) for name in COLUMNS)
            ]
            for cell in cells
        ),
    )


def as_text(summary: Summary) -> str:
    """What a terminal shows, without colours."""
    return as_printed(lambda console: print_audit(summary, console))


def print_audit(summary: Summary, console: Console) -> None:
    """Print the counts, wrong averages, contradictions, the cells farthest off, every table."""
    console.print(Text(finding(summary), style="bold"))
    _print_grid(
        console,
        "Verdicts",
        ("verdict", "cells", ""),
        [(name, f"{summary.counts[name]:,}", MEANINGS[name]) for name in VERDICTS],
    )
    _print_grid(
        console,
        "Averages that are not the mean of their own printed row",
        ("table", "model", "column", "printed", "mean of the row"),
        [
            (cell.table, cell.model, cell.column, cell.printed, f"{cell.row_mean:.3f}")
            for cell in summary.wrong_averages
        ],
    )
    _print_grid(
        console,
        "One quantity printed differently",
        ("model", "column", "printed", "by"),
        [line for found in summary.contradictions for line in _contradiction(found)],
    )
    shown = summary.differing[:_SHOWN]
    more = len(summary.differing) - len(shown)
    title = "Cells that differ, the farthest off first" + (
        f" ({len(shown)} of {len(summary.differing)}; --format html or csv has all)" if more else ""
    )
    heads = ("table", "model", "column", "printed", "reproduced", "likely cause")
    _print_grid(console, title, heads, [_differing(cell) for cell in shown])
    _print_grid(
        console,
        "By table",
        ("table", *VERDICTS),
        [
            (table, *(str(counts[verdict]) for verdict in VERDICTS))
            for (_, table), counts in summary.tables.items()
        ],
    )


def _contradiction(found: Contradiction) -> list[tuple[str, ...]]:
    """A line per printed value; the first says of what."""
    first = found.cells[0]
    lines = [
        (printed, ", ".join(dict.fromkeys(cell.table for cell in cells)))
        for printed, cells in found.values.items()
    ]
    heads = [(first.model, f"{first.column} ({first.unit})")]
    heads += [("", "")] * (len(lines) - 1)
    return [(*head, *line) for head, line in zip(heads, lines, strict=True)]


def _differing(cell: AuditedCell) -> tuple[str, ...]:
    cause = cell.cause or "unknown"
    return cell.table, cell.model, cell.column, cell.printed, _digits(cell), cause


def _digits(cell: AuditedCell) -> str:
    """The reproduced value with two digits more than are printed."""
    if cell.reproduced is None:
        return ""
    return f"{cell.reproduced:.{len(cell.printed.partition('.')[2]) + 2}f}"


_NUMBERS = {"cells", "printed", "reproduced", "mean of the row", *VERDICTS}


def _print_grid(
    console: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    if rows:
        print_grid(console, title, heads, rows, _NUMBERS)


@dataclass(frozen=True)
class _Line:
    """A cell as it stands on the page."""

    cell: AuditedCell
    reproduced: str
    difference: str


def audit_page(summary: Summary) -> str:
    """The audit as one HTML file; the same audit makes the same bytes."""
    return render(
        "audit.html.j2",
        summary=summary,
        finding=finding(summary),
        meanings=MEANINGS,
        verdicts=VERDICTS,
        differing=[_line(cell) for cell in summary.differing],
        cells=[_line(cell) for cell in summary.cells],
    )


def _line(cell: AuditedCell) -> _Line:
    difference = "" if cell.difference is None else f"{cell.difference:+.3f}"
    return _Line(cell, _digits(cell), difference)
