"""Quality against speed: which models no other beats; a table for every format, HTML also drawn."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from granite_bench.printed import metric_name, score_text, speed_text
from granite_bench.report.columns import WARNED, measurement
from granite_bench.report.figures import dot, leaves_out_zero
from granite_bench.report.printed_table import PrintedCell, PrintedTable, printed_table
from granite_bench.report.scatter import Point, draw_points
from granite_bench.results.speed_columns import Conditions, protocol_labels
from granite_bench.results.speed_records import SpeedRecord, Spread
from granite_bench.stats.pareto import pareto_front
from granite_bench.tables.scores import common_metric
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import DIM, PRECISION, name_without

_FRONT = (
    "On the front: no other model is at least as good and at least as fast, and better or faster."
)
_VARIANTS = (
    "Dimensions and precisions of embeddings change nothing of the time that a model takes; of "
    "such variants, the model as it is stands here, else the best."
)


@dataclass(frozen=True)
class SpeedPoint:
    """
    A model's quality and speed.

    Attributes:
        model: the row's name.
        average: the suite's, a fraction.
        speed: of *unit* of its picture.
        record: where the speed is from.
        on_front: whether no other model is as good and as fast, and better or faster.
    """

    model: str
    average: float
    speed: Spread
    record: SpeedRecord
    on_front: bool


@dataclass(frozen=True)
class Picture:
    """
    The models that were measured under the same conditions.

    Attributes:
        label: the protocol's (see speed_columns.protocol_labels).
        unit: of the speeds: chunks/s, docs/s or texts/s.
        points: the best first; two at least.
        left_out: models with a speed, but without a complete average.
        has_variants: whether rows that differ in the dimension or precision alone were left out.
    """

    conditions: Conditions
    label: str
    unit: str
    points: Sequence[SpeedPoint]
    left_out: Sequence[str]
    has_variants: bool

    @property
    def where(self) -> str:
        """Protocol, device and dtype, in a few words."""
        return self.conditions.under(self.label)


@dataclass(frozen=True)
class PictureRow:
    """A row of the table beside the drawing, the model's marker in front."""

    dot: Markup
    model: str
    cells: Sequence[PrintedCell]


@dataclass(frozen=True)
class SpeedFigure:
    """
    One picture in HTML: the drawing and its table.

    Attributes:
        finding: who is on the front, in a sentence.
        caption: what is drawn, in words.
        heads: of the table, each with the metric or unit under it.
    """

    title: str
    finding: str
    svg: Markup
    caption: str
    heads: Sequence[tuple[str, str]]
    rows: Sequence[PictureRow]
    notes: Sequence[str]


def pictures_of(table: Table) -> list[Picture]:
    """One picture for each protocol, device and dtype with speeds of two complete models."""
    labels = protocol_labels(table.speed_conditions)
    found = (_picture(table, conditions, label) for conditions, label in labels.items())
    return [picture for picture in found if picture is not None]


def lay_out_speed(table: Table) -> PrintedTable:
    """All pictures as one table: a row for each model and conditions."""
    pictures = pictures_of(table)
    notes = ["Scores are times 100.", _FRONT, *_notes(pictures)]
    if not pictures:
        notes = [
            "No two models with a complete average have a speed under the same protocol, device "
            "and dtype. Run: granite-bench speed --model MODEL --model ANOTHER"
        ]
    heads = [
        ("Protocol", ""), ("Device", ""), ("Dtype", ""), ("Model", ""), ("Score", _measure(table)),
        ("Speed", "per second"), ("Unit", ""), ("Least", "per second"), ("Most", "per second"),
        ("On the front", ""),
    ]  # fmt: skip
    rows = [
        [
            PrintedCell(picture.label, picture.conditions.identity),
            PrintedCell(picture.conditions.device),
            PrintedCell(picture.conditions.dtype),
            PrintedCell(each.model),
            _score(each),
            _speed(each),
            PrintedCell(picture.unit),
            PrintedCell(speed_text(each.speed.least), value=each.speed.least),
            PrintedCell(speed_text(each.speed.most), value=each.speed.most),
            _membership(each),
        ]
        for picture in pictures
        for each in picture.points
    ]
    return printed_table(
        f"{table.suite.title}: quality against speed",
        heads,
        rows,
        notes,
        texts=("Protocol", "Device", "Dtype", "Model", "Unit", "On the front"),
        scores=("Score",),
    )


def speed_figures(table: Table, looks: MutableMapping[str, int]) -> list[SpeedFigure]:
    """
    The pictures as they stand on the page of the table.

    Args:
        looks: model -> the number of its colour and marker; models without one get the next.
    """
    figures = []
    for number, picture in enumerate(pictures_of(table), start=1):
        for each in picture.points:
            looks.setdefault(each.model, len(looks))
        figures.append(_figure(table, picture, looks, f"speed-{number}"))
    return figures


# --- the points -------------------------------------------------------------------------------


def _picture(table: Table, conditions: Conditions, label: str) -> Picture | None:
    found = {
        row.model: record
        for row in table.rows
        for record in row.speed_records
        if record.conditions == conditions and record.throughput
    }
    measured = [row for row in table.rows if row.model in found]
    shown = _one_each(measured)
    # The unit that is the same work for every model: a chunk, where documents were cut.
    units = list(dict.fromkeys(unit for record in found.values() for unit in record.throughput))
    there = [
        (row.model, row.average, found[row.model].throughput[units[-1]], found[row.model])
        for row in shown
        if row.complete and row.average is not None and units[-1] in found[row.model].throughput
    ]
    if len(there) < 2:
        return None
    # Scores by what is printed, as ranks are: what looks equal is equal.
    places = [(speed.median, round(avg * 100, 2)) for _, avg, speed, _ in there]
    front = pareto_front(places, ("more", "more"))
    points = [
        SpeedPoint(model, average, speed, record, number in front)
        for number, (model, average, speed, record) in enumerate(there)
    ]
    points.sort(key=lambda each: (-round(each.average * 100, 2), -each.speed.median))
    left_out = [row.model for row in shown if not row.complete]
    return Picture(conditions, label, units[-1], points, left_out, len(shown) < len(measured))


