"""
suites/*.yaml -> Suite: what to measure, validated, with every fault of a file named at once.

A suite says everything that the reading side needs (subsets, splits, metric), so that a table
can tell what is missing without importing mteb. A test compares each list with mteb's registry.
A file with *tasks* is a suite; one with *suites* is an overview, suites side by side.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from granite_bench.devices import Precision
from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files import is_file
from granite_bench.yaml_file import load_document, read_document, read_yaml

FORMAT_VERSION = 1

_V = TypeVar("_V", int, str)


def _each_once(values: tuple[_V, ...]) -> tuple[_V, ...]:
    repeated = sorted(value for value, times in Counter(values).items() if times > 1)
    if repeated:
        raise PydanticCustomError("repeated", f"listed twice: {', '.join(map(str, repeated))}")
    return values


_Dims: TypeAlias = Annotated[
    tuple[Annotated[StrictInt, Field(gt=0)], ...], AfterValidator(_each_once)
]
_Precisions: TypeAlias = Annotated[tuple[Precision, ...], AfterValidator(_each_once)]

# Results and reports are files of this name, with an ending.
_FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$", max_length=100)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Document(_Strict):
    """What every file starts with."""

    version: StrictInt
    name: _FileName
    title: str

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise PydanticCustomError(
                "version",
                f"format {version} is not known to this release, which reads {FORMAT_VERSION}"
                + ("; update granite-bench" if version > FORMAT_VERSION else ""),
            )
        return version


class SuiteTask(_Strict):
    """
    One task of a suite, and the part of it that counts.

    The score of a task is mteb's: the mean of *metric* over all its splits and subsets.
    """

    name: _FileName
    path: str | None = Field(default=None, pattern=r"^[^\x00]+$")
    """A BEIR-layout folder of the user's own, relative to the suite file."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{3}-[A-Z][a-z]{3}$")
    """mteb's code of the language of *path*, such as deu-Latn; English when left out."""
    subsets: tuple[str, ...] = ("default",)
    splits: tuple[str, ...] = ("test",)
    metric: str = Field(default="", pattern=r"^[a-z0-9_]*$")
    """mteb's name of the main metric; the suite's when left out."""
    group: str | None = None
    """The label under which the suite's groups collect this task (a language, a task type)."""
    parts: tuple[str, ...] = ()
    """Tasks whose mean is this task: CQADupstack counts once, as the mean of its twelve."""

    @field_validator("subsets", "splits", "parts")
    @classmethod
    def _no_duplicates(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(values)


class Grouping(_Strict):
    """A way to break the suite's score down, such as by language."""

    by: str
    """What a group is called on the page: language, length, type, script."""
    source: Literal["group", "subset", "split"] = Field(alias="from")
    """Where the label stands: the task's *group*, or the name of the subset or split."""


class Suite(_Document):
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
    dims: _Dims = ()
    precisions: _Precisions = ()
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
            hint = did_you_mean(value, panel_names()) or f"there are: {', '.join(panel_names())}"
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


class Panel(_Document):
    """A set of models that tables compare."""

    models: tuple[str, ...] = Field(min_length=1)


class OverviewSuite(_Strict):
    """One suite of an overview, and the length that its column is about."""

    suite: str
    max_length: StrictInt | None = Field(default=None, gt=0)
    """Tokens per text; None is the suite's own setting, and takes results as they are."""


class Overview(_Document):
    """
    Suites side by side: a table whose columns are the averages of suites.

    Attributes:
        dims, precisions, panel, models: as those of a Suite; they are for all of the suites.
    """

    description: str
    suites: tuple[OverviewSuite, ...] = Field(min_length=1)
    dims: _Dims = ()
    precisions: _Precisions = ()
    panel: str | None = None
    models: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, raw: Any) -> Any:
        """A suite may be written as its bare name."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("suites"), list):
            return raw
        suites = [{"suite": each} if isinstance(each, str) else each for each in raw["suites"]]
        return {**raw, "suites": suites}


_PARTS: Mapping[str, type[BaseModel]] = {
    "tasks": SuiteTask,
    "groups": Grouping,
    "suites": OverviewSuite,
}
"""Key of a document -> what its entries are."""


@cache
def suites_folder() -> Path:
    """The folder of the suites that come with the package (in the wheel, or in a checkout)."""
    package = Path(__file__).parent
    inside_wheel = package / "suites"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "suites"


# Reading the shipped files as YAML takes a tenth of a second, and a name is wanted at once.
_OVERVIEW = re.compile(r"^suites:", re.MULTILINE)

SPEED_PROTOCOLS = "speed.yaml"
"""The file beside the suites that is none (see speed.protocol)."""


@cache
def _shipped() -> Mapping[str, bool]:
    """Name of every file that comes with the package, sorted -> whether it is an overview."""
    paths = sorted(p for p in suites_folder().glob("*.yaml") if p.name != SPEED_PROTOCOLS)
    return {path.stem: bool(_OVERVIEW.search(path.read_text(encoding="utf-8"))) for path in paths}


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    return [name for name, overview in _shipped().items() if not overview]


def overview_names() -> list[str]:
    """Names of the overviews that come with the package, sorted."""
    return [name for name, overview in _shipped().items() if overview]


def panel_names() -> list[str]:
    """Names of the panels that come with the package, sorted."""
    return sorted(path.stem for path in (suites_folder() / "panels").glob("*.yaml"))


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
    path = _find_suite(name, "suite")
    suite, raw, faults = read_document(Suite, path, _PARTS)
    faults += _repeated_tasks(raw, path)
    faults += _unknown_panel(suite, path)
    if known_tasks is not None:
        faults += _unknown_tasks(raw, path, known_tasks)
    if faults or suite is None:
        raise BadInput(faults)
    return suite


def is_overview(name: str) -> bool:
    """Whether a name, or the content of a YAML file, is of an overview and not of a suite."""
    if not name.endswith((".yaml", ".yml")):
        return name in overview_names()
    try:
        raw, _ = read_yaml(Path(name))
    except BadInput:
        return False
    return "suites" in raw


def load_overview(name: str) -> Overview:
    """
    Read an overview by name, or from a path that ends in .yaml or .yml.

    Raises:
        BadInput: no such overview, or a file with faults (all of them named).
    """
    path = _find_suite(name, "overview")
    overview, raw, faults = read_document(Overview, path, _PARTS)
    faults += _faulty_suites(raw, path)
    faults += _unknown_panel(overview, path)
    if faults or overview is None:
        raise BadInput(faults)
    return overview


def load_panel(name: str) -> Panel:
    """
    Read a panel by name, or from a path that ends in .yaml or .yml.

    Raises:
        BadInput: no such panel, or a file with faults (all of them named).
    """
    known = panel_names()
    path = _file_of(name, "panel") or _shipped_file(name, "panel", known, known)
    return load_document(Panel, path, _PARTS)


def _find_suite(name: str, kind: Literal["suite", "overview"]) -> Path:
    """The file of a suite or an overview, which is not of the other kind."""
    path = _file_of(name, kind)
    if path is not None:
        return path
    names, others = suite_names(), overview_names()
    what = "an overview of suites, not a suite"
    if kind == "overview":
        names, others, what = others, names, "a suite, not an overview of suites"
    if name in others:
        hint = f"granite-bench suites show {name}"
        raise BadInput(Fault("", f"'{name}' is {what}", hint))
    return _shipped_file(name, kind, names, [*names, *others])


def _file_of(name: str, kind: str) -> Path | None:
    """The user's own file; None for the name of one that comes with the package."""
    if not name.endswith((".yaml", ".yml")) and os.sep not in name:
        return None
    if not is_file(Path(name)):
        raise BadInput(Fault(name, f"no such {kind} file"))
    return Path(name)


