"""Where the vectors of a list of texts are, while those that the store lacks are made."""

from __future__ import annotations

from functools import cached_property
from typing import Generic, cast

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.rows import Rows, placed
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import ResidentSparseVectors, StoredSparseVectors
from granite_bench.engine.vectors.vector_store import VectorStore
from granite_bench.engine.vectors.vectors import ResidentVectors, StoredVectors, Vectors
from granite_bench.files.local import Place


class Places(Generic[Rows]):
    """
    Where the vector of each different text is: in which store (-1: nowhere), shard and row.

    Without stores, vectors are kept in memory.

    Args:
        keys: of the texts, uint64 (n_texts, 2).
        stores: the first is for texts that the model reads whole, the second for the others.
        limit: texts of more tokens go to the second store; None where there is one store.
        sparse: what the vectors are.
    """

    def __init__(
        self,
        keys: npt.NDArray[np.uint64],
        stores: list[VectorStore],
        limit: int | None,
        *,
        sparse: bool,
    ) -> None:
        self.keys = keys
        self.stores = stores
        self.limit = limit
        self.store_of = np.full(len(keys), -1, dtype=np.int8)
        self.shards = np.zeros(len(keys), dtype=np.int32)
        self.rows = np.zeros(len(keys), dtype=np.int32)
        self.counts = np.zeros(len(keys), dtype=np.int32)
        self._sparse = sparse
        self._in_memory: list[tuple[npt.NDArray[np.intp], Rows]] = []

    @property
    def n_missing(self) -> int:
        """Texts whose vectors are nowhere so far."""
        return int((self.store_of < 0).sum())

    def find(self, number: int, *, verify: bool = True) -> None:
        """
        Look in the store of that number for the texts that were not found so far.

        Args:
            verify: as for VectorStore.find.
        """
        store = self.stores[number]
        asked = np.flatnonzero(self.store_of < 0)
        found = store.find(self.keys[asked], verify=verify)
        fits = found.shards >= 0
        if self.limit is not None:
            fits &= (found.token_counts > self.limit) == (number == 1)
        at = asked[fits]
        self.store_of[at] = number
        self.shards[at] = found.shards[fits]
        self.rows[at] = found.rows[fits]
        self.counts[at] = found.token_counts[fits]

    def put(
        self,
        positions: npt.NDArray[np.intp],
        vectors: Rows,
        counts: npt.NDArray[np.int32],
        number: int,
    ) -> None:
        """Keep new vectors in the store of that number, or in memory where there is no store."""
        self.counts[positions] = counts
        self.store_of[positions] = number
        if self.stores:
            store = self.stores[number]
            self.shards[positions] = store.put(self.keys[positions], vectors, counts)
            self.rows[positions] = np.arange(len(positions))
        else:
            self._in_memory.append((positions, vectors))

    def put_elsewhere(
        self,
        positions: npt.NDArray[np.intp],
        counts: npt.NDArray[np.int32],
        *,
        shard: int,
        keeper: int,
    ) -> None:
        """
        Another process has made these vectors.

        Args:
            shard: a number for the texts that were stored together.
            keeper: the number of the process that alone has them; -1: they are in the store.
        """
        self.counts[positions] = counts
        self.store_of[positions] = 0
        self.shards[positions] = shard
        self.rows[positions] = np.arange(len(positions))
        self.keepers[positions] = keeper

    @cached_property
    def keepers(self) -> npt.NDArray[np.int32]:
        """Which process has each vector, int32 (n_texts,), as for put_elsewhere."""
        return np.full(len(self.keys), -1, dtype=np.int32)

    def forget(self, positions: npt.NDArray[np.intp]) -> None:
        """The vectors at these positions are lost."""
        self.store_of[positions] = -1

    def vectors(self, resident_bytes: int) -> Vectors[Rows]:
        """All of them, in memory where they have no more than so many bytes."""
        if not self.stores and len(self.keys):
            return self._resident(placed(self._in_memory, len(self.keys)))
        stored = self._stored()
        if self._n_bytes(stored.dim) <= resident_bytes:
            return self._resident(stored.gather(np.arange(len(self.keys))))
        return stored

    def missing_of(
        self, positions: npt.NDArray[np.intp], texts: list[str]
    ) -> tuple[npt.NDArray[np.intp], list[str]]:
        """Those of some texts that no store has."""
        missing = self.store_of[positions] < 0
        if missing.all():
            return positions, texts
        chosen = [text for text, wanted in zip(texts, missing, strict=True) if wanted]
        return positions[missing], chosen

    def _stored(self) -> Vectors[Rows]:
        dim = next((store.dim for store in self.stores if store.dim is not None), 0)
        n_before = np.cumsum([0] + [len(store.paths) for store in self.stores])
        shards = self.shards + n_before[np.maximum(self.store_of, 0)].astype(np.int32)
        form = StoredSparseVectors if self._sparse else StoredVectors
        return cast("Vectors[Rows]", form(self._paths, shards, self.rows, dim))

    def _resident(self, vectors: Rows) -> Vectors[Rows]:
        form = ResidentSparseVectors if isinstance(vectors, SparseRows) else ResidentVectors
        return cast("Vectors[Rows]", form(vectors))

    @property
    def _paths(self) -> list[Place]:
        return [path for store in self.stores for path in store.paths]

    def _n_bytes(self, dim: int) -> int:
        """What the vectors take in memory; of sparse ones, the size of their shards."""
        if not self._sparse:
            return len(self.keys) * dim * 4
        return sum(
            store.n_bytes(np.unique(self.shards[self.store_of == number]).tolist())
            for number, store in enumerate(self.stores)
        )


def different(
    keys: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """
    The different keys among *keys* (n, 2), in the order of first occurrence.

    Returns:
        (first, rows): where each different key stands first, ascending, and for each key its
        number among the different ones.
    """
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in their order
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = order[is_first]
    number = np.empty(len(firsts), dtype=np.intp)
    number[np.argsort(firsts)] = np.arange(len(firsts))
    rows = np.empty(len(keys), dtype=np.intp)
    rows[order] = number[np.cumsum(is_first) - 1]
    return np.sort(firsts), rows
