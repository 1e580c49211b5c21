"""A heat map of models by languages, or by another grouping of the suite: a table with colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from granite_bench.printed import metric_name, score_text
from granite_bench.report.context_lengths import context_length
from granite_bench.report.printed_table import HOLE
from granite_bench.tables.scores import Cell, common_metric, group_cells
from granite_bench.tables.table import Table

N_STEPS = 7
"""Of the colour scale; page style has as many."""

_FEWEST_GROUPS, _FEWEST_MODELS = 3, 2


@dataclass(frozen=True)
class HeatCell:
    """
    One model's score on one group.

    Attributes:
        step: of the colour scale, 0 for the lowest scores; None where there is no score.
        note: why there is none; else empty.
    """

    text: str
    step: int | None
    note: str = ""


@dataclass(frozen=True)
class HeatMap:
    """
    Models by the groups of one grouping.

    Attributes:
        by: what the groups are: language, type.
        finding: who leads, and which group is hardest, in a sentence.
        groups: the heads.
        rows: model and its cells, in the order of the table.
        legend: the scores that each step of the colour scale stands for, the lowest first.
    """

    by: str
    finding: str
    caption: str
    groups: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]
    legend: Sequence[str]


def heat_maps(table: Table) -> list[HeatMap]:
    """
    One for each grouping of the suite with three groups and two models or more.

    A grouping by the length of documents is a curve instead (see context_lengths).
    """
    found = []
    for grouping in table.suite.groups:
        by_model = {
            row.model: group_cells(table.suite, grouping.by, row.results)
            for row in table.rows
            if row.results
        }
        groups = list(dict.fromkeys(group for cells in by_model.values() for group in cells))
        shown = {
            model: cells
            for model, cells in by_model.items()
            if any(_score(cell) is not None for cell in cells.values())
        }
        by_length = any(context_length(group) is not None for group in groups)
        if len(groups) >= _FEWEST_GROUPS and len(shown) >= _FEWEST_MODELS and not by_length:
            rows = {model: [cells[group] for group in groups] for model, cells in shown.items()}
            found.append(_heat_map(table, grouping.by, groups, rows))
    return found


def _heat_map(table: Table, by: str, groups: Sequence[str], rows: dict[str, list[Cell]]) -> HeatMap:
    there = [_score(cell) for cells in rows.values() for cell in cells]
    scores = [score for score in there if score is not None]
    low, high = min(scores), max(scores)
    measure = metric_name(common_metric(table.suite)) or "the metric of each task"
    edges = [low + (high - low) * step / N_STEPS for step in range(N_STEPS + 1)]
    return HeatMap(
        by=by,
        finding=_finding(groups, rows),
        caption=f"Scores are times 100 ({measure}). A colour is a seventh of their range:",
        groups=groups,
        rows=[(model, [_cell(each, low, high) for each in cells]) for model, cells in rows.items()],
        legend=[f"{100 * a:.1f} to {100 * b:.1f}" for a, b in pairwise(edges)],
    )


def _score(cell: Cell) -> float | None:
    return cell.value if cell.complete else None


def _cell(cell: Cell, low: float, high: float) -> HeatCell:
    score = _score(cell)
    if score is None:
        note = f"{cell.n_there} of {cell.n_expected} are there"
        return HeatCell(f"({cell.n_there}/{cell.n_expected})" if cell.n_there else HOLE, None, note)
    share = (score - low) / (high - low) if high > low else 0.0
    return HeatCell(score_text(score), min(int(round(share * N_STEPS, 9)), N_STEPS - 1))


def _finding(groups: Sequence[str], rows: dict[str, list[Cell]]) -> str:
    """Who leads in most groups, and the groups with the lowest and the highest mean."""
    leads = dict.fromkeys(rows, 0)
    means: dict[str, float] = {}
    for place, group in enumerate(groups):
        found = {
            model: round(score, 4)
            for model, cells in rows.items()
            if (score := _score(cells[place])) is not None
        }
        if found:
            best = max(found.values())
            means[group] = sum(found.values()) / len(found)
            for model, score in found.items():
                leads[model] += score == best
    leader = max(leads, key=lambda model: leads[model])
    finding = f"{leader} has the highest score in {leads[leader]} of {len(groups)}."
    if any(_score(cell) is None for cells in rows.values() for cell in cells):
        return finding  # means over different models would say nothing of the groups
    hardest, easiest = (choose(means, key=lambda group: means[group]) for choose in (min, max))
    return (
        f"{finding} The lowest on average is {hardest} ({score_text(means[hardest])}), the highest "
        f"{easiest} ({score_text(means[easiest])})."
    )
