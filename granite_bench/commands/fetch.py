"""granite-bench fetch: fill and verify an offline mirror."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from granite_bench.console import print_rows
from granite_bench.errors import BadInput


@click.command(
    epilog="\b\nExamples:\n"
    "  granite-bench fetch nano --to mirror --dry-run\n"
    "  granite-bench fetch nano --to mirror --model ibm-granite/granite-embedding-english-r2\n"
    "  granite-bench fetch --to mirror --verify"
)
@click.argument("suite", required=False)
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="The mirror.")
@click.option("--task", "task_names", multiple=True, help="A task of mteb; may be repeated.")
@click.option("--model", "model_names", multiple=True, help="A model of mteb; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, with sizes, and stop.")
@click.option("--verify", is_flag=True, help="Compare what is there with the manifest.")
def fetch(
    suite: str | None,
    folder: Path,
    task_names: Sequence[str],
    model_names: Sequence[str],
    dry_run: bool,
    verify: bool,
) -> None:
    """Fill an offline mirror with the data sets of SUITE, and with models."""
    if verify:
        from granite_bench.mirror import read_manifest
        from granite_bench.mirror import verify as verify_mirror

        faults = verify_mirror(folder)
        if faults:
            raise BadInput(faults)
        click.echo(
            f"{folder}: {len(read_manifest(folder).repos)} repositories, every file as fetched"
        )
        return
    if not (suite or task_names or model_names):
        raise click.UsageError("nothing to fetch: name a suite, or give --task or --model")
    from granite_bench.fetch import fetch as fetch_all
    from granite_bench.fetch_plan import COLUMNS, describe, plan_fetch
    from granite_bench.models import find_model
    from granite_bench.suite import load_suite
    from granite_bench.tasks import BUILT_IN, find_task, known_task_names

    entries = load_suite(suite, known_tasks=known_task_names()).tasks if suite else ()
    names = [*(entry.name for entry in entries if not entry.path), *task_names]
    wanted = [find_task(name) for name in names if name not in BUILT_IN]
    plan = plan_fetch(wanted, [find_model(name).meta for name in model_names], folder)
    print_rows(COLUMNS, describe(plan))
    for remark in plan.remarks():
        click.echo(remark)
    if dry_run:
        return
    from tqdm import tqdm

    with tqdm(total=plan.n_bytes, unit="B", unit_scale=True, disable=None) as bar:

        def advance(repo: str, path: str, n_bytes: int) -> None:
            bar.set_description(repo)
            bar.update(n_bytes)

        fetch_all(plan, folder, advance)
    click.echo(
        f"{folder}: {len(plan.repos)} repositories are there; use them with --mirror {folder}"
    )
