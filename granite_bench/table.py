"""
Results -> a table of models by tasks, with nothing averaged over holes.

A task's score is mteb's: the mean of its metric over all splits and subsets. A row has an
average and a rank only when every task of the suite is complete. Reads results alone: no mteb,
no torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.results import Result, read_results
from granite_bench.suite import Suite, SuiteTask


@dataclass(frozen=True)
class Cell:
    """
    One model's score on one task or group.

    Attributes:
        value: the mean of what is there, a fraction; None when nothing is there.
        n_there, n_expected: evaluations (split and subset).
        missing: the names of the evaluations that are not there.
        sources: the results that the value comes from.
    """

    value: float | None
    n_there: int
    n_expected: int
    missing: Sequence[str] = ()
    sources: Sequence[Result] = ()

    @property
    def complete(self) -> bool:
        """Whether every evaluation is there."""
        return self.n_there == self.n_expected


@dataclass(frozen=True)
class Speed:
    """
    What a model's runs of the suite's tasks took, on one device, under one protocol.

    Attributes:
        device: what the figures were measured on, for the column's head.
        protocol: how (see run_record.SPEED_PROTOCOL).
        docs_per_second: over the documents encoded, or indexed; None where nothing was.
        query_p50_ms, query_p95_ms: one query's text to its ranking; None where not measured.
    """

    device: str
    protocol: str
    docs_per_second: float | None
    query_p50_ms: float | None
    query_p95_ms: float | None


@dataclass
class Row:
    """
    One model (and revision, and variant).

    Attributes:
        cells: column -> cell.
        settings: what makes a variant of the model, such as max_length.
        n_complete: tasks of the suite that are complete.
        average: by the suite's rule, a fraction; None unless every task is complete.
        rank: 1 is best, equal averages share it; None without an average.
    """

    model: str
    revision: str
    cells: dict[str, Cell]
    n_complete: int
    n_tasks: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    average: float | None = None
    rank: int | None = None
    speeds: list[Speed] = field(default_factory=list)
    other_revisions: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """
    A suite's table.

    Attributes:
        columns: column -> what it shows (the metric, for a task).
        source: the suite's name or file, as it was asked for.
        by: *task*, or the name of one of the suite's groupings.
        rows: best average first, then incomplete rows by name.
    """

    suite: Suite
    source: str
    by: str
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def best(self, column: str) -> float | None:
        """The highest value among complete cells of a column."""
        values = [row.cells[column].value for row in self.rows if row.cells[column].complete]
        return max((value for value in values if value is not None), default=None)

    @property
    def devices(self) -> list[tuple[str, str]]:
        """The (device, protocol) pairs that rows have speeds for; each needs its own columns."""
        return sorted({(speed.device, speed.protocol) for row in self.rows for speed in row.speeds})


def make_table(
    suite: Suite,
    folders: Iterable[Path],
    *,
    models: Sequence[str] | None = None,
    by: str = "task",
    source: str | None = None,
) -> Table:
    """
    The table of *suite* from the results in *folders*.

    Args:
        suite: what the columns are.
        folders: results folders; the first one that has a model's task wins.
        models: rows to show, in any order; None shows every model with a result. A model
            without results is shown as an empty row.
        by: *task*, or a grouping of the suite such as *language*.
        source: where the suite was read from; its name when None.

    Raises:
        BadInput: no such grouping, or broken results (all of them named).
    """
    known = ["task", *(grouping.by for grouping in suite.groups)]
    if by not in known:
        hint = did_you_mean(by, known) or f"{suite.name} has: {', '.join(known)}"
        raise BadInput(Fault("--by", f"suite {suite.name} has no '{by}'", hint))
    names = {name for task in suite.tasks for name in (task.name, *task.parts)}
    found: dict[str, dict[str, dict[str, Result]]] = {}
    for folder in folders:
        for result in read_results(folder, names):
            by_task = found.setdefault(result.model, {}).setdefault(result.revision, {})
            by_task.setdefault(result.task, result)
    _check_records(found.values())
    shown = list(found) if models is None else [name for name in found if _wanted(name, models)]
    rows = [_row(suite, by, model, found[model]) for model in shown]
    absent = (
        [] if models is None else [m for m in models if not any(_wanted(n, [m]) for n in shown)]
    )
    rows += [_row(suite, by, model, {"": {}}) for model in absent]
    _rank(rows)
    rows.sort(key=lambda row: (row.average is None, -(row.average or 0.0), row.model.lower()))
    columns = {column: "" for row in rows for column in row.cells}
    if by == "task":
        columns = {task.name: task.metric for task in suite.tasks}
    return Table(suite, source or suite.name, by, columns, rows)


def _check_records(found: Iterable[Mapping[str, Mapping[str, Result]]]) -> None:
    """Every broken or newer record is named, not just the first."""
    faults: list[Fault] = []
    for result in (
        r for revisions in found for tasks in revisions.values() for r in tasks.values()
    ):
        try:
            _ = result.record
        except BadInput as error:
            faults += error.faults
    if faults:
        raise BadInput(faults)


def _wanted(name: str, models: Sequence[str]) -> bool:
    """A model asked for by its plain name brings its variants along."""
    return any(name == model or name.startswith(f"{model} (") for model in models)


def _row(suite: Suite, by: str, model: str, revisions: Mapping[str, Mapping[str, Result]]) -> Row:
    """The most complete revision, the newest among equals."""
    candidates = {
        revision: {task.name: _task_cell(task, results) for task in suite.tasks}
        for revision, results in revisions.items()
    }

    def completeness(revision: str) -> tuple[int, int, float, str]:
        cells = candidates[revision].values()
        newest = max((result.date for result in revisions[revision].values()), default=0.0)
        return (
            sum(cell.complete for cell in cells),
            sum(cell.n_there for cell in cells),
            newest,
            revision,
        )

    chosen = max(candidates, key=completeness)
    tasks = candidates[chosen]
    shown = tasks if by == "task" else _group_cells(suite, by, revisions[chosen])
    n_complete = sum(cell.complete for cell in tasks.values())
    average = None
    if n_complete == len(tasks):
        average = _average(suite, tasks, revisions[chosen])
    used = list({id(r): r for cell in tasks.values() for r in cell.sources}.values())
    return Row(
        model=model,
        revision=chosen,
        cells=dict(shown),
        n_complete=n_complete,
        n_tasks=len(tasks),
        settings=next((source.settings for source in used), {}),
        average=average,
        speeds=_speeds(used),
        other_revisions=sorted(set(candidates) - {chosen}),
    )


def _task_cell(task: SuiteTask, results: Mapping[str, Result]) -> Cell:
    if task.name not in results and task.parts:
        return _parts_cell(task, results)
    return _mean_cell(_evaluations(task, task.name), results)


def _parts_cell(task: SuiteTask, results: Mapping[str, Result]) -> Cell:
    """An aggregate without a result of its own: the mean over its parts' scores."""
    parts = [_mean_cell(_evaluations(task, part), results) for part in task.parts]
    whole = [part for part in parts if part.complete]
    values = [part.value for part in whole if part.value is not None]
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=len(whole),
        n_expected=len(parts),
        missing=[n for n, part in zip(task.parts, parts, strict=True) if not part.complete],
        sources=[source for part in whole for source in part.sources],
    )


