"""
Models in the form that mteb evaluates, with what happened written down.

DenseRetriever is our engine under mteb's SearchProtocol and EncoderProtocol. ObservedSearch
wraps a model that searches by itself (BM25, or mteb's own search over a sparse or multi-vector
model). Both keep an Observation per split and subset: the run, and how long each part took.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol, ModelMeta, SearchEncoderWrapper, SearchProtocol
from mteb.types import PromptType

from granite_bench.engine.backend import (
    Instruction,
    SentenceTransformersBackend,
    has_backend,
    loaded_from,
)
from granite_bench.engine.encoder import Encoded, Encoder, EncodingCost
from granite_bench.engine.run import Documents, Run
from granite_bench.engine.search import similarity_of
from granite_bench.engine.texts import DocumentTexts, document_ids, query_texts
from granite_bench.engine.variants import CODED, Variant
from granite_bench.engine.vectors import ResidentVectors, Vectors
from granite_bench.errors import NonFiniteVectors, TaskError

LATENCY_QUERIES = 32
"""Single queries timed per task, after LATENCY_WARM_UP that are not counted."""

LATENCY_WARM_UP = 3


@dataclass
class Observation:
    """
    What one split and subset of one task took.

    Attributes:
        run: what was found, before mteb leaves out a query's own document where a task says so.
        docs, queries: the cost of encoding; None where the model searches by itself.
        index_seconds: until the corpus was ready (encoding included).
        search_seconds: queries to run (encoding of the queries included).
        rank_seconds: of these, query vectors to run; 0 where not known.
        query_seconds: one query at a time, encode and search; empty where not measured.
        prompts: role -> the prompt in force; empty where the model searches by itself.
    """

    split: str
    subset: str
    n_docs: int
    n_queries: int = 0
    run: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    docs: EncodingCost | None = None
    queries: EncodingCost | None = None
    index_seconds: float = 0.0
    search_seconds: float = 0.0
    rank_seconds: float = 0.0
    query_seconds: list[float] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)


class DenseRetriever:
    """
    A dense encoder with our batching, vector store and exact search, as mteb's protocols want it.

    Args:
        model: an encoder that mteb loaded; its *mteb_model_meta* is the identity of the vectors.
        encoder: what makes its vectors.

    Attributes:
        variant: the form of the vectors that searches see. What was encoded for one variant
            serves the next.
        as_arrays: whether search returns a Run; mteb's own scoring needs dictionaries.
        measure_latency: whether the next search is followed by single queries, timed.
    """

    def __init__(self, model: EncoderProtocol, *, encoder: Encoder) -> None:
        self.mteb_model_meta = model.mteb_model_meta
        self.encoder = encoder
        self.variant = Variant()
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.as_arrays = False
        self.model = model
        self._similarity = similarity_of(encoder.backend.similarity_name, model.similarity)
        self._documents = Documents([])
        self._docs: Vectors = ResidentVectors(np.empty((0, 0), dtype=np.float32))

    def index(
        self,
        corpus: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Encode the corpus (mteb's SearchProtocol)."""
        started = time.perf_counter()
        seen = Observation(hf_split, hf_subset, n_docs=len(corpus), docs=EncodingCost())
        instruction = self._instruction(task_metadata, PromptType.document, seen)
        ids = document_ids(corpus)
        # The last corpus goes before this one comes.
        self._docs = ResidentVectors(np.empty((0, 0), dtype=np.float32))
        encoded = self._encode(DocumentTexts(corpus), instruction, seen.docs, "document", ids)
        self._docs, self._documents = encoded.vectors, Documents(ids, encoded.rows)
        seen.index_seconds = time.perf_counter() - started
        self.observations.append(seen)

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> Mapping[str, dict[str, float]]:
        """Encode the queries and rank the indexed corpus (mteb's SearchProtocol)."""
        started = time.perf_counter()
        seen = self.observations[-1]
        seen.n_queries, seen.queries = len(queries), EncodingCost()
        instruction = self._instruction(task_metadata, PromptType.query, seen)
        query_ids, texts = list(queries["id"]), query_texts(queries)
        encoded = self._encode([texts], instruction, seen.queries, "query", query_ids)
        vectors = encoded.array()
        searching = time.perf_counter()
        seen.run = self._search(vectors, query_ids, top_k, top_ranked)
        ended = time.perf_counter()
        seen.search_seconds, seen.rank_seconds = ended - started, ended - searching
        # Codes are calibrated for each search, so single ones would be timed with that.
        if self.measure_latency and top_ranked is None and self.variant.precision not in CODED:
            seen.query_seconds = self._latencies(texts, vectors, instruction, top_k)
            self.measure_latency = False
        return seen.run if self.as_arrays else dict(seen.run)

    def _search(
        self,
        vectors: npt.NDArray[np.float32],
        query_ids: Sequence[str],
        top_k: int,
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> Run:
        return self.variant.search(
            vectors, self._docs, query_ids, self._documents,
            top_k=top_k, similarity=self._similarity, device=self.encoder.backend.device,
            candidates=candidates,
        )  # fmt: skip

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> npt.NDArray[np.float32]:
        """Encode texts for a task that is not retrieval (mteb's EncoderProtocol)."""
        started = time.perf_counter()
        texts = [text for batch in inputs for text in batch["text"]]
        seen = Observation(hf_split, hf_subset, n_docs=len(texts), docs=EncodingCost())
        instruction = self._instruction(task_metadata, prompt_type, seen)
        positions = [str(position) for position in range(len(texts))]
        encoded = self._encode([texts], instruction, seen.docs, "text", positions)
        seen.index_seconds = time.perf_counter() - started
        self.observations.append(seen)
        return self.variant.of_array(encoded.array())

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity of every pair."""
        return self.model.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity, row by row."""
        return self.model.similarity_pairwise(embeddings1, embeddings2)

    def _instruction(
        self, task: TaskMetadata, prompt_type: PromptType | None, seen: Observation
    ) -> Instruction:
        instruction = self.encoder.backend.instruction(task, prompt_type)
        seen.prompts[prompt_type.value if prompt_type else "text"] = instruction.prompt
        return instruction

    def _encode(
        self,
        texts: Iterable[Sequence[str]],
        instruction: Instruction,
        cost: EncodingCost | None,
        kind: str,
        ids: Sequence[Any],
    ) -> Encoded:
        """Encoder.encode, its errors naming the document or query."""
        plural = {"document": "documents", "query": "queries", "text": "texts"}[kind]
        try:
            cost = cost or EncodingCost()
            return self.encoder.encode(texts, instruction, cost, label=plural)
        except NonFiniteVectors as error:
            raise TaskError(
                f"{len(error.rows)} of {error.n_texts} {kind} embeddings contain NaN or infinity "
                f"(first: {kind} '{ids[error.rows[0]]}')\n"
                "  nothing was saved for this task; try --dtype float32"
            ) from None

    def _latencies(
        self,
        texts: list[str],
        vectors: npt.NDArray[np.float32],
        instruction: Instruction,
        top_k: int,
    ) -> list[float]:
        """Seconds from text to ranked documents, one query at a time, nothing looked up."""
        seconds = []
        for position, text in enumerate(texts[: LATENCY_WARM_UP + LATENCY_QUERIES]):
            started = time.perf_counter()
            self.encoder.encode_uncached([text], instruction)
            self._search(vectors[position : position + 1], [""], top_k)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        return seconds[LATENCY_WARM_UP:]


class ObservedSearch:
    """A model that searches by itself, timed, its runs kept; what it returns is untouched."""

    def __init__(self, model: SearchProtocol, meta: ModelMeta) -> None:
        self.mteb_model_meta = meta
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.model = model
        if isinstance(model, SearchEncoderWrapper):
            model.model = _TimedEncoder(model.model, self)

    def index(self, corpus: Dataset, *, hf_split: str, hf_subset: str, **kwargs: Any) -> None:
        """Let the model index the corpus (mteb's SearchProtocol)."""
        seen = Observation(hf_split, hf_subset, n_docs=len(corpus))
        started = time.perf_counter()
        with _quiet_unless_watched():
            self.model.index(corpus, hf_split=hf_split, hf_subset=hf_subset, **kwargs)
        seen.index_seconds = time.perf_counter() - started
        self.observations.append(seen)

    def search(self, queries: Dataset, **kwargs: Any) -> Mapping[str, Mapping[str, float]]:
        """Let the model search (mteb's SearchProtocol)."""
        seen = self.observations[-1]
        seen.n_queries = len(queries)
        started = time.perf_counter()
        with _quiet_unless_watched():
            seen.run = self.model.search(queries, **kwargs)
        seen.search_seconds += time.perf_counter() - started
        # mteb's own search forgets the corpus after each search; BM25 keeps its index.
        if self.measure_latency and not isinstance(self.model, SearchEncoderWrapper):
            seen.query_seconds = self._latencies(queries, kwargs)
            self.measure_latency = False
        return seen.run

    def _latencies(self, queries: Dataset, kwargs: Mapping[str, Any]) -> list[float]:
        seconds = []
        for position in range(min(len(queries), LATENCY_WARM_UP + LATENCY_QUERIES)):
            query = queries.select([position])
            started = time.perf_counter()
            with _quiet_unless_watched():
                self.model.search(query, **kwargs)
            seconds.append(time.perf_counter() - started)
        return seconds[LATENCY_WARM_UP:]


def retriever_for(
    model: Any,
    *,
    encoder_options: Mapping[str, Any],
    padding: bool | None = None,
    content_sha256: str | None = None,
) -> DenseRetriever | ObservedSearch:
    """
    The form in which a loaded model is evaluated.

    Args:
        model: what mteb's metadata loaded, with its *mteb_model_meta*.
        encoder_options: store_folder and token_budget of Encoder, for a dense encoder.
        padding: as for SentenceTransformersBackend.
        content_sha256: of the model's files, where they lie in a folder that may change.
    """
    meta: ModelMeta = model.mteb_model_meta
    if isinstance(model, SearchProtocol):
        return ObservedSearch(model, meta)
    if not has_backend(model):
        # Sparse and multi-vector embeddings have no place in the dense store, and wrappers with
        # code of their own may want titles, splits or subsets: mteb's search gives their scores.
        return ObservedSearch(SearchEncoderWrapper(model), meta)
    identity = {
        "model": meta.name,
        "revision": meta.revision,
        "content": content_sha256,
        "loaded": loaded_from(meta),
    }
    backend = SentenceTransformersBackend(model, padding=padding)
    return DenseRetriever(model, encoder=Encoder(backend, identity, **encoder_options))


class _TimedEncoder:
    """
    A model under mteb's own search, which encodes the corpus while it searches: the time that
    documents took is moved from searching to indexing, where it belongs.
    """

    def __init__(self, model: Any, observed: ObservedSearch) -> None:
        self._model = model
        self._observed = observed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, *args: Any, prompt_type: PromptType | None = None, **kwargs: Any) -> Any:
        started = time.perf_counter()
        vectors = self._model.encode(*args, prompt_type=prompt_type, **kwargs)
        if prompt_type == PromptType.document and self._observed.observations:
            seconds = time.perf_counter() - started
            self._observed.observations[-1].index_seconds += seconds
            self._observed.observations[-1].search_seconds -= seconds
        return vectors


@contextlib.contextmanager
def _quiet_unless_watched() -> Iterator[None]:
    """bm25s draws a progress bar per subset, also into logs; keep it to terminals."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
