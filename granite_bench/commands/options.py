"""Options that several commands share, and kinds of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import click

from granite_bench.errors import near_or_all


class Numbers(click.ParamType[Any]):
    """Numbers above 0 separated by commas, or one of a few words."""

    name = "n,..."  # as help shows it

    def __init__(self, what: str, words: Sequence[str] = ()) -> None:
        self._what = what
        self._words = words

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...] | str:
        """The numbers, each once, in their order."""
        if isinstance(value, tuple) or value in self._words:
            return cast("tuple[int, ...] | str", value)
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            also = f", or '{' or '.join(self._words)}'" if self._words else ""
            right = f"numbers of {self._what} above 0, such as 512 or 512,256{also}"
            self.fail(f"'{value}' is not {right}", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


class Names(click.ParamType[Any]):
    """Known names separated by commas."""

    name = "name,..."

    def __init__(self, what: str, known: Sequence[str]) -> None:
        self._what = what
        self._known = known

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """The names, each once, in their order."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        for part in parts:
            if part not in self._known:
                hint = near_or_all(part, self._known)
                self.fail(f"unknown {self._what} '{part}'\n  {hint}", param, ctx)
        return tuple(dict.fromkeys(parts))


class Words(click.ParamType[Any]):
    """Words separated by commas."""

    name = "word,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """The words, in their order; some may be the same."""
        if isinstance(value, tuple):
            return value
        parts = tuple(part.strip() for part in str(value).split(","))
        if not all(parts):
            self.fail(f"'{value}' has an empty place between commas", param, ctx)
        return parts


TABLE_FORMATS = ("terminal", "md", "html", "latex", "csv", "json")


def format_option(choices: Sequence[str]) -> Callable[[Any], Any]:
    """--format, of which the first choice is what is printed unasked; the parameter is *form*."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="What to write.",
    )


results_option = click.option(
    "--results",
    "results",
    multiple=True,
    type=click.Path(path_type=Path),
    default=(Path("results"),),
    show_default="results",
    help="Read this results folder, or clone of mteb's public results; may be repeated.",
)

mirror_option = click.option(
    "--mirror",
    type=click.Path(path_type=Path),
    help="Read data sets and models from this folder, which has them as org/name.  "
    "[default: $GRANITE_BENCH_MIRROR, or the hub]",
)

tasks_option = click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK",
    help="A task's name or a BEIR-layout folder; may be repeated.",
)

out_option = click.option(
    "--out",
    "--results",
    "results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Put results here.",
)

trust_option = click.option(
    "--trust-remote-code",
    "trusted",
    multiple=True,
    metavar="NAME@REVISION",
    help="Let the code that comes with this model run, at this revision; may be repeated.",
)

vectors_option = click.option(
    "--vectors",
    type=click.Path(path_type=str),
    metavar="PATH|URL",
    help="Keep vectors here: a folder, or a URL that fsspec knows, such as s3://bucket/folder.  "
    "[default: vectors in $GRANITE_BENCH_CACHE, or in ~/.cache/granite-bench]",
)
