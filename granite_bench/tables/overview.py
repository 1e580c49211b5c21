"""Results of several suites -> one table: a column for each suite, with its average."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from granite_bench.errors import BadInput, Fault
from granite_bench.results.tree import Result, read_results
from granite_bench.suite.overview import Overview
from granite_bench.suite.suite import Suite, SuiteTask, load_suite
from granite_bench.tables.model_facts import facts_of
from granite_bench.tables.scores import Cell, task_names
from granite_bench.tables.selection import select
from granite_bench.tables.table import (
    Options,
    Row,
    Table,
    add_speed_records,
    check_records,
    ranked,
    row_of,
    shown_selections,
)
from granite_bench.tables.variant_settings import MAX_LENGTH, length_of, name_without


def make_overview(
    overview: Overview, folders: Iterable[Path], options: Options | None = None
) -> Table:
    """
    One column per suite of *overview*: the suite's average, where it is complete.

    A column with a max_length takes results that were made at it, or of models whose own maximum
    is not longer; the length is then the column's, and not part of a row's name.

    Raises:
        BadInput: two suites of one title, or broken results (all of them named).
    """
    options, folders = options or Options(), list(folders)
    suites = [load_suite(column.suite) for column in overview.suites]
    _refuse_namesakes(overview, suites)
    names = {name for suite in suites for name in task_names(suite)}
    by_folder = [read_results(folder, names) for folder in folders]
    tables: dict[str, dict[str, Row]] = {}
    for column, suite in zip(overview.suites, suites, strict=True):
        made: Sequence[Sequence[Result]] = by_folder
        dropped: Collection[str] = ()
        if column.max_length is not None:
            made = [_made_at(column.max_length, suite, results) for results in by_folder]
            dropped = (MAX_LENGTH,)
        chosen = shown_selections(select(suite, made, own_first=options.own_first), options.models)
        check_records(r for each in chosen.values() for r in each.results.values())
        tables[suite.title] = {
            model: row_of(suite, options, model, each, dropped) for model, each in chosen.items()
        }
    models = list(dict.fromkeys(model for rows in tables.values() for model in rows))
    rows = [
        _overview_row(
            model, {title: by.get(model) for title, by in tables.items()}, options, suites
        )
        for model in models
    ]
    add_speed_records(rows, folders)
    as_suite = Suite(
        version=1,
        name=overview.name,
        title=overview.title,
        description=overview.description,
        tasks=tuple(SuiteTask(name=suite.title, metric="mean") for suite in suites),
    )
    columns = {
        suite.title: f"mean of {len(suite.tasks)}"
        + (f" at {column.max_length:,} tokens" if column.max_length is not None else "")
        for column, suite in zip(overview.suites, suites, strict=True)
    }
    return Table(
        as_suite, overview.name, options, columns, ranked(rows), len(suites), overview, suites
    )


def _refuse_namesakes(overview: Overview, suites: Sequence[Suite]) -> None:
    """Titles are the heads of columns: of two suites of one title one would not be seen."""
    names: dict[str, list[str]] = {}
    for suite in suites:
        names.setdefault(suite.title, []).append(suite.name)
    faults = [
        Fault(
            f"overview {overview.name}",
            f"suites {' and '.join(of_title)} have the same title, '{title}'",
            "give each a title of its own",
        )
        for title, of_title in names.items()
        if len(of_title) > 1
    ]
    if faults:
        raise BadInput(faults)


def _made_at(max_length: int, suite: Suite, results: Sequence[Result]) -> list[Result]:
    """The results of *suite* whose texts were cut to *max_length* tokens, or needed no cut."""
    results = [result for result in results if result.task in task_names(suite)]
    check_records(results)
    kept = []
    for result in results:
        named = result.settings.get(MAX_LENGTH)
        if named == max_length:
            name = name_without(result.model, result.settings, (MAX_LENGTH,))
            kept.append(replace(result, model=name))
        elif named is None:
            own = length_of({}, [result])
            if own is None:  # neither a record nor metadata beside it: what mteb knows
                name = name_without(result.model, result.settings, result.settings)
                own = facts_of(name, result.meta).max_length
            if own is not None and own <= max_length:
                kept.append(result)
    return kept


def _overview_row(
    model: str, by_suite: Mapping[str, Row | None], options: Options, suites: Sequence[Suite]
) -> Row:
    """One model's averages side by side, with all that its rows of the suites say."""
    cells = {suite.title: _suite_cell(by_suite[suite.title], suite) for suite in suites}
    values = [cell.value for cell in cells.values() if cell.value is not None]
    n_complete = sum(cell.complete for cell in cells.values())
    average = None
    if values and (n_complete == len(cells) or options.partial):
        average = statistics.fmean(values)
    rows = [row for row in by_suite.values() if row is not None and row.revision]
    first = rows[0] if rows else None
    return Row(
        model=model,
        revision=first.revision if first else "",
        cells=cells,
        n_complete=n_complete,
        n_tasks=len(cells),
        settings=first.settings if first else {},
        average=average,
        other_revisions={
            source.task: source.revision
            for cell in cells.values()
            for source in cell.sources
            if first and source.revision != first.revision
        },
        reasons={k: v for row in rows for k, v in row.reasons.items()},
        facts=first.facts if first else facts_of(model, {}),
        zero_shot={
            title: row.zero_shot.get("") for title, row in by_suite.items() if row is not None
        },
    )


def _suite_cell(row: Row | None, suite: Suite) -> Cell:
    if row is None:
        names = [task.name for task in suite.tasks]
        return Cell(None, 0, len(names), names)
    return Cell(
        value=row.average,
        n_there=row.n_complete,
        n_expected=row.n_tasks,
        missing=[name for name, cell in row.cells.items() if not cell.complete],
        refused=[name for cell in row.cells.values() for name in cell.refused],
        sources=[source for cell in row.cells.values() for source in cell.sources],
    )
