"""
Candidates against a baseline, by a policy: a verdict for each column.

A task is judged twice: on what it lost against the baseline, and on what it lost since the best
score of the baseline's history. Nothing that is missing passes, and what is not like for like is
not judged at all, unless that is allowed, which the notes then say. Correction for several columns
is over all that both models have, whatever is asked for: one task by itself comes out the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from granite_bench.comparison.differences import (
    Comparison,
    Difference,
    compare_scores,
)
from granite_bench.comparison.likeness import ALL_KINDS, KINDS, Unlike, unlike
from granite_bench.comparison.measured import Measured
from granite_bench.errors import BadInput, Fault
from granite_bench.gate.baseline import Best, History
from granite_bench.gate.baseline_file import StoredModel, values_of
from granite_bench.gate.holes import Holes, holes_of, parts_of_one_side
from granite_bench.gate.policy import Policy, Rule
from granite_bench.gate.ruling import rule_on
from granite_bench.gate.sentences import AVERAGE, new_text, rule_text
from granite_bench.gate.suite_scores import average_score, task_score, tasks_of_labels
from granite_bench.gate.verdicts import Status, Verdict
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, common_metric
from granite_bench.tables.weights import column_weights


class Command(Protocol):
    """The command that judges something again."""

    def __call__(self, candidate: str, task: str, /, *, missing: bool = False) -> str:
        """
        Args:
            candidate: its name.
            task: of the suite; empty for all of it.
            missing: whether something must be run before.
        """


@dataclass(frozen=True)
class BaselinePair:
    """
    A candidate and what it is held against.

    Attributes:
        baseline: None where the baseline does not have the model yet.
        causes: task -> why running it failed just now.
    """

    candidate: Measured
    baseline: StoredModel | None
    causes: Mapping[str, str] = field(default_factory=dict)

    @property
    def against(self) -> str:
        """The name of the baseline's model."""
        return self.candidate.model if self.baseline is None else self.baseline.measured.model


@dataclass(frozen=True)
class Judgement:
    """
    What came out.

    Attributes:
        verdicts: candidate by candidate: tasks, parts, the average.
        notes: what a reader must know.
        candidate_incomplete, baseline_incomplete: whether something is missing there.
        unlike: candidates that were judged though they are not like for like.
    """

    verdicts: Sequence[Verdict]
    notes: Sequence[str]
    candidate_incomplete: bool
    baseline_incomplete: bool
    unlike: Collection[str]


def judge(
    pairs: Sequence[BaselinePair],
    suite: Suite,
    policy: Policy,
    command: Command,
    *,
    tasks: Collection[str] = (),
    allowed: Collection[str] = (),
) -> Judgement:
    """
    Judge every pair.

    Args:
        command: reproduces a verdict.
        tasks: these alone, and no average; none is all.
        allowed: kinds of differences (likeness.KINDS) that are judged all the same, or "all".

    Raises:
        BadInput: results that are not like for like (every difference named).
    """
    found = [_Judged(pair, suite, policy, command, tasks) for pair in pairs]
    allowed_of = _allowed_to_differ(found, allowed)
    notes = list(dict.fromkeys(note for of_one in allowed_of.values() for note in of_one))
    verdicts = [verdict for each in found for verdict in each.verdicts]
    untested = dict.fromkeys(
        f"{verdict.column} of {verdict.candidate}"
        for verdict in verdicts
        if verdict.difference is not None and verdict.difference.p is None
    )
    if untested:
        what = "no scores per query on both sides, so that nothing can be tested"
        notes.append(f"{what}: {', '.join(untested)}")
    notes += _unjudged(suite, policy, tasks)
    return Judgement(
        verdicts,
        notes,
        any(each.candidate_incomplete for each in found),
        any(each.baseline_incomplete for each in found),
        list(allowed_of),
    )


