"""
Exact search on the processor's cores: a matrix product and a compiled scan, block by block.

The work is cut into lanes: some of the queries, and a share of every block of documents. A lane
belongs to one thread at a time and multiplies with one BLAS thread, so that the scan of a block
of scores finds it in the cache, and no two pools of threads wait for each other's cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController

from granite_bench.engine.search.lanes import Map, map_of, scan, shares
from granite_bench.engine.search.similarity import NotANumber, Similarity
from granite_bench.engine.search.top_k import Keys, keep_best
from granite_bench.engine.vectors.vectors import Vectors

# A thread's scores are QUERIES_PER_LANE x DOCS_PER_PRODUCT x 4 bytes: 4 MB, cache and not memory.
# Smaller products lose more to the matrix product than they win (measured on two cores:
# 500 x 2,048 took 4% longer, 250 x 2,048 11%).
QUERIES_PER_LANE = 1_024
FEWEST_QUERIES_PER_LANE = 256
DOCS_PER_PRODUCT = 1_024

BLOCK_BYTES = 12 * 2**20
"""Vectors read at a time for many threads; one block is read while another is scored."""

BLOCK_BYTES_ALONE = 3 * 2**20
"""For one thread, which copies, normalises and scores a block while it is in its cache."""

MOST_DOCS_PER_BLOCK = 65_536

SAMPLE = 2_048
"""Vectors whose scores set the first floor of each query."""

KEPT_BYTES = 2**29
"""What a pass over the vectors may keep; more queries than fit take another pass."""

# Below either, one thread is faster than handing work to others: a query alone waits for the
# vectors to come from memory.
SMALL_PRODUCT = 2**26  # multiplications
FEW_QUERIES = 8


def best_texts(
    queries: npt.NDArray[np.float32],
    docs: Vectors,
    lows: npt.NDArray[np.uint32],
    *,
    top_k: int,
    similarity: Similarity,
) -> Keys:
    """
    The *top_k* largest keys (see top_k) of each query.

    Args:
        lows: uint32 (docs.n_vectors,), the low half of the key of each vector.
        top_k: 1..docs.n_vectors.

    Returns:
        uint64 (n_queries, top_k), descending.

    Raises:
        NotANumber: a score is NaN.

    Memory: at most KEPT_BYTES of keys, two blocks of vectors, the vectors of the sample, and for
    every lane 4 MB of scores.
    """
    best = np.empty((len(queries), top_k), np.uint64)
    with ExitStack() as stack:
        n_workers = _n_workers(len(queries), docs, similarity)
        if similarity.scores is None:
            stack.enter_context(_blas().limit(limits=1, user_api="blas"))
        run = stack.enter_context(map_of(n_workers))
        search = _Search(docs, lows, top_k, similarity, n_workers, run)
        per_pass = max(1, KEPT_BYTES // (8 * search.capacity))
        for first in range(0, len(queries), per_pass):
            rows = slice(first, first + per_pass)
            try:
                best[rows] = search.best(queries[rows])
            except NotANumber as error:
                raise NotANumber(first + error.row) from None
    return best


class _Search:
    """One search; what all its passes share."""

    def __init__(
        self,
        docs: Vectors,
        lows: npt.NDArray[np.uint32],
        top_k: int,
        similarity: Similarity,
        n_workers: int,
        run: Map,
    ) -> None:
        self.docs, self.lows, self.top_k, self.similarity = docs, lows, top_k, similarity
        self.n_workers, self.run = n_workers, run
        # With the sample's share of the best, about Poisson, 5 standard deviations and 6 more,
        # fewer than top_k pass in less than one of 10 million queries; those are searched again.
        expected = SAMPLE * top_k / docs.n_vectors
        self.sample_rank = math.ceil(expected + 5 * math.sqrt(expected) + 6)
        self.sampled = docs.n_vectors > 4 * SAMPLE and self.sample_rank < SAMPLE // 2
        passing = docs.n_vectors * self.sample_rank // SAMPLE if self.sampled else 0
        self.capacity = min(max(4 * top_k, 2 * passing), docs.n_vectors) + 1

    def best(self, queries: npt.NDArray[np.float32], *, sampled: bool = True) -> Keys:
        """The top_k largest keys of each query, descending."""
        prepared = self.similarity.prepare(torch.from_numpy(queries.copy()))
        rows = shares(len(queries), self._n_query_shares(len(queries)))
        floors = np.zeros(len(queries), np.uint64)
        if sampled and self.sampled:
            positions = np.linspace(0, self.docs.n_vectors - 1, SAMPLE).astype(np.intp)
            sample = self.similarity.prepare(torch.from_numpy(self.docs.gather(positions)))
            of_rows = partial(self._floors, prepared, sample, self.lows[positions])
            floors = np.concatenate(list(self.run(of_rows, rows)))
        n_parts = max(1, self.n_workers // len(rows))
        lanes = [
            [
                _Lane(
                    prepared, of, floors, self.similarity, self.top_k, self.capacity, part, n_parts
                )
                for part in range(n_parts)
            ]
            for of in rows
        ]
        scan(self.run, self._additions(), [lane for same_rows in lanes for lane in same_rows])
        best = np.concatenate(list(self.run(self._merge, lanes)))
        short = np.flatnonzero(best[:, -1] == 0)
        if len(short):  # the sample misled; without floors, nothing that counts is left out
            best[short] = self.best(queries[short], sampled=False)
        return best

    def _n_query_shares(self, n_queries: int) -> int:
        most = max(1, n_queries // FEWEST_QUERIES_PER_LANE)
        return max(math.ceil(n_queries / QUERIES_PER_LANE), min(self.n_workers, most))

    def _floors(
        self, queries: torch.Tensor, sample: torch.Tensor, lows: npt.NDArray[np.uint32], rows: slice
    ) -> Keys:
        """The key of rank sample_rank in the sample, for each query."""
        capacity = 4 * self.sample_rank
        no_floors = np.zeros(len(queries), np.uint64)
        lane = _Lane(queries, rows, no_floors, self.similarity, self.sample_rank, capacity)
        lane.add(sample, lows)
        place = capacity - self.sample_rank
        return np.partition(lane.kept, place, axis=1)[:, place]

    def _additions(self) -> Iterator[Callable[[_Lane], None]]:
        """What a lane does with each block."""
        block_bytes = BLOCK_BYTES if self.n_workers > 1 else BLOCK_BYTES_ALONE
        n_rows = min(max(1, block_bytes // (4 * max(1, self.docs.dim))), MOST_DOCS_PER_BLOCK)
        for positions, vectors in self.docs.blocks(n_rows):
            block = self.similarity.prepare(torch.from_numpy(vectors))
            yield partial(_Lane.add, docs=block, lows=self.lows[positions])

    def _merge(self, lanes: list[_Lane]) -> Keys:
        """The best of lanes of the same queries; 0 where they have fewer than top_k."""
        found = [lane.kept[:, : lane.n_kept.max()] for lane in lanes]
        keys = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        missing = self.top_k - keys.shape[1]
        if missing > 0:
            keys = np.pad(keys, ((0, 0), (0, missing)))
        keys.partition(keys.shape[1] - self.top_k, axis=1)
        return np.sort(keys[:, -self.top_k :], axis=1)[:, ::-1]


class _Lane:
    """Some queries over a part of every block, and the best of what they have seen."""

    def __init__(
        self,
        queries: torch.Tensor,
        rows: slice,
        floors: Keys,
        similarity: Similarity,
        top_k: int,
        capacity: int,
        part: int = 0,
        n_parts: int = 1,
    ) -> None:
        self.queries, self.rows, self.top_k = queries[rows], rows, top_k
        self.part, self.n_parts = part, n_parts
        self.floors = floors[rows].copy()
        self.n_kept = np.zeros(len(self.queries), np.int64)
        self.kept = np.zeros((len(self.queries), capacity), np.uint64)
        self._function = similarity.scores
        self._scores = np.empty(len(self.queries) * DOCS_PER_PRODUCT, np.float32)

    def add(self, docs: torch.Tensor, lows: npt.NDArray[np.uint32]) -> None:
        """Score this lane's part of a block and keep what may be among the best."""
        mine = shares(len(docs), self.n_parts)[self.part]
        for first in range(mine.start, mine.stop, DOCS_PER_PRODUCT):
            some = slice(first, min(first + DOCS_PER_PRODUCT, mine.stop))
            scores = self._score(docs[some])
            row = keep_best(scores, lows[some], self.top_k, self.kept, self.n_kept, self.floors)
            if row >= 0:
                raise NotANumber(self.rows.start + row)

    def _score(self, docs: torch.Tensor) -> npt.NDArray[np.float32]:
        if self._function is not None:
            scores = torch.as_tensor(self._function(self.queries, docs))
            return scores.to("cpu", torch.float32).contiguous().numpy()
        shape = len(self.queries), len(docs)
        out = self._scores[: shape[0] * shape[1]].reshape(shape)
        with np.errstate(over="ignore", invalid="ignore"):  # keep_best finds what is NaN
            return np.matmul(self.queries.numpy(), docs.numpy().T, out=out)


def _n_workers(n_queries: int, docs: Vectors, similarity: Similarity) -> int:
    """Threads that torch would take; 1 where threads do not pay, or torch's own are at work."""
    product = n_queries * docs.n_vectors * docs.dim
    if similarity.scores is not None or n_queries < FEW_QUERIES or product < SMALL_PRODUCT:
        return 1
    return torch.get_num_threads()


@cache
def _blas() -> ThreadpoolController:
    # Looks through every loaded library, for milliseconds; numpy's BLAS is loaded by now.
    return ThreadpoolController()
