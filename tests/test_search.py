"""Exact search and reranking against brute force, trec_eval's order and mteb's own search."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
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
from vectors_in_parts import VectorsInParts

from granite_bench.engine.search import device_search, host_search, search
from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.similarity import Similarity, similarity_of
from granite_bench.engine.vectors.vectors import ResidentVectors

Floats = npt.NDArray[np.float32]
Ranked = list[tuple[str, list[tuple[str, float]]]]

DOT = similarity_of("dot", dot_score)
COSINE = similarity_of("cosine", cos_sim)
LESS_ITSELF = similarity_of(
    None, lambda queries, docs: dot_score(queries, docs) - dot_score(queries, docs)
)
"""0, or NaN where the product overflows."""

TASK = TaskMetadata(
    name="TinyRetrieval",
    description="vectors made up here",
    dataset={"path": "tests/tiny", "revision": "1"},
    type="Retrieval",
    category="t2t",
    eval_langs=["eng-Latn"],
    main_score="ndcg_at_10",
)


def floats(rows: Any) -> Floats:
    """A float32 array."""
    return np.array(rows, dtype=np.float32)


def ids(prefix: str, count: int) -> list[str]:
    """Ids whose order as strings is not their order as numbers: d10 comes before d9."""
    return [f"{prefix}{number}" for number in range(count)]


def small_integers(rows: int, seed: int, dim: int = 4) -> Floats:
    """Vectors of -2..2: dot products are exact in float32, and many of them are equal."""
    return np.random.default_rng(seed).integers(-2, 3, size=(rows, dim)).astype(np.float32)


def gaussian(rows: int, seed: int) -> Floats:
    """Vectors whose scores are all different."""
    return np.random.default_rng(seed).normal(size=(rows, 32)).astype(np.float32)


def search_exact(
    queries: Floats,
    vectors: Floats,
    doc_ids: Sequence[str],
    texts: Any = None,
    *,
    top_k: int,
    similarity: Similarity = DOT,
) -> Run:
    """search_exact with queries q0, q1, ..."""
    documents = Documents(doc_ids, None if texts is None else np.array(texts))
    return search.search_exact(
        queries, ResidentVectors(vectors), ids("q", len(queries)), documents,
        top_k=top_k, similarity=similarity,
    )  # fmt: skip


def rank_candidates(
    queries: Floats,
    vectors: Floats,
    doc_ids: Sequence[str],
    candidates: dict[str, list[str]],
    texts: Any = None,
    *,
    top_k: int = 10,
    similarity: Similarity = DOT,
) -> Run:
    """rank_candidates with queries q0, q1, ..."""
    documents = Documents(doc_ids, None if texts is None else np.array(texts))
    return search.rank_candidates(
        queries, ResidentVectors(vectors), ids("q", len(queries)), documents,
        candidates=candidates, top_k=top_k, similarity=similarity,
    )  # fmt: skip


def brute_force(scores: npt.NDArray[Any], doc_ids: Sequence[str], top_k: int) -> Ranked:
    """Every query's documents sorted by score and id, both descending, and cut."""
    return [
        (
            f"q{number}",
            [(doc, score) for score, doc in sorted(zip(row, doc_ids, strict=True))[::-1][:top_k]],
        )
        for number, row in enumerate(scores.tolist())
    ]


def in_order(run: Run) -> Ranked:
    """The run with the order of its queries and documents."""
    return [(query, list(scores.items())) for query, scores in run.items()]


class Watched(ResidentVectors):
    """Counts how often all vectors are read, and the most at a time."""

    def __init__(self, vectors: Floats) -> None:
        super().__init__(vectors)
        self.n_readings = 0
        self.longest = 0

    def blocks(self, n_rows: int) -> Any:
        """As ResidentVectors, from the last block to the first."""
        self.n_readings += 1
        self.longest = max(self.longest, n_rows)
        return reversed(list(super().blocks(n_rows)))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """More documents and queries than anything takes at a time, and last blocks not full."""
    monkeypatch.setattr(host_search, "MOST_DOCS_PER_BLOCK", 7)
    monkeypatch.setattr(host_search, "DOCS_PER_PRODUCT", 3)
    monkeypatch.setattr(host_search, "QUERIES_PER_LANE", 3)
    monkeypatch.setattr(host_search, "KEPT_BYTES", 900)
    monkeypatch.setattr(device_search, "DOCS_PER_BLOCK", 7)
    monkeypatch.setattr(device_search, "SCORES_PER_PRODUCT", 20)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors from a sample for corpora of more than 256 documents."""
    monkeypatch.setattr(host_search, "SAMPLE", 64)


def _use(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "torch":
        monkeypatch.setattr(
            host_search, "best_texts", partial(device_search.best_texts, device="cpu")
        )
    elif way == "threads":
        monkeypatch.setattr(host_search, "_n_workers", lambda *_: 3)
        monkeypatch.setattr(host_search, "FEWEST_QUERIES_PER_LANE", 4)


@pytest.fixture(params=["one thread", "threads", "torch"])
def every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled search by one thread and by three, and the one that a GPU would do."""
    _use(monkeypatch, request.param)


