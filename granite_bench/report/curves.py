"""Curves as they stand on a page: a table for every format, and figures for HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from markupsafe import Markup

from granite_bench.printed import metric_name, score_text
from granite_bench.report.figures import LegendEntry, Line, draw, leaves_out_zero, swatch
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.tables.curves import (
    DimensionCurves,
    DimensionPoint,
    LengthCurve,
    LengthPoint,
    SuiteCurves,
    curves_of,
)
from granite_bench.tables.table import Table
from granite_bench.tables.variant_settings import BYTES_PER_VALUE, FULL_PRECISION, bytes_per_million

Kind: TypeAlias = Literal["dimension", "length"]
KINDS: tuple[Kind, ...] = ("dimension", "length")

_HEADS: dict[Kind, Sequence[tuple[str, str]]] = {
    "dimension": (
        ("Precision", ""),
        ("Dimension", ""),
        ("Score", ""),
        ("Loss", "points"),
        ("Relative loss", "%"),
        ("MB per million docs", ""),
    ),
    "length": (("Max length", "tokens"), ("Score", ""), ("Truncated", "% of documents")),
}
_SIZES = "Megabytes (a million bytes) are of the embeddings alone, without an index or the texts."
_LOSS = "The loss is against the model as it is: its own dimension, at full precision."
_SHARE = "Truncated: the share of the documents that were cut at that length."


@dataclass(frozen=True)
class Group:
    """A model's rows of the table, under its name."""

    swatch: Markup
    model: str
    rows: Sequence[Sequence[PrintedCell]]


@dataclass(frozen=True)
class Figure:
    """
    One suite's curves in HTML: the drawing, its legend and its table.

    Attributes:
        finding: a sentence; empty where there is nothing to compare.
        svg: empty where nothing is complete.
        caption: what the axes are, in words.
        models, precisions: the legend; no precisions where all is full precision.
        heads: of the table, each with the metric or unit under it.
    """

    title: str
    finding: str
    svg: Markup
    caption: str
    models: Sequence[LegendEntry]
    precisions: Sequence[LegendEntry]
    heads: Sequence[tuple[str, str]]
    groups: Sequence[Group]
    notes: Sequence[str]


def lay_out_curves(table: Table, kind: Kind) -> PrintedTable:
    """All curves of one kind as a table: a row per point, and for an overview per suite."""
    found = [each for each in curves_of(table) if _curves(each, kind)]
    notes = _notes(found, kind)
    if not found:
        option = {"dimension": "--dims 256,128", "length": "--max-length 512,2048"}[kind]
        notes = [
            f"No model has results at two {kind}s. "
            f"Run: granite-bench run {table.source} --model MODEL {option}"
        ]
    return _page(
        f"{table.suite.title}: score by {kind}",
        found,
        kind,
        notes,
        suites=table.is_overview,
    )


def figures(table: Table, prefix: str = "") -> dict[Kind, list[Figure]]:
    """
    The figures of the page, a list per kind; kinds without curves are left out.

    Args:
        prefix: of the ids in the drawings, where the page has several tables.
    """
    found = curves_of(table)
    looks = looks_of(found)
    made = {
        kind: [
            _figure(each, kind, looks, f"{prefix}{kind}-{number}")
            for number, each in enumerate(found, start=1)
            if _curves(each, kind)
        ]
        for kind in KINDS
    }
    return {kind: each for kind, each in made.items() if each}


def looks_of(found: Iterable[SuiteCurves]) -> dict[str, int]:
    """Model -> the number of its colour and marker, the same in every figure of a page."""
    models = (curve.model for each in found for kind in KINDS for curve in _curves(each, kind))
    return {model: number for number, model in enumerate(dict.fromkeys(models))}


def _curves(each: SuiteCurves, kind: Kind) -> Sequence[DimensionCurves | LengthCurve]:
    return each.dimensions if kind == "dimension" else each.lengths


# --- the table --------------------------------------------------------------------------------


