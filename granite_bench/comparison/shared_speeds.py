"""
The documents per second of a loaded model, for its variants whose vectors came from the store.

Dimension and precision of embeddings change nothing of how documents are encoded: one encoding
serves all of them, and the run that made it alone has its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from granite_bench.results.speed_columns import Speed
from granite_bench.tables.table import Row
from granite_bench.tables.variant_settings import DIM, PRECISION, name_without


@dataclass(frozen=True)
class RowSpeed:
    """
    What a row's own runs took on one device under one protocol.

    Attributes:
        documents_of: the row of the same loaded model that *docs_per_second* is from; empty where
            it is the row's own, or there is none.
    """

    speed: Speed
    documents_of: str = ""


def speeds_of_rows(rows: Sequence[Row]) -> list[list[RowSpeed]]:
    """Of each row, one for every device and protocol that it was run under."""
    return [[_with_documents(speed, row, rows) for speed in row.speeds] for row in rows]


def shared_notes(shared: Iterable[tuple[str, str]]) -> list[str]:
    """
    Whose documents per second are another row's.

    Args:
        shared: a row, and the row that they are of.
    """
    return [
        f"Documents per second of {model} are those of {other}, the same loaded model: its own "
        "vectors came from the store."
        for model, other in shared
    ]


def _loaded_as(row: Row) -> tuple[str, str]:
    return name_without(row.model, row.settings, (DIM, PRECISION)), row.revision


def _with_documents(speed: Speed, row: Row, rows: Sequence[Row]) -> RowSpeed:
    if speed.docs_per_second is not None:
        return RowSpeed(speed)
    for other in rows:
        if other is row or _loaded_as(other) != _loaded_as(row):
            continue
        for its in other.speeds:
            same = (its.device, its.protocol) == (speed.device, speed.protocol)
            if same and its.docs_per_second is not None:
                return RowSpeed(replace(speed, docs_per_second=its.docs_per_second), other.model)
    return RowSpeed(speed)