@pytest.mark.usefixtures("every_way")
@pytest.mark.parametrize("top_k", [1, 2, 5, 7, 8, 59, 60, 1000])
@pytest.mark.parametrize("blocks", ["one block", "small blocks"])
def test_the_run_is_that_of_brute_force(
    request: pytest.FixtureRequest, top_k: int, blocks: str
) -> None:
    """60 documents with many equal scores, 10 queries; top_k below, at and above every border."""
    if blocks == "small blocks":
        request.getfixturevalue("small_blocks")
    queries, docs = small_integers(10, seed=1), small_integers(60, seed=2)
    run = search_exact(queries, docs, ids("d", 60), top_k=top_k)
    assert in_order(run) == brute_force(queries @ docs.T, ids("d", 60), top_k)


@pytest.mark.usefixtures("every_way", "small_sample")
@pytest.mark.parametrize("seed", range(40))
def test_the_run_is_that_of_brute_force_whatever_the_shapes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random sizes, dimensions, copies and blocks, with a sample and without."""
    rng = np.random.default_rng(seed)
    n_queries, dim, top_k = rng.integers(1, [20, 6, 40]).tolist()
    n_docs = int(rng.choice([1, 2, 30, 300, 700]))
    texts = np.unique(rng.integers(0, rng.choice([1, 5, 4 * n_docs]), n_docs), return_inverse=True)[
        1
    ]
    for name in ("MOST_DOCS_PER_BLOCK", "DOCS_PER_PRODUCT", "QUERIES_PER_LANE"):
        monkeypatch.setattr(host_search, name, int(rng.choice([3, 17, 1000])))
    monkeypatch.setattr(host_search, "KEPT_BYTES", int(rng.choice([1000, 10**6])))
    queries = small_integers(n_queries, seed, dim)
    vectors = small_integers(texts.max() + 1, seed + 1, dim)
    run = search_exact(queries, vectors, ids("d", n_docs), texts, top_k=top_k)
    assert in_order(run) == brute_force((queries @ vectors.T)[:, texts], ids("d", n_docs), top_k)


@pytest.mark.usefixtures("every_way", "small_blocks", "small_sample")
@pytest.mark.parametrize("order", ["ascending", "descending", "equal", "two clusters"])
def test_no_order_of_the_corpus_misleads_the_search(order: str) -> None:
    """600 documents; each better than the last, each worse, all equal, the best together."""
    place = np.arange(600)
    scores = {
        "ascending": place,
        "descending": -place,
        "equal": 0 * place,
        "two clusters": np.where(place < 40, 1000 + place % 3, place % 5),
    }[order]
    vectors, queries = floats(scores)[:, None], floats([[1], [-1], [0], [2]])
    run = search_exact(queries, vectors, ids("d", 600), top_k=20)
    assert in_order(run) == brute_force(queries @ vectors.T, ids("d", 600), 20)


def test_a_sample_that_misleads_costs_a_second_reading_and_no_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The sample of 128 has the 128 best of 600 documents: as 100 are wanted, a document of the
    sample's best 56 would be one of 262 if the sample were like the rest, and is one of 56.
    """
    monkeypatch.setattr(host_search, "SAMPLE", 128)
    sampled = np.linspace(0, 599, 128).astype(int)
    vectors = np.ones((600, 1), np.float32)
    vectors[sampled] = 5
    watched, documents = Watched(vectors), Documents(ids("d", 600))
    run = search.search_exact(floats([[1]]), watched, ["q0"], documents, top_k=100, similarity=DOT)
    assert in_order(run) == brute_force(vectors.T, ids("d", 600), 100)
    assert watched.n_readings == 2


