"""
A model at one revision, and its results in one folder.

A table may fill a hole of one revision with the result of another, and says so. A gate must not:
what it judges is one model, and a hole of that is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from granite_bench.comparison.measured import Measured, measured_of
from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.offline.mirror import model_hash
from granite_bench.printed import some
from granite_bench.results.tree import Result, read_results
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import task_names
from granite_bench.tables.selection import EXTERNAL
from granite_bench.tables.table import check_records

_MOST_NAMED = 12
"""Models that an error lists."""


@dataclass(frozen=True)
class ModelRevision:
    """
    A model (and variant) at one revision.

    Attributes:
        model: its name; a variant has its settings behind it in parentheses.
        settings: what makes it a variant.
        results: task, or part of one -> its result.
    """

    model: str
    revision: str
    settings: Mapping[str, Any]
    results: Mapping[str, Result]

    @property
    def folder(self) -> str | None:
        """Where the model's files were when it was run; None where no record says."""
        for result in self.results.values():
            for run in result.record.get("runs", ()):
                if run.get("model", {}).get("folder"):
                    return str(run["model"]["folder"])
        return None

    def measured(self, suites: Sequence[Suite]) -> Measured:
        """
        What its results say.

        Args:
            suites: the first says what is missing; the others are the same tasks by other metrics
                (see Policy.suites).

        Raises:
            BadInput: records or rows per query that cannot be right; all named.
        """
        check_records(self.results.values())
        all_of_it = [
            measured_of(self.model, self.revision, self.settings, self.results, suite)
            for suite in suites
        ]
        together = {e: found for each in all_of_it for e, found in each.evaluations.items()}
        return replace(all_of_it[0], evaluations=together)


def revisions_in(folder: Path, suite: Suite) -> list[ModelRevision]:
    """
    Every model with results of *suite* in a results folder, each revision by itself.

    Raises:
        BadInput: there is no such folder, or results are broken (all of them named).
    """
    found: dict[tuple[str, str], dict[str, Result]] = {}
    for result in read_results(folder, task_names(suite)):
        found.setdefault((result.model, result.revision), {})[result.task] = result
    return [
        ModelRevision(model, revision, next(iter(results.values())).settings, results)
        for (model, revision), results in found.items()
    ]


def find_revision(name: str, among: Sequence[ModelRevision], where: str) -> ModelRevision:
    """
    The one that is named.

    Args:
        name: a model's whole name, or the folder of a local one; with "@" and the beginning of a
            revision where there are several.
        where: what they were read from, for the error.

    Raises:
        BadInput: there is none of that name, or there are several.
    """
    model, revision = _parted(name, [each.model for each in among])
    found = [e for e in among if e.model == model and e.revision.startswith(revision)]
    if len(found) == 1:
        return found[0]
    if found:
        # What others reported comes last: nobody means that where there are results of a run.
        revisions = sorted((each.revision for each in found), key=lambda r: (r == EXTERNAL, r))
        problem = f"has results of {len(found)} revisions of {model}: {', '.join(revisions)}"
        hint = f"say which: '{model}@{revisions[0][:12]}'"
        raise BadInput(Fault(where, problem, hint))
    raise BadInput(unknown_model(name, (each.model for each in among), where))


def unknown_model(name: str, known: Iterable[str], where: str) -> Fault:
    """That there is no model of this name, and which there are."""
    names = list(dict.fromkeys(known))
    listed = some([f"'{each}'" for each in names], _MOST_NAMED) or "none"
    hint = did_you_mean(name, names) or f"there are: {listed}"
    return Fault(where, f"has no model '{name}'", hint)


def _parted(name: str, models: Sequence[str]) -> tuple[str, str]:
    """Name and (the beginning of a) revision; a folder's revision is its content."""
    local = f"local/{Path(name).resolve().name}"
    # What has no results by its name is not read through: it may be any folder, and large.
    if name and name not in models and local in models and Path(name).is_dir():
        return local, model_hash(Path(name))[:40]
    model, mark, revision = name.rpartition("@")
    return (model, revision) if mark and name not in models else (name, "")