def _one_each(rows: Sequence[Row]) -> list[Row]:
    """One row of those that differ in the dimension or precision alone: the model as it is."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(name_without(row.model, row.settings, (DIM, PRECISION)), []).append(row)

    def merit(row: Row) -> tuple[bool, int]:
        return row.complete, -sum(name in row.settings for name in (DIM, PRECISION))

    return [max(group, key=merit) for group in groups.values()]  # of equals, the best, as sorted


# --- the table --------------------------------------------------------------------------------


def _measure(table: Table) -> str:
    """What all tasks are measured by, where it is one thing."""
    return "" if table.is_overview else metric_name(common_metric(table.suite))


def _score(each: SpeedPoint) -> PrintedCell:
    return PrintedCell(score_text(each.average), value=each.average)


def _speed(each: SpeedPoint) -> PrintedCell:
    mark = WARNED if each.record.warnings else ""
    turns = each.record.turns
    in_turns = [f"in turns: {said}" for said in turns.sentences] if turns else []
    note = "; ".join([*each.record.warnings, measurement(each.record), *in_turns])
    text = f"{speed_text(each.speed.median)}{mark}"
    return PrintedCell(text, note, value=each.speed.median, partial=each.record.spoilt)


def _membership(each: SpeedPoint) -> PrintedCell:
    return PrintedCell("yes" if each.on_front else "no")


def _notes(pictures: Sequence[Picture]) -> list[str]:
    notes = [
        f"{WARNED} {each.model}, {picture.where}: {'; '.join(each.record.warnings)}."
        for picture in pictures
        for each in picture.points
        if each.record.warnings
    ]
    # Of each that took turns the first with the others: the notes of the cells have every pair.
    firsts = (
        each.record.turns
        for picture in pictures
        for each in picture.points
        if each.record.turns is not None and each.record.turns.position == 0
    )
    notes += dict.fromkeys(f"In turns, {said}." for turns in firsts for said in turns.sentences)
    if any(picture.has_variants for picture in pictures):
        notes.append(_VARIANTS)
    left_out = dict.fromkeys(model for picture in pictures for model in picture.left_out)
    if left_out:
        notes.append(f"Left out, since their average is not complete: {', '.join(left_out)}.")
    return notes


# --- the figure -------------------------------------------------------------------------------


def _figure(table: Table, picture: Picture, looks: Mapping[str, int], ident: str) -> SpeedFigure:
    measure = _measure(table) or "score"
    points = picture.points
    labels = _labels([each.model for each in points])
    finding = _finding(picture, labels)
    drawn = [
        Point(
            look=looks[each.model],
            filled=each.on_front,
            x=each.speed.median,
            least=each.speed.least,
            most=each.speed.most,
            y=each.average * 100,
            label=label + (WARNED if each.record.warnings else ""),
        )
        for each, label in zip(points, labels, strict=True)
    ]
    n_tasks = len(table.suite.tasks)
    what = "suites" if table.is_overview else "tasks"
    average = f"Mean {measure} over {n_tasks} {what}" if n_tasks > 1 else measure
    title = f"{table.suite.title}: {measure} against {picture.unit}, {picture.where}"
    return SpeedFigure(
        title=picture.where,
        finding=finding,
        svg=draw_points(
            drawn,
            ident=ident,
            title=title,
            description=f"{finding} The table that follows has every value.",
            x_label=f"{picture.unit}, logarithmic",
            y_label=f"{measure} × 100",
        ),
        caption=(
            f"{average}, against {picture.unit}. Up and to the right is better. Filled: on the "
            "front, which the line follows; hollow: not. A bar beside a point: its slowest to its "
            "fastest pass. The table names the markers."
            + (" Neither axis starts at 0." if leaves_out_zero([p.y for p in drawn]) else "")
        ),
        heads=[
            ("Model", ""),
            ("Score", _measure(table)),
            (picture.unit, "median"),
            ("Passes", "least to most"),
            ("Front", ""),
        ],
        rows=[
            PictureRow(
                dot(looks[each.model], filled=each.on_front),
                each.model,
                [
                    _score(each),
                    _speed(each),
                    PrintedCell(f"{speed_text(each.speed.least)} to {speed_text(each.speed.most)}"),
                    _membership(each),
                ],
            )
            for each in points
        ],
        notes=[_FRONT, *_notes([picture])],
    )


def _labels(models: Sequence[str]) -> list[str]:
    """Names without who published them, and without settings, as far as they still differ."""
    without_owner = [model.partition(" (")[0].rpartition("/")[2] for model in models]
    with_settings = [
        short + "".join(model.partition(" (")[1:])
        for model, short in zip(models, without_owner, strict=True)
    ]
    for labels in (without_owner, with_settings):
        if len(set(labels)) == len(labels):
            return labels
    return list(models)


def _finding(picture: Picture, labels: Sequence[str]) -> str:
    n_models = len(picture.points)
    said = [
        f"{label} ({score_text(each.average)} at {speed_text(each.speed.median)} {picture.unit})"
        for label, each in zip(labels, picture.points, strict=True)
        if each.on_front
    ]
    if len(said) == 1:
        return f"{said[0]} is both the best and the fastest of {n_models} models."
    which = f"{len(said)} of {n_models}" if len(said) < n_models else f"All {n_models}"
    return f"{which} models are on the front: {', '.join(said[:-1])} and {said[-1]}."
