"""
Two models over one suite: differences of their scores, and whether they are beyond noise.

Every figure is of the second less the first, query by query where results have rows per query.
Nothing is averaged over holes: a column that one of the two lacks in part has no difference.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from granite_bench.comparison.likeness import Unlike, unlike
from granite_bench.comparison.measured import Measured, QueryScores
from granite_bench.stats.bootstrap import (
    LEAST_UNITS,
    BootstrapMean,
    ConfidenceInterval,
    Floats,
    bootstrap_mean,
    interval_over_units,
    weighted_mean,
)
from granite_bench.stats.significance import (
    Tally,
    detectable_difference,
    effect_size,
    holm,
    randomisation_p,
    tally,
)
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, evaluations_of
from granite_bench.tables.weights import Weights, average_weights, column_weights

ALPHA = 0.05
"""The level of tests, and one less the confidence of intervals."""

N_RESAMPLES = 5_000
"""Of the bootstrap: the ends of an interval vary by a fiftieth of its width from seed to seed."""

N_PERMUTATIONS = 10_000
"""Of the randomisation test, at least: a p value of 0.05 is known to 0.002."""

_PERMUTATIONS_PER_COLUMN = 100
"""The smallest p value that can be drawn, times the columns that Holm's correction is over, must
be well below the level, or nothing of a suite of many parts could be significant."""


@dataclass(frozen=True)
class Difference:
    """
    One column of two models: a task, a group of them, a part of a task, or the average.

    Attributes:
        column: its name.
        metric: mteb's name of it; empty where several are averaged.
        one, other: the scores of the two, fractions; over the queries that both have.
        n_queries: that the figures below are over; 0 where an evaluation has no scores per query
            on both sides, and then they are None. Translations of a query count each, and are
            drawn together: see _parallel_together.
        interval: of the mean difference, resampling queries; None where an evaluation has a
            single query, too, and so are effect_size and detectable.
        p: of the two-sided paired randomisation test.
        p_holm: the same, corrected for all columns that stand beside this one.
        p_least: the smallest that *p* can come to on so many queries, all of them on one side.
        tally: queries on which the second is better, level and worse.
        effect_size: Cohen's d of paired data.
        detectable: the smallest true difference that these queries would show as significant
            with a probability of 80 %, without a correction for other columns.
    """

    column: str
    metric: str
    one: float
    other: float
    n_queries: int = 0
    interval: ConfidenceInterval | None = None
    p: float | None = None
    p_holm: float | None = None
    p_least: float | None = None
    tally: Tally | None = None
    effect_size: float | None = None
    detectable: float | None = None

    @property
    def change(self) -> float:
        """The second less the first."""
        return self.other - self.one

    @property
    def is_significant(self) -> bool:
        """Whether the test, corrected for the other columns, rejects that they are equal."""
        return self.p_holm is not None and self.p_holm < ALPHA


@dataclass(frozen=True)
class Comparison:
    """
    The second model less the first.

    Attributes:
        one, other: what was compared.
        average: over the suite by its rule; None unless every evaluation is there on both sides.
        over_units: the interval of the average that resamples the tasks (or groups, where they
            are averaged) and their queries: what to expect on tasks like these. None where there
            are fewer than stats.LEAST_UNITS of them with scores per query.
        tasks: a difference each, in the suite's order; those that both have completely.
        groups: grouping -> the same by group.
        parts: of tasks of several splits and subsets, the same by each.
        evaluations: those that any of these is over.
        unlike: what is not like for like among them.
    """

    one: Measured
    other: Measured
    average: Difference | None
    over_units: ConfidenceInterval | None
    tasks: Sequence[Difference]
    groups: Mapping[str, Sequence[Difference]]
    parts: Sequence[Difference]
    evaluations: Collection[Evaluation]
    unlike: Sequence[Unlike]

    @property
    def complete(self) -> bool:
        """Whether nothing of the suite is missing on either side."""
        return not self.one.missing and not self.other.missing


def compare_scores(one: Measured, other: Measured, suite: Suite) -> Comparison:
    """
    The differences of *other* to *one*, by the suite's columns.

    Queries that only one of the two has are left out (and named in *unlike*). The same results
    give the same figures: what is drawn at random depends on tasks and ids of queries alone.
    """
    both = _PairedEvaluations(one, other, suite)
    by_task = both.columns(column_weights(suite, "task"))
    by_group = {
        grouping.by: both.columns(column_weights(suite, grouping.by)) for grouping in suite.groups
    }
    metrics = {task.name: task.metric for task in suite.tasks}
    tasks = [
        both.difference(task, metrics[task], weights)
        for task, weights in by_task.items()
        if weights
    ]
    groups = {
        by: _corrected(
            both.difference(group, "", weights) for group, weights in columns.items() if weights
        )
        for by, columns in by_group.items()
    }
    parts = [
        both.difference(evaluation.label, evaluation.metric, {evaluation: 1.0})
        for weights in by_task.values()
        if len(weights) > 1
        for evaluation in weights
    ]
    whole = both.columns({"average": average_weights(suite)})["average"]
    average = both.difference("average", "", whole) if whole else None
    if average is not None:
        average = replace(average, p_holm=average.p)
    units = by_group[suite.groups[0].by] if suite.average == "groups" else by_task
    every = [weights for columns in (by_task, *by_group.values()) for weights in columns.values()]
    compared = dict.fromkeys(evaluation for weights in every for evaluation in weights)
    return Comparison(
        one,
        other,
        average,
        both.over_units(list(units.values())),
        _corrected(tasks),
        groups,
        _corrected(parts),
        compared,
        unlike(one, other, compared),
    )


class _PairedEvaluations:
    """The evaluations that both models have, each resampled once."""

    def __init__(self, one: Measured, other: Measured, suite: Suite) -> None:
        self._one, self._other = one.evaluations, other.evaluations
        n_columns = len(self._one.keys() & self._other.keys())
        self._n_permutations = max(N_PERMUTATIONS, _PERMUTATIONS_PER_COLUMN * n_columns)
        self._instead = {
            part: own for task in suite.tasks for part, own in self._whole_for_parts(task).items()
        }
        self._paired: dict[Evaluation, _PairedQueries | None] = {}
        self._resampled: dict[Evaluation, BootstrapMean] = {}

    def columns(self, weights: Mapping[str, Weights]) -> dict[str, Weights]:
        """Column -> its weights, by what both models have; empty where that is not all of it."""
        found: dict[str, Weights] = {}
        for column, wanted in weights.items():
            there: dict[Evaluation, float] = {}
            for evaluation, weight in wanted.items():
                evaluation = self._instead.get(evaluation, evaluation)
                there[evaluation] = there.get(evaluation, 0.0) + weight
            found[column] = there if self._have(there) else {}
        return found

    def difference(self, column: str, metric: str, weights: Weights) -> Difference:
        """Over evaluations that both have."""
        shares = list(weights.values())
        scores = np.array([self._scores(evaluation) for evaluation in weights])
        one, other = (float(each) for each in np.array(shares) @ scores)
        found = Difference(column, metric, one, other)
        paired = [self._of_queries(each) for each in weights]
        known = [each for each in paired if each is not None]
        if len(known) < len(paired):
            return found
        strata, weight_of = _parallel_together(known, shares)
        found = replace(
            found,
            n_queries=sum(len(each.ids) for each in known),
            p=randomisation_p(strata, weight_of, n_permutations=self._n_permutations),
            p_least=_least_p(sum(map(len, strata)), self._n_permutations),
            tally=tally(np.concatenate([each.differences for each in known])),
        )
        if min(map(len, strata)) < 2:
            return found
        return replace(
            found,
            interval=self._mean(weights).interval(1 - ALPHA),
            effect_size=effect_size([each.differences for each in known], shares),
            detectable=detectable_difference(strata, weight_of, alpha=ALPHA),
        )

    def over_units(self, units: Sequence[Weights]) -> ConfidenceInterval | None:
        """The interval of the mean over units that are resampled themselves."""
        if len(units) < LEAST_UNITS or not all(units):
            return None
        paired = [self._of_queries(each) for weights in units for each in weights]
        if any(each is None or len(each.differences) < 2 for each in paired):
            return None
        means = [self._mean(weights) for weights in units]
        return interval_over_units(means, confidence=1 - ALPHA, seed=0)

    def _have(self, evaluations: Iterable[Evaluation]) -> bool:
        return all(each in self._one and each in self._other for each in evaluations)

    def _whole_for_parts(self, task: SuiteTask) -> dict[Evaluation, Evaluation]:
        """An aggregate's own scores in place of its parts', where one of the two lacks a part."""
        own = evaluations_of(task, task.name)
        parts = {part: evaluations_of(task, part) for part in task.parts}
        if not self._have(own) or all(map(self._have, parts.values())):
            return {}
        return {part: whole for of in parts.values() for part, whole in zip(of, own, strict=True)}

    def _scores(self, evaluation: Evaluation) -> tuple[float, float]:
        """Of the two; over the queries that both have, where one has others too."""
        one, other = self._one[evaluation], self._other[evaluation]
        paired = self._of_queries(evaluation)
        if paired is None or one.queries is None or other.queries is None:
            return one.value, other.value
        if len(paired.ids) == len(one.queries.ids) == len(other.queries.ids):
            return one.value, other.value
        return float(paired.one.mean()), float(paired.other.mean())

    def _of_queries(self, evaluation: Evaluation) -> _PairedQueries | None:
        """Of an evaluation; None where it has no query with a score on both sides."""
        if evaluation not in self._paired:
            one, other = self._one[evaluation].queries, self._other[evaluation].queries
            found = None
            if one is not None and other is not None:
                found = _paired(evaluation.task, one, other)
            self._paired[evaluation] = found
        return self._paired[evaluation]

    def _mean(self, weights: Weights) -> BootstrapMean:
        """Of evaluations that have scores per query, two each at least."""
        for evaluation in weights:
            paired = self._of_queries(evaluation)
            if paired is not None and evaluation not in self._resampled:
                self._resampled[evaluation] = bootstrap_mean(
                    paired.differences, n_resamples=N_RESAMPLES, seed=paired.seed
                )
        return weighted_mean([self._resampled[e] for e in weights], list(weights.values()))


@dataclass(frozen=True)
class _PairedQueries:
    """
    The queries that both models have.

    Attributes:
        task, ids: what they are; the same in several languages, where they are translations.
        one, other: their scores.
    """

    task: str
    ids: Sequence[str]
    one: Floats
    other: Floats

    @cached_property
    def differences(self) -> Floats:
        """The second model's score less the first's."""
        return self.other - self.one

    @cached_property
    def seed(self) -> int:
        """Translations of the same queries are drawn together, other queries independently."""
        return zlib.crc32("\n".join([self.task, *self.ids]).encode())


def _paired(task: str, one: QueryScores, other: QueryScores) -> _PairedQueries | None:
    if list(one.ids) == list(other.ids):
        return _PairedQueries(task, one.ids, one.values, other.values)
    place = {query: number for number, query in enumerate(other.ids)}
    places = [(number, place[query]) for number, query in enumerate(one.ids) if query in place]
    if not places:
        return None
    first, second = np.array(places).T
    ids = [one.ids[number] for number in first]
    return _PairedQueries(task, ids, one.values[first], other.values[second])


def _parallel_together(
    paired: Sequence[_PairedQueries], weights: Sequence[float]
) -> tuple[list[Floats], list[float]]:
    """
    Strata and their weights, where the same queries in several languages are one observation each.

    A question that is hard in one language is hard in the others: as observations of their own,
    they would make a mean look surer than it is.
    """
    sums: dict[tuple[str, ...], Floats] = {}
    shares: dict[tuple[str, ...], float] = {}
    for each, weight in zip(paired, weights, strict=True):
        queries = each.task, *each.ids
        sums[queries] = sums.get(queries, 0.0) + weight * each.differences
        shares[queries] = shares.get(queries, 0.0) + weight
    return [sums[key] / shares[key] for key in sums], list(shares.values())


def _least_p(n_queries: int, n_permutations: int) -> float:
    """Of randomisation_p: two of 2^n worlds, or where worlds are drawn, the one seen alone."""
    if n_queries <= math.log2(n_permutations):
        return 2.0 ** (1 - n_queries)
    return 1 / (1 + n_permutations)


def can_be_significant(found: Difference, beside: Iterable[Difference], alpha: float) -> bool:
    """
    Whether any difference on these queries could be beyond noise.

    Args:
        found: a column that was tested.
        beside: the columns that its correction is over; it may be among them.
        alpha: the level.
    """
    if found.p_least is None:
        return False
    others = [each.p for each in beside if each.p is not None and each.column != found.column]
    return holm([found.p_least, *others])[0] < alpha


def _corrected(differences: Iterable[Difference]) -> list[Difference]:
    """With Holm's correction over those that were tested."""
    found = list(differences)
    tested = [each.p for each in found if each.p is not None]
    corrected = iter(holm(tested) if tested else ())
    return [
        each if each.p is None else replace(each, p_holm=float(next(corrected))) for each in found
    ]
