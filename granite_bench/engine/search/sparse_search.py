"""
Exact search in sparse vectors: a corpus by dimension, and the products of what both sides have.

A block of documents is turned round, so that every dimension lists the documents in which it is
active. A query adds up the lists of its own dimensions, so the work is the number of
multiplications that its pairs need, and the sums of a block lie in the cache. No document is
left out: one that shares no dimension with the query has the score 0.

Products are added in the order of dimensions wherever a document stands, so equal vectors have
equal scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.engine.search.lanes import map_of, scan, shares
from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.search import (
    ScoresOfSome,
    merge_best,
    run_of_best,
    run_of_candidates,
)
from granite_bench.engine.search.similarity import NotANumber
from granite_bench.engine.search.top_k import Keys, compiled, keep_best
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import SparseVectors

DOCS_PER_BLOCK = 8_192
"""The sums of a query over a block are 32 KB."""

QUERIES_PER_PRODUCT = 8

KEPT_BYTES = 2**29
"""What a pass over the corpus may keep; more queries than fit take another pass."""

FEW_QUERIES = 8
"""Below, one thread is faster than handing work to others."""


@dataclass(frozen=True)
class _Block:
    """
    Documents by dimension.

    Attributes:
        positions: intp (n_docs,), which vectors of the corpus these are.
        starts: int64 (dim + 1,); dimension j has starts[j]:starts[j + 1] of the other two.
        docs: uint32 (n_values,), rows of *positions*, ascending in each dimension.
        values: float32 (n_values,).
    """

    positions: npt.NDArray[np.intp]
    starts: npt.NDArray[np.int64]
    docs: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]


class SparseIndex:
    """
    A corpus, ready to be searched.

    Args:
        docs: the vectors.
        cosine: whether vectors are brought to norm 1; otherwise they are compared as they are.
        in_memory: whether the corpus by dimension is kept, which takes what the vectors take, or
            made anew for each search.
    """

    def __init__(self, docs: SparseVectors, *, cosine: bool, in_memory: bool) -> None:
        self.docs = docs
        self.cosine = cosine
        self._kept = list(self._made()) if in_memory else None

    def blocks(self) -> Iterable[_Block]:
        """Every document exactly once."""
        return self._made() if self._kept is None else self._kept

    def best_texts(self, queries: SparseRows, lows: npt.NDArray[np.uint32], top_k: int) -> Keys:
        """What search_sparse ranks by; see search.BestTexts. *queries* are prepared."""
        if self._kept is not None:
            return _best_texts(queries, self, lows, top_k)
        of_part = partial(_best_of_part, queries, top_k, self.cosine)
        return merge_best(self.docs.map_parts(of_part, lows), top_k)

    def prepared(self, vectors: SparseRows) -> SparseRows:
        """Vectors of queries or documents as they are compared."""
        return _with_norm_1(vectors) if self.cosine else vectors

    def _made(self) -> Iterator[_Block]:
        for positions, rows in self.docs.blocks(DOCS_PER_BLOCK):
            vectors = self.prepared(rows)
            starts = np.empty(vectors.dim + 1, np.int64)
            docs = np.empty(len(vectors.values), np.uint32)
            values = np.empty(len(vectors.values), np.float32)
            by_dimension(vectors.indptr, vectors.indices, vectors.values, starts, docs, values)
            yield _Block(positions, starts, docs, values)


def search_sparse(
    queries: SparseRows,
    index: SparseIndex,
    query_ids: Sequence[str],
    documents: Documents,
    *,
    top_k: int,
) -> Run:
    """
    Rank every document for every query; no approximation.

    Args:
        queries: row i is that of query_ids[i].
        index: text t of *documents* has vector t.
        query_ids, documents, top_k: as for search.search_exact.

    Returns:
        Run: as search.search_exact.

    Raises:
        ValueError: a score is NaN, or there are not as many vectors as texts.

    Memory: at most KEPT_BYTES of keys, two blocks of documents, and for every thread the sums of
    QUERIES_PER_PRODUCT queries over a block.
    """
    if index.docs.n_vectors != documents.n_texts:
        raise ValueError(f"{index.docs.n_vectors} vectors for {documents.n_texts} texts")
    best = partial(index.best_texts, index.prepared(queries))
    return run_of_best(best, query_ids, documents, top_k=top_k)


def rank_sparse_candidates(
    queries: SparseRows,
    index: SparseIndex,
    query_ids: Sequence[str],
    documents: Documents,
    *,
    candidates: Mapping[str, Sequence[str]],
    top_k: int,
) -> Run:
    """
    Rank for each query only the documents that *candidates* lists for it.

    Scores are those of search_sparse, to the last bit. Errors are those of
    search.rank_candidates.
    """
    prepared = index.prepared(queries)

    def scores_of(texts: npt.NDArray[np.intp]) -> ScoresOfSome:
        docs = index.prepared(index.docs.gather(texts))

        def scores(row: int, some: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
            query = prepared[row : row + 1].to_dense()[0]
            found = np.empty(len(some), np.float32)
            products_of(query, docs.indptr, docs.indices, docs.values, some, found)
            return found

        return scores

    return run_of_candidates(scores_of, query_ids, documents, candidates=candidates, top_k=top_k)


def _with_norm_1(vectors: SparseRows) -> SparseRows:
    rows = np.repeat(np.arange(len(vectors)), vectors.n_active)
    squares = np.square(vectors.values, dtype=np.float64)
    norms = np.sqrt(np.bincount(rows, weights=squares, minlength=len(vectors)))
    values = (vectors.values / np.maximum(norms, 1e-12)[rows]).astype(np.float32)
    return SparseRows(vectors.indptr, vectors.indices, values, vectors.dim)


def _best_of_part(
    queries: SparseRows,
    top_k: int,
    cosine: bool,
    docs: SparseVectors,
    lows: npt.NDArray[np.uint32],
    device: object,
) -> Keys:
    index = SparseIndex(docs, cosine=cosine, in_memory=False)
    # Arrays that came from another process may not be written to, which compiled code refuses.
    indptr, indices = np.array(queries.indptr), np.array(queries.indices)
    own = SparseRows(indptr, indices, np.array(queries.values), queries.dim)
    return _best_texts(own, index, lows, min(top_k, docs.n_vectors))


def _best_texts(
    queries: SparseRows, index: SparseIndex, lows: npt.NDArray[np.uint32], top_k: int
) -> Keys:
    capacity = min(4 * top_k, index.docs.n_vectors) + 1
    per_pass = max(1, KEPT_BYTES // (8 * capacity))
    best = [
        _one_pass(queries[first : first + per_pass], first, index, lows, top_k, capacity)
        for first in range(0, len(queries), per_pass)
    ]
    return np.concatenate(best)


def _one_pass(
    queries: SparseRows,
    first_row: int,
    index: SparseIndex,
    lows: npt.NDArray[np.uint32],
    top_k: int,
    capacity: int,
) -> Keys:
    n_workers = torch.get_num_threads() if len(queries) >= FEW_QUERIES else 1
    lanes = [
        _Lane(queries[rows], first_row + rows.start, top_k, capacity)
        for rows in shares(len(queries), n_workers)
    ]
    additions = (
        partial(_Lane.add, block=block, lows=lows[block.positions]) for block in index.blocks()
    )
    with map_of(n_workers) as run:
        scan(run, additions, lanes)
        return np.concatenate(list(run(_Lane.best, lanes)))


class _Lane:
    """Some queries, and the best of what they have seen; one thread at a time has it."""

    def __init__(self, queries: SparseRows, first_row: int, top_k: int, capacity: int) -> None:
        self.queries, self.first_row, self.top_k = queries, first_row, top_k
        self.kept = np.zeros((len(queries), capacity), np.uint64)
        self.n_kept = np.zeros(len(queries), np.int64)
        self.floors = np.zeros(len(queries), np.uint64)
        self._sums = np.empty(QUERIES_PER_PRODUCT * DOCS_PER_BLOCK, np.float32)

    def add(self, block: _Block, lows: npt.NDArray[np.uint32]) -> None:
        """Score a block and keep what may be among the best."""
        queries = self.queries
        for first in range(0, len(queries), QUERIES_PER_PRODUCT):
            rows = slice(first, min(first + QUERIES_PER_PRODUCT, len(queries)))
            shape = rows.stop - first, len(block.positions)
            sums = self._sums[: shape[0] * shape[1]].reshape(shape)
            indptr = queries.indptr[first : rows.stop + 1]
            add_products(
                indptr, queries.indices, queries.values,
                block.starts, block.docs, block.values, sums,
            )  # fmt: skip
            row = keep_best(
                sums, lows, self.top_k, self.kept[rows], self.n_kept[rows], self.floors[rows]
            )
            if row >= 0:
                raise NotANumber(self.first_row + first + row)

    def best(self) -> Keys:
        """The top_k largest keys of each query, descending."""
        self.kept.partition(self.kept.shape[1] - self.top_k, axis=1)
        return np.sort(self.kept[:, -self.top_k :], axis=1)[:, ::-1]


@compiled("void(int64[::1], int32[::1], float32[::1], int64[::1], uint32[::1], float32[::1])")
def by_dimension(
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    docs: npt.NDArray[np.uint32],
    sorted_values: npt.NDArray[np.float32],
) -> None:
    """Turn SparseRows round: fill the last three, as the attributes of _Block."""
    starts[:] = 0
    for index in indices:
        starts[index + 1] += 1
    for dimension in range(len(starts) - 1):
        starts[dimension + 1] += starts[dimension]
    free = starts.copy()
    for doc in range(len(indptr) - 1):
        for place in range(indptr[doc], indptr[doc + 1]):
            to = free[indices[place]]
            docs[to] = doc
            sorted_values[to] = values[place]
            free[indices[place]] = to + 1


@compiled(
    "void(int64[::1], int32[::1], float32[::1], int64[::1], uint32[::1], float32[::1],"
    "float32[:, ::1])"
)
def add_products(
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    docs: npt.NDArray[np.uint32],
    doc_values: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float32],
) -> None:
    """
    The inner products of queries with a block.

    Args:
        indptr, indices, values: the queries, as SparseRows; indptr only of some of its rows.
        starts, docs, doc_values: the attributes of _Block.
        sums: float32 (n_queries, n_docs), filled.
    """
    for row in range(len(sums)):
        of_query = sums[row]
        of_query[:] = 0
        for place in range(indptr[row], indptr[row + 1]):
            weight = values[place]
            dimension = indices[place]
            for posting in range(starts[dimension], starts[dimension + 1]):
                of_query[docs[posting]] += weight * doc_values[posting]


@compiled("void(float32[::1], int64[::1], int32[::1], float32[::1], int64[::1], float32[::1])")
def products_of(
    query: npt.NDArray[np.float32],
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    products: npt.NDArray[np.float32],
) -> None:
    """
    The inner products of a query with some documents.

    Args:
        query: float32 (dim,), with its zeros.
        indptr, indices, values: the documents, as SparseRows.
        rows: int64 (n,), which of them.
        products: float32 (n,), filled. Added in the order of dimensions, as in add_products;
            that zeros are added as well changes no bit.
    """
    for number in range(len(rows)):
        product = np.float32(0)
        for place in range(indptr[rows[number]], indptr[rows[number] + 1]):
            product += query[indices[place]] * values[place]
        products[number] = product
