"""granite-bench run: evaluate models on a suite or on tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from granite_bench.commands.options import (
    Names,
    Numbers,
    mirror_option,
    out_option,
    padding_option,
    tasks_option,
    trust_option,
    vectors_option,
)
from granite_bench.console import count_text, print_rows
from granite_bench.devices import BACKENDS, DTYPES
from granite_bench.errors import ExitCode
from granite_bench.suite import PRECISIONS


@click.command(
    epilog="\b\nExamples:\n"
    "  granite-bench run quickstart\n"
    "  granite-bench run english-retrieval --model ibm-granite/granite-embedding-english-r2\n"
    "  granite-bench run --task XQuADRetrieval --subset en --model intfloat/e5-small-v2\n"
    "  granite-bench run --task path/to/beir-folder --model path/to/model"
)
@click.argument("suite", required=False)
@click.option("--model", "models", multiple=True, help="An id or a folder; may be repeated.")
@click.option("--panel", help="Run the models of this panel (see panels).")
@tasks_option
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    help="A subset as mteb names it, such as en; may be repeated.",
)
@click.option(
    "--first-stage",
    "first_stages",
    multiple=True,
    help="Rerank the best documents of this model, or of this run in TREC's format (a file, or "
    "a folder of export-run); may be repeated.",
)
@click.option(
    "--reranker",
    "rerankers",
    multiple=True,
    help="A cross-encoder, by id or folder; may be repeated.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help="Documents per query to rerank.  [default: the suite's, or 20]",
)
@click.option(
    "--query-tokens",
    type=click.IntRange(min=1),
    help="Cut queries to so many of the reranker's tokens.  [default: the suite's, or all]",
)
@click.option(
    "--keep-ranking",
    "ranking_depth",
    type=click.IntRange(min=1),
    metavar="DEPTH",
    help="Keep each query's best documents, for export-run.  [default: 100 of a first stage]",
)
@click.option(
    "--endpoint",
    metavar="URL",
    help="Let this OpenAI-compatible server compute the models and rerankers, such as "
    "https://api.openai.com/v1. Vectors are cut to --dims here; long texts are cut there.",
)
@click.option(
    "--api-key-env",
    "api_key_variable",
    metavar="NAME",
    help="The environment variable that holds the server's key.  [default: OPENAI_API_KEY]",
)
@click.option("--concurrency", type=click.IntRange(min=1), help="Requests at a time.  [default: 8]")
@click.option(
    "--price-per-million-tokens",
    type=click.FloatRange(min=0),
    help="What the server charges, in dollars; the cost is put into the record.",
)
@mirror_option
@out_option
@vectors_option
@click.option("--no-vectors", is_flag=True, help="Keep no vectors: nothing to resume from.")
@click.option("--device", help="cpu, cuda:0, mps.  [default: the best there is]")
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="Load the weights as this type.  [default: as mteb loads them]",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="What computes; the last two want the extras granite-bench[onnx], [openvino].  "
    "[default: torch]",
)
@click.option(
    "--backend-file",
    help="The exported model's file in its folder, such as onnx/model_qint8.onnx.  "
    "[default: onnx/model.onnx, openvino/openvino_model.xml]",
)
@click.option(
    "--prompt-query",
    help="Put this before every query instead of the model's own prompt; '' puts none.",
)
@click.option(
    "--prompt-doc",
    "prompt_document",
    help="Put this before every document instead of the model's own prompt; '' puts none.",
)
@trust_option
@click.option(
    "--max-length",
    type=Numbers("tokens"),
    help="Cut texts to this many tokens; several, such as 512,2048, are a sweep.  "
    "[default: the model's own maximum]",
)
@click.option(
    "--dims",
    type=Numbers("dimensions", words=("listed",)),
    help="Search also with the first so many dimensions, such as 512,256,128, from one encoding; "
    "'listed' are those that mteb's metadata lists.",
)
@click.option(
    "--precision",
    "precisions",
    type=Names("precision", PRECISIONS),
    help="Search also with vectors of these: float32, float16, int8, binary.",
)
@click.option(
    "--token-budget",
    type=click.IntRange(min=1),
    help="Padded tokens per batch.  [default: by device]",
)
@padding_option
@click.option(
    "--compile",
    is_flag=True,
    help="torch.compile the layers of a model that runs without padding: its first batches take "
    "long.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def run(
    panel: str | None, vectors: Path | None, no_vectors: bool, dry_run: bool, **options: Any
) -> None:
    """Evaluate models on SUITE, or on the tasks given with --task."""
    from granite_bench.preparation import DEFAULT_VECTORS, prepare
    from granite_bench.suite import load_panel

    # What was not given keeps the default of prepare.
    options = {name: value for name, value in options.items() if value is not None}
    if panel is not None:
        options["models"] = (*options["models"], *load_panel(panel).models)
    suite = options.get("suite")
    prepared = prepare(vectors=None if no_vectors else vectors or DEFAULT_VECTORS, **options)
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