def _shipped_file(name: str, kind: str, names: Collection[str], near: Collection[str]) -> Path:
    if name not in names:
        hint = did_you_mean(name, near) or f"there are: {', '.join(near)}"
        command = "panels" if kind == "panel" else "suites"
        what = f"unknown {kind} '{name}'"
        raise BadInput(Fault("", what, f"{hint}   (granite-bench {command})"))
    return suites_folder() / ("panels" if kind == "panel" else "") / f"{name}.yaml"


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


def _faulty_suites(raw: Any, path: Path) -> list[Fault]:
    """Suites of an overview that there are not, or that stand there twice."""
    suites, known = raw.get("suites"), suite_names()
    faults = []
    seen: set[str] = set()
    for position, each in enumerate(suites if isinstance(suites, list) else []):
        name = each.get("suite") if isinstance(each, dict) else each
        where = f"{path}: suites[{position}]" + (".suite" if isinstance(each, dict) else "")
        if not isinstance(name, str):
            continue
        if name not in known:
            faults.append(Fault(where, f"unknown suite '{name}'", did_you_mean(name, known)))
        elif name in seen:
            faults.append(Fault(where, f"suite '{name}' is listed twice", "keep one of the two"))
        seen.add(name)
    return faults


def _unknown_panel(document: Suite | Overview | None, path: Path) -> list[Fault]:
    panel = document.panel if document is not None else None
    if panel is None or panel.endswith((".yaml", ".yml")) or panel in panel_names():
        return []
    hint = did_you_mean(panel, panel_names()) or f"there are: {', '.join(panel_names())}"
    return [Fault(f"{path}: panel", f"unknown panel '{panel}'", hint)]


def _task_hint(name: str, known: Collection[str]) -> str:
    command = f"(granite-bench tasks --search {name[:4].lower()})"
    return f"{did_you_mean(name, known)}   {command}".strip()
