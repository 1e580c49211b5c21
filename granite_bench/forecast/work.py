"""
What a cluster has to do: a plan's texts and a model's rate, in seconds of a worker and bytes.

The figures of the driver are of two cores of an AMD EPYC (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from granite_bench.engine.encoding.batch_encoder import RESIDENT_BYTES
from granite_bench.engine.encoding.encoder import CHARACTERS_PER_SHARD, TEXTS_PER_SHARD
from granite_bench.engine.observation import LATENCY_QUERIES, LATENCY_WARM_UP
from granite_bench.forecast.devices import Device
from granite_bench.forecast.estimate import Estimate
from granite_bench.forecast.rates import Rate
from granite_bench.forecast.simulation import ModelWork, Shards, TaskWork
from granite_bench.forecast.texts import Load, PartReading, Reading
from granite_bench.models import listed_dims
from granite_bench.planning.disk_space import stored_bytes
from granite_bench.planning.plan import Job
from granite_bench.rankings.ranking import MOST_RANKED

Scenario = Literal["low", "likely", "high"]
"""Of the time: *low* has the fewest tokens at the highest rate."""

PREPARE_SECONDS_PER_TEXT = 8.4e-6
PREPARE_SECONDS_PER_CHARACTER = 1e-9
"""Of the driver: five million short documents were read, hashed, sorted and handed on in 11.4 µs
each, 3 of them written; hashing alone does 0.6 to 1.3 GB/s."""

SCORED_QUERIES_PER_SECOND = 8_000
"""Of the driver: 2,000 queries with 1,000 documents each were scored in 0.22 to 0.25 s."""

MERGE_SECONDS_PER_CANDIDATE = 2e-8
"""Of the driver, assumed, for each document that a worker found for a query."""

PART_SECONDS = 0.1
"""Of the driver, for each split and subset of each variant: mteb, records, files."""

SINGLE_QUERY_SECONDS = 0.01
"""Of a worker, assumed, for a query alone, beside its arithmetic; LATENCY_QUERIES are timed per
task."""

SEARCH_UTILISATION = {"cpu": Estimate(0.6, 0.75, 0.85), "gpu": Estimate(0.05, 0.2, 0.5)}
"""Of the peak in float32 while vectors are searched. A CPU's is measured (0.75 and 0.85 of the
matrix product, benchmarks/RESULTS.md), a GPU's is assumed."""

MOST_SHARDS = 1_000
"""Of one kind of texts of a part in a simulation; larger corpora have larger shards there."""


@dataclass(frozen=True)
class ModelLoad:
    """
    What one loaded model has to read.

    Attributes:
        name: of the first of its variants.
        jobs: those that are not done and whose texts are known, all variants.
        readings: task -> its texts, once for all variants.
        rate: of the model.
        n_dims: of its vectors; None where nobody says.
        load_seconds: until it is on a device.
    """

    name: str
    jobs: Sequence[Job]
    readings: Mapping[str, Reading]
    rate: Rate
    n_dims: int | None
    load_seconds: float

    def variants_of(self, task: str) -> list[Job]:
        """The jobs of one task."""
        return [job for job in self.jobs if job.task_name == task]

    @property
    def is_reranker(self) -> bool:
        """Whether it scores pairs."""
        return bool(self.jobs[0].source.meta.is_cross_encoder)

    def encoded(self, task: str) -> list[tuple[PartReading, list[Load]]]:
        """Each part of a task, and the texts that the model encodes for it."""
        parts = self.readings[task].parts.values()
        if not self.is_reranker:
            return [(part, [part.docs, part.queries]) for part in parts]
        return [(part, [pairs_of(part, self.variants_of(task)[0])]) for part in parts]


def pairs_of(part: PartReading, job: Job) -> Load:
    """The pairs that a reranker scores: a query's tokens and a document's, cut together."""
    reranking, docs, queries = job.source.reranking, part.docs, part.queries
    n_pairs = part.n_candidates or 0
    if reranking is not None:
        n_pairs = queries.n_texts * min(reranking.top_k, docs.n_texts)
    of_query = queries.tokens_per_text
    if reranking is not None and reranking.query_tokens is not None:
        of_query = min(of_query, reranking.query_tokens)
    length = docs.tokens_per_text + of_query
    limit = job.source.max_length or job.source.meta.max_tokens
    if limit is not None:
        length = min(length, limit)
    mean = docs.n_characters / max(1, docs.n_different)
    n_tokens = Estimate.exactly(n_pairs * length)
    return Load(n_pairs, n_pairs, round(n_pairs * mean), n_tokens)


def dims_of(job: Job, hidden_size: int | None) -> int | None:
    """Of the vectors as they are stored; None where nobody says, or they are sparse."""
    if "sparse" in (job.source.meta.model_type or []):
        return None
    listed = listed_dims(job.source.meta)
    return max(listed) if listed else hidden_size


