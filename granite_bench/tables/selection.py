"""
Which result counts where a tree has several of one model and task.

Public trees hold results of several revisions of a model, scores that others reported (the
revision *external*), and the same task again in a tree of one's own. The rule, in this order:

1. own results first, but only when asked (the first folder named is one's own)
2. the most complete, by the splits and subsets that the suite wants
3. measured before reported (*external*)
4. the revision that has most of the suite, so that a row is of one revision where it can be
5. the newest, then the folder that was named first
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.results.tree import Result
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import own_cell

EXTERNAL = "external"

RULE = (
    "Of several results of a model and task, the most complete counts; then measured before "
    "reported by others, the revision with most of the suite, the newest."
)


@dataclass(frozen=True)
class Selection:
    """
    What counts for one model.

    Attributes:
        results: task -> result.
        reasons: task -> why this one, for tasks that had a choice.
        revision: the revision that most of the results are of.
    """

    results: Mapping[str, Result]
    reasons: Mapping[str, str]
    revision: str


def select(
    suite: Suite, by_folder: Sequence[Sequence[Result]], *, own_first: bool = False
) -> dict[str, Selection]:
    """
    One result per model and task of *suite*.

    Args:
        by_folder: results folder by folder, in the order in which the folders were named.
        own_first: whether results of the first folder win even when they are less complete.

    Returns:
        model (variants apart) -> Selection, in the order of first occurrence.
    """
    wanted = {name: task for task in suite.tasks for name in (task.name, *task.parts)}
    found: dict[str, list[tuple[int, Result]]] = {}
    for folder, results in enumerate(by_folder):
        for result in results:
            if result.task in wanted:
                found.setdefault(result.model, []).append((folder, result))
    found = _checkpoints_apart(found)
    return {
        model: _select(candidates, wanted, own_first=own_first)
        for model, candidates in found.items()
    }


def _checkpoints_apart(
    found: Mapping[str, list[tuple[int, Result]]],
) -> dict[str, list[tuple[int, Result]]]:
    """Local folders of one name and different content are different models, a row each."""
    apart: dict[str, list[tuple[int, Result]]] = {}
    for model, candidates in found.items():
        several = len({result.revision for _, result in candidates}) > 1
        for folder, result in candidates:
            mark = f" @{result.revision[:7]}" if several and model.startswith("local/") else ""
            apart.setdefault(f"{model}{mark}", []).append((folder, result))
    return apart


def _select(
    candidates: Sequence[tuple[int, Result]], wanted: Mapping[str, SuiteTask], *, own_first: bool
) -> Selection:
    of_tasks: dict[str, list[tuple[int, Result]]] = {}
    for folder, result in candidates:
        of_tasks.setdefault(result.task, []).append((folder, result))
    reasons: dict[str, str] = {}
    several = {task: found for task, found in of_tasks.items() if len(found) > 1}
    if several:  # most models have one result of each task, and nothing to choose from
        merit = _merit_among(candidates, wanted, own_first=own_first)
        for task, found in several.items():
            found.sort(key=merit, reverse=True)
            reasons[task] = _reason(merit(found[0]), merit(found[1]), len(found))
    results = {task: found[0][1] for task, found in of_tasks.items()}
    revisions = Counter(result.revision for result in results.values())
    return Selection(results, reasons, revisions.most_common(1)[0][0])


def _merit_among(
    candidates: Sequence[tuple[int, Result]], wanted: Mapping[str, SuiteTask], *, own_first: bool
) -> Callable[[tuple[int, Result]], tuple[float, ...]]:
    """What decides, in the order of _REASONS; the larger wins."""
    cells = {result.path: own_cell(wanted[result.task], result) for _, result in candidates}
    n_complete = Counter(
        (folder, result.revision) for folder, result in candidates if cells[result.path].complete
    )

    def merit(candidate: tuple[int, Result]) -> tuple[float, ...]:
        folder, result = candidate
        return (
            float(own_first and folder == 0),
            cells[result.path].n_there,
            float(result.revision != EXTERNAL),
            n_complete[folder, result.revision],
            result.date,
            -folder,
        )

    return merit


_REASONS = (
    "one's own",
    "the most complete",
    "measured, not reported by others",
    "of the revision with most of the suite",
    "the newest",
    "of the folder named first",
)


def _reason(first: tuple[float, ...], second: tuple[float, ...], n_results: int) -> str:
    decisive = next(
        (place for place, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]),
        len(_REASONS) - 1,
    )
    return f"{_REASONS[decisive]} of {n_results} results"
