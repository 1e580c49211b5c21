"""granite-bench table: what results say, on a terminal or in a file."""

from __future__ import annotations

from typing import Any

import click

from granite_bench.commands.help import Command, under
from granite_bench.commands.options import TABLE_FORMATS, format_option
from granite_bench.commands.table_options import for_tables, make_table, separations_of_ranks


@click.command(
    cls=Command,
    examples=(
        "granite-bench table quickstart",
        "granite-bench table miracl --results path/to/mteb-results --by language --format md",
        "granite-bench table matryoshka --curves dimension",
        "granite-bench table rerank-top-20 --gains --by task",
    ),
)
@click.argument("suite")
@for_tables
@under(
    "Another table instead",
    click.option(
        "--curves",
        type=click.Choice(("dimension", "length")),
        help="What each model loses with fewer dimensions, or with shorter texts.",
    ),
    click.option("--speed", is_flag=True, help="Quality against speed, and who is best at both."),
    click.option(
        "--gains",
        is_flag=True,
        help="What each reranker gains over its first stage, and how much it could.",
    ),
)
@format_option(TABLE_FORMATS)
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
    Print models by tasks, with averages and ranks.

    SUITE is a suite or an overview, by name or as a YAML file. A suite of rerankers has a block
    for each first stage.
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
    made = make_table(suite, **options)
    separations = separations_of_ranks(made) if inseparable else []
    if form == "html":
        from granite_bench.report.suite_page import suite_page

        click.echo(suite_page(made, separations), nl=False)
        return
    laid_out = _lay_out(made, separations, curves=curves, speed=speed, gains=gains)
    if form == "terminal":
        from granite_bench.report.text import print_table, terminal

        print_table(laid_out, terminal())
    else:
        from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown

        write = {"md": as_markdown, "latex": as_latex, "csv": as_csv, "json": as_json}[form]
        click.echo(write(laid_out), nl=False)


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
