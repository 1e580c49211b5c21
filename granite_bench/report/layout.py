"""
A table as it stands on a page: heads, texts, what is marked; one source for every format.

Scores are fractions in files and times 100 here, with two decimals.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from granite_bench.results import Result
from granite_bench.table import Cell, Row, Speed, Table

HOLE = "–"

METRIC_NAMES = {
    "ndcg_at_10": "nDCG@10",
    "ndcg_at_1": "nDCG@1",
    "recall_at_10": "Recall@10",
    "accuracy": "accuracy",
    "v_measure": "V-measure",
    "cosine_spearman": "Spearman",
}


@dataclass(frozen=True)
class PageCell:
    """
    One cell on the page.

    Attributes:
        text: what is printed.
        note: the provenance or the reason of a hole; empty where there is nothing to say.
        value: a number to sort by; None sorts last.
        best: whether it is the highest of its column.
        partial: whether something is missing.
    """

    text: str
    note: str = ""
    value: float | None = None
    best: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Page:
    """
    A table, laid out: heads[i] is over rows[.][i]; subheads say the metric or the unit.

    Attributes:
        numeric: per column, whether it is aligned to the right.
        notes: sentences that belong under the table.
    """

    heads: Sequence[str]
    subheads: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[PageCell]]
    notes: Sequence[str]


def lay_out(table: Table) -> Page:
    """The page of a table; the same results make the same page."""
    several = len(table.devices) > 1
    heads = ["Rank", "Model", "Tasks", "Average", *table.columns]
    subheads = ["", "", "n/N", "mean", *(metric_name(metric) for metric in table.columns.values())]
    for number, _ in enumerate(table.devices, start=1):
        mark = f" [{number}]" if several else ""
        heads += [f"docs/s{mark}", f"query p50{mark}", f"query p95{mark}"]
        subheads += ["1/s", "ms", "ms"]
    best_average = max((row.average for row in table.rows if row.average is not None), default=None)
    rows = [_row(table, row, best_average) for row in table.rows]
    numeric = [head != "Model" for head in heads]
    return Page(heads, subheads, numeric, rows, _notes(table))


def metric_name(metric: str) -> str:
    """A metric as papers print it; mteb's own name where we know no other."""
    return METRIC_NAMES.get(metric, metric.replace("_at_", "@").replace("_", " "))


def headline(table: Table) -> str:
    """The finding in one sentence."""
    ranked = [row for row in table.rows if row.average is not None]
    n_tasks = len(table.suite.tasks)
    scope = f"over {n_tasks} tasks" if n_tasks > 1 else f"on {table.suite.tasks[0].name}"
    if not ranked:
        return f"No model is complete {scope} yet, so there is no ranking."
    first, score = ranked[0], _score(ranked[0].average or 0.0)
    if len(ranked) == 1:
        return f"{first.model} scores {score} {scope}."
    second = ranked[1]
    lead = (first.average or 0.0) - (second.average or 0.0)
    if round(lead * 100, 2) == 0:
        return f"{first.model} and {second.model} are level at {score} {scope}."
    return f"{first.model} leads with {score} {scope}, {_score(lead)} ahead of {second.model}."


def _row(table: Table, row: Row, best_average: float | None) -> list[PageCell]:
    cells = [
        PageCell(str(row.rank) if row.rank else HOLE, value=row.rank),
        PageCell(row.model, _model_note(row)),
        PageCell(
            f"{row.n_complete}/{row.n_tasks}", value=row.n_complete,
            partial=row.n_complete < row.n_tasks,
        ),
        _average_cell(row, best_average),
    ]  # fmt: skip
    cells += [_score_cell(table, row.cells[column], column) for column in table.columns]
    for device, protocol in table.devices:
        speed = next((s for s in row.speeds if (s.device, s.protocol) == (device, protocol)), None)
        cells += _speed_cells(speed)
    return cells


