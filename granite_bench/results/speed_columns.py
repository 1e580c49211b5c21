"""Speed beside quality: which figures may share a column, and what a model's own runs took."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from granite_bench.results.tree import Result

FOR_HOW_LONG = ("warm_up_seconds", "repeats")
"""Settings of a protocol that change how well a speed is known, not what was measured: they are no
part of its identity."""


@dataclass(frozen=True, order=True)
class Conditions:
    """
    What two figures must have in common to be compared.

    Attributes:
        protocol: its name.
        identity: the protocol with its version and a hash of all its settings.
        device: in a few words, with the threads that computed on a CPU (see device_label).
        dtype: torch's name of what the model computed in.
        settings: of the protocol, by name; *identity* compares for them.
    """

    protocol: str
    identity: str
    device: str
    dtype: str
    settings: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.under(self.protocol)

    def under(self, label: str) -> str:
        """The conditions in a few words, the protocol by its label (see protocol_labels)."""
        return f"{label} on {self.device} in {self.dtype}"


def protocol_labels(found: Iterable[Conditions]) -> dict[Conditions, str]:
    """The names of protocols; of those that share one, with the settings that they differ in."""
    labels = {}
    every = list(found)
    for each in every:
        namesakes = [other for other in every if other.protocol == each.protocol]
        own = [
            f"{name} {value}"
            for name, value in each.settings
            if name not in FOR_HOW_LONG
            and any((name, value) not in other.settings for other in namesakes)
        ]
        labels[each] = f"{each.protocol} ({', '.join(own)})" if own else each.protocol
    return labels


@dataclass(frozen=True)
class Speed:
    """
    What a model's runs of the suite's tasks took, on one device, under one protocol.

    Attributes:
        device: what the figures were measured on, for the column's head.
        protocol: how (see run_record.SPEED_PROTOCOL).
        docs_per_second: over the documents encoded, or indexed; None where nothing was.
        query_p50_ms, query_p95_ms: one query's text to its ranking, or of a reranker to that of
            its candidates; None where not measured.
        pairs_per_second: over the pairs of a query and a document that a reranker scored.
    """

    device: str
    protocol: str
    docs_per_second: float | None
    query_p50_ms: float | None
    query_p95_ms: float | None
    pairs_per_second: float | None = None


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
    n_pairs, pair_seconds = 0, 0.0
    for entry in evaluations:
        if entry.get("pairs"):
            n_pairs += entry["pairs"]["n_scored"]
            pair_seconds += entry["pairs"]["score_seconds"]
        elif entry["docs"] is None:  # a model that searches by itself: indexing is its encoding
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
        pairs_per_second=n_pairs / pair_seconds if n_pairs and pair_seconds else None,
    )


def device_label(hardware: Mapping[str, Any], threads: int | None = None) -> str:
    """
    What a speed was measured on, in a few words.

    Args:
        threads: that torch computed with on the CPU; said where they are not one per core. On a
            GPU they compute nothing.
    """
    if hardware.get("device_name"):
        return str(hardware["device_name"])
    label = f"{hardware['cpu']}, {hardware['cores']} cores"
    if threads in (None, hardware["cores"]):
        return label
    return f"{label}, {threads} {'thread' if threads == 1 else 'threads'}"


_NOISE = re.compile(
    r"\((?:R|TM|C)\)|\b(?:NVIDIA|Intel|AMD|CPU|Processor)\b|@ ?[\d.]+ ?GHz", re.IGNORECASE
)


def short_device(label: str) -> str:
    """A device's label without what tells no device from another; for a column's head."""
    short = " ".join(_NOISE.sub(" ", label).split()).replace(" ,", ",")
    return short or label
