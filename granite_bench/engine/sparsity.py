"""How sparse vectors are, and what a search in them has to multiply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from granite_bench.engine.encoding.encoder import Encoded
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.vectors import Vectors

VECTORS_PER_BLOCK = 16_384


@dataclass(frozen=True)
class Sparsity:
    """
    Of the queries and documents of one search; copies of a text count as often as they come.

    Attributes:
        dim: dimensions of the space.
        query_active_dims, doc_active_dims: dimensions that are not 0, on average.
        flops: multiplications that the inner product of a query and a document needs, on average
            over all pairs: the sum over dimensions j of p_query(j) * p_doc(j), the shares of
            queries and documents in which j is active. The FLOPS of SPLADE (Formal, Piwowarski
            and Clinchant, SIGIR 2021, section 4; after Paria et al., ICLR 2020).
    """

    dim: int
    query_active_dims: float
    doc_active_dims: float
    flops: float


def active_shares(encoded: Encoded[SparseRows]) -> npt.NDArray[np.float64]:
    """The share of the texts in which each dimension is active; float64 (dim,)."""
    vectors = encoded.vectors
    n_texts = np.bincount(encoded.rows, minlength=vectors.n_vectors)
    counts = np.sum(list(vectors.map_parts(_active_counts, n_texts)), axis=0)
    shares: npt.NDArray[np.float64] = counts / max(len(encoded.rows), 1)
    return shares


def _active_counts(
    vectors: Vectors[SparseRows], n_texts: npt.NDArray[np.intp], device: object
) -> npt.NDArray[np.int64]:
    """The number of texts in which each dimension is active; each vector is of *n_texts*."""
    counts = np.zeros(vectors.dim, np.int64)
    for positions, rows in vectors.blocks(VECTORS_PER_BLOCK):
        of_values = np.repeat(n_texts[positions], rows.n_active)
        # Sums of whole numbers, exact in float64.
        of_dims = np.bincount(rows.indices, weights=of_values, minlength=vectors.dim)
        counts += of_dims.astype(np.int64)
    return counts


def sparsity_of(
    query_shares: npt.NDArray[np.float64], doc_shares: npt.NDArray[np.float64]
) -> Sparsity:
    """
    From the active_shares of queries and documents.

    Either may have no dimension, where there are no texts.
    """
    both = bool(len(query_shares) and len(doc_shares))
    return Sparsity(
        dim=max(len(query_shares), len(doc_shares)),
        query_active_dims=float(query_shares.sum()),
        doc_active_dims=float(doc_shares.sum()),
        flops=float(query_shares @ doc_shares) if both else 0.0,
    )
