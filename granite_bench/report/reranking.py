"""
Rerankers as they stand on a page: the table by first stage, and every gain.

The table is laid out as on the card of granite-embedding-reranker-english-r2: for each first
stage a block, its own row first, then its rerankers; here also what its candidates allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath

from granite_bench.printed import metric_name, points, score_text, some, speed_text
from granite_bench.report.columns import Column, average_column, score_column
from granite_bench.report.layout import completeness
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.results.speed_columns import Speed
from granite_bench.tables.reranking import MEASURE, N_RESAMPLES, Block, Figures, Reranked, blocks_of
from granite_bench.tables.table import Table

_GAIN = (
    "Gain: reranked less first stage, in points, with the 95% interval of a paired bootstrap over "
    f"queries ({N_RESAMPLES:,} samples, task by task). An interval without 0 is a difference "
    "beyond noise."
)
_CEILING = (
    f"Ceiling: {metric_name(MEASURE)} of the same candidates in the best order that there is; "
    "recall: the share of the relevant documents among them."
)


def lay_out_blocks(table: Table) -> PrintedTable:
    """Blocks of a first stage and its rerankers, by the columns of the table."""
    blocks = blocks_of(table)
    speeds = SpeedColumns(blocks)
    rows = [
        [PrintedCell(title), *cells]
        for title, block in zip(_titles(blocks), blocks, strict=True)
        for cells in block_rows(table, block, speeds)
    ]
    return printed_table(
        table.suite.title,
        [("First stage", ""), *block_heads(table, speeds)],
        rows,
        block_notes(table, blocks, speeds),
        texts=("First stage", "Model"),
        scores=[column.head for column in _score_columns(table).values()],
    )


def lay_out_gains(table: Table) -> PrintedTable:
    """A row for each first stage, reranker and column of the table, and for the average."""
    blocks = blocks_of(table)
    speeds = SpeedColumns(blocks)
    what = "Task" if table.by == "task" else table.by.capitalize()
    heads = [
        ("First stage", ""),
        ("Reranker", ""),
        (what, ""),
        *FIGURE_HEADS,
        ("Queries", ""),
        *speeds.heads,
    ]
    rows = [
        [PrintedCell(title), PrintedCell(each.name), PrintedCell(name), *cells]
        for title, block in zip(_titles(blocks), blocks, strict=True)
        for each in block.rerankers
        for name, figures in {**each.columns, "Average": each.average}.items()
        for cells in [gain_row(figures, each, speeds)]
    ]
    return printed_table(
        f"{table.suite.title}: gains over the first stage",
        heads,
        rows,
        block_notes(table, blocks, speeds),
        texts=("First stage", "Reranker", what),
        scores=("First stage score", "Reranked", "Ceiling", "Recall"),
    )


# --- the table by first stage -----------------------------------------------------------------


def block_heads(table: Table, speeds: SpeedColumns) -> list[tuple[str, str]]:
    """The heads over block_rows, each with the metric or unit under it."""
    scores = ((column.head, column.subhead) for column in _score_columns(table).values())
    gain = (("Gain", "points"), ("Low", "95%"), ("High", "95%"))
    return [("Model", ""), ("Tasks", "n/N"), *scores, *gain, *speeds.heads]


def block_rows(table: Table, block: Block, speeds: SpeedColumns) -> list[list[PrintedCell]]:
    """The first stage, its rerankers, and the ceiling over all of them."""
    scores = _score_columns(table)
    by_row: list[dict[str | None, PrintedCell]] = [
        {name: _first_score(block, name, column) for name, column in scores.items()}
    ]
    by_row += [
        {name: column.cell(each.row) for name, column in scores.items()} for each in block.rerankers
    ]
    complete = [block.row is None or block.row.complete]
    complete += [each.row.complete for each in block.rerankers]
    for name in scores:
        _mark_best(by_row, complete, name)
    n_tasks = (
        completeness(block.row) if block.row is not None else PrintedCell(HOLE, "not in results")
    )
    rows = [[PrintedCell(block.first_stage), n_tasks, *by_row[0].values(), *_no_gain(speeds)]]
    for each, cells in zip(block.rerankers, by_row[1:], strict=True):
        gain = gain_cells(each.average, each)
        speed = speeds.cells(each.average)
        rows.append(
            [PrintedCell(each.name), completeness(each.row), *cells.values(), *gain, *speed]
        )
    ceiling = {name: block.first_figures(name) for name in scores}
    if any(ceiling.values()):
        label = PrintedCell("ceiling: the best order")
        cells_of_ceiling = (_ceiling_cell(each) for each in ceiling.values())
        rows.append([label, PrintedCell(HOLE), *cells_of_ceiling, *_no_gain(speeds)])
    return rows


def _first_score(block: Block, name: str | None, column: Column) -> PrintedCell:
    """The first stage's own result, or what its rerankers' rows say of it."""
    if block.row is not None:
        return column.cell(block.row)
    figures = block.first_figures(name)
    if figures is None:
        return PrintedCell(HOLE, "no results of the first stage", partial=True)
    return PrintedCell(
        score_text(figures.first_stage), "by its rerankers' records", value=figures.first_stage
    )


def _score_columns(table: Table) -> dict[str | None, Column]:
    """The average (None) and the columns of the table."""
    scores: dict[str | None, Column] = {None: average_column(table)}
    for name, metric in table.columns.items():
        scores[name] = score_column(table, name, metric)
    return scores


def _mark_best(
    rows: Sequence[dict[str | None, PrintedCell]], complete: Sequence[bool], name: str | None
) -> None:
    """Best and second of a block's complete rows, by what is printed, in place of the table's."""
    texts = [
        cells[name].text if whole and not cells[name].partial else None
        for cells, whole in zip(rows, complete, strict=True)
    ]
    printed = sorted({text for text in texts if text is not None}, key=float, reverse=True)[:2]
    for cells, text in zip(rows, texts, strict=True):
        place = printed.index(text) + 1 if text in printed else 0
        cells[name] = replace(cells[name], place=place)


def _ceiling_cell(figures: Figures | None) -> PrintedCell:
    if figures is None:
        return PrintedCell(HOLE, "no complete reranker says it", partial=True)
    note = f"{figures.recall:.1%} of the relevant documents are among the candidates"
    return PrintedCell(score_text(figures.ceiling), note, value=figures.ceiling)


def _no_gain(speeds: SpeedColumns) -> list[PrintedCell]:
    return [PrintedCell(HOLE)] * (3 + len(speeds.heads))


# --- every gain -------------------------------------------------------------------------------

FIGURE_HEADS = (
    ("First stage score", metric_name(MEASURE)),
    ("Reranked", metric_name(MEASURE)),
    ("Gain", "points"),
    ("Low", "95%"),
    ("High", "95%"),
    ("Ceiling", metric_name(MEASURE)),
    ("Recall", "of candidates"),
)


def gain_row(figures: Figures | None, each: Reranked, speeds: SpeedColumns) -> list[PrintedCell]:
    """The cells under FIGURE_HEADS, of the queries and of the speeds."""
    gain = gain_cells(figures, each)
    if figures is None:
        hole = PrintedCell(HOLE, _why_missing(each), partial=True)
        return [hole, hole, *gain, hole, hole, hole, *speeds.cells(None)]
    first, reranked, ceiling, recall = (
        PrintedCell(score_text(value), value=value)
        for value in (figures.first_stage, figures.reranked, figures.ceiling, figures.recall)
    )
    queries = PrintedCell(f"{figures.n_queries:,}", value=figures.n_queries)
    return [first, reranked, *gain, ceiling, recall, queries, *speeds.cells(figures)]


def gain_cells(figures: Figures | None, each: Reranked) -> list[PrintedCell]:
    """The gain and the ends of its interval, in points."""
    if figures is None:
        return [PrintedCell(HOLE, _why_missing(each), partial=True)] * 3
    gain = figures.gain
    if gain is None:
        value = figures.reranked - figures.first_stage
        alone = PrintedCell(HOLE, "no interval over a single query", partial=True)
        return [PrintedCell(points(value), value=value), alone, alone]
    return [PrintedCell(points(value), value=value) for value in (gain.mean, gain.low, gain.high)]


def _why_missing(each: Reranked) -> str:
    return f"no rows per query of: {some(each.missing)}"


# --- what both share --------------------------------------------------------------------------


class SpeedColumns:
    """
    Two columns for each device and protocol: speeds of different ones are never in one.

    Attributes:
        keys: (device, protocol), as Speed has them.
        heads: each with its unit.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        every = [
            (speed.device, speed.protocol)
            for block in blocks
            for each in block.rerankers
            for figures in (*each.columns.values(), each.average)
            if figures is not None
            for speed in figures.speeds
            if speed.pairs_per_second is not None
        ]
        self.keys = sorted(set(every))
        marks = [self._mark(number) for number in range(len(self.keys))]
        self.heads = [
            head
            for mark in marks
            for head in (
                (f"pairs/s {mark}".rstrip(), "1/s"),
                (f"query p50 {mark}".rstrip(), "ms"),
            )
        ]

    def cells(self, figures: Figures | None) -> list[PrintedCell]:
        """What was measured over a column."""
        cells = []
        for key in self.keys:
            found = next(
                (s for s in (figures.speeds if figures else ()) if (s.device, s.protocol) == key),
                None,
            )
            cells += [
                _speed_cell(found, lambda speed: speed.pairs_per_second),
                _speed_cell(found, lambda speed: speed.query_p50_ms),
            ]
        return cells

    @property
    def notes(self) -> list[str]:
        """On what each pair of columns was measured."""
        return [
            f"{self._mark(number)} Speed ({protocol}) on {device}: pairs of a query and a document "
            "per second; query: one at a time, its candidates scored.".lstrip()
            for number, (device, protocol) in enumerate(self.keys)
        ]

    def _mark(self, number: int) -> str:
        return f"[{number + 1}]" if len(self.keys) > 1 else ""


