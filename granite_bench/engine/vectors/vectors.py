"""
What search reads: the vectors of a corpus, in memory or in the shards of the store.

No more of them is in memory than a caller asks for at a time.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.rows import Dense, Rows, Rows_co
from granite_bench.engine.vectors.shard import BrokenShard, read_rows
from granite_bench.errors import StorageError
from granite_bench.files.local import Place
from granite_bench.files.locations import at_once, reason

ROWS_PER_READ = 4096
"""Vectors that are read from shards before they go to their places: they stay in the cache."""


Found = TypeVar("Found")

OfPart = Callable[[Any, Any, str | None], Found]
"""
What is computed of a part of a corpus: called with its vectors, with the caller's values of these,
and with torch's name of the device to compute on, None where the caller's choice holds. It may be
sent to another process.
"""


class Vectors(Protocol[Rows_co]):
    """
    The vectors of a corpus, on disk or in memory.

    Rows of them are float32 (n, dim), or SparseRows (Vectors[SparseRows]).
    """

    n_vectors: int
    dim: int

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], Rows_co]]:
        """
        Every vector exactly once, in the order that reads fastest.

        Args:
            n_rows: vectors per block at most, 1 or more.

        Yields:
            (positions, rows): intp (n,) and n <= n_rows vectors; positions and dense vectors are
            C-contiguous and the caller's to overwrite.

        Raises:
            StorageError: a file vanished or was cut since it was found.
        """
        ...

    def gather(self, positions: npt.NDArray[np.intp]) -> Rows_co:
        """
        The vectors at *positions*, copied.

        Raises:
            IndexError: a position is not in 0..n_vectors - 1.
            StorageError: as for blocks.
        """
        ...

    def map_parts(
        self, function: OfPart[Found], per_vector: npt.NDArray[Any] | None = None
    ) -> Iterator[Found]:
        """
        Compute something of every vector, where the vectors are.

        Args:
            function: called once for each part of them.
            per_vector: a value for each vector, (n_vectors, ...); a part is given its own.

        Raises:
            StorageError: as for blocks; and whatever *function* raises.
        """
        ...


class InOnePart:
    """Vectors that this process reads itself."""

    def map_parts(
        self, function: OfPart[Found], per_vector: npt.NDArray[Any] | None = None
    ) -> Iterator[Found]:
        """All of them are one part (see Vectors)."""
        yield function(self, per_vector, None)


class ResidentVectors(InOnePart):
    """
    Vectors in memory.

    Args:
        vectors: float32 (n_vectors, dim); not copied.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = vectors
        self.n_vectors, self.dim = vectors.shape

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], Dense]]:
        """Copies of *n_rows* vectors at a time (see Vectors)."""
        require_rows(n_rows)
        for start in range(0, self.n_vectors, n_rows):
            block = np.array(self._vectors[start : start + n_rows], order="C")
            yield np.arange(start, start + len(block), dtype=np.intp), block

    def gather(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """The vectors at *positions*, a new array (see Vectors)."""
        require_positions(positions, self.n_vectors)
        return self._vectors[positions]


class InShards(InOnePart, ABC, Generic[Rows]):
    """
    Vectors in shard files: vector i is row rows[i] of the file paths[shards[i]].

    Args:
        paths: shard number -> file, as VectorStore.paths.
        shards, rows: int32 (n_vectors,), as VectorStore.find gives them; none is -1.
        dim: of every vector.

    Memory: 8 bytes a vector, and 8 more while blocks are read; no vector stays.
    """

    def __init__(
        self,
        paths: Sequence[Place],
        shards: npt.NDArray[np.int32],
        rows: npt.NDArray[np.int32],
        dim: int,
    ) -> None:
        if len(shards) != len(rows):
            raise ValueError(f"{len(shards)} shard numbers for {len(rows)} rows")
        if len(shards) and not (shards.min() >= 0 and shards.max() < len(paths)):
            raise ValueError("a vector that was not found, or a shard without a path")
        self.n_vectors = len(shards)
        self.dim = dim
        self._paths = paths
        self._shards = shards
        self._rows = rows

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], Rows]]:
        """Shard after shard, rows in the order of the file (see Vectors)."""
        require_rows(n_rows)
        order = np.lexsort((self._rows, self._shards))
        for start in range(0, self.n_vectors, n_rows):
            positions = order[start : start + n_rows].copy()
            yield positions, self._read(positions)

    @abstractmethod
    def _read(self, positions: npt.NDArray[np.intp]) -> Rows:
        """The vectors at *positions*, which are in the order of shards and rows."""

    def _parts(
        self, positions: npt.NDArray[np.intp]
    ) -> Iterator[tuple[npt.NDArray[np.intp], Rows]]:
        """The vectors at *positions*, some at a time and in the order of shards: (some, rows)."""
        require_positions(positions, self.n_vectors)
        positions = np.asarray(positions, dtype=np.intp)
        order = np.lexsort((self._rows[positions], self._shards[positions]))
        for start in range(0, len(order), ROWS_PER_READ):
            some = order[start : start + ROWS_PER_READ]
            yield some, self._read(positions[some])

    def _read_shards(
        self,
        positions: npt.NDArray[np.intp],
        read: Callable[[Place, npt.NDArray[np.int32], slice], Found],
    ) -> Iterator[Found]:
        """For *positions* in the order of shards, *read* of each shard: see _by_shard."""

        def explained_read(part: tuple[Place, npt.NDArray[np.int32], slice]) -> Found:
            with explained(part[0]):
                return read(*part)

        if len(positions):
            yield from at_once(explained_read, self._by_shard(positions), self._paths[0])

    def _by_shard(
        self, positions: npt.NDArray[np.intp]
    ) -> Iterator[tuple[Place, npt.NDArray[np.int32], slice]]:
        """For *positions* in the order of shards: file, rows in it, and which of them these are."""
        shards, rows = self._shards[positions], self._rows[positions]
        starts: list[int] = np.flatnonzero(np.diff(shards, prepend=-1)).tolist()
        for start, end in itertools.pairwise([*starts, len(positions)]):
            yield self._paths[shards[start]], rows[start:end], slice(start, end)