def test_vectors_are_read_once_and_a_bounded_number_at_a_time() -> None:
    """20,000 vectors, with a sample: its rows are gathered one by one."""
    watched, documents = Watched(gaussian(20_000, seed=21)), Documents(ids("d", 20_000))
    queries = gaussian(30, seed=22)
    run = search.search_exact(queries, watched, ids("q", 30), documents, top_k=10, similarity=DOT)
    best = (queries @ watched.gather(np.arange(20_000)).T).argmax(axis=1)
    assert [next(iter(scores)) for scores in run.values()] == [f"d{doc}" for doc in best]
    assert watched.n_readings == 1
    assert watched.longest * 32 * 4 <= host_search.BLOCK_BYTES


@pytest.mark.usefixtures("every_way")
@pytest.mark.parametrize("top_k", [1, 9, 10, 59, 60, 1000])
def test_a_corpus_in_parts_has_the_run_of_brute_force(top_k: int) -> None:
    """60 documents in six parts, with many equal scores."""
    queries, docs = small_integers(10, seed=1), small_integers(60, seed=2)
    run = search.search_exact(
        queries, VectorsInParts(docs, 11), ids("q", 10), Documents(ids("d", 60)),
        top_k=top_k, similarity=DOT,
    )  # fmt: skip
    assert in_order(run) == brute_force(queries @ docs.T, ids("d", 60), top_k)


@pytest.mark.usefixtures("every_way")
def test_a_top_k_larger_than_the_corpus_gives_the_whole_corpus() -> None:
    """Worked by hand."""
    run = search_exact(floats([[1, 0]]), floats([[1, 5], [3, 5]]), ["a", "b"], top_k=10)
    assert in_order(run) == [("q0", [("b", 3.0), ("a", 1.0)])]


@pytest.mark.usefixtures("every_way", "small_blocks")
def test_ties_that_straddle_rank_top_k_keep_the_highest_ids() -> None:
    """30 equal documents over five blocks: d9, d8, d7, then d6, as strings descend."""
    run = search_exact(floats([[1, 0]]), floats([[1, 0]] * 30), ids("d", 30), top_k=4)
    assert list(run["q0"]) == ["d9", "d8", "d7", "d6"]


@pytest.mark.usefixtures("every_way", "small_blocks")
def test_a_better_document_in_a_later_block_displaces_the_lowest_id_of_a_tie() -> None:
    """d8 lies in the second block and scores 2; of the ties at 1, d9 stays and d7 goes."""
    docs = floats([[2, 0] if number == 8 else [1, 0] for number in range(10)])
    run = search_exact(floats([[1, 0]]), docs, ids("d", 10), top_k=2)
    assert in_order(run) == [("q0", [("d8", 2.0), ("d9", 1.0)])]


@pytest.mark.usefixtures("every_way")
def test_zero_and_minus_zero_tie() -> None:
    """-1 times 0 is -0.0, which is not less than 0.0; z comes before a."""
    run = search_exact(floats([[1, -1]]), floats([[0, 0], [0, 0]]), ["a", "z"], top_k=2)
    minus = Similarity(DOT.prepare, lambda queries, docs: torch.tensor([[0.0, -0.0]]))
    both = search_exact(floats([[1]]), floats([[1], [1]]), ["a", "z"], top_k=2, similarity=minus)
    assert in_order(run) == in_order(both) == [("q0", [("z", 0.0), ("a", 0.0)])]


@pytest.mark.usefixtures("every_way")
def test_scores_of_every_size_keep_their_order_and_their_bits() -> None:
    """Both infinities, the largest, the smallest and the least different numbers."""
    tiny, one = np.finfo(np.float32).smallest_subnormal, np.float32(1)
    scores = [np.inf, 3e38, np.nextafter(one, 2), 1, tiny, 0, -tiny, -1, -3e38, -np.inf]
    similarity = Similarity(DOT.prepare, lambda queries, docs: docs.T)
    run = search_exact(
        floats([[1]]), floats(scores[::-1])[:, None], ids("d", 10), top_k=10, similarity=similarity
    )
    assert list(run["q0"].values()) == floats(scores).tolist()


