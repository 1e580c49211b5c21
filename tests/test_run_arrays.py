"""Runs as arrays and as mappings, and the documents that they number."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from granite_bench.engine.search.run import Documents, Run


def a_run() -> Run:
    """Two queries over a, b and c; the second has one document."""
    docs = np.array([[2, 0], [1, -1]], np.int32)
    scores = np.array([[0.5, 0.25], [2.0, np.nan]], np.float32)
    return Run(["q1", "q2"], Documents(["a", "b", "c"]), docs, scores)


def test_a_run_reads_as_dictionaries_best_first() -> None:
    """The empty place of the second query is no document."""
    assert [(query, list(scores.items())) for query, scores in a_run().items()] == [
        ("q1", [("c", 0.5), ("a", 0.25)]),
        ("q2", [("b", 2.0)]),
    ]


def test_a_run_is_equal_to_the_same_dictionaries() -> None:
    """As a mapping is."""
    assert a_run() == {"q1": {"a": 0.25, "c": 0.5}, "q2": {"b": 2.0}}


def test_a_query_that_was_not_searched_is_a_key_error() -> None:
    """As in a dictionary."""
    with pytest.raises(KeyError, match="q3"):
        a_run()["q3"]


def test_ranks_descend_with_ids_as_strings() -> None:
    """By code points, as trec_eval compares bytes of UTF-8: 石, é, b, a, B, 9, 10."""
    documents = Documents(["10", "9", "B", "a", "石", "é", "b"])
    assert documents.ranks.tolist() == [6, 5, 4, 3, 0, 1, 2]
    assert documents.by_rank.tolist() == [4, 5, 6, 3, 2, 1, 0]


def test_documents_without_texts_have_one_each() -> None:
    """Text 0 is that of document 0, and so on."""
    documents = Documents(["b", "c", "a"])
    assert (documents.texts.tolist(), documents.n_texts) == ([0, 1, 2], 3)
    assert documents.text_ranks.tolist() == documents.ranks.tolist() == [1, 0, 2]


def test_the_documents_of_a_text_are_listed_by_descending_id() -> None:
    """Text 0 has a and d, text 1 has c, b and e."""
    documents = Documents(["a", "c", "d", "b", "e"], np.array([0, 1, 0, 1, 1]))
    docs, starts = documents.by_text
    assert [docs[start:stop].tolist() for start, stop in pairwise(starts)] == [
        [2, 0],
        [4, 1, 3],
    ]


def test_a_texts_rank_is_that_of_its_highest_id() -> None:
    """e, d, c, b, a are 0 to 4; text 0 has a and d, text 1 has c, b and e."""
    documents = Documents(["a", "c", "d", "b", "e"], np.array([0, 1, 0, 1, 1]))
    assert documents.text_ranks.tolist() == [1, 0]


@pytest.mark.parametrize("ids", [[], pa.chunked_array([], pa.string())])
def test_there_may_be_no_documents(ids: list[str] | pa.ChunkedArray) -> None:
    """An empty corpus has empty arrays."""
    documents = Documents(ids)
    assert (len(documents), documents.n_texts) == (0, 0)
    assert [len(documents.ranks), len(documents.text_ranks), len(documents.by_text[0])] == [0, 0, 0]


def test_ids_may_be_a_column_in_chunks() -> None:
    """As the datasets library has them, of any of the two string types."""
    column = pa.chunked_array([["a", "c"], ["b"]], pa.string())
    assert Documents(column).ids.to_pylist() == ["a", "c", "b"]
    assert Documents(column).ranks.tolist() == [2, 0, 1]
