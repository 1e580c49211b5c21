"""Sparse search is exact: the scores of the whole matrix product, in trec_eval's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sentence_transformers.util import semantic_search
from sparse_store import filled, random_vectors, sparse, stored

from granite_bench.engine.encoding.encoder import Encoded
from granite_bench.engine.search import sparse_search
from granite_bench.engine.search.run import Documents, Run
from granite_bench.engine.search.search import search_exact
from granite_bench.engine.search.similarity import similarity_of
from granite_bench.engine.search.sparse_search import (
    SparseIndex,
    rank_sparse_candidates,
    search_sparse,
)
from granite_bench.engine.sparsity import active_shares, sparsity_of
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import ResidentSparseVectors
from granite_bench.engine.vectors.vectors import ResidentVectors

Dense = npt.NDArray[np.float32]


def whole_numbers(n: int, dim: int, seed: int) -> Dense:
    """Products of them are exact, so many of them are equal."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, dim)) < 0.3, rng.integers(-2, 3, (n, dim)), 0).astype(np.float32)


def ids(prefix: str, n: int, seed: int = 5) -> list[str]:
    """Ids whose order is not that of their numbers."""
    return [f"{prefix}{number}" for number in np.random.default_rng(seed).permutation(10 * n)[:n]]


def index_of(docs: Dense, *, cosine: bool = False) -> SparseIndex:
    """These vectors in memory."""
    return SparseIndex(ResidentSparseVectors(sparse(docs)), cosine=cosine, in_memory=True)


def search(
    queries: Dense, docs: Dense, doc_ids: Sequence[str], *, top_k: int, cosine: bool = False
) -> Run:
    """Queries are q0, q1, ..."""
    query_ids = [f"q{number}" for number in range(len(queries))]
    index = index_of(docs, cosine=cosine)
    return search_sparse(sparse(queries), index, query_ids, Documents(doc_ids), top_k=top_k)


def in_order(scores: npt.NDArray[np.floating], doc_ids: Sequence[str], top_k: int) -> list[str]:
    """Highest score first, then the higher id."""
    pairs = sorted(zip(scores.tolist(), doc_ids, strict=True), reverse=True)
    return [doc_id for _, doc_id in pairs[:top_k]]


