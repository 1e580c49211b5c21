"""Sparse vectors of a corpus, in memory or in the shards of the store (see vectors)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.rows import placed
from granite_bench.engine.vectors.shard import read_sparse_rows
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.vectors import (
    InOnePart,
    InShards,
    Vectors,
    require_positions,
    require_rows,
)
from granite_bench.files.local import Place

SparseVectors = Vectors[SparseRows]


class ResidentSparseVectors(InOnePart):
    """
    Sparse vectors in memory.

    Args:
        vectors: not copied.
    """

    def __init__(self, vectors: SparseRows) -> None:
        self._vectors = vectors
        self.n_vectors, self.dim = vectors.shape

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], SparseRows]]:
        """*n_rows* vectors at a time, not copied (see Vectors)."""
        require_rows(n_rows)
        for start in range(0, self.n_vectors, n_rows):
            block = self._vectors[start : start + n_rows]
            yield np.arange(start, start + len(block), dtype=np.intp), block

    def gather(self, positions: npt.NDArray[np.intp]) -> SparseRows:
        """The vectors at *positions* (see Vectors)."""
        require_positions(positions, self.n_vectors)
        return self._vectors[positions]


class StoredSparseVectors(InShards[SparseRows]):
    """Sparse vectors in shard files (see InShards)."""

    def gather(self, positions: npt.NDArray[np.intp]) -> SparseRows:
        """The vectors at *positions* (see Vectors)."""
        parts = list(self._parts(positions))
        return placed(parts, len(positions)) if parts else SparseRows.empty(self.dim)

    def _read(self, positions: npt.NDArray[np.intp]) -> SparseRows:
        def read(
            path: Place, rows: npt.NDArray[np.int32], places: slice
        ) -> tuple[npt.NDArray[np.intp], SparseRows]:
            read = read_sparse_rows(path, rows, self.dim)
            return np.arange(places.start, places.stop), read

        return placed(list(self._read_shards(positions, read)), len(positions))
