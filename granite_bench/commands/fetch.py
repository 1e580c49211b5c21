"""granite-bench fetch: fill and verify an offline mirror."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from granite_bench.commands.help import Command
from granite_bench.console import print_rows
from granite_bench.errors import BadInput, Fault, gathered

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models import ModelMeta


@click.command(
    cls=Command,
    examples=(
        "granite-bench fetch nano --to mirror --dry-run",
        "granite-bench fetch nano --to mirror --model ibm-granite/granite-embedding-english-r2",
        "granite-bench fetch --to mirror --verify",
        "granite-bench run nano --mirror mirror --panel english-r2 --dry-run",
    ),
)
@click.argument("suite", required=False)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), required=True, help="The mirror's folder."
)
@click.option(
    "--task", "task_names", multiple=True, metavar="TASK", help="A task of mteb; may be repeated."
)
@click.option(
    "--model",
    "model_names",
    multiple=True,
    metavar="MODEL",
    help="A model or reranker of mteb, or of the hub; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, with sizes, and stop.")
@click.option(
    "--verify", is_flag=True, help="Compare every file that is there with the manifest instead."
)
def fetch(
    suite: str | None,
    folder: Path,
    task_names: Sequence[str],
    model_names: Sequence[str],
    dry_run: bool,
    verify: bool,
) -> None:
    """
    Fill an offline mirror with data sets and models.

    The data sets of SUITE, or of an overview, and of --task, and the models of --model, at pinned
    revisions. Every file is checked; after a
    cut-off the same command goes on where it stopped.
    """
    if verify:
        if suite or task_names or model_names or dry_run:
            raise click.UsageError("--verify looks at all of the mirror; give --to alone with it")
        _verify(folder)
        return
    if not (suite or task_names or model_names):
        raise click.UsageError("nothing to fetch: name a suite, or give --task or --model")
    from granite_bench.offline.fetch import fetch as fetch_all
    from granite_bench.offline.fetch_plan import COLUMNS, describe, plan_fetch

    plan = plan_fetch(*_wanted(suite, task_names, model_names), folder)
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
        f"{folder}: {len(plan.repos)} repositories are there; "
        f"use them with {shlex.join(['--mirror', str(folder)])}"
    )


def _verify(folder: Path) -> None:
    from granite_bench.offline.mirror import read_manifest
    from granite_bench.offline.mirror import verify as verify_mirror

    faults = verify_mirror(folder)
    if faults:
        raise BadInput(faults)
    click.echo(f"{folder}: {len(read_manifest(folder).repos)} repositories, every file as fetched")


def _wanted(
    suite: str | None, task_names: Sequence[str], model_names: Sequence[str]
) -> tuple[list[AbsTask], list[ModelMeta]]:
    """The tasks of a suite or an overview, and what is named beside it; built-in ones need none."""
    from granite_bench.models.lookup import look_up
    from granite_bench.suite.overview import is_overview, load_overview
    from granite_bench.suite.suite import load_suite
    from granite_bench.tasks import BUILT_IN, find_task, known_task_names

    faults: list[Fault] = []
    sources = [] if suite is None else [suite]
    if suite is not None and is_overview(suite):
        sources = [column.suite for column in load_overview(suite).suites]
    known = known_task_names() if sources else ()
    entries = [entry for each in sources for entry in load_suite(each, known_tasks=known).tasks]
    names = [*(entry.name for entry in entries if not entry.path), *task_names]
    unique = [name for name in dict.fromkeys(names) if name not in BUILT_IN]
    tasks = gathered(unique, find_task, faults)
    found = gathered(model_names, lambda name: (name, *look_up(name, None)), faults)
    faults += [
        Fault(f"model {name}", "is on this machine already", "leave it out; nothing is fetched")
        for name, _, here in found
        if here is not None
    ]
    if faults:
        raise BadInput(faults)
    return tasks, [meta for _, meta, _ in found]
