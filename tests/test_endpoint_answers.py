"""Answers of endpoints: whatever is malformed is unreadable, and so asked for again."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from granite_bench.engine.endpoint.answers import embeddings_of, scores_of, tokens_of
from granite_bench.engine.endpoint.errors import Unreadable

HUGE = 10**400
"""An integer that JSON may hold and no float does."""

NOT_A_NUMBER: dict[str, Any] = {
    "a word": "a",
    "a number as a word": "1",
    "true": True,
    "a list": [1.0],
    "an object": {},
    "a huge integer": HUGE,
}

NOT_AN_INDEX: dict[str, Any] = {
    **NOT_A_NUMBER,
    "null": None,
    "a fraction": 0.5,
    "a float": 1.0,
    "NaN": float("nan"),
    "negative": -1,
    "beyond": 2,
    "twice": 0,
}

NOT_A_LIST: dict[str, Any] = {
    "null": None,
    "a number": 1,
    "a word": "a",
    "true": True,
    "an object": {"0": {}},
    "a list of lists": [[0, 1], [1, 2]],
    "a list of nulls": [None, None],
    "too short": [{"index": 0, "embedding": [1.0], "score": 1.0}],
    "empty": [],
}

NOT_A_VECTOR: dict[str, Any] = {
    "null": None,
    "empty": [],
    "a number": 1.0,
    "an object": {"0": 1.0},
    "of another dimension": [1.0, 2.0, 3.0],
    "lists in a list": [[1.0], [2.0]],
    "a ragged list": [[1.0], [2.0, 3.0]],
    "no base64": "!!!!",
    "base64 cut short": base64.b64encode(bytes(7)).decode(),
    "base64 of nothing": "",
    "no ASCII": "é",
}


def _embeddings() -> dict[str, Any]:
    return {"data": [{"index": i, "embedding": [1.0, 2.0]} for i in range(2)]}


def _scores(name: str = "score") -> list[dict[str, Any]]:
    return [{"index": i, name: i / 2} for i in range(2)]


def _with(answer: Any, path: list[Any], value: Any) -> Any:
    place = answer
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return answer


def _named(values: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("value", values.values(), ids=values)


@_named(NOT_AN_INDEX)
def test_an_index_that_is_none_is_unreadable(value: Any) -> None:
    """Of any type: a list has no place in a set, and true is 1 to Python."""
    with pytest.raises(Unreadable, match="indices are not 0 to 1"):
        embeddings_of(_with(_embeddings(), ["data", 1, "index"], value), 2)
    with pytest.raises(Unreadable, match="indices are not 0 to 1"):
        scores_of(_with(_scores(), [1, "index"], value), 2)


@_named(NOT_A_LIST)
def test_data_that_are_no_list_of_answers_are_unreadable(value: Any) -> None:
    """Objects are looked for, as many as were asked for."""
    with pytest.raises(Unreadable, match=r"no list of embeddings|embeddings for 2 texts"):
        embeddings_of({"data": value}, 2)
    for answer in (value, {"results": value}):
        with pytest.raises(Unreadable, match=r"no list of scores|scores for 2 documents"):
            scores_of(answer, 2)


@_named(NOT_A_NUMBER)
def test_a_number_of_an_embedding_that_is_none_is_unreadable(value: Any) -> None:
    """Numpy would make a number of most of them."""
    with pytest.raises(Unreadable, match="an embedding is no list of numbers"):
        embeddings_of(_with(_embeddings(), ["data", 0, "embedding", 1], value), 2)


@_named(NOT_A_VECTOR)
def test_an_embedding_that_is_no_vector_is_unreadable(value: Any) -> None:
    """A list of numbers or base64, and as long as the others."""
    with pytest.raises(Unreadable, match=r"no list of numbers|dimensions"):
        embeddings_of(_with(_embeddings(), ["data", 1, "embedding"], value), 2)


@_named(NOT_A_NUMBER)
@pytest.mark.parametrize("name", ["score", "relevance_score"])
def test_a_score_that_is_no_number_is_unreadable(name: str, value: Any) -> None:
    """A list would have been spread over the scores of other documents."""
    with pytest.raises(Unreadable, match="a score is missing or no number"):
        scores_of(_with(_scores(name), [0, name], value), 2)
    with pytest.raises(Unreadable, match="a score is missing or no number"):
        scores_of({"results": [{"index": i, name: value} for i in range(2)]}, 2)


def test_a_score_that_is_missing_is_unreadable() -> None:
    """It may come when it is asked for again."""
    with pytest.raises(Unreadable, match="a score is missing"):
        scores_of([{"index": 0, "score": 1.0}, {"index": 1}], 2)


@pytest.mark.parametrize("read", [embeddings_of, scores_of])
def test_no_json_in_any_place_is_more_than_unreadable(read: Callable[[Any, int], Any]) -> None:
    """Every value of these tables in every place of an answer is read, in the shape that was asked
    for, or is Unreadable: nothing else is raised."""
    tables = (NOT_A_NUMBER, NOT_AN_INDEX, NOT_A_LIST, NOT_A_VECTOR)
    values = [value for table in tables for value in table.values()]
    values += [1e39, 10**39, float("inf")]
    answers: list[tuple[Callable[[], Any], list[list[Any]]]] = [
        (_embeddings, [["data"], ["data", 0], *_fields(["data"], "embedding")]),
        (_scores, [[0], *_fields([], "score")]),
        (lambda: {"results": _scores()}, [["results"], ["results", 1]]),
    ]
    n_read = 0
    for make, places in answers:
        for place, value in itertools.product(places, values):
            try:
                found = read(_with(make(), place, value), 2)
            except Unreadable:
                continue
            assert found.dtype == np.float32
            assert found.shape == ((2, 2) if read is embeddings_of else (2,))
            n_read += 1
    assert n_read > 0


def _fields(start: list[Any], name: str) -> list[list[Any]]:
    last = [[*start, 1, name, 0]] if name == "embedding" else []
    return [[*start, 1, "index"], [*start, 1, name], *last]


def test_null_is_nan_and_what_is_too_large_is_infinite() -> None:
    """llama.cpp writes NaN as null; the encoder names the texts of both."""
    numbers = json.loads("[null, 1e999, 1e39, -1e39, 3]")
    expected = [np.nan, np.inf, np.inf, -np.inf, 3]
    answer = {"data": [{"index": 0, "embedding": numbers}]}
    np.testing.assert_array_equal(embeddings_of(answer, 1), [expected])
    scores = [{"index": i, "score": number} for i, number in enumerate(numbers)]
    np.testing.assert_array_equal(scores_of(scores, 5), expected)


@pytest.mark.parametrize(
    "count", ["7", True, -1, 1.5, HUGE, None, [7]], ids=lambda count: str(count)[:4]
)
def test_a_token_count_that_is_none_is_not_said(count: Any) -> None:
    """A cost of it would be a guess."""
    assert tokens_of({"usage": {"total_tokens": count}}) is None
    assert tokens_of({"usage": {"total_tokens": count, "prompt_tokens": 7}}) == 7
