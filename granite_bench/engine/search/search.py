"""Exact search: every document is scored for every query, in float32, without an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.similarity import NotANumber, Similarity
from granite_bench.engine.vectors.vectors import ResidentVectors, Vectors

CANDIDATES_PER_GROUP = 16_384
"""Vectors that rank_candidates gathers at a time, unless one query has more candidates."""


BestTexts = Callable[[npt.NDArray[np.uint32], int], npt.NDArray[np.uint64]]
"""From the low half of the key of each text (see top_k) to so many largest keys of each query,
descending; uint64 (n_queries, n_best). Raises NotANumber."""


ScoresOfSome = Callable[[int, npt.NDArray[np.intp]], npt.NDArray[np.float32]]
"""From the row of a query and the places of some texts among those that were gathered to the
scores of these; float32 (n_some,)."""


def search_exact(
    queries: npt.NDArray[np.float32],
    docs: Vectors,
    query_ids: Sequence[str],
    documents: Documents,
    *,
    top_k: int,
    similarity: Similarity,
    device: str = "cpu",
) -> Run:
    """
    Rank every document for every query; no index, no approximation.

    Args:
        queries: float32 (n_queries, dim).
        docs: n_texts vectors, one per different text; each is read once, where it is. Copies of
            a text are scored once: a matrix product may round equal columns differently, and
            copies would tie or not by where in the corpus they stand.
        query_ids: row i of *queries* is query_ids[i].
        documents: text t of *documents* has vector t of *docs*.
        top_k: documents kept per query, 1 or more; all of them when there are fewer.
        device: where scores are computed, a name that torch knows.

    Returns:
        Run: float32 scores. Equal scores rank by document id, descending, as trec_eval does,
        also where they straddle rank top_k.

    Raises:
        ValueError: a score is NaN, or there are not as many vectors as texts.

    Memory: O(n_queries * top_k), and blocks whose size does not grow with the corpus
    (host_search, device_search); 4 bytes a text for ties.
    """
    if docs.n_vectors != documents.n_texts:
        raise ValueError(f"{docs.n_vectors} vectors for {documents.n_texts} texts")

    def best_texts(lows: npt.NDArray[np.uint32], n_best: int) -> npt.NDArray[np.uint64]:
        of_part = partial(_best_of_part, queries, n_best, similarity, device)
        return merge_best(docs.map_parts(of_part, lows), n_best)

    return run_of_best(best_texts, query_ids, documents, top_k=top_k)


def run_of_best(
    best_texts: BestTexts, query_ids: Sequence[str], documents: Documents, *, top_k: int
) -> Run:
    """
    The run of a search that only knows texts.

    Args:
        best_texts: what finds them for all queries, in the order of *query_ids*.
        query_ids, documents, top_k: as for search_exact.

    Raises:
        ValueError: a score is NaN.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; a ranking keeps 1 document or more")
    if not len(query_ids) or not len(documents):
        return _empty_run(query_ids, documents)
    # The top_k best texts hold the top_k best documents: before a document of any other text
    # come the first documents of top_k texts.
    lows = np.uint32(2**32 - 1) - documents.text_ranks
    try:
        keys = best_texts(lows, min(top_k, documents.n_texts))
    except NotANumber as error:
        raise _not_a_number(query_ids[error.row]) from None
    if len(documents) > documents.n_texts:
        keys = _documents_of_texts(keys, documents, top_k)
    return _run(keys, query_ids, documents)


def resident_vectors(vectors: npt.NDArray[np.float32], device: str) -> Vectors:
    """
    Vectors that lie where search_exact on *device* reads them: on a GPU, they are copied once.

    Args:
        vectors: float32 (n_vectors, dim); searched with a similarity that changes nothing.
    """
    if device == "cpu":
        return ResidentVectors(vectors)
    from granite_bench.engine.search.device_search import DeviceVectors

    return DeviceVectors(vectors, device)


def rank_candidates(
    queries: npt.NDArray[np.float32],
    docs: Vectors,
    query_ids: Sequence[str],
    documents: Documents,
    *,
    candidates: Mapping[str, Sequence[str]],
    top_k: int,
    similarity: Similarity,
) -> Run:
    """
    Rank for each query only the documents that *candidates* lists for it (mteb's reranking tasks).

    Arguments and result are those of search_exact; a query without candidates has an empty
    ranking. Raises KeyError when a candidate is not in *documents*.
    """
    prepared = similarity.prepare(torch.from_numpy(queries.copy()))

    def scores_of(texts: npt.NDArray[np.intp]) -> ScoresOfSome:
        vectors = similarity.prepare(torch.from_numpy(docs.gather(texts)))
        return lambda row, some: _scores(prepared[row : row + 1], vectors[some], similarity)[0]

    return run_of_candidates(scores_of, query_ids, documents, candidates=candidates, top_k=top_k)


