"""
A YAML that says what the columns of published tables name: its format, its faults.

The built-in file, columns.yaml, knows the columns of the Granite papers, cards and posts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from granite_bench.files.yaml_file import load_document

FORMAT_VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_KINDS = ("suite", "task", "tasks", "tasks_of", "mean", "fact", "no_raw")
_WITH = {
    "group": ("suite",),
    "without": ("suite",),
    "splits": ("task",),
    "subsets": ("task",),
    "metric": ("task", "tasks"),
}


class ColumnEntry(_Strict):
    """What one column names: exactly one of suite, task, tasks, tasks_of, mean, fact, no_raw."""

    suite: str | None = None
    """The average of this suite."""
    group: str | None = None
    """Of the suite's tasks, those with this label."""
    without: tuple[str, ...] = ()
    """Tasks of the suite that do not count."""
    task: str | None = None
    """One task, as mteb names it; its splits, subsets and metric are the suites' by default."""
    splits: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    metric: str | None = None
    tasks: tuple[str, ...] = ()
    """The mean over these tasks; NAME[subset] is one subset."""
    tasks_of: tuple[str, ...] = ()
    """The mean over all tasks of these columns."""
    mean: tuple[str, ...] = ()
    """The mean of these columns."""
    fact: Literal["parameters", "active_parameters", "embedding_size", "max_tokens"] | None = None
    """What mteb's metadata says of the model."""
    no_raw: str | None = None
    """Why there is no raw result."""

    @property
    def kind(self) -> str:
        """Which of the seven it is."""
        return next(kind for kind in _KINDS if getattr(self, kind))

    @model_validator(mode="after")
    def _one_kind(self) -> ColumnEntry:
        kinds = [kind for kind in _KINDS if getattr(self, kind)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise PydanticCustomError("kind", f"needs exactly one of {', '.join(_KINDS)} ({found})")
        stray = [key for key, of in _WITH.items() if getattr(self, key) and kinds[0] not in of]
        if stray:
            raise PydanticCustomError("kind", f"{' and '.join(stray)} cannot go with {kinds[0]}")
        return self


class ColumnFile(_Strict):
    """
    A YAML that says what columns name.

    Attributes:
        families: columns that are easily taken for one another.
        related: tasks that are near one another and not the same.
        models: names of models as printed -> ids.
        predecessors: model -> the model that "gain over R1" compares it with.
    """

    version: int
    columns: dict[str, ColumnEntry] = Field(default_factory=dict)
    families: tuple[tuple[str, ...], ...] = ()
    related: tuple[tuple[str, ...], ...] = ()
    models: dict[str, str] = Field(default_factory=dict)
    predecessors: dict[str, str] = Field(default_factory=dict)

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise PydanticCustomError(
                "version", f"format {version} is not known; this release reads {FORMAT_VERSION}"
            )
        return version


def read_column_file(path: Path) -> ColumnFile:
    """
    Read one file; the names that it refers to are not looked up here.

    Raises:
        BadInput: a file with faults (all of them named).
    """
    return load_document(ColumnFile, path, {"columns": ColumnEntry})
