"""Variants of vectors: fewer dimensions and bits, against sentence-transformers and plain numpy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import mteb
import numpy as np
import numpy.typing as npt
import pytest
import torch
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers.util import cos_sim, dot_score, quantize_embeddings
from vectors_in_parts import VectorsInParts

from granite_bench.engine import variants as variants_module
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.forms import form_of
from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.similarity import similarity_of
from granite_bench.engine.variants import Variant
from granite_bench.engine.vectors.vectors import ResidentVectors
from granite_bench.errors import TaskError

Floats = npt.NDArray[np.float32]

N_QUERIES, N_DOCS, DIM = 12, 90, 24

COSINE = similarity_of("cosine", cos_sim)
DOT = similarity_of("dot", dot_score)
SIMILARITIES = {"cosine": COSINE, "dot": DOT}


def normal(n: int, seed: int, dim: int = DIM) -> Floats:
    """Normally distributed vectors of different lengths, their first dimensions the largest."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0.1, 1, size=(n, dim)) / np.sqrt(1 + np.arange(dim))
    return (vectors * rng.uniform(0.5, 2, size=(n, 1))).astype(np.float32)


QUERIES, DOCS = normal(N_QUERIES, 1), normal(N_DOCS, 2)
IDS = [f"d{number:03}" for number in range(N_DOCS)]
QUERY_IDS = [f"q{number}" for number in range(N_QUERIES)]


def search(
    variant: Variant,
    queries: Floats = QUERIES,
    docs: Floats = DOCS,
    *,
    top_k: int = 10,
    similarity: Any = COSINE,
    documents: Documents | None = None,
    candidates: Mapping[str, Sequence[str]] | None = None,
) -> Run:
    """The run of a variant over vectors in memory, documents named d000, d001, ..."""
    return variant.search(
        queries,
        ResidentVectors(docs),
        [f"q{number}" for number in range(len(queries))],
        documents or Documents([f"d{number:03}" for number in range(len(docs))]),
        top_k=top_k,
        similarity=similarity,
        candidates=candidates,
    )


def assert_ranks(run: Run, expected: npt.NDArray[np.float64], *, top_k: int) -> None:
    """
    The run has, for each query, the top_k best of *expected* (n_queries, n_docs), best first.

    Scores within 1e-5; the order is exact but for documents whose scores are within 1e-6; -inf
    marks a document that must not be there.
    """
    assert list(run) == [f"q{number}" for number in range(len(expected))]
    for query, scores in zip(run, expected, strict=True):
        by_id = {f"d{number:03}": score for number, score in enumerate(scores) if score > -np.inf}
        best = sorted(by_id, key=lambda doc: (by_id[doc], doc), reverse=True)[:top_k]
        found = run[query]
        assert len(found) == len(best)
        for our, their in zip(found, best, strict=True):
            assert our == their or abs(by_id[our] - by_id[their]) < 1e-6
            assert found[our] == pytest.approx(by_id[our], rel=0, abs=1e-5)


def with_norm_1(vectors: Floats) -> npt.NDArray[np.float64]:
    """float64."""
    wide = vectors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)


# Fewer dimensions.


@pytest.mark.parametrize("dim", [1, 2, 7, 23, 24])
@pytest.mark.parametrize(("name", "own"), [("cosine", cos_sim), ("dot", dot_score)])
def test_fewer_dimensions_rank_as_the_models_similarity_of_truncated_vectors(
    name: str, own: Any, dim: int
) -> None:
    """sentence-transformers' cos_sim brings them to norm 1 again; its dot_score does not."""
    run = search(Variant(dim=dim), similarity=SIMILARITIES[name])
    expected = own(QUERIES[:, :dim].copy(), DOCS[:, :dim].copy()).double().numpy()
    assert_ranks(run, expected, top_k=10)


