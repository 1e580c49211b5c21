"""Answers of embedding and rerank routes, checked: as many as asked for, each in its place."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.endpoint.errors import Unreadable

MOST_TOKENS_OF_ANSWER = 1 << 53
"""A count beyond it is none: sums and prices of larger ones are no longer exact."""


def embeddings_of(answer: Any, n_inputs: int) -> npt.NDArray[np.float32]:
    """
    The vectors of an answer of /embeddings, in the order of the inputs.

    Args:
        answer: its JSON; vectors are lists of numbers, or base64 of little-endian float32.
        n_inputs: how many were asked for.

    Returns:
        float32 (n_inputs, dim). A null among the numbers, as some servers write NaN, is NaN.

    Raises:
        Unreadable: another count, an index twice or missing, vectors of several dimensions.
    """
    items = answer.get("data") if isinstance(answer, dict) else None
    in_order = _by_index(items, n_inputs, "embeddings", "texts")
    vectors = [_vector(item.get("embedding")) for item in in_order]
    dims = sorted({len(vector) for vector in vectors})
    if len(dims) != 1 or dims[0] == 0:
        raise Unreadable(f"its vectors have {' and '.join(map(str, dims))} dimensions")
    return np.stack(vectors)


def scores_of(answer: Any, n_documents: int) -> npt.NDArray[np.float32]:
    """
    The scores of an answer of /rerank, in the order of the documents.

    Args:
        answer: its JSON: {"results": [{"index", "relevance_score"}]} with Cohere, Jina, vLLM and
            llama.cpp, [{"index", "score"}] with text-embeddings-inference.
        n_documents: how many were asked for.

    Returns:
        float32 (n_documents,).

    Raises:
        Unreadable: another count, an index twice or missing, a score that is missing or no
            number. A null is NaN.
    """
    items = answer.get("results") if isinstance(answer, dict) else answer
    in_order = _by_index(items, n_documents, "scores", "documents")
    missing = object()
    scores = [item.get("relevance_score", item.get("score", missing)) for item in in_order]
    return _numbers(scores, "a score is missing or no number")


def tokens_of(answer: Any) -> int | None:
    """The tokens that an answer says it took; None where it does not say."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    for name in ("total_tokens", "prompt_tokens"):
        count = usage.get(name) if isinstance(usage, dict) else None
        if type(count) is int and 0 <= count < MOST_TOKENS_OF_ANSWER:
            return count
    return None


def _by_index(items: Any, n: int, what: str, asked: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Unreadable(f"it has no list of {what}")
    if len(items) != n:
        raise Unreadable(f"it has {len(items)} {what} for {n} {asked}")
    indices = [item.get("index") for item in items]
    # By type first: true is 1 to Python, and a list has no place in a set.
    if not all(type(index) is int for index in indices) or set(indices) != set(range(n)):
        # In the order given they could belong to any input.
        raise Unreadable(f"its indices are not 0 to {n - 1}, each once")
    return sorted(items, key=lambda item: item["index"])


def _vector(embedding: Any) -> npt.NDArray[np.float32]:
    otherwise = "an embedding is no list of numbers"
    if not isinstance(embedding, str):
        return _numbers(embedding, otherwise)
    try:
        packed = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    except (ValueError, binascii.Error):
        raise Unreadable(otherwise) from None
    return packed.astype(np.float32)


def _numbers(values: Any, otherwise: str) -> npt.NDArray[np.float32]:
    """A list of numbers, float32 (n_values,); what is too large for it is infinite."""
    # By type first: numpy makes numbers of true, of "1" and of lists in lists.
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float, type(None)}:
        raise Unreadable(otherwise)
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype=np.float32)
    except OverflowError:  # an integer too large even for float64
        raise Unreadable(otherwise) from None
