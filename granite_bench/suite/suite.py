"""A suite: tasks, how their scores are averaged, and the models usually compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, StrictInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault, did_you_mean, near_or_all
from granite_bench.files.yaml_file import read_document
from granite_bench.suite.document import Dims, Document, FileName, Precisions, Strict, each_once
from granite_bench.suite.panel import load_panel, unknown_panel
from granite_bench.suite.shipped import find_suite, panel_names


class SuiteTask(Strict):
    """
    One task of a suite, and the part of it that counts.

    The score of a task is mteb's: the mean of *metric* over all its splits and subsets.
    """

    name: FileName
    path: str | None = Field(default=None, pattern=r"^[^\x00]+$")
    """A BEIR-layout folder of the user's own, relative to the suite file."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{3}-[A-Z][a-z]{3}$")
    """mteb's code of the language of *path*, such as deu-Latn; English when left out."""
    subsets: tuple[str, ...] = ("default",)
    splits: tuple[str, ...] = ("test",)
    metric: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    """mteb's name of the main metric; the suite's when left out."""
    group: str | None = None
    """The label under which the suite's groups collect this task (a language, a task type)."""
    parts: tuple[str, ...] = ()
    """Tasks whose mean is this task: CQADupstack counts once, as the mean of its twelve."""

    @field_validator("subsets", "splits", "parts")
    @classmethod
    def _no_duplicates(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return each_once(values)


class Grouping(Strict):
    """A way to break the suite's score down, such as by language."""

    by: str
    """What a group is called on the page: language, length, type, script."""
    source: Literal["group", "subset", "split"] = Field(alias="from")
    """Where the label stands: the task's *group*, or the name of the subset or split."""


class Suite(Document):
    """
    What to measure: tasks, how their scores are averaged, and the models usually compared.

    Attributes:
        benchmark: mteb's benchmark with the same tasks, where there is one.
        metric: mteb's name of the metric, e.g. ndcg_at_10; a task may name its own.
        average: *tasks* is the mean over tasks, *groups* the mean over the means of groups.
        max_length: tokens per text; None is each model's own maximum, as mteb loads it.
        dims: the dimensions that embeddings are also cut to; the model's own when empty.
        precisions: what they are also kept in; float32 when empty.
        panel: the models that tables of this suite usually compare.
        first_stages: models whose best documents rerankers reorder.
        rerankers: cross-encoders behind each of *first_stages*, or the name of a panel of them.
        top_k: documents per query that are reranked.
        query_tokens: the reranker's tokens that queries are cut to; all of them when left out.
    """

    description: str
    benchmark: str | None = None
    metric: str = "ndcg_at_10"
    average: Literal["tasks", "groups"] = "tasks"
    groups: tuple[Grouping, ...] = ()
    max_length: StrictInt | None = Field(default=None, gt=0)
    dims: Dims = ()
    precisions: Precisions = ()
    panel: str | None = None
    models: tuple[str, ...] = ()
    first_stages: tuple[str, ...] = ()
    rerankers: tuple[str, ...] = ()
    top_k: StrictInt | None = Field(default=None, gt=0)
    query_tokens: StrictInt | None = Field(default=None, gt=0)
    tasks: tuple[SuiteTask, ...] = Field(min_length=1)

    @field_validator("rerankers", mode="before")
    @classmethod
    def _from_panel(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in panel_names():
            hint = near_or_all(value, panel_names())
            raise PydanticCustomError("panel", f"unknown panel '{value}'; {hint}")
        return load_panel(value).models

    @model_validator(mode="after")
    def _reranks_something(self) -> Suite:
        of_rerankers = {
            "rerankers": self.rerankers, "top_k": self.top_k, "query_tokens": self.query_tokens
        }  # fmt: skip
        given = [name for name, value in of_rerankers.items() if value]
        if given and not self.first_stages:
            raise PydanticCustomError(
                "first_stages", f"{', '.join(given)} need first_stages, and there are none"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, raw: Any) -> Any:
        """A task may be written as its bare name; its metric is the suite's unless it has one."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("tasks"), list):
            return raw
        metric = raw.get("metric", "ndcg_at_10")
        if not isinstance(metric, str):  # a fault of the suite, not of each of its tasks
            metric = ""
        tasks = [{"name": task} if isinstance(task, str) else task for task in raw["tasks"]]
        return {
            **raw,
            "tasks": [
                {"metric": metric, **task} if isinstance(task, Mapping) else task for task in tasks
            ],
        }

    @model_validator(mode="after")
    def _groups_cover_the_average(self) -> Suite:
        if self.average == "groups" and not self.groups:
            raise PydanticCustomError("groups", "average is over groups, but there are no groups")
        bare = [task.name for task in self.tasks if task.group is None]
        if self.average == "groups" and self.groups[0].source == "group" and bare:
            raise PydanticCustomError(
                "groups", f"average is over groups, but these tasks have none: {', '.join(bare)}"
            )
        return self


def load_suite(name: str, *, known_tasks: Collection[str] | None = None) -> Suite:
    """
    Read a suite by name, or from a path that ends in .yaml or .yml.

    Args:
        name: a name from suite_names(), or a path to a file of the user's own.
        known_tasks: names that a task may have; None leaves the names unchecked, which the
            reading side does because it does not import mteb.

    Raises:
        BadInput: no such suite, or a file with faults (all of them named).
    """
    path = find_suite(name, "suite")
    suite, raw, faults = read_document(Suite, path, {"tasks": SuiteTask, "groups": Grouping})
    faults += _repeated_tasks(raw, path)
    faults += unknown_panel(suite.panel if suite else None, path)
    if known_tasks is not None:
        faults += _unknown_tasks(raw, path, known_tasks)
    if faults or suite is None:
        raise BadInput(faults)
    return suite


def _task_name(task: Any) -> str | None:
    name = task.get("name") if isinstance(task, dict) else task
    return name if isinstance(name, str) else None


def _repeated_tasks(raw: Any, path: Path) -> list[Fault]:
    tasks = raw.get("tasks")
    faults = []
    first: dict[str, int] = {}
    for position, name in enumerate(map(_task_name, tasks if isinstance(tasks, list) else [])):
        if name is not None and first.setdefault(name, position) != position:
            faults.append(
                Fault(
                    f"{path}: tasks[{position}]",
                    f"task '{name}' is listed twice",
                    f"it is tasks[{first[name]}] too; keep one of the two",
                )
            )
    return faults


def _unknown_tasks(raw: Any, path: Path, known: Collection[str]) -> list[Fault]:
    faults = []
    tasks = raw.get("tasks")
    named: list[tuple[str, Any]]
    for position, task in enumerate(tasks if isinstance(tasks, list) else []):
        if isinstance(task, str):
            named = [(f"tasks[{position}]", task)]
        elif isinstance(task, dict):
            named = [(f"tasks[{position}].name", task.get("name"))] if "path" not in task else []
            parts = task.get("parts")
            named += [
                (f"tasks[{position}].parts[{i}]", part)
                for i, part in enumerate(parts if isinstance(parts, list) else [])
            ]
        else:
            continue
        faults += [
            Fault(f"{path}: {place}", f"unknown task '{name}'", _task_hint(name, known))
            for place, name in named
            if isinstance(name, str) and name not in known
        ]
    return faults


def _task_hint(name: str, known: Collection[str]) -> str:
    command = f"(granite-bench tasks --search {name[:4].lower()})"
    return f"{did_you_mean(name, known)}   {command}".strip()