def _page(
    title: str, found: Sequence[SuiteCurves], kind: Kind, notes: Sequence[str], *, suites: bool
) -> PrintedTable:
    """A row per point; with *suites*, the suite's title in front."""
    heads = [*([("Suite", "")] if suites else []), ("Model", ""), *_heads(found, kind)]
    rows = [
        [*([PrintedCell(each.title)] if suites else []), PrintedCell(curve.model), *cells]
        for each in found
        for curve in _curves(each, kind)
        for cells in _rows(curve)
    ]
    texts = ("Suite", "Model", "Precision")
    return printed_table(title, heads, rows, notes, texts=texts, scores=("Score",))


def _heads(found: Sequence[SuiteCurves], kind: Kind) -> list[tuple[str, str]]:
    """Heads and what stands under them; the score's metric, where there is one for all."""
    metrics = {each.metric for each in found}
    metric = metric_name(metrics.pop()) if len(metrics) == 1 else ""
    return [(head, metric if head == "Score" else under) for head, under in _HEADS[kind]]


def _rows(curve: DimensionCurves | LengthCurve) -> list[list[PrintedCell]]:
    if isinstance(curve, DimensionCurves):
        return [_dimension_row(curve, point) for point in curve.points]
    return [_length_row(point) for point in curve.points]


def _dimension_row(curve: DimensionCurves, point: DimensionPoint) -> list[PrintedCell]:
    size = None if point.bytes_per_million is None else point.bytes_per_million / 1e6
    loss, share = point.loss_points, point.loss_share
    no_loss = PrintedCell(HOLE, curve.no_loss or "no score", partial=True)
    return [
        PrintedCell(point.precision),
        PrintedCell(f"{point.dim}", "the model's own" if point.native else "", value=point.dim),
        _score(point),
        no_loss if loss is None else PrintedCell(_two_decimals(loss), value=loss / 100),
        no_loss if share is None else PrintedCell(_two_decimals(share * 100), value=share),
        PrintedCell(HOLE, "unknown precision")
        if size is None
        else PrintedCell(f"{size:,.0f}", value=size),
    ]


def _length_row(point: LengthPoint) -> list[PrintedCell]:
    return [
        PrintedCell(
            f"{point.max_length:,}",
            "the model's own maximum" if point.own else "",
            value=point.max_length,
        ),
        _score(point),
        PrintedCell(HOLE, "no record says how many")
        if point.truncated is None
        else PrintedCell(f"{point.truncated * 100:.1f}", value=point.truncated),
    ]


def _score(point: DimensionPoint | LengthPoint) -> PrintedCell:
    if point.score is None:
        text = f"({point.n_complete}/{point.n_tasks})"
        return PrintedCell(text, "no score over an incomplete suite", partial=True)
    return PrintedCell(score_text(point.score), value=point.score)


