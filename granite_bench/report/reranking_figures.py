"""A picture for each first stage in HTML: where its rerankers stand below the ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from granite_bench.printed import interval_text, metric_name, points
from granite_bench.report.dumbbells import Dumbbell, draw_dumbbells, scores_of
from granite_bench.report.figures import dot, leaves_out_zero
from granite_bench.report.printed_table import PrintedCell
from granite_bench.report.reranking import (
    FIGURE_HEADS,
    SpeedColumns,
    block_heads,
    block_notes,
    block_rows,
    gain_row,
    handed_on,
)
from granite_bench.tables.reranking import MEASURE, Block, blocks_of
from granite_bench.tables.table import Table


@dataclass(frozen=True)
class Gains:
    """A reranker of a figure, its marker in front, and its gain in each column."""

    dot: Markup
    name: str
    rows: Sequence[Sequence[PrintedCell]]


@dataclass(frozen=True)
class RerankingFigure:
    """
    One first stage in HTML: its block of the table, a drawing, and every gain.

    Attributes:
        finding: what the best reranker makes of it, in a sentence.
        heads, rows: of the block; each head with the metric or unit under it.
        svg: empty where no reranker is complete in any column.
        caption: what is drawn, in words.
        gain_heads, gains: of the table beside the drawing.
    """

    title: str
    finding: str
    heads: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[PrintedCell]]
    svg: Markup
    caption: str
    gain_heads: Sequence[tuple[str, str]]
    gains: Sequence[Gains]
    notes: Sequence[str]


def reranking_figures(table: Table, looks: Mapping[str, int]) -> list[RerankingFigure]:
    """
    A figure for each first stage that something is behind.

    Args:
        looks: model -> the number of its colour and marker, where other figures have one.
    """
    blocks = [block for block in blocks_of(table) if block.rerankers]
    known = dict(looks)
    for block in blocks:
        for each in block.rerankers:
            known.setdefault(each.name, len(known))
    speeds = SpeedColumns(blocks)
    return [
        _figure(table, block, known, speeds, f"reranking-{number}")
        for number, block in enumerate(blocks, start=1)
    ]


def _figure(
    table: Table, block: Block, looks: Mapping[str, int], speeds: SpeedColumns, ident: str
) -> RerankingFigure:
    measure = metric_name(MEASURE)
    lines = []
    for name in dict.fromkeys(name for each in block.rerankers for name in each.columns):
        first = block.first_figures(name)
        if first is not None:
            reranked = {
                looks[each.name]: figures.reranked * 100
                for each in block.rerankers
                if (figures := each.columns[name]) is not None
            }
            lines.append(Dumbbell(name, first.first_stage * 100, first.ceiling * 100, reranked))
    finding = _finding(block)
    return RerankingFigure(
        title=f"{block.first_stage}, {handed_on(block)}",
        finding=finding,
        heads=block_heads(table, speeds),
        rows=block_rows(table, block, speeds),
        svg=draw_dumbbells(
            lines,
            ident=ident,
            title=f"{table.suite.title}: {measure} behind {block.first_stage}",
            description=f"{finding} The table that follows has every value.",
            x_label=f"{measure} × 100",
        )
        if lines
        else Markup(),
        caption=(
            f"{measure}. Ring: the first stage; upright stroke: the ceiling, its candidates in the "
            "best order; between them what a reranker can gain."
            + (
                " The axis does not start at 0."
                if lines and leaves_out_zero(scores_of(lines))
                else ""
            )
        ),
        gain_heads=[
            ("Task" if table.by == "task" else table.by.capitalize(), ""),
            *FIGURE_HEADS,
            ("Queries", ""),
            *speeds.heads,
        ],
        gains=[
            Gains(
                dot(looks[each.name], filled=True),
                each.name,
                [
                    [PrintedCell(name), *gain_row(figures, each, speeds)]
                    for name, figures in {**each.columns, "Average": each.average}.items()
                ],
            )
            for each in block.rerankers
        ],
        notes=block_notes(table, [block], speeds),
    )


def _finding(block: Block) -> str:
    """What the best complete reranker makes of the first stage, in a sentence."""
    whole = [each for each in block.rerankers if each.average is not None]
    if not whole:
        return f"No reranker is complete behind {block.first_stage} yet."
    best = max(whole, key=lambda each: each.average.reranked if each.average else 0.0)
    figures = best.average
    if figures is None or figures.gain is None:
        return f"{best.name} reranks {block.first_stage}."
    gain = figures.gain
    noise = "" if gain.excludes_zero else ", which may be noise"
    share = figures.share_of_ceiling
    reach = f"; {share:.0%} of what its candidates allow" if share is not None and share > 0 else ""
    return (
        f"{best.name} changes {block.first_stage} by {points(gain.mean)} points "
        f"({gain.confidence:.0%} interval {interval_text(gain)}{noise}){reach}."
    )