def _speed_cell(speed: Speed | None, figure: Callable[[Speed], float | None]) -> PrintedCell:
    value = figure(speed) if speed is not None else None
    if value is None:
        return PrintedCell(HOLE, "not measured")
    return PrintedCell(speed_text(value), value=value)


def block_notes(table: Table, blocks: Sequence[Block], speeds: SpeedColumns) -> list[str]:
    """What was reordered, how the figures were made, and what is missing of them."""
    if not any(block.rerankers for block in blocks):
        return [f"No reranked results yet. Run: granite-bench run {table.source}"]
    notes = ["Scores are times 100.", *_alike(blocks), _GAIN, _CEILING]
    for title, block in zip(_titles(blocks), blocks, strict=True):
        average = block.first_figures(None)
        if average is not None:
            notes.append(
                f"{title}: {average.recall:.1%} of the relevant documents are among the "
                "candidates, averaged as the scores are."
            )
        if block.differing:
            notes.append(
                f"{title}: not all rerankers got the same candidates of {some(block.differing)}: "
                "the first stage was run again in between. Their gains are over their own."
            )
        there = {each.name for each in block.rerankers}
        # A folder's results are named after it.
        absent = [
            name
            for name in table.suite.rerankers
            if not {name, f"local/{PurePath(name).name}"} & there
        ]
        if absent and table.options.models is None:
            notes.append(f"{title}: not run yet: {', '.join(absent)}.")
        notes += [
            f"{each.name} behind {title}: no gain over all, since it has {_why_missing(each)}."
            for each in block.rerankers
            if each.average is None
        ]
    return notes + speeds.notes


def _titles(blocks: Sequence[Block]) -> list[str]:
    """The first stages, with what of them is handed on where they differ in it."""
    if _alike(blocks):
        return [block.first_stage for block in blocks]
    return [f"{block.first_stage}, {handed_on(block)}" for block in blocks]


def _alike(blocks: Sequence[Block]) -> list[str]:
    """What is handed on, in a note, where it is the same of all first stages."""
    seen = {handed_on(block) for block in blocks}
    return [f"Reranked: {seen.pop()}."] if len(seen) == 1 else []


def handed_on(block: Block) -> str:
    """What of a first stage its rerankers get, in a few words."""
    top = f"the top {block.top_k}" if block.top_k is not None else "the task's candidates"
    if block.query_tokens is None:
        return top
    return f"{top}, queries cut to {block.query_tokens} tokens"
