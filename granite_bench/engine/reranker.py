"""
Rerankers in the form that mteb evaluates: they score the candidates of each query.

Reranker is our engine over a model that scores each pair alone, so that pairs can be batched
and kept. RerankerOfMteb wraps a model with code of its own, which may look at all candidates of
a query together: mteb's own search gives its scores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CrossEncoderProtocol, CrossEncoderWrapper, SearchCrossEncoderWrapper

from granite_bench.engine.backends.backend import Instruction, wait_for_device
from granite_bench.engine.backends.cross_encoder import CrossEncoderBackend
from granite_bench.engine.backends.pairs import (
    Pairs,
    PairsCost,
    PairTexts,
    cut_to_tokens,
    find_pairs,
)
from granite_bench.engine.backends.texts import document_ids, query_texts
from granite_bench.engine.encoding.batching import token_budget_batches
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.observation import LATENCY_QUERIES, LATENCY_WARM_UP, Observation
from granite_bench.engine.search.run import Run
from granite_bench.errors import NonFiniteVectors, TaskError


class Reranker:
    """
    A cross-encoder with our batching and store of scores, as mteb's SearchProtocol wants it.

    Scores of all candidates are returned, whatever *top_k* mteb asks for, as mteb's own search
    returns them.

    Args:
        model: what mteb loaded; its *query_prefix* and *passage_prefix*, where it has them, go
            before the texts.
        encoder: what makes its scores, from pair_text to vectors of dimension 1.
        query_tokens: tokens that queries are cut to; None leaves them whole.
        tokenizer: what to cut by, as for cut_to_tokens; with None, queries are left whole.

    Attributes:
        as_arrays: whether search returns a Run; mteb's own scoring needs dictionaries.
        measure_latency: whether the next search is followed by single queries, timed.
    """

    def __init__(
        self,
        model: Any,
        *,
        encoder: Encoder,
        query_tokens: int | None = None,
        tokenizer: Any = None,
    ) -> None:
        self.mteb_model_meta = model.mteb_model_meta
        self.encoder = encoder
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.as_arrays = False
        self.model = model
        self.tokenizer = tokenizer
        self._query_tokens = query_tokens
        self._query_prefix: str = getattr(model, "query_prefix", "")
        self._document_prefix: str = getattr(model, "passage_prefix", "")
        self._corpus: Dataset | None = None

    @property
    def prefixes(self) -> tuple[str, str]:
        """What goes before queries, and before documents."""
        return self._query_prefix, self._document_prefix

    def index(self, corpus: Dataset, *, hf_split: str, hf_subset: str, **kwargs: Any) -> None:
        """Take the corpus; nothing is computed (mteb's SearchProtocol)."""
        self._corpus = corpus
        self.observations.append(Observation(hf_split, hf_subset, n_docs=len(corpus)))

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata: TaskMetadata,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> Mapping[str, dict[str, float]]:
        """
        Score the candidates of every query (mteb's SearchProtocol).

        Raises:
            TaskError: no query has candidates, a candidate is not in the corpus, or a score is
                NaN or infinite. What was scored before is kept.
        """
        if self._corpus is None:
            raise ValueError("index comes before search")
        started = time.perf_counter()
        seen = self.observations[-1]
        seen.n_queries, seen.pairs = len(queries), PairsCost()
        backend = self.encoder.backend
        instruction = backend.instruction(task_metadata, None)
        seen.prompts = {"query": self._query_prefix, "document": self._document_prefix}
        if instruction.prompt:
            seen.prompts["pair"] = instruction.prompt
        pairs = find_pairs(list(queries["id"]), document_ids(self._corpus), top_ranked)
        cut = _cut(queries, self._query_tokens, self.tokenizer, seen.pairs)
        prefixed = [self._query_prefix + text for text in query_texts(cut)]
        texts = PairTexts(pairs, prefixed, self._corpus, document_prefix=self._document_prefix)
        cost = EncodingCost()
        try:
            scores = self.encoder.encode(texts, instruction, cost, label="pairs").array()[:, 0]
        except NonFiniteVectors as error:
            raise _not_finite(pairs, error.rows) from None
        finally:
            _add(cost, seen.pairs)
        seen.run = run = Run.from_dicts(pairs.rankings(scores))
        seen.search_seconds = time.perf_counter() - started
        if self.measure_latency:
            seen.query_seconds = list(self._latencies(pairs, texts, instruction))
            self.measure_latency = False
        return run if self.as_arrays else dict(run)

    def _latencies(
        self, pairs: Pairs, texts: PairTexts, instruction: Instruction
    ) -> Iterator[float]:
        """Seconds from a query and its documents to their scores, nothing looked up."""
        backend = self.encoder.backend
        for number, places in enumerate(_first_queries(pairs)):
            of_query = texts.block(places)
            started = time.perf_counter()
            tokens = backend.tokenize(of_query, instruction)
            budget = self.encoder.token_budget
            for batch in token_budget_batches(tokens.lengths, token_budget=budget):
                backend.encode(tokens, batch, instruction)
            wait_for_device(backend.device)
            if number >= LATENCY_WARM_UP:
                yield time.perf_counter() - started


class RerankerOfMteb:
    """
    A reranker that reads pairs in its own way, under mteb's own search, timed.

    Args:
        model: what mteb loaded. Where it has a tokenizer, queries are cut by it; the observation
            says whether they were.
        query_tokens: as for Reranker.
    """

    def __init__(self, model: CrossEncoderProtocol, *, query_tokens: int | None = None) -> None:
        self.mteb_model_meta = model.mteb_model_meta
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.as_arrays = False
        self.model = model
        self._search = SearchCrossEncoderWrapper(model)
        self._query_tokens = query_tokens
        self._tokenizer = _tokenizer_of(model)

    def index(self, corpus: Dataset, *, hf_split: str, hf_subset: str, **kwargs: Any) -> None:
        """Take the corpus; nothing is computed (mteb's SearchProtocol)."""
        self._search.index(corpus, hf_split=hf_split, hf_subset=hf_subset, **kwargs)
        self.observations.append(Observation(hf_split, hf_subset, n_docs=len(corpus)))

    def search(
        self,
        queries: Dataset,
        *,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> Mapping[str, dict[str, float]]:
        """
        Let mteb score the candidates of every query (mteb's SearchProtocol).

        Raises:
            TaskError: as Reranker.search.
        """
        if self._search.task_corpus is None:
            raise ValueError("index comes before search")
        started = time.perf_counter()
        seen = self.observations[-1]
        corpus_ids = document_ids(self._search.task_corpus)
        pairs = find_pairs(list(queries["id"]), corpus_ids, top_ranked)
        seen.n_queries, seen.pairs = len(queries), PairsCost()
        seen.pairs.n_pairs = seen.pairs.n_unique = seen.pairs.n_scored = len(pairs)
        cut = _cut(queries, self._query_tokens, self._tokenizer, seen.pairs)
        candidates: dict[str, list[str]] = {query_id: [] for query_id in pairs.query_ids}
        for query, doc_id in zip(pairs.queries, pairs.doc_ids, strict=True):
            candidates[pairs.query_ids[query]].append(doc_id)
        scoring = time.perf_counter()
        found = self._search.search(cut, top_ranked=candidates, **kwargs)
        seen.pairs.score_seconds = time.perf_counter() - scoring
        scores = [
            found[pairs.query_ids[q]][d] for q, d in zip(pairs.queries, pairs.doc_ids, strict=True)
        ]
        bad = [row for row, score in enumerate(scores) if not math.isfinite(score)]
        if bad:
            raise _not_finite(pairs, bad)
        seen.run = run = Run.from_dicts(found)
        seen.search_seconds = time.perf_counter() - started
        if self.measure_latency:
            seen.query_seconds = list(self._latencies(pairs, cut, candidates, kwargs))
            self.measure_latency = False
        return run if self.as_arrays else dict(run)

    def _latencies(
        self,
        pairs: Pairs,
        queries: Dataset,
        candidates: Mapping[str, list[str]],
        kwargs: Mapping[str, Any],
    ) -> Iterator[float]:
        for number, places in enumerate(_first_queries(pairs)):
            query = queries.select([int(pairs.queries[places.start])])
            started = time.perf_counter()
            self._search.search(query, top_ranked=candidates, **kwargs)
            if number >= LATENCY_WARM_UP:
                yield time.perf_counter() - started


def reranker_for(
    model: Any,
    *,
    identity: Mapping[str, Any],
    encoder_options: Mapping[str, Any],
    query_tokens: int | None = None,
) -> Reranker | RerankerOfMteb:
    """
    The form in which a loaded reranker is evaluated.

    Args:
        model: what mteb's metadata loaded, with its *mteb_model_meta*.
        identity: what tells this model from others, as for Encoder.
        encoder_options: store_folder and token_budget of Encoder.
        query_tokens: as for Reranker.

    Raises:
        TaskError: the model gives more than one score per pair.
    """
    # The exact class: a subclass may prepare its inputs in its own way.
    if type(model) is not CrossEncoderWrapper:
        return RerankerOfMteb(model, query_tokens=query_tokens)
    backend = CrossEncoderBackend(model)
    # Prefixes and the cut of queries are in the text of a pair, and so in its address.
    encoder = Encoder(backend, {**identity, "activation": backend.activation}, **encoder_options)
    return Reranker(model, encoder=encoder, query_tokens=query_tokens, tokenizer=backend.tokenizer)


def is_reranker(model: object) -> bool:
    """Whether reranker_for takes this model: it scores pairs."""
    return isinstance(model, CrossEncoderProtocol)


def _cut(queries: Dataset, query_tokens: int | None, tokenizer: Any, cost: PairsCost) -> Dataset:
    """The queries with their texts cut, where they can be; their instructions stay."""
    texts = list(queries["text"])
    # A conversation has no end that could be cut off: its last turn is the question.
    can_be_cut = tokenizer is not None and all(isinstance(text, str) for text in texts)
    if query_tokens is None or not can_be_cut:
        return queries
    cut = cut_to_tokens(texts, query_tokens, tokenizer)
    cost.query_tokens = query_tokens
    cost.n_queries_cut = sum(a != b for a, b in zip(texts, cut, strict=True))
    if not cost.n_queries_cut:
        return queries
    return queries.remove_columns("text").add_column("text", cut)


def _tokenizer_of(model: Any) -> Any:
    """The tokenizer of a model, or of the model that it holds; None where none is found."""
    for owner in (model, getattr(model, "model", None)):
        tokenizer = getattr(owner, "tokenizer", None)
        if callable(tokenizer):
            return tokenizer
    return None


def _first_queries(pairs: Pairs) -> Iterator[slice]:
    """The places of the pairs of some queries that have candidates, to be timed."""
    with_pairs = np.unique(pairs.queries)[: LATENCY_WARM_UP + LATENCY_QUERIES]
    for query in with_pairs:
        yield slice(*map(int, np.searchsorted(pairs.queries, [query, query + 1])))


def _add(cost: EncodingCost, pairs: PairsCost) -> None:
    """Name what the encoder counted in the words of pairs."""
    pairs.n_pairs = cost.n_texts
    pairs.n_unique = cost.n_unique
    pairs.n_scored = cost.n_encoded
    pairs.n_truncated = cost.n_truncated
    pairs.n_tokens = cost.n_tokens_encoded
    pairs.n_tokens_padded = cost.n_tokens_padded
    pairs.score_seconds = cost.encode_seconds
    pairs.store_seconds = cost.store_seconds


def _not_finite(pairs: Pairs, rows: Sequence[int]) -> TaskError:
    first = rows[0]
    return TaskError(
        f"the scores of {len(rows)} of {len(pairs)} pairs are NaN or infinite (first: query "
        f"'{pairs.query_ids[pairs.queries[first]]}', document '{pairs.doc_ids[first]}')\n"
        "  nothing was saved for this task; try --dtype float32"
    )
