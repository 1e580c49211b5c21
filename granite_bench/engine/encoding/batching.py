"""Token-budget batches: texts of like length together, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt


def token_budget_batches(
    token_counts: Sequence[int] | npt.NDArray[np.int32],
    *,
    token_budget: int,
    most_texts: int | None = None,
) -> Iterator[npt.NDArray[np.intp]]:
    """
    Group texts so that no padded batch holds more than *token_budget* tokens.

    A batch costs its longest text times its size, so texts are taken longest first: what one
    batch needs at most is known from the first, and running out of memory shows at once.

    Args:
        token_counts: tokens of each text as the model reads it (after truncation), each >= 0.
        token_budget: padded tokens per batch, >= 1. A text longer than that has its own batch.
        most_texts: texts per batch, >= 1; None sets no limit.

    Yields:
        Positions in *token_counts*; together a permutation of all of them. Equal counts keep
        their order, so the same texts always make the same batches.
    """
    if token_budget < 1:
        raise ValueError(f"token_budget must be at least 1, not {token_budget}")
    if most_texts is not None and most_texts < 1:
        raise ValueError(f"most_texts must be at least 1, not {most_texts}")
    counts = np.maximum(np.asarray(token_counts, dtype=np.int64), 1)
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, int(token_budget // counts[order[start]]))
        if most_texts is not None:
            size = min(size, most_texts)
        yield order[start : start + size]
        start += size
