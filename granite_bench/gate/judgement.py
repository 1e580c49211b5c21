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

from granite_bench.comparison.differences import Comparison, Difference, compare
from granite_bench.comparison.likeness import KINDS, unlike
from granite_bench.comparison.measured import Measured
from granite_bench.errors import BadInput, Fault
from granite_bench.gate.baseline import Best, History
from granite_bench.gate.baseline_file import StoredModel, values_of
from granite_bench.gate.policy import Policy, Rule
from granite_bench.gate.sentences import (
    AVERAGE,
    SAME,
    change_text,
    drop_text,
    missing_text,
    new_text,
    queries_text,
    rule_text,
    since_best_text,
)
from granite_bench.gate.suite_scores import average_score, missing_of, task_score
from granite_bench.gate.verdicts import Status, Verdict
from granite_bench.scores import evaluations_of
from granite_bench.suite import Suite, SuiteTask

ALL_KINDS = "all"
"""What allows every kind of difference."""


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
class Pair:
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
        unlike: whether something was judged that is not like for like.
    """

    verdicts: Sequence[Verdict]
    notes: Sequence[str]
    candidate_incomplete: bool
    baseline_incomplete: bool
    unlike: bool


def judge(
    pairs: Sequence[Pair],
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
    notes = _likeness_notes(pairs, suite, policy, tasks, allowed)
    allowed_to_differ = bool(notes)
    found = [_Judged(pair, suite, policy, command, tasks) for pair in pairs]
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
        allowed_to_differ,
    )


class _Judged:
    """One pair; what is missing on either side is noted as it is met."""

    def __init__(
        self,
        pair: Pair,
        suite: Suite,
        policy: Policy,
        command: Command,
        tasks: Collection[str],
    ) -> None:
        self._pair, self._policy, self._command = pair, policy, command
        self.candidate_incomplete = self.baseline_incomplete = False
        self.verdicts: list[Verdict] = []
        for by_metric in policy.suites(suite):
            self.verdicts += self._of_suite(by_metric, suite, tasks)

    def _of_suite(self, by_metric: Suite, suite: Suite, tasks: Collection[str]) -> list[Verdict]:
        """Over the suite, or over tasks of it by another metric."""
        pair, policy = self._pair, self._policy
        history = History(pair.baseline.history if pair.baseline is not None else (), by_metric)
        comparison = None
        if pair.baseline is not None:
            comparison = compare(pair.baseline.measured, pair.candidate, by_metric)
        verdicts = []
        for task in by_metric.tasks:
            rule = policy.rule_of(task)
            if rule is None or (tasks and task.name not in tasks):
                continue
            verdicts.append(self._task(task, rule, by_metric, comparison, history))
        if by_metric is not suite:
            return verdicts
        if policy.parts is not None and comparison is not None:
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
            return self._verdict(task.name, task.metric, Status.INCOMPLETE, rule, holes, task.name)
        if comparison is None:
            score = task_score(task, suite, values_of(self._pair.candidate))
            sentence = new_text(task.name, task.metric, score or 0.0)
            return self._verdict(task.name, task.metric, Status.PASSED, rule, sentence, task.name)
        found = next((each for each in comparison.tasks if each.column == task.name), None)
        if found is None:
            self.baseline_incomplete = True
            sentence = f"{task.name} cannot be judged: one side has its parts alone, one itself"
            return self._verdict(
                task.name, task.metric, Status.INCOMPLETE, rule, sentence, task.name
            )
        return self._scored(found, task.metric, rule, history.of_task(task), task.name)

    def _parts(
        self,
        rule: Rule,
        suite: Suite,
        comparison: Comparison,
        history: History,
        tasks: Collection[str],
    ) -> Iterator[Verdict]:
        of_task = {
            evaluation.label: task.name
            for task in suite.tasks
            for name in (task.name, *task.parts)
            for evaluation in evaluations_of(task, name)
        }
        for found in comparison.parts:
            task = of_task[found.column]
            if not tasks or task in tasks:
                best = history.of_part(found.column)
                yield self._scored(found, found.metric, rule, best, task)

    def _average(
        self, rule: Rule, suite: Suite, comparison: Comparison | None, history: History
    ) -> Verdict:
        metrics = {task.metric for task in suite.tasks}
        metric = metrics.pop() if len(metrics) == 1 else ""
        holes = {task.name: found for task in suite.tasks if (found := self._holes(task))}
        if holes:
            named = ", ".join(holes)
            sentence = f"the average cannot be judged: something is missing of {named}"
            return self._verdict(AVERAGE, metric, Status.INCOMPLETE, rule, sentence, "")
        if comparison is None:
            score = average_score(suite, values_of(self._pair.candidate))
            sentence = new_text(AVERAGE, metric, score or 0.0)
            return self._verdict(AVERAGE, metric, Status.PASSED, rule, sentence, "")
        if comparison.average is None:
            self.baseline_incomplete = True
            sentence = "the average cannot be judged: the two sides have other parts of tasks"
            return self._verdict(AVERAGE, metric, Status.INCOMPLETE, rule, sentence, "")
        return self._scored(comparison.average, metric, rule, history.of_average(), "")

    def _holes(self, task: SuiteTask) -> str:
        """What is missing of a task on either side, in words; empty where nothing is."""
        pair = self._pair
        names = task.parts or (task.name,)
        n = sum(len(evaluations_of(task, name)) for name in names)
        said = []
        cause = next((c for name in (task.name, *names) if (c := pair.causes.get(name))), "")
        missing = missing_of(task, pair.candidate.evaluations)
        if cause or missing:
            self.candidate_incomplete = True
            said.append(
                f"running {task.name} failed: {cause}"
                if cause
                else missing_text(task.name, task.metric, "the candidate", missing, n)
            )
        if pair.baseline is not None:
            missing = missing_of(task, pair.baseline.measured.evaluations)
            if missing:
                self.baseline_incomplete = True
                said.append(missing_text(task.name, task.metric, "the baseline", missing, n))
        return "; ".join(said)

    def _scored(
        self, found: Difference, metric: str, rule: Rule, best: Best | None, task: str
    ) -> Verdict:
        found = replace(found, metric=metric)
        larger = -found.change > rule.max_drop.of(found.one) + SAME
        tested = rule.significant and found.p_holm is not None
        noise = tested and not _is_significant(found, self._policy.alpha)
        drifted = (
            best is not None
            and rule.max_drop_since_best is not None
            and best.score - found.other > rule.max_drop_since_best.of(best.score) + SAME
        )
        sentence = change_text(found) + drop_text(found, rule, larger=larger, noise=noise)
        # Where the best is the baseline's own score, what fell from it is said already.
        said = larger and not noise and best is not None and best.score <= found.one + SAME
        if best is not None and drifted and not said:
            sentence += since_best_text(found, rule, best)
        failed = (larger and not noise) or drifted
        significant = found.p_holm is None or _is_significant(found, self._policy.alpha)
        return self._verdict(
            found.column,
            metric,
            Status.FAILED if failed else Status.PASSED,
            rule,
            sentence + queries_text(found),
            task,
            difference=found,
            best=None if best is None else best.score,
            improved=found.change > SAME and significant,
        )

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
        improved: bool = False,
    ) -> Verdict:
        candidate = self._pair.candidate.model
        return Verdict(
            candidate=candidate,
            baseline=self._pair.against,
            column=column,
            metric=metric,
            status=status,
            rule=rule_text(rule),
            sentence=sentence,
            command=self._command(candidate, task, missing=status is Status.INCOMPLETE),
            difference=difference,
            best=best,
            improved=improved,
        )


def _is_significant(found: Difference, alpha: float) -> bool:
    return found.p_holm is not None and found.p_holm < alpha


def _likeness_notes(
    pairs: Sequence[Pair],
    suite: Suite,
    policy: Policy,
    tasks: Collection[str],
    allowed: Collection[str],
) -> list[str]:
    """What was allowed to differ; raises BadInput for the rest."""
    evaluations = [
        evaluation
        for by_metric in policy.suites(suite)
        for task in by_metric.tasks
        if not tasks or task.name in tasks
        for name in (task.name, *task.parts)
        for evaluation in evaluations_of(task, name)
    ]
    notes: dict[str, None] = {}
    faults: dict[Fault, None] = {}
    for pair in pairs:
        if pair.baseline is None:
            continue
        baseline, candidate = pair.baseline.measured, pair.candidate
        for each in unlike(baseline, candidate, evaluations):
            sides = f"the baseline's {baseline.model} and {candidate.model}"
            if each.kind in allowed or ALL_KINDS in allowed:
                notes[f"allowed, though not like for like: {sides}: {each}"] = None
            else:
                hint = (
                    f"this is {KINDS[each.kind]}: run both alike, or judge all the same with "
                    f"--allow {each.kind}"
                )
                faults[Fault(f"not like for like: {sides}", str(each), hint)] = None
    if faults:
        raise BadInput(faults)
    return list(notes)


def _unjudged(suite: Suite, policy: Policy, tasks: Collection[str]) -> list[str]:
    """What the policy has no rule for."""
    left = [task.name for task in suite.tasks if policy.rule_of(task) is None]
    left += ["the average"] if policy.average is None else []
    left += ["parts of tasks"] if policy.parts is None else []
    notes = [f"policy {policy.name} does not judge: {', '.join(left)}"] if left else []
    if tasks:
        notes.append(f"judged for {', '.join(tasks)} alone: no average")
    return notes
