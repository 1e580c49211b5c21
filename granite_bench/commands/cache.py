"""granite-bench cache: what the store of vectors holds, whether it is whole, and what may go."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.group import Commands
from granite_bench.commands.options import format_option, vectors_option
from granite_bench.console import count_text, print_rows
from granite_bench.errors import ExitCode
from granite_bench.files.local import Place, size_text

if TYPE_CHECKING:
    from granite_bench.engine.vectors.vector_cache import CachedConfiguration
    from granite_bench.engine.vectors.vector_prune import Removed

_SHOWN = ("revision", "role", "dtype", "truncated_to", "prompt")
"""Settings that have a column of their own."""

_LONGEST_SETTING = 24


@click.group(
    cls=Commands,
    examples=(
        "granite-bench cache list",
        "granite-bench cache verify --repair",
        "granite-bench cache prune --older-than 30d --max-size 20GB --dry-run",
    ),
)
def cache() -> None:
    """List, verify and prune the vectors that runs keep."""


@cache.command(
    "list",
    examples=(
        "granite-bench cache list",
        "granite-bench cache list --vectors s3://bucket/vectors --format json",
    ),
)
@vectors_option
@format_option(("terminal", "json"))
def list_(vectors: str | None, form: str) -> None:
    """List what vectors are kept: models, settings, texts, size, when last used."""
    from granite_bench.engine.vectors.vector_cache import differing

    folder, cached = _cached(vectors)
    if form == "json":
        click.echo(json.dumps([_as_json(one) for one in cached], indent=2))
        return
    others = [name for name in differing(cached) if name not in _SHOWN]
    rows = [
        (
            one.model,
            *(_setting(one.configuration, name) for name in (*_SHOWN, *others)),
            count_text(one.n_texts) if one.state == "current" else "-",
            size_text(one.n_bytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.last_used)),
            "" if one.state == "current" else f"{one.state}: {one.folder.name}",
        )
        for one in cached
    ]
    if rows:
        heads = (name.replace("_", " ") for name in (*_SHOWN, *others))
        print_rows(("model", *heads, "texts", "size", "last used", ""), rows)
    size = size_text(sum(one.n_bytes for one in cached))
    click.echo(f"{folder}: {_counted(len(cached), 'configuration')}, {size}")


@cache.command(
    examples=("granite-bench cache verify", "granite-bench cache verify --repair"),
)
@vectors_option
@click.option("--repair", is_flag=True, help="Remove what is broken; it is encoded again.")
def verify(vectors: str | None, repair: bool) -> None:
    """
    Compare every shard of vectors with its checksum.

    Exit code 3 if one is broken and still there.
    """
    from tqdm import tqdm

    from granite_bench.engine.vectors.vector_cache import check_shards
    from granite_bench.engine.vectors.vector_prune import remove_broken

    folder, cached = _cached(vectors)
    checked = []
    n_bytes = sum(one.n_bytes for one in cached)
    with tqdm(total=n_bytes, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for shard in check_shards(cached):
            checked.append(shard)
            bar.update(shard.n_bytes)
    broken = [shard for shard in checked if shard.reason]
    for shard in broken:
        click.echo(f"{shard.path}: {shard.reason}")
    for one in cached:
        if one.state != "current":
            click.echo(f"{one.folder}: not read: {one.state}; granite-bench cache prune", err=True)
    click.echo(f"{folder}: {_counted(len(checked), 'shard')}, {len(broken)} broken")
    if not broken:
        return
    if not repair:
        click.echo("next: granite-bench cache verify --repair removes them", err=True)
        sys.exit(ExitCode.INCOMPLETE)
    removed = remove_broken(broken)
    click.echo(
        f"removed {_counted(len(broken) - len(removed.kept), 'broken shard')}; "
        "their texts are encoded again when they are needed"
    )
    _exit_if_kept(removed)


@cache.command(
    examples=(
        "granite-bench cache prune --older-than 30d --dry-run",
        "granite-bench cache prune --model intfloat/e5-small-v2 --max-size 20GB",
        "granite-bench cache prune --all",
    ),
)
@vectors_option
@click.option("--older-than", metavar="AGE", help="Not used for so long: 12h, 30d, 8w.")
@click.option(
    "--model", "models", multiple=True, metavar="MODEL", help="Of this model; may be repeated."
)
@click.option(
    "--max-size",
    metavar="SIZE",
    help="Keep so much of what the other options choose, the last used: 20GB.",
)
@click.option("--all", "everything", is_flag=True, help="Whatever the other options do not narrow.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and stop.")
def prune(
    vectors: str | None,
    older_than: str | None,
    models: Sequence[str],
    max_size: str | None,
    everything: bool,
    dry_run: bool,
) -> None:
    """
    Remove vectors; options narrow each other.

    A model with its settings goes or stays as a whole. Folders of older formats, unreadable ones,
    and what killed runs left always go.
    """
    from granite_bench.engine.vectors.vector_prune import (
        left_bytes,
        parse_age,
        parse_size,
        plan_prune,
        remove,
    )

    if not (older_than or models or max_size or everything):
        raise click.UsageError(
            "nothing says what to remove: give --older-than, --model, --max-size or --all"
        )
    unused_seconds = parse_age(older_than) if older_than else None
    max_bytes = parse_size(max_size) if max_size else None
    folder, cached = _cached(vectors)
    plan = plan_prune(cached, models=models, unused_seconds=unused_seconds, max_bytes=max_bytes)
    gone = [*plan.chosen, *plan.useless]
    if gone:
        rows = [
            (
                one.model,
                *(_setting(one.configuration, name) for name in _SHOWN),
                size_text(one.n_bytes),
                "" if one.state == "current" else f"{one.state}: {one.folder.name}",
            )
            for one in gone
        ]
        print_rows(("model", *(name.replace("_", " ") for name in _SHOWN), "size", ""), rows)
    what = _counted(len(gone), "configuration")
    if plan.left:
        what += f" and {_counted(len(plan.left), 'temporary file')} of killed runs"
    if dry_run:
        n_bytes = sum(one.n_bytes for one in gone) + left_bytes(plan)
        click.echo(f"{folder}: would remove {what}: {size_text(n_bytes)}")
        return
    removed = remove(plan)
    click.echo(f"{folder}: removed {what}: {size_text(removed.n_bytes)}")
    _exit_if_kept(removed)


def _cached(vectors: str | None) -> tuple[Place, list[CachedConfiguration]]:
    """The folder, and what is in it; the usual folder need not be there, a named one must."""
    from granite_bench.engine.vectors.vector_cache import read_cache
    from granite_bench.engine.vectors.vector_store import default_folder
    from granite_bench.files.urls import parse_place

    if vectors is None:
        usual = default_folder()
        return usual, read_cache(usual) if usual.exists() else []
    folder = parse_place(vectors)
    return folder, read_cache(folder)


def _exit_if_kept(removed: Removed) -> None:
    for path, reason in removed.kept:
        click.echo(f"{path}: cannot be removed: {reason}", err=True)
    if removed.kept:
        sys.exit(ExitCode.INCOMPLETE)


def _as_json(one: CachedConfiguration) -> dict[str, Any]:
    return {
        "folder": str(one.folder),
        "state": one.state,
        "configuration": dict(one.configuration),
        "n_texts": one.n_texts,
        "n_shards": len(one.shards),
        "n_bytes": one.n_bytes,
        "last_used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.last_used)),
    }


def _setting(configuration: Mapping[str, Any], name: str) -> str:
    value = configuration.get(name)
    if value is None:
        return "-"
    if name == "revision":
        return str(value)[:8]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if name == "prompt":
        text = json.dumps(text, ensure_ascii=False)  # so that its end and its lines are seen
    return text if len(text) <= _LONGEST_SETTING else f"{text[: _LONGEST_SETTING - 1]}…"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
