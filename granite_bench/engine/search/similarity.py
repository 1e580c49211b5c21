"""How a query and a document are scored: by an inner product, or by a function of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Similarity:
    """
    How a query and a document are scored.

    Attributes:
        prepare: float32 (n, dim) -> float32 (n, dim), on the same device; may overwrite. Queries
            and documents go through it before they are scored.
        scores: (n_queries, dim), (n_docs, dim) -> (n_queries, n_docs), a tensor or an array.
            None: the inner product.
    """

    prepare: Callable[[torch.Tensor], torch.Tensor]
    scores: Callable[[torch.Tensor, torch.Tensor], Any] | None = None


def similarity_of(name: str | None, own: Callable[[torch.Tensor, torch.Tensor], Any]) -> Similarity:
    """
    A model's similarity.

    Args:
        name: sentence-transformers' similarity_fn_name. "cosine" and "dot" become a matrix
            product; whatever else, and None, is left to *own*.
        own: the model's function, as Similarity.scores.
    """
    if name == "cosine":
        return Similarity(_with_norm_1)
    if name == "dot":
        return Similarity(_as_it_is)
    return Similarity(_as_it_is, own)


def _with_norm_1(vectors: torch.Tensor) -> torch.Tensor:
    # What sentence-transformers' and mteb's cos_sim do; a vector of zeros stays one.
    if vectors.device.type != "cpu":
        return torch.nn.functional.normalize(vectors, dim=1, out=vectors)
    # By this thread alone: torch's threads would stay awake for a while, on the cores that the
    # next matrix product wants (a search of 5,000 documents took 16 ms instead of 1).
    rows = vectors.numpy()
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows *= (1 / np.maximum(norms, np.float32(1e-12)))[:, None]
    return vectors


def _as_it_is(vectors: torch.Tensor) -> torch.Tensor:
    return vectors


class NotANumber(Exception):
    """A score of the query in row *row* is NaN."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row
