"""Exact search with torch, on a GPU: scores and the best so far stay on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.engine.search.similarity import NotANumber, Similarity
from granite_bench.engine.vectors.vectors import InOnePart, Vectors

SCORES_PER_PRODUCT = 2**26
"""Scores at a time: 256 MB, and 5 times that for their keys and torch.topk's work."""

DOCS_PER_BLOCK = 65_536


class DeviceVectors(InOnePart):
    """
    Vectors in a device's memory, for the inner product alone: blocks are not copies.

    Args:
        vectors: float32 (n_vectors, dim).
        device: torch's name.
    """

    def __init__(self, vectors: npt.NDArray[np.float32], device: str) -> None:
        self._vectors = torch.from_numpy(vectors).to(device)
        self.n_vectors, self.dim = vectors.shape

    def blocks(self, n_rows: int) -> Iterator[tuple[npt.NDArray[np.intp], Any]]:
        """As Vectors.blocks, of tensors on the device."""
        for start in range(0, self.n_vectors, n_rows):
            block = self._vectors[start : start + n_rows]
            yield np.arange(start, start + len(block), dtype=np.intp), block

    def gather(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """As Vectors.gather, from the device."""
        found = self._vectors[torch.from_numpy(positions).to(self._vectors.device)]
        return np.asarray(found.cpu().numpy(), dtype=np.float32)


def best_texts(
    queries: npt.NDArray[np.float32],
    docs: Vectors,
    lows: npt.NDArray[np.uint32],
    *,
    top_k: int,
    similarity: Similarity,
    device: str,
) -> npt.NDArray[np.uint64]:
    """
    As host_search.best_texts, on *device*, a name that torch knows.

    Device memory: all queries, their best (8 bytes x n_queries x top_k), a block of vectors, and
    about 1.5 GB for SCORES_PER_PRODUCT scores.
    """
    prepared = similarity.prepare(torch.from_numpy(queries.copy()).to(device))
    # No key is the smallest int64: the low half of a key is then 0, and its score NaN.
    best = torch.full((len(queries), top_k), torch.iinfo(torch.int64).min, device=device)
    with _full_precision():
        for positions, vectors in docs.blocks(DOCS_PER_BLOCK):
            block = similarity.prepare(torch.as_tensor(vectors, device=device))
            block_lows = torch.from_numpy(lows[positions].astype(np.int64)).to(device)
            n_rows = max(1, SCORES_PER_PRODUCT // len(block))
            for first in range(0, len(queries), n_rows):
                rows = slice(first, first + n_rows)
                keys = _keys(prepared[rows], block, block_lows, similarity, first)
                both = torch.cat([best[rows], keys], dim=1)
                best[rows] = torch.topk(both, top_k, dim=1, sorted=False).values
    descending = best.sort(dim=1, descending=True).values.cpu().numpy()
    return descending.view(np.uint64) ^ np.uint64(2**63)


def _keys(
    queries: torch.Tensor,
    docs: torch.Tensor,
    lows: torch.Tensor,
    similarity: Similarity,
    first_row: int,
) -> torch.Tensor:
    """The keys of top_k less 2**63, since torch orders int64 and not uint64."""
    if similarity.scores is None:
        scores = queries @ docs.T
    else:
        scores = torch.as_tensor(similarity.scores(queries, docs)).to(queries.device).float()
    not_numbers = scores.isnan().any(dim=1).nonzero()
    if len(not_numbers):
        raise NotANumber(first_row + int(not_numbers[0]))
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    image = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (image.long() << 32) | lows


@contextmanager
def _full_precision() -> Iterator[None]:
    """float32 products without TF32, whose 10 bits would decide between close scores."""
    matmul: Any = torch.backends.cuda.matmul
    # torch 2.9 has a new name, and refuses to read the old one once somebody has set the new.
    new = hasattr(matmul, "fp32_precision")
    name, full = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, full)
    try:
        yield
    finally:
        setattr(matmul, name, before)
