"""granite-bench audit: printed figures against raw results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from granite_bench.commands.help import Command
from granite_bench.commands.options import format_option, results_option

if TYPE_CHECKING:
    from granite_bench.report.audit import AuditForm


@click.command(
    cls=Command,
    examples=(
        "granite-bench audit paper_table_2.csv --results path/to/mteb-results",
        "granite-bench audit paper_table_2.csv paper_table_3.csv --results results \\\n"
        "    --results path/to/mteb-results --format html --out reports/audit.html",
    ),
)
@click.argument(
    "published",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="PUBLISHED.csv...",
)
@results_option
@format_option(("terminal", "html", "csv"))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file.  [default: standard output]"
)
def audit(
    published: Sequence[Path], results: Sequence[Path], form: AuditForm, out: Path | None
) -> None:
    """
    Check printed figures against raw results, cell by cell.

    PUBLISHED.csv has the columns source, table, model, column, value, unit, note; a YAML file of
    the same name beside it may say what its columns are.
    """
    audit_command(published, results, out, form)


def audit_command(
    published: Sequence[Path], results: Sequence[Path], out: Path | None, form: AuditForm
) -> None:
    """Audit published tables, and print what was found or write it to *out*."""
    from granite_bench.audit import audit, summarize
    from granite_bench.files.local import write_atomically
    from granite_bench.report.audit import as_csv, as_text, audit_page, print_audit
    from granite_bench.report.index import write_page
    from granite_bench.report.text import terminal

    summary = summarize(audit(published, results))
    if form == "terminal" and out is None:
        print_audit(summary, terminal())
        return
    if form == "html":
        content = audit_page(summary)
    else:
        content = as_csv(summary.cells) if form == "csv" else as_text(summary)
    if out is None:
        click.echo(content, nl=False)
        return
    if form == "html":
        write_page(out, content)
    else:
        write_atomically(out, content.encode())
    click.echo(f"audit: {out}")
