"""
What each model of a table costs: parameters, storage, speed, memory, money.

Figures that were measured under other conditions are not compared, so there is one set of
conditions for the throughput of all rows, and one for their latency; a row that was not measured
under them has no figure. Reads tables alone: no mteb, no torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from granite_bench.comparison.money import Money, runs_of
from granite_bench.comparison.shared_speeds import shared_notes, speeds_of_rows
from granite_bench.errors import BadInput, Fault, near_or_all
from granite_bench.results.speed_columns import Conditions, Speed, protocol_labels
from granite_bench.results.speed_comparison import Ratio
from granite_bench.results.speed_records import SpeedRecord
from granite_bench.tables.table import Row
from granite_bench.tables.variant_settings import (
    FIRST_STAGE,
    bytes_per_million,
    dimension_of,
    length_of,
    precision_of,
)

DOCS = "docs/s"

SPARSE_BYTES_PER_VALUE = 8
"""Of a dimension that is not 0: its place (int32) and its value (float32), as the store has it."""

_EXACT_SEARCH = "granite-bench exact search"
"""The engine of runs whose model is one vector per document; others keep what they like."""


@dataclass(frozen=True)
class Cost:
    """
    One model; None where nothing says.

    Attributes:
        n_parameters, n_active_parameters: all, and without the embedding table.
        dimension: of the embeddings; of sparse ones, of their space.
        precision: what a value of an embedding is kept in; None without embeddings.
        max_length: tokens.
        bytes_per_million_docs: of a million stored embeddings, without an index. Of a sparse model
            by the dimensions that are not 0 in the suite's own documents, on average.
        throughput: unit (docs/s, chunks/s, texts/s, pairs/s) -> figure, of the conditions that all
            rows share; empty for a row without them.
        query_p50_ms, query_p95_ms: of single queries, one at a time.
        device_bytes_peak: GPU memory in use at its highest; of models that took turns, None.
        resident_bytes_peak: the process's memory at its highest; None likewise.
        cost_per_million_docs: in the currency of the price.
        record: where throughput and memory are from; None where they are from the row's own runs.
        records: all that *granite-bench speed* measured of the model.
    """

    model: str
    n_parameters: int | None = None
    n_active_parameters: int | None = None
    dimension: int | None = None
    precision: str | None = None
    max_length: int | None = None
    bytes_per_million_docs: float | None = None
    throughput: Mapping[str, float] = field(default_factory=dict)
    query_p50_ms: float | None = None
    query_p95_ms: float | None = None
    device_bytes_peak: int | None = None
    resident_bytes_peak: int | None = None
    cost_per_million_docs: float | None = None
    record: SpeedRecord | None = None
    records: Sequence[SpeedRecord] = ()

    @property
    def docs_per_s(self) -> float | None:
        """Whole documents; chunks and texts of a fixed length are none."""
        return self.throughput.get(DOCS)

    @property
    def memory_bytes(self) -> int | None:
        """Of the device, where it has memory of its own, else of the process."""
        on_device = self.device_bytes_peak
        return self.resident_bytes_peak if on_device is None else on_device

    def ratio_to(self, reference: Cost) -> Ratio | None:
        """
        How many times as fast this is as *reference*, where the two took turns.

        Returns:
            Of the conditions of the columns, else of the only session that has both, which may
            compare two dtypes; None where they took no turns, or several and nothing chooses.
        """
        pairs = {
            (own.path, other.path): ratio
            for own in self.records
            for other in reference.records
            if (ratio := _ratio(own, other)) is not None
        }
        if self.record is not None and reference.record is not None:
            of_columns = pairs.get((self.record.path, reference.record.path))
            if of_columns is not None:
                return of_columns
        return next(iter(pairs.values())) if len(pairs) == 1 else None


@dataclass(frozen=True)
class Costs:
    """
    The costs of rows side by side.

    Attributes:
        rows: one for each, in their order.
        protocol: the name of the one that throughput and memory were measured under; empty where
            no row has any.
        throughput_under: that protocol, device and dtype, in words.
        latency_under: the same of the latencies, and what they are from and to.
        notes: what a reader must know of the money, the storage and the speeds, in sentences.
    """

    rows: Sequence[Cost]
    protocol: str
    throughput_under: str
    latency_under: str
    notes: Sequence[str]


def costs_of(
    rows: Sequence[Row],
    *,
    price_per_device_hour: float | None = None,
    protocol: str | None = None,
) -> Costs:
    """
    What the models of rows cost.

    Of the conditions that rows were measured under, those that most rows have count; of equals,
    those of *granite-bench speed* before those of the rows' own runs.

    Args:
        rows: of a table made with its facts (see table.Options).
        price_per_device_hour: of the device that throughput was measured on, above 0; of a server
            its bill counts instead, where the runs were given the price of tokens.
        protocol: the name of the one whose figures are wanted, such as *chunks-512*, *queries* or
            *suite-run/1*; the rule above chooses among its conditions, and where it has no
            throughput or no latency, among all.

    Raises:
        BadInput: no row was measured under *protocol*, or the price is none.
    """
    if price_per_device_hour is not None and not 0 < price_per_device_hour < math.inf:
        what = f"{price_per_device_hour:g} is not a price"
        raise BadInput(Fault("--price-per-device-hour", what, "give a number above 0"))
    found = _measured(rows)
    _check_protocol(protocol, found)
    speeds = _chosen(
        found, protocol, lambda each: DOCS in each.throughput, lambda each: bool(each.throughput)
    )
    latencies = _chosen(found, protocol, lambda each: each.query_p50_ms is not None)
    of_speed = found.get(speeds, {}) if speeds else {}
    of_latency = found.get(latencies, {}) if latencies else {}
    money = Money(price_per_device_hour, is_of_runs=not isinstance(speeds, Conditions))
    costs = [
        _cost(row, of_speed.get(place, _NOTHING), of_latency.get(place, _NOTHING), money)
        for place, row in enumerate(rows)
    ]
    return Costs(
        rows=costs,
        protocol=_protocol(speeds) if speeds else "",
        throughput_under=_label(speeds, found),
        latency_under=_latency_label(latencies, found),
        notes=[
            *money.notes(
                [(row, cost.cost_per_million_docs) for row, cost in zip(rows, costs, strict=True)],
                _label(speeds, found),
            ),
            *_storage_notes(rows),
            *shared_notes(
                (rows[place].model, figures.documents_of)
                for place, figures in sorted(of_speed.items())
                if figures.documents_of
            ),
        ],
    )


# --- under which conditions -------------------------------------------------------------------

_Under: TypeAlias = Conditions | tuple[str, str]
"""What figures share: of a record its conditions, of a row's own runs device and protocol."""


