"""What cannot be judged, since a candidate or its baseline lacks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from granite_bench.comparison.measured import Measured
from granite_bench.gate.sentences import missing_text
from granite_bench.gate.suite_scores import missing_of
from granite_bench.suite.suite import SuiteTask
from granite_bench.tables.scores import evaluations_of


@dataclass(frozen=True)
class Holes:
    """What is missing on either side, in words; empty where nothing is."""

    of_candidate: str = ""
    of_baseline: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.of_candidate, self.of_baseline)))

    def __bool__(self) -> bool:
        return bool(self.of_candidate or self.of_baseline)


def holes_of(
    task: SuiteTask, candidate: Measured, baseline: Measured | None, causes: Mapping[str, str]
) -> Holes:
    """
    Of a task as a whole.

    Args:
        baseline: None where there is none yet, which is no hole.
        causes: task -> why running it failed just now; what an earlier run left does not count.
    """
    names = task.parts or (task.name,)
    n = sum(len(evaluations_of(task, name)) for name in names)
    cause = next((c for name in (task.name, *names) if (c := causes.get(name))), "")
    of_candidate = f"running {task.name} failed: {' '.join(cause.split())}" if cause else ""
    if not cause and (missing := missing_of(task, candidate.evaluations)):
        of_candidate = missing_text(task.name, task.metric, "the candidate", missing, n)
    of_baseline = ""
    if baseline is not None and (missing := missing_of(task, baseline.evaluations)):
        of_baseline = missing_text(task.name, task.metric, "the baseline", missing, n)
    return Holes(of_candidate, of_baseline)


def parts_of_one_side(task: SuiteTask, candidate: Measured, baseline: Measured | None) -> Holes:
    """Of an aggregate whose parts one side has, and the other as a whole alone."""
    parts = [each for part in task.parts for each in evaluations_of(task, part)]
    if baseline is None or not parts:
        return Holes()
    now, before = (all(map(side.evaluations.__contains__, parts)) for side in (candidate, baseline))
    said = f"the parts of {task.name} cannot be judged: {{}} has their mean alone"
    return Holes(
        said.format("the candidate") if before and not now else "",
        said.format("the baseline") if now and not before else "",
    )
