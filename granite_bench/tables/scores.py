"""
Results of one model -> scores: a task, a group of tasks, a suite, and what is missing of each.

A task's score is mteb's: the mean of its metric over all splits and subsets. Nothing is averaged
over holes without saying so: every score carries how much of it is there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.results.tree import Result
from granite_bench.suite.suite import Suite, SuiteTask


@dataclass(frozen=True)
class Cell:
    """
    One model's score on one task or group.

    Attributes:
        value: the mean of what is there, a fraction; None when nothing is there.
        n_there, n_expected: evaluations (split and subset).
        missing: the names of the evaluations that are not there.
        refused: scores that are there and cannot be right: NaN, or outside their range.
        sources: the results that the value comes from.
    """

    value: float | None
    n_there: int
    n_expected: int
    missing: Sequence[str] = ()
    refused: Sequence[str] = ()
    sources: Sequence[Result] = ()

    @property
    def complete(self) -> bool:
        """Whether every evaluation is there."""
        return self.n_there == self.n_expected


def task_cell(task: SuiteTask, results: Mapping[str, Result]) -> Cell:
    """One task of a suite; an aggregate's own result counts before the mean of its parts."""
    if task.name not in results and task.parts:
        return _parts_cell(task, results)
    return _mean_cell(evaluations_of(task, task.name), results)


def own_cell(task: SuiteTask, result: Result) -> Cell:
    """What one result alone gives of a task, or of one of its parts."""
    return _mean_cell(evaluations_of(task, result.task), {result.task: result})


def _parts_cell(task: SuiteTask, results: Mapping[str, Result]) -> Cell:
    """An aggregate without a result of its own: the mean over its parts' scores."""
    parts = [_mean_cell(evaluations_of(task, part), results) for part in task.parts]
    whole = [part for part in parts if part.complete]
    values = [part.value for part in whole if part.value is not None]
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=len(whole),
        n_expected=len(parts),
        missing=[n for n, part in zip(task.parts, parts, strict=True) if not part.complete],
        refused=[name for part in parts for name in part.refused],
        sources=[source for part in whole for source in part.sources],
    )


@dataclass(frozen=True)
class Evaluation:
    """The smallest part of a suite that has a score of its own."""

    task: str
    split: str
    subset: str
    metric: str

    @property
    def label(self) -> str:
        """What it is called where it is missing."""
        place = "" if self.subset == "default" else f"[{self.subset}]"
        return f"{self.task}{place} {self.split}"


def evaluations_of(task: SuiteTask, name: str) -> list[Evaluation]:
    """Every split and subset of a suite's task, or of the part of it with this name."""
    return [
        Evaluation(name, split, subset, task.metric)
        for split in task.splits
        for subset in task.subsets
    ]


def task_names(suite: Suite) -> set[str]:
    """The tasks of a suite, and the parts of its aggregates."""
    return {name for task in suite.tasks for name in (task.name, *task.parts)}


def evaluations_in(suite: Suite) -> dict[Evaluation, str]:
    """Every evaluation of a suite's tasks and of their parts -> the task that it is of."""
    return {
        evaluation: task.name
        for task in suite.tasks
        for name in (task.name, *task.parts)
        for evaluation in evaluations_of(task, name)
    }


def common_metric(suite: Suite) -> str:
    """mteb's name of what all tasks of a suite are measured by; empty where they differ."""
    metrics = {task.metric for task in suite.tasks}
    return metrics.pop() if len(metrics) == 1 else ""


def score_of(evaluation: Evaluation, result: Result | None) -> tuple[float | None, str]:
    """
    The score of one evaluation in the result of its task.

    Returns:
        A fraction, or None where it is not there or cannot be right; and in the latter case what
        was refused.
    """
    if result is None:
        return None, ""
    scores = result.scores.get(evaluation.split, {}).get(evaluation.subset, {})
    name = next((name for name in metric_names(evaluation.metric) if name in scores), None)
    if name is None:
        return None, ""
    value: float | None = scores[name]
    lowest = -1.0 if name.endswith(_SIGNED) else 0.0
    if value is not None and lowest <= value <= 1:
        return value, ""
    shown = "NaN" if value is None else f"{value:g}"
    return None, f"{evaluation.label}: {evaluation.metric} {shown}"


def _mean_cell(evaluations: Sequence[Evaluation], results: Mapping[str, Result]) -> Cell:
    values: list[float] = []
    missing: list[str] = []
    refused: list[str] = []
    for wanted in evaluations:
        value, problem = score_of(wanted, results.get(wanted.task))
        if value is None:
            missing.append(wanted.label)
            refused += [problem] if problem else []
        else:
            values.append(value)
    used = {wanted.task for wanted in evaluations} & set(results)
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=len(values),
        n_expected=len(evaluations),
        missing=missing,
        refused=refused,
        sources=[results[task] for task in sorted(used)],
    )


_SIGNED = ("spearman", "pearson", "kendalltau", "p-MRR")
"""Measures from -1: correlations, and what an instruction changed of ranks."""


def metric_names(metric: str) -> tuple[str, ...]:
    """A metric's name, and what mteb 1 called it: its reranking results have one "map" alone."""
    return (metric, "map") if metric.endswith("map_at_1000") else (metric,)


def group_cells(suite: Suite, by: str, results: Mapping[str, Result]) -> dict[str, Cell]:
    """group -> the mean over its tasks, in the suite's order."""
    source = next(grouping.source for grouping in suite.groups if grouping.by == by)
    groups: dict[str, list[Cell]] = {}
    for task in suite.tasks:
        if source == "group":
            if task.group is not None:
                groups.setdefault(task.group, []).append(task_cell(task, results))
            continue
        evaluations = evaluations_of(task, task.name)
        for label in dict.fromkeys(getattr(evaluation, source) for evaluation in evaluations):
            part = [each for each in evaluations if getattr(each, source) == label]
            groups.setdefault(label, []).append(_mean_cell(part, results))
    return {group: _mean_of_cells(cells) for group, cells in groups.items()}


def _mean_of_cells(cells: Sequence[Cell]) -> Cell:
    values = [cell.value for cell in cells if cell.value is not None]
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=sum(cell.n_there for cell in cells),
        n_expected=sum(cell.n_expected for cell in cells),
        missing=[name for cell in cells for name in cell.missing],
        refused=[name for cell in cells for name in cell.refused],
        sources=[source for cell in cells for source in cell.sources],
    )


def suite_average(
    suite: Suite, tasks: Mapping[str, Cell], results: Mapping[str, Result]
) -> float | None:
    """The average by the suite's rule, over what is there; None when nothing is."""
    cells: Iterable[Cell] = tasks.values()
    if suite.average == "groups":
        cells = group_cells(suite, suite.groups[0].by, results).values()
    values = [cell.value for cell in cells if cell.value is not None]
    return statistics.fmean(values) if values else None