def _average_cell(row: Row, best: float | None) -> PageCell:
    if row.average is None:
        return PageCell(HOLE, "no average over an incomplete suite", partial=True)
    # Best by what is printed, as the rank is: rows that tie are both marked.
    is_best = best is not None and _score(row.average) == _score(best)
    return PageCell(_score(row.average), value=row.average, best=is_best)


def _score_cell(table: Table, cell: Cell, column: str) -> PageCell:
    note = "; ".join(provenance(source) for source in cell.sources)
    if cell.missing:
        shown = ", ".join(cell.missing[:8])
        more = f" and {len(cell.missing) - 8} more" if len(cell.missing) > 8 else ""
        missing = f"missing {len(cell.missing)} of {cell.n_expected}: {shown}{more}"
        note = f"{missing}; {note}" if note else missing
    if not cell.complete or cell.value is None:
        text = f"({cell.n_there}/{cell.n_expected})" if cell.n_there else HOLE
        return PageCell(text, note, partial=True)
    best = table.best(column)
    is_best = best is not None and _score(cell.value) == _score(best)
    return PageCell(_score(cell.value), note, value=cell.value, best=is_best)


def _speed_cells(speed: Speed | None) -> list[PageCell]:
    if speed is None:
        return [PageCell(HOLE, "not measured")] * 3
    values = (speed.docs_per_second, speed.query_p50_ms, speed.query_p95_ms)
    return [
        PageCell(HOLE, "not measured") if value is None
        else PageCell(_speed_text(value), f"{speed.protocol} on {speed.device}", value=value)
        for value in values
    ]  # fmt: skip


def _notes(table: Table) -> list[str]:
    rule = {
        "tasks": "the mean over tasks; a task is the mean over its subsets and splits, as in mteb",
        "groups": "the mean over the means of groups",
    }[table.suite.average]
    notes = [f"Scores are times 100. The average is {rule}."]
    for row in table.rows:
        if row.n_complete < row.n_tasks:
            names = sorted({name for cell in row.cells.values() for name in cell.missing})
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            notes.append(
                f"{row.model}: {row.n_complete} of {row.n_tasks} tasks are complete, so it has no "
                f"average and no rank; missing: {shown}."
            )
    several = len(table.devices) > 1
    for number, (device, protocol) in enumerate(table.devices, start=1):
        mark = f"[{number}] " if several else ""
        notes.append(
            f"{mark}Speed ({protocol}) on {device}: docs/s over the documents that were encoded "
            "(for a model that searches by itself: indexed); query: one at a time, from text to "
            "ranking."
        )
    return notes


def _model_note(row: Row) -> str:
    note = f"revision {row.revision}" if row.revision else "no results"
    if row.other_revisions:
        note += f" (the most complete; also there: {', '.join(row.other_revisions)})"
    return note


def provenance(result: Result) -> str:
    """Where a value comes from, in one line."""
    parts = [
        f"{result.task}",
        f"data {result.dataset_revision[:12]}",
        f"mteb {result.mteb_version}",
    ]
    runs = result.record.get("runs", ())
    if runs:
        settings, packages = runs[-1]["settings"], runs[-1]["packages"]
        if settings.get("max_length"):
            parts.append(f"max length {settings['max_length']}")
        if settings.get("dtype"):
            parts.append(settings["dtype"])
        parts.append(f"sentence-transformers {packages.get('sentence-transformers', '?')}")
        parts.append(runs[-1]["date"][:10] if runs[-1]["date"] else "no date")
    return ", ".join(parts)


def reproduce(row: Row, suite: str) -> str:
    """The command that computes a row again; *suite* is a name or a file."""
    model = row.model.split(" (")[0] if row.settings else row.model
    words = ["granite-bench", "run", suite, "--model", model]
    for name, value in sorted(row.settings.items()):
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _score(value: float) -> str:
    return f"{value * 100:.2f}"


def _speed_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