class _Judged:
    """
    One pair; what is missing on either side is noted as it is met.

    Attributes:
        unlike: what is not like for like of all that was compared.
    """

    def __init__(
        self,
        pair: BaselinePair,
        suite: Suite,
        policy: Policy,
        command: Command,
        tasks: Collection[str],
    ) -> None:
        self.pair, self._policy, self._command = pair, policy, command
        self.candidate_incomplete = self.baseline_incomplete = False
        self.verdicts: list[Verdict] = []
        compared: dict[Evaluation, None] = {}
        for by_metric in policy.suites(suite):
            comparison = None
            if pair.baseline is not None:
                comparison = compare_scores(pair.baseline.measured, pair.candidate, by_metric)
                task_of = tasks_of_labels(by_metric)
                compared |= dict.fromkeys(
                    each
                    for each in comparison.evaluations
                    if not tasks or task_of[each.label] in tasks
                )
            self.verdicts += self._of_suite(by_metric, suite, comparison, tasks)
        self.unlike: Sequence[Unlike] = []
        if pair.baseline is not None:
            self.unlike = unlike(pair.baseline.measured, pair.candidate, compared)

    def _of_suite(
        self,
        by_metric: Suite,
        suite: Suite,
        comparison: Comparison | None,
        tasks: Collection[str],
    ) -> list[Verdict]:
        """Over the suite, or over tasks of it by another metric."""
        pair, policy = self.pair, self._policy
        history = History(pair.baseline.history if pair.baseline is not None else (), by_metric)
        verdicts = []
        for task in by_metric.tasks:
            rule = policy.rule_of(task)
            if rule is None or (tasks and task.name not in tasks):
                continue
            verdicts.append(self._task(task, rule, by_metric, comparison, history))
        if by_metric is not suite:
            return verdicts
        if policy.parts is not None:
            verdicts += self._parts(policy.parts, suite, comparison, history, tasks)
        if policy.average is not None and not tasks:
            verdicts.append(self._average(policy.average, suite, comparison, history))
        return verdicts

    def _task(
        self,
        task: SuiteTask,
        rule: Rule,
        suite: Suite,
        comparison: Comparison | None,
        history: History,
    ) -> Verdict:
        holes = self._holes(task)
        if holes:
            return self._incomplete(task.name, task.metric, rule, holes, task.name)
        if comparison is None:
            score = task_score(task, suite, values_of(self.pair.candidate))
            return self._new(task.name, task.metric, rule, score, task.name)
        found = next((each for each in comparison.tasks if each.column == task.name), None)
        if found is None:
            said = f"{task.name} cannot be judged: one side has its parts alone, one itself"
            holes = self._noted(Holes(of_baseline=said))
            return self._incomplete(task.name, task.metric, rule, holes, task.name)
        best = history.of_task(task)
        return self._scored(found, task.metric, rule, best, task.name, comparison.tasks)

    def _parts(
        self,
        rule: Rule,
        suite: Suite,
        comparison: Comparison | None,
        history: History,
        tasks: Collection[str],
    ) -> Iterator[Verdict]:
        """Of tasks that have several; those of a task that has holes are incomplete together."""
        parts = comparison.parts if comparison is not None else []
        task_of = tasks_of_labels(suite)
        several = [
            task
            for task in suite.tasks
            if len(column_weights(suite, "task")[task.name]) > 1
            and (not tasks or task.name in tasks)
        ]
        baseline = None if self.pair.baseline is None else self.pair.baseline.measured
        for task in several:
            holes = self._holes(task)
            if holes and self._policy.rule_of(task) is not None:
                continue  # which is said of the whole task
            if not holes:
                holes = self._noted(parts_of_one_side(task, self.pair.candidate, baseline))
            if holes:
                column = f"parts of {task.name}"
                yield self._incomplete(column, task.metric, rule, holes, task.name)
                continue
            for found in parts:
                if task_of[found.column] == task.name:
                    best = history.of_part(found.column)
                    yield self._scored(found, found.metric, rule, best, task.name, parts)

    def _average(
        self, rule: Rule, suite: Suite, comparison: Comparison | None, history: History
    ) -> Verdict:
        metric = common_metric(suite)
        holes = {task.name: found for task in suite.tasks if (found := self._holes(task))}
        if holes:
            said = f"the average cannot be judged: something is missing of {', '.join(holes)}"
            of_candidate = any(each.of_candidate for each in holes.values())
            whole = Holes(said, "") if of_candidate else Holes("", said)
            return self._incomplete(AVERAGE, metric, rule, whole, "")
        if comparison is None:
            score = average_score(suite, values_of(self.pair.candidate))
            return self._new(AVERAGE, metric, rule, score, "")
        if comparison.average is None:
            said = "the average cannot be judged: the two sides have other parts of tasks"
            holes_of_average = self._noted(Holes(of_baseline=said))
            return self._incomplete(AVERAGE, metric, rule, holes_of_average, "")
        return self._scored(comparison.average, metric, rule, history.of_average(), "", ())

    def _holes(self, task: SuiteTask) -> Holes:
        """Of a task on either side; noted."""
        pair = self.pair
        baseline = None if pair.baseline is None else pair.baseline.measured
        return self._noted(holes_of(task, pair.candidate, baseline, pair.causes))

    def _noted(self, holes: Holes) -> Holes:
        self.candidate_incomplete |= bool(holes.of_candidate)
        self.baseline_incomplete |= bool(holes.of_baseline)
        return holes

    def _scored(
        self,
        found: Difference,
        metric: str,
        rule: Rule,
        best: Best | None,
        task: str,
        beside: Sequence[Difference],
    ) -> Verdict:
        """
        By figures of both sides.

        Args:
            beside: the columns that the correction of the test is over.
        """
        found = replace(found, metric=metric)
        ruling = rule_on(found, rule, best, beside, self._policy.alpha)
        return self._verdict(
            found.column,
            metric,
            Status.FAILED if ruling.failed else Status.PASSED,
            rule,
            ruling.sentence,
            task,
            difference=found,
            best=None if best is None else best.score,
            improved=ruling.improved,
        )

    def _incomplete(self, column: str, metric: str, rule: Rule, holes: Holes, task: str) -> Verdict:
        """What the candidate lacks is run by the command; the baseline is not for it to mend."""
        missing = bool(holes.of_candidate)
        return self._verdict(
            column, metric, Status.INCOMPLETE, rule, str(holes), task, missing=missing
        )

    def _new(self, column: str, metric: str, rule: Rule, score: float | None, task: str) -> Verdict:
        """A score without holes, of a model that the baseline does not have yet."""
        sentence = new_text(column, metric, score or 0.0)
        return self._verdict(column, metric, Status.PASSED, rule, sentence, task, score=score)

    def _verdict(
        self,
        column: str,
        metric: str,
        status: Status,
        rule: Rule,
        sentence: str,
        task: str,
        *,
        difference: Difference | None = None,
        best: float | None = None,
        score: float | None = None,
        improved: bool = False,
        missing: bool = False,
    ) -> Verdict:
        candidate = self.pair.candidate.model
        return Verdict(
            candidate=candidate,
            baseline=self.pair.against,
            column=column,
            metric=metric,
            status=status,
            rule=rule_text(rule),
            sentence=sentence,
            command=self._command(candidate, task, missing=missing),
            difference=difference,
            best=best,
            score=score,
            improved=improved,
        )