@pytest.mark.usefixtures("every_way", "small_blocks")
@pytest.mark.parametrize("row", [0, 3, 8])
def test_a_score_that_is_not_a_number_is_an_error_that_names_the_query(row: int) -> None:
    """
    The similarity is infinity less infinity; all vectors are finite. Queries are searched in
    several passes, shares and products.
    """
    queries, docs = small_integers(9, seed=1), small_integers(400, seed=2)
    queries[row], docs[300] = 1e30, 1e30
    with pytest.raises(ValueError, match=f"query 'q{row}': a score is NaN"):
        search_exact(queries, docs, ids("d", 400), top_k=3, similarity=LESS_ITSELF)


def test_a_candidates_score_that_is_not_a_number_is_an_error() -> None:
    """As in search_exact."""
    with pytest.raises(ValueError, match="query 'q0': a score is NaN"):
        rank_candidates(
            floats([[1e30]]), floats([[1e30]]), ["a"], {"q0": ["a"]}, similarity=LESS_ITSELF
        )


@pytest.mark.usefixtures("small_blocks")
def test_the_run_does_not_depend_on_the_order_of_the_corpus() -> None:
    """The same documents, shuffled, with their ids."""
    queries, docs, doc_ids = small_integers(5, seed=3), small_integers(60, seed=4), ids("d", 60)
    runs = [
        search_exact(queries, docs[rows], [doc_ids[row] for row in rows], top_k=11)
        for rows in (np.arange(60), np.random.default_rng(5).permutation(60))
    ]
    assert in_order(runs[0]) == in_order(runs[1])


@pytest.mark.parametrize("top_k", [1, 6, 7, 8, 13, 60])
@pytest.mark.usefixtures("every_way", "small_blocks")
def test_copies_of_a_text_rank_as_so_many_documents(top_k: int) -> None:
    """60 documents with 20 different texts: the run of brute force over all 60."""
    queries, vectors = small_integers(10, seed=13), small_integers(20, seed=14)
    texts = [number % 20 for number in range(60)]
    run = search_exact(queries, vectors, ids("d", 60), texts, top_k=top_k)
    assert in_order(run) == brute_force((queries @ vectors.T)[:, texts], ids("d", 60), top_k)


@pytest.mark.usefixtures("every_way")
def test_copies_of_a_text_that_straddle_rank_top_k_keep_the_highest_ids() -> None:
    """Worked by hand: the best text has four documents, and two of them fit."""
    run = search_exact(
        floats([[1, 0]]), floats([[1, 0], [2, 0]]), list("xadbc"), [0, 1, 1, 1, 1], top_k=2
    )
    assert in_order(run) == [("q0", [("d", 2.0), ("c", 2.0)])]


def test_copies_of_two_texts_with_one_score_alternate_by_id() -> None:
    """Worked by hand: text 0 has f and c, text 1 has e, d and a, all score 1."""
    run = search_exact(floats([[1]]), floats([[1], [1]]), list("fcead"), [0, 0, 1, 1, 1], top_k=4)
    assert list(run["q0"]) == ["f", "e", "d", "c"]


def test_candidates_among_copies_of_a_text_are_those_listed() -> None:
    """b has the text of a and d, which are no candidates."""
    run = rank_candidates(
        floats([[1, 0]]),
        floats([[2, 0], [1, 0]]),
        list("abdc"),
        {"q0": ["c", "b"]},
        texts=[0, 0, 0, 1],
    )
    assert in_order(run) == [("q0", [("b", 2.0), ("c", 1.0)])]


@pytest.mark.usefixtures("every_way")
def test_no_queries_give_an_empty_run() -> None:
    """A subset may have none left."""
    run = search_exact(np.empty((0, 2), np.float32), floats([[1, 0]]), ["a"], top_k=1)
    assert dict(run) == {}


@pytest.mark.usefixtures("every_way")
def test_no_documents_give_empty_rankings() -> None:
    """Two queries, and nothing to rank."""
    run = search_exact(floats([[1, 0]] * 2), np.empty((0, 2), np.float32), [], top_k=1)
    assert dict(run) == {"q0": {}, "q1": {}}


def test_vectors_that_are_not_those_of_the_texts_are_an_error() -> None:
    """Two documents of one text need one vector."""
    with pytest.raises(ValueError, match="2 vectors for 1 texts"):
        search_exact(floats([[1]]), floats([[1], [1]]), ["a", "b"], [0, 0], top_k=1)


def test_a_top_k_of_0_is_an_error() -> None:
    """A run without documents would be scored as 0."""
    with pytest.raises(ValueError, match="top_k is 0"):
        search_exact(floats([[1]]), floats([[1]]), ["a"], top_k=0)


