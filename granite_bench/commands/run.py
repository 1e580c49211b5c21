"""granite-bench run: evaluate models on a suite or on tasks."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.help import Command, under
from granite_bench.commands.run_options import prepare_run, run_options, subset_option
from granite_bench.console import count_text, print_rows
from granite_bench.errors import ExitCode

if TYPE_CHECKING:
    from granite_bench.planning.plan import Plan


@click.command(
    cls=Command,
    examples=(
        "granite-bench run quickstart",
        "granite-bench run miracl --subset de --model intfloat/multilingual-e5-small --dry-run",
        "granite-bench run --task path/to/beir-folder --model path/to/model --dims 256,128",
        "granite-bench run --task SciFact --first-stage intfloat/e5-small-v2 \\\n"
        "    --reranker cross-encoder/ms-marco-MiniLM-L12-v2",
    ),
)
@click.argument("suite", required=False)
@run_options
@subset_option
@under(
    "Folders",
    click.option(
        "--keep-ranking",
        "ranking_depth",
        type=click.IntRange(min=1),
        metavar="DEPTH",
        help="Keep each query's best documents, for export-run.  [default: none; 100 of a first "
        "stage]",
    ),
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def run(suite: str | None, dry_run: bool, **options: Any) -> None:
    """
    Evaluate models on a suite, or on single tasks.

    What is there already is not run again. SUITE is a name (granite-bench suites) or a YAML file;
    without it, name tasks with --task.
    """
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
        table = ["granite-bench", "table", suite, "--results", str(options["results"])]
        click.echo(f"next: {shlex.join(table)}")
    if failed:
        sys.exit(ExitCode.INCOMPLETE)


def _print_plan(plan: Plan) -> None:
    rows = [
        (
            job.source.name,
            job.task_name,
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
