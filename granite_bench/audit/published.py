"""
Published tables as CSV -> printed cells; every fault of every file is named at once.

One row is one printed cell: source, table, model, column, value, unit, note. The value is kept
as it is printed, because its digits say how exactly it was printed.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from granite_bench.errors import BadInput, Fault, did_you_mean

COLUMNS = ("source", "table", "model", "column", "value", "unit", "note")

_MAY_BE_EMPTY = {"model", "note"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_FLOAT_SLACK = 1e-9
_SHOWN = 40


@dataclass(frozen=True)
class PublishedCell:
    """
    One printed value.

    Attributes:
        model: an id; empty where the value is of no model (the size of a corpus).
        column: the quantity, such as SciFact, MIRACLRetrieval[de] or BEIR average (15).
        printed: the digits as they are printed, such as 50.60 or +9.4.
        unit: the metric, or mean, params_m, dims, tokens, points, docs_per_s and so on.
        path, line: where it stands.
    """

    source: str
    table: str
    model: str
    column: str
    printed: str
    unit: str
    note: str
    path: Path
    line: int

    @cached_property
    def value(self) -> float:
        """The printed number."""
        return float(self.printed)

    @cached_property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit: 0.05 for 50.6, 0.5 for 50."""
        return half_unit(self.printed)

    @property
    def place(self) -> tuple[str, str]:
        """The table that the cell stands in."""
        return self.source, self.table

    @property
    def row(self) -> tuple[str, str, str]:
        """The row that the cell stands in."""
        return self.source, self.table, self.model

    def agrees(self, value: float) -> bool:
        """Whether *value*, rounded as this cell is printed, could read as this cell does."""
        return agrees(self.printed, value)


def half_unit(printed: str) -> float:
    """Half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -n_decimals(printed)


def n_decimals(printed: str) -> int:
    """The number of digits behind the point."""
    return len(printed.partition(".")[2])


def agrees(printed: str, value: float) -> bool:
    """
    Whether *value* rounds to the printed digits.

    It does within half a unit of the last printed digit, the bound included, so that a tie may
    have been rounded either way; 1e-9 more allows for binary fractions. The digits are those of
    the cell itself: 50 in a column of 49.8 is taken as printed to the unit, and a zero that was
    dropped in typesetting makes the test more lenient, never stricter.
    """
    return abs(value - float(printed)) <= half_unit(printed) + _FLOAT_SLACK


def read_published(files: Sequence[Path]) -> list[PublishedCell]:
    """
    The cells of published tables, in the order of the files.

    Raises:
        BadInput: missing, unknown or repeated columns, rows of another length, empty fields,
            values that are no numbers, a cell that is there twice; with file and line.
    """
    cells: list[PublishedCell] = []
    faults: list[Fault] = []
    for path in files:
        try:
            cells += _read_file(path, faults)
        except (OSError, UnicodeDecodeError) as error:
            faults.append(Fault(str(path), f"cannot be read as CSV in UTF-8: {error}"))
    faults += _repeated(cells)
    if faults:
        raise BadInput(faults)
    return cells


def _read_file(path: Path, faults: list[Fault]) -> list[PublishedCell]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        broken: list[Fault] = []
        rows = _numbered(csv.reader(file, strict=True), path, broken)
        line, order = next(rows, (1, []))
        faulty = broken or _head_faults(f"{path}:{line}", order)
        if faulty:
            faults += faulty
            return []
        cells = []
        for line, row in rows:
            found = _row_faults(f"{path}:{line}", order, row)
            if found:
                faults += found
                continue
            fields = dict(zip(order, row, strict=True))
            printed = fields.pop("value")
            cells.append(PublishedCell(printed=printed, path=path, line=line, **fields))
        faults += broken
    return cells


def _numbered(
    reader: Iterator[list[str]], path: Path, faults: list[Fault]
) -> Iterator[tuple[int, list[str]]]:
    """
    (the line a row starts on, the row); a quoted field may go over several lines. What ends the
    reading is a fault.
    """
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1  # type: ignore[attr-defined]
    except csv.Error as error:
        faults.append(Fault(f"{path}:{start}", f"cannot be read as CSV: {error}"))


def _head_faults(where: str, heads: Sequence[str]) -> list[Fault]:
    expected = f"the first line is: {','.join(COLUMNS)}"
    if not heads:
        return [Fault(where, "the file is empty", expected)]
    faults = [
        Fault(where, f"column '{head}' is missing", _other_spelling(head, heads) or expected)
        for head in COLUMNS
        if head not in heads
    ]
    faults += [
        Fault(where, f"unknown column '{head}'", did_you_mean(head, COLUMNS) or expected)
        for head in dict.fromkeys(heads)
        if head not in COLUMNS
    ]
    repeated = dict.fromkeys(head for head in heads if heads.count(head) > 1)
    return faults + [Fault(where, f"column '{head}' stands here twice") for head in repeated]


def _other_spelling(head: str, heads: Sequence[str]) -> str:
    """A hint when a column that is missing stands there in another spelling."""
    strange = [found for found in heads if found not in COLUMNS]
    close = did_you_mean(head, strange)
    return close.replace("did you mean", "is it") if close else ""


def _row_faults(where: str, heads: Sequence[str], row: Sequence[str]) -> list[Fault]:
    if len(row) != len(heads):
        hint = 'a field with a comma in it is written in quotes: "MTEB(eng, v2)"'
        return [Fault(where, f"has {len(row)} fields, the first line has {len(heads)}", hint)]
    faults = []
    for head, text in zip(heads, row, strict=True):
        if head == "value" and not (_NUMBER.fullmatch(text) and math.isfinite(float(text))):
            hint = "one number in digits (1455, 50.6, -2.2); a bound or a range goes to the note"
            faults.append(Fault(where, f"value '{text[:_SHOWN]}' is not a number", hint))
        elif not text.strip() and head not in _MAY_BE_EMPTY:
            faults.append(Fault(where, f"{head} is empty"))
    return faults


def _repeated(cells: Iterable[PublishedCell]) -> list[Fault]:
    first: dict[tuple[str, ...], PublishedCell] = {}
    faults = []
    for cell in cells:
        earlier = first.setdefault((*cell.row, cell.column, cell.unit), cell)
        if earlier is not cell:
            faults.append(
                Fault(
                    f"{cell.path}:{cell.line}",
                    f"'{cell.column}' of '{cell.model}' in '{cell.table}' is there already",
                    f"it is {earlier.path}:{earlier.line} too; keep one of the two",
                )
            )
    return faults
