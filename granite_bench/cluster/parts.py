"""The vectors of a corpus where workers have them: what is computed of them goes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, cast

import numpy as np
import numpy.typing as npt

from granite_bench.cluster.pool import Call, Gone, Pool
from granite_bench.cluster.worker import Computed, Lost
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.encoding.encoder import Restore
from granite_bench.engine.vectors.places import Places
from granite_bench.engine.vectors.rows import Rows, placed
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import ResidentSparseVectors
from granite_bench.engine.vectors.vectors import (
    Found,
    OfPart,
    ResidentVectors,
    Vectors,
    require_positions,
    require_rows,
)
from granite_bench.errors import StorageError

LEAST_PER_PART = 8_192
"""Vectors; to search fewer takes no longer than to ask another worker."""

ROWS_PER_CALL = 4_096
"""Vectors that one call brings to the driver."""

ROUNDS = 4
"""Vectors that were made again so often, and are lost again, will not stay."""


@dataclass(frozen=True)
class _Part:
    """Texts, by their positions, and the worker that has their vectors; None: any can read them."""

    positions: npt.NDArray[np.intp]
    only: int | None


class VectorsOfWorkers(Generic[Rows]):
    """
    Vectors in the workers' store, or on the disks of those that made them (see Vectors).

    Where some are lost, because a worker died or a file is broken, their texts are encoded again.

    Args:
        pool: the workers.
        places: has all of the vectors.
        instruction: of the texts.
        restore: encodes texts again.
        dim: of every vector.
        sparse: what the vectors are.
    """

    def __init__(
        self,
        pool: Pool,
        places: Places[Rows],
        instruction: Instruction,
        restore: Restore,
        *,
        dim: int,
        sparse: bool,
    ) -> None:
        self.n_vectors = len(places.keys)
        self.dim = dim
        self._pool = pool
        self._places: Places[Rows] = places
        self._instruction = instruction
        self._restore = restore
        self._sparse = sparse

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], Rows]]:
        """Some at a time, brought here, in the order of shards (see Vectors)."""
        require_rows(n_rows)
        order = self._in_order(np.arange(self.n_vectors))
        for start in range(0, self.n_vectors, n_rows):
            positions = order[start : start + n_rows]
            yield positions, self.gather(positions)

    def gather(self, positions: npt.NDArray[np.intp]) -> Rows:
        """The vectors at *positions*, brought here (see Vectors)."""
        require_positions(positions, self.n_vectors)
        different, rows = np.unique(positions, return_inverse=True)
        if not len(different):
            return cast("Rows", self._none.gather(np.arange(0)))
        found = list(self._computed(_all_of_them, different, None, ROWS_PER_CALL, keep=False))
        parts = [(np.searchsorted(different, part), vectors) for part, vectors in found]
        return cast("Rows", placed(parts, len(different))[rows])

    def map_parts(
        self, function: OfPart[Found], per_vector: npt.NDArray[Any] | None = None
    ) -> Iterator[Found]:
        """Every worker computes a part (see Vectors); parts come as they are done."""
        if not self.n_vectors:
            yield function(self._none, per_vector, None)
            return
        every = np.arange(self.n_vectors)
        per_worker = -(-self.n_vectors // max(1, self._pool.n_ready))
        size = max(LEAST_PER_PART, per_worker)
        for _, value in self._computed(function, every, per_vector, size, keep=True):
            yield value

    @property
    def _none(self) -> Vectors[Any]:
        """No vectors, in this process."""
        if self._sparse:
            return ResidentSparseVectors(SparseRows.empty(self.dim))
        return ResidentVectors(np.empty((0, self.dim), np.float32))

    def _computed(
        self,
        function: OfPart[Found],
        positions: npt.NDArray[np.intp],
        per_vector: npt.NDArray[Any] | None,
        size: int,
        *,
        keep: bool,
    ) -> Iterator[tuple[npt.NDArray[np.intp], Found]]:
        """(positions, value) of parts of at most *size* vectors, in any order."""
        for _ in range(ROUNDS):
            calls = (
                Call("compute", self._arguments(function, part, per_vector, keep), part, part.only)
                for part in self._parts(positions, size)
            )
            again: list[npt.NDArray[np.intp]] = []
            lost: list[npt.NDArray[np.intp]] = []
            broken: list[str] = []
            for call, _, answer in self._pool.run(calls):
                part: _Part = call.of
                if isinstance(answer, Computed):
                    yield part.positions, answer.value
                    continue
                again.append(part.positions)
                if isinstance(answer, Lost):
                    lost.append(part.positions[answer.rows])
                    broken += answer.broken
                elif isinstance(answer, Gone):  # all that it had: in whole shards, as before
                    lost.append(np.flatnonzero(self._places.keepers == part.only))
            if not again:
                return
            # Several parts may have met the same dead worker, or the same broken shard.
            self._restore(np.unique(np.concatenate(lost)), list(dict.fromkeys(broken)))
            positions = np.concatenate(again)
        raise StorageError(
            f"vectors of {len(positions)} texts were lost {ROUNDS} times after they were stored\n"
            "  look at the workers' disks and at the folder of --vectors, then run the same "
            "command again"
        )

    def _arguments(
        self,
        function: OfPart[Found],
        part: _Part,
        per_vector: npt.NDArray[Any] | None,
        keep: bool,
    ) -> tuple[Any, ...]:
        own = None if per_vector is None else per_vector[part.positions]
        return function, self._instruction, self._places.keys[part.positions], own, keep

    def _parts(self, positions: npt.NDArray[np.intp], size: int) -> Iterator[_Part]:
        """Parts of neighbours in the shards; of one worker's each, where workers keep their own."""
        ordered = self._in_order(positions)
        keepers = self._places.keepers[ordered]
        borders = np.flatnonzero(np.diff(keepers)) + 1
        for same in np.split(ordered, borders):
            keeper = int(self._places.keepers[same[0]])
            n_parts = -(-len(same) // size)
            for some in np.array_split(same, n_parts):
                yield _Part(some, None if keeper < 0 else keeper)

    def _in_order(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """The positions by worker, store, shard and row."""
        at = self._places
        keys = at.rows, at.shards, at.store_of, at.keepers
        return positions[np.lexsort([key[positions] for key in keys])]


def _all_of_them(vectors: Vectors[Any], per_vector: object, device: object) -> Any:
    return vectors.gather(np.arange(vectors.n_vectors))
