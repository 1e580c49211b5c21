"""Exact search and reranking against brute force, trec_eval's order and mteb's own search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pytrec_eval
import torch
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SearchEncoderWrapper
from mteb.similarity_functions import cos_sim, dot_score
from sentence_transformers.util.similarity import SimilarityFunction

from granite_bench.engine import search
from granite_bench.engine.search import Run, rank_candidates, search_exact

Floats = npt.NDArray[np.float32]

TASK = TaskMetadata(
    name="TinyRetrieval",
    description="vectors made up here",
    dataset={"path": "tests/tiny", "revision": "1"},
    type="Retrieval",
    category="t2t",
    eval_langs=["eng-Latn"],
    main_score="ndcg_at_10",
)


def dot(queries: torch.Tensor, docs: torch.Tensor) -> torch.Tensor:
    """The dot product of every pair."""
    return queries @ docs.T


def floats(rows: Any) -> Floats:
    """A float32 array."""
    return np.array(rows, dtype=np.float32)


def ids(prefix: str, count: int) -> list[str]:
    """Ids whose order as strings is not their order as numbers: d10 comes before d9."""
    return [f"{prefix}{number}" for number in range(count)]


def alone(doc_ids: Iterable[str]) -> list[list[str]]:
    """Every document has a text of its own."""
    return [[doc_id] for doc_id in doc_ids]


def small_integers(rows: int, seed: int) -> Floats:
    """Vectors of -2..2: dot products are exact in float32, and many of them are equal."""
    return np.random.default_rng(seed).integers(-2, 3, size=(rows, 4)).astype(np.float32)


def gaussian(rows: int, seed: int) -> Floats:
    """Vectors whose scores are all different."""
    return np.random.default_rng(seed).normal(size=(rows, 32)).astype(np.float32)


def brute_force(
    queries: Floats, docs: Floats, query_ids: list[str], doc_ids: list[str], top_k: int
) -> list[tuple[str, list[tuple[str, float]]]]:
    """All scores in float64, sorted twice: by id descending, then, stably, by score."""
    scores = queries.astype(np.float64) @ docs.astype(np.float64).T
    by_id = sorted(range(len(doc_ids)), key=lambda row: doc_ids[row], reverse=True)
    ranked = []
    for query_id, row in zip(query_ids, scores.tolist(), strict=True):
        order = sorted(by_id, key=lambda doc: -row[doc])[:top_k]
        ranked.append((query_id, [(doc_ids[doc], row[doc]) for doc in order]))
    return ranked


def in_order(run: Run) -> list[tuple[str, list[tuple[str, float]]]]:
    """The run with the order of its queries and documents."""
    return [(query, list(scores.items())) for query, scores in run.items()]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """More documents and queries than a block takes, and a last block that is not full."""
    monkeypatch.setattr(search, "TEXTS_PER_BLOCK", 7)
    monkeypatch.setattr(search, "QUERIES_PER_BLOCK", 3)


@pytest.mark.parametrize("top_k", [1, 2, 5, 7, 8, 59, 60, 1000])
@pytest.mark.parametrize("blocks", ["one block", "small blocks"])
def test_the_run_is_that_of_brute_force(
    request: pytest.FixtureRequest, top_k: int, blocks: str
) -> None:
    """60 documents with many equal scores, 10 queries; top_k below, at and above every border."""
    if blocks == "small blocks":
        request.getfixturevalue("small_blocks")
    queries, docs = small_integers(10, seed=1), small_integers(60, seed=2)
    run = search_exact(
        queries, docs, ids("q", 10), alone(ids("d", 60)), top_k=top_k, similarity=dot
    )
    assert in_order(run) == brute_force(queries, docs, ids("q", 10), ids("d", 60), top_k)


def test_a_top_k_larger_than_the_corpus_gives_the_whole_corpus() -> None:
    """Worked by hand."""
    run = search_exact(
        floats([[1, 0]]), floats([[1, 5], [3, 5]]), ["q"], [["a"], ["b"]], top_k=10, similarity=dot
    )
    assert in_order(run) == [("q", [("b", 3.0), ("a", 1.0)])]


@pytest.mark.usefixtures("small_blocks")
def test_ties_that_straddle_rank_top_k_keep_the_highest_ids() -> None:
    """30 equal documents over five blocks: d9, d8, d7, then d6, as strings descend."""
    docs = floats([[1, 0]] * 30)
    run = search_exact(floats([[1, 0]]), docs, ["q"], alone(ids("d", 30)), top_k=4, similarity=dot)
    assert list(run["q"]) == ["d9", "d8", "d7", "d6"]


@pytest.mark.usefixtures("small_blocks")
def test_a_better_document_in_a_later_block_displaces_the_lowest_id_of_a_tie() -> None:
    """d8 lies in the second block and scores 2; of the ties at 1, d9 stays and d7 goes."""
    docs = floats([[2, 0] if number == 8 else [1, 0] for number in range(10)])
    run = search_exact(floats([[1, 0]]), docs, ["q"], alone(ids("d", 10)), top_k=2, similarity=dot)
    assert in_order(run) == [("q", [("d8", 2.0), ("d9", 1.0)])]


@pytest.mark.usefixtures("small_blocks")
def test_the_run_does_not_depend_on_the_order_of_the_corpus() -> None:
    """The same documents, shuffled, with their ids."""
    queries, docs, doc_ids = small_integers(5, seed=3), small_integers(60, seed=4), ids("d", 60)
    order = np.random.default_rng(5).permutation(60)
    runs = [
        search_exact(
            queries,
            docs[rows],
            ids("q", 5),
            alone(doc_ids[row] for row in rows),
            top_k=11,
            similarity=dot,
        )
        for rows in (range(60), order)
    ]
    assert in_order(runs[0]) == in_order(runs[1])


@pytest.mark.parametrize("top_k", [1, 6, 7, 8, 13, 60])
@pytest.mark.usefixtures("small_blocks")
def test_copies_of_a_text_rank_as_so_many_documents(top_k: int) -> None:
    """60 documents with 20 different texts: the run of brute force over all 60."""
    queries, texts, doc_ids = small_integers(10, seed=13), small_integers(20, seed=14), ids("d", 60)
    same_text = [doc_ids[row::20] for row in range(20)]
    run = search_exact(queries, texts, ids("q", 10), same_text, top_k=top_k, similarity=dot)
    docs = texts[[number % 20 for number in range(60)]]
    assert in_order(run) == brute_force(queries, docs, ids("q", 10), doc_ids, top_k)


def test_copies_of_a_text_that_straddle_rank_top_k_keep_the_highest_ids() -> None:
    """Worked by hand: the best text has four documents, and two of them fit."""
    same_text = [["x"], ["a", "d", "b", "c"]]
    run = search_exact(
        floats([[1, 0]]), floats([[1, 0], [2, 0]]), ["q"], same_text, top_k=2, similarity=dot
    )
    assert in_order(run) == [("q", [("d", 2.0), ("c", 2.0)])]


def test_candidates_among_copies_of_a_text_are_those_listed() -> None:
    """b has the text of a and d, which are no candidates."""
    run = rank_candidates(
        floats([[1, 0]]),
        floats([[2, 0], [1, 0]]),
        ["q"],
        [["a", "b", "d"], ["c"]],
        candidates={"q": ["c", "b"]},
        top_k=10,
        similarity=dot,
    )
    assert in_order(run) == [("q", [("b", 2.0), ("c", 1.0)])]


def test_no_queries_give_an_empty_run() -> None:
    """A subset may have none left."""
    run = search_exact(np.empty((0, 2), np.float32), floats([[1, 0]]), [], [["a"]], top_k=1,
                       similarity=dot)  # fmt: skip
    assert run == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Query (1, 0); a (1, 0), b (3, 3), c (0, 2).
        ("cosine", [("a", 1.0), ("b", 0.5**0.5), ("c", 0.0)]),
        ("dot", [("b", 3.0), ("a", 1.0), ("c", 0.0)]),
        ("euclidean", [("a", 0.0), ("c", -(5**0.5)), ("b", -(13**0.5))]),
    ],
)
def test_documents_rank_by_the_models_own_similarity(
    name: str, expected: list[tuple[str, float]]
) -> None:
    """sentence-transformers' functions; three orders of three documents, worked by hand."""
    run = search_exact(
        floats([[1, 0]]),
        floats([[1, 0], [3, 3], [0, 2]]),
        ["q"],
        alone(["a", "b", "c"]),
        top_k=3,
        similarity=SimilarityFunction.to_similarity_fn(name),
    )
    assert list(run["q"]) == [doc for doc, _ in expected]
    assert list(run["q"].values()) == pytest.approx([score for _, score in expected], abs=1e-6)


