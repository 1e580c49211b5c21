"""granite-bench compare: whether models differ beyond noise, where, and what they cost."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.help import Command
from granite_bench.commands.options import (
    TABLE_FORMATS,
    format_option,
    mirror_option,
    results_option,
)
from granite_bench.errors import ExitCode

if TYPE_CHECKING:
    from granite_bench.comparison.side_by_side import SideBySide
    from granite_bench.report.comparison import ComparisonReport

KINDS = ("dataset", "mteb", "max_length", "prompts", "candidates", "queries", "all")
"""As likeness.KINDS has them, which takes NumPy to import, and "all"."""

N_CHANGED = 5
"""Queries that changed most, for each model."""


@click.command(
    cls=Command,
    examples=(
        "granite-bench compare BAAI/bge-base-en-v1.5 intfloat/e5-base-v2 --suite beir",
        "granite-bench compare intfloat/e5-base-v2 intfloat/e5-small-v2 --suite nano \\\n"
        "    --require 'max_params=100M min_average=50%'",
        "granite-bench compare local/my-model local/my-model@dim=128,precision=int8 \\\n"
        "    --suite quickstart",
        "granite-bench compare before::local/my-model after::local/my-model --suite quickstart \\\n"
        "    --format html",
    ),
)
@click.argument("models", nargs=-1, required=True, metavar="A B [C]...")
@click.option(
    "--suite", required=True, metavar="SUITE", help="The suite, by name or as a YAML file."
)
@results_option
@click.option(
    "--require",
    multiple=True,
    metavar="EXPRESSION",
    help="Compare only models that meet this, such as docs_per_s>=2000; may be repeated, and hold "
    "several with commas or spaces between them.",
)
@click.option(
    "--price-per-device-hour",
    type=click.FloatRange(min=0, min_open=True),
    help="What an hour of the device costs, for the cost of a million documents.",
)
@click.option(
    "--protocol",
    metavar="PROTOCOL",
    help="Take speeds of this protocol.  [default: the one that most of the models have]",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    type=click.Choice(KINDS),
    help="Compare what is not like for like in this respect, and say so; may be repeated.",
)
@click.option(
    "--changed",
    "n_changed",
    type=click.IntRange(min=0),
    default=N_CHANGED,
    show_default=True,
    help="Show as many of the queries that changed most, for each model.",
)
@click.option(
    "--texts/--no-texts",
    default=False,
    help="Show the texts of those queries and documents too, where the data are on this machine.",
)
@mirror_option
@format_option(TABLE_FORMATS)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file.  [default: standard output; of html reports/compare-SUITE.html]",
)
def compare(
    models: Sequence[str],
    suite: str,
    results: Sequence[Path],
    texts: bool,
    mirror: Path | None,
    form: str,
    out: Path | None,
    require: Sequence[str],
    **options: Any,
) -> None:
    """
    Compare models: beyond noise, where, and at what cost?

    Each of B, C, ... is held against A, on the results of a suite.
    A model is named as tables print it; or as MODEL@dim=128,precision=int8 (a variant),
    MODEL@REVISION, FOLDER::MODEL (from that results folder alone), or by its local folder.
    Nothing is run. Exit code 2 where results are not like for like or --require leaves nothing
    to compare, 3 where some are missing.
    """
    models, require = _apart(models, require)
    if len(models) < 2:
        raise click.UsageError("name two models at least; the first is the reference")
    side = put_side_by_side(models, suite, results, require=require, **options)
    found, notes = _texts(side, mirror) if texts else ({}, [])
    from granite_bench.report.comparison import report_of

    write_comparison(report_of(side, found, notes), form, out)
    if not side.pairs:
        click.echo("nothing was compared: see who does not meet --require", err=True)
        sys.exit(ExitCode.BAD_INPUT)
    if not side.complete:
        sys.exit(ExitCode.INCOMPLETE)


_EXPRESSION = re.compile(r"[^<>=()]+[<>]=?[^<>=]+|(max|min)_[^<>=()]+=[^<>=]+")


def _apart(models: Sequence[str], require: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Models, and requirements: --require 'a>=1' 'b>=2' leaves the second among the models."""
    if not require:
        return models, require
    more = [word for word in models if _EXPRESSION.fullmatch(word)]
    return [word for word in models if word not in more], [*require, *more]


def put_side_by_side(
    models: Sequence[str],
    source: str,
    results: Sequence[Path],
    *,
    n_changed: int = N_CHANGED,
    **options: Any,
) -> SideBySide:
    """
    The models as they are named, each against the first.

    Args:
        source: the suite, by name or as a file.
        n_changed, options: as of side_by_side.put_side_by_side.
    """
    from granite_bench.comparison import side_by_side
    from granite_bench.comparison.candidates import find_candidates
    from granite_bench.suite.suite import load_suite

    candidates = find_candidates(models, load_suite(source), results, source=source)
    return side_by_side.put_side_by_side(candidates, n_changed=n_changed, **options)


def _texts(side: SideBySide, mirror: Path | None) -> Any:
    from granite_bench.comparison.changed_queries import wanted_texts
    from granite_bench.comparison.task_texts import read_texts
    from granite_bench.offline.mirror import mirror_folder

    wanted = wanted_texts((pair.comparison.one, pair.changed) for pair in side.pairs)
    return read_texts(side.suite, wanted, source=side.source, mirror=mirror_folder(mirror))


def write_comparison(report: ComparisonReport, form: str, out: Path | None) -> None:
    """Print a comparison, or write it; its page goes to the reports where *out* is None."""
    from granite_bench.files.local import write_atomically
    from granite_bench.report import comparison_formats

    if form == "terminal" and out is None:
        from granite_bench.report.text import terminal

        comparison_formats.print_comparison(report, terminal())
        return
    if form == "html":
        from granite_bench.report.comparison_page import comparison_page
        from granite_bench.report.index import write_page

        out = out or Path("reports") / f"compare-{report.side.suite.name}.html"
        write_page(out, comparison_page(report))
        click.echo(f"report: {out}")
        return
    write = {
        "terminal": comparison_formats.as_text,
        "md": comparison_formats.as_markdown,
        "latex": comparison_formats.as_latex,
        "csv": comparison_formats.as_csv,
        "json": comparison_formats.as_json,
    }[form]
    if out is None:
        click.echo(write(report), nl=False)
        return
    write_atomically(out, write(report).encode())
    click.echo(f"report: {out}")
