"""A dense encoder in the form that mteb evaluates: our engine under its protocols."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction, wait_for_device
from granite_bench.engine.backends.texts import DocumentTexts, document_ids, query_texts
from granite_bench.engine.encoding.encoder import Encoded, Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.observation import LATENCY_QUERIES, LATENCY_WARM_UP, Observation
from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.similarity import similarity_of
from granite_bench.engine.variants import CODED, Variant
from granite_bench.engine.vectors.vectors import ResidentVectors, Vectors
from granite_bench.errors import NonFiniteVectors, TaskError


class DenseRetriever:
    """
    A dense encoder with our batching, vector store and exact search, as mteb's protocols want it.

    Args:
        model: an encoder that mteb loaded; its *mteb_model_meta* is the identity of the vectors.
        encoder: what makes its vectors.
        prompts: role (query or document) -> the prompt in force instead of mteb's choice.

    Attributes:
        variant: the form of the vectors that searches see. What was encoded for one variant
            serves the next.
        as_arrays: whether search returns a Run; mteb's own scoring needs dictionaries.
        measure_latency: whether the next search is followed by single queries, timed.
    """

    def __init__(
        self,
        model: EncoderProtocol,
        *,
        encoder: Encoder,
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        self.mteb_model_meta = model.mteb_model_meta
        self.encoder = encoder
        self.variant = Variant()
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.as_arrays = False
        self.model = model
        self._prompts = prompts or {}
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
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
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

    @property
    def _search_device(self) -> str:
        """Where the model runs; here, where that is a server."""
        device = self.encoder.backend.device
        return "cpu" if device == "remote" else device

    def _search(
        self,
        vectors: npt.NDArray[np.float32],
        query_ids: Sequence[str],
        top_k: int,
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> Run:
        return self.variant.search(
            vectors, self._docs, query_ids, self._documents,
            top_k=top_k, similarity=self._similarity, device=self._search_device,
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
        encoded = self._encode([texts], instruction, seen.docs, "text", range(len(texts)))
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
        if self._prompts and prompt_type is None:
            raise TaskError(
                "this task has neither queries nor documents, so --prompt-query and --prompt-doc "
                "change nothing\n  leave them out for it"
            )
        if prompt_type is not None and prompt_type.value in self._prompts:
            instruction = replace(instruction, prompt=self._prompts[prompt_type.value])
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
            wait_for_device(self._search_device)
            seconds.append(time.perf_counter() - started)
        return seconds[LATENCY_WARM_UP:]
