"""A parity report as text for a terminal, as one HTML file, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from granite_bench.files.local import size_text
from granite_bench.printed import interval_text, points, score_text
from granite_bench.report.frame import render
from granite_bench.report.text import as_printed, print_grid

if TYPE_CHECKING:
    from granite_bench.parity import Candidate, Parity
    from granite_bench.stats.bootstrap import ConfidenceInterval

VERSION = 1

SAME_COSINE = 0.9999
"""At this least cosine vectors differ by rounding; a change of precision moves them further."""

COLUMNS = (
    "file", "weights", "size", "nDCG@10", "difference", "speed", "cosine: least", "1%", "5%",
    "median", "mean",
)  # fmt: skip

TASK_COLUMNS = ("task", "file", "torch", "exported", "difference", "queries that changed")

_NUMERIC = {*COLUMNS, *TASK_COLUMNS} - {"file", "weights", "task"}


def verdict(candidate: Candidate, parity: Parity) -> str:
    """What the exported file changes, in a sentence."""
    parts = [_quality(candidate), _vectors(candidate), _speed(candidate)]
    share = candidate.n_bytes / parity.n_bytes
    return f"{candidate.name}: {'; '.join(parts)}; {share:.0%} of the size."


def rows(parity: Parity) -> list[tuple[str, ...]]:
    """The table: torch, then each file; nDCG@10 in points, the mean over tasks."""
    scores = [each.torch for each in parity.candidates[0].quality]
    first = ("torch", parity.dtype, size_text(parity.n_bytes), score_text(fmean(scores)))
    return [
        (*first, *[""] * (len(COLUMNS) - len(first))),
        *(_row(each) for each in parity.candidates),
    ]


def task_rows(parity: Parity) -> list[tuple[str, ...]]:
    """Task, file, nDCG@10 of both, the difference with its interval, queries that changed."""
    return [
        (
            each.task,
            candidate.name,
            score_text(each.torch),
            score_text(each.exported),
            _difference(each.exported - each.torch, each.difference),
            f"{each.n_changed:,} of {each.n_queries:,}",
        )
        for candidate in parity.candidates
        for each in candidate.quality
    ]


def notes(parity: Parity) -> list[str]:
    """What a reader must know of the figures."""
    drift, speed = parity.candidates[0].drift, parity.candidates[0].speed
    machine = f"{parity.hardware['cpu']}, {parity.n_threads} threads"
    return [
        "nDCG@10 in points; differences with their 95% interval (paired bootstrap over queries)",
        f"cosine of the vectors to torch's, over {drift.n_texts:,} documents and queries",
        f"speed: texts a second to torch's, {speed.n_pairs} turns each, 95% interval; {machine}",
    ]


def print_parity(parity: Parity, console: Console) -> None:
    """Print the verdicts, the table, the tasks where there are several, and the notes."""
    for candidate in parity.candidates:
        console.print(Text(verdict(candidate, parity), style="bold"))
    print_grid(console, f"{parity.model}: backends", COLUMNS, rows(parity), _NUMERIC)
    if len(parity.candidates[0].quality) > 1:
        print_grid(console, "By task", TASK_COLUMNS, task_rows(parity), _NUMERIC)
    for note in notes(parity):
        console.print(Text(note), style="dim", highlight=False)


def as_text(parity: Parity) -> str:
    """What a terminal shows, without colours."""
    return as_printed(lambda console: print_parity(parity, console))


def as_json(parity: Parity) -> str:
    """Everything that was measured; scores and cosines as fractions, sizes in bytes."""
    content = asdict(parity)
    for candidate, measured in zip(content["candidates"], parity.candidates, strict=True):
        candidate["speed"] = measured.speed.model_dump()
        candidate["verdict"] = verdict(measured, parity)
    return json.dumps({"version": VERSION, **content}, indent=2, ensure_ascii=False) + "\n"


def parity_page(parity: Parity) -> str:
    """The report as one HTML file; the same figures make the same bytes."""
    return render(
        "parity.html.j2",
        parity=parity,
        verdicts=[verdict(each, parity) for each in parity.candidates],
        tables=[
            ("Backends", COLUMNS, rows(parity)),
            ("By task", TASK_COLUMNS, task_rows(parity)),
        ],
        numeric=_NUMERIC,
        notes=notes(parity),
    )


def _row(candidate: Candidate) -> tuple[str, ...]:
    drift, speed = candidate.drift, candidate.speed
    ratio = f"{speed.value:.2f}"
    if speed.low is not None and speed.high is not None:
        ratio += f" ({speed.low:.2f} to {speed.high:.2f})"
    return (
        candidate.name,
        candidate.weights_dtype,
        size_text(candidate.n_bytes),
        score_text(fmean([each.exported for each in candidate.quality])),
        _difference(_mean_difference(candidate), candidate.overall),
        ratio,
        *(f"{each:.5f}" for each in (drift.least, drift.p1, drift.p5, drift.p50, drift.mean)),
    )


def _quality(candidate: Candidate) -> str:
    found = candidate.overall
    if not any(each.n_changed for each in candidate.quality):
        return "the same nDCG@10 for every query"
    if found is None:
        size = points(_mean_difference(candidate))
        return f"nDCG@10 changed by {size} points, over too few queries for an interval"
    size = f"{points(found.mean)} points, {found.confidence:.0%} interval {interval_text(found)}"
    if not found.excludes_zero:
        return f"no clear difference in nDCG@10 ({size})"
    return f"{'better' if found.mean > 0 else 'worse'} in nDCG@10 ({size})"


def _vectors(candidate: Candidate) -> str:
    least = candidate.drift.least
    if least >= SAME_COSINE:
        return "vectors the same but for rounding"
    return f"vectors moved (median cosine {candidate.drift.p50:.3f}, least {least:.3f})"


def _speed(candidate: Candidate) -> str:
    if not candidate.speed.is_clear:
        return "no clear difference in speed"
    return f"{candidate.speed.value:.2f} times as fast"


def _difference(mean: float, found: ConfidenceInterval | None) -> str:
    interval = f" ({interval_text(found)})" if found is not None else ""
    return f"{points(mean)}{interval}"


def _mean_difference(candidate: Candidate) -> float:
    return fmean([each.exported - each.torch for each in candidate.quality])
