"""Vectors of some texts where they are dense; tests/test_sparse_vectors.py has the sparse ones."""

from __future__ import annotations

import numpy as np
import pytest

from granite_bench.engine.vectors.rows import not_finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_with_one_value_that_is_not_finite_is_named(value: float) -> None:
    """The second and the last of five."""
    rows = np.ones((5, 3), np.float32)
    rows[1, 2] = rows[4, 0] = value
    assert not_finite(rows).tolist() == [1, 4]
    assert not_finite(rows[:1]).tolist() == []
