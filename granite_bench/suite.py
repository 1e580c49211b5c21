"""
suites/*.yaml -> Suite: what to measure, validated, with every fault of a file named at once.

A suite says everything that the reading side needs (subsets, splits, metric), so that a table
can tell what is missing without importing mteb. A test compares each list with mteb's registry.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault, did_you_mean

FORMAT_VERSION = 1

_M = TypeVar("_M", bound=BaseModel)


# Results and reports are files of this name.
_FILE_NAME = r"^[^./\x00][^/\x00]*$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Document(_Strict):
    """What every file starts with."""

    version: StrictInt
    name: str = Field(pattern=_FILE_NAME)
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

    name: str = Field(pattern=_FILE_NAME)
    path: str | None = None
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
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise PydanticCustomError("repeated", f"listed twice: {', '.join(repeated)}")
        return values


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
        panel: the models that tables of this suite usually compare.
    """

    description: str
    benchmark: str | None = None
    metric: str = "ndcg_at_10"
    average: Literal["tasks", "groups"] = "tasks"
    groups: tuple[Grouping, ...] = ()
    max_length: int | None = Field(default=None, gt=0)
    panel: str | None = None
    models: tuple[str, ...] = ()
    tasks: tuple[SuiteTask, ...] = Field(min_length=1)

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


class Overview(_Document):
    """Suites side by side: a table whose columns are the averages of suites."""

    description: str
    suites: tuple[str, ...] = Field(min_length=1)


@cache
def suites_folder() -> Path:
    """The folder of the suites that come with the package (in the wheel, or in a checkout)."""
    package = Path(__file__).parent
    inside_wheel = package / "suites"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "suites"


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    return sorted(path.stem for path in suites_folder().glob("*.yaml"))


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
    path = _find(name, suites_folder(), suite_names(), "suite", other_names=overview_names())
    suite, raw, faults = _read(Suite, path)
    faults += _repeated_tasks(raw, path)
    if known_tasks is not None:
        faults += _unknown_tasks(raw, path, known_tasks)
    if faults or suite is None:
        raise BadInput(faults)
    return suite


def overview_names() -> list[str]:
    """Names of the overviews that come with the package, sorted."""
    return sorted(path.stem for path in (suites_folder() / "overviews").glob("*.yaml"))


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
    path = _find(name, suites_folder() / "overviews", overview_names(), "overview")
    overview, _, faults = _read(Overview, path)
    known = suite_names()
    for position, each in enumerate(overview.suites if overview is not None else ()):
        where = f"{path}: suites[{position}]"
        if each not in known:
            faults.append(Fault(where, f"unknown suite '{each}'", did_you_mean(each, known)))
        elif overview is not None and each in overview.suites[:position]:
            faults.append(Fault(where, f"suite '{each}' is listed twice", "keep one of the two"))
    if faults or overview is None:
        raise BadInput(faults)
    return overview


def load_panel(name: str) -> Panel:
    """
    Read a panel by name, or from a path that ends in .yaml or .yml.

    Raises:
        BadInput: no such panel, or a file with faults (all of them named).
    """
    panel, _, faults = _read(Panel, _find(name, suites_folder() / "panels", panel_names(), "panel"))
    if faults or panel is None:
        raise BadInput(faults)
    return panel


def _find(
    name: str, folder: Path, names: list[str], kind: str, *, other_names: Sequence[str] = ()
) -> Path:
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise BadInput(Fault(name, f"no such {kind} file"))
        return path
    if name not in names:
        known = [*names, *other_names]
        hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
        command = "panels" if kind == "panel" else "suites"
        what = f"unknown {kind} '{name}'"
        raise BadInput(Fault("", what, f"{hint}   (granite-bench {command})"))
    return folder / f"{name}.yaml"


class _DuplicateKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here they are a fault."""

    def __init__(self, stream: str) -> None:
        self.repeated: list[tuple[str, int]] = []
        super().__init__(stream)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)  # refuses keys that cannot be compared
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                self.repeated.append((str(key), key_node.start_mark.line + 1))
            seen.add(key)
        return mapping


def read_yaml(path: Path) -> tuple[Any, list[Fault]]:
    """The content of a YAML file, and its duplicate keys; raises on what is not YAML at all."""
    try:
        loader = _DuplicateKeys(path.read_text(encoding="utf-8"))
        raw = loader.get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(Fault(str(path), f"cannot be read: {error}")) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(Fault(f"{path}:{line}", f"not valid YAML: {error.problem}")) from None
    except (yaml.YAMLError, ValueError) as error:  # a control character; a date such as 2020-99-99
        raise BadInput(Fault(str(path), f"not valid YAML: {str(error).splitlines()[0]}")) from None
    faults = [
        Fault(f"{path}:{line}", f"key '{key}' stands here twice", "keep one of the two")
        for key, line in loader.repeated
    ]
    if not isinstance(raw, dict):
        raise BadInput([*faults, Fault(str(path), "must be a mapping of keys to values")])
    return raw, faults


def _read(model: type[_M], path: Path) -> tuple[_M | None, Any, list[Fault]]:
    """What a file holds, validated (None when it is not valid) and raw, and all its faults."""
    raw, faults = read_yaml(path)
    document, more = _validate(model, raw, path)
    return document, raw, faults + more


def _validate(model: type[_M], raw: Any, path: Path) -> tuple[_M | None, list[Fault]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        # pydantic counts only the valid tasks, so one broken task alone would also be "none".
        listed = isinstance(raw, dict) and bool(raw.get("tasks"))
        return None, [
            _fault(details, model, path)
            for details in error.errors()
            if not (listed and details["type"] == "too_short")
        ]


def _fault(details: Any, model: type[BaseModel], path: Path) -> Fault:
    place = ""
    for step in details["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    where = f"{path}: {place}" if place else str(path)
    if details["type"] == "extra_forbidden":
        inner: dict[str, type[BaseModel]] = {"tasks": SuiteTask, "groups": Grouping}
        owner = inner.get(str(details["loc"][0]), model) if len(details["loc"]) > 1 else model
        keys = [field.alias or name for name, field in owner.model_fields.items()]
        hint = did_you_mean(str(details["loc"][-1]), keys) or f"known keys: {', '.join(keys)}"
        return Fault(where, "unknown key", hint)
    if details["type"] == "missing":
        return Fault(where, "is missing")
    if details["type"] == "model_type":
        return Fault(where, "must be a name, or a mapping of keys to values")
    found = details["input"]
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return Fault(where, details["msg"][0].lower() + details["msg"][1:] + shown)


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