def test_a_similarity_may_return_an_array() -> None:
    """mteb's protocol allows both; the run is the same."""
    queries, docs = gaussian(3, seed=6), gaussian(20, seed=7)
    runs = [
        search_exact(
            queries, docs, ids("q", 3), alone(ids("d", 20)), top_k=5, similarity=similarity
        )
        for similarity in (dot, lambda queries, docs: dot(queries, docs).numpy())
    ]
    assert in_order(runs[0]) == in_order(runs[1])


def test_half_precision_scores_become_the_float32_of_the_same_value() -> None:
    """1/3 in float16 is 0.333251953125 (sign 0, exponent -2, fraction 0x155), exactly."""
    run = search_exact(
        floats([[1]]),
        floats([[1 / 3]]),
        ["q"],
        [["a"]],
        top_k=1,
        similarity=lambda queries, docs: dot(queries, docs).half(),
    )
    assert run == {"q": {"a": 0.333251953125}}


@pytest.mark.parametrize("function", [search_exact, rank_candidates])
def test_half_precision_vectors_are_scored_in_float32(function: Callable[..., Run]) -> None:
    """mteb's similarities widen first: 1 + 2**-10 times itself needs 20 bits behind the point."""
    value = 1 + 2**-10
    options: dict[str, Any] = {"candidates": {"q": ["a"]}} if function is rank_candidates else {}
    run = function(
        np.array([[value]], np.float16),
        np.array([[value]], np.float16),
        ["q"],
        [["a"]],
        top_k=1,
        similarity=dot_score,
        **options,
    )
    assert run == {"q": {"a": 1 + 2**-9 + 2**-20}}


