"""
Scores of evaluations -> the score of a task and of a suite, and what is missing of them.

The same rules as of scores.py and weights.py, for scores that stand in no result: those of a
baseline's file and of its history.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping

from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, evaluations_in, evaluations_of
from granite_bench.tables.weights import Weights, average_weights, column_weights


def missing_of(task: SuiteTask, there: Collection[Evaluation]) -> list[str]:
    """The labels of a task's evaluations that are not there; none where its score is known."""
    ways = [
        [each for name in names for each in evaluations_of(task, name) if each not in there]
        for names in ([task.name], task.parts)
        if names
    ]
    # An aggregate is complete in either way; what is missing of one are its parts.
    return [] if not all(ways) else [each.label for each in ways[-1]]


def task_score(task: SuiteTask, suite: Suite, scores: Mapping[Evaluation, float]) -> float | None:
    """The mean over a task's evaluations (of an aggregate, over its parts); None over holes."""
    own = evaluations_of(task, task.name)
    for weights in (column_weights(suite, "task")[task.name], dict.fromkeys(own, 1 / len(own))):
        if (score := _weighted(weights, scores)) is not None:
            return score
    return None


def average_score(suite: Suite, scores: Mapping[Evaluation, float]) -> float | None:
    """The suite's average by its rule; None over holes."""
    if suite.average == "groups":
        return _weighted(average_weights(suite), scores)
    of_tasks = [task_score(task, suite, scores) for task in suite.tasks]
    known = [score for score in of_tasks if score is not None]
    return statistics.fmean(known) if len(known) == len(of_tasks) else None


def tasks_of_labels(suite: Suite) -> dict[str, str]:
    """Label of an evaluation -> the suite's task that it is of, itself or a part of."""
    return {evaluation.label: task for evaluation, task in evaluations_in(suite).items()}


def _weighted(weights: Weights, scores: Mapping[Evaluation, float]) -> float | None:
    if not all(each in scores for each in weights):
        return None
    return sum(weight * scores[each] for each, weight in weights.items())
