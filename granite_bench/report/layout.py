"""A table of scores, laid out: its columns, its notes, and the finding in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from granite_bench.printed import p_text, score_text, some
from granite_bench.report.columns import (
    INSEPARABLE,
    PARTIAL,
    WARNED,
    Column,
    average_column,
    fact_columns,
    rank_column,
    record_columns,
    score_column,
    separation_column,
    speed_columns,
    speed_mark,
)
from granite_bench.report.printed_table import PrintedCell, PrintedTable
from granite_bench.results.speed_columns import protocol_labels
from granite_bench.tables.selection import RULE
from granite_bench.tables.table import Row, Table

if TYPE_CHECKING:
    from granite_bench.comparison.separation import Separation


def lay_out(table: Table, separations: Sequence[Separation] = ()) -> PrintedTable:
    """
    The page of a table; the same results make the same page.

    Args:
        separations: whether neighbours can be told apart, where that was asked.
    """
    columns = [
        rank_column(separations),
        Column("Model", "", lambda row: PrintedCell(row.model, _model_note(row)), numeric=False),
        *(fact_columns(table) if table.options.facts else ()),
        Column("Suites" if table.is_overview else "Tasks", "n/N", completeness),
        average_column(table),
        *([separation_column(separations)] if separations else ()),
        *(score_column(table, column, metric) for column, metric in table.columns.items()),
        *speed_columns(table),
        *record_columns(table),
    ]
    return PrintedTable(
        title=table.suite.title,
        heads=[column.head for column in columns],
        subheads=[column.subhead for column in columns],
        numeric=[column.numeric for column in columns],
        scores=[column.is_score for column in columns],
        rows=[[column.cell(row) for column in columns] for row in table.rows],
        notes=[*_separation_notes(separations), *_notes(table)],
    )


def headline(table: Table, separations: Sequence[Separation] = ()) -> str:
    """The finding in one sentence; with *separations*, whether the lead is beyond noise."""
    ranked = [row for row in table.rows if row.rank is not None]
    n_tasks = len(table.suite.tasks)
    what = "suites" if table.is_overview else "tasks"
    scope = f"over {n_tasks} {what}" if n_tasks > 1 else f"on {table.suite.tasks[0].name}"
    if not ranked:
        return f"No model is complete {scope} yet, so there is no ranking."
    first, score = ranked[0], score_text(ranked[0].average or 0.0)
    if len(ranked) == 1:
        return f"{first.model} scores {score} {scope}."
    second = ranked[1]
    lead = (first.average or 0.0) - (second.average or 0.0)
    if round(lead * 100, 2) == 0:
        return f"{first.model} and {second.model} are level at {score} {scope}."
    noise = ""
    if separations and separations[0].p is not None and separations[0].inseparable:
        noise = f", which is no difference beyond noise (p {p_text(separations[0].p)})"
    ahead = f"{score_text(lead)} ahead of {second.model}"
    return f"{first.model} leads with {score} {scope}, {ahead}{noise}."


def completeness(row: Row) -> PrintedCell:
    """How many tasks (or suites) of how many are complete."""
    text = f"{row.n_complete}/{row.n_tasks}"
    return PrintedCell(text, value=row.n_complete, partial=not row.complete)


def _model_note(row: Row) -> str:
    note = f"revision {row.revision}" if row.revision else "no results"
    if row.other_revisions:
        note += f"; {len(row.other_revisions)} results of other revisions"
    return note


def _separation_notes(separations: Sequence[Separation]) -> list[str]:
    """What the mark of a rank means, and which neighbours were not tested."""
    if not separations:
        return []
    # Statistics take NumPy, whose import is a quarter of the time of a table without them.
    from granite_bench.comparison.differences import ALPHA, N_PERMUTATIONS

    notes = [
        f"{INSEPARABLE} behind a rank: its average cannot be told from that of the row above (p of "
        f"{ALPHA:g} or more, two-sided paired randomisation test over queries, {N_PERMUTATIONS:,} "
        "permutations or more, each pair by itself). It says nothing of rows further apart."
    ]
    notes += [
        f"Not tested: {each.above} and {each.model} below it: {each.why_not}."
        for each in separations
        if each.p is None
    ]
    return notes


def _notes(table: Table) -> list[str]:
    rule = {
        "tasks": "the mean over tasks; a task is the mean over its subsets and splits, as in mteb",
        "groups": "the mean over the means of groups",
    }[table.suite.average]
    if table.is_overview:
        rule = "the mean over the suites"
    notes = [f"Scores are times 100. The average is {rule}."]
    notes += _length_notes(table)
    if table.options.common:
        notes.append(
            f"Over the {len(table.suite.tasks)} of {table.n_tasks_of_suite} tasks that every model "
            "with results has completely."
        )
    without = [row.model for row in table.rows if not row.revision]
    if without:
        notes.append(f"No results of: {', '.join(without)}.")
    notes += _incomplete(table)
    for row in table.rows:
        refused = [name for cell in row.cells.values() for name in cell.refused]
        if refused:
            notes.append(f"{row.model}: refused as impossible: {some(refused)}.")
        if row.other_revisions:
            others = [f"{task} ({revision})" for task, revision in row.other_revisions.items()]
            notes.append(f"{row.model}: not of revision {row.revision}: {some(sorted(others))}.")
    if any(row.reasons for row in table.rows):
        notes.append(RULE)
    for number, (device, protocol) in enumerate(table.devices, start=1):
        note = (
            f"{speed_mark(table, number)} Speed ({protocol}) on {device}: docs/s over the "
            "documents that were encoded (for a model that searches by itself: indexed); query: "
            "one at a time, from text to ranking (of a reranker: to that of its candidates)."
        )
        notes.append(note.lstrip())
    return notes + _record_notes(table)


def _record_notes(table: Table) -> list[str]:
    """How the columns of granite-bench speed were measured, and what spoils a figure."""
    notes = []
    labels = protocol_labels(table.speed_conditions)
    for number, (conditions, label) in enumerate(labels.items(), start=len(table.devices) + 1):
        of_rows = [
            (row.model, record)
            for row in table.rows
            for record in row.speed_records
            if record.conditions == conditions
        ]
        what = "the median of the passes, tokenisation included"
        if any(record.latency for _, record in of_rows):
            what = "one query at a time, from its text to its embedding"
        note = (
            f"{speed_mark(table, number)} Speed by granite-bench speed under "
            f"{conditions.identity} on {conditions.device} in {conditions.dtype}: {what}."
        )
        notes.append(note.lstrip())
        notes += [
            f"{WARNED} {model}, {conditions.under(label)}: {'; '.join(record.warnings)}."
            for model, record in of_rows
            if record.warnings
        ]
    return notes


def _length_notes(table: Table) -> list[str]:
    """At which length the columns of an overview are, where it says."""
    by_length: dict[int, list[str]] = {}
    if table.overview is not None:
        for column, suite in zip(table.overview.suites, table.suites, strict=True):
            if column.max_length is not None:
                by_length.setdefault(column.max_length, []).append(suite.title)
    return [
        f"{', '.join(titles)}: only results with texts cut to {length:,} tokens count, and those "
        "of models whose own maximum is not longer."
        for length, titles in by_length.items()
    ]


def _incomplete(table: Table) -> list[str]:
    """One note for all models that lack the same: variants of a model often do."""
    lacking: dict[tuple[int, int, str], list[str]] = {}
    for row in table.rows:
        if row.revision and not row.complete:
            missing = sorted({name for cell in row.cells.values() for name in cell.missing})
            key = row.n_complete, row.n_tasks, some(missing)
            lacking.setdefault(key, []).append(row.model)
    notes = []
    for (n_complete, n_tasks, missing_names), models in lacking.items():
        who = "it has" if len(models) == 1 else "they have"
        consequence = f"{who} no average and no rank"
        if table.options.partial:
            consequence = f"{PARTIAL} marks what is not over all, and {who} no rank"
        notes.append(
            f"{', '.join(models)}: {n_complete} of {n_tasks} are complete, so {consequence}; "
            f"missing: {missing_names}."
        )
    return notes
