"""The columns of a table of scores: what each prints for a row, and what it marks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from granite_bench.printed import metric_name, p_text, score_text, some, speed_text
from granite_bench.report.printed_table import HOLE, PrintedCell
from granite_bench.results.speed_columns import Conditions, protocol_labels, short_device
from granite_bench.results.speed_records import SpeedRecord
from granite_bench.results.tree import Result
from granite_bench.tables.table import Row, Table

if TYPE_CHECKING:
    from granite_bench.comparison.separation import Separation

PARTIAL = "*"
"""Behind every value that is not over all it should be over."""

WARNED = "†"
"""Behind a speed that has a note of its own: it was throttled, shared or noisy, or such things."""

INSEPARABLE = "≈"
"""Behind a rank that cannot be told from the one above it."""

MOST_SOURCES_IN_A_NOTE = 3


@dataclass(frozen=True)
class Column:
    """A column: its head, the metric or unit under it, and what it prints for a row."""

    head: str
    subhead: str
    cell: Callable[[Row], PrintedCell]
    numeric: bool = True
    is_score: bool = False


def rank_column(separations: Sequence[Separation]) -> Column:
    """The rank, marked where a test does not tell it from the one above."""
    by_model = {each.model: each for each in separations}

    def cell(row: Row) -> PrintedCell:
        if row.rank is None:
            return PrintedCell(HOLE)
        found = by_model.get(row.model)
        if found is None or not found.inseparable:
            return PrintedCell(str(row.rank), value=row.rank)
        note = f"cannot be told from {found.above}"
        return PrintedCell(f"{row.rank} {INSEPARABLE}", note, value=row.rank)

    return Column("Rank", "", cell)


def separation_column(separations: Sequence[Separation]) -> Column:
    """The p value of each ranked row against the one above."""
    by_model = {each.model: each for each in separations}

    def cell(row: Row) -> PrintedCell:
        found = by_model.get(row.model)
        if found is None:
            return PrintedCell(HOLE)
        if found.p is None:
            return PrintedCell(HOLE, f"not tested: {found.why_not}")
        return PrintedCell(p_text(found.p), f"against {found.above}", value=found.p)

    return Column("p", "to the row above", cell)


def fact_columns(table: Table) -> list[Column]:
    """What mteb's metadata says of the models."""
    columns = [
        Column("Parameters", "M", lambda row: _millions(row.facts.n_parameters)),
        Column("Active", "M", lambda row: _millions(row.facts.n_active_parameters)),
        Column("Dimension", "", lambda row: _fact(row.facts.dimension, "{:d}")),
        Column("Max length", "tokens", lambda row: _fact(row.facts.max_length, "{:,}")),
    ]
    if not table.is_overview:
        columns.append(Column("Zero-shot", "% of tasks", lambda row: _share(row.zero_shot.get(""))))
    return columns


def average_column(table: Table) -> Column:
    """The average by the suite's rule; a hole, or marked, for incomplete rows."""
    subhead = "mean"
    if table.options.common:
        subhead = f"mean of {len(table.suite.tasks)} of {table.n_tasks_of_suite}"
    printed = _ordered(
        {score_text(row.average) for row in table.rows if row.average is not None and row.complete}
    )

    def cell(row: Row) -> PrintedCell:
        if row.average is None:
            return PrintedCell(HOLE, "no average over an incomplete suite", partial=True)
        text = score_text(row.average)
        if not row.complete:
            note = f"over {row.n_complete} complete of {row.n_tasks}"
            return PrintedCell(f"{text}{PARTIAL}", note, value=row.average, partial=True)
        return PrintedCell(text, value=row.average, place=_place(text, printed))

    return Column("Average", subhead, cell, is_score=True)


def score_column(table: Table, column: str, metric: str) -> Column:
    """One task, group or suite; best and second are marked among the rows that count."""
    printed = _ordered({score_text(value) for value in table.counting(column)})

    def cell(row: Row) -> PrintedCell:
        score, note = row.cells[column], _note(row, column)
        if score.value is None or not (score.complete or table.options.partial):
            text = f"({score.n_there}/{score.n_expected})" if score.n_there else HOLE
            return PrintedCell(text, note, partial=True)
        text = score_text(score.value)
        if not score.complete:
            return PrintedCell(f"{text}{PARTIAL}", note, value=score.value, partial=True)
        counts = row.complete or table.options.partial
        return PrintedCell(
            text, note, value=score.value, place=_place(text, printed) if counts else 0
        )

    return Column(column, metric_name(metric), cell, is_score=True)


def speed_columns(table: Table) -> list[Column]:
    """Columns per device and protocol: figures that differ in either never share one."""
    columns = []
    for number, key in enumerate(table.devices, start=1):
        mark = speed_mark(table, number)
        speeds = [s for row in table.rows for s in row.speeds if (s.device, s.protocol) == key]
        if any(speed.pairs_per_second for speed in speeds):
            columns.append(
                Column(f"pairs/s {mark}".rstrip(), "1/s", _speed_cell(key, "pairs_per_second"))
            )
        columns += [
            Column(f"docs/s {mark}".rstrip(), "1/s", _speed_cell(key, "docs_per_second")),
            Column(f"query p50 {mark}".rstrip(), "ms", _speed_cell(key, "query_p50_ms")),
            Column(f"query p95 {mark}".rstrip(), "ms", _speed_cell(key, "query_p95_ms")),
        ]
    return columns


