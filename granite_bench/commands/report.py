"""granite-bench report: pages of suites, of one model, of a comparison, and the index of them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from granite_bench.commands.given import given_options
from granite_bench.commands.help import Command, under
from granite_bench.commands.table_options import for_tables, make_table, separations_of_ranks
from granite_bench.errors import ExitCode

REPORTS = "reports"
CARD_FORMATS = ("html", "md", "yaml", "latex", "csv")


@click.command(
    cls=Command,
    examples=(
        "granite-bench report quickstart",
        "granite-bench report quickstart --card quickstart/all-MiniLM-L6-v2",
        "granite-bench report miracl mldr --card local/my-model --against intfloat/e5-base-v2 \\\n"
        "    --format md",
        "granite-bench report --index",
    ),
)
@click.argument("suites", nargs=-1, metavar="SUITE...")
@for_tables
@under(
    "Another page instead",
    click.option(
        "--card",
        metavar="MODEL",
        help="One model over the suites, named as compare takes names: NAME, "
        "'NAME (embed_dim=128)', NAME@dim=128.",
    ),
    click.option(
        "--against",
        metavar="MODEL",
        help="With --card: also the difference to this model, by task.",
    ),
    click.option(
        "--compare",
        "compared",
        multiple=True,
        metavar="MODEL",
        help="The page of granite-bench compare, which has more options; repeat it, the first is "
        "the reference.",
    ),
    click.option(
        "--index",
        is_flag=False,
        flag_value=REPORTS,
        metavar="[FOLDER]",
        type=click.Path(path_type=Path),
        help=f"The index of the pages in a folder, and nothing else.  [default: {REPORTS}]",
    ),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(CARD_FORMATS),
    default="html",
    show_default=True,
    help="With --card: md is for the model's README, yaml its metadata on the hub (model-index).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help=f"The file.  [default: {REPORTS}/SUITE.html, card-MODEL.html, compare-SUITE.html; other "
    "formats: standard output]",
)
@click.pass_context
def report(
    context: click.Context,
    /,
    suites: Sequence[str],
    card: str | None,
    against: str | None,
    compared: Sequence[str],
    index: Path | None,
    form: str,
    out: Path | None,
    inseparable: bool,
    **options: Any,
) -> None:
    """
    Write pages of suites, of one model, or of a comparison.

    Each SUITE, or overview, has a page by itself, unless another is asked for. A page is one HTML
    file. Beside it, index.html lists the pages of its folder: of the default folder, and of any
    that has an index of ours already. The page of an audit is made by granite-bench audit --format
    html --out reports/audit.html.
    """
    suites = list(dict.fromkeys(suites))
    if index is not None:
        _refuse_others(context, "--index", {"index"}, suites)
        _index(index)
        return
    if not suites:
        raise click.UsageError("name a suite (granite-bench suites), or --index")
    if card is not None:
        _refuse_others(context, "--card", {"card", "against", "results", "form", "out"})
        _card(suites, card, against, options["results"], form, out)
        return
    if against is not None or form != "html":
        raise click.UsageError("--against and --format are of --card; table has other formats")
    if len(suites) > 1 and (compared or out):
        raise click.UsageError(f"name one suite for {'--compare' if compared else '--out'}")
    if compared:
        _refuse_others(context, "--compare", {"compared", "results", "out"})
        if len(compared) < 2:
            raise click.UsageError("give --compare twice at least; the first is the reference")
        _compare(suites[0], compared, options["results"], out)
        return
    for suite in suites:
        _suite(suite, out, inseparable=inseparable, **options)


def _refuse_others(
    context: click.Context, mode: str, allowed: Collection[str], suites: Sequence[str] = ()
) -> None:
    """What would change nothing is refused, so that nobody waits for it."""
    given = [words[0] for name, words in given_options(context).items() if name not in allowed]
    if suites or given:
        raise click.UsageError(f"{mode} goes without {', '.join([*suites, *given])}")


def _suite(suite: str, out: Path | None, *, inseparable: bool, **options: Any) -> None:
    from granite_bench.report.index import write_page
    from granite_bench.report.suite_page import suite_page

    made = make_table(suite, **options)
    separations = separations_of_ranks(made) if inseparable else []
    path = out or Path(REPORTS) / f"{made.suite.name}.html"
    write_page(path, suite_page(made, separations))
    click.echo(f"report: {path}")


def _card(
    suites: Sequence[str],
    model: str,
    against: str | None,
    results: Sequence[Path],
    form: str,
    out: Path | None,
) -> None:
    from granite_bench.files.local import write_atomically
    from granite_bench.report import model_card_formats
    from granite_bench.report.index import write_page
    from granite_bench.report.model_card import card_of, file_name
    from granite_bench.report.model_index import model_index
    from granite_bench.suite.overview import is_overview, load_overview

    for name in filter(is_overview, suites):
        parts = " ".join(each.suite for each in load_overview(name).suites)
        raise click.UsageError(f"--card takes suites; those of the overview {name} are: {parts}")
    card = card_of(model, suites, results, against=against)
    if form == "html":
        from granite_bench.report.model_card_page import card_page

        path = out or Path(REPORTS) / file_name(card)
        write_page(path, card_page(card))
        click.echo(f"report: {path}")
        return
    write = {
        "md": model_card_formats.as_markdown,
        "yaml": model_index,
        "latex": model_card_formats.as_latex,
        "csv": model_card_formats.as_csv,
    }[form]
    if out is None:
        click.echo(write(card), nl=False)
    else:
        write_atomically(out, write(card).encode())
        click.echo(f"report: {out}")


def _compare(suite: str, models: Sequence[str], results: Sequence[Path], out: Path | None) -> None:
    from granite_bench.commands.compare import put_side_by_side, write_comparison
    from granite_bench.report.comparison import report_of

    side = put_side_by_side(models, suite, results)
    write_comparison(report_of(side), "html", out)
    if not side.complete:
        sys.exit(ExitCode.INCOMPLETE)


def _index(folder: Path) -> None:
    from granite_bench.report.index import write_index

    path = write_index(folder)
    click.echo(f"report: {path}")