@pytest.mark.parametrize("top_k", [1, 10, 200, 500])
@pytest.mark.parametrize("threads", [1, 3])
def test_runs_are_those_of_the_matrix_product(
    monkeypatch: pytest.MonkeyPatch, top_k: int, threads: int
) -> None:
    """Exact scores with large ties, over many blocks, passes and threads."""
    monkeypatch.setattr(sparse_search, "DOCS_PER_BLOCK", 17)
    monkeypatch.setattr(sparse_search, "QUERIES_PER_PRODUCT", 3)
    monkeypatch.setattr(sparse_search, "KEPT_BYTES", 8 * (4 * top_k + 1) * 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    docs, queries = whole_numbers(200, 24, 1), whole_numbers(29, 24, 2)
    docs[::9], queries[::9] = 0, 0
    doc_ids = ids("d", 200)
    run = search(queries, docs, doc_ids, top_k=top_k)
    for number, scores in enumerate(queries @ docs.T):
        found = run[f"q{number}"]
        assert list(found) == in_order(scores, doc_ids, top_k)
        assert list(found.values()) == sorted(scores.tolist(), reverse=True)[:top_k]


def test_runs_are_those_of_dense_search() -> None:
    """Our two searches agree in every score and place."""
    docs, queries = whole_numbers(300, 24, 3), whole_numbers(20, 24, 4)
    documents, query_ids = Documents(ids("d", 300)), [f"q{number}" for number in range(20)]
    dot = similarity_of("dot", torch.mm)
    dense = search_exact(
        queries, ResidentVectors(docs), query_ids, documents, top_k=50, similarity=dot
    )
    run = search_sparse(sparse(queries), index_of(docs), query_ids, documents, top_k=50)
    assert np.array_equal(run.docs, dense.docs)
    assert np.array_equal(run.scores, dense.scores)


def test_scores_are_those_of_sentence_transformers() -> None:
    """Its semantic_search with the dot score, on numbers that are not exact."""
    docs, queries = random_vectors(150, 1), random_vectors(20, 2)
    doc_ids = [f"d{number:03}" for number in range(150)]
    run = search(queries, docs, doc_ids, top_k=10)
    theirs = semantic_search(
        torch.from_numpy(queries).to_sparse(),
        torch.from_numpy(docs).to_sparse(),
        top_k=10,
        score_function=lambda a, b: torch.mm(a, b.transpose(0, 1)).to_dense(),
    )
    for number, hits in enumerate(theirs):
        expected = [hit["score"] for hit in hits]
        np.testing.assert_allclose(list(run[f"q{number}"].values()), expected, rtol=1e-5, atol=1e-6)


def test_equal_scores_rank_by_descending_doc_id_where_they_straddle_top_k() -> None:
    """By hand: three documents share the score 2, two places are left for them."""
    docs = np.array([[2, 0], [1, 0], [3, 0], [1, 1], [1, 0]], np.float32)
    run = search(np.array([[2, 0]], np.float32), docs, ["a", "b", "c", "d", "e"], top_k=4)
    assert run["q0"] == {"c": 6.0, "a": 4.0, "e": 2.0, "d": 2.0}
    assert list(run["q0"]) == ["c", "a", "e", "d"]


def test_a_document_without_a_shared_dimension_scores_0() -> None:
    """It ranks above one with a negative score; an empty one is such a document."""
    docs = np.array([[0, 1], [-1, 0], [0, 0], [1, 0]], np.float32)
    run = search(np.array([[2, 0]], np.float32), docs, ["a", "b", "c", "d"], top_k=4)
    assert list(run["q0"].items()) == [("d", 2.0), ("c", 0.0), ("a", 0.0), ("b", -2.0)]


def test_an_empty_query_ranks_all_by_descending_id() -> None:
    """Every score is 0."""
    run = search(np.zeros((1, 3), np.float32), random_vectors(5, 8, 3), list("abcde"), top_k=3)
    assert list(run["q0"].items()) == [("e", 0.0), ("d", 0.0), ("c", 0.0)]


def test_equal_vectors_have_equal_scores_wherever_they_stand() -> None:
    """In blocks of their own, with numbers whose sums depend on their order."""
    docs = np.tile(random_vectors(2, 1, 300)[1], (3 * sparse_search.DOCS_PER_BLOCK // 2, 1))
    docs[1:-1:2] = 0
    run = search(random_vectors(2, 2, 300)[1:], docs, ids("d", len(docs)), top_k=len(docs))
    assert len(set(run["q0"].values())) == 2


def test_copies_of_a_text_are_documents_of_their_own() -> None:
    """Two texts, the first in three documents."""
    documents = Documents(["d1", "d2", "d3", "d4"], np.array([0, 1, 0, 0]))
    index = index_of(np.array([[1, 0], [0, 1]], np.float32))
    queries = sparse([[3, 1]])
    run = search_sparse(queries, index, ["q"], documents, top_k=3)
    assert list(run["q"].items()) == [("d4", 3.0), ("d3", 3.0), ("d1", 3.0)]


def test_cosines_are_those_of_the_dense_vectors() -> None:
    """Empty vectors have the cosine 0 with every other."""
    docs, queries = random_vectors(50, 1), random_vectors(9, 2)
    run = search(queries, docs, [f"d{number:02}" for number in range(50)], top_k=50, cosine=True)
    expected = torch.nn.functional.cosine_similarity(
        torch.from_numpy(queries)[:, None].double(), torch.from_numpy(docs)[None].double(), dim=2
    ).numpy()
    for number in range(9):
        found = [run[f"q{number}"][f"d{doc:02}"] for doc in range(50)]
        np.testing.assert_allclose(found, expected[number], atol=1e-6)
    assert set(run["q0"].values()) == {0.0}


def test_a_score_that_is_not_a_number_names_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are finite, their sum is inf - inf; among passes of 12 queries in two threads."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(sparse_search, "KEPT_BYTES", 12 * 8 * 3)
    monkeypatch.setattr(sparse_search, "QUERIES_PER_PRODUCT", 2)
    huge = float(np.finfo(np.float32).max)
    docs = np.array([[1, 0], [huge, huge]], np.float32)
    queries = np.ones((24, 2), np.float32)
    queries[21] = huge, -huge
    with pytest.raises(ValueError, match="query 'q21': a score is NaN"):
        search(queries, docs, ["a", "b"], top_k=1)


def test_no_queries_or_no_documents_make_an_empty_run() -> None:
    """Each query has an empty ranking."""
    index = SparseIndex(ResidentSparseVectors(SparseRows.empty()), cosine=False, in_memory=True)
    run = search_sparse(sparse([[1.0]]), index, ["q"], Documents([]), top_k=3)
    assert dict(run) == {"q": {}}
    index = index_of(random_vectors(3))
    assert not search_sparse(SparseRows.empty(), index, [], Documents(list("abc")), top_k=3)


def test_a_ranking_of_no_documents_is_an_error() -> None:
    """As are vectors that are not those of the texts."""
    with pytest.raises(ValueError, match="keeps 1 document"):
        search(random_vectors(1), random_vectors(3), list("abc"), top_k=0)
    with pytest.raises(ValueError, match="3 vectors for 2 texts"):
        search(random_vectors(1), random_vectors(3), list("ab"), top_k=1)


def test_a_corpus_on_the_disk_is_searched_as_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks come in the order of the files, and for each search again."""
    monkeypatch.setattr(sparse_search, "DOCS_PER_BLOCK", 13)
    vectors = random_vectors(60)
    documents, query_ids = Documents(ids("d", 60)), [f"q{number}" for number in range(12)]
    queries = sparse(random_vectors(12, 3))
    docs = stored(filled(tmp_path, vectors), range(60))
    on_disk = SparseIndex(docs, cosine=True, in_memory=False)
    for _ in range(2):
        run = search_sparse(queries, on_disk, query_ids, documents, top_k=20)
        in_memory = index_of(vectors, cosine=True)
        same = search_sparse(queries, in_memory, query_ids, documents, top_k=20)
        assert np.array_equal(run.docs, same.docs)
        assert np.array_equal(run.scores, same.scores)


@pytest.mark.parametrize("cosine", [False, True])
def test_candidates_have_the_scores_of_the_whole_search(cosine: bool) -> None:
    """To the last bit, also for copies of a text; only the listed ones are ranked."""
    texts = np.arange(120) % 100
    documents, query_ids = Documents(ids("d", 120), texts), ["q0", "q1", "q2"]
    doc_ids = documents.ids.to_pylist()
    index = index_of(random_vectors(100, dim=300), cosine=cosine)
    queries = sparse(random_vectors(4, 2, 300)[1:])
    whole = search_sparse(queries, index, query_ids, documents, top_k=120)
    candidates = {"q0": doc_ids[::3], "q2": [doc_ids[5], doc_ids[105], doc_ids[5]]}
    run = rank_sparse_candidates(
        queries, index, query_ids, documents, candidates=candidates, top_k=30
    )
    assert run["q1"] == {}
    for query_id, listed in candidates.items():
        expected = [each for each in whole[query_id].items() if each[0] in set(listed)]
        assert list(run[query_id].items()) == expected[:30]


def test_a_candidate_that_there_is_not_is_an_error() -> None:
    """It is named."""
    index, documents = index_of(random_vectors(3)), Documents(list("abc"))
    with pytest.raises(KeyError, match="x"):
        rank_sparse_candidates(
            sparse(random_vectors(1)), index, ["q"], documents,
            candidates={"q": ["a", "x"]}, top_k=3,
        )  # fmt: skip


# how sparse they are


def test_flops_are_the_mean_multiplications_of_all_pairs() -> None:
    """Counted pair by pair, with a text that comes three times."""
    queries, docs = random_vectors(11, 1), random_vectors(30, 2)
    rows = np.array([*range(30), 4, 4])
    doc_shares = active_shares(Encoded(ResidentSparseVectors(sparse(docs)), rows))
    query_shares = active_shares(Encoded(ResidentSparseVectors(sparse(queries)), np.arange(11)))
    found = sparsity_of(query_shares, doc_shares)
    shared = [np.sum((query != 0) & (doc != 0)) for query in queries for doc in docs[rows]]
    assert found.flops == pytest.approx(np.mean(shared), rel=1e-12)
    assert found.query_active_dims == pytest.approx(np.mean((queries != 0).sum(axis=1)))
    assert found.doc_active_dims == pytest.approx(np.mean((docs[rows] != 0).sum(axis=1)))
    assert found.dim == 40


def test_no_texts_are_not_active() -> None:
    """Nothing is divided by 0."""
    nothing = active_shares(
        Encoded(ResidentSparseVectors(SparseRows.empty()), np.empty(0, np.intp))
    )
    found = sparsity_of(np.array([0.5, 1.0]), nothing)
    assert (found.dim, found.query_active_dims, found.doc_active_dims, found.flops) == (
        2,
        1.5,
        0,
        0,
    )