@pytest.mark.parametrize("relevant", ["9", "10", "a", "B", "é", "石"])
def test_equal_scores_rank_as_trec_eval_ranks_them(relevant: str) -> None:
    """With one relevant document, trec_eval's reciprocal rank names its place."""
    doc_ids = ["10", "9", "B", "a", "石", "é"]
    run = search_exact(
        floats([[1, 0]]), floats([[1, 0]] * 6), ["q"], alone(doc_ids), top_k=6, similarity=dot
    )
    evaluator = pytrec_eval.RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank"})
    reciprocal = evaluator.evaluate(run)["q"]["recip_rank"]
    assert list(run["q"]).index(relevant) + 1 == round(1 / reciprocal)


def test_a_cut_at_top_k_keeps_what_trec_eval_ranks_first() -> None:
    """Three ties, two kept: trec_eval over all three has c and b in its first two."""
    qrels = {"q": {"b": 1, "c": 1}}
    docs, doc_ids = floats([[1, 0]] * 3), alone(["b", "a", "c"])
    cut = search_exact(floats([[1, 0]]), docs, ["q"], doc_ids, top_k=2, similarity=dot)
    everything = search_exact(floats([[1, 0]]), docs, ["q"], doc_ids, top_k=3, similarity=dot)
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"recall.2"})
    assert list(cut["q"]) == ["c", "b"]
    assert evaluator.evaluate(everything)["q"]["recall_2"] == 1.0
    assert evaluator.evaluate(cut)["q"]["recall_2"] == 1.0


def by_mteb(encoder: Any, query_ids: Iterable[str], doc_ids: Iterable[str], **options: Any) -> Run:
    """The run of mteb's own search; texts are ids."""
    where: dict[str, Any] = {
        "task_metadata": TASK,
        "hf_split": "test",
        "hf_subset": "default",
        "encode_kwargs": {"show_progress_bar": False, "batch_size": 32},
        "num_proc": None,
    }
    wrapper = SearchEncoderWrapper(encoder)
    wrapper.index(_as_dataset(doc_ids), **where)
    run: Run = wrapper.search(_as_dataset(query_ids), **where, **options)
    return run


