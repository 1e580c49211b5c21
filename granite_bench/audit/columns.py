"""
columns.yaml -> Columns: which quantity a printed column names.

The built-in file knows the columns of the Granite papers, cards and posts. A CSV with names of
its own has a YAML of the same stem beside it, in the same format, whose entries come first.
Every fault of a file is named at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from granite_bench.audit.column_file import ColumnEntry, ColumnFile, read_column_file
from granite_bench.audit.quantities import (
    Fact,
    Gap,
    Mean,
    NoRaw,
    Quantity,
    TaskScore,
    leaves,
    mean_of,
    with_variant,
)
from granite_bench.errors import BadInput, Fault, did_you_mean, near_or_all
from granite_bench.suite.shipped import suite_names
from granite_bench.suite.suite import Suite, SuiteTask, load_suite

BUILT_IN = Path(__file__).with_name("columns.yaml")

_TASK = re.compile(r"(?P<task>[^\s\[\],]+)(\[(?P<subset>[^\[\]]+)\])?")
_DIMENSIONS = re.compile(r" at (\d+) dimensions")
_MAX_LENGTH = re.compile(r" at max length (\d+)")
_CHANGE = re.compile(r", change (\d+) to (\d+) dimensions")
_GAP = re.compile(r", gap to (\S+)")
_SCORE = re.compile(
    r"(ndcg|map|mrr|recall|precision|accuracy|hit_rate|r_cap|p_mrr)(_at_\d+)?|mean|main_score|ap|f1"
    r"|f1_weighted|max_(ap|f1|accuracy)|v_measure|(cosine_|dot_|manhattan_|euclidean_)?"
    r"(spearman|pearson|ap|f1|accuracy)"
)
_SPEED = "a speed; speeds have no public raw results"
_UNIT_REASONS = {
    "docs_per_s": _SPEED,
    "spans_per_s": _SPEED,
    "s_per_query": _SPEED,
    "pct": _SPEED,
    "ratio": _SPEED,
    "mb": "mteb's metadata has no size of this file",
    "chars": "the corpus was not published",
}
FACT_UNITS = {
    "parameters": {"params_m": 1e-6, "params": 1.0},
    "active_parameters": {"params_m": 1e-6, "params": 1.0},
    "embedding_size": {"dims": 1.0},
    "max_tokens": {"tokens": 1.0},
}


@dataclass(frozen=True)
class Columns:
    """
    What columns name: the files in order, the first that has a name wins.

    Attributes:
        suites: name -> suite, for the averages and for the parts of a task that count.
    """

    files: tuple[ColumnFile, ...]
    suites: Mapping[str, Suite]
    _cache: dict[tuple[str, str, str], Quantity] = field(default_factory=dict, compare=False)

    def model(self, printed: str) -> str:
        """The id of a model."""
        return next((f.models[printed] for f in self.files if printed in f.models), printed)

    def family(self, column: str) -> list[str]:
        """Columns that are easily taken for this one."""
        families = [f for file in self.files for f in file.families if column in f]
        return list(dict.fromkeys(name for f in families for name in f if name != column))

    def related(self, task: str) -> tuple[str, ...]:
        """Tasks that are near this one."""
        groups = [g for file in self.files for g in file.related if task in g]
        return tuple(dict.fromkeys(name for g in groups for name in g if name != task))

    def all_tasks(self) -> set[str]:
        """Every task of the suites, of the columns and of what is related to them."""
        names = {
            n for suite in self.suites.values() for t in suite.tasks for n in (t.name, *t.parts)
        }
        for file in self.files:
            names |= {name for group in file.related for name in group}
        return names

    def resolve(self, column: str, unit: str, model: str = "") -> Quantity:
        """
        The quantity that *column* names.

        Args:
            unit: names the metric of a task; *mean* and *main_score* leave it to the suites.
            model: for comparisons with another model.
        """
        key = (column, unit, model)
        if key not in self._cache:
            self._cache[key] = self._resolve(column, unit, model)
        return self._cache[key]

    def _resolve(self, column: str, unit: str, model: str) -> Quantity:
        if unit == "points":
            return self._gap(column, model)
        entry = self._entry(column)
        if entry is not None:
            return self._fitting(column, unit, self._named(column, entry, unit))
        base, qualifier = self._split(column)
        known = _SCORE.fullmatch(unit) or any(unit in units for units in FACT_UNITS.values())
        if not known:
            return NoRaw(column, _UNIT_REASONS.get(unit, f"the unit '{unit}' is not known"))
        if not qualifier:
            if _SCORE.fullmatch(unit):
                return self._task_named(column, unit)
            return NoRaw(column, f"'{unit}' is no unit of a score")
        quantity = self.resolve(base, unit)
        if isinstance(quantity, Fact):  # whatever the model was used for
            return quantity
        for pattern, setting in ((_DIMENSIONS, "embed_dim"), (_MAX_LENGTH, "max_length")):
            if found := pattern.fullmatch(qualifier):
                return with_variant(quantity, ((setting, found[1]),))
        return NoRaw(column, f"no raw results of '{qualifier.lstrip(', ')}'")

    def _fitting(self, column: str, unit: str, quantity: Quantity) -> Quantity:
        if isinstance(quantity, NoRaw):
            return quantity
        units = FACT_UNITS[quantity.name] if isinstance(quantity, Fact) else None
        if unit in units if units is not None else _SCORE.fullmatch(unit):
            return quantity
        return NoRaw(column, f"'{unit}' is no unit of this column")

    def _gap(self, column: str, model: str) -> Quantity:
        base, qualifier = self._split(column)
        quantity = self.resolve(base, "mean")
        if found := _CHANGE.fullmatch(qualifier):
            before, after = (with_variant(quantity, (("embed_dim", n),)) for n in found.groups())
            return Gap(after, before)
        if found := _GAP.fullmatch(qualifier):
            return Gap(quantity, quantity, self.model(found[1]))
        if qualifier == ", gain over R1":
            earlier = [f.predecessors[model] for f in self.files if model in f.predecessors]
            if earlier:
                return Gap(quantity, quantity, earlier[0])
            return NoRaw(column, f"no predecessor of {model} is declared")
        return NoRaw(column, "it is not said what the points are a difference of")

    def _split(self, column: str) -> tuple[str, str]:
        """A column's known name, and what comes behind it."""
        known = [
            n for f in self.files for n in f.columns if column.startswith((f"{n},", f"{n} at "))
        ]
        if known:
            base = max(known, key=len)
            return base, column[len(base) :]
        found = _TASK.match(column)
        if found and column[found.end() :].startswith((", ", " at ")):
            return found[0], column[found.end() :]
        return column, ""

    def _entry(self, column: str) -> ColumnEntry | None:
        return next((f.columns[column] for f in self.files if column in f.columns), None)

    def _named(self, column: str, entry: ColumnEntry, unit: str) -> Quantity:
        if entry.fact is not None:
            return Fact(entry.fact)
        if entry.no_raw is not None:
            return NoRaw(column, entry.no_raw)
        if entry.suite is not None:
            return self._suite_mean(column, entry)
        if entry.task is not None:
            named = self._score(entry.task, entry.metric or unit, ())
            return TaskScore(
                named.task,
                named.metric,
                entry.splits or named.splits,
                entry.subsets or named.subsets,
                named.parts,
                related=named.related,
            )
        if entry.tasks:
            tasks = [self._task(task, entry.metric or "mean") for task in entry.tasks]
            return mean_of(column, tasks)
        if entry.tasks_of:
            found = [leaves(self.resolve(name, "mean")) for name in entry.tasks_of]
            return Mean(column, tuple(leaf for part in found for leaf in part))
        return Mean(column, tuple(self.resolve(name, "mean") for name in entry.mean))

    def _suite_mean(self, column: str, entry: ColumnEntry) -> Quantity:
        suite = self.suites[entry.suite or ""]
        if entry.group is None and suite.average == "groups":
            by_group: dict[str, list[Quantity]] = {}
            for task in suite.tasks:
                by_group.setdefault(task.group or "", []).append(self._of_suite(task))
            groups = [mean_of(f"{column}: {g}", parts) for g, parts in by_group.items()]
            return mean_of(column, groups)
        chosen = [t for t in suite.tasks if entry.group is None or t.group == entry.group]
        kept = [self._of_suite(task) for task in chosen if task.name not in entry.without]
        return mean_of(column, kept)

    def _of_suite(self, task: SuiteTask) -> TaskScore:
        return TaskScore(
            task.name, task.metric, task.splits, task.subsets, task.parts,
            related=self.related(task.name),
        )  # fmt: skip

    def _task_named(self, column: str, unit: str) -> Quantity:
        if not _TASK.fullmatch(column):
            return NoRaw(column, "the column is not known; declare it in a YAML beside the CSV")
        return self._task(column, unit)

    def _task(self, name: str, metric: str) -> TaskScore:
        found = _TASK.fullmatch(name)
        if not found:
            return self._score(name, metric, ())
        return self._score(found["task"], metric, (found["subset"],) if found["subset"] else ())

    def _score(self, task: str, metric: str, subsets: tuple[str, ...]) -> TaskScore:
        """A task as the suites have it; every split and subset of the file where none does."""
        own = metric in ("mean", "main_score")
        for suite in self.suites.values():
            for entry in suite.tasks:
                if entry.name == task:
                    of_suite = self._of_suite(entry)
                    return TaskScore(
                        task,
                        of_suite.metric if own else metric,
                        of_suite.splits,
                        subsets or of_suite.subsets,
                        of_suite.parts,
                        related=of_suite.related,
                    )
        metric = "main_score" if own else metric
        return TaskScore(task, metric, subsets=subsets, related=self.related(task))


