"""A sparse encoder in the form that mteb evaluates: the dense one's ways over sparse vectors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.sparse_backend import SparseEncoderBackend
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoded, Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.search.run import Run
from granite_bench.engine.search.sparse_search import (
    SparseIndex,
    rank_sparse_candidates,
    search_sparse,
)
from granite_bench.engine.sparsity import active_shares, sparsity_of
from granite_bench.engine.variants import Variant
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import ResidentSparseVectors, SparseVectors
from granite_bench.errors import TaskError

SIMILARITIES = ("dot", "cosine")

LOGITS_BYTES = 2**30
"""What the scores of a batch may take on a processor, where too little memory ends the process
instead of halving the batch: one for every token and word of the vocabulary."""


class SparseRetriever(DenseRetriever):
    """
    A sparse encoder with our batching, vector store and exact search.

    Observations have their *sparsity*. Tasks that compare vectors themselves get dense ones.

    Args:
        model: mteb's wrapper of the model; its *mteb_model_meta* is the identity of the vectors.
        encoder: what makes its vectors.
        prompts: as for DenseRetriever.
    """

    def __init__(
        self,
        model: SparseEncoderWrapper,
        *,
        encoder: Encoder[SparseRows],
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(model, encoder=cast("Encoder", encoder), prompts=prompts)
        self._cosine = encoder.backend.similarity_name == "cosine"
        self._index: SparseIndex | None = None
        self._doc_shares = np.empty(0)

    @property
    def variant(self) -> Variant:
        """The form of the vectors that searches see: the model's own."""
        return Variant()

    @variant.setter
    def variant(self, variant: Variant) -> None:
        if variant != Variant():
            raise TaskError(
                f"{self.mteb_model_meta.name} gives sparse vectors, which --dims and --precision "
                "do not change\n  leave them out for it; how many dimensions are active is the "
                "max_active_dims of its config_sentence_transformers.json"
            )

    def index(self, corpus: Dataset, **kwargs: Any) -> None:
        """Encode the corpus and list it by dimension (mteb's SearchProtocol)."""
        self._index = None  # the last corpus goes before this one comes
        super().index(corpus, **kwargs)
        started = time.perf_counter()
        docs = cast("SparseVectors", self._docs)
        in_memory = isinstance(docs, ResidentSparseVectors)
        self._index = SparseIndex(docs, cosine=self._cosine, in_memory=in_memory)
        self.observations[-1].index_seconds += time.perf_counter() - started

    def encode(self, inputs: Any, **kwargs: Any) -> npt.NDArray[np.float32]:
        """Encode texts for a task that is not retrieval; float32 (n, dim), with all zeros."""
        return cast("SparseRows", super().encode(inputs, **kwargs)).to_dense()

    def _encode(
        self,
        texts: Iterable[Sequence[str]],
        instruction: Instruction,
        cost: EncodingCost | None,
        kind: str,
        ids: Sequence[Any],
    ) -> Encoded:
        encoded = super()._encode(texts, instruction, cost, kind, ids)
        if kind != "text":
            shares = active_shares(cast("Encoded[SparseRows]", encoded))
            if kind == "document":
                self._doc_shares = shares
            else:
                sparsity = sparsity_of(shares, self._doc_shares)
                self.observations[-1].sparsity = sparsity
        return encoded

    def _search(
        self,
        vectors: npt.NDArray[np.float32] | SparseRows,
        query_ids: Sequence[str],
        top_k: int,
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> Run:
        queries = cast("SparseRows", vectors)
        if self._index is None:
            raise ValueError("there is no corpus to search")
        if candidates is None:
            return search_sparse(queries, self._index, query_ids, self._documents, top_k=top_k)
        return rank_sparse_candidates(
            queries, self._index, query_ids, self._documents, candidates=candidates, top_k=top_k
        )


def is_sparse(model: object) -> bool:
    """Whether sparse_retriever evaluates this model; otherwise mteb's own search does."""
    # The exact class: a subclass may prepare its inputs in its own way.
    return type(model) is SparseEncoderWrapper and model.model.similarity_fn_name in SIMILARITIES


def sparse_retriever(
    model: SparseEncoderWrapper,
    *,
    identity: Mapping[str, Any],
    encoder_options: Mapping[str, Any],
    prompts: Mapping[str, str] | None = None,
) -> SparseRetriever:
    """
    Our engine over a sparse model.

    Args:
        model: what mteb loaded.
        identity: as for Encoder.
        encoder_options: store_folder and token_budget of Encoder; on a processor the budget is
            cut to LOGITS_BYTES.
        prompts: as for DenseRetriever.
    """
    backend = SparseEncoderBackend(model)
    options = dict(encoder_options)
    if backend.device == "cpu":
        fitting = LOGITS_BYTES // (4 * backend.vocabulary_size)
        options["token_budget"] = min(options["token_budget"], fitting)
    limit = {"max_active_dims": backend.max_active_dims}
    as_dense: Any = backend
    encoder: Encoder[SparseRows] = Encoder(as_dense, {**identity, **limit}, sparse=True, **options)
    return SparseRetriever(model, encoder=encoder, prompts=prompts)
