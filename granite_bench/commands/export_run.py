"""granite-bench export-run: rankings and judgements as TREC files, for trec_eval and others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from granite_bench.commands.help import Command
from granite_bench.commands.options import mirror_option, results_option
from granite_bench.errors import BadInput


@click.command(
    "export-run",
    cls=Command,
    examples=(
        "granite-bench run --task SciFact --model intfloat/e5-small-v2 --keep-ranking 1000",
        "granite-bench export-run --task SciFact --model intfloat/e5-small-v2 --out runs",
    ),
)
@results_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Of this model; may be repeated.  [default: all]",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK",
    help="Of this task, or of this BEIR-layout folder; may be repeated.  [default: all]",
)
@mirror_option
@click.option("--no-qrels", is_flag=True, help="Write no judgements.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder."
)
def export_run(
    results: Sequence[Path],
    models: Sequence[str],
    tasks: Sequence[str],
    mirror: Path | None,
    no_qrels: bool,
    out: Path,
) -> None:
    """
    Write kept rankings and judgements as TREC files.

    Runs and qrels, for trec_eval and others: a file for each task, split and subset, below a folder
    for each model. What mteb does not score, such as the document that is the query itself in
    ArguAna, is left out, so that "trec_eval -c -m ndcg_cut.10 QRELS RUN" gives the scores of the
    results.
    """
    from granite_bench.offline.mirror import mirror_folder
    from granite_bench.rankings.trec_export import export_rankings

    exported = export_rankings(
        results,
        out,
        models=models,
        tasks=tasks,
        mirror=mirror_folder(mirror),
        with_qrels=not no_qrels,
    )
    click.echo(f"{len(exported.runs)} runs and {len(exported.qrels)} qrels files in {out}")
    if exported.faults:
        raise BadInput(dict.fromkeys(exported.faults))
