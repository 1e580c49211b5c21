"""The page of a suite, or of an overview: the finding, the table, pictures, and every source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from granite_bench.comparison.separation import Separation
from granite_bench.report.context_lengths import context_figures
from granite_bench.report.curves import figures, looks_of
from granite_bench.report.frame import render
from granite_bench.report.heat_map import heat_maps
from granite_bench.report.layout import headline, lay_out
from granite_bench.report.printed_table import PrintedCell, PrintedTable
from granite_bench.report.reranking_figures import reranking_figures
from granite_bench.report.sources import ModelSources, sources_of
from granite_bench.report.speed import speed_figures
from granite_bench.tables.curves import curves_of
from granite_bench.tables.table import Table

_MARKS = (
    "▲ marks the highest score of a column, △ the second. n/N counts what is complete. A score "
    "links to where it comes from."
)


@dataclass(frozen=True)
class ShownCell:
    """
    A cell as the template writes it.

    Attributes:
        kind: the names of its classes.
        key: what it is sorted by; None where that is its text.
        link: the id of where its value comes from; empty where there is none.
        note: what a link does not lead to.
    """

    text: str
    kind: str
    key: str | None
    link: str
    note: str


def suite_page(table: Table, separations: Sequence[Separation] = ()) -> str:
    """
    The report of one suite; the same results make the same bytes.

    Args:
        table: by task, or by one of the suite's groupings.
        separations: as of lay_out.
    """
    printed, sources = lay_out(table, separations), sources_of(table)
    looks = looks_of(curves_of(table))  # a model looks the same in every picture
    return render(
        "suite.html.j2",
        table=table,
        printed=printed,
        columns=_columns(table, printed),
        rows=[
            _row(table, printed, cells, of_model)
            for cells, of_model in zip(printed.rows, sources, strict=True)
        ],
        notes=[_MARKS, *printed.notes],
        headline=headline(table, separations),
        basis=basis(table),
        sources=sources,
        overview=table.is_overview,
        figures=figures(table),
        speed_figures=speed_figures(table, looks),
        context_figures=context_figures(table, looks),
        reranking_figures=reranking_figures(table, looks),
        heat_maps=heat_maps(table),
    )


def basis(table: Table) -> str:
    """What the scores of every picture are of: the data, who computed them, on which device."""
    n_tasks, what = len(table.suite.tasks), "suites" if table.is_overview else "tasks"
    data = f"{n_tasks} {what}" if n_tasks > 1 else table.suite.tasks[0].name
    devices = list(dict.fromkeys(device for device, _ in table.devices))
    where = f" on {' and '.join(devices)}" if devices else ""
    return f"Data: {table.suite.title}, {data}. Scores by mteb{where}."


def _columns(table: Table, printed: PrintedTable) -> list[str]:
    """The table's own name of each printed column; empty for those that are no scores."""
    of_scores = iter(["", *table.columns])  # the average comes first
    return [next(of_scores) if is_score else "" for is_score in printed.scores]


def _row(
    table: Table, printed: PrintedTable, cells: Sequence[PrintedCell], sources: ModelSources
) -> list[ShownCell]:
    shown = []
    for cell, column, is_score in zip(cells, _columns(table, printed), printed.scores, strict=True):
        link = ""
        if is_score and cell.value is not None:
            link = sources.links[column] if column else sources.anchor
        elif cell.text == sources.model and sources.n_results:
            link = sources.anchor
        # Where a link leads is said what a score is of; what is missing of it stands at the score.
        is_said = link and not cell.partial and not table.is_overview
        shown.append(
            ShownCell(
                text=cell.text,
                kind=" ".join(
                    name
                    for name, is_so in (
                        ("best", cell.place == 1),
                        ("second", cell.place == 2),
                        ("partial", cell.partial),
                    )
                    if is_so
                ),
                key=_key(cell),
                link=link,
                note="" if is_said else cell.note,
            )
        )
    return shown


def _key(cell: PrintedCell) -> str | None:
    """What a cell is sorted by; None where its text is as good."""
    if cell.value is None:
        return ""
    try:
        float(cell.text)
    except ValueError:
        return f"{cell.value:.6g}"
    return None
