"""Options that several verbs share, and kinds of values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click

from granite_bench.errors import did_you_mean


class Numbers(click.ParamType[Any]):
    """Numbers above 0 separated by commas, or one of a few words."""

    name = "numbers"

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

    name = "names"

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
                hint = did_you_mean(part, self._known) or f"there are: {', '.join(self._known)}"
                self.fail(f"unknown {self._what} '{part}'\n  {hint}", param, ctx)
        return tuple(dict.fromkeys(parts))


class Words(click.ParamType[Any]):
    """Words separated by commas."""

    name = "words"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """The words, in their order; some may be the same."""
        if isinstance(value, tuple):
            return value
        parts = tuple(part.strip() for part in str(value).split(","))
        if not all(parts):
            self.fail(f"'{value}' has an empty place between commas", param, ctx)
        return parts


results_option = click.option(
    "--results",
    "results",
    multiple=True,
    type=click.Path(path_type=Path),
    default=(Path("results"),),
    show_default="results",
    help="A results folder, or a clone of mteb's public results; may be repeated.",
)

mirror_option = click.option(
    "--mirror",
    type=click.Path(path_type=Path),
    help="A folder with data sets and models as org/name.  [env: GRANITE_BENCH_MIRROR]",
)

tasks_option = click.option(
    "--task", "tasks", multiple=True, help="A task's name or a BEIR-layout folder; may be repeated."
)

subsets_option = click.option(
    "--subset",
    "subsets",
    multiple=True,
    help="A subset as mteb names it, such as en; may be repeated.",
)

out_option = click.option(
    "--out",
    "--results",
    "results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where results go.",
)

trust_option = click.option(
    "--trust-remote-code",
    "trusted",
    multiple=True,
    metavar="NAME@REVISION",
    help="Let the code that comes with this model run, at this revision; may be repeated.",
)

padding_option = click.option(
    "--padding/--no-padding",
    default=None,
    help="Pad the texts of a batch, or read them end to end where the model allows it.  "
    "[default: no padding on a GPU in half precision]",
)

vectors_option = click.option(
    "--vectors",
    type=click.Path(path_type=str),
    metavar="PATH|URL",
    help="Where vectors are kept: a folder, or a URL that fsspec knows, such as "
    "s3://bucket/folder.  [default: ~/.cache/granite-bench/vectors]",
)
