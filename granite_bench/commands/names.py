"""granite-bench suites, panels, tasks and models: the names that other commands take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.group import Commands
from granite_bench.commands.help import Command
from granite_bench.console import count_text, print_rows
from granite_bench.errors import ExitCode

if TYPE_CHECKING:
    from granite_bench.suite.overview import Overview
    from granite_bench.suite.suite import Suite


@click.group(
    cls=Commands,
    invoke_without_command=True,
    examples=("granite-bench suites", "granite-bench suites show miracl"),
)
@click.pass_context
def suites(ctx: click.Context) -> None:
    """List the suites, or show one."""
    if ctx.invoked_subcommand is None:
        from granite_bench.suite.overview import load_overview
        from granite_bench.suite.shipped import overview_names, suite_names
        from granite_bench.suite.suite import load_suite

        rows = [(s.name, f"{len(s.tasks)} tasks", s.title) for s in map(load_suite, suite_names())]
        rows += [
            (o.name, f"{len(o.suites)} suites", o.title)
            for o in map(load_overview, overview_names())
        ]
        print_rows(("suite", "holds", "title"), rows)


@suites.command(
    examples=("granite-bench suites show quickstart", "granite-bench suites show overview")
)
@click.argument("name")
def show(name: str) -> None:
    """
    Show what a suite holds.

    The tasks of a suite and how they are averaged, or the suites of an overview. NAME may be a
    YAML file.
    """
    from granite_bench.suite.overview import is_overview, load_overview
    from granite_bench.suite.suite import load_suite

    if is_overview(name):
        _show_overview(load_overview(name))
        return
    suite = load_suite(name)
    click.echo(f"{suite.name}: {suite.title}\n{suite.description.strip()}")
    length = suite.max_length or "each model's own"
    click.echo(f"average over {suite.average}; max length: {length}; panel: {suite.panel or '-'}")
    _show_variants(suite)
    if suite.groups:
        click.echo(f"groupings: {', '.join(grouping.by for grouping in suite.groups)}")
    rows = [
        (
            task.name,
            task.metric,
            _shortened(task.splits),
            _shortened(task.subsets),
            task.group or "",
            f"mean of {len(task.parts)}" if task.parts else "",
        )
        for task in suite.tasks
    ]
    print_rows(("task", "metric", "splits", "subsets", "group", ""), rows)


def _show_overview(overview: Overview) -> None:
    from granite_bench.suite.suite import load_suite

    click.echo(f"{overview.name}: {overview.title}\n{overview.description.strip()}")
    click.echo(f"average over suites; panel: {overview.panel or '-'}")
    _show_variants(overview)
    rows = [
        (
            column.suite,
            f"{len(load_suite(column.suite).tasks)} tasks",
            column.max_length or "as the results are",
        )
        for column in overview.suites
    ]
    print_rows(("suite", "holds", "max length"), rows)


def _show_variants(shown: Suite | Overview) -> None:
    if shown.dims:
        click.echo(f"dimensions: {', '.join(map(str, shown.dims))}")
    if shown.precisions:
        click.echo(f"precisions: {', '.join(shown.precisions)}")


@click.command(
    cls=Command,
    examples=(
        "granite-bench panels",
        "granite-bench run nano --panel english-r2 --dry-run",
    ),
)
def panels() -> None:
    """List the panels: sets of models to run or to show together."""
    from granite_bench.suite.panel import load_panel
    from granite_bench.suite.shipped import panel_names

    for panel in map(load_panel, panel_names()):
        click.echo(f"{panel.name}: {panel.title}")
        click.echo("".join(f"  {model}\n" for model in panel.models), nl=False)


@click.command(cls=Command, examples=("granite-bench tasks", "granite-bench tasks --search fact"))
@click.option(
    "--search",
    "pattern",
    default="",
    metavar="TEXT",
    help="Part of a name, type or description.  [default: all]",
)
def tasks(pattern: str) -> None:
    """List tasks: those built in, and mteb's."""
    from granite_bench.tasks import search_tasks

    found = search_tasks(pattern)
    rows = [
        (
            t.metadata.name,
            t.metadata.type,
            t.metadata.main_score,
            len(t.hf_subsets),
            ", ".join(t.eval_splits[:3]),
        )
        for t in found
    ]
    _print_found(("task", "type", "main score", "subsets", "splits"), rows, "task", pattern)


@click.command(
    cls=Command, examples=("granite-bench models", "granite-bench models --search granite")
)
@click.option(
    "--search", "pattern", default="", metavar="TEXT", help="Part of an id.  [default: all]"
)
def models(pattern: str) -> None:
    """
    List the models that mteb knows.

    With parameters, dimension and maximum length. Others run as well: any model of the Hugging
    Face hub by its id, or a folder.
    """
    from granite_bench.models import search_models

    rows = [
        (
            m.name,
            "/".join(m.model_type),
            count_text(m.n_parameters),
            _dimension(m.embed_dim),
            count_text(m.max_tokens),
        )
        for m in search_models(pattern)
    ]
    _print_found(("model", "type", "parameters", "dimension", "max length"), rows, "model", pattern)


def _print_found(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], kind: str, pattern: str
) -> None:
    if not rows:
        click.echo(f"no {kind} contains '{pattern}'", err=True)
        sys.exit(ExitCode.BAD_INPUT)
    print_rows(heads, rows)
    click.echo(f"{len(rows)} {kind}s", err=True)


def _dimension(dimension: Any) -> str:
    return (
        "-"
        if dimension is None
        else str(max(dimension) if isinstance(dimension, list) else dimension)
    )


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