class StoredVectors(InShards[Dense]):
    """Dense vectors in shard files (see InShards)."""

    def gather(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """The vectors at *positions*, a new array (see Vectors)."""
        gathered = np.empty((len(positions), self.dim), dtype=np.float32)
        for some, vectors in self._parts(positions):
            gathered[some] = vectors
        return gathered

    def _read(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        vectors = np.empty((len(positions), self.dim), dtype=np.float32)

        def read(path: Place, rows: npt.NDArray[np.int32], places: slice) -> None:
            read_rows(path, rows, vectors[places])

        collections.deque(self._read_shards(positions, read), maxlen=0)
        return vectors


def require_rows(n_rows: int) -> None:
    """ValueError for a block without rows."""
    if n_rows < 1:
        raise ValueError(f"a block has at least one row, not {n_rows}")


def require_positions(positions: npt.NDArray[np.intp], n_vectors: int) -> None:
    """IndexError for a position that is not in 0..n_vectors - 1."""
    if len(positions) and not (positions.min() >= 0 and positions.max() < n_vectors):
        raise IndexError(f"a position is not in 0..{n_vectors - 1}")


@contextlib.contextmanager
def explained(path: Place) -> Iterator[None]:
    """Says of a shard that cannot be read, though it was found, what to do."""
    try:
        yield
    except FileNotFoundError:
        raise _lost(path, "was removed while it was in use") from None
    except BrokenShard as error:
        raise _lost(path, f"was changed while it was in use: {error}") from None
    except OSError as error:
        raise _lost(path, f"cannot be read: {reason(error)}") from error


def _lost(path: Place, what: str) -> StorageError:
    return StorageError(
        f"{path}: this vector shard {what}\n"
        "  run the same command again: its texts are encoded again, all others are kept"
    )
