"""Speed beside quality: what records say of a model's runs, per device and protocol."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from granite_bench.results import Result


@dataclass(frozen=True)
class Speed:
    """
    What a model's runs of the suite's tasks took, on one device, under one protocol.

    Attributes:
        device: what the figures were measured on, for the column's head.
        protocol: how (see run_record.SPEED_PROTOCOL).
        docs_per_second: over the documents encoded, or indexed; None where nothing was.
        query_p50_ms, query_p95_ms: one query's text to its ranking; None where not measured.
    """

    device: str
    protocol: str
    docs_per_second: float | None
    query_p50_ms: float | None
    query_p95_ms: float | None


def speeds_of(results: Iterable[Result]) -> list[Speed]:
    """One Speed per device and protocol that the results' records name."""
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for run in result.record.get("runs", ()):
            key = (device_label(run["hardware"]), run["speed_protocol"])
            runs.setdefault(key, []).extend(run["evaluations"])
    return [_speed(key, evaluations) for key, evaluations in sorted(runs.items())]


def _speed(key: tuple[str, str], evaluations: Sequence[Mapping[str, Any]]) -> Speed:
    n_docs, seconds, queries = 0, 0.0, []
    for entry in evaluations:
        if entry["docs"] is None:  # a model that searches by itself: indexing is its encoding
            n_docs, seconds = n_docs + entry["n_docs"], seconds + entry["index_seconds"]
        else:
            n_docs += entry["docs"]["n_encoded"]
            seconds += entry["docs"]["encode_seconds"]
        queries += entry["query_seconds"]
    percentiles = (
        statistics.quantiles(queries, n=20, method="inclusive") if len(queries) > 1 else []
    )
    return Speed(
        *key,
        docs_per_second=n_docs / seconds if n_docs and seconds else None,
        query_p50_ms=percentiles[9] * 1000 if percentiles else None,
        query_p95_ms=percentiles[18] * 1000 if percentiles else None,
    )


def device_label(hardware: Mapping[str, Any]) -> str:
    """What a speed was measured on, in a few words."""
    if hardware.get("device_name"):
        return str(hardware["device_name"])
    return f"{hardware['cpu']}, {hardware['cores']} cores"
