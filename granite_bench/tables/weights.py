"""
How much each evaluation counts in a task, in a group of tasks and in a suite's average.

The same rules as of scores.py, as weights that sum to 1: what a statistic over the queries of a
whole suite needs, where a mean of means does not do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, evaluations_of

Weights: TypeAlias = Mapping[Evaluation, float]


def column_weights(suite: Suite, by: str) -> dict[str, Weights]:
    """
    Column -> the weights of the evaluations whose mean it is.

    Args:
        by: *task*, or a grouping of the suite.
    """
    if by == "task":
        return {task.name: _of_task(task) for task in suite.tasks}
    source = next(grouping.source for grouping in suite.groups if grouping.by == by)
    groups: dict[str, list[Weights]] = {}
    for task in suite.tasks:
        if source == "group":
            if task.group is not None:
                groups.setdefault(task.group, []).append(_of_task(task))
            continue
        parts: dict[str, list[Evaluation]] = {}
        for evaluation in evaluations_of(task, task.name):
            parts.setdefault(getattr(evaluation, source), []).append(evaluation)
        for label, part in parts.items():
            groups.setdefault(label, []).append(_equal(part))
    return {group: mean_weights(of_tasks) for group, of_tasks in groups.items()}


def average_weights(suite: Suite) -> Weights:
    """The weights of the suite's average, by its rule."""
    by = suite.groups[0].by if suite.average == "groups" else "task"
    return mean_weights(list(column_weights(suite, by).values()))


def _of_task(task: SuiteTask) -> Weights:
    """An aggregate is the mean of its parts, which have the queries."""
    return mean_weights([_equal(evaluations_of(task, name)) for name in task.parts or (task.name,)])


def _equal(evaluations: Sequence[Evaluation]) -> Weights:
    return {evaluation: 1 / len(evaluations) for evaluation in evaluations}


def mean_weights(weights: Sequence[Weights]) -> Weights:
    """The weights of a mean of means."""
    mean: dict[Evaluation, float] = {}
    for each in weights:
        for evaluation, weight in each.items():
            mean[evaluation] = mean.get(evaluation, 0.0) + weight / len(weights)
    return mean
