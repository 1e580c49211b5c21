"""granite-bench run: evaluate models on a suite or on tasks."""

from __future__ import annotations

import sys
from typing import Any

import click

from granite_bench.commands.options import subsets_option
from granite_bench.commands.run_options import prepare_run, run_options
from granite_bench.console import count_text, print_rows
from granite_bench.errors import ExitCode


@click.command(
    epilog="\b\nExamples:\n"
    "  granite-bench run quickstart\n"
    "  granite-bench run english-retrieval --model ibm-granite/granite-embedding-english-r2\n"
    "  granite-bench run --task XQuADRetrieval --subset en --model intfloat/e5-small-v2\n"
    "  granite-bench run --task path/to/beir-folder --model path/to/model"
)
@click.argument("suite", required=False)
@run_options
@subsets_option
@click.option(
    "--keep-ranking",
    "ranking_depth",
    type=click.IntRange(min=1),
    metavar="DEPTH",
    help="Keep each query's best documents, for export-run.  [default: 100 of a first stage]",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def run(suite: str | None, dry_run: bool, **options: Any) -> None:
    """Evaluate models on SUITE, or on the tasks given with --task."""
    prepared = prepare_run(suite, **options)
    _print_plan(prepared.plan)
    if dry_run or prepared.nothing_to_do:
        click.echo("nothing was run" if dry_run else "nothing to do: every result is there")
        return
    outcomes = prepared.start(say=lambda line: click.echo(line, err=True))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    n_ran = sum(outcome.status == "ran" for outcome in outcomes)
    n_done = sum(outcome.status == "done" for outcome in outcomes)
    click.echo(
        f"{n_ran} finished, {n_done} were there, {len(failed)} failed; "
        f"results in {prepared.store.root}"
    )
    for outcome in failed:
        click.echo(f"failed: {outcome.model} on {outcome.task}: {outcome.cause}", err=True)
    if suite is not None:
        click.echo(f"next: granite-bench table {suite} --results {options['results']}")
    if failed:
        sys.exit(ExitCode.INCOMPLETE)


def _print_plan(plan: Any) -> None:
    rows = [
        (
            job.source.name,
            job.task.metadata.name,
            job.reason,
            count_text(job.n_docs),
            count_text(job.n_queries),
        )
        for job in plan.jobs
    ]
    print_rows(("model", "task", "plan", "docs", "queries"), rows)
    if plan.downloads:
        click.echo(f"to download ({len(plan.downloads)}; sizes: granite-bench fetch --dry-run):")
        for repo in plan.downloads:
            click.echo(f"  {repo}")
