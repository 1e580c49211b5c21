"""Vectors of some texts: an array where they are dense, SparseRows where they are sparse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeVar  # with a default, as typing has it from Python 3.13 on

from granite_bench.engine.vectors.sparse_rows import SparseRows, placed_sparse

Dense = npt.NDArray[np.float32]

Rows = TypeVar("Rows", Dense, SparseRows, default=Dense)
"""What a model's vectors are; where nothing is said, they are dense."""

Rows_co = TypeVar("Rows_co", Dense, SparseRows, default=Dense, covariant=True)


def placed(parts: list[tuple[npt.NDArray[np.intp], Rows]], n_rows: int) -> Rows:
    """
    One list of vectors from several.

    Args:
        parts: (positions, rows), at least one: rows[i] goes to positions[i]. All positions
            together are 0..n_rows - 1. Emptied, so that not everything is in memory twice.
    """
    first = parts[0][1]
    dim = first.shape[1]
    if isinstance(first, SparseRows):
        return placed_sparse(parts, n_rows, dim)
    together = np.empty((n_rows, dim), dtype=np.float32)
    while parts:
        positions, rows = parts.pop()
        together[positions] = rows
    return together


def not_finite(rows: Rows) -> npt.NDArray[np.intp]:
    """The positions, ascending, of vectors with a value that is NaN or infinite."""
    if isinstance(rows, SparseRows):
        bad = np.flatnonzero(~np.isfinite(rows.values))
        return np.unique(np.searchsorted(rows.indptr, bad, side="right") - 1)
    return np.flatnonzero(~np.isfinite(rows).all(axis=1))