def test_fewer_dimensions_rank_otherwise_than_all_of_them() -> None:
    """So that the comparisons can fail."""
    assert dict(search(Variant(dim=4))) != dict(search(Variant()))


@pytest.mark.parametrize("variant", [Variant(dim=DIM), Variant(dim=10 * DIM)])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_all_dimensions_are_the_vectors_themselves(name: str, variant: Variant) -> None:
    """To the last bit; more than there are changes nothing either."""
    similarity = SIMILARITIES[name]
    assert_same_run(
        search(variant, similarity=similarity), search(Variant(), similarity=similarity)
    )


def assert_same_run(ours: Run, theirs: Run) -> None:
    """The same documents and scores, bit by bit."""
    assert ours.docs.tolist() == theirs.docs.tolist()
    assert ours.scores.tobytes() == theirs.scores.tobytes()


@pytest.mark.parametrize("dim", [1, 7, 23])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_fewer_dimensions_are_those_of_a_model_that_has_no_more(name: str, dim: int) -> None:
    """To the last bit: truncated before the search, or on the way to it."""
    similarity = SIMILARITIES[name]
    theirs = search(Variant(), QUERIES[:, :dim].copy(), DOCS[:, :dim].copy(), similarity=similarity)
    assert_same_run(search(Variant(dim=dim), similarity=similarity), theirs)


def test_fewer_dimensions_work_with_any_similarity() -> None:
    """A model that compares by distance: its own function sees truncated vectors."""

    def euclidean(queries: Any, docs: Any) -> torch.Tensor:
        return -torch.cdist(queries, docs)

    run = search(Variant(dim=5), similarity=similarity_of("euclidean", euclidean))
    wide = QUERIES[:, None, :5].astype(np.float64) - DOCS[None, :, :5]
    assert_ranks(run, -np.linalg.norm(wide, axis=2), top_k=10)


# float16.


@pytest.mark.parametrize("dim", [None, 7])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_float16_rounds_prepared_queries_and_documents(name: str, dim: int | None) -> None:
    """Truncated, brought to norm 1 for the cosine, then rounded; scores are of float32."""
    rounded = []
    for vectors in (QUERIES, DOCS):
        half = as_searched(vectors, name, dim).astype(np.float16).astype(np.float64)
        rounded.append(with_norm_1(half) if name == "cosine" else half)
    run = search(Variant(dim=dim, precision="float16"), similarity=SIMILARITIES[name])
    assert_ranks(run, rounded[0] @ rounded[1].T, top_k=10)
    exact = search(Variant(dim=dim), similarity=SIMILARITIES[name])
    assert run.scores.tobytes() != exact.scores.tobytes()


# Codes.


