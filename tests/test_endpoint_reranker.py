"""Rerank endpoints: one request for a query and its documents, scores where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoint_server import EndpointServer, Reply, score_of, well
from mteb.models import ModelMeta

from granite_bench.engine.backends.pairs import pair_text
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.errors import EndpointError, PartlyEncoded
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder

DOCUMENTS = ["alpha", "beta", "gamma", "delta", "epsilon"]


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """A server that behaves until told otherwise."""
    with EndpointServer().running() as running:
        yield running


@pytest.fixture
def reranker(server: EndpointServer) -> Callable[[], EndpointCrossEncoder]:
    """Makes a reranker behind the server; requests come one after the other, without pauses."""

    def make() -> EndpointCrossEncoder:
        endpoint = Endpoint(server.url, concurrency=1, sleep=lambda seconds: None)
        meta = ModelMeta.create_empty(overwrites={"name": "test/reranker", "revision": "1"})
        return EndpointCrossEncoder(meta, endpoint, name="test-model")

    return make


def _scores(model: EndpointCrossEncoder, query: str = "q") -> Any:
    pairs = [pair_text(query, document) for document in DOCUMENTS]
    instruction = model.backend.instruction()
    tokens = model.backend.tokenize(pairs, instruction)
    return model.backend.encode(tokens, np.arange(len(pairs)), instruction)[:, 0]


def _expected(query: str = "q") -> Any:
    return np.array([score_of(query, document) for document in DOCUMENTS], dtype=np.float32)


def test_scores_come_in_the_order_of_the_documents(
    server: EndpointServer, reranker: Callable[[], EndpointCrossEncoder]
) -> None:
    """The server sends the best first; all documents are asked for, and none sent back."""
    np.testing.assert_array_equal(_scores(reranker()), _expected())
    assert server.bodies == [
        {
            "model": "test-model",
            "query": "q",
            "documents": DOCUMENTS,
            "top_n": 5,
            "return_documents": False,
        }
    ]


def test_text_embeddings_inference_is_asked_in_its_own_form(
    server: EndpointServer, reranker: Callable[[], EndpointCrossEncoder]
) -> None:
    """Its route has no version, its documents are texts, its answer is a list."""
    server.info = {"model_id": "test-model", "max_client_batch_size": 2}
    server.route = "/elsewhere"
    np.testing.assert_array_equal(_scores(reranker()), _expected())
    assert server.paths == ["/rerank"] * 3
    assert [body["texts"] for body in server.bodies] == [DOCUMENTS[:2], DOCUMENTS[2:4], ["epsilon"]]
    assert all(body["raw_scores"] and body["truncate"] for body in server.bodies)


def test_pairs_of_a_query_share_a_request(
    server: EndpointServer, reranker: Callable[[], EndpointCrossEncoder], tmp_path: Path
) -> None:
    """The encoder's batch mixes queries; each is asked for once, and never again once stored."""
    for _ in range(2):
        model = reranker()
        identity = dict(model.identity)
        encoder: Encoder[Any] = Encoder(
            model.backend, identity, store_folder=tmp_path, token_budget=1 << 24
        )
        pairs = [pair_text(query, text) for text in DOCUMENTS for query in ("q", "another one")]
        encoded = encoder.encode(
            [pairs], model.backend.instruction(), EncodingCost(), label="pairs"
        )
        scores = encoded.array().reshape(5, 2)
        np.testing.assert_array_equal(scores[:, 0], _expected())
        np.testing.assert_array_equal(scores[:, 1], _expected("another one"))
    assert sorted(body["query"] for body in server.bodies) == ["another one", "q"]


@pytest.mark.parametrize(
    ("change", "words_of_it"),
    [
        (lambda results: results.pop(), "4 scores for 5 documents"),
        (lambda results: results[0].update(index=results[1]["index"]), "indices are not 0 to 4"),
        (
            lambda results: results[0].update(relevance_score="high"),
            "a score is missing or no number",
        ),
    ],
)
def test_a_wrong_answer_is_repeated_and_then_explained(
    change: Callable[[list[dict[str, Any]]], object],
    words_of_it: str,
    server: EndpointServer,
    reranker: Callable[[], EndpointCrossEncoder],
) -> None:
    """A missing score is never a zero."""

    def wrong(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
        reply = well(server, body)
        change(reply.body["results"])
        return reply

    server.then(wrong)
    model = reranker()
    np.testing.assert_array_equal(_scores(model), _expected())
    assert len(server.bodies) == 2
    server.always(wrong)
    with pytest.raises(EndpointError, match=words_of_it):
        _scores(model)
    assert len(server.bodies) == 5


def test_a_document_that_is_refused_is_named(
    server: EndpointServer, reranker: Callable[[], EndpointCrossEncoder]
) -> None:
    """Halving finds it; the scores of those before it are kept."""
    server.refuses = lambda text: text == "gamma"
    with pytest.raises(PartlyEncoded, match="refused: 'gamma'") as raised:
        _scores(reranker())
    assert raised.value.rows.tolist() == [0, 1]
    np.testing.assert_array_equal(raised.value.vectors[:, 0], _expected()[:2])


def test_pairs_of_a_query_share_a_request_in_every_shard(
    server: EndpointServer,
    reranker: Callable[[], EndpointCrossEncoder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In their order, not by length: 8 queries of 5 documents in 4 shards are 8 requests."""
    monkeypatch.setattr("granite_bench.engine.encoding.encoder.TEXTS_PER_SHARD", 10)
    model = reranker()
    encoder: Encoder[Any] = Encoder(
        model.backend,
        model.identity,
        store_folder=tmp_path,
        token_budget=1 << 24,
        longest_first=False,
    )
    pairs = [pair_text(f"q{number}", text) for number in range(8) for text in DOCUMENTS]
    encoder.encode([pairs], model.backend.instruction(), EncodingCost(), label="pairs")
    assert len(server.bodies) == 8
