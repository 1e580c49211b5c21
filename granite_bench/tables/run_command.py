"""Results -> the commands of granite-bench run that make them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from granite_bench.results.tree import Result
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import (
    DIM,
    FIRST_STAGE,
    MAX_LENGTH,
    PRECISION,
    QUERY_TOKENS,
    TOP_K,
    name_without,
)

RUN_OPTIONS = {
    MAX_LENGTH: "--max-length",
    DIM: "--dims",
    PRECISION: "--precision",
    "dtype": "--dtype",
    "backend": "--backend",
    "backend_file": "--backend-file",
    "prompt_query": "--prompt-query",
    "prompt_document": "--prompt-doc",
    "endpoint": "--endpoint",
    FIRST_STAGE: "--first-stage",
    TOP_K: "--top-k",
    QUERY_TOKENS: "--query-tokens",
}
"""Settings of a variant that granite-bench run makes."""


def reproduce(table: Table, row: Row, result: Result) -> str:
    """The command that computes one of the results behind a row again."""
    # A length that is its column's is no setting of the row, so settings are the result's.
    suite = [] if table.overview is not None else [table.source]
    return _command([*suite, "--task", result.task], row, result)


def finish(table: Table, row: Row) -> str:
    """The command that computes what a row of a suite's table lacks."""
    first = next(iter(row.results.values()), None)
    if first is None:
        return shlex.join(["granite-bench", "run", table.source, "--model", row.model])
    return _command([table.source], row, first)


def _command(what: list[str], row: Row, result: Result) -> str:
    """A run of what is named, of a row's model, with the settings of a result of it."""
    settings = result.settings
    strange = sorted(set(settings) - set(RUN_OPTIONS))
    if strange:
        return f"made by another program: {', '.join(strange)} is no option of granite-bench run"
    role = "--reranker" if FIRST_STAGE in settings else "--model"
    words = ["granite-bench", "run", *what, role, model_argument(row)]
    first_stage = _first_stage(result)
    for name, value in sorted({**first_stage.get("settings", {}), **settings}.items()):
        named = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if name == FIRST_STAGE:
            named = str(first_stage.get("argument", named))
        words += [RUN_OPTIONS[name], named]
    return shlex.join(words)


def _first_stage(result: Result) -> Mapping[str, Any]:
    """What the record says of the ranking that was reordered; empty where none was."""
    runs = result.record.get("runs", ())
    return next((dict(run["first_stage"]) for run in runs if "first_stage" in run), {})


def model_argument(row: Row) -> str:
    """What --model was given: a local folder's path stands in its record."""
    for cell in row.cells.values():
        for source in cell.sources:
            for run in source.record.get("runs", ()):
                if row.model.startswith("local/") and run.get("model", {}).get("folder"):
                    return str(run["model"]["folder"])
    return name_without(row.model, row.settings, row.settings)
