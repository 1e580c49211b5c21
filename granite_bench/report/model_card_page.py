"""A model's card as one HTML file: no network, no script from elsewhere, opens from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from granite_bench.report.curves import Figure, Kind, figures
from granite_bench.report.frame import render
from granite_bench.report.model_card import Breakdown, ModelCard, SuiteCard
from granite_bench.report.printed_table import PrintedTable
from granite_bench.report.suite_page import basis


@dataclass(frozen=True)
class LinkedTable:
    """A table of scores, and name of a row -> the id of where its score comes from."""

    by: str
    table: PrintedTable
    links: Mapping[str, str]


@dataclass(frozen=True)
class SuiteSection:
    """One suite on the page; *ident* starts every id in it."""

    ident: str
    title: str
    description: str
    breakdowns: Sequence[LinkedTable]
    figures: Mapping[Kind, Sequence[Figure]]
    basis: str


def card_page(card: ModelCard) -> str:
    """The card as HTML; the same results make the same bytes."""
    return render(
        "model_card.html.j2",
        card=card,
        suites=[_section(each, number) for number, each in enumerate(card.suites, start=1)],
        sources=[each.sources for each in card.suites],
    )


def _section(each: SuiteCard, number: int) -> SuiteSection:
    ident = f"suite-{number}"
    return SuiteSection(
        ident=ident,
        title=each.suite.title,
        description=each.suite.description,
        breakdowns=[
            LinkedTable(breakdown.by, breakdown.table, _links(each, breakdown))
            for breakdown in each.breakdowns
        ],
        figures=figures(each.own, prefix=f"{ident}-"),
        basis=basis(each.own),
    )


def _links(each: SuiteCard, breakdown: Breakdown) -> dict[str, str]:
    """To the one result behind a score, or to all of the model."""
    links = {}
    for line in breakdown.lines:
        tasks = {source.task for source in line.cell.sources}
        task = tasks.pop() if len(tasks) == 1 else line.name
        links[line.name] = each.sources.links.get(task, each.sources.anchor)
    return links