def run_of_candidates(
    scores_of: Callable[[npt.NDArray[np.intp]], ScoresOfSome],
    query_ids: Sequence[str],
    documents: Documents,
    *,
    candidates: Mapping[str, Sequence[str]],
    top_k: int,
) -> Run:
    """
    The run of rank_candidates, whatever vectors are.

    Args:
        scores_of: gathers the vectors of some texts, and scores them.
    """
    listed = [list(dict.fromkeys(candidates.get(query_id, ()))) for query_id in query_ids]
    numbers = _numbers([doc_id for of_query in listed for doc_id in of_query], documents)
    ends = np.cumsum([len(of_query) for of_query in listed], dtype=np.intp)
    docs_of = np.split(numbers, ends[:-1]) if listed else []
    depth = min(top_k, max(map(len, listed), default=0))
    best = np.full((len(query_ids), depth), -1, np.int32)
    scores = np.zeros((len(query_ids), depth), np.float32)
    for group in _groups(docs_of):
        texts, places = np.unique(
            documents.texts[np.concatenate([docs_of[row] for row in group])], return_inverse=True
        )
        of_some = scores_of(texts.astype(np.intp))
        first = 0
        for row in group:
            of_query = docs_of[row]
            used, columns = np.unique(places[first : first + len(of_query)], return_inverse=True)
            first += len(of_query)
            # Copies of a text are scored once, as in search_exact.
            of_texts = of_some(row, used)
            if np.isnan(of_texts).any():
                raise _not_a_number(query_ids[row])
            of_docs = of_texts[columns]
            order = np.lexsort((documents.ranks[of_query], -of_docs))[:top_k]
            best[row, : len(order)] = of_query[order]
            scores[row, : len(order)] = of_docs[order]
    return Run(query_ids, documents, best, scores)


def merge_best(parts: Iterable[npt.NDArray[np.uint64]], n_best: int) -> npt.NDArray[np.uint64]:
    """
    The largest keys of each query among those of the parts of a corpus.

    Args:
        parts: at least one; uint64 (n_queries, n_of_part) each, descending; together *n_best*
            columns or more. Each is let go when the next one comes.

    Returns:
        uint64 (n_queries, n_best), descending.
    """
    best: npt.NDArray[np.uint64] | None = None
    for part in parts:
        if best is None:
            best = part
        else:
            both = np.concatenate([best, part], axis=1)
            both.sort(axis=1)
            best = both[:, ::-1][:, :n_best]
    if best is None:
        raise ValueError("a corpus without parts")
    return best


def _best_of_part(
    queries: npt.NDArray[np.float32],
    top_k: int,
    similarity: Similarity,
    device: str,
    docs: Vectors,
    lows: npt.NDArray[np.uint32],
    own_device: str | None,
) -> npt.NDArray[np.uint64]:
    """The keys of the best texts of each query in a part of a corpus, as BestTexts."""
    n_best = min(top_k, docs.n_vectors)
    if (own_device or device) == "cpu":
        # Here, since loading numba takes as long as a small search.
        from granite_bench.engine.search import host_search

        return host_search.best_texts(queries, docs, lows, top_k=n_best, similarity=similarity)
    from granite_bench.engine.search import device_search

    return device_search.best_texts(
        queries, docs, lows, top_k=n_best, similarity=similarity, device=own_device or device
    )


def _documents_of_texts(
    keys: npt.NDArray[np.uint64], documents: Documents, top_k: int
) -> npt.NDArray[np.uint64]:
    """The keys of the best documents, from those of the best texts."""
    from granite_bench.engine.search.top_k import spread_to_copies

    spread = np.empty((len(keys), min(top_k, len(documents))), np.uint64)
    docs, starts = documents.by_text
    spread_to_copies(
        np.array(keys, order="C"),  # a copy: compiled code refuses what another process sent
        documents.by_rank,
        documents.texts.astype(np.int64, copy=False),
        docs,
        starts,
        documents.ranks,
        spread,
    )
    return np.sort(spread, axis=1)[:, ::-1]


def _run(keys: npt.NDArray[np.uint64], query_ids: Sequence[str], documents: Documents) -> Run:
    """The run whose keys (see top_k) these are; every query has all of its documents."""
    docs = documents.by_rank[np.uint32(2**32 - 1) - keys.astype(np.uint32)]
    image = (keys >> np.uint64(32)).astype(np.uint32)
    sign = np.uint32(2**31)
    scores = np.where(image & sign, image ^ sign, ~image).view(np.float32)
    return Run(query_ids, documents, docs, scores)


def _empty_run(query_ids: Sequence[str], documents: Documents) -> Run:
    shape = len(query_ids), 0
    return Run(query_ids, documents, np.empty(shape, np.int32), np.empty(shape, np.float32))


def _not_a_number(query_id: str) -> ValueError:
    return ValueError(
        f"query '{query_id}': a score is NaN\n"
        "  its vector or a document's is not finite, or the similarity overflows"
    )


def _numbers(ids: list[str], documents: Documents) -> npt.NDArray[np.int32]:
    """The number of each document; KeyError for an id that is none of them."""
    found = pc.index_in(pa.array(ids, pa.large_string()), value_set=documents.ids)
    if found.null_count:
        raise KeyError(ids[found.is_null().index(True).as_py()])
    numbers: npt.NDArray[np.int32] = found.to_numpy()
    return numbers


def _groups(docs_of: Sequence[npt.NDArray[np.int32]]) -> list[list[int]]:
    """Rows of queries with candidates, in groups of CANDIDATES_PER_GROUP at most or one query."""
    groups: list[list[int]] = []
    n_in_group = CANDIDATES_PER_GROUP
    for row, docs in enumerate(docs_of):
        if not len(docs):
            continue
        n_in_group += len(docs)
        if n_in_group > CANDIDATES_PER_GROUP:
            groups.append([])
            n_in_group = len(docs)
        groups[-1].append(row)
    return groups


def _scores(
    queries: torch.Tensor, docs: torch.Tensor, similarity: Similarity
) -> npt.NDArray[np.float32]:
    if similarity.scores is None:
        return (queries @ docs.T).numpy()
    scores = torch.as_tensor(similarity.scores(queries, docs))
    return scores.to("cpu", torch.float32).numpy()
