"""Per-query scores: trec_eval's measures, worked by hand."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pytest
from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

from granite_bench.per_query import query_rows
from granite_bench.store import QUERY_SCHEMA

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


def rows_of(qrels: Qrels, run: Run) -> dict[str, dict[str, Any]]:
    """query id -> its row."""
    table = query_rows(qrels, run, split="test", subset="en")
    return {row["query_id"]: row for row in table.to_pylist()}


def ranking(*docs: str) -> dict[str, float]:
    """Scores that put the documents in this order; exact in float32."""
    return {doc: (len(docs) - rank) / 1024 for rank, doc in enumerate(docs)}


def numbered(count: int) -> list[str]:
    """n1, n2, ...: documents that nobody judged."""
    return [f"n{number}" for number in range(1, count + 1)]


def test_graded_ndcg_is_worked_by_hand() -> None:
    """
    Ranks: c (grade 1), x (not judged), a (grade 3); b (grade 2) is not found.

    trec_eval's gain is the grade itself: (1 / log2 2 + 3 / log2 4) over the best order's
    (3 / log2 2 + 2 / log2 3 + 1 / log2 4).
    """
    row = rows_of({"q": {"a": 3, "b": 2, "c": 1}}, {"q": ranking("c", "x", "a")})["q"]
    assert row["ndcg_at_10"] == pytest.approx((1 + 3 / 2) / (3 + 2 / log2(3) + 1 / 2))


def test_ndcg_looks_at_ten_documents() -> None:
    """At rank 10 the gain is 1 / log2 11, at rank 11 nothing."""
    qrels = {"q": {"a": 1}}
    tenth = rows_of(qrels, {"q": ranking(*numbered(9), "a")})["q"]
    eleventh = rows_of(qrels, {"q": ranking(*numbered(10), "a")})["q"]
    assert tenth["ndcg_at_10"] == pytest.approx(1 / log2(11))
    assert eleventh["ndcg_at_10"] == 0.0


def test_recall_looks_at_a_hundred_documents() -> None:
    """Of four relevant ones: ranks 1 and 100 count, rank 101 and the one not found do not."""
    others = numbered(98)
    run = {"q": ranking("a", *others, "b", "c")}
    row = rows_of({"q": {"a": 1, "b": 2, "c": 1, "d": 1}}, run)["q"]
    assert row["recall_at_100"] == 0.5


def test_a_document_judged_zero_is_not_relevant() -> None:
    """It is first and counts for nothing; the relevant one is second."""
    row = rows_of({"q": {"zero": 0, "a": 1}}, {"q": ranking("zero", "a")})["q"]
    assert row["recall_at_100"] == 1.0
    assert row["first_relevant_rank"] == 2
    assert row["reciprocal_rank_at_10"] == 0.5
    assert row["ndcg_at_10"] == pytest.approx(1 / log2(3))


@pytest.mark.parametrize(
    ("rank", "reciprocal"), [(1, 1.0), (2, 0.5), (10, 0.1), (11, 0.0), (50, 0.0)]
)
def test_the_reciprocal_rank_beyond_ten_is_zero(rank: int, reciprocal: float) -> None:
    """The rank itself is kept."""
    row = rows_of({"q": {"a": 1}}, {"q": ranking(*numbered(rank - 1), "a", "z")})["q"]
    assert row["reciprocal_rank_at_10"] == reciprocal
    assert row["first_relevant_rank"] == rank


def test_the_first_of_several_relevant_documents_counts() -> None:
    """Whatever its grade."""
    row = rows_of({"q": {"a": 1, "b": 3}}, {"q": ranking("x", "a", "b")})["q"]
    assert row["first_relevant_rank"] == 2


def test_a_query_whose_relevant_documents_were_not_found_has_no_rank() -> None:
    """Null, not 0 and not a large number."""
    row = rows_of({"q": {"a": 1}}, {"q": ranking("x", "y")})["q"]
    assert row["first_relevant_rank"] is None
    assert row["reciprocal_rank_at_10"] == 0.0
    assert row["ndcg_at_10"] == 0.0


def test_equal_scores_rank_by_descending_document_id() -> None:
    """trec_eval's order: d9 before d10 before d1, wherever they stand in the run."""
    run = {"q": {"d1": 0.5, "d10": 0.5, "d9": 0.5, "best": 0.75}}
    row = rows_of({"q": {"d10": 1}}, run)["q"]
    assert row["top_docs"] == ["best", "d9", "d10", "d1"]
    assert row["first_relevant_rank"] == 3
    # trec_eval itself puts it at rank 3 as well.
    assert row["ndcg_at_10"] == pytest.approx(1 / log2(4))


def test_the_ten_best_documents_are_kept_with_their_scores() -> None:
    """Eleven in the run."""
    row = rows_of({"q": {"a": 1}}, {"q": ranking(*numbered(10), "a")})["q"]
    assert row["top_docs"] == numbered(10)
    assert row["top_scores"] == [(11 - rank) / 1024 for rank in range(10)]


def test_a_query_with_an_empty_ranking_has_zeros() -> None:
    """A reranking task may list no candidates for it; it still counts in the mean."""
    row = rows_of({"q": {"a": 1}}, {"q": {}})["q"]
    assert (row["ndcg_at_10"], row["recall_at_100"], row["reciprocal_rank_at_10"]) == (0, 0, 0)
    assert row["first_relevant_rank"] is None
    assert row["top_docs"] == []


def test_queries_without_judgements_have_no_row() -> None:
    """They have no score; each of the others has one row that says where it is from."""
    table = query_rows(
        {"q1": {"a": 1}, "q2": {"a": 1}},
        {"q1": ranking("a"), "q2": ranking("b"), "q3": ranking("a")},
        split="dev",
        subset="de",
    )
    assert table.schema == QUERY_SCHEMA
    assert table.select(["split", "subset", "query_id"]).to_pylist() == [
        {"split": "dev", "subset": "de", "query_id": "q1"},
        {"split": "dev", "subset": "de", "query_id": "q2"},
    ]


def test_means_of_the_rows_are_mtebs_scores() -> None:
    """50 queries over 300 documents with grades and ties; mteb rounds to five decimals."""
    random = np.random.default_rng(12)
    docs = [f"d{number}" for number in range(300)]
    qrels, run = {}, {}
    for query in (f"q{number}" for number in range(50)):
        scores = random.integers(0, 64, size=300) / 64
        run[query] = dict(zip(docs, scores.tolist(), strict=True))
        judged = random.choice(300, size=8, replace=False)
        qrels[query] = {docs[doc]: int(random.integers(0, 4)) for doc in judged}
        qrels[query][docs[judged[0]]] = 1
    rows = rows_of(qrels, run).values()
    theirs = calculate_retrieval_scores(run, qrels, [1, 3, 5, 10, 100])

    def mean(column: str) -> float:
        return float(np.mean([row[column] for row in rows]))

    assert len(rows) == 50
    assert mean("ndcg_at_10") == pytest.approx(theirs.ndcg["NDCG@10"], abs=1e-5)
    assert mean("recall_at_100") == pytest.approx(theirs.recall["Recall@100"], abs=1e-5)
    assert mean("reciprocal_rank_at_10") == pytest.approx(theirs.mrr["MRR@10"], abs=1e-5)
