"""What was measured of one model's speed, as a table: a row for each figure and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from granite_bench.printed import speed_text
from granite_bench.report.columns import WARNED
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.tables.table import Row

_HEADS = (
    "Figure", "Value", "Least to most", "Unit", "Protocol", "Device", "Dtype", "Date",
)  # fmt: skip


def lay_out_speeds(rows_of: Mapping[str, Row]) -> PrintedTable | None:
    """
    What granite-bench speed measured, and what the runs of suites took; None where nothing was.

    Args:
        rows_of: title of a suite -> the model's row there.
    """
    rows = [cells for title, row in rows_of.items() for cells in _of_runs(title, row)]
    records = {record.path: record for row in rows_of.values() for record in row.speed_records}
    notes = []
    for record in records.values():
        where = record.conditions
        about = [where.identity, where.device, where.dtype, f"{record.date:%Y-%m-%d}"]
        mark = WARNED if record.warnings else ""
        figures = [
            (unit, spread.median, f"{speed_text(spread.least)} to {speed_text(spread.most)}", "1/s")
            for unit, spread in record.throughput.items()
        ]
        if record.latency is not None:
            figures += [
                ("query p50", record.latency.p50_ms, HOLE, "ms"),
                ("query p95", record.latency.p95_ms, HOLE, "ms"),
            ]
        rows += [
            _row(name, value, between, unit, about, mark) for name, value, between, unit in figures
        ]
        if record.warnings:
            notes.append(f"{WARNED} {where}: {'; '.join(record.warnings)}.")
    if not rows:
        return None
    said = [place for place in range(len(_HEADS)) if any(row[place].text != HOLE for row in rows)]
    return printed_table(
        f"{next(iter(rows_of.values())).model}: speed",
        [(_HEADS[place], "") for place in said],
        [[row[place] for place in said] for row in rows],
        ["Figures under different protocols or on different devices do not compare.", *notes],
        texts=("Figure", "Unit", "Protocol", "Device", "Dtype", "Date"),
    )


def _of_runs(title: str, row: Row) -> list[list[PrintedCell]]:
    rows = []
    for speed in row.speeds:
        about = [f"{speed.protocol}, {title}", speed.device, HOLE, HOLE]
        for name, value, unit in (
            ("pairs/s", speed.pairs_per_second, "1/s"),
            ("docs/s", speed.docs_per_second, "1/s"),
            ("query p50", speed.query_p50_ms, "ms"),
            ("query p95", speed.query_p95_ms, "ms"),
        ):
            if value is not None:
                rows.append(_row(name, value, HOLE, unit, about, ""))
    return rows


def _row(
    name: str, value: float, between: str, unit: str, about: Sequence[str], mark: str
) -> list[PrintedCell]:
    figures = [PrintedCell(f"{speed_text(value)}{mark}", value=value), PrintedCell(between)]
    return [PrintedCell(name), *figures, PrintedCell(unit), *map(PrintedCell, about)]
