"""A comparison as one HTML file: no network, no script from elsewhere, opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from granite_bench.comparison.differences import Difference
from granite_bench.comparison.side_by_side import SideBySide
from granite_bench.printed import metric_name
from granite_bench.report.comparison import ComparisonReport, Section
from granite_bench.report.comparison_findings import CONFIDENCE
from granite_bench.report.forest import ForestLine, draw_forest
from granite_bench.report.frame import render
from granite_bench.report.query_grid import QueryGrid, query_grid, scores_of_both
from granite_bench.report.suite_page import basis
from granite_bench.tables.scores import common_metric

_MOST_LINES = 60
"""Of a drawing; its table has all."""


@dataclass(frozen=True)
class ForestFigure:
    """A drawing of one model's differences."""

    title: str
    svg: Markup


def comparison_page(report: ComparisonReport) -> str:
    """The report as HTML; the same results make the same bytes."""
    drawn = _drawn(report)
    side = report.side
    data = basis(replace(side.reference.table, rows=[each.row for each in side.candidates]))
    return render(
        "comparison.html.j2",
        report=report,
        side=side,
        figures=_figures(report, drawn) if drawn else [],
        caption=f"{_caption(side, drawn)} {data}" if drawn else "",
        drawn=drawn.name if drawn else "",
        grids=_grids(side, data),
    )


def _grids(side: SideBySide, data: str) -> list[QueryGrid]:
    """One for each model that has scores per query with the reference."""
    found = []
    for number, pair in enumerate(side.pairs, start=1):
        scores = scores_of_both(pair.comparison, side.suite)
        if scores is not None:
            names = {"reference": side.reference.name, "model": pair.candidate.name}
            found.append(query_grid(scores, **names, basis=data, ident=f"queries-{number}"))
    return found


def _drawn(report: ComparisonReport) -> Section | None:
    """The first breakdown that has several rows: tasks, else a group of them, else parts."""
    sections = [each for each in report.sections if each.name != "overall"]
    several = (s for s in sections if any(len(each) > 1 for each in s.differences.values()))
    return next(several, None)


def _figures(report: ComparisonReport, section: Section) -> list[ForestFigure]:
    """One for each model, the average on top."""
    reference = report.side.reference.name
    overall = report.sections[0].differences
    figures = []
    for number, (model, differences) in enumerate(section.differences.items()):
        averages = [_line(each, is_total=True) for each in overall.get(model, ())]
        lines = [*averages, *map(_line, differences[:_MOST_LINES])]
        if len(lines) < 2:
            continue
        title = f"{model} against {reference}"
        figures.append(
            ForestFigure(
                title,
                draw_forest(
                    lines,
                    ident=f"forest-{number}",
                    title=title,
                    description=_description(differences),
                    x_label="difference in points",
                ),
            )
        )
    return figures


def _line(found: Difference, *, is_total: bool = False) -> ForestLine:
    interval = found.interval
    return ForestLine(
        name=found.column,
        value=100 * found.change,
        low=100 * interval.low if interval else None,
        high=100 * interval.high if interval else None,
        significant=None if found.p_holm is None else found.is_significant,
        is_total=is_total,
    )


def _description(differences: Sequence[Difference]) -> str:
    significant = [each for each in differences if each.is_significant]
    n_better = sum(each.change > 0 for each in significant)
    return (
        f"Better on {n_better} and worse on {len(significant) - n_better} of {len(differences)}. "
        "The table that follows has every value."
    )


def _caption(side: SideBySide, section: Section) -> str:
    """Of all figures together."""
    measure = metric_name(common_metric(side.suite)) or "the metric of each task"
    caption = (
        f"Differences in {measure}; right of the line at 0 is better. A bar is the {CONFIDENCE} "
        "(paired bootstrap over queries). A filled triangle is beyond noise (paired "
        "randomisation test with Holm's correction), a ring is not, or was not tested."
    )
    most = max(map(len, section.differences.values()))
    if most > _MOST_LINES:
        caption += f" The first {_MOST_LINES} of {most}."
    return caption
