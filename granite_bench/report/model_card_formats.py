"""A model's card as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterator

from granite_bench.errors import plain
from granite_bench.report.model_card import ModelCard, ScoreLine
from granite_bench.report.printed_table import PrintedTable
from granite_bench.report.text import as_latex as table_as_latex
from granite_bench.report.text import as_markdown as table_as_markdown
from granite_bench.report.text import csv_text, markdown_text


def as_markdown(card: ModelCard) -> str:
    """The evaluation section of a README.md: the findings as a list, then every table."""
    lines = [f"# {markdown_text(card.title)}", ""]
    lines += [f"- {markdown_text(line)}" for line in card.findings]
    for table in _tables(card):
        lines += ["", f"## {markdown_text(table.title)}", "", table_as_markdown(table).rstrip("\n")]
    return "\n".join(lines) + "\n"


def as_latex(card: ModelCard) -> str:
    """The tables of scores, curves and speeds, each with its title in a comment before it."""
    tables = [
        f"% {plain(table.title)}\n{table_as_latex(table)}"
        for table in _tables(card, provenance=False)
    ]
    return "\n".join(["\n".join(f"% {plain(line)}" for line in card.findings), *tables])


def as_csv(card: ModelCard) -> str:
    """Every score of every table in one, unrounded: fractions, a row for each suite and line."""
    rows = [
        _csv_row(card, each.suite.name, breakdown.by, line)
        for each in card.suites
        for breakdown in each.breakdowns
        for line in breakdown.lines
    ]
    return csv_text(_CSV_HEADS, rows)


_CSV_HEADS = (
    "model", "suite", "by", "name", "metric", "other", "against", "score", "n_there", "n_expected",
    "n_queries", "best_other", "against_score", "difference",
)  # fmt: skip


def _csv_row(card: ModelCard, suite: str, by: str, line: ScoreLine) -> list[str | float | None]:
    return [
        card.model,
        suite,
        by,
        line.name,
        line.metric,
        line.other,
        card.against,
        line.score,
        line.cell.n_there,
        line.cell.n_expected,
        line.n_queries,
        line.best_other,
        line.against,
        line.change,
    ]


def _tables(card: ModelCard, *, provenance: bool = True) -> Iterator[PrintedTable]:
    """Every table, suite by suite, where the scores come from at the end."""
    for each in card.suites:
        yield from (breakdown.table for breakdown in each.breakdowns)
        yield from each.curves
    if card.speeds is not None:
        yield card.speeds
    if provenance:
        yield from (each.provenance for each in card.suites)
