"""What a comparison found, in sentences: a finding for each pair, and what to know before it."""

from __future__ import annotations

from collections.abc import Mapping

from granite_bench.comparison.differences import ALPHA, Comparison, Difference
from granite_bench.comparison.likeness import KINDS
from granite_bench.comparison.side_by_side import ReferencePair, SideBySide
from granite_bench.printed import interval_text, p_text, points, score_text, some
from granite_bench.tables.run_command import finish
from granite_bench.tables.scores import Cell

CONFIDENCE = f"{1 - ALPHA:.0%} interval"
"""What intervals are called."""


def findings_of(side: SideBySide) -> list[str]:
    """A sentence for each pair; where nobody is compared, one that says so."""
    reference = side.reference.name
    if not side.pairs:
        return [f"No model qualifies to be compared with {reference}."]
    return [_finding(pair, reference) for pair in side.pairs]


def warnings_of(side: SideBySide) -> list[str]:
    """What a reader must know before the findings: what is missing, mixed or not alike."""
    return [*_missing(side), *_of_several_revisions(side), *_not_alike(side)]


def _finding(pair: ReferencePair, reference: str) -> str:
    found, name = pair.comparison.average, pair.candidate.name
    if found is None:
        return f"{name} and {reference}: no average, since not all of the suite is there for both."
    size = f"{points(found.change)} points"
    if found.p is None or found.tally is None:
        if all(
            each.value == pair.comparison.other.evaluations[evaluation].value
            for evaluation, each in pair.comparison.one.evaluations.items()
            if evaluation in pair.comparison.other.evaluations
        ):
            return f"{name} has the same scores as {reference} ({_scores(found)})."
        return (
            f"{name} scores {size} against {reference} ({_scores(found)}), and nothing tells "
            f"whether that is noise: {_why_untested(pair.comparison)}."
        )
    if not found.tally.wins + found.tally.losses:
        return f"{name} has the same score as {reference} for each of {found.n_queries:,} queries."
    sure = f"p {p_text(found.p)}"
    if found.interval is not None:
        sure = f"{CONFIDENCE} {interval_text(found.interval)}, {sure}"
    if not found.is_significant:
        shown = f"; {score_text(found.detectable)} would have shown" if found.detectable else ""
        return f"No difference between {name} and {reference} beyond noise: {size} ({sure}{shown})."
    verdict = "better" if found.change > 0 else "worse"
    return f"{name} is {verdict} than {reference}: {size} ({sure}){_by_columns(pair.comparison)}."


def _by_columns(comparison: Comparison) -> str:
    """On how much of what it is better and worse, where that is several things."""
    choices = {"tasks": comparison.tasks}
    choices |= {f"groups by {by}": columns for by, columns in comparison.groups.items()}
    for what, columns in choices.items():
        if len(columns) > 1:
            significant = [each for each in columns if each.is_significant]
            n_better = sum(each.change > 0 for each in significant)
            n_worse = len(significant) - n_better
            return (
                f"; with Holm's correction better on {n_better} and worse on {n_worse} of "
                f"{len(columns)} {what}"
            )
    return ""


def _scores(found: Difference) -> str:
    return f"{score_text(found.one)} to {score_text(found.other)}"


def _why_untested(comparison: Comparison) -> str:
    lacking = dict.fromkeys(
        evaluation.task
        for evaluation, first in comparison.one.evaluations.items()
        if (second := comparison.other.evaluations.get(evaluation)) is not None
        and (first.queries is None or second.queries is None)
    )
    return (
        f"no scores per query of {some(list(lacking))} on both sides; granite-bench run leaves "
        "them of retrieval tasks"
    )


def _missing(side: SideBySide) -> list[str]:
    """Who lacks what of the suite, and the command that makes it."""
    return [
        f"{each.name} is incomplete ({each.row.n_complete} of {each.row.n_tasks} tasks), so it has "
        f"no average; missing: {some(_lacking(each.row.cells))}. To make it: "
        f"{finish(each.table, each.row)}"
        for each in side.candidates
        if not each.row.complete
    ]


def _of_several_revisions(side: SideBySide) -> list[str]:
    """Whose results are of several checkpoints, which a table may mix."""
    return [
        f"{each.name} is of several revisions: {each.row.revision}, but "
        + some(sorted(f"{task} of {revision}" for task, revision in others.items()))
        + "; MODEL@REVISION takes one alone"
        for each in side.candidates
        if (others := each.row.other_revisions)
    ]


def _lacking(cells: Mapping[str, Cell]) -> list[str]:
    return sorted({name for cell in cells.values() for name in cell.missing})


def _not_alike(side: SideBySide) -> list[str]:
    return [
        f"Not like for like ({KINDS[found.kind]}): {pair.candidate.name} and "
        f"{side.reference.name}: {found}. It was allowed (--allow {found.kind})."
        for pair in side.pairs
        for found in pair.comparison.unlike
    ]
