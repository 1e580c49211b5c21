"""Scores by the length of documents: a curve per model, where splits of a task are lengths."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from granite_bench.printed import metric_name, score_text
from granite_bench.report.figures import LegendEntry, Line, draw, leaves_out_zero, swatch
from granite_bench.report.printed_table import HOLE, PrintedCell
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation, evaluations_of, score_of
from granite_bench.tables.table import Row, Table

_LENGTH = re.compile(r"_(\d+)$")
_FEWEST_LENGTHS = 3
_MOST_LINES = 12
"""More could not be told apart; the table has all."""


@dataclass(frozen=True)
class ContextRow:
    """A model of the table beside the drawing, its piece of line in front; empty if not drawn."""

    swatch: Markup
    model: str
    cells: Sequence[PrintedCell]


@dataclass(frozen=True)
class ContextFigure:
    """
    The tasks of one metric: the drawing and its table, models by lengths.

    Attributes:
        finding: what the best model loses from the shortest to the longest, in a sentence.
        svg: empty where no model has two lengths.
        models: the legend.
        heads: of the table, each with the unit under it.
    """

    title: str
    finding: str
    svg: Markup
    caption: str
    models: Sequence[LegendEntry]
    heads: Sequence[tuple[str, str]]
    rows: Sequence[ContextRow]


def context_length(label: str) -> int | None:
    """The tokens that a split such as test_4096 is named by; None for one that is not."""
    found = _LENGTH.search(label)
    return int(found[1]) if found and int(found[1]) > 0 else None


def context_figures(table: Table, looks: MutableMapping[str, int]) -> list[ContextFigure]:
    """
    A figure for each metric of the suite's tasks whose splits are three lengths or more.

    Args:
        looks: model -> the number of its colour and marker; models without one get the next.
    """
    figures = []
    for number, (metric, lengths) in enumerate(_lengths(table.suite).items(), start=1):
        scores = {row.model: _scores(lengths, row) for row in table.rows}
        drawn = sorted(
            (model for model, found in scores.items() if _is_curve(found)),
            key=lambda model: -statistics.fmean(v for v in scores[model].values() if v is not None),
        )[:_MOST_LINES]
        if drawn:
            for model in drawn:
                looks.setdefault(model, len(looks))
            chosen = {model: looks[model] for model in drawn}
            figures.append(_figure(table, metric, lengths, scores, chosen, f"context-{number}"))
    return figures


def _lengths(suite: Suite) -> dict[str, dict[int, list[list[Evaluation]]]]:
    """metric -> length -> the evaluations of each task at it."""
    found: dict[str, dict[int, list[list[Evaluation]]]] = {}
    for task in suite.tasks:
        by_length: dict[int, list[Evaluation]] = {}
        for evaluation in evaluations_of(task, task.name):
            length = context_length(evaluation.split)
            if length is not None:
                by_length.setdefault(length, []).append(evaluation)
        if len(by_length) >= _FEWEST_LENGTHS:
            of_metric = found.setdefault(task.metric, {})
            for length, evaluations in by_length.items():
                of_metric.setdefault(length, []).append(evaluations)
    return {metric: dict(sorted(lengths.items())) for metric, lengths in found.items()}


def _scores(
    lengths: Mapping[int, Sequence[Sequence[Evaluation]]], row: Row
) -> dict[int, float | None]:
    """length -> the mean over tasks, a fraction; None where an evaluation is missing."""
    scores: dict[int, float | None] = {}
    for length, tasks in lengths.items():
        of_tasks = [
            [score_of(each, row.results.get(each.task))[0] for each in evaluations]
            for evaluations in tasks
        ]
        whole = [[v for v in values if v is not None] for values in of_tasks]
        is_whole = [len(values) for values in whole] == [len(values) for values in of_tasks]
        scores[length] = statistics.fmean(map(statistics.fmean, whole)) if is_whole else None
    return scores


def _is_curve(scores: Mapping[int, float | None]) -> bool:
    return sum(score is not None for score in scores.values()) > 1


def _figure(
    table: Table,
    metric: str,
    lengths: Mapping[int, Sequence[Sequence[Evaluation]]],
    scores: Mapping[str, Mapping[int, float | None]],
    looks: Mapping[str, int],
    ident: str,
) -> ContextFigure:
    measure = metric_name(metric)
    tasks = list(dict.fromkeys(part[0].task for parts in lengths.values() for part in parts))
    what = f"{'Mean ' * (len(tasks) > 1)}{measure} of {' and '.join(tasks)}"
    finding = _finding(next(iter(looks)), scores)
    lines = [
        Line(look, 0, [(n, 100 * v) for n, v in scores[model].items() if v is not None])
        for model, look in looks.items()
    ]
    with_scores = [model for model, found in scores.items() if set(found.values()) != {None}]
    caption = f"{what}, by the length of the documents."
    if leaves_out_zero([score for line in lines for _, score in line.points]):
        caption += " The upright axis does not start at 0."
    if len(with_scores) > len(looks):
        caption += f" The {len(looks)} best of {len(with_scores)} models; the table has all."
    return ContextFigure(
        title=measure,
        finding=finding,
        svg=draw(
            lines,
            ident=ident,
            title=f"{table.suite.title}: {measure} by context length",
            description=f"{finding} The table that follows has every value.",
            x_label="tokens per document",
            y_label=f"{measure} × 100",
        ),
        caption=caption,
        models=[LegendEntry(swatch(look, 0), model) for model, look in looks.items()],
        heads=[("Model", ""), *((f"{length:,}", "tokens") for length in lengths)],
        rows=[
            ContextRow(
                swatch(looks[model], 0) if model in looks else Markup(),
                model,
                [_cell(score) for score in scores[model].values()],
            )
            for model in with_scores
        ],
    )


def _cell(score: float | None) -> PrintedCell:
    if score is None:
        return PrintedCell(HOLE, "not complete", partial=True)
    return PrintedCell(score_text(score), value=score)


def _finding(model: str, scores: Mapping[str, Mapping[int, float | None]]) -> str:
    """What the best of the drawn models has at both ends."""
    there = [(length, v) for length, v in scores[model].items() if v is not None]
    (first, at_first), (last, at_last) = there[0], there[-1]
    return (
        f"{model} has {score_text(at_first)} at {first:,} tokens and {score_text(at_last)} "
        f"at {last:,}."
    )
