"""granite-bench table and report: what results say, on a terminal, in a file, as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from granite_bench.commands.options import results_option

FORMATS = ("terminal", "md", "html", "latex", "csv", "json")

_table_options = [
    results_option,
    click.option(
        "--model", "models", multiple=True, help="Show this model; may be repeated. Default: all."
    ),
    click.option("--panel", help="Show the models of this panel (see panels)."),
    click.option(
        "--by",
        help="Columns: task, or a grouping of the suite such as language, type or length.  "
        "[default: task; of a suite of rerankers, what its average is over]",
    ),
    click.option(
        "--partial", is_flag=True, help="Average incomplete rows too, marked with * everywhere."
    ),
    click.option(
        "--common", is_flag=True, help="Only the tasks that every model with results has."
    ),
    click.option(
        "--own-first",
        is_flag=True,
        help="Results of the first folder win, even if less complete.",
    ),
    click.option(
        "--facts", is_flag=True, help="Parameters, dimension, maximum length, zero-shot share."
    ),
    click.option(
        "--inseparable",
        is_flag=True,
        help="Mark the ranks that cannot be told from the one above, by a test over queries.",
    ),
]


def _for_tables(command: Any) -> Any:
    """The options that choose and shape a table."""
    for option in reversed(_table_options):
        command = option(command)
    return command


@click.command(
    epilog="\b\nExamples:\n"
    "  granite-bench table quickstart\n"
    "  granite-bench table miracl --by language --format md\n"
    "  granite-bench table matryoshka --curves dimension\n"
    "  granite-bench table rerank-top-20 --gains --by task"
)
@click.argument("suite")
@_for_tables
@click.option(
    "--curves",
    type=click.Choice(("dimension", "length")),
    help="Instead: what each model loses with fewer dimensions, or with shorter texts.",
)
@click.option(
    "--speed", is_flag=True, help="Instead: quality against speed, and who is best at both."
)
@click.option(
    "--gains",
    is_flag=True,
    help="Instead: what each reranker gains over its first stage, and how much it could.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True)
def table(
    suite: str,
    form: str,
    curves: Any,
    speed: bool,
    gains: bool,
    inseparable: bool,
    **options: Any,
) -> None:
    """
    Print the table of SUITE, or of an overview: models by tasks, averages, speed.

    A suite of rerankers has a block for each first stage.
    """
    asked = {"--curves": curves, "--speed": speed, "--gains": gains}
    instead = [name for name, wanted in asked.items() if wanted]
    if len(instead) > 1:
        number = {2: "two", 3: "three"}[len(instead)]
        raise click.UsageError(f"{' and '.join(instead)} are {number} tables; leave one of them")
    if instead and form == "html":
        raise click.UsageError(f"the page has it already; leave {instead[0]} or --format html")
    if instead and inseparable:
        raise click.UsageError(f"{instead[0]} has no ranks; leave it or --inseparable")
    made = _make_table(suite, **options)
    separations = _separations(made) if inseparable else []
    if form == "html":
        from granite_bench.report.html import suite_page

        click.echo(suite_page(made, separations), nl=False)
        return
    page = _lay_out(made, separations, curves=curves, speed=speed, gains=gains)
    if form == "terminal":
        from rich.console import Console

        from granite_bench.report.text import print_page

        # A pipe has no width; 80 columns would fold a table that a file has room for.
        print_page(page, Console(width=None if sys.stdout.isatty() else 240))
    else:
        from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown

        write = {"md": as_markdown, "latex": as_latex, "csv": as_csv, "json": as_json}[form]
        click.echo(write(page), nl=False)


@click.command(epilog="\b\nExample:\n  granite-bench report quickstart")
@click.argument("suite")
@_for_tables
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file.  [default: reports/SUITE.html]"
)
def report(suite: str, out: Path | None, inseparable: bool, **options: Any) -> None:
    """Write the report of SUITE as one HTML file."""
    from granite_bench.files import write_atomically
    from granite_bench.report.html import suite_page

    made = _make_table(suite, **options)
    separations = _separations(made) if inseparable else []
    path = out or Path("reports") / f"{made.suite.name}.html"
    write_atomically(path, suite_page(made, separations).encode())
    click.echo(f"report: {path}")


def _separations(made: Any) -> Any:
    """Which ranks cannot be told from the one above."""
    if made.overview is not None:
        raise click.UsageError("--inseparable is for one suite; an overview has no queries")
    if made.suite.rerankers:
        raise click.UsageError("a suite of rerankers has no ranks; leave --inseparable")
    from granite_bench.comparison.separation import separations_of

    return separations_of(made)


def _lay_out(made: Any, separations: Any, *, curves: Any, speed: bool, gains: bool) -> Any:
    """The page of a table, or what is asked for instead."""
    if curves:
        from granite_bench.report.curves import lay_out_curves

        return lay_out_curves(made, curves)
    if speed:
        from granite_bench.report.speed import lay_out_speed

        return lay_out_speed(made)
    if gains or made.suite.rerankers:
        from granite_bench.report.reranking import lay_out_blocks, lay_out_gains

        return lay_out_gains(made) if gains else lay_out_blocks(made)
    from granite_bench.report.layout import lay_out

    return lay_out(made, separations)


def _make_table(
    name: str,
    *,
    results: Sequence[Path],
    models: Sequence[str],
    panel: str | None,
    by: str | None,
    **options: Any,
) -> Any:
    from granite_bench.suite import is_overview, load_overview, load_panel, load_suite
    from granite_bench.table import Options, make_overview, make_table

    named = [f"local/{Path(m).resolve().name}" if Path(m).is_dir() else m for m in models]
    shown = [*named, *(load_panel(panel).models if panel else ())]
    if is_overview(name):
        if by not in (None, "task") or options["common"]:
            raise click.UsageError("an overview has its suites as columns; leave --by and --common")
        chosen = Options(models=shown or None, **{**options, "facts": True})
        return make_overview(load_overview(name), results, chosen)
    suite = load_suite(name)
    if by is None:
        over_groups = suite.rerankers and suite.average == "groups"
        by = suite.groups[0].by if over_groups else "task"
    chosen = Options(models=shown or None, by=by, **options)
    return make_table(suite, results, chosen, source=name)
