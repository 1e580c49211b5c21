"""
trec_eval's measures over a run's arrays.

A query has thousands of ranked documents and ten judged ones. trec_eval walks through the ranked
ones; here the judged ones are looked up, and everything after that is arithmetic over a few
numbers per query. Sums are made in trec_eval's order, so that the last digit is the same.

Source: trec_eval 9 (form_res_rels.c, m_ndcg_cut.c, m_map_cut.c, m_recall.c, m_P.c, m_success.c).
Equal to pytrec_eval on every case that tests/test_scoring.py could think of, but for one: a query
all of whose judgements are negative reads stray memory in trec_eval; here its scores are 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from granite_bench.engine.search.run import Run

NOT_FOUND = np.iinfo(np.int64).max
"""The rank of a document that the run does not have: beyond every cut-off."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """
    The judged documents of a run's queries; one entry per judgement, by query, then by rank.

    Attributes:
        n_queries: of the run; a query without judgements has no entries, and scores of 0.
        rows: the query's row in the run.
        grades: relevance; from 1 on it is relevant, and the gain of nDCG.
        ranks: from 1, or NOT_FOUND. A judged document need not be in the corpus.
        own: (n_queries,) the column of the run that holds the document named as the query, where
            it is to be ignored; -1 where there is none.
        skip_first_result: whether the first of each ranking (without *own*) was taken away.
    """

    n_queries: int
    rows: Ints
    grades: Ints
    ranks: Ints
    own: Ints
    skip_first_result: bool


def find_judged(
    run: Run,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    ignore_identical_ids: bool = False,
    skip_first_result: bool = False,
) -> Judged:
    """
    Look up every judged document in the ranking of its query.

    Args:
        run: ordered as trec_eval orders, which a Run is: by float32 score, then by document id,
            both descending.
        qrels: query id -> document id -> grade; queries that the run lacks are left out.
        ignore_identical_ids: the document whose id is the query's is taken from its ranking.
        skip_first_result: then the first of each ranking is taken away.

    Raises:
        TypeError: a grade is not an integer.

    Memory: 4 bytes per document of the corpus, and 5 per document in the run.
    """
    judged = [qrels.get(query_id, {}) for query_id in run.query_ids]
    rows = np.repeat(np.arange(len(judged)), [len(grades) for grades in judged])
    grades = np.array([grade for of_query in judged for grade in of_query.values()], object)
    if not all(isinstance(grade, int) for grade in grades):
        raise TypeError("a judgement's grade is not an integer")
    ids = [doc_id for of_query in judged for doc_id in of_query]
    wanted = pa.array([*ids, *run.query_ids], pa.large_string()).dictionary_encode()
    codes = wanted.indices.to_numpy().astype(np.int64)

    # Corpus ids are looked up among the judged ones: the table of those is small.
    found = pc.index_in(run.documents.ids, value_set=wanted.dictionary).fill_null(-1)
    code_of_doc = np.append(found.to_numpy(), np.int32(-1))  # the last: where a ranking has ended
    in_run = code_of_doc[run.docs]
    hit_rows, hit_columns = np.nonzero(in_run >= 0)
    hit_codes = in_run[hit_rows, hit_columns]

    own = np.full(len(judged), -1)
    if ignore_identical_ids:
        is_own = hit_codes == codes[len(ids) :][hit_rows]
        own[hit_rows[is_own]] = hit_columns[is_own]

    ranks = np.full(len(ids), NOT_FOUND)
    if len(ids):
        keys = rows * len(wanted.dictionary) + codes[: len(ids)]
        order = np.argsort(keys)
        hit_keys = hit_rows * len(wanted.dictionary) + hit_codes
        at = np.searchsorted(keys[order], hit_keys)
        at = order[np.minimum(at, len(ids) - 1)]
        is_judged = keys[at] == hit_keys
        ranks[at[is_judged]] = hit_columns[is_judged] + 1
    _remove(ranks, np.where(own[rows] >= 0, own[rows] + 1, NOT_FOUND))
    if skip_first_result:
        _remove(ranks, np.ones_like(ranks))

    order = np.lexsort((ranks, rows))
    return Judged(
        len(judged),
        rows[order],
        grades.astype(np.int64)[order],
        ranks[order],
        own,
        skip_first_result,
    )


def ranked_places(
    run: Run, judged: Judged, rows: slice = slice(None), *, depth: int | None = None
) -> npt.NDArray[np.bool_]:
    """
    Which places of the run hold a document that counts.

    Args:
        rows: the queries.
        depth: look at so many places; None for all.

    Returns:
        bool (n_rows, depth): False where the ranking has ended, and for what find_judged took
        away.
    """
    counts = run.docs[rows, :depth] >= 0
    own = judged.own[rows]
    has_own = np.flatnonzero((own >= 0) & (own < counts.shape[1]))
    counts[has_own, own[has_own]] = False
    if judged.skip_first_result and counts.size:
        counts[np.arange(len(counts)), counts.argmax(axis=1)] = False
    return counts


def _remove(ranks: Ints, removed: Ints) -> None:
    """Take one rank out of the ranking of each document: those behind it move up."""
    behind = (ranks > removed) & (ranks != NOT_FOUND)
    ranks[ranks == removed] = NOT_FOUND
    ranks[behind] -= 1


def trec_measures(judged: Judged, cutoffs: Sequence[int]) -> dict[str, Floats]:
    """
    The measures that mteb asks of trec_eval, by trec_eval's names and in its order.

    Args:
        cutoffs: from 1, each once, ascending.

    Returns:
        P_k, recall_k, ndcg_cut_k, map_cut_k and success_k for every k in *cutoffs*, each
        float64 (n_queries,).
    """
    hits = {k: _relevant_found(judged, k) for k in cutoffs}
    return (
        {f"P_{k}": hits[k] / k for k in cutoffs}
        | {f"recall_{k}": recall(judged, k) for k in cutoffs}
        | {f"ndcg_cut_{k}": ndcg(judged, k) for k in cutoffs}
        | {f"map_cut_{k}": average_precision(judged, k) for k in cutoffs}
        | {f"success_{k}": (hits[k] > 0).astype(np.float64) for k in cutoffs}
    )


def recall(judged: Judged, k: int) -> Floats:
    """The part of the relevant documents that is among the first *k*; (n_queries,)."""
    return _ratio(_relevant_found(judged, k), _relevant(judged))


def average_precision(judged: Judged, k: int) -> Floats:
    """The precision at every relevant document among the first *k*, over all relevant ones."""
    counted = (judged.grades > 0) & (judged.ranks != NOT_FOUND)
    rows, ranks = judged.rows[counted], judged.ranks[counted]
    within = ranks <= k
    return _ratio(_sum(judged, rows, _places(rows) / ranks, within), _relevant(judged))


def ndcg(judged: Judged, k: int) -> Floats:
    """
    Discounted gain of the first *k* over that of the best *k*; (n_queries,).

    The gain is the grade itself. The best order holds all judged documents, those that are
    not in the corpus too.
    """
    relevant = judged.grades > 0
    rows, grades, ranks = judged.rows[relevant], judged.grades[relevant], judged.ranks[relevant]
    found = ranks <= k
    gains = _sum(judged, rows[found], grades[found] / _discounts(ranks[found]))
    best = np.lexsort((-grades, rows))
    rows, grades = rows[best], grades[best]
    places = _places(rows)
    used = places <= k
    return _ratio(gains, _sum(judged, rows[used], grades[used] / _discounts(places[used])))


def first_relevant_ranks(judged: Judged) -> Ints:
    """The rank of the first relevant document of each query, from 1, or NOT_FOUND."""
    first = np.full(judged.n_queries, NOT_FOUND)
    relevant = judged.grades > 0
    np.minimum.at(first, judged.rows[relevant], judged.ranks[relevant])
    return first


def _relevant(judged: Judged) -> Ints:
    return np.bincount(judged.rows[judged.grades > 0], minlength=judged.n_queries)


def _relevant_found(judged: Judged, k: int) -> Ints:
    counted = (judged.grades > 0) & (judged.ranks <= k)
    return np.bincount(judged.rows[counted], minlength=judged.n_queries)


def _places(rows: Ints) -> Ints:
    """1, 2, ... within each run of equal numbers."""
    positions = np.arange(len(rows))
    return positions - np.searchsorted(rows, rows) + 1


def _discounts(ranks: Ints) -> Floats:
    """log2(rank + 1), by the C library: NumPy's own differs in the last digit."""
    table = [math.log2(rank + 1) for rank in range(1, int(ranks.max(initial=0)) + 1)]
    return np.array(table, dtype=np.float64)[ranks - 1]


def _sum(
    judged: Judged, rows: Ints, terms: Floats, which: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Per query, one term after the other as in C; NumPy's sum adds in pairs."""
    if which is not None:
        rows, terms = rows[which], terms[which]
    return np.bincount(rows, weights=terms, minlength=judged.n_queries).astype(np.float64)


def _ratio(numerator: Floats | Ints, denominator: Floats | Ints) -> Floats:
    """0 where the denominator is 0."""
    ratio = np.zeros(len(numerator))
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
