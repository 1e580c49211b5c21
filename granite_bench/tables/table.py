"""
Results -> a table of models by tasks or by groups, with nothing averaged over holes.

A row has an average and a rank only when every task of the suite is complete, unless it is asked
for otherwise, and then the table says so. Reads results alone: no mteb, no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, did_you_mean, gathered
from granite_bench.results.speed_columns import Conditions, Speed, speeds_of
from granite_bench.results.speed_records import SpeedRecord, latest, read_speed_records
from granite_bench.results.tree import Result, read_results
from granite_bench.suite.overview import Overview
from granite_bench.suite.suite import Suite
from granite_bench.tables.model_facts import ModelFacts, facts_of
from granite_bench.tables.scores import Cell, group_cells, suite_average, task_cell, task_names
from granite_bench.tables.selection import Selection, select
from granite_bench.tables.variant_settings import DIM, MAX_LENGTH, length_of, name_without


@dataclass
class Row:
    """
    One model (and variant).

    Attributes:
        revision: the one that most of its results are of; empty without results.
        cells: column -> cell.
        settings: what makes a variant of the model, such as max_length.
        results: task, or part of one -> the result that counts; of a suite's table alone.
        n_complete: tasks of the suite (or suites of the overview) that are complete.
        average: by the suite's rule, a fraction; None unless every task is complete, or the
            table is partial.
        rank: 1 is best, equal averages share it; None for incomplete rows.
        speeds: what the records of its own results say.
        speed_records: what granite-bench speed measured of the model; one for each conditions.
        other_revisions: task -> revision, for results that are not of *revision*.
        reasons: task -> why this result, where there were several.
        zero_shot: column or "" for all -> share of tasks that the model was not trained on.
    """

    model: str
    revision: str
    cells: dict[str, Cell]
    n_complete: int
    n_tasks: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    average: float | None = None
    rank: int | None = None
    speeds: list[Speed] = field(default_factory=list)
    speed_records: Sequence[SpeedRecord] = ()
    other_revisions: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    facts: ModelFacts = field(default_factory=ModelFacts)
    zero_shot: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.n_complete == self.n_tasks


@dataclass(frozen=True)
class Options:
    """
    How a table is made.

    Attributes:
        models: rows to show, in any order; None shows every model with a result. A model
            without results is shown as an empty row.
        by: *task*, or a grouping of the suite such as *language*.
        partial: incomplete rows have an average over what is there, marked, and no rank.
        common: only the tasks that every shown model with results has completely.
        own_first: results of the first folder win even when they are less complete.
        facts: show parameters, dimension, maximum length and zero-shot share.
        revision: only results of the revision of a model that begins so; empty takes all. Of
            a suite's table alone.
    """

    models: Sequence[str] | None = None
    by: str = "task"
    partial: bool = False
    common: bool = False
    own_first: bool = False
    facts: bool = False
    revision: str = ""


@dataclass(frozen=True)
class Table:
    """
    A suite's table, or an overview of suites.

    Attributes:
        suite: what was measured; of an overview, its columns stand as tasks.
        source: the suite's name or file, as it was asked for.
        options: how it was made.
        columns: column -> what it shows (the metric, for a task).
        rows: best average first, then incomplete rows by name.
        n_tasks_of_suite: before the table was narrowed to common tasks.
        overview: what an overview's file says; None for the table of a suite.
        suites: the suites of an overview, in the order of its columns.
    """

    suite: Suite
    source: str
    options: Options
    columns: Mapping[str, str]
    rows: Sequence[Row]
    n_tasks_of_suite: int
    overview: Overview | None = None
    suites: Sequence[Suite] = ()

    @property
    def by(self) -> str:
        """What the columns are."""
        return self.options.by

    @property
    def is_overview(self) -> bool:
        """Whether the columns are suites."""
        return self.overview is not None

    def counting(self, column: str) -> list[float]:
        """The values of a column that may be its best: of complete rows, or all when partial."""
        cells = [row.cells[column] for row in self.rows if row.complete or self.options.partial]
        return [cell.value for cell in cells if cell.complete and cell.value is not None]

    @property
    def devices(self) -> list[tuple[str, str]]:
        """The (device, protocol) pairs that rows have speeds for; each needs its own columns."""
        return sorted({(speed.device, speed.protocol) for row in self.rows for speed in row.speeds})

    @property
    def speed_conditions(self) -> list[Conditions]:
        """What rows have speed records under; each needs its own columns."""
        return sorted({record.conditions for row in self.rows for record in row.speed_records})


def make_table(
    suite: Suite, folders: Iterable[Path], options: Options | None = None, *, source: str = ""
) -> Table:
    """
    The table of *suite* from the results in *folders*.

    Args:
        folders: results folders; selection.RULE says which result counts where several do.
        source: where the suite was read from; its name when empty.

    Raises:
        BadInput: no such grouping, or broken results (all of them named).
    """
    options, folders = options or Options(), list(folders)
    known = ["task", *(grouping.by for grouping in suite.groups)]
    if options.by not in known:
        hint = did_you_mean(options.by, known) or f"{suite.name} has: {', '.join(known)}"
        raise BadInput(Fault("--by", f"suite {suite.name} has no '{options.by}'", hint))
    by_folder = [
        [each for each in results if each.revision.startswith(options.revision)]
        for results in (read_results(folder, task_names(suite)) for folder in folders)
    ]
    n_tasks = len(suite.tasks)
    selections = shown_selections(
        select(suite, by_folder, own_first=options.own_first), options.models
    )
    check_records(r for each in selections.values() for r in each.results.values())
    if options.common:
        suite = _common_part(suite, selections)
    rows = [row_of(suite, options, model, chosen) for model, chosen in selections.items()]
    add_speed_records(rows, folders)
    columns = {column: "" for row in rows for column in row.cells}
    if options.by == "task":
        columns = {task.name: task.metric for task in suite.tasks}
    return Table(suite, source or suite.name, options, columns, ranked(rows), n_tasks)


def shown_selections(
    selections: Mapping[str, Selection], models: Sequence[str] | None
) -> dict[str, Selection]:
    """
    The rows asked for.

    Args:
        models: names; one of a model brings its variants along, one without results has an empty
            row. None is all.
    """
    if models is None:
        return dict(selections)
    shown = {
        name: selection
        for name, selection in selections.items()
        if any(_is_of(name, model) for model in models)
    }
    absent = [model for model in models if not any(_is_of(name, model) for name in shown)]
    return shown | {model: Selection({}, {}, "") for model in absent}


def _is_of(name: str, model: str) -> bool:
    """Whether a row is of a model: itself, a variant of it, or a checkpoint of that name."""
    return name == model or name.startswith((f"{model} (", f"{model} @"))


def check_records(results: Iterable[Result]) -> None:
    """
    Read the records of results.

    Raises:
        BadInput: broken records, or of a newer release; every one is named.
    """
    faults: list[Fault] = []
    gathered(results, lambda result: result.record, faults)
    if faults:
        raise BadInput(faults)


def _common_part(suite: Suite, selections: Mapping[str, Selection]) -> Suite:
    """The suite with the tasks that every model with results has completely."""
    with_results = [chosen.results for chosen in selections.values() if chosen.results]
    tasks = tuple(
        task
        for task in suite.tasks
        if all(task_cell(task, results).complete for results in with_results)
    )
    if not tasks or not with_results:
        what = "no task is complete for every model"
        raise BadInput(Fault("--common", what, "show fewer models with --model or --panel"))
    return suite.model_copy(update={"tasks": tasks})


def row_of(
    suite: Suite,
    options: Options,
    model: str,
    selection: Selection,
    dropped: Collection[str] = (),
) -> Row:
    """
    The row of one model.

    Args:
        dropped: settings that are an overview's column's, and not the row's.
    """
    results = selection.results
    tasks = {task.name: task_cell(task, results) for task in suite.tasks}
    shown = tasks if options.by == "task" else group_cells(suite, options.by, results)
    n_complete = sum(cell.complete for cell in tasks.values())
    used = list({r.path: r for cell in tasks.values() for r in cell.sources}.values())
    whole = n_complete == len(tasks)
    settings: Mapping[str, Any] = next((source.settings for source in used), {})
    row = Row(
        model=model,
        revision=selection.revision,
        cells=dict(shown),
        n_complete=n_complete,
        n_tasks=len(tasks),
        settings={key: value for key, value in settings.items() if key not in dropped},
        results=results,
        average=suite_average(suite, tasks, results) if whole or options.partial else None,
        speeds=speeds_of(used),
        other_revisions={
            result.task: result.revision for result in used if result.revision != selection.revision
        },
        reasons=selection.reasons,
    )
    if options.facts:
        row.facts = _facts(model, row.settings, selection)
        row.zero_shot = {"": row.facts.zero_shot_share(list(tasks))}
    return row


def add_speed_records(rows: Iterable[Row], folders: Iterable[Path]) -> None:
    """What granite-bench speed measured of each row's model, beside its scores."""
    records = latest(record for folder in folders for record in read_speed_records(folder))
    for row in rows:
        name = name_without(row.model, row.settings, row.settings)
        length = length_of(row.settings, [s for cell in row.cells.values() for s in cell.sources])
        row.speed_records = [
            r for r in records if r.is_of(name, row.revision, row.settings, length)
        ]


def _facts(model: str, settings: Mapping[str, Any], selection: Selection) -> ModelFacts:
    """The model's, with what a variant changes of it."""
    name = name_without(model, settings, settings)
    meta = next((result.meta for result in selection.results.values()), {})
    facts = facts_of(name, meta)
    return replace(
        facts,
        dimension=settings.get(DIM, facts.dimension),
        max_length=settings.get(MAX_LENGTH, facts.max_length),
    )


def ranked(rows: Sequence[Row]) -> list[Row]:
    """
    The rows with their ranks, the best first, incomplete ones at the end.

    A rank is 1 + the number of complete rows that are better as printed.
    """
    averages = [round((row.average or 0.0) * 100, 2) for row in rows if _ranks(row)]
    for row in rows:
        if _ranks(row):
            row.rank = 1 + sum(other > round((row.average or 0.0) * 100, 2) for other in averages)
    return sorted(
        rows, key=lambda row: (not row.complete, -(row.average or 0.0), row.model.lower())
    )


def _ranks(row: Row) -> bool:
    return row.complete and row.average is not None