def _two_decimals(value: float) -> str:
    """What rounds to zero has no minus."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _notes(found: Iterable[SuiteCurves], kind: Kind) -> list[str]:
    if kind == "length":
        return ["Scores are times 100.", _SHARE]
    without = {
        curve.model: curve.no_loss for each in found for curve in each.dimensions if curve.no_loss
    }
    reasons = [f"{model} has no loss: {reason}." for model, reason in without.items()]
    return ["Scores are times 100.", _LOSS, _SIZES, *reasons]


# --- the figure -------------------------------------------------------------------------------


def _figure(each: SuiteCurves, kind: Kind, looks: Mapping[str, int], ident: str) -> Figure:
    measure = metric_name(each.metric) if each.metric else "score"
    axis = {"dimension": "dimension of the embeddings", "length": "maximum length"}[kind]
    drawn = {curve.model: found for curve in _curves(each, kind) if (found := _lines(curve, looks))}
    lines = [line for of_model in drawn.values() for line in of_model.values()]
    what = f"Mean {measure} over {each.n_tasks} tasks" if each.n_tasks > 1 else measure
    if each.max_length is not None:
        what += f", with texts cut to {each.max_length:,} tokens"
    svg, start = Markup(), ""
    if lines:
        scores = [score for line in lines for _, score in line.points]
        start = " The upright axis does not start at 0." if leaves_out_zero(scores) else ""
        svg = draw(
            lines,
            ident=ident,
            title=f"{each.title}: {measure} by {axis}",
            description=(
                f"{len(lines)} lines of {len(drawn)} models, from {min(scores):.2f} to "
                f"{max(scores):.2f}. The table that follows has every value."
            ),
            x_label={"dimension": "dimensions", "length": "tokens per text, at most"}[kind],
            y_label=f"{measure} × 100",
            above=_gigabytes if kind == "dimension" else None,
            above_label=f"GB per million docs in {FULL_PRECISION}",
        )
    precisions = list(dict.fromkeys(name for of_model in drawn.values() for name in of_model))
    several = kind == "dimension" and precisions != [FULL_PRECISION]
    above = ""
    if kind == "dimension":
        above = f" Above: the size of a million embeddings in {FULL_PRECISION}"
        above += "; the table has it in other precisions." if several else "."
    return Figure(
        title=each.title,
        finding=_finding(each, kind),
        svg=svg,
        caption=f"{what}, by {axis}.{above}{start}",
        models=[LegendEntry(swatch(looks[model], 0), model) for model in drawn],
        precisions=[LegendEntry(swatch(None, _dash(name)), name) for name in precisions if several],
        heads=_heads([each], kind),
        groups=[
            Group(swatch(looks[curve.model], 0), curve.model, _rows(curve))
            for curve in _curves(each, kind)
        ],
        notes=_notes([each], kind)[1:],  # the page says it of all scores
    )


def _gigabytes(dim: int) -> str:
    return f"{(bytes_per_million(dim, FULL_PRECISION) or 0.0) / 1e9:.2g}"


def _lines(curve: DimensionCurves | LengthCurve, looks: Mapping[str, int]) -> dict[str, Line]:
    """Precision -> line, of what has a score; the length of texts has one line."""
    look = looks[curve.model]
    if isinstance(curve, LengthCurve):
        there = [point for point in curve.points if point.score is not None]
        notes = ["" if p.truncated is None else f"{p.truncated:.0%} cut" for p in there]
        points = [(p.max_length, (p.score or 0.0) * 100) for p in there]
        return {"": Line(look, 0, points, notes)} if points else {}
    lines: dict[str, Line] = {}
    for precision in dict.fromkeys(point.precision for point in curve.points):
        places = [(point.dim, (point.score or 0.0) * 100) for point in curve.at(precision)]
        if places:
            lines[precision] = Line(look, _dash(precision), places)
    return lines


def _dash(precision: str) -> int:
    known = list(BYTES_PER_VALUE)
    return known.index(precision) if precision in known else len(known) - 1


def _finding(each: SuiteCurves, kind: Kind) -> str:
    """The first thing that there is to say of a model, in a sentence."""
    if kind == "dimension":
        return next(filter(None, map(_smallest, each.dimensions)), "")
    return next(filter(None, map(_shortest, each.lengths)), "")


def _smallest(curve: DimensionCurves) -> str:
    """What a model keeps where its embeddings take least."""
    native = next((point for point in curve.points if point.native), None)
    sized = [p for p in curve.points if p.loss_share is not None and p.bytes_per_million]
    if native is None or not sized:
        return ""
    least = min(sized, key=lambda point: point.bytes_per_million or 0.0)
    if least.native:
        return ""
    times = (native.bytes_per_million or 0.0) / (least.bytes_per_million or 1.0)
    how = "" if least.precision == FULL_PRECISION else f" in {least.precision}"
    return (
        f"{curve.model} keeps {1 - (least.loss_share or 0.0):.1%} of its score at {least.dim} "
        f"dimensions{how}, which take {times:.3g} times less space."
    )


def _shortest(curve: LengthCurve) -> str:
    """What a model has with the shortest texts and with the longest."""
    whole = [point for point in curve.points if point.score is not None]
    if len(whole) < 2:
        return ""
    first, last = whole[0], whole[-1]
    cut = "" if first.truncated is None else f" ({first.truncated:.0%} of the documents cut)"
    return (
        f"{curve.model} has {score_text(last.score or 0.0)} at {last.max_length:,} tokens and "
        f"{score_text(first.score or 0.0)} at {first.max_length:,}{cut}."
    )