def record_columns(table: Table) -> list[Column]:
    """What granite-bench speed measured: columns of their own for each conditions."""
    columns = []
    labels = protocol_labels(table.speed_conditions)
    for number, conditions in enumerate(labels, start=len(table.devices) + 1):
        found = [r for row in table.rows for r in row.speed_records if r.conditions == conditions]
        where = f"{labels[conditions]}, {short_device(conditions.device)}"
        where = f"{where} {speed_mark(table, number)}".rstrip()
        units = dict.fromkeys(unit for record in found for unit in record.throughput)
        columns += [
            Column(
                f"{unit}, {where}",
                f"1/s, {conditions.dtype}",
                _record_cell(conditions, partial(_throughput, unit=unit)),
            )
            for unit in units
        ]
        if any(record.latency for record in found):
            columns += [
                Column(
                    f"query {percentile}, {where}",
                    f"ms, {conditions.dtype}",
                    _record_cell(conditions, partial(_latency, percentile=percentile)),
                )
                for percentile in ("p50", "p95")
            ]
    return columns


def speed_mark(table: Table, number: int) -> str:
    """The number of a group of speed columns, where there are several groups."""
    return f"[{number}]" if len(table.devices) + len(table.speed_conditions) > 1 else ""


def measurement(record: SpeedRecord) -> str:
    """How a speed was measured, in one line."""
    settings = record.settings
    parts = [f"{record.conditions}"]
    if record.n_passes:
        parts.append(f"{record.n_passes} passes")
    parts += [f"{name} {settings[key]}" for key, name in _HOW_MEASURED.items() if settings.get(key)]
    if record.revision:
        parts.append(f"revision {record.revision[:12]}")
    return ", ".join([*parts, f"{record.date:%Y-%m-%d}"])


_HOW_MEASURED = {
    "backend": "backend",
    "attention": "attention",
    "batches": "batches",
    "max_length": "max length",
    "prompt": "prompt",
}


def provenance(result: Result) -> str:
    """Where a value comes from, in one line."""
    parts = [
        f"{result.task}",
        f"revision {result.revision[:12]}",
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


def _millions(value: int | None) -> PrintedCell:
    return _fact(None if value is None else value / 1e6, "{:,.0f}")


def _fact(value: float | None, shape: str) -> PrintedCell:
    if value is None:
        return PrintedCell(HOLE, "not in mteb's metadata")
    return PrintedCell(shape.format(value), value=value)


def _share(share: float | None) -> PrintedCell:
    if share is None:
        return PrintedCell(HOLE, "mteb does not know the training data")
    # Cut off, not rounded, as mteb prints it.
    return PrintedCell(f"{int(share * 100 + 1e-9)}", value=share)


def _ordered(printed: Collection[str]) -> list[str]:
    """What is printed in a column, the highest first."""
    return sorted(printed, key=float, reverse=True)


def _place(text: str, printed: Sequence[str]) -> int:
    """By what is printed, as the rank is: values that look the same are marked the same."""
    return printed.index(text) + 1 if text in printed[:2] else 0


def _note(row: Row, column: str) -> str:
    cell = row.cells[column]
    parts = []
    if cell.missing:
        n_missing = cell.n_expected - cell.n_there
        parts.append(f"missing {n_missing} of {cell.n_expected}: {some(cell.missing, 8)}")
    if cell.refused:
        parts.append(f"refused: {some(cell.refused, 4)}")
    if row.zero_shot.get(column) is not None:
        parts.append(f"zero-shot on {_share(row.zero_shot[column]).text} % of its tasks")
    if len(cell.sources) > MOST_SOURCES_IN_A_NOTE:
        parts.append(f"from {len(cell.sources)} results, see the details")
    else:
        for source in cell.sources:
            reason = row.reasons.get(source.task)
            parts.append(provenance(source) + (f" ({reason})" if reason else ""))
    return "; ".join(parts)


def _speed_cell(key: tuple[str, str], figure: str) -> Callable[[Row], PrintedCell]:
    def cell(row: Row) -> PrintedCell:
        speed = next((s for s in row.speeds if (s.device, s.protocol) == key), None)
        value = getattr(speed, figure, None)
        if value is None:
            return PrintedCell(HOLE, "not measured")
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        return PrintedCell(text, f"{key[1]} on {key[0]}", value=value)

    return cell


def _throughput(record: SpeedRecord, unit: str) -> tuple[float, str] | None:
    spread = record.throughput.get(unit)
    if spread is None:
        return None
    return spread.median, f"{speed_text(spread.least)} to {speed_text(spread.most)}"


def _latency(record: SpeedRecord, percentile: str) -> tuple[float, str] | None:
    latency = record.latency
    if latency is None:
        return None
    value, searched = {
        "p50": (latency.p50_ms, latency.search_p50_ms),
        "p95": (latency.p95_ms, latency.search_p95_ms),
    }[percentile]
    note = f"{latency.n_queries:,} queries"
    if searched is not None:
        n_docs = latency.n_documents_searched or 0
        note = f"{speed_text(searched)} with the search of {n_docs:,} documents; {note}"
    return value, note


def _record_cell(
    conditions: Conditions, figure: Callable[[SpeedRecord], tuple[float, str] | None]
) -> Callable[[Row], PrintedCell]:
    """The cells of a figure under these conditions; *figure* has its value and a note."""

    def cell(row: Row) -> PrintedCell:
        record = next((r for r in row.speed_records if r.conditions == conditions), None)
        found = None if record is None else figure(record)
        if record is None or found is None:
            return PrintedCell(HOLE, "not measured")
        value, note = found
        note = "; ".join([*record.warnings, note, measurement(record)])
        text = f"{speed_text(value)}{WARNED if record.warnings else ''}"
        return PrintedCell(text, note, value=value, partial=bool(record.warnings) and record.spoilt)

    return cell
