"""
A check as annotations on GitHub's page of a workflow run.

They are lines of the log that the runner reads: `::error title=...::message`. Escaping as
@actions/core has it (packages/core/src/command.ts of github.com/actions/toolkit).
"""

from __future__ import annotations

from collections.abc import Sequence

from granite_bench.errors import Fault, plain
from granite_bench.gate.verdicts import Check, Verdict
from granite_bench.printed import metric_name
from granite_bench.report.gate import BETTER, sections

MOST_OF_A_KIND = 10
"""Errors, and notices, that GitHub shows of a step; it drops the others without a word."""


def check_annotations(check: Check) -> list[str]:
    """An error for all that failed or is incomplete, a notice for all that is better."""
    found = [(name, each) for name, verdicts in sections(check) for each in verdicts]
    errors = [
        _annotation("error", _title(name, each), f"{each.sentence}\n{each.command}")
        for name, each in found
        if name != BETTER
    ]
    if not errors and check.exit_code:
        errors = [_annotation("error", check.suite, "the check is incomplete: see its log")]
    notices = [
        _annotation("notice", _title(name, each), each.sentence)
        for name, each in found
        if name == BETTER
    ]
    return [*_first(errors, "error"), *_first(notices, "notice")]


def refusal_annotations(faults: Sequence[Fault]) -> list[str]:
    """An error for each fault of the input that kept the check from judging anything."""
    errors = [_annotation("error", "granite-bench check", str(each)) for each in faults]
    return _first(errors, "error")


def _title(how: str, verdict: Verdict) -> str:
    what = " ".join(filter(None, (verdict.column, metric_name(verdict.metric))))
    return f"{what} {how}: {verdict.candidate}"


def _first(lines: Sequence[str], kind: str) -> list[str]:
    """All lines, or as many as are shown, the last of which counts the rest."""
    if len(lines) <= MOST_OF_A_KIND:
        return list(lines)
    shown = lines[: MOST_OF_A_KIND - 1]
    rest = f"and {len(lines) - len(shown):,} more: see the summary or the log"
    return [*shown, _annotation(kind, "granite-bench check", rest)]


def _annotation(kind: str, title: str, message: str) -> str:
    in_title = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={in_title}::{_data(message)}"


def _data(text: str) -> str:
    """Escaped; of control characters line breaks alone are left."""
    return "%0A".join(plain(line).replace("%", "%25") for line in text.split("\n"))
