"""
A table -> curves: what a model loses when its embeddings or its texts are cut shorter.

The points of a curve are rows of the table: the model itself and its variants. Only complete rows
have a score here, also in a partial table. Reads tables alone: no mteb, no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from granite_bench.results.tree import Result
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import common_metric
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import (
    BYTES_PER_VALUE,
    DIM,
    FULL_PRECISION,
    MAX_LENGTH,
    PRECISION,
    bytes_per_million,
    dimension_of,
    length_of,
    name_without,
    precision_of,
    truncated_share,
)

_P = TypeVar("_P", "DimensionPoint", "LengthPoint")


@dataclass(frozen=True)
class DimensionPoint:
    """
    A model's score at one dimension and precision of its embeddings.

    Attributes:
        score: the suite's average, a fraction; None where the row is incomplete.
        n_complete, n_tasks: tasks of the suite.
        bytes_per_million: of a million stored embeddings, without an index; None for a precision
            that has no known size.
        loss_points: the native score minus this one, times 100; negative is a gain, None where
            either is missing.
        loss_share: the same as a share of the native score, a fraction.
        native: whether this is the model's own dimension at full precision.
    """

    dim: int
    precision: str
    score: float | None
    n_complete: int
    n_tasks: int
    bytes_per_million: float | None
    loss_points: float | None = None
    loss_share: float | None = None
    native: bool = False


@dataclass(frozen=True)
class DimensionCurves:
    """
    One model: its points, full precision first, then the largest dimension.

    Attributes:
        no_loss: why there is no loss; empty where there is one.
    """

    model: str
    points: Sequence[DimensionPoint]
    no_loss: str = ""

    def at(self, precision: str) -> list[DimensionPoint]:
        """The line of one precision, the smallest dimension first, without holes."""
        found = [p for p in self.points if p.precision == precision and p.score is not None]
        return sorted(found, key=lambda point: point.dim)


@dataclass(frozen=True)
class LengthPoint:
    """
    A model's score with texts cut to a length.

    Attributes:
        max_length: tokens.
        score: the suite's average, a fraction; None where the row is incomplete.
        n_complete, n_tasks: tasks of the suite.
        truncated: the share of the documents that were cut, a fraction; None without records.
        own: whether this is the model's own maximum.
    """

    max_length: int
    score: float | None
    n_complete: int
    n_tasks: int
    truncated: float | None
    own: bool


@dataclass(frozen=True)
class LengthCurve:
    """One model: its points, the shortest first."""

    model: str
    points: Sequence[LengthPoint]


@dataclass(frozen=True)
class SuiteCurves:
    """
    The curves of one suite.

    Attributes:
        title: the suite's.
        metric: mteb's name of what all of its tasks are measured by; empty where they differ.
        n_tasks: how many tasks a score is the mean of.
        max_length: tokens, where the suite is shown at one length; None otherwise.
        dimensions, lengths: a model each, in the order of the table.
    """

    title: str
    metric: str
    n_tasks: int
    max_length: int | None
    dimensions: Sequence[DimensionCurves]
    lengths: Sequence[LengthCurve]


@dataclass(frozen=True)
class _SuiteRow:
    """A row of the table as far as one suite goes."""

    model: str
    settings: Mapping[str, Any]
    score: float | None
    n_complete: int
    n_tasks: int
    sources: Sequence[Result]

    def named_without(self, *dropped: str) -> str:
        return name_without(self.model, self.settings, dropped)


def curves_of(table: Table) -> list[SuiteCurves]:
    """The curves of the table's suite, or of each suite of an overview; without those of none."""
    if table.overview is None:
        found = [_suite_curves(table.suite, None, map(_of_suite, table.rows))]
    else:
        found = [
            _suite_curves(
                suite, column.max_length, (_of_column(row, suite.title) for row in table.rows)
            )
            for column, suite in zip(table.overview.suites, table.suites, strict=True)
        ]
    return [each for each in found if each.dimensions or each.lengths]


def _of_suite(row: Row) -> _SuiteRow:
    used = {source.path: source for cell in row.cells.values() for source in cell.sources}
    score = row.average if row.complete else None
    return _SuiteRow(
        row.model, row.settings, score, row.n_complete, row.n_tasks, list(used.values())
    )


