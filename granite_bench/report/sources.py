"""Where each score comes from: what a model's results have in common, and what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from granite_bench.printed import some, speed_text
from granite_bench.report.columns import measurement
from granite_bench.results.speed_columns import device_label
from granite_bench.results.tree import Result
from granite_bench.tables.run_command import finish, reproduce
from granite_bench.tables.table import Row, Table

SHARED = ("Revision", "mteb", "Settings", "Prompts", "Packages", "Hardware")
"""Said once of a model, unless its results differ in it."""

DIFFERENT = ("Data revision", "Truncated", "Seconds", "Date", "Why this one", "Reproduce with")
"""Said of each result."""

_SETTINGS = {
    "engine": "",
    "dtype": "dtype",
    "max_length": "max length",
    "attention": "attention",
    "batches": "batches of",
}
_SHORTEST_DIGEST = 6


@dataclass(frozen=True)
class ColumnSources:
    """
    The results behind one column of a row.

    Attributes:
        anchor: the id that links to it have.
        title: of a column that several results are behind; empty where the task says it.
        rows: the task, then what *heads* of its model name.
    """

    anchor: str
    title: str
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class ModelSources:
    """
    The results behind one row of the table.

    Attributes:
        anchor: the id that links to it have.
        facts: what all of them have in common, by name; what nothing is known of is left out.
        heads: what is said of each.
        links: column -> the anchor of its results, or of the model where there is none.
        missing: what is not there; empty for a complete row.
        finish: the command that computes it; empty for a complete row, and in an overview.
        speeds: how its speeds were measured, one line each.
    """

    anchor: str
    model: str
    n_results: int
    facts: Mapping[str, str]
    heads: Sequence[str]
    columns: Sequence[ColumnSources]
    links: Mapping[str, str]
    missing: str
    finish: str
    speeds: Sequence[str]


def sources_of(table: Table, prefix: str = "") -> list[ModelSources]:
    """
    One for each row of the table, in its order.

    A result stands under the first column that it is behind. Anchors are digests of names: they
    stay as they are when rows and columns are added, and no name can break out of one.

    Args:
        prefix: of the anchors, where the page has several tables.
    """
    models = short_digests([row.model for row in table.rows])
    columns = short_digests(table.columns)
    return [
        _model_sources(table, row, f"{prefix}m{models[row.model]}", columns) for row in table.rows
    ]


def short_digests(names: Collection[str]) -> dict[str, str]:
    """name -> hexadecimal digits that no other of the names has."""
    whole = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    lengths = range(_SHORTEST_DIGEST, 65)
    length = next(n for n in lengths if len({each[:n] for each in whole.values()}) == len(whole))
    return {name: digest[:length] for name, digest in whole.items()}


def _model_sources(table: Table, row: Row, anchor: str, digests: Mapping[str, str]) -> ModelSources:
    by_column: dict[str, list[Result]] = {}
    stands_under: dict[Path, str] = {}
    for column, cell in row.cells.items():
        for source in cell.sources:
            if stands_under.setdefault(source.path, column) == column:
                by_column.setdefault(column, []).append(source)
    said = {
        source.path: _facts(table, row, source)
        for sources in by_column.values()
        for source in sources
    }
    facts, heads = _shared(list(said.values()))
    links = {
        column: f"{anchor}-{digests[stands_under[cell.sources[0].path]]}"
        if cell.sources
        else anchor
        for column, cell in row.cells.items()
    }
    missing = sorted({name for cell in row.cells.values() for name in cell.missing})
    return ModelSources(
        anchor=anchor,
        model=row.model,
        n_results=len(said),
        facts=facts,
        heads=heads,
        columns=[
            ColumnSources(
                f"{anchor}-{digests[column]}",
                column if len(sources) > 1 else "",
                [(each.task, [said[each.path][head] for head in heads]) for each in sources],
            )
            for column, sources in by_column.items()
        ],
        links=links,
        missing=some(missing),
        finish=finish(table, row) if missing and not table.is_overview else "",
        speeds=[measurement(record) for record in row.speed_records],
    )


def _shared(said: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """What all results have in common, and the heads of what is said of each."""
    values = {name: {each[name] for each in said} for name in (*SHARED, *DIFFERENT)}
    common = {name: min(values[name]) for name in SHARED if len(values[name]) == 1}
    heads = [name for name, each in values.items() if name not in common and each - {""}]
    return {name: text for name, text in common.items() if text}, heads


def _facts(table: Table, row: Row, result: Result) -> dict[str, str]:
    """All that is said of one result; an empty text where nothing is known."""
    runs = result.record.get("runs", ())
    run = runs[-1] if runs else {}
    settings, machine = run.get("settings", {}), run.get("hardware", {})
    evaluations = [entry for each in runs for entry in each["evaluations"]]
    return {
        "Revision": result.revision,
        "mteb": result.mteb_version or "unknown",
        "Settings": ", ".join(
            f"{name} {settings[key]}".strip()
            for key, name in _SETTINGS.items()
            if settings.get(key)
        ),
        "Prompts": _prompts(evaluations),
        "Packages": ", ".join(f"{name} {v}" for name, v in run.get("packages", {}).items()),
        "Hardware": f"{device_label(machine)}, {machine.get('memory_gib')} GiB" if machine else "",
        "Data revision": result.dataset_revision[:16],
        "Truncated": _truncated(evaluations),
        "Seconds": _seconds(evaluations),
        "Date": (run.get("date") or "")[:10] or _day(result.date),
        "Why this one": row.reasons.get(result.task, ""),
        "Reproduce with": reproduce(table, row, result),
    }


def _prompts(evaluations: Sequence[Mapping[str, Any]]) -> str:
    seen: dict[str, None] = {}
    for entry in evaluations:
        for role, prompt in entry["prompts"].items():
            seen[f"{role}: {repr(prompt) if prompt else 'none'}"] = None
    return "; ".join(seen)


def _truncated(evaluations: Sequence[Mapping[str, Any]]) -> str:
    costs = [entry["docs"] for entry in evaluations if entry["docs"]]
    n_docs = sum(cost["n_unique"] for cost in costs)
    n_truncated = sum(cost["n_truncated"] for cost in costs)
    return f"{n_truncated / n_docs:.1%} of documents" if n_docs else ""


def _seconds(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """To encode and index the documents, and to search for the queries."""
    found = [entry["index_seconds"] + entry["search_seconds"] for entry in evaluations]
    return speed_text(sum(found)) if found else ""


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}" if seconds else ""
