"""
What a change is held against: a results folder, or a baseline's file with its history.

A folder is what somebody measured before. A file is made by an update and kept under version
control; each update adds to its history, so that many small drops cannot hide behind one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from granite_bench.errors import BadInput, Fault
from granite_bench.gate.baseline_file import (
    HistoryEntry,
    StoredModel,
    read_baseline_file,
)
from granite_bench.gate.revisions import ModelRevision, find_revision, revisions_in, unknown_model
from granite_bench.gate.suite_scores import average_score, task_score
from granite_bench.results.tree import results_root
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, evaluations_in


class Baseline(Protocol):
    """What models were, by name."""

    @property
    def names(self) -> Sequence[str]:
        """The models that it has."""

    def find(self, name: str, suites: Sequence[Suite]) -> StoredModel:
        """
        One model.

        Args:
            suites: as for ModelRevision.measured.

        Raises:
            BadInput: there is no such model, or what is there of it cannot be right.
        """

    def settings_of(self, name: str) -> Mapping[str, Any]:
        """What makes one of *names* a variant."""

    def folder_of(self, name: str) -> str | None:
        """Where the model's own files were; None where nothing says."""


@dataclass(frozen=True)
class FolderBaseline:
    """A results folder; it has no history."""

    path: Path
    found: Sequence[ModelRevision]

    @property
    def names(self) -> Sequence[str]:
        """Each model once, whatever revisions there are."""
        return list(dict.fromkeys(each.model for each in self.found))

    def find(self, name: str, suites: Sequence[Suite]) -> StoredModel:
        """By name, with "@" and a revision where the folder has several."""
        return StoredModel(self._revision(name).measured(suites), ())

    def settings_of(self, name: str) -> Mapping[str, Any]:
        """The same of each revision."""
        return next(each.settings for each in self.found if each.model == name)

    def folder_of(self, name: str) -> str | None:
        """As its records say."""
        return self._revision(name).folder

    def _revision(self, name: str) -> ModelRevision:
        return find_revision(name, self.found, str(self.path))


@dataclass(frozen=True)
class FileBaseline:
    """
    A baseline's file.

    Attributes:
        models: by name; none where there is no file yet.
        content: of the file as it was read, so that an update notices another one; None likewise.
    """

    path: Path
    models: Mapping[str, StoredModel]
    content: bytes | None

    @property
    def names(self) -> Sequence[str]:
        """In the file's order."""
        return list(self.models)

    def find(self, name: str, suites: Sequence[Suite]) -> StoredModel:
        """By the whole name."""
        if name not in self.models:
            raise BadInput(unknown_model(name, self.models, str(self.path)))
        return self.models[name]

    def settings_of(self, name: str) -> Mapping[str, Any]:
        """As they were written."""
        return self.models[name].measured.settings

    def folder_of(self, name: str) -> str | None:
        """Folders are of a machine, and the file is for all."""
        return None


def open_baseline(path: Path, suite: Suite, *, make: bool = False) -> FolderBaseline | FileBaseline:
    """
    Read a baseline; of a folder, what it has but not the rows per query.

    Args:
        make: whether a file that is not there is one without models.

    Raises:
        BadInput: it is not there, or broken (all faults named).
    """
    if path.is_dir() or results_root(path).is_dir():
        return FolderBaseline(path, revisions_in(path, suite))
    if not path.exists() and make:
        return FileBaseline(path, {}, None)
    if not path.exists():
        hint = "give a results folder, or make a file of this name with --update-baseline"
        raise BadInput(Fault(str(path), "there is no such baseline", hint))
    models = read_baseline_file(path, suite)
    return FileBaseline(path, models, path.read_bytes())


@dataclass(frozen=True)
class Best:
    """A score, and the entry of the history that has it."""

    score: float
    entry: HistoryEntry


class History:
    """
    The best scores of a model since a drop of it was last accepted.

    Args:
        entries: the oldest first; none have no best.
        suite: what its columns are; one that an entry has in part has no score there.
    """

    def __init__(self, entries: Sequence[HistoryEntry], suite: Suite) -> None:
        accepted = [place for place, each in enumerate(entries) if each.accepted is not None]
        first = accepted[-1] if accepted else 0
        self._suite = suite
        self._entries = [(entry, _scores_of(entry, suite)) for entry in entries[first:]]

    def of_task(self, task: SuiteTask) -> Best | None:
        """The best score of a task."""
        return self._best(lambda scores: task_score(task, self._suite, scores))

    def of_part(self, label: str) -> Best | None:
        """The best score of the evaluation that is called so."""
        return self._best(
            lambda scores: next((s for e, s in scores.items() if e.label == label), None)
        )

    def of_average(self) -> Best | None:
        """The best average."""
        return self._best(lambda scores: average_score(self._suite, scores))

    def _best(self, score: Callable[[Mapping[Evaluation, float]], float | None]) -> Best | None:
        found = [
            Best(value, entry)
            for entry, scores in self._entries
            if (value := score(scores)) is not None
        ]
        return max(found, key=lambda each: each.score, default=None)


def _scores_of(entry: HistoryEntry, suite: Suite) -> dict[Evaluation, float]:
    return {
        evaluation: entry.scores[evaluation.label][evaluation.metric]
        for evaluation in evaluations_in(suite)
        if evaluation.metric in entry.scores.get(evaluation.label, {})
    }
