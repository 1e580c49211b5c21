"""Exact search: every document is scored for every query, in float32, without an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Run = dict[str, dict[str, float]]
"""query id -> document id -> score, best first; equal scores by document id, descending."""

Similarity = Callable[[torch.Tensor, torch.Tensor], Any]
"""(n_queries, dim), (n_docs, dim) -> (n_queries, n_docs), a tensor or an array."""

TEXTS_PER_BLOCK = 50_000
# One block of scores is TEXTS_PER_BLOCK x QUERIES_PER_BLOCK x 4 bytes: 400 MB.
QUERIES_PER_BLOCK = 2_000


def search_exact(
    queries: npt.NDArray[np.float32],
    docs: npt.NDArray[np.float32],
    query_ids: Sequence[str],
    doc_ids: Sequence[Sequence[str]],
    *,
    top_k: int,
    similarity: Similarity,
) -> Run:
    """
    Rank every document for every query; no index, no approximation.

    Args:
        queries: float32 (n_queries, dim).
        docs: float32 (n_texts, dim), one row per different text.
        query_ids: row i of *queries* is query_ids[i].
        doc_ids: row i of *docs* is the text of all documents in doc_ids[i]. Copies of a text
            are scored once: a matrix product may round equal columns differently, and copies
            would tie or not by where in the corpus they stand.
        top_k: documents kept per query; all of them when there are fewer.
        similarity: the model's own, so that scores are what mteb would compute.

    Returns:
        Run: float32 scores. Equal scores rank by document id, descending, as trec_eval does,
        also where they straddle rank top_k.

    Memory: O(QUERIES_PER_BLOCK * TEXTS_PER_BLOCK + n_queries * top_k).
    """
    run: Run = {}
    for first in range(0, len(query_ids), QUERIES_PER_BLOCK):
        block = torch.from_numpy(queries[first : first + QUERIES_PER_BLOCK])
        block_ids = query_ids[first : first + QUERIES_PER_BLOCK]
        kept: list[list[tuple[float, str]]] = [[] for _ in block_ids]
        for start in range(0, len(docs), TEXTS_PER_BLOCK):
            doc_block = torch.from_numpy(docs[start : start + TEXTS_PER_BLOCK])
            scores = torch.as_tensor(similarity(block, doc_block)).float()
            for row, candidates in enumerate(_candidates(scores, top_k)):
                values = scores[row][candidates].tolist()
                kept[row] += [
                    (value, doc_id)
                    for value, column in zip(values, candidates, strict=True)
                    for doc_id in doc_ids[start + column]
                ]
                kept[row] = _best(kept[row], top_k)
        for query_id, ranked in zip(block_ids, kept, strict=True):
            run[query_id] = {doc_id: score for score, doc_id in ranked}
    return run


def rank_candidates(
    queries: npt.NDArray[np.float32],
    docs: npt.NDArray[np.float32],
    query_ids: Sequence[str],
    doc_ids: Sequence[Sequence[str]],
    *,
    candidates: Mapping[str, Sequence[str]],
    top_k: int,
    similarity: Similarity,
) -> Run:
    """
    Rank for each query only the documents that *candidates* lists for it (mteb's reranking tasks).

    Arguments and result are those of search_exact; a query without candidates has an empty
    ranking. Raises KeyError when a candidate is not in *doc_ids*.
    """
    row_of = {doc_id: row for row, same in enumerate(doc_ids) for doc_id in same}
    run: Run = {}
    for position, query_id in enumerate(query_ids):
        listed = candidates.get(query_id, ())
        rows = sorted({row_of[doc_id] for doc_id in listed})
        if not rows:
            run[query_id] = {}
            continue
        query = torch.from_numpy(queries[position : position + 1])
        scores = torch.as_tensor(similarity(query, torch.from_numpy(docs[rows]))).float()
        score_of = dict(zip(rows, scores[0].tolist(), strict=True))
        ranked = _best([(score_of[row_of[doc_id]], doc_id) for doc_id in listed], top_k)
        run[query_id] = {doc_id: score for score, doc_id in ranked}
    return run


def _candidates(scores: torch.Tensor, top_k: int) -> list[npt.NDArray[np.intp]]:
    """For each row, the positions of its top_k scores and of all that equal the last of them."""
    top_k = min(top_k, scores.shape[1])
    threshold = torch.topk(scores, top_k, dim=1).values[:, -1:]
    rows, columns = torch.nonzero(scores >= threshold, as_tuple=True)
    ends = torch.bincount(rows, minlength=scores.shape[0]).cumsum(0)[:-1]
    return np.split(columns.numpy(), ends.numpy())


def _best(scored: list[tuple[float, str]], top_k: int) -> list[tuple[float, str]]:
    """The first top_k by score, then by id, both descending: trec_eval's order."""
    return sorted(scored, reverse=True)[:top_k]
