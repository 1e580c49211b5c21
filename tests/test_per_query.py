"""Per-query scores: trec_eval's measures, worked by hand."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import pytrec_eval
from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

from granite_bench.engine.search.run import Run as RunOfArrays
from granite_bench.rankings.per_query import query_rows
from granite_bench.results.store import QUERY_SCHEMA

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
    for k in (1, 10):
        assert mean(f"ndcg_at_{k}") == pytest.approx(theirs.ndcg[f"NDCG@{k}"], abs=1e-5)
    for k in (5, 10, 100):
        assert mean(f"recall_at_{k}") == pytest.approx(theirs.recall[f"Recall@{k}"], abs=1e-5)
    assert mean("reciprocal_rank_at_10") == pytest.approx(theirs.mrr["MRR@10"], abs=1e-5)


def by_pytrec_eval(qrels: Qrels, run: Run) -> pa.Table:
    """What query_rows gives, computed by pytrec_eval and by sorting dictionaries."""
    wanted = {"ndcg_cut.1,10", "recall.5,10,100"}
    measured = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    rows = []
    for query, measures in measured.items():
        ranked = sorted(run[query].items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
        relevant = [n for n, (doc, _) in enumerate(ranked, 1) if qrels[query].get(doc, 0) > 0]
        rank = relevant[0] if relevant else None
        rows.append(
            {
                "split": "test",
                "subset": "en",
                "query_id": query,
                **{f"ndcg_at_{k}": measures[f"ndcg_cut_{k}"] for k in (1, 10)},
                **{f"recall_at_{k}": measures[f"recall_{k}"] for k in (5, 10, 100)},
                "reciprocal_rank_at_10": 1 / rank if rank is not None and rank <= 10 else 0.0,
                "first_relevant_rank": rank,
                "top_docs": [doc for doc, _ in ranked[:10]],
                "top_scores": [score for _, score in ranked[:10]],
            }
        )
    return pa.Table.from_pylist(rows, schema=QUERY_SCHEMA)


def any_case(random: np.random.Generator) -> tuple[Qrels, Run]:
    """Grades, ties, near ties, short and empty rankings, queries without judgements."""
    n_docs = int(random.choice([1, 5, 30, 250]))
    corpus = [f"{'aéЖ茶🍵'[number % 5]}{number}" for number in range(n_docs)]
    steps = float(random.choice([0.25, 1e-7, 1e-12, 1.0]))
    qrels: Qrels = {}
    run: Run = {}
    for number in range(int(random.integers(1, 12))):
        found = random.permutation(n_docs)[: int(random.integers(0, n_docs + 1))]
        scores = 1 + random.integers(0, 5, len(found)) * steps
        run[f"q{number}"] = {corpus[d]: s for d, s in zip(found, scores.tolist(), strict=True)}
        judged = random.permutation([*corpus, "elsewhere"])[: int(random.integers(1, 20))]
        grades = {str(doc): int(random.integers(-1, 4)) for doc in judged} | {"other": 0}
        if random.random() < 0.9:
            qrels[f"q{number}"] = grades if random.random() < 0.9 else {}
    qrels["not asked"] = {corpus[0]: 1}
    return qrels, run


@pytest.mark.parametrize("seed", range(150))
def test_rows_are_what_pytrec_eval_measures(seed: int) -> None:
    """
    Over dictionaries to the last digit, and over arrays the same.

    Scores that are float64 may tie in float32: pytrec_eval's measures see the tie, the first
    relevant rank and the best documents do not.
    """
    qrels, run = any_case(np.random.default_rng(seed))
    expected = by_pytrec_eval(qrels, run)
    assert query_rows(qrels, run, split="test", subset="en").equals(expected)
    arrays = RunOfArrays.from_dicts(run)
    assert query_rows(qrels, arrays, split="test", subset="en").equals(expected)
    plain = dict(arrays)
    assert plain == run
    assert all(list(plain[q]) == _by_score(run[q]) for q in run)


def _by_score(ranking: dict[str, float]) -> list[str]:
    return sorted(ranking, key=lambda doc: (ranking[doc], doc), reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_what_mteb_does_not_score_is_not_in_the_rows(seed: int) -> None:
    """The query's own document, then the first of what remains; the run itself keeps both."""
    random = np.random.default_rng(seed)
    docs = [f"q{number}" for number in range(25)]
    run: Run = {}
    for query in docs[:5]:
        found = random.permutation(docs)[: int(random.integers(0, 26))].tolist()
        scores = (random.permutation(25) / 32).tolist()
        run[query] = dict(zip(found, scores, strict=False))
    qrels = {query: {query: 1, "q1": 2, "q7": 1, "q20": 1} for query in run}
    for ignore, skip in ((True, False), (False, True), (True, True)):
        scored = {
            query: {
                doc: ranking[doc] for doc in _by_score(ranking) if not (ignore and doc == query)
            }
            for query, ranking in run.items()
        }
        if skip:
            scored = {query: dict(list(rest.items())[1:]) for query, rest in scored.items()}
        options = {"ignore_identical_ids": ignore, "skip_first_result": skip}
        for form in (run, RunOfArrays.from_dicts(run)):
            rows = query_rows(qrels, form, split="test", subset="en", **options)
            assert rows.equals(by_pytrec_eval(qrels, scored))


def test_of_tied_documents_the_first_that_the_model_named_is_skipped() -> None:
    """As mteb does it with dictionaries."""
    run = {"q": {"a": 0.5, "b": 0.5, "c": 0.25}}
    rows = query_rows(
        {"q": {"a": 1, "b": 1}}, run, split="test", subset="en", skip_first_result=True
    )
    assert rows["top_docs"].to_pylist() == [["b", "c"]]


def test_no_queries_make_no_rows() -> None:
    """The table still has its columns."""
    rows = query_rows({"q": {"a": 1}}, {}, split="test", subset="en")
    assert (rows.num_rows, rows.schema) == (0, QUERY_SCHEMA)
