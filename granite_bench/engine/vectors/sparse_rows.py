"""Sparse vectors of some texts, in compressed rows (CSR): only what is not zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SparseRows:
    """
    Vectors by their active dimensions, in scipy's csr layout with types that never change.

    Attributes:
        indptr: int64 (n + 1,); vector i lies at indptr[i]:indptr[i + 1] of the other two.
        indices: int32 (n_values,), the active dimensions of each vector, ascending.
        values: float32 (n_values,), none of them 0.
        dim: dimensions of the space, a model's vocabulary.

    As a sequence: n vectors. rows[positions] is a SparseRows; positions are an array, or a slice
    of step 1, whose rows share their memory with these.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]
    dim: int

    @classmethod
    def empty(cls, dim: int = 0) -> SparseRows:
        """No vectors."""
        nothing = np.empty(0, np.int32), np.empty(0, np.float32)
        return cls(np.zeros(1, np.int64), *nothing, dim)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, dim), as an array of these vectors has it."""
        return len(self), self.dim

    @property
    def n_active(self) -> npt.NDArray[np.int64]:
        """Active dimensions of each vector; int64 (n,)."""
        return np.diff(self.indptr)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, positions: npt.NDArray[np.integer] | slice) -> SparseRows:
        if isinstance(positions, slice):
            start, stop, _ = positions.indices(len(self))
            indptr = self.indptr[start : max(start, stop) + 1]
            inside = slice(indptr[0], indptr[-1])
            return SparseRows(
                indptr - indptr[0], self.indices[inside], self.values[inside], self.dim
            )
        indptr = _starts(self.n_active[positions])
        places = _ranges(self.indptr[:-1][positions], indptr)
        return SparseRows(indptr, self.indices[places], self.values[places], self.dim)

    def to_dense(self) -> npt.NDArray[np.float32]:
        """The same vectors with their zeros; float32 (n, dim)."""
        vectors = np.zeros(self.shape, np.float32)
        vectors[np.repeat(np.arange(len(self)), self.n_active), self.indices] = self.values
        return vectors


def placed_sparse(
    parts: list[tuple[npt.NDArray[np.intp], SparseRows]], n_rows: int, dim: int
) -> SparseRows:
    """
    As rows.placed. Memory: the result, and a few numbers per value of one part.
    """
    n_active = np.zeros(n_rows, np.int64)
    for positions, rows in parts:
        n_active[positions] = rows.n_active
    indptr = _starts(n_active)
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    while parts:
        positions, rows = parts.pop()
        places = _ranges(indptr[positions], rows.indptr)
        indices[places], values[places] = rows.indices, rows.values
    return SparseRows(indptr, indices, values, dim)


def _starts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _ranges(starts: npt.NDArray[np.int64], indptr: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers from starts[i] on, as many as row i of *indptr* has, one row after the other."""
    return np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], np.diff(indptr))
