"""
Timing one model: passes over a workload, single queries, and the machine's own peak.

A pass goes through the engine's Encoder, as a run does, without a store. Every device is
synchronised by what is timed: the vectors of a batch are on the host when encode returns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.engine.backends.backend import Backend, Instruction, wait_for_device
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.search.run import Documents
from granite_bench.engine.search.search import resident_vectors, search_exact
from granite_bench.engine.search.similarity import similarity_of
from granite_bench.errors import NonFiniteVectors, TaskError
from granite_bench.speed.counters import Counters, sample
from granite_bench.speed.protocol import Protocol
from granite_bench.speed.subject import Subject
from granite_bench.speed.workload import Workload

SAMPLE_TEXTS = 32
"""That a model is warmed up with, where the protocol has no batch size."""

STEADY_PASSES = 3
STEADY_WITHIN = 0.05
LEAST_WARM_UP_SECONDS = 3.0
"""Clocks of a GPU need longer to rise than a few small batches take."""

WARM_UP_RULE = "3 s at least, until the last 3 passes over a sample are within 5% of each other"

WARM_UP_QUERIES = 20
SEARCH_TOP_K = 100

_NO_LIMIT = 2**62
_PEAK_SECONDS = 2.0


@dataclass(frozen=True)
class Pass:
    """
    One pass over some texts.

    Attributes:
        seconds: from texts to vectors; tokenisation runs in another thread, inside this time.
        model_seconds: the same batches with all texts tokenised before; None for a model that
            tokenises by itself.
        n_documents: that the texts were cut from; None where they are no documents.
        n_tokens: as the model reads them, without padding.
        n_tokens_padded: with the padding of their batches.
        flops: floating-point operations of the texts without padding; None where the model's
            shape is not known.
        budget_cuts: how often batches were made smaller because the memory was short.
        counters: of the device, during *seconds*.
    """

    seconds: float
    model_seconds: float | None
    n_texts: int
    n_documents: int | None
    n_tokens: int
    n_tokens_padded: int
    flops: float | None
    budget_cuts: int
    counters: Counters


@dataclass(frozen=True)
class WarmUp:
    """How a model was brought to its usual speed."""

    n_passes: int
    is_steady: bool
    rule: str = WARM_UP_RULE


@dataclass(frozen=True)
class Latency:
    """
    One query at a time.

    Attributes:
        encode_seconds: of each query, from its text to its vector.
        search_seconds: of each query, from its vector to its ranking.
        n_documents_searched: their vectors are random, of the model's dimension.
        counters: of the device, while queries were encoded and searched.
    """

    encode_seconds: Sequence[float]
    search_seconds: Sequence[float]
    n_documents_searched: int
    counters: Counters

    @property
    def both_seconds(self) -> list[float]:
        """Of each query, from its text to its ranking."""
        both = zip(self.encode_seconds, self.search_seconds, strict=True)
        return [encode + search for encode, search in both]

    def encode_ms(self) -> dict[str, float]:
        """p50, p90, p95 and p99, in milliseconds."""
        return percentiles_ms(self.encode_seconds)

    def encode_and_search_ms(self) -> dict[str, float]:
        """The same, of both together."""
        return percentiles_ms(self.both_seconds)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95 and p99 of at least two times, linearly between neighbours, in ms."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{rank}": 1000 * cuts[rank - 1] for rank in (50, 90, 95, 99)}


def run_pass(subject: Subject, workload: Workload) -> Pass:
    """Encode the texts twice: with tokenisation in the clock, and without."""
    tokenized = _Remembered(subject.backend)
    with sample(subject.settings.device) as sampler:
        seconds, cost, cuts = _encode(subject, workload, workload.texts, tokenized)
    tokenized.rewind()
    model_seconds = None
    if tokenized.is_complete:
        model_seconds, _, more_cuts = _encode(subject, workload, workload.texts, tokenized)
        cuts += more_cuts
    return Pass(
        seconds=seconds,
        model_seconds=model_seconds,
        n_texts=len(workload.texts),
        n_documents=workload.n_documents,
        n_tokens=cost.n_tokens_encoded,
        n_tokens_padded=cost.n_tokens_padded,
        flops=subject.flops(tokenized.lengths),
        budget_cuts=cuts,
        counters=sampler.counters(),
    )


def warm_up(subject: Subject, workload: Workload) -> WarmUp:
    """
    Encode a sample of the texts again and again, until its time is steady.

    The sample is every n-th text, so that the batches have the shapes of the real ones.
    """
    protocol = workload.protocol
    size = protocol.batch_size or SAMPLE_TEXTS
    texts = workload.texts[:: max(1, len(workload.texts) // size)]
    started = time.perf_counter()
    times: list[float] = []
    while True:
        times.append(_encode(subject, workload, texts, subject.backend)[0])
        elapsed = time.perf_counter() - started
        enough = elapsed > min(LEAST_WARM_UP_SECONDS, protocol.warm_up_seconds)
        if is_steady(times) and enough:
            return WarmUp(len(times), is_steady=True)
        if elapsed > protocol.warm_up_seconds:
            return WarmUp(len(times), is_steady=False)


def is_steady(seconds: Sequence[float]) -> bool:
    """Whether the last STEADY_PASSES times lie within STEADY_WITHIN of the least of them."""
    last = seconds[-STEADY_PASSES:]
    return len(last) == STEADY_PASSES and max(last) <= (1 + STEADY_WITHIN) * min(last)


def measure_latency(subject: Subject, workload: Workload, queries: Sequence[str]) -> Latency:
    """
    Time queries one by one, after WARM_UP_QUERIES of them that are not counted.

    Args:
        workload: its protocol says in how many random vectors each query is searched, for its
            best SEARCH_TOP_K.
        queries: WARM_UP_QUERIES + 2 or more.
    """
    protocol, instruction = workload.protocol, workload.instruction
    n_documents = protocol.n_documents_searched or 0
    if len(queries) < WARM_UP_QUERIES + 2:
        raise ValueError(f"{len(queries)} queries; {WARM_UP_QUERIES} are to warm up")
    encoder = _encoder(protocol, subject.backend)
    vectors = encoder.encode([queries], instruction, EncodingCost(), label="queries").array()
    docs = resident_vectors(_random_vectors(n_documents, vectors.shape[1]), subject.settings.device)
    documents = Documents([f"{number:09d}" for number in range(n_documents)])
    # Normalised vectors have the same order under both; the product alone is what a system pays.
    similarity = similarity_of("dot", torch.inner)
    encode_seconds, search_seconds = [], []
    with sample(subject.settings.device) as sampler:
        for number, query in enumerate(queries):
            started = time.perf_counter()
            encoder.encode_uncached([query], instruction)
            encoded = time.perf_counter()
            search_exact(
                vectors[number : number + 1], docs, [""], documents,
                top_k=min(SEARCH_TOP_K, n_documents), similarity=similarity,
                device=subject.settings.device,
            )  # fmt: skip
            encode_seconds.append(encoded - started)
            search_seconds.append(time.perf_counter() - encoded)
    return Latency(
        encode_seconds[WARM_UP_QUERIES:],
        search_seconds[WARM_UP_QUERIES:],
        n_documents,
        sampler.counters(),
    )


def matrix_product_peak(device: str, dtype: str, *, n_products: int = 10) -> float:
    """
    Floating-point operations a second of a plain matrix product: what the device gives at most.

    The product is of 4,096 x 1,536 with 1,536 x 1,536 numbers on a CPU, of 8,192 x 8,192 with
    the same on a GPU; the best of *n_products*, since whatever disturbs one only makes it slower.
    Fewer are made where they take long (float16 on a CPU that has none).
    """
    rows, inner = (4_096, 1_536) if torch.device(device).type == "cpu" else (8_192, 8_192)
    left = torch.randn(rows, inner, device=device, dtype=getattr(torch, dtype))
    right = torch.randn(inner, inner, device=device, dtype=getattr(torch, dtype))
    times: list[float] = []
    while len(times) < n_products and sum(times) < _PEAK_SECONDS:
        wait_for_device(device)
        started = time.perf_counter()
        torch.mm(left, right)
        wait_for_device(device)
        times.append(time.perf_counter() - started)
    return 2 * rows * inner * inner / min(times)


class _Remembered:
    """
    A backend that remembers what it tokenised: shards are asked for in the same order each time,
    and the second pass gets what the first one made of them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._shards: list[Tokens] = []
        self._next = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left for the backend to tokenise."""
        return all(tokens.ids is not None for tokens in self._shards)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Tokens of every text, as the model reads them."""
        return np.concatenate([tokens.lengths for tokens in self._shards])

    def rewind(self) -> None:
        """Start again with the first shard."""
        self._next = 0

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """As the backend's, from memory where these texts came before."""
        if self._next == len(self._shards):
            self._shards.append(self._backend.tokenize(texts, instruction))
        tokens = self._shards[self._next]
        if list(tokens.texts) != list(texts):
            raise ValueError("another workload than the one that was tokenised")
        self._next += 1
        return tokens


def _encode(
    subject: Subject, workload: Workload, texts: Sequence[str], backend: Any
) -> tuple[float, EncodingCost, int]:
    """Seconds, what they were for, and how often the token budget was cut."""
    cost, encoder = EncodingCost(), _encoder(workload.protocol, backend)
    started = time.perf_counter()
    try:
        encoder.encode([texts], workload.instruction, cost, label=subject.label)
    except NonFiniteVectors as error:
        problem = f"{len(error.rows)} of {error.n_texts} vectors contain NaN or infinity"
        raise TaskError(f"{subject.label}: {problem}\n  try --dtype float32") from None
    return time.perf_counter() - started, cost, len(encoder.budget_cuts)


def _encoder(protocol: Protocol, backend: Any) -> Encoder:
    return Encoder(
        backend,
        {},
        store_folder=None,
        token_budget=protocol.token_budget or _NO_LIMIT,
        batch_size=protocol.batch_size,
    )


def _random_vectors(n_vectors: int, dim: int) -> npt.NDArray[np.float32]:
    """Of norm 1, the same each time; float32 (n_vectors, dim)."""
    vectors = np.random.default_rng(0).standard_normal((n_vectors, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