@pytest.mark.usefixtures("every_way")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Query (1, 0); a (1, 0), b (3, 3), c (0, 2).
        ("cosine", [("a", 1.0), ("b", 0.5**0.5), ("c", 0.0)]),
        ("dot", [("b", 3.0), ("a", 1.0), ("c", 0.0)]),
        ("euclidean", [("a", 0.0), ("c", -(5**0.5)), ("b", -(13**0.5))]),
        ("manhattan", [("a", 0.0), ("c", -3.0), ("b", -5.0)]),
    ],
)
def test_documents_rank_by_the_models_own_similarity(
    name: str, expected: list[tuple[str, float]]
) -> None:
    """sentence-transformers' functions; the orders of three documents, worked by hand."""
    similarity = similarity_of(name, SimilarityFunction.to_similarity_fn(name))
    vectors = floats([[1, 0], [3, 3], [0, 2]])
    run = search_exact(floats([[1, 0]]), vectors, list("abc"), top_k=3, similarity=similarity)
    assert list(run["q0"]) == [doc for doc, _ in expected]
    assert list(run["q0"].values()) == pytest.approx([score for _, score in expected], abs=1e-6)


def test_a_vector_of_zeros_has_cosine_0() -> None:
    """As torch.nn.functional.normalize leaves it; no division by zero."""
    run = search_exact(
        floats([[1, 0]]), floats([[0, 0], [-1, 0]]), ["a", "b"], top_k=2, similarity=COSINE
    )
    assert in_order(run) == [("q0", [("a", 0.0), ("b", -1.0)])]


@pytest.mark.parametrize("search_by", [search_exact, rank_candidates])
def test_neither_queries_nor_documents_are_changed(search_by: Callable[..., Run]) -> None:
    """Cosine normalises rows in place, of copies."""
    queries, docs = gaussian(3, seed=6), gaussian(20, seed=7)
    before = queries.copy(), docs.copy()
    listed = ({"q0": ["d1"]},) if search_by is rank_candidates else ()
    search_by(queries, docs, ids("d", 20), *listed, top_k=5, similarity=COSINE)
    np.testing.assert_array_equal(queries, before[0])
    np.testing.assert_array_equal(docs, before[1])


@pytest.mark.usefixtures("every_way")
def test_a_similarity_may_return_an_array() -> None:
    """mteb's protocol allows both; the run is the same."""
    queries, docs = gaussian(3, seed=6), gaussian(20, seed=7)
    runs = [
        search_exact(
            queries, docs, ids("d", 20), top_k=5, similarity=similarity_of(None, similarity)
        )
        for similarity in (dot_score, lambda queries, docs: dot_score(queries, docs).numpy())
    ]
    assert in_order(runs[0]) == in_order(runs[1])


@pytest.mark.usefixtures("every_way")
def test_half_precision_scores_become_the_float32_of_the_same_value() -> None:
    """1/3 in float16 is 0.333251953125 (sign 0, exponent -2, fraction 0x155), exactly."""
    similarity = similarity_of(None, lambda queries, docs: dot_score(queries, docs).half())
    run = search_exact(floats([[1]]), floats([[1 / 3]]), ["a"], top_k=1, similarity=similarity)
    assert run == {"q0": {"a": 0.333251953125}}


@pytest.mark.parametrize("relevant", ["9", "10", "a", "B", "é", "石"])
def test_equal_scores_rank_as_trec_eval_ranks_them(relevant: str) -> None:
    """With one relevant document, trec_eval's reciprocal rank names its place."""
    doc_ids = ["10", "9", "B", "a", "石", "é"]
    run = dict(search_exact(floats([[1, 0]]), floats([[1, 0]] * 6), doc_ids, top_k=6))
    evaluator = pytrec_eval.RelevanceEvaluator({"q0": {relevant: 1}}, {"recip_rank"})
    reciprocal = evaluator.evaluate(run)["q0"]["recip_rank"]
    assert list(run["q0"]).index(relevant) + 1 == round(1 / reciprocal)


def test_a_cut_at_top_k_keeps_what_trec_eval_ranks_first() -> None:
    """Three ties, two kept: trec_eval over all three has c and b in its first two."""
    docs, doc_ids = floats([[1, 0]] * 3), ["b", "a", "c"]
    cut = dict(search_exact(floats([[1, 0]]), docs, doc_ids, top_k=2))
    everything = dict(search_exact(floats([[1, 0]]), docs, doc_ids, top_k=3))
    evaluator = pytrec_eval.RelevanceEvaluator({"q0": {"b": 1, "c": 1}}, {"recall.2"})
    assert list(cut["q0"]) == ["c", "b"]
    assert evaluator.evaluate(everything)["q0"]["recall_2"] == 1.0
    assert evaluator.evaluate(cut)["q0"]["recall_2"] == 1.0