def codes_and_values(
    precision: str, queries: Floats, docs: Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """
    What the search among codes and the ranking after it look at; float64 (n_queries, n_docs).

    int8: inner products of sentence-transformers' codes over the corpus's ranges, and of the
    query with the lower ends of the codes' steps. binary: minus the Hamming distances, and
    inner products of the query with the bits.
    """
    wide = queries.astype(np.float64)
    if precision == "binary":
        ours, theirs = (np.packbits(each > 0, axis=1) for each in (queries, docs))
        distances = np.bitwise_count(ours[:, None] ^ theirs[None]).sum(axis=2, dtype=np.int64)
        bits = np.unpackbits(theirs, axis=1)[:, : docs.shape[1]]
        return -distances.astype(np.float64), wide @ bits.T
    ranges = np.vstack([docs.min(axis=0), docs.max(axis=0)])
    ours, theirs = (
        quantize_embeddings(each, "int8", ranges=ranges).astype(np.int64)
        for each in (queries, docs)
    )
    low, high = ranges.astype(np.float64)
    values = low + (theirs + 128) * (high - low) / 255
    return (ours @ theirs.T).astype(np.float64), wide @ values.T


def expected_scores(
    precision: str, queries: Floats, docs: Floats, *, top_k: int, by_text: bool = False
) -> npt.NDArray[np.float64]:
    """The second scores of the 2 x top_k best by the first, ties by descending id; else -inf."""
    first, second = codes_and_values(precision, queries, docs)
    expected = np.full(first.shape, -np.inf)
    numbers = np.arange(len(docs))
    for row in range(len(queries)):
        found = np.lexsort((-numbers, -first[row]))[: 2 * top_k]
        expected[row, found] = second[row, found]
    return expected


def as_searched(vectors: Floats, name: str, dim: int | None) -> Floats:
    """Truncated and prepared, by the same function as the search, so that codes are the same."""
    kept = np.ascontiguousarray(vectors[:, :dim]).copy()
    return SIMILARITIES[name].prepare(torch.from_numpy(kept)).numpy()


@pytest.mark.parametrize("precision", ["int8", "binary"])
@pytest.mark.parametrize("top_k", [1, 5, 30, 45, 60, 90, 200])
@pytest.mark.parametrize("dim", [None, 8, 13])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_codes_rank_as_their_definition_says(
    precision: str, name: str, dim: int | None, top_k: int
) -> None:
    """Twice top_k by codes, then the query with what they stand for, worked in float64."""
    queries, docs = (as_searched(vectors, name, dim) for vectors in (QUERIES, DOCS))
    run = search(Variant(dim, precision), top_k=top_k, similarity=SIMILARITIES[name])
    expected = expected_scores(precision, queries, docs, top_k=top_k)
    assert_ranks(run, expected, top_k=top_k)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_the_search_among_codes_leaves_documents_out(precision: str) -> None:
    """So that the comparison above can fail: all documents ranked by their values differ."""
    queries, docs = (as_searched(vectors, "cosine", 8) for vectors in (QUERIES, DOCS))
    _, all_scores = codes_and_values(precision, queries, docs)
    best = search(Variant(8, precision), top_k=5)
    of_all = np.sort(all_scores, axis=1)[:, ::-1][:, :5]
    assert np.abs(best.scores - of_all).max() > 0.01


def test_ties_among_binary_codes_are_broken_by_descending_id() -> None:
    """Eight dimensions have nine distances for 90 documents: ids decide who is looked at."""
    first, _ = codes_and_values("binary", QUERIES[:, :8].copy(), DOCS[:, :8].copy())
    at_the_border = np.sort(first, axis=1)[:, ::-1][:, 9:11]
    assert (at_the_border[:, 0] == at_the_border[:, 1]).any()
    expected = expected_scores("binary", QUERIES[:, :8].copy(), DOCS[:, :8].copy(), top_k=5)
    assert_ranks(search(Variant(8, "binary"), top_k=5, similarity=DOT), expected, top_k=5)


def test_a_small_binary_case_worked_by_hand() -> None:
    """
    The query is + - +. Distances: d000 (+ - +) 0, d001 (- - +) 1, d002 (+ + +) 1, d003 (- + -)
    3. The two best for one wanted are d000 and d002, the later id of the equal ones; the query
    with their bits is 0.5 + 0.25 for d000 and 0.5 - 1 + 0.25 for d002.
    """
    query = np.array([[0.5, -1, 0.25]], np.float32)
    docs = np.array([[1, -1, 1], [-1, -2, 1], [3, 1, 2], [-1, 1, -1]], np.float32)
    run = search(Variant(None, "binary"), query, docs, top_k=1, similarity=DOT)
    assert run["q0"] == {"d000": 0.75}
    both = search(Variant(None, "binary"), query, docs, top_k=2, similarity=DOT)
    # d001: 0.25 alone; d002 -0.25; d003 -1: all four were looked at.
    assert both["q0"] == {"d000": 0.75, "d001": 0.25}


def test_equal_documents_stand_by_descending_id_however_near_their_codes_are() -> None:
    """The query is + + -: d000 (+ - -) is at 1, d001 (+ - +) at 2; with their bits both are 1."""
    query, docs = np.array([[1, 1, 0]], np.float32), np.array([[1, -1, -1], [1, -1, 1]], np.float32)
    run = search(Variant(None, "binary"), query, docs, top_k=2, similarity=DOT)
    assert list(run["q0"].items()) == [("d001", 1.0), ("d000", 1.0)]


def test_a_value_of_zero_is_not_positive_in_binary() -> None:
    """As in np.packbits(x > 0): d000 has the query's bits; were 0 positive, three would tie."""
    query, docs = np.array([[-1, 1]], np.float32), np.array([[0, 1], [1, 1], [1, 1]], np.float32)
    run = search(Variant(None, "binary"), query, docs, top_k=1, similarity=DOT)
    assert run["q0"] == {"d000": 1}


def test_a_small_int8_case_worked_by_hand() -> None:
    """
    Ranges 0..255 and 0..51: steps 1 and 0.2. 100.7 stands for 100, and 10.3 for 51 steps: 10.2.
    """
    docs = np.array([[0, 0], [255, 51], [100.7, 10.3]], np.float32)
    query = np.array([[1, 10]], np.float32)
    run = search(Variant(None, "int8"), query, docs, top_k=3, similarity=DOT)
    expected = {"d001": 255 + 510, "d002": 100 + 102, "d000": 0}
    assert list(run["q0"]) == list(expected)
    assert run["q0"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_codes_are_the_same_however_vectors_are_read(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """In blocks of 7 vectors and 5 queries: the ranges are those of the whole corpus."""
    whole = search(Variant(8, precision), top_k=7)
    monkeypatch.setattr(variants_module, "VECTORS_PER_BLOCK", 7)
    monkeypatch.setattr(variants_module, "QUERIES_PER_BLOCK", 5)
    blocks = search(Variant(8, precision), top_k=7)
    assert blocks.docs.tolist() == whole.docs.tolist()
    np.testing.assert_allclose(blocks.scores, whole.scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_codes_are_the_same_in_a_corpus_of_parts(precision: str) -> None:
    """90 documents in three parts: the ranges of int8 are over all of them."""
    whole = search(Variant(8, precision), top_k=7)
    parts = Variant(8, precision).search(
        QUERIES, VectorsInParts(DOCS, 35), QUERY_IDS, Documents(IDS), top_k=7, similarity=COSINE
    )
    assert_same_run(parts, whole)


@pytest.mark.parametrize(("precision", "name"), [("uint8", "int8"), ("ubinary", "binary")])
@pytest.mark.parametrize("seed", range(3))
def test_codes_rank_as_with_semantic_search_faiss(precision: str, name: str, seed: int) -> None:
    """
    sentence-transformers' own search, exact. Its codes run from 0 to 255, ours from -128 to
    127, so its first search weighs dimensions otherwise: there the corpus has no more documents
    than it looks at. For the bits, distances that tie at the border are left out.
    """
    pytest.importorskip("faiss")
    from sentence_transformers.util.quantization import semantic_search_faiss

    top_k = 45 if name == "int8" else 10
    queries, docs = normal(8, 100 + seed, 512), normal(N_DOCS, 200 + seed, 512)
    ranges = np.vstack([docs.min(axis=0), docs.max(axis=0)])
    theirs, *_ = semantic_search_faiss(
        queries,
        corpus_embeddings=quantize_embeddings(docs, precision, ranges=ranges),
        corpus_precision=precision,
        top_k=top_k,
        ranges=ranges,
        rescore_multiplier=2,
    )
    first, _ = codes_and_values(name, queries, docs)
    border = np.sort(first, axis=1)[:, ::-1][:, 2 * top_k - 1 : 2 * top_k + 1]
    clear = [row for row in range(8) if border.shape[1] < 2 or border[row, 0] > border[row, 1]]
    assert len(clear) >= (8 if name == "int8" else 3)
    run = search(Variant(None, name), queries, docs, top_k=top_k, similarity=DOT)
    for row in clear:
        found = run[f"q{row}"]
        assert list(found) == [f"d{hit['corpus_id']:03}" for hit in theirs[row]]
        assert list(found.values()) == pytest.approx(
            [hit["score"] for hit in theirs[row]], rel=0, abs=1e-5
        )


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
def test_a_constant_dimension_scores_as_what_it_is(precision: str) -> None:
    """Its range is 0: one step, and every document has the constant."""
    docs = DOCS.copy()
    docs[:, 3], docs[:, 5] = 0.75, 0
    run = search(Variant(None, precision), docs=docs, top_k=N_DOCS, similarity=DOT)
    if precision in ("int8", "binary"):
        _, expected = codes_and_values(precision, QUERIES, docs)
    else:
        kind = np.float16 if precision == "float16" else np.float32
        ours, theirs = (each.astype(kind).astype(np.float64) for each in (QUERIES, docs))
        expected = ours @ theirs.T
    assert_ranks(run, expected, top_k=N_DOCS)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_one_document_is_found(precision: str, name: str) -> None:
    """Every dimension is constant then; its code stands for itself."""
    run = search(
        Variant(8, precision), docs=DOCS[:1].copy(), top_k=10, similarity=SIMILARITIES[name]
    )
    queries, docs = (as_searched(vectors, name, 8) for vectors in (QUERIES, DOCS[:1]))
    if precision == "binary":
        docs = (docs > 0).astype(np.float32)
    expected = queries.astype(np.float64) @ docs.T
    assert run.docs.tolist() == [[0]] * N_QUERIES
    tolerance = 1e-2 if precision == "float16" else 1e-5
    np.testing.assert_allclose(run.scores, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
@pytest.mark.parametrize("shape", [(0, 90), (12, 0), (0, 0)])
def test_no_queries_or_documents_make_empty_rankings(
    precision: str, shape: tuple[int, int]
) -> None:
    """As for the exact search; and without a warning of numpy."""
    queries, docs = QUERIES[: shape[0]].copy(), DOCS[: shape[1]].copy()
    with np.errstate(all="raise"):
        run = search(Variant(8, precision), queries, docs)
    assert dict(run) == {f"q{number}": {} for number in range(shape[0])}


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
def test_copies_of_a_text_have_one_score_and_stand_by_descending_id(precision: str) -> None:
    """Thirty texts, three documents of each, not side by side."""
    texts = np.arange(N_DOCS) % 30
    documents = Documents(IDS, texts)
    run = search(Variant(8, precision), docs=DOCS[:30].copy(), top_k=20, documents=documents)
    spread = search(Variant(8, precision), docs=DOCS[:30][texts].copy(), top_k=20)
    for query in run:
        found = run[query]
        assert len(found) == 20
        scores = list(found.values())
        assert sorted(found, key=lambda doc: (found[doc], doc), reverse=True) == list(found)
        assert scores == pytest.approx(list(spread[query].values()), abs=1e-6)
        by_text: dict[int, set[float]] = {}
        for doc, score in found.items():
            by_text.setdefault(int(doc[1:]) % 30, set()).add(score)
        assert all(len(of_text) == 1 for of_text in by_text.values())


@pytest.mark.parametrize("dim", [None, 8])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_candidates_are_ranked_by_the_variants_scores(
    precision: str, dim: int | None, name: str
) -> None:
    """All of them: nothing is looked for among codes; the ranges are those of the corpus."""
    candidates = {f"q{n}": [IDS[(7 * n + 5 * m) % N_DOCS] for m in range(17)] for n in range(11)}
    run = search(
        Variant(dim, precision), top_k=9, similarity=SIMILARITIES[name], candidates=candidates
    )
    queries, docs = (as_searched(vectors, name, dim) for vectors in (QUERIES, DOCS))
    if precision in ("int8", "binary"):
        _, scores = codes_and_values(precision, queries, docs)
    else:
        kind = np.float16 if precision == "float16" else np.float32
        ours, theirs = (each.astype(kind).astype(np.float64) for each in (queries, docs))
        if name == "cosine":
            ours, theirs = with_norm_1(ours), with_norm_1(theirs)
        scores = ours @ theirs.T
    expected = np.full(scores.shape, -np.inf)
    for query, listed in candidates.items():
        places = [IDS.index(doc) for doc in listed]
        expected[int(query[1:]), places] = scores[int(query[1:]), places]
    assert_ranks(run, expected, top_k=9)
    assert run["q11"] == {}


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
@pytest.mark.parametrize("dim", [None, 8, DIM])
@pytest.mark.parametrize("candidates", [None, {"q0": ["d001", "d002"]}])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_vectors_that_were_given_stay_as_they_are(
    precision: str, dim: int | None, name: str, candidates: Any
) -> None:
    """The next variant starts from them."""
    queries, docs = QUERIES.copy(), DOCS.copy()
    variant = Variant(dim, precision)
    search(variant, queries, docs, similarity=SIMILARITIES[name], candidates=candidates)
    if precision in ("float32", "float16"):
        variant.of_array(docs)[:] = 0
        assert precision == "float16" or dim is not None or not docs.any()
        docs = docs if docs.any() else DOCS.copy()
    assert queries.tobytes() == QUERIES.tobytes()
    assert docs.tobytes() == DOCS.tobytes()


@pytest.mark.parametrize("precision", ["int8", "binary"])
@pytest.mark.parametrize("name", ["euclidean", "manhattan", None])
@pytest.mark.parametrize("candidates", [None, {"q0": ["d001"]}])
def test_codes_of_a_model_that_compares_in_another_way_are_an_error(
    precision: str, name: str | None, candidates: Any
) -> None:
    """Their distances are no inner products; the next step is another precision."""
    similarity = similarity_of(name, lambda queries, docs: -torch.cdist(queries, docs))
    with pytest.raises(TaskError) as caught:
        search(Variant(8, precision), similarity=similarity, candidates=candidates)
    assert str(caught.value) == (
        f"{precision} is defined for cosine and inner product, and this model compares vectors "
        "in another way\n  run it with --precision float32 or float16"
    )


# Tasks that compare vectors themselves.


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_codes_are_an_error_for_a_task_that_does_not_search(precision: str) -> None:
    """Classification, clustering, STS: nothing says what they should do with codes."""
    with pytest.raises(TaskError, match=f"{precision} is defined for search.*\n.*--precision"):
        Variant(8, precision).of_array(DOCS)


@pytest.mark.parametrize("dim", [None, 1, 8, DIM, 99])
def test_an_array_has_its_first_dimensions(dim: int | None) -> None:
    """As truncate_dim of sentence-transformers gives them: not brought to norm 1."""
    array = Variant(dim).of_array(DOCS)
    assert array.tobytes() == DOCS[:, :dim].tobytes()
    assert array.dtype == np.float32


def test_an_array_in_float16_is_rounded() -> None:
    """And float32 again, for whoever computes with it."""
    array = Variant(8, "float16").of_array(DOCS)
    assert array.dtype == np.float32
    assert array.tolist() == DOCS[:, :8].astype(np.float16).tolist()


# End to end.


def tiny_task() -> AbsTaskRetrieval:
    """Sixty documents about ten things in six states, and a query for each thing."""
    things = "otter kettle violin glacier lantern walnut compass harbour thimble meadow".split()
    states = "old,broken,beautiful,lost in winter,painted on canvas,sold at auction".split(",")
    docs = {f"d{10 * s + t}": f"The {thing} is {state}." for s, state in enumerate(states)
            for t, thing in enumerate(things)}  # fmt: skip
    asked = {f"q{t}": f"which {thing} is {states[t % 6]}?" for t, thing in enumerate(things)}
    judged = {
        f"q{t}": {f"d{10 * s + t}": 1 + (s == t % 6) for s in range(0, 6, 1 + t % 3)}
        | {f"d{10 * (t % 6) + t}": 2}
        for t in range(10)
    }

    class TinyRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="TinyRetrieval",
            description="made up here",
            dataset={"path": "tests/tiny", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            part = {
                "corpus": Dataset.from_dict({"id": list(docs), "text": list(docs.values())}),
                "queries": Dataset.from_dict({"id": list(asked), "text": list(asked.values())}),
                "relevant_docs": judged,
                "top_ranked": None,
            }
            self.dataset = {"default": {"test": part}}
            self.data_loaded = True

    return TinyRetrieval()


def scores_of(model: Any) -> dict[str, Any]:
    """Every metric that mteb has of the tiny task."""
    result = mteb.evaluate(
        model, tiny_task(), cache=None, co2_tracker=False, show_progress_bar=False
    )
    scores: dict[str, Any] = result.task_results[0].scores["test"][0]
    return scores


def retriever_over(minilm: Any) -> DenseRetriever:
    """Our engine around the real model, without a store."""
    options = {"store_folder": None, "token_budget": 4096}
    retriever = form_of(minilm, encoder_options=options)
    assert isinstance(retriever, DenseRetriever)
    return retriever


@pytest.mark.parametrize("dim", [16, 128])
def test_a_variant_scores_as_mteb_with_the_model_loaded_at_that_dimension(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, dim: int
) -> None:
    """Every metric within 1e-4: truncate_dim of sentence-transformers, batches of mteb's own."""
    retriever = retriever_over(minilm)
    whole = scores_of(retriever)
    retriever.variant = Variant(dim)
    ours = scores_of(retriever)
    monkeypatch.setattr(minilm.model, "truncate_dim", dim)
    theirs = scores_of(minilm)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        number = isinstance(value, float | int)
        expected = pytest.approx(value, rel=0, abs=1e-4, nan_ok=True) if number else value
        assert ours[name] == expected, name
    if dim == 16:
        assert ours["ndcg_at_10"] != whole["ndcg_at_10"]


@pytest.mark.parametrize("dim", [16, 128])
def test_a_variant_scores_to_the_last_digit_as_the_model_at_that_dimension(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, dim: int
) -> None:
    """In our engine, with the same batches: str, since NaN equals NaN."""
    retriever = retriever_over(minilm)
    retriever.variant = Variant(dim)
    ours = scores_of(retriever)
    monkeypatch.setattr(minilm.model, "truncate_dim", dim)
    truncated = retriever_over(minilm)
    assert str(ours) == str(scores_of(truncated))
    [of_variant], [of_model] = retriever.observations, truncated.observations
    assert {query: list(found.items()) for query, found in of_variant.run.items()} == {
        query: list(found.items()) for query, found in of_model.run.items()
    }


def test_vectors_by_hash_score_to_the_last_digit_as_with_mteb_at_that_dimension(
    minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same vectors for mteb and for us, whatever the batches: nothing is left to differ."""

    def forward(features: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        rows = []
        for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True):
            digest = hashlib.sha256(str(ids[mask.bool()].tolist()).encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            rows.append(rng.integers(-3, 4, size=384).astype(np.float32))
        return {"sentence_embedding": torch.from_numpy(np.array(rows))}

    monkeypatch.setattr(minilm.model, "forward", forward)
    monkeypatch.setattr(type(minilm.model), "__call__", lambda self, *a, **k: self.forward(*a, **k))
    retriever = retriever_over(minilm)
    retriever.variant = Variant(128)
    ours = scores_of(retriever)
    monkeypatch.setattr(minilm.model, "truncate_dim", 128)
    theirs = scores_of(minilm)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert str(ours[name]) == str(value), name