@dataclass(frozen=True)
class _Evaluation:
    task: str
    split: str
    subset: str
    metric: str

    @property
    def label(self) -> str:
        place = "" if self.subset == "default" else f"[{self.subset}]"
        return f"{self.task}{place} {self.split}"


def _evaluations(task: SuiteTask, name: str) -> list[_Evaluation]:
    return [
        _Evaluation(name, split, subset, task.metric)
        for split in task.splits
        for subset in task.subsets
    ]


def _mean_cell(evaluations: Sequence[_Evaluation], results: Mapping[str, Result]) -> Cell:
    values, missing = [], []
    for wanted in evaluations:
        result = results.get(wanted.task)
        scores = result.scores.get(wanted.split, {}).get(wanted.subset, {}) if result else {}
        value = next((scores[name] for name in _names_of(wanted.metric) if name in scores), None)
        # A correlation may be negative; NaN compares as false and counts as missing.
        if isinstance(value, int | float) and -1 <= value <= 1:
            values.append(value)
        else:
            missing.append(wanted.label)
    used = {wanted.task for wanted in evaluations} & set(results)
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=len(values),
        n_expected=len(evaluations),
        missing=missing,
        sources=[results[task] for task in sorted(used)],
    )


def _names_of(metric: str) -> tuple[str, ...]:
    """A metric's name, and what mteb 1 called it: its reranking results have one "map" alone."""
    return (metric, "map") if metric.endswith("map_at_1000") else (metric,)