def _of_column(row: Row, title: str) -> _SuiteRow:
    cell = row.cells[title]
    score = cell.value if cell.complete else None
    used = {source.path: source for source in cell.sources}
    return _SuiteRow(
        row.model, row.settings, score, cell.n_there, cell.n_expected, list(used.values())
    )


def _suite_curves(suite: Suite, max_length: int | None, rows: Iterable[_SuiteRow]) -> SuiteCurves:
    there = [each for each in rows if each.sources]
    by_dimension = _grouped(there, lambda each: each.named_without(DIM, PRECISION))
    by_length = _grouped(there, lambda each: each.named_without(MAX_LENGTH))
    dimensions = [_dimension_curves(model, group) for model, group in by_dimension.items()]
    lengths = [_length_curve(model, group) for model, group in by_length.items()]
    return SuiteCurves(
        title=suite.title,
        metric=common_metric(suite),
        n_tasks=len(suite.tasks),
        max_length=max_length,
        dimensions=[each for each in dimensions if _is_curve(each.points)],
        lengths=[each for each in lengths if _is_curve(each.points)],
    )


def _grouped(
    rows: Iterable[_SuiteRow], name: Callable[[_SuiteRow], str]
) -> dict[str, list[_SuiteRow]]:
    groups: dict[str, list[_SuiteRow]] = {}
    for each in rows:
        groups.setdefault(name(each), []).append(each)
    return groups


def _is_curve(points: Sequence[DimensionPoint] | Sequence[LengthPoint]) -> bool:
    """Whether two points have a score; what is not complete is shown beside them."""
    return sum(point.score is not None for point in points) > 1


def _dimension_curves(model: str, group: Sequence[_SuiteRow]) -> DimensionCurves:
    points: list[DimensionPoint] = []
    why = "there is no result of the model as it is"
    for each in group:
        precision = precision_of(each.settings)
        native = DIM not in each.settings and precision == FULL_PRECISION
        dim = dimension_of(each.settings, each.sources)
        if native:
            why = ""
            if dim is None:
                why = "the metadata beside its results name no dimension"
            elif each.score is None:
                why = f"only {each.n_complete} of {each.n_tasks} tasks are complete of the model "
                why += "as it is"
        if dim is None:
            continue
        points.append(
            DimensionPoint(
                dim=dim,
                precision=precision,
                score=each.score,
                n_complete=each.n_complete,
                n_tasks=each.n_tasks,
                bytes_per_million=bytes_per_million(dim, precision),
                native=native,
            )
        )
    points = _one_each(points, lambda point: (point.dim, point.precision), lambda p: p.native)
    order = list(BYTES_PER_VALUE)
    points.sort(
        key=lambda p: (
            order.index(p.precision) if p.precision in order else len(order),
            p.precision,
            -p.dim,
        )
    )
    top = next((p.score for p in points if p.native), None)
    return DimensionCurves(model, [_with_loss(point, top) for point in points], why)


def _with_loss(point: DimensionPoint, native: float | None) -> DimensionPoint:
    if native is None or point.score is None:
        return point
    loss = native - point.score
    return replace(point, loss_points=loss * 100, loss_share=loss / native if native > 0 else None)


def _length_curve(model: str, group: Sequence[_SuiteRow]) -> LengthCurve:
    points = [
        LengthPoint(
            max_length=length,
            score=each.score,
            n_complete=each.n_complete,
            n_tasks=each.n_tasks,
            truncated=truncated_share(each.sources),
            own=MAX_LENGTH not in each.settings,
        )
        for each in group
        if (length := length_of(each.settings, each.sources)) is not None
    ]
    points = _one_each(points, lambda point: point.max_length, lambda point: point.own)
    return LengthCurve(model, sorted(points, key=lambda point: point.max_length))


def _one_each(
    points: Iterable[_P], place: Callable[[_P], Hashable], preferred: Callable[[_P], bool]
) -> list[_P]:
    """One point per place: a setting that names what the model does anyway adds none."""
    kept: dict[Hashable, _P] = {}
    for point in points:
        if place(point) not in kept or preferred(point):
            kept[place(point)] = point
    return list(kept.values())
