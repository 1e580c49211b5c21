"""Options that choose and shape a table, and the table that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from granite_bench.commands.help import together, under
from granite_bench.commands.options import results_option

for_tables = together(
    under(
        "Models and results",
        results_option,
        click.option(
            "--own-first",
            is_flag=True,
            help="Results of the first folder win, even if less complete.",
        ),
        click.option(
            "--model",
            "models",
            multiple=True,
            metavar="MODEL",
            help="Show this model; may be repeated.  [default: all with results]",
        ),
        click.option(
            "--panel",
            metavar="PANEL",
            help="Show the models of this panel (see granite-bench panels).",
        ),
    ),
    under(
        "Columns and averages",
        click.option(
            "--by",
            metavar="GROUPING",
            help="Columns: task, or a grouping of the suite such as language, type or length.  "
            "[default: task; of a suite of rerankers, what its average is over]",
        ),
        click.option(
            "--partial",
            is_flag=True,
            help="Average incomplete rows too, marked with * everywhere.",
        ),
        click.option(
            "--common", is_flag=True, help="Only the tasks that every model with results has."
        ),
        click.option(
            "--facts", is_flag=True, help="Parameters, dimension, maximum length, zero-shot share."
        ),
        click.option(
            "--inseparable",
            is_flag=True,
            help="Mark the ranks that cannot be told from the one above, by a test over queries.",
        ),
    ),
)
"""The options that choose and shape a table."""


def make_table(
    name: str,
    *,
    results: Sequence[Path],
    models: Sequence[str],
    panel: str | None,
    by: str | None,
    **options: Any,
) -> Any:
    """The table of a suite, or of an overview, by its name or file."""
    from granite_bench.suite.overview import is_overview, load_overview
    from granite_bench.suite.panel import load_panel
    from granite_bench.suite.suite import load_suite
    from granite_bench.tables import table
    from granite_bench.tables.overview import make_overview

    named = [f"local/{Path(m).resolve().name}" if Path(m).is_dir() else m for m in models]
    shown = [*named, *(load_panel(panel).models if panel else ())]
    if is_overview(name):
        if by not in (None, "task") or options["common"]:
            raise click.UsageError("an overview has its suites as columns; leave --by and --common")
        chosen = table.Options(models=shown or None, **{**options, "facts": True})
        return make_overview(load_overview(name), results, chosen)
    suite = load_suite(name)
    if by is None:
        over_groups = suite.rerankers and suite.average == "groups"
        by = suite.groups[0].by if over_groups else "task"
    chosen = table.Options(models=shown or None, by=by, **options)
    return table.make_table(suite, results, chosen, source=name)


def separations_of_ranks(made: Any) -> Any:
    """Which ranks cannot be told from the one above."""
    if made.overview is not None:
        raise click.UsageError("--inseparable is for one suite; an overview has no queries")
    if made.suite.rerankers:
        raise click.UsageError("a suite of rerankers has no ranks; leave --inseparable")
    from granite_bench.comparison.separation import separations_of

    return separations_of(made)