def _group_cells(suite: Suite, by: str, results: Mapping[str, Result]) -> dict[str, Cell]:
    """group -> the mean over its tasks, in the suite's order."""
    source = next(grouping.source for grouping in suite.groups if grouping.by == by)
    groups: dict[str, list[Cell]] = {}
    for task in suite.tasks:
        if source == "group":
            if task.group is not None:
                groups.setdefault(task.group, []).append(_task_cell(task, results))
            continue
        evaluations = _evaluations(task, task.name)
        for label in dict.fromkeys(getattr(evaluation, source) for evaluation in evaluations):
            part = [each for each in evaluations if getattr(each, source) == label]
            groups.setdefault(label, []).append(_mean_cell(part, results))
    return {group: _mean_of_cells(cells) for group, cells in groups.items()}


def _mean_of_cells(cells: Sequence[Cell]) -> Cell:
    values = [cell.value for cell in cells if cell.value is not None]
    return Cell(
        value=statistics.fmean(values) if values else None,
        n_there=sum(cell.n_there for cell in cells),
        n_expected=sum(cell.n_expected for cell in cells),
        missing=[name for cell in cells for name in cell.missing],
        sources=[source for cell in cells for source in cell.sources],
    )


def _average(
    suite: Suite, tasks: Mapping[str, Cell], results: Mapping[str, Result]
) -> float | None:
    cells: Iterable[Cell] = tasks.values()
    if suite.average == "groups":
        cells = _group_cells(suite, suite.groups[0].by, results).values()
    values = [cell.value for cell in cells if cell.value is not None]
    return statistics.fmean(values) if values else None


def _rank(rows: Sequence[Row]) -> None:
    """1 + the number of rows that are better on the page (0.01 points), so that equals tie."""
    averages = [round(row.average * 100, 2) for row in rows if row.average is not None]
    for row in rows:
        if row.average is not None:
            row.rank = 1 + sum(other > round(row.average * 100, 2) for other in averages)


def _speeds(results: Iterable[Result]) -> list[Speed]:
    """One Speed per device and protocol that the results' records name."""
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for run in result.record.get("runs", ()):
            key = (device_label(run["hardware"]), run["speed_protocol"])
            runs.setdefault(key, []).extend(run["evaluations"])
    return [_speed(key, evaluations) for key, evaluations in sorted(runs.items())]


def _speed(key: tuple[str, str], evaluations: Sequence[Mapping[str, Any]]) -> Speed:
    n_docs, seconds, queries = 0, 0.0, []
    for entry in evaluations:
        if entry["docs"] is None:  # a model that searches by itself: indexing is its encoding
            n_docs, seconds = n_docs + entry["n_docs"], seconds + entry["index_seconds"]
        else:
            n_docs += entry["docs"]["n_encoded"]
            seconds += entry["docs"]["encode_seconds"]
        queries += entry["query_seconds"]
    percentiles = (
        statistics.quantiles(queries, n=20, method="inclusive") if len(queries) > 1 else []
    )
    return Speed(
        *key,
        docs_per_second=n_docs / seconds if n_docs and seconds else None,
        query_p50_ms=percentiles[9] * 1000 if percentiles else None,
        query_p95_ms=percentiles[18] * 1000 if percentiles else None,
    )


def device_label(hardware: Mapping[str, Any]) -> str:
    """What a speed was measured on, in a few words."""
    if hardware.get("device_name"):
        return str(hardware["device_name"])
    return f"{hardware['cpu']}, {hardware['cores']} cores"