def by_mteb(
    encoder: Any, query_ids: Iterable[str], doc_ids: Iterable[str], **options: Any
) -> dict[str, dict[str, float]]:
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
    run: dict[str, dict[str, float]] = wrapper.search(_as_dataset(query_ids), **where, **options)
    return run


def _as_dataset(identifiers: Iterable[str]) -> Dataset:
    names = list(identifiers)
    return Dataset.from_dict({"id": names, "text": names})


@pytest.mark.usefixtures("every_way", "small_blocks")
@pytest.mark.parametrize(("name", "theirs"), [("cosine", cos_sim), ("dot", dot_score)])
@pytest.mark.parametrize("top_k", [10, 1000])
def test_the_run_is_that_of_mtebs_own_search(
    fixed_encoder: Callable[..., Any], name: str, theirs: Callable[..., Any], top_k: int
) -> None:
    """Same vectors, no scores closer than rounding: same documents, scores within 1e-6."""
    queries, docs = gaussian(40, seed=8), gaussian(150, seed=9)
    if name == "dot":  # keep scores near 1, where 1e-6 is meant
        queries = queries / 32
    query_ids, doc_ids = ids("q", 40), ids("d", 150)
    vectors = dict(zip(query_ids + doc_ids, np.concatenate([queries, docs]), strict=True))
    run = search_exact(queries, docs, doc_ids, top_k=top_k, similarity=similarity_of(name, theirs))
    mtebs = by_mteb(fixed_encoder(vectors, theirs), query_ids, doc_ids, top_k=top_k)
    assert len(run["q0"]) == min(top_k, 150)
    _assert_close(run, mtebs)


def _assert_close(run: Run, mtebs: dict[str, dict[str, float]]) -> None:
    assert set(run) == set(mtebs)
    for query_id, scores in mtebs.items():
        # mteb's dictionaries have no order; trec_eval sorts.
        assert run[query_id] == pytest.approx(scores, abs=1e-6)


def test_candidates_rank_as_mtebs_own_reranking(fixed_encoder: Callable[..., Any]) -> None:
    """Each query has its own candidates, in no particular order; one query has none."""
    queries, docs = gaussian(5, seed=10), gaussian(30, seed=11)
    query_ids, doc_ids = ids("q", 5), ids("d", 30)
    vectors = dict(zip(query_ids + doc_ids, np.concatenate([queries, docs]), strict=True))
    candidates = {f"q{n}": [f"d{(7 * m + n) % 30}" for m in range(8)] for n in range(4)}
    run = rank_candidates(queries, docs, doc_ids, candidates, top_k=1000, similarity=COSINE)
    mtebs = by_mteb(fixed_encoder(vectors), query_ids, doc_ids, top_k=1000, top_ranked=candidates)
    assert [len(scores) for scores in run.values()] == [8, 8, 8, 8, 0]
    _assert_close(run, mtebs)


@pytest.mark.parametrize("per_group", [1, 20, 10_000])
def test_candidates_of_many_queries_rank_as_brute_force_over_each_list(
    monkeypatch: pytest.MonkeyPatch, per_group: int
) -> None:
    """Lists of 0 to 39 of 60 documents with 20 texts, some twice; groups of any size."""
    monkeypatch.setattr(search, "CANDIDATES_PER_GROUP", per_group)
    rng = np.random.default_rng(15)
    queries, vectors = small_integers(30, seed=16), small_integers(20, seed=17)
    texts, doc_ids = np.arange(60) % 20, ids("d", 60)
    lists = {
        f"q{n}": [doc_ids[i] for i in rng.integers(0, 60, rng.integers(40))] for n in range(30)
    }
    run = rank_candidates(queries, vectors, doc_ids, lists, texts, top_k=12)
    scores = (queries @ vectors.T)[:, texts]
    for row, (query_id, ranked) in enumerate(run.items()):
        listed = sorted({doc_ids.index(doc_id) for doc_id in lists[query_id]})
        expected = brute_force(scores[row : row + 1, listed], [doc_ids[i] for i in listed], 12)
        assert list(ranked.items()) == expected[0][1]