def load_columns(published: Path | None = None) -> Columns:
    """
    What the columns of a published table name.

    Args:
        published: the CSV, whose YAML of the same stem comes first where there is one.

    Raises:
        BadInput: a YAML with faults (all of them named).
    """
    beside = published.with_suffix(".yaml") if published is not None else None
    if beside is None or not beside.is_file():
        return _built_in()
    built_in = _built_in()
    return Columns((_read(beside, built_in), *built_in.files), built_in.suites)


@cache
def _built_in() -> Columns:
    suites = {name: load_suite(name) for name in suite_names()}
    return Columns((_read(BUILT_IN, Columns((), suites)),), suites)


def _read(path: Path, known: Columns) -> ColumnFile:
    file = read_column_file(path)
    faults = list(_unknown_names(file, path, known))
    if faults:
        raise BadInput(faults)
    return file


def _unknown_names(file: ColumnFile, path: Path, known: Columns) -> Iterator[Fault]:
    """Suites, groups, tasks and columns that are referred to and not there."""
    columns = [*file.columns, *(name for other in known.files for name in other.columns)]
    for name, entry in file.columns.items():
        where = f"{path}: columns.{name}"
        if entry.suite is not None and entry.suite not in known.suites:
            hint = did_you_mean(entry.suite, known.suites)
            yield Fault(f"{where}.suite", f"unknown suite '{entry.suite}'", hint)
        elif entry.suite is not None:
            suite = known.suites[entry.suite]
            groups = sorted({task.group for task in suite.tasks if task.group})
            if entry.group is not None and entry.group not in groups:
                hint = near_or_all(entry.group, groups)
                yield Fault(f"{where}.group", f"{suite.name} has no group '{entry.group}'", hint)
            tasks = [task.name for task in suite.tasks]
            for task in entry.without:
                if task not in tasks:
                    hint = did_you_mean(task, tasks)
                    yield Fault(f"{where}.without", f"{suite.name} has no task '{task}'", hint)
        for key in ("mean", "tasks_of"):
            for other in getattr(entry, key):
                if other not in columns and not _TASK.fullmatch(other):
                    yield Fault(
                        f"{where}.{key}", f"unknown column '{other}'", did_you_mean(other, columns)
                    )
        if _is_made_of(name, name, file, set()):
            yield Fault(where, "a column cannot be made of itself")
    for position, family in enumerate(file.families):
        for other in family:
            if other not in columns:
                hint = did_you_mean(other, columns)
                yield Fault(f"{path}: families[{position}]", f"unknown column '{other}'", hint)


def _is_made_of(name: str, wanted: str, file: ColumnFile, seen: set[str]) -> bool:
    """Whether *wanted* is among the columns that *name* is made of, at any depth."""
    entry = file.columns.get(name)
    parts = (*entry.mean, *entry.tasks_of) if entry is not None and name not in seen else ()
    seen.add(name)
    return any(part == wanted or _is_made_of(part, wanted, file, seen) for part in parts)
