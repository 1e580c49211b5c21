"""Vectors in several parts, as those of a cluster are, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.vectors import Found, OfPart, ResidentVectors


class VectorsInParts(ResidentVectors):
    """
    Vectors in memory, of which each part is given to a search by itself.

    Args:
        n_per_part: vectors of each part but the last.
    """

    def __init__(self, vectors: npt.NDArray[np.float32], n_per_part: int) -> None:
        super().__init__(vectors)
        self.parts = np.split(vectors, range(n_per_part, len(vectors), n_per_part))

    def map_parts(
        self, function: OfPart[Found], per_vector: npt.NDArray[Any] | None = None
    ) -> Iterator[Found]:
        """As Vectors.map_parts."""
        start = 0
        for part in self.parts:
            rows = slice(start, start + len(part))
            own = None if per_vector is None else per_vector[rows]
            yield function(ResidentVectors(part), own, None)
            start = rows.stop