def _as_dataset(identifiers: Iterable[str]) -> Dataset:
    names = list(identifiers)
    return Dataset.from_dict({"id": names, "text": names})


@pytest.mark.parametrize("similarity", [cos_sim, dot_score])
@pytest.mark.parametrize("top_k", [10, 1000])
def test_the_run_is_that_of_mtebs_own_search_to_the_last_digit(
    fixed_encoder: Callable[..., Any], similarity: Callable[..., Any], top_k: int
) -> None:
    """Same vectors, no equal scores: same documents and the very same floats."""
    queries, docs = gaussian(40, seed=8), gaussian(150, seed=9)
    query_ids, doc_ids = ids("q", 40), ids("d", 150)
    vectors = dict(zip(query_ids + doc_ids, np.concatenate([queries, docs]), strict=True))
    run = search_exact(queries, docs, query_ids, alone(doc_ids), top_k=top_k, similarity=similarity)
    theirs = by_mteb(fixed_encoder(vectors, similarity), query_ids, doc_ids, top_k=top_k)
    assert len(run["q0"]) == min(top_k, 150)
    assert run == theirs


def test_candidates_rank_as_mtebs_own_reranking_to_the_last_digit(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Each query has its own candidates, in no particular order; one query has none."""
    queries, docs = gaussian(5, seed=10), gaussian(30, seed=11)
    query_ids, doc_ids = ids("q", 5), ids("d", 30)
    vectors = dict(zip(query_ids + doc_ids, np.concatenate([queries, docs]), strict=True))
    candidates = {f"q{n}": [f"d{(7 * m + n) % 30}" for m in range(8)] for n in range(4)}
    run = rank_candidates(
        queries,
        docs,
        query_ids,
        alone(doc_ids),
        candidates=candidates,
        top_k=1000,
        similarity=cos_sim,
    )
    theirs = by_mteb(fixed_encoder(vectors), query_ids, doc_ids, top_k=1000, top_ranked=candidates)
    assert [len(scores) for scores in run.values()] == [8, 8, 8, 8, 0]
    assert run == theirs


def test_candidates_are_ranked_best_first_with_ties_by_descending_id() -> None:
    """Worked by hand; d, the best of the corpus, is no candidate."""
    run = rank_candidates(
        floats([[1, 0]]),
        floats([[1, 0], [2, 0], [1, 9], [9, 0]]),
        ["q"],
        alone(["a", "b", "c", "d"]),
        candidates={"q": ["a", "b", "c"]},
        top_k=10,
        similarity=dot,
    )
    assert in_order(run) == [("q", [("b", 2.0), ("c", 1.0), ("a", 1.0)])]


def test_candidates_are_cut_at_top_k() -> None:
    """The tie at rank 2 is won by the higher id, as in search_exact."""
    run = rank_candidates(
        floats([[1, 0]]),
        floats([[1, 0], [2, 0], [1, 9]]),
        ["q"],
        alone(["a", "b", "c"]),
        candidates={"q": ["a", "b", "c"]},
        top_k=2,
        similarity=dot,
    )
    assert in_order(run) == [("q", [("b", 2.0), ("c", 1.0)])]


def test_a_query_without_candidates_has_an_empty_ranking() -> None:
    """Whether it is missing from the candidates or listed with none."""
    run = rank_candidates(
        floats([[1, 0]] * 3),
        floats([[1, 0]]),
        ["q0", "q1", "q2"],
        [["a"]],
        candidates={"q1": [], "q2": ["a"]},
        top_k=10,
        similarity=dot,
    )
    assert run == {"q0": {}, "q1": {}, "q2": {"a": 1.0}}


def test_a_candidate_that_is_no_document_is_an_error() -> None:
    """It is not left out in silence."""
    with pytest.raises(KeyError, match="nowhere"):
        rank_candidates(
            floats([[1, 0]]),
            floats([[1, 0]]),
            ["q"],
            [["a"]],
            candidates={"q": ["a", "nowhere"]},
            top_k=10,
            similarity=dot,
        )
