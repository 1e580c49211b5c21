"""Which models of a table qualify, and what excludes the others, a sentence for each reason."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from granite_bench.comparison.costs import Cost
from granite_bench.comparison.money import is_served
from granite_bench.comparison.requirements import QUANTITIES, Requirement, groupings
from granite_bench.printed import some
from granite_bench.suite.suite import Suite
from granite_bench.tables.run_command import finish, model_argument
from granite_bench.tables.scores import Cell, group_cells, task_cell
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import FIRST_STAGE

SUITE_RUN = "suite-run"
"""What the names of protocols begin with whose figures fall out of a run."""


def reasons_against(
    requirements: Iterable[Requirement], row: Row, cost: Cost, *, table: Table, protocol: str = ""
) -> list[str]:
    """
    What excludes a model: a sentence for each requirement that it does not meet.

    A figure that nobody knows meets nothing; the sentence says what would give it.

    Args:
        requirements: of the suite of *table*.
        row, cost: of the model; the row is of *table*.
        protocol: that costs are by (see costs.Costs), which a measurement would need.

    Returns:
        Empty for a model that qualifies.
    """
    reasons = []
    for each in requirements:
        found = _found(each, row, cost, table.suite)
        if found is None:
            why = _why_unknown(each, row, cost, table, protocol)
            reasons.append(f"{_label(each)} is unknown, and {each.text} is required: {why}")
        elif not each.holds(found):
            reasons.append(f"{_label(each)} is {_shown(each, found)}, and {each.text} is required")
    return reasons


def _cell(suite: Suite, metric: str | None, column: str, row: Row) -> Cell:
    """
    The score of a row: of a task of this name, else of the first such group.

    Args:
        metric: None is each task's own.
    """
    tasks = suite.tasks
    if metric is not None:
        tasks = tuple(task.model_copy(update={"metric": metric}) for task in tasks)
    task = next((task for task in tasks if task.name == column), None)
    if task is not None:
        return task_cell(task, row.results)
    measured = suite.model_copy(update={"tasks": tasks, "groups": groupings(suite)})
    by_grouping = (group_cells(measured, grouping.by, row.results) for grouping in measured.groups)
    return next(cells[column] for cells in by_grouping if column in cells)


def _found(requirement: Requirement, row: Row, cost: Cost, suite: Suite) -> float | None:
    if not requirement.is_score:
        return QUANTITIES[requirement.quantity].of(cost)
    if not requirement.column:
        return row.average if row.complete else None
    cell = _cell(suite, requirement.quantity, requirement.column, row)
    return cell.value if cell.complete else None


def _label(requirement: Requirement) -> str:
    place = f"[{requirement.column}]" if requirement.column else ""
    return f"{requirement.name}{place}"


def _shown(requirement: Requirement, found: float) -> str:
    """With as many digits as tell it from what is required."""
    if requirement.is_score or QUANTITIES[requirement.quantity].is_measured:
        return f"{found:.6g}"
    return f"{found:,.0f}"


def _why_unknown(
    requirement: Requirement, row: Row, cost: Cost, table: Table, protocol: str
) -> str:
    if requirement.is_score:
        return _why_no_score(requirement, row, table)
    if requirement.quantity == "bytes_per_million_docs":
        return "it keeps no embeddings whose size is known"
    if QUANTITIES[requirement.quantity].kind == "count":
        return "neither mteb's metadata nor its own say"
    if requirement.quantity == "cost_per_million_docs" and is_served(row):
        return (
            "of a server its bill counts, of granite-bench run --price-per-million-tokens; beside "
            "what devices cost under --protocol suite-run/1 alone"
        )
    if requirement.quantity == "cost_per_million_docs" and cost.docs_per_s is not None:
        return "--price-per-device-hour says what an hour of the device costs"
    command = _speed_command(requirement.quantity, row, cost, protocol)
    if not command:
        return "it was not measured, and granite-bench speed measures embedding models in torch"
    what = {"memory_bytes": "it, of a model alone", "cost_per_million_docs": "documents per second"}
    # One model's figure is chosen for a column where most have one under its conditions.
    others = "; all models need the same" if protocol.startswith(SUITE_RUN) else ""
    return f"{command} measures {what.get(requirement.quantity, 'it')}{others}"


def _why_no_score(requirement: Requirement, row: Row, table: Table) -> str:
    if requirement.column:
        cell = _cell(table.suite, requirement.quantity, requirement.column, row)
        if _cell(table.suite, None, requirement.column, row).complete:
            return f"the results have no {requirement.quantity} of {some(cell.missing, 3)}"
        missing = cell.missing
    else:
        missing = [name for each in row.cells.values() for name in each.missing]
    return f"there are no results of {some(list(missing), 3)}; {finish(table, row)}"


def _speed_command(quantity: str, row: Row, cost: Cost, protocol: str) -> str:
    """What measures a model; empty where nothing does."""
    elsewhere = {"endpoint", "backend", FIRST_STAGE} & set(row.settings)
    if elsewhere or cost.bytes_per_million_docs is None:
        return ""
    words = ["granite-bench", "speed", "--model", model_argument(row)]
    if quantity.startswith("query"):
        words += ["--protocol", "queries"]
    elif protocol and not protocol.startswith(SUITE_RUN):
        words += ["--protocol", protocol]
    if "dtype" in row.settings:
        words += ["--dtype", str(row.settings["dtype"])]
    return shlex.join(words)