def test_candidates_are_ranked_best_first_with_ties_by_descending_id() -> None:
    """Worked by hand; d, the best of the corpus, is no candidate."""
    vectors = floats([[1, 0], [2, 0], [1, 9], [9, 0]])
    run = rank_candidates(floats([[1, 0]]), vectors, list("abcd"), {"q0": ["a", "b", "c"]})
    assert in_order(run) == [("q0", [("b", 2.0), ("c", 1.0), ("a", 1.0)])]


def test_candidates_are_cut_at_top_k() -> None:
    """The tie at rank 2 is won by the higher id, as in search_exact."""
    vectors = floats([[1, 0], [2, 0], [1, 9]])
    run = rank_candidates(floats([[1, 0]]), vectors, list("abc"), {"q0": list("abc")}, top_k=2)
    assert in_order(run) == [("q0", [("b", 2.0), ("c", 1.0)])]


def test_candidates_may_be_scored_by_the_models_own_function() -> None:
    """Manhattan distance, negative; worked by hand."""
    similarity = similarity_of("manhattan", SimilarityFunction.to_similarity_fn("manhattan"))
    run = rank_candidates(
        floats([[1, 0]]), floats([[1, 2], [2, 0]]), list("ab"), {"q0": ["a", "b"]},
        similarity=similarity,
    )  # fmt: skip
    assert in_order(run) == [("q0", [("b", -1.0), ("a", -2.0)])]


def test_a_query_without_candidates_has_an_empty_ranking() -> None:
    """Whether it is missing from the candidates or listed with none."""
    lists: dict[str, list[str]] = {"q1": [], "q2": ["a"]}
    run = rank_candidates(floats([[1, 0]] * 3), floats([[1, 0]]), ["a"], lists)
    assert run == {"q0": {}, "q1": {}, "q2": {"a": 1.0}}


def test_a_candidate_that_is_no_document_is_an_error() -> None:
    """It is not left out in silence."""
    with pytest.raises(KeyError, match="nowhere"):
        rank_candidates(floats([[1, 0]]), floats([[1, 0]]), ["a"], {"q0": ["a", "nowhere"]})


def test_importing_the_engine_does_not_load_numba() -> None:
    """Half a second that only a search needs."""
    code = "import sys, granite_bench.engine.search.search; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_search_works_where_compiled_code_cannot_be_kept() -> None:
    """Neither beside the module nor in the user's cache: compiled anew, and no error."""
    code = (
        "import numpy as np; from numba.core.caching import CacheImpl;"
        "CacheImpl._locator_classes = [];"
        "from granite_bench.engine.search.top_k import put_largest_first as first;"
        "keys = np.array([3, 1, 2], np.uint64); first(keys, 3, 1); print(keys[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


def test_torch_computes_full_float32_products_and_leaves_its_setting() -> None:
    """TF32 has 10 bits of fraction; the search on a GPU must not use it, nor change it after."""
    matmul: Any = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    before, seen = torch.get_float32_matmul_precision(), []

    def watched(queries: torch.Tensor, docs: torch.Tensor) -> torch.Tensor:
        seen.append(getattr(matmul, name))
        return queries @ docs.T

    torch.set_float32_matmul_precision("high")
    try:
        device_search.best_texts(
            floats([[1]]), ResidentVectors(floats([[1]])), np.zeros(1, np.uint32),
            top_k=1, similarity=similarity_of(None, watched), device="cpu",
        )  # fmt: skip
        assert seen in (["ieee"], [False])
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_vectors_that_lie_on_the_device_are_found_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same keys from blocks of tensors as from copies; gathered rows are the vectors."""
    monkeypatch.setattr(device_search, "DOCS_PER_BLOCK", 7)
    vectors = np.random.default_rng(3).standard_normal((40, 8), dtype=np.float32)
    lows = np.arange(40, dtype=np.uint32)
    found = [
        device_search.best_texts(
            vectors[:5], docs, lows, top_k=6, similarity=similarity_of("dot", torch.inner),
            device="cpu",
        )
        for docs in (ResidentVectors(vectors), device_search.DeviceVectors(vectors, "cpu"))
    ]  # fmt: skip
    np.testing.assert_array_equal(*found)
    some = np.array([39, 0, 7])
    gathered = device_search.DeviceVectors(vectors, "cpu").gather(some)
    np.testing.assert_array_equal(gathered, vectors[some])
