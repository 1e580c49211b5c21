"""granite-bench encode: fill the store of vectors before a run, alone or as one of many jobs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.help import Command, under
from granite_bench.commands.run_options import encode_options, prepare_run, subset_option
from granite_bench.console import print_rows
from granite_bench.errors import ExitCode

if TYPE_CHECKING:
    from granite_bench.runner.encoding_ahead import Filled


class Shard(click.ParamType[Any]):
    """Which of how many shares, such as 3/16."""

    name = "shard"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """(3, 16)"""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d+)/(\d+)", value, re.ASCII)
        if found is None:
            self.fail(f"'{value}' is not K/N, such as 3/16 for the third of 16", param, ctx)
        number, n_shares = map(int, found.groups())
        if n_shares == 0:
            self.fail(f"'{value}': there is at least one share", param, ctx)
        if not 1 <= number <= n_shares:
            hint = "an array of Slurm that starts at 0 needs one more: use --array=1-"
            self.fail(
                f"'{value}': the shares of {n_shares} are 1..{n_shares}\n  {hint}{n_shares}",
                param,
                ctx,
            )
        return number, n_shares


@click.command(
    cls=Command,
    examples=(
        "granite-bench encode english-retrieval \\\n"
        "    --model ibm-granite/granite-embedding-english-r2",
        "granite-bench encode miracl --model intfloat/multilingual-e5-base \\\n"
        "    --vectors /shared/vectors --shard 3/16",
    ),
)
@click.argument("suite", required=False)
@encode_options
@subset_option
@under(
    "What to run",
    click.option(
        "--shard",
        type=Shard(),
        metavar="K/N",
        default=(1, 1),
        help="Encode the K-th of N shares of about as many tokens, K from 1 to N.  [default: 1/1]",
    ),
)
def encode(suite: str | None, shard: tuple[int, int], **options: Any) -> None:
    """
    Fill the store of vectors ahead of a run.

    Encodes the texts of SUITE, or of the tasks given with --task, and scores nothing. Shares may
    run at any time, on any machine that sees the same --vectors; together they encode everything,
    and a run then finds it there. A share that was killed goes on where it was. docs/clusters.md
    has a script for Slurm.
    """
    from granite_bench.planning.disk_space import require_room_for_vectors
    from granite_bench.runner.encoding_ahead import fill_store

    prepared = prepare_run(suite, **options)
    vectors = prepared.options.vectors
    if vectors is None:
        raise ValueError("a run without --no-vectors has a store")
    require_room_for_vectors(prepared.plan, vectors)
    number, n_shares = shard
    filled = fill_store(
        prepared.plan,
        prepared.store,
        prepared.options,
        number=number,
        n_shares=n_shares,
        say=lambda line: click.echo(line, err=True),
    )
    if not filled:
        click.echo("nothing to encode: every result is there")
        return
    _print(filled)
    n_texts = sum(one.cost.n_encoded for one in filled)
    n_tokens = sum(one.cost.n_tokens_encoded for one in filled)
    seconds = sum(one.seconds for one in filled)
    click.echo(
        f"share {number}/{n_shares}: {n_texts:,} texts encoded, {n_tokens:,} tokens, "
        f"{seconds:.1f} s; vectors in {vectors}"
    )
    failures = [failure for one in filled for failure in one.failures]
    for failure in failures:
        click.echo(f"failed: {failure}", err=True)
    if failures and n_shares > 1:
        click.echo(
            "once that is mended, the same command encodes what is missing of this share", err=True
        )
    if failures:
        sys.exit(ExitCode.INCOMPLETE)


def _print(filled: Sequence[Filled]) -> None:
    """Estimates are of all texts, those that were stored before included."""
    heads = ("model", "texts encoded", "tokens", "seconds", "this share, est.", "all, est.")
    rows = [
        (
            one.model,
            f"{one.cost.n_encoded:,}",
            f"{one.cost.n_tokens_encoded:,}",
            f"{one.seconds:.1f}",
            f"{one.share.n_tokens:,}" if one.share else "-",
            f"{one.share.n_tokens_of_all:,}" if one.share else "-",
        )
        for one in filled
    ]
    print_rows(heads, rows)