def _allowed_to_differ(
    judged: Sequence[_Judged], allowed: Collection[str]
) -> Mapping[str, Sequence[str]]:
    """Candidate -> what was allowed to differ, in words; raises BadInput for the rest."""
    notes: dict[str, list[str]] = {}
    faults: dict[Fault, None] = {}
    for one in judged:
        candidate = one.pair.candidate.model
        sides = f"the baseline's {one.pair.against} and {candidate}"
        for each in one.unlike:
            if each.kind in allowed or ALL_KINDS in allowed:
                note = f"allowed, though not like for like: {sides}: {each}"
                notes.setdefault(candidate, []).append(note)
            else:
                hint = (
                    f"this is {KINDS[each.kind]}: run both alike, or judge all the same with "
                    f"--allow {each.kind}"
                )
                faults[Fault(f"not like for like: {sides}", str(each), hint)] = None
    if faults:
        raise BadInput(faults)
    return notes


def _unjudged(suite: Suite, policy: Policy, tasks: Collection[str]) -> list[str]:
    """What the policy has no rule for."""
    left = [task.name for task in suite.tasks if policy.rule_of(task) is None]
    left += ["the average"] if policy.average is None else []
    left += ["parts of tasks"] if policy.parts is None else []
    notes = [f"policy {policy.name} does not judge: {', '.join(left)}"] if left else []
    if tasks:
        notes.append(f"judged for {', '.join(tasks)} alone: no average")
    return notes
