"""
Pairs of a query and a document: what a cross-encoder scores.

A pair goes through the encoder and the store as one text, the JSON array of the two, so equal
pairs are scored once and a crash costs one shard, as with vectors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from granite_bench.engine.backends.texts import DocumentTexts
from granite_bench.errors import TaskError

PAIRS_PER_BLOCK = 1024
"""Pairs whose documents are in memory at once."""

ROLE = "pair"
"""What the text of a pair is, in an Instruction."""


@dataclass
class PairsCost:
    """
    What scoring the candidates of all queries took.

    Attributes:
        n_pairs: pairs of a query and one of its candidates.
        n_unique: different ones among them.
        n_scored: of these, scored now; the others came from the store.
        n_truncated: of n_unique, longer than the model's maximum length.
        n_queries_cut: queries that were longer than *query_tokens*.
        query_tokens: tokens that queries were cut to; None where they were left whole, or the
            model has no tokenizer to cut them by.
        n_tokens: tokens of the pairs scored now, truncated, without padding.
        n_tokens_padded: the same with the padding of their batches.
        score_seconds: model, and waiting for the tokenizer, for the pairs scored now.
        store_seconds: reading and writing scores.

    A model that scores pairs in its own way says only how many there were: it leaves the tokens,
    n_truncated and store_seconds at 0.
    """

    n_pairs: int = 0
    n_unique: int = 0
    n_scored: int = 0
    n_truncated: int = 0
    n_queries_cut: int = 0
    query_tokens: int | None = None
    n_tokens: int = 0
    n_tokens_padded: int = 0
    score_seconds: float = 0.0
    store_seconds: float = 0.0


def pair_text(query: str, document: str) -> str:
    """The pair as one text; different pairs have different texts."""
    return json.dumps([query, document], ensure_ascii=False)


def pair_of(text: str) -> tuple[str, str]:
    """The query and the document of a pair_text."""
    query, document = json.loads(text)
    return query, document


@dataclass(frozen=True)
class Pairs:
    """
    What there is to score, query by query.

    Attributes:
        query_ids: of all queries, in their order.
        queries: intp (n_pairs,), the number of each pair's query; ascending.
        doc_ids: n_pairs document ids, in the order of the first stage.
        docs: intp (n_pairs,), the row of each pair's document in the corpus.
    """

    query_ids: Sequence[str]
    queries: npt.NDArray[np.intp]
    doc_ids: Sequence[str]
    docs: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.doc_ids)

    def rankings(self, scores: npt.NDArray[np.float32]) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, for the scores of all pairs; float32 (n_pairs,)."""
        rankings: dict[str, dict[str, float]] = {query_id: {} for query_id in self.query_ids}
        for query, doc_id, score in zip(self.queries, self.doc_ids, scores.tolist(), strict=True):
            rankings[self.query_ids[query]][doc_id] = score
        return rankings


def find_pairs(
    query_ids: Sequence[str],
    corpus_ids: pa.ChunkedArray,
    top_ranked: Mapping[str, Sequence[str]] | None,
) -> Pairs:
    """
    Every query with each of its candidates.

    Args:
        query_ids: the task's queries; one without candidates has no pairs.
        corpus_ids: of all documents, in the order of the corpus.
        top_ranked: query id -> document ids, best first; a document that is named twice counts
            once.

    Raises:
        TaskError: no query has candidates, or documents are not in the corpus.
    """
    chosen = [list(dict.fromkeys((top_ranked or {}).get(query_id, ()))) for query_id in query_ids]
    doc_ids = [doc_id for ids in chosen for doc_id in ids]
    if not doc_ids:
        raise TaskError(
            f"none of {len(query_ids)} queries has candidates to rerank\n"
            "  a reranker orders what a first stage has found for the same queries; name it with "
            "--first-stage"
        )
    queries = np.repeat(np.arange(len(chosen)), [len(ids) for ids in chosen])
    encoded = pa.array(doc_ids, pa.large_string()).dictionary_encode()
    # The corpus may be thousands of times larger than its candidates: these make the hash table.
    number_of = pc.index_in(corpus_ids.cast(pa.large_string()), value_set=encoded.dictionary)
    in_corpus = np.flatnonzero(pc.is_valid(number_of).to_numpy())
    row_of = np.full(len(encoded.dictionary), -1, dtype=np.intp)
    row_of[pc.drop_null(number_of).to_numpy()] = in_corpus
    docs = row_of[encoded.indices.to_numpy()]
    lost = np.flatnonzero(docs < 0)
    if len(lost):
        raise TaskError(
            f"{len(lost)} of {len(docs)} candidates are not in the corpus (first: document "
            f"'{doc_ids[lost[0]]}' of query '{query_ids[queries[lost[0]]]}')\n"
            "  the first stage's run is of another corpus; make it from this one"
        )
    return Pairs(query_ids, queries, doc_ids, docs)


class PairTexts:
    """
    The pair_text of every pair, in blocks; may be iterated again.

    Args:
        pairs: which ones.
        queries: the text of each query, as the model is to read it.
        corpus: as for DocumentTexts; no other documents are read from it.
        document_prefix: put before each document's text.
    """

    def __init__(
        self,
        pairs: Pairs,
        queries: Sequence[str],
        corpus: Dataset,
        *,
        document_prefix: str = "",
    ) -> None:
        self._pairs = pairs
        self._queries = queries
        self._corpus = corpus
        self._prefix = document_prefix

    def __iter__(self) -> Iterator[list[str]]:
        for start in range(0, len(self._pairs), PAIRS_PER_BLOCK):
            yield self.block(slice(start, start + PAIRS_PER_BLOCK))

    def block(self, places: slice) -> list[str]:
        """The texts of the pairs at these places."""
        rows, place_of = np.unique(self._pairs.docs[places], return_inverse=True)
        documents = [text for texts in DocumentTexts(self._corpus.select(rows)) for text in texts]
        return [
            pair_text(self._queries[query], self._prefix + documents[place])
            for query, place in zip(self._pairs.queries[places], place_of, strict=True)
        ]


def cut_to_tokens(texts: Sequence[str], n_tokens: int, tokenizer: Any) -> list[str]:
    """
    Each text as far as its first tokens reach.

    Args:
        texts: any strings.
        n_tokens: tokens that are left of a longer text, 1 or more, special ones not counted.
        tokenizer: transformers' tokenizer. A fast one says where a token ends, so the text is cut
            there, before a character that is spread over more tokens than are left; the tokens of
            another are decoded, which may change the text's spaces and case.

    Returns:
        One string per text; the text itself where it has no more than *n_tokens*.
    """
    if n_tokens < 1:
        raise ValueError(f"a text has at least one token left, not {n_tokens}")
    if not texts:
        return []
    is_fast = bool(getattr(tokenizer, "is_fast", False))
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_offsets_mapping=is_fast,
        verbose=False,
    )
    cut = list(texts)
    for row, ids in enumerate(encoded["input_ids"]):
        if len(ids) <= n_tokens:
            continue
        if is_fast:
            offsets = encoded["offset_mapping"][row]
            cut[row] = cut[row][: min(offsets[n_tokens - 1][1], offsets[n_tokens][0])]
        else:
            cut[row] = tokenizer.decode(ids[:n_tokens])
    return cut
