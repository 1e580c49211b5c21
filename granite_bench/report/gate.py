"""A check as a terminal, a file and GitHub's step summary show it: the verdict first, then why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from granite_bench.errors import ExitCode, Fault, plain
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.printed import interval_text, metric_name, p_text, points, score_text
from granite_bench.report.printed_table import HOLE
from granite_bench.report.text import markdown_row, markdown_text

VERSION = 1
"""Of the JSON; a change that a reader could trip over raises it."""

REFUSED = "refused"
"""The status of a check that bad input kept from judging anything."""

UNFINISHED = "unfinished"
"""The status of a check that is running, or that something broke off."""

BETTER = "better"
"""What an improvement is called."""

SUMMARY_LIMIT = 2**20
"""Bytes of a step's summary; GitHub drops all of a longer one."""

HEADS = (
    "verdict", "model", "column", "metric", "baseline", "candidate", "change", "interval", "p",
    "since best", "allowed",
)  # fmt: skip

LEGEND = (
    "Scores and changes in points (100 times the score), speeds as the candidate's to the "
    "baseline's. change: candidate less baseline, with its interval; p: that they are equal, "
    "corrected for the columns beside it (Holm); since best: candidate less the best score in the "
    "baseline's history."
)

_WIDE = 110
"""Columns of a terminal that a verdict's figures fit into side by side."""

_BELOW = {"metric": "column", "interval": "change", "p": "change"}
"""What stands below what on a narrower one."""

_EXIT_STATUS = {
    ExitCode.FINE: Status.PASSED,
    ExitCode.GATE_FAILED: Status.FAILED,
    ExitCode.INCOMPLETE: Status.INCOMPLETE,
}


def status_of(check: Check) -> Status:
    """How the check came out as a whole, as its exit code says."""
    return _EXIT_STATUS[check.exit_code]


def headline(check: Check) -> str:
    """The verdict on everything, in one line: what was held against what, and how many failed."""
    what = f"{check.suite} against {check.baseline}, policy {check.policy}"
    if check.first_baseline:
        became = f"{check.baseline} was written" if check.baseline_written else "none was written"
        what = f"{check.suite}: there was no baseline, and {became}"
    return f"{status_of(check).upper()}: {what}: {_counts(check)}"


def sections(check: Check) -> list[tuple[str, list[Verdict]]]:
    """What needs a sentence of its own: failed, incomplete, better; those that there are."""
    found = [
        (str(Status.FAILED), check.of_status(Status.FAILED)),
        (str(Status.INCOMPLETE), check.of_status(Status.INCOMPLETE)),
        (BETTER, [each for each in check.verdicts if each.improved]),
    ]
    return [(name, verdicts) for name, verdicts in found if verdicts]


def row(verdict: Verdict) -> tuple[str, ...]:
    """The cells of HEADS; what there is nothing of is a dash."""
    found, best = verdict.difference, since_best(verdict)
    cells = dict.fromkeys(HEADS, HOLE) | {
        "verdict": str(verdict.status),
        "model": verdict.candidate,
        "column": verdict.column,
        "metric": metric_name(verdict.metric) or HOLE,
        "allowed": verdict.rule,
    }
    if found is not None:
        cells |= {
            "baseline": score_text(found.one),
            "candidate": score_text(found.other),
            "change": points(found.change),
        }
        if found.interval is not None:
            cells["interval"] = interval_text(found.interval)
        if found.p_holm is not None:
            cells["p"] = p_text(found.p_holm)
    if best is not None:
        cells["since best"] = points(best)
    if verdict.score is not None:
        cells["candidate"] = score_text(verdict.score)
    if verdict.ratio is not None:
        cells["change"] = f"× {verdict.ratio.value:.2f}"
        if verdict.ratio.low is not None and verdict.ratio.high is not None:
            cells["interval"] = f"{verdict.ratio.low:.2f} to {verdict.ratio.high:.2f}"
    return tuple(cells[head] for head in HEADS)


def since_best(verdict: Verdict) -> float | None:
    """The candidate's score less the best of the baseline's history; None where one is missing."""
    if verdict.best is None or verdict.difference is None:
        return None
    return verdict.difference.other - verdict.best


def print_check(check: Check, console: Console) -> None:
    """
    Print the verdict, what failed and how to reproduce it, and a table for each candidate.

    Eighty columns are enough; a command is never broken over lines, so that it can be copied, and
    stands once below all that it reproduces.
    """
    _say(console, headline(check), style="bold")
    for name, verdicts in sections(check):
        for command, together in groupby(verdicts, key=lambda each: each.command):
            for verdict in together:
                _say(console, f"{name}: {verdict.candidate}: {verdict.sentence}")
            if name != BETTER:
                _say(console, f"    {command}", soft_wrap=True)
    rules = list(dict.fromkeys(each.rule for each in check.verdicts))
    for candidate in dict.fromkeys(each.candidate for each in check.verdicts):
        of_candidate = [each for each in check.verdicts if each.candidate == candidate]
        console.print()
        console.print(_grid(of_candidate, rules, stacked=console.width < _WIDE))
    if check.verdicts:
        console.print()
    for number, rule in enumerate(rules, 1):
        _say(console, f"allowed [{number}]: {rule}", style="dim")
    for note in (*check.notes, *([LEGEND] if check.verdicts else [])):
        _say(console, note, style="dim")


