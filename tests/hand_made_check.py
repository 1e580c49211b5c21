"""Checks made by hand, for the tests of how they are shown."""

from __future__ import annotations

from typing import Any

from granite_bench.comparison.differences import Difference
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.results.speed_comparison import Ratio
from granite_bench.stats.bootstrap import ConfidenceInterval
from granite_bench.stats.significance import Tally

COMMAND = "granite-bench check --suite small --baseline base.json --task SciFact"


def difference(one: float, other: float, **changes: Any) -> Difference:
    """Of SciFact, over 300 queries, with an interval of a point to both sides."""
    change = other - one
    known: dict[str, Any] = {
        "column": "SciFact",
        "metric": "ndcg_at_10",
        "n_queries": 300,
        "interval": ConfidenceInterval(change, change - 0.01, change + 0.01, 0.95, 300),
        "p": 0.01,
        "p_holm": 0.02,
        "tally": Tally(19, 231, 50),
        "effect_size": -0.2,
        "detectable": 0.015,
    }
    return Difference(one=one, other=other, **{**known, **changes})


def verdict(status: Status = Status.PASSED, **changes: Any) -> Verdict:
    """A drop of SciFact from 64.51 to 62.20 points, where the best was 66."""
    known: dict[str, Any] = {
        "candidate": "org/new",
        "baseline": "org/old",
        "column": "SciFact",
        "metric": "ndcg_at_10",
        "rule": "at most 1.00 points less",
        "sentence": "nDCG@10 of SciFact fell by 2.31 points",
        "command": COMMAND,
        "difference": difference(0.6451, 0.6220),
        "best": 0.66,
    }
    return Verdict(status=status, **{**known, **changes})


def speed(**changes: Any) -> Verdict:
    """A candidate that is a tenth slower."""
    ratio = Ratio(value=0.9, low=0.85, high=0.95, confidence=0.95, n_pairs=5)
    known = {"column": "speed", "metric": "tokens/s", "difference": None, "best": None}
    return verdict(**{**known, "ratio": ratio, **changes})


def missing(**changes: Any) -> Verdict:
    """A task without a result."""
    sentence = "TaskB has no result: the disk is full"
    known = {"column": "TaskB", "sentence": sentence, "difference": None, "best": None}
    return verdict(Status.INCOMPLETE, **{**known, **changes})


def check_of(*verdicts: Verdict, **changes: Any) -> Check:
    """These verdicts on the suite *small*."""
    known: dict[str, Any] = {
        "suite": "small",
        "baseline": "base.json",
        "policy": "release",
        "notes": ["mteb differs, which --allow mteb permits"],
        "baseline_incomplete": False,
        "seconds": 12.5,
    }
    return Check(verdicts=verdicts, **{**known, **changes})