@dataclass(frozen=True)
class _Figures:
    """What was measured of one row under one set of conditions; *documents_of* as of RowSpeed."""

    throughput: Mapping[str, float] = field(default_factory=dict)
    query_p50_ms: float | None = None
    query_p95_ms: float | None = None
    record: SpeedRecord | None = None
    documents_of: str = ""


_NOTHING = _Figures()


def _measured(rows: Sequence[Row]) -> dict[_Under, dict[int, _Figures]]:
    """Conditions -> place of a row -> its figures; those of records first."""
    of_records: dict[Conditions, dict[int, _Figures]] = {}
    of_runs: dict[tuple[str, str], dict[int, _Figures]] = {}
    shared = speeds_of_rows(rows)
    for place, row in enumerate(rows):
        for record in row.speed_records:
            of_records.setdefault(record.conditions, {}).setdefault(place, _of_record(record))
        for found_of_run in shared[place]:
            speed = found_of_run.speed
            figures = _of_run(speed, found_of_run.documents_of)
            of_runs.setdefault((speed.device, speed.protocol), {})[place] = figures
    found: dict[_Under, dict[int, _Figures]] = {}
    found.update((key, of_records[key]) for key in sorted(of_records))
    found.update((key, of_runs[key]) for key in sorted(of_runs))
    return found


def _of_record(record: SpeedRecord) -> _Figures:
    latency = record.latency
    return _Figures(
        {unit: spread.median for unit, spread in record.throughput.items()},
        latency.p50_ms if latency else None,
        latency.p95_ms if latency else None,
        record,
    )


def _of_run(speed: Speed, documents_of: str) -> _Figures:
    named = {DOCS: speed.docs_per_second, "pairs/s": speed.pairs_per_second}
    throughput = {unit: figure for unit, figure in named.items() if figure is not None}
    latencies = speed.query_p50_ms, speed.query_p95_ms
    return _Figures(throughput, *latencies, documents_of=documents_of)


def _protocol(under: _Under) -> str:
    return under.protocol if isinstance(under, Conditions) else under[1]


def _check_protocol(protocol: str | None, found: Mapping[_Under, Any]) -> None:
    known = list(dict.fromkeys(_protocol(under) for under in found))
    if protocol is None or protocol in known:
        return
    hint = f"granite-bench speed --protocol {protocol} --model MODEL measures one"
    if known:
        hint = near_or_all(protocol, known)
    raise BadInput(Fault("--protocol", f"no model was measured under '{protocol}'", hint))


