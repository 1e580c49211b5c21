"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

results_option = click.option(
    "--results",
    "results",
    multiple=True,
    type=click.Path(path_type=Path),
    default=(Path("results"),),
    show_default="results",
    help="A results folder, or a clone of mteb's public results; may be repeated.",
)

vectors_option = click.option(
    "--vectors",
    type=click.Path(path_type=Path),
    help="Where vectors are kept.  [default: ~/.cache/granite-bench/vectors]",
)
