"""Sparse vectors for tests: made value by value, and put into a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import StoredSparseVectors
from granite_bench.engine.vectors.vector_store import VectorStore, text_keys

DIM = 40
CONFIGURATION = {"model": "org/sparse", "revision": "1"}

Dense = npt.NDArray[np.float32]


def sparse(vectors: Sequence[Sequence[float]] | Dense) -> SparseRows:
    """Value by value, as the attributes are described."""
    indptr, indices, values = [0], list[int](), list[float]()
    for vector in vectors:
        for index, value in enumerate(vector):
            if value != 0:
                indices.append(index)
                values.append(float(value))
        indptr.append(len(indices))
    return SparseRows(
        np.array(indptr, np.int64),
        np.array(indices, np.int32),
        np.array(values, np.float32),
        len(vectors[0]),
    )


def random_vectors(n: int, seed: int = 0, dim: int = DIM) -> Dense:
    """About a fifth active; every seventh is empty."""
    rng = np.random.default_rng(seed)
    vectors = np.where(rng.random((n, dim)) < 0.2, rng.normal(size=(n, dim)), 0)
    vectors[::7] = 0
    return vectors.astype(np.float32)


def keys_of(numbers: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Of texts that are these numbers."""
    return text_keys([str(number) for number in numbers])


def filled(folder: Path, vectors: Dense, *, shard: int = 9) -> VectorStore:
    """Text i has vector i; so many texts per shard."""
    store = VectorStore(folder, CONFIGURATION)
    for start in range(0, len(vectors), shard):
        numbers = range(start, min(start + shard, len(vectors)))
        store.put(keys_of(numbers), sparse(vectors[numbers.start : numbers.stop]), counts(numbers))
    return store


def counts(numbers: Sequence[int]) -> npt.NDArray[np.int32]:
    """A text's token count is its number."""
    return np.array(numbers, np.int32)


def stored(store: VectorStore, numbers: Sequence[int]) -> StoredSparseVectors:
    """The vectors of these texts."""
    found = store.find(keys_of(numbers))
    return StoredSparseVectors(store.paths, found.shards, found.rows, DIM)
