"""
Variants of a model's vectors: fewer dimensions, fewer bits. One encode serves them all.

Truncation keeps the first dimensions, as sentence-transformers' truncate_dim does, and where
vectors are compared by their cosine they are brought to norm 1 again. Precisions follow
sentence-transformers (quantize_embeddings and semantic_search_*): int8 maps the range that each
dimension has in the corpus to 256 values, binary keeps signs; both search among the codes for
twice as many documents as are wanted, and rank those by the inner product of the query in
float32 with what the code stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.util import quantize_embeddings

from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.search import rank_candidates, search_exact
from granite_bench.engine.search.similarity import Similarity, similarity_of
from granite_bench.engine.vectors.rows import Dense
from granite_bench.engine.vectors.vectors import Found, OfPart, Vectors
from granite_bench.errors import TaskError

RESCORE_MULTIPLIER = 2
"""Documents found among the codes for each one wanted; sentence-transformers' default."""

CODED = ("int8", "binary")
VECTORS_PER_BLOCK = 16_384
QUERIES_PER_BLOCK = 2_048

Change = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Variant:
    """
    Attributes:
        dim: dimensions kept; None keeps all.
        precision: of the corpus: float32, float16, int8 or binary. Queries are rounded to
            float16 with it, and stay float32 where documents are ranked by their codes.
    """

    dim: int | None = None
    precision: str = "float32"

    def of_array(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """
        Vectors for a task that compares them itself; float32 (n, dim), not normalised.

        Raises:
            TaskError: int8 and binary are ways to search.
        """
        if self.precision in CODED:
            raise TaskError(
                f"{self.precision} is defined for search, and this task does not search\n"
                "  run it with --precision float32 or float16"
            )
        return self._rounded(vectors if self.dim is None else vectors[:, : self.dim].copy())

    def search(
        self,
        queries: npt.NDArray[np.float32],
        docs: Vectors,
        query_ids: Sequence[str],
        documents: Documents,
        *,
        top_k: int,
        similarity: Similarity,
        device: str = "cpu",
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> Run:
        """
        Rank the documents for each query with vectors of this variant.

        Args:
            candidates: query id -> the documents to rank for it; None ranks all.
            queries, docs, query_ids, documents, top_k, similarity, device: as for search_exact.

        Raises:
            TaskError: int8 and binary with a similarity that is no inner product.
        """
        change = self._change(similarity)
        if change is not None:
            queries, docs = change(queries.copy()), _Changed(docs, change, self.dim)
        if self.precision in CODED:
            if similarity.scores is not None:
                raise TaskError(
                    f"{self.precision} is defined for cosine and inner product, and this model "
                    "compares vectors in another way\n  run it with --precision float32 or float16"
                )
            return self._search_codes(
                queries, docs, query_ids, documents, top_k, device, candidates
            )  # fmt: skip
        if candidates is not None:
            return rank_candidates(
                queries, docs, query_ids, documents,
                candidates=candidates, top_k=top_k, similarity=similarity,
            )  # fmt: skip
        return search_exact(
            queries, docs, query_ids, documents,
            top_k=top_k, similarity=similarity, device=device,
        )  # fmt: skip

    def _change(self, similarity: Similarity) -> Change | None:
        """What is done to every vector before it is searched; None for nothing."""
        if self == Variant():
            return None

        def change(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            if self.dim is not None:
                vectors = np.ascontiguousarray(vectors[:, : self.dim])
            if self.precision == "float32":
                return vectors  # the search prepares them, and twice would move the last digit
            return self._rounded(similarity.prepare(torch.from_numpy(vectors)).numpy())

        return change

    def _rounded(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return (
            vectors.astype(np.float16).astype(np.float32)
            if self.precision == "float16"
            else vectors
        )

    def _search_codes(
        self,
        queries: npt.NDArray[np.float32],
        docs: Vectors,
        query_ids: Sequence[str],
        documents: Documents,
        top_k: int,
        device: str,
        candidates: Mapping[str, Sequence[str]] | None,
    ) -> Run:
        codes, values = _signs() if self.precision == "binary" else _int8(docs)
        inner_product = similarity_of("dot", torch.mm)
        if candidates is not None:
            return rank_candidates(
                queries, _Changed(docs, values), query_ids, documents,
                candidates=candidates, top_k=top_k, similarity=inner_product,
            )  # fmt: skip
        found = search_exact(
            codes(queries.copy()), _Changed(docs, codes), query_ids, documents,
            top_k=RESCORE_MULTIPLIER * top_k, similarity=inner_product, device=device,
        )  # fmt: skip
        return _rescored(found, queries, _Changed(docs, values), top_k)


class _Changed:
    """Vectors with something done to each block on its way to the search."""

    def __init__(self, vectors: Vectors, change: Change, dim: int | None = None) -> None:
        self._vectors = vectors
        self._change = change
        self._dim = dim
        self.n_vectors = vectors.n_vectors
        self.dim = vectors.dim if dim is None else min(dim, vectors.dim)

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
        """As Vectors.blocks."""
        for positions, block in self._vectors.blocks(n_rows):
            yield positions, self._change(block)

    def gather(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """As Vectors.gather."""
        return self._change(self._vectors.gather(positions))

    def map_parts(
        self, function: OfPart[Found], per_vector: npt.NDArray[Any] | None = None
    ) -> Iterator[Found]:
        """As Vectors.map_parts."""
        return self._vectors.map_parts(
            partial(_of_changed_part, function, self._change, self._dim), per_vector
        )


def _of_changed_part(
    function: OfPart[Found],
    change: Change,
    dim: int | None,
    vectors: Vectors,
    per_vector: npt.NDArray[Any] | None,
    device: str | None,
) -> Found:
    return function(_Changed(vectors, change, dim), per_vector, device)


def _signs() -> tuple[Change, Change]:
    """
    Codes whose inner product orders documents as the Hamming distance of their bits does
    (dim - 2 x distance), and the bits that they stand for.
    """

    def codes(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.where(vectors > 0, np.float32(1), np.float32(-1))

    def bits(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return (vectors > 0).astype(np.float32)

    return codes, bits


def _int8(docs: Vectors) -> tuple[Change, Change]:
    """Codes of 8 bits over the range of each dimension of the corpus, and what they stand for."""
    lows, highs = zip(*docs.map_parts(_range), strict=True)
    low: Dense = np.min(lows, axis=0)
    high: Dense = np.max(highs, axis=0)
    ranges = np.vstack([low, high])
    steps = (high - low) / np.float32(255)
    steps[steps == 0] = 1

    def codes(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        quantized = quantize_embeddings(vectors, "int8", ranges=ranges)
        return np.asarray(quantized, dtype=np.float32)

    def values(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return (codes(vectors) + np.float32(128)) * steps + low

    return codes, values


def _range(
    docs: Vectors, per_vector: object, device: object
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The smallest and the largest value of each dimension; 0 where there are no vectors."""
    low = np.full(docs.dim, np.inf if docs.n_vectors else 0, dtype=np.float32)
    high = np.full(docs.dim, -np.inf if docs.n_vectors else 0, dtype=np.float32)
    for _, block in docs.blocks(VECTORS_PER_BLOCK):
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    return low, high


def _rescored(found: Run, queries: npt.NDArray[np.float32], values: Vectors, top_k: int) -> Run:
    """The documents of *found*, ranked by the inner product of queries and *values*."""
    n_queries, depth = found.docs.shape
    docs = np.full((n_queries, min(top_k, depth)), -1, dtype=np.int32)
    scores = np.zeros(docs.shape, dtype=np.float32)
    for start in range(0, n_queries, QUERIES_PER_BLOCK):
        block = slice(start, start + QUERIES_PER_BLOCK)
        new = _inner_products(found.docs[block], found.documents, queries[block], values)
        ranks = found.documents.ranks[found.docs[block]]
        order = np.lexsort((ranks, -new), axis=1)[:, : docs.shape[1]]
        docs[block] = np.take_along_axis(found.docs[block], order, axis=1)
        scores[block] = np.take_along_axis(new, order, axis=1)
    return Run(found.query_ids, found.documents, docs, scores)


def _inner_products(
    docs: npt.NDArray[np.int32],
    documents: Documents,
    queries: npt.NDArray[np.float32],
    values: Vectors,
) -> npt.NDArray[np.float32]:
    """Of each query with its own documents; float32 like *docs*, -inf where there is none."""
    there = docs >= 0
    texts = np.where(there, documents.texts[docs], -1)
    scores = np.full(docs.shape, -np.inf, dtype=np.float32)
    wanted = np.unique(texts[there])
    for start in range(0, len(wanted), VECTORS_PER_BLOCK):
        some = wanted[start : start + VECTORS_PER_BLOCK]
        products = queries @ values.gather(some).T
        rows, columns = np.nonzero((texts >= some[0]) & (texts <= some[-1]))
        scores[rows, columns] = products[rows, np.searchsorted(some, texts[rows, columns])]
    return scores