def model_work(
    load: ModelLoad,
    device: Device,
    scenario: Scenario,
    *,
    workers_per_device: float,
    stored: bool,
    n_workers: int,
) -> ModelWork:
    """
    The work of one model.

    Args:
        workers_per_device: how many share one, and what it computes.
        stored: whether vectors are written.
    """
    fast = {"low": "high", "likely": "likely", "high": "low"}[scenario]
    tokens_per_second = getattr(load.rate.tokens_per_second, fast) / workers_per_device
    search = search_flops(device)
    per_second = getattr(search, fast) / workers_per_device if search else math.inf
    memory = math.inf if device.kind is None else device.kind.memory_gb_per_second * 1e9
    tasks = []
    for task in load.readings:
        shards: list[Shards] = []
        search_seconds = read_bytes = score_seconds = merge_seconds = 0.0
        alone_seconds = 0.0
        variants = load.variants_of(task)
        n_dims_stored = load.n_dims if stored else None
        for part, loads in load.encoded(task):
            for texts in loads:
                shards += _shards(texts, scenario, tokens_per_second, n_dims_stored)
            score_seconds += len(variants) * PART_SECONDS
            if not part.ranks:
                continue
            score_seconds += len(variants) * part.queries.n_texts / SCORED_QUERIES_PER_SECOND
            if load.is_reranker:
                continue
            n_bytes = 4 * (load.n_dims or 0) * part.docs.n_texts
            n_pairs = part.n_candidates or part.queries.n_texts * part.docs.n_texts
            for job in variants:
                n_dims = job.source.dim or load.n_dims or 0
                reading = 4.0 * n_dims * part.docs.n_texts / memory
                search_seconds += max(2.0 * n_pairs * n_dims / per_second, reading)
            if n_bytes > RESIDENT_BYTES:
                read_bytes += n_bytes * len(variants)
            if n_workers > 1:
                found = n_workers * n_found(part)
                merge_seconds += len(variants) * found * MERGE_SECONDS_PER_CANDIDATE
        first = next(iter(load.readings[task].parts.values()))
        if first.ranks:
            alone_seconds = _single_queries(load, first, tokens_per_second, per_second)
        tasks.append(
            TaskWork(
                task,
                shards,
                search_seconds,
                read_bytes,
                merge_seconds,
                score_seconds,
                alone_seconds,
            )
        )
    return ModelWork(load.name, load.load_seconds, tasks)


def assumptions(device: Device, n_workers: int) -> list[str]:
    """What these seconds rest on beside the rates of models, a sentence each."""
    share = SEARCH_UTILISATION["gpu" if device.is_gpu else "cpu"]
    basis = "assumed" if device.is_gpu else "measured, see benchmarks/RESULTS.md"
    said = [
        f"search: {share.low:.0%} to {share.high:.0%} of the peak in float32 ({basis})",
        f"scoring: {SCORED_QUERIES_PER_SECOND:,} queries a second (measured on two cores)",
        f"a query that is timed alone: {SINGLE_QUERY_SECONDS * 1000:.0f} ms beside its arithmetic "
        "(assumed)",
    ]
    if n_workers > 1:
        nanoseconds = MERGE_SECONDS_PER_CANDIDATE * 1e9
        said.append(
            f"merging: {nanoseconds:.0f} ns for each document that a worker finds for a query "
            "(assumed)"
        )
    return said


def n_found(part: PartReading) -> int:
    """Documents that a search keeps, of all queries together."""
    n_most = part.queries.n_texts * min(MOST_RANKED, part.docs.n_texts)
    return n_most if part.n_candidates is None else min(n_most, part.n_candidates)


def search_flops(device: Device) -> Estimate | None:
    """Floating-point operations a second of a search; None where nobody knows."""
    peak = device.peak_flops("float32")
    return peak and SEARCH_UTILISATION["gpu" if device.is_gpu else "cpu"].times(peak[0])


def _shards(
    texts: Load, scenario: Scenario, tokens_per_second: float, n_dims_stored: int | None
) -> list[Shards]:
    if not texts.n_different:
        return []
    by_texts = math.ceil(texts.n_different / TEXTS_PER_SHARD)
    by_characters = math.ceil(texts.n_characters / CHARACTERS_PER_SHARD)
    count = min(max(by_texts, by_characters), texts.n_different, MOST_SHARDS)
    n_tokens = getattr(texts.n_tokens, scenario)
    n_bytes = stored_bytes(texts.n_different, n_dims_stored) if n_dims_stored else 0
    preparing = texts.n_texts * PREPARE_SECONDS_PER_TEXT
    preparing += texts.n_characters * PREPARE_SECONDS_PER_CHARACTER
    return [
        Shards(
            count,
            encode_seconds=n_tokens / tokens_per_second / count,
            prepare_seconds=preparing / count,
            n_bytes=n_bytes / count,
        )
    ]


def _single_queries(
    load: ModelLoad, part: PartReading, tokens_per_second: float, products_per_second: float
) -> float:
    """The queries that are timed one at a time: encoded, and searched or scored."""
    count = min(part.queries.n_texts, LATENCY_QUERIES + LATENCY_WARM_UP)
    n_tokens = part.queries.tokens_per_text
    if load.is_reranker:
        pairs = pairs_of(part, load.jobs[0])
        n_tokens = pairs.n_tokens.likely / max(1, part.queries.n_texts)
    products = 0.0 if load.is_reranker else 2.0 * part.docs.n_texts * (load.n_dims or 0)
    each = n_tokens / tokens_per_second + products / products_per_second + SINGLE_QUERY_SECONDS
    return count * each
