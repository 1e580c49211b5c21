"""granite-bench audit: printed figures against raw results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from granite_bench.commands.options import results_option

if TYPE_CHECKING:
    from granite_bench.report.audit import AuditForm


@click.command(
    epilog="\b\nExamples:\n"
    "  granite-bench audit paper_table_2.csv --results mteb-results\n"
    "  granite-bench audit published/*.csv --results mteb-results --format html \\\n"
    "      --out reports/audit.html"
)
@click.argument(
    "published",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="PUBLISHED.csv...",
)
@results_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "html", "csv"]),
    default="terminal",
    show_default=True,
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file.  [default: standard output]"
)
def audit(
    published: Sequence[Path], results: Sequence[Path], form: AuditForm, out: Path | None
) -> None:
    """
    Compare printed figures with raw results, cell by cell.

    PUBLISHED.csv has the columns source, table, model, column, value, unit, note; a YAML file of
    the same name beside it may say what its columns are.
    """
    from granite_bench.report.audit import audit_command

    audit_command(published, results, out, form)
