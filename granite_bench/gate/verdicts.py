"""
What a gate found: a verdict for everything that its policy judges, and the exit code of all.

Plain data, for a terminal, JUnit, GitHub and JSON alike (see report.gate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from granite_bench.comparison.differences import Difference
from granite_bench.errors import ExitCode
from granite_bench.results.speed_comparison import Ratio


class Status(StrEnum):
    """
    How one thing that a policy judges came out.

    *incomplete* is neither: something is missing, or failed to run, and it never counts as passed.
    """

    PASSED = "passed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Verdict:
    """
    One candidate on one column, under one rule.

    Attributes:
        candidate, baseline: names of the two models.
        column: a task, a part of one, *average*, *speed*, or *update*.
        metric: mteb's name; of speed its unit, such as "tokens/s".
        rule: what is allowed, in words.
        sentence: what was found, whole in itself: what fell, from what to what, how sure that is.
        command: reproduces it on a terminal.
        difference: of the scores, the candidate less the baseline; None where one is missing.
        best: the best score in the baseline's history that the candidate was held against, a
            fraction; None where the baseline has no history.
        score: of the candidate, a fraction, where the baseline does not have the model yet.
        ratio: of the speeds, the candidate to the baseline; of the column *speed* alone.
        improved: whether the candidate is better, and significantly so where that can be tested.
    """

    candidate: str
    baseline: str
    column: str
    metric: str
    status: Status
    rule: str
    sentence: str
    command: str
    difference: Difference | None = None
    best: float | None = None
    score: float | None = None
    ratio: Ratio | None = None
    improved: bool = False


@dataclass(frozen=True)
class Check:
    """
    All verdicts of one check.

    Attributes:
        suite: its name.
        baseline: the file or folder.
        policy: its name.
        notes: what a reader must know: what was allowed to differ, what could not be tested.
        baseline_incomplete: whether something is missing on the baseline's side: then a failure
            cannot be told from a hole, and the check is incomplete whatever fails.
        seconds: that running what was missing took.
        first_baseline: whether there was no baseline, so that nothing could be held against it.
        baseline_written: whether the baseline's file was.
    """

    suite: str
    baseline: str
    policy: str
    verdicts: Sequence[Verdict]
    notes: Sequence[str]
    baseline_incomplete: bool
    seconds: float
    first_baseline: bool = False
    baseline_written: bool = False

    def of_status(self, status: Status) -> list[Verdict]:
        """The verdicts that came out so, in their order."""
        return [each for each in self.verdicts if each.status is status]

    @property
    def exit_code(self) -> ExitCode:
        """
        1 where something failed, 3 where something is incomplete, 0 where all passed.

        A failure beside a hole of the candidate is a failure; beside a hole of the baseline it is
        not known to be one.
        """
        failed, incomplete = self.of_status(Status.FAILED), self.of_status(Status.INCOMPLETE)
        if self.baseline_incomplete or (incomplete and not failed) or not self.verdicts:
            return ExitCode.INCOMPLETE
        return ExitCode.GATE_FAILED if failed else ExitCode.FINE
