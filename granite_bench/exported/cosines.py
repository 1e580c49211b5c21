"""How near the vectors of two forms of one model are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def row_cosines(
    ones: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """
    The cosine of each row with its counterpart.

    Args:
        ones, others: float32 (n_rows, dim).

    Returns:
        float32 (n_rows,), in [-1, 1]; 0 where a row has a NaN.
    """
    norms = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    products = np.einsum("ij,ij->i", ones, others)
    # Two zero vectors are the same; one alone is as far as can be.
    both_zero = ~ones.any(axis=1) & ~others.any(axis=1)
    known = norms > 0
    cosines = np.where(known, products / np.where(known, norms, 1), both_zero)
    return np.clip(cosines, -1, 1).astype(np.float32)