def as_json(check: Check) -> str:
    """Everything that was found, unrounded; scores as fractions."""
    return _json(
        {
            "version": VERSION,
            "status": str(status_of(check)),
            "exit_code": int(check.exit_code),
            "suite": check.suite,
            "baseline": check.baseline,
            "policy": check.policy,
            "baseline_incomplete": check.baseline_incomplete,
            "first_baseline": check.first_baseline,
            "baseline_written": check.baseline_written,
            "seconds": check.seconds,
            "notes": list(check.notes),
            "verdicts": [_verdict_content(each) for each in check.verdicts],
        }
    )


def refusal_as_json(suite: str, faults: Sequence[Fault], status: str = REFUSED) -> str:
    """The same file where nothing was judged; *status* is REFUSED or UNFINISHED."""
    return _json(
        {
            "version": VERSION,
            "status": status,
            "exit_code": int(ExitCode.BAD_INPUT) if status == REFUSED else None,
            "suite": suite,
            "faults": [asdict(each) for each in faults],
        }
    )


def refusal_summary(suite: str, faults: Sequence[Fault], status: str = REFUSED) -> str:
    """The page of step_summary where nothing was judged; *status* as of refusal_as_json."""
    lines = [f"- {markdown_text(' '.join(str(each).split()))}" for each in faults]
    return "\n".join([f"## {status.upper()}: {markdown_text(suite)}", "", *lines]) + "\n"


def step_summary(check: Check) -> str:
    """
    The check as Markdown for GitHub's page of a workflow run.

    Lists and table are shortened, with a count, until the whole is within SUMMARY_LIMIT.
    """
    shown = max(len(check.verdicts), len(check.notes))
    while len((text := _summary(check, shown)).encode()) > SUMMARY_LIMIT and shown:
        shown //= 2
    return text


def _counts(check: Check) -> str:
    if not check.verdicts:
        return "nothing was judged"
    of = {status: len(check.of_status(status)) for status in Status}
    better = sum(each.improved for each in check.verdicts)
    # What nothing was held against has not passed anything.
    new = sum(
        each.difference is None and each.ratio is None for each in check.of_status(Status.PASSED)
    )
    said = [
        f"{n} {word}"
        for n, word in (
            (of[Status.FAILED], "failed"),
            (of[Status.INCOMPLETE], "incomplete"),
            (of[Status.PASSED] - new, "passed"),
            (new, "new"),
            (better, BETTER),
        )
        if n
    ]
    counts = ", ".join(said)
    if check.baseline_incomplete:
        counts += "; something is missing in the baseline, so that nothing is known to have failed"
    return counts


def _grid(verdicts: Sequence[Verdict], rules: Sequence[str], *, stacked: bool) -> RichTable:
    """One candidate's verdicts; *stacked* puts figures that belong together below each other."""
    first = verdicts[0]
    grid = RichTable(
        title=Text(plain(f"{first.candidate} against {first.baseline}"), style="bold"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    heads = [head for head in HEADS if head != "model" and not (stacked and head in _BELOW)]
    for head in heads:
        words = head in ("verdict", "column", "metric")
        grid.add_column(
            head.replace(" ", "\n"),
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=head != "column",
        )
    for verdict in verdicts:
        cell = dict(zip(HEADS, map(plain, row(verdict)), strict=True))
        cell["allowed"] = f"[{rules.index(verdict.rule) + 1}]"
        if stacked:
            for below, head in _BELOW.items():
                if cell[below] != HOLE:
                    cell[head] += f"\n{'p ' if below == 'p' else ''}{cell[below]}"
        grid.add_row(*(Text(cell[head]) for head in heads))
    return grid


def _say(console: Console, line: str, *, style: str = "", soft_wrap: bool = False) -> None:
    text = plain(line) if soft_wrap else plain(line).strip()
    console.print(Text(text, style=style), highlight=False, soft_wrap=soft_wrap)


def _verdict_content(verdict: Verdict) -> dict[str, Any]:
    content = asdict(verdict)
    if verdict.difference is not None:
        content["difference"]["change"] = verdict.difference.change
    content["since_best"] = since_best(verdict)
    content["ratio"] = None if verdict.ratio is None else verdict.ratio.model_dump()
    return content


def _json(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file's name may hold bytes that are no UTF-8; they would not be written.
    return text.encode("utf-8", "replace").decode()


def _summary(check: Check, most: int) -> str:
    lines = [f"## {markdown_text(headline(check))}", ""]
    for name, verdicts in sections(check):
        lines += [f"### {name.capitalize()}", ""]
        for command, together in groupby(verdicts[:most], key=lambda each: each.command):
            lines += [
                f"- {markdown_text(each.candidate)}: {markdown_text(each.sentence)}"
                for each in together
            ]
            lines += ["", _fenced(command), ""] if name != BETTER else []
        lines += _rest(verdicts, most)
    if check.verdicts:
        lines += [markdown_row(HEADS), markdown_row([":---"] * len(HEADS))]
        lines += [markdown_row(map(markdown_text, row(each))) for each in check.verdicts[:most]]
        lines += _rest(check.verdicts, most)
    notes = (*check.notes, LEGEND)
    lines += ["<details><summary>Notes</summary>", ""]
    lines += [f"- {markdown_text(note)}" for note in notes[: most + 1]]
    return "\n".join([*lines, *_rest(notes, most + 1), "</details>"]) + "\n"


def _rest(things: Sequence[object], most: int) -> list[str]:
    """An empty line, and before it how many more there are than are shown."""
    more = len(things) - most
    return ["", f"and {more:,} more", ""] if more > 0 else [""]


def _fenced(command: str) -> str:
    """The command as code, inside of a list's item; longer fences than any in it."""
    text = plain(command)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"  {fence}sh\n  {text}\n  {fence}"