def _chosen(
    found: Mapping[_Under, Mapping[int, _Figures]],
    protocol: str | None,
    *wanted: Callable[[_Figures], bool],
) -> _Under | None:
    """
    The conditions that most rows have, the first of equals; of *protocol*, where it has any.

    Args:
        wanted: what makes a row have them; the second counts where no row has the first.
    """
    named = {under: each for under, each in found.items() if _protocol(under) == protocol}
    for candidates in (named, found):
        for has in wanted:
            counts = {under: sum(map(has, each.values())) for under, each in candidates.items()}
            if any(counts.values()):
                return max(counts, key=lambda under: counts[under])
    return None


def _label(under: _Under | None, found: Iterable[_Under]) -> str:
    if under is None:
        return ""
    if isinstance(under, Conditions):
        every = [each for each in found if isinstance(each, Conditions)]
        return under.under(protocol_labels(every)[under])
    return f"{under[1]} on {under[0]}"


def _latency_label(under: _Under | None, found: Iterable[_Under]) -> str:
    if under is None:
        return ""
    end = "embedding" if isinstance(under, Conditions) else "ranking"
    return f"{_label(under, found)}, from a query's text to its {end}"


def _ratio(own: SpeedRecord, other: SpeedRecord) -> Ratio | None:
    """Of two measurements that took turns with each other."""
    if own.turns is None or other.turns is None or own.turns.id != other.turns.id:
        return None
    if own.turns.position == other.turns.position or not own.throughput:
        return None
    of_position = {each.position: each.ratio for each in own.turns.ratios}
    return of_position.get(other.turns.position)


# --- one row ----------------------------------------------------------------------------------


def _cost(row: Row, speed: _Figures, latency: _Figures, money: Money) -> Cost:
    facts, results = row.facts, list(row.results.values())
    dimension = dimension_of(row.settings, results) or facts.dimension
    summary = (speed.record.content.get("summary") or {}) if speed.record else {}
    has_embeddings = dimension is not None and FIRST_STAGE not in row.settings
    return Cost(
        model=row.model,
        n_parameters=facts.n_parameters,
        n_active_parameters=facts.n_active_parameters,
        dimension=dimension,
        precision=precision_of(row.settings) if has_embeddings else None,
        max_length=facts.max_length or length_of(row.settings, results),
        bytes_per_million_docs=_bytes_per_million_docs(row, dimension),
        throughput=speed.throughput,
        query_p50_ms=latency.query_p50_ms,
        query_p95_ms=latency.query_p95_ms,
        device_bytes_peak=summary.get("memory_bytes_peak"),
        resident_bytes_peak=summary.get("resident_bytes_peak"),
        cost_per_million_docs=money.per_million_docs(row, speed.throughput.get(DOCS)),
        record=speed.record,
        records=row.speed_records,
    )


def _is_sparse(run: Mapping[str, Any]) -> bool:
    return str(run["settings"].get("backend", "")).endswith("(sparse)")


def _bytes_per_million_docs(row: Row, dimension: int | None) -> float | None:
    """None for what keeps no embeddings, or not one of a known size for each document."""
    runs = runs_of(row)
    if FIRST_STAGE in row.settings or any(
        run["settings"].get("engine") != _EXACT_SEARCH for run in runs
    ):
        return None
    if any(map(_is_sparse, runs)):
        return _sparse_bytes(runs)
    return None if dimension is None else bytes_per_million(dimension, precision_of(row.settings))


def _sparse_bytes(runs: Iterable[Mapping[str, Any]]) -> float | None:
    """By the dimensions that are not 0, on average over the documents of all runs."""
    entries = [entry for run in runs for entry in run["evaluations"] if entry.get("sparsity")]
    weights = [entry["n_docs"] for entry in entries]
    if not sum(weights):
        return None
    active = statistics.fmean((each["sparsity"]["doc_active_dims"] for each in entries), weights)
    return active * SPARSE_BYTES_PER_VALUE * 1e6


def _storage_notes(rows: Sequence[Row]) -> list[str]:
    sparse = [row.model for row in rows if any(map(_is_sparse, runs_of(row)))]
    if not sparse:
        return []
    return [
        f"Storage of {', '.join(sparse)}: {SPARSE_BYTES_PER_VALUE} bytes for each dimension that "
        "is not 0, on average over the suite's documents."
    ]
