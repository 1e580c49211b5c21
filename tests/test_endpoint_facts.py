"""What a server says of itself: part of the record, and never needed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from endpoint_server import EndpointServer, Reply
from mteb.models import ModelMeta

from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.embeddings import EndpointModel
from granite_bench.engine.endpoint.facts import ServerFacts, facts_of
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder

LLAMA_CPP = {
    "id": "/models/bge.Q8_0.gguf",
    "object": "model",
    "created": 1700000000,
    "owned_by": "llamacpp",
    "meta": {
        "vocab_type": 3,
        "n_vocab": 30522,
        "n_ctx_train": 512,
        "n_embd": 384,
        "n_params": 33212160,
        "size": 36685152,
        "since_start": 17,
    },
}


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """A server that behaves until told otherwise."""
    with EndpointServer().running() as running:
        yield running


@pytest.fixture
def facts(server: EndpointServer) -> Callable[[], ServerFacts]:
    """Asks the server for what it serves, without pauses."""
    return lambda: facts_of(Endpoint(server.url, sleep=lambda seconds: None), "org/m")


def _meta() -> ModelMeta:
    known = {"name": "org/m", "revision": "1", "use_instructions": False}
    return ModelMeta.create_empty(overwrites=known)


def test_the_only_model_that_is_listed_is_the_one_served(
    server: EndpointServer, facts: Callable[[], ServerFacts]
) -> None:
    """By its id and by what does not change while it runs; it is asked for by our name still."""
    server.models = [LLAMA_CPP]
    assert facts().model == "org/m"
    assert facts().served == {
        "id": "/models/bge.Q8_0.gguf",
        "meta": {
            "n_vocab": 30522,
            "n_ctx_train": 512,
            "n_embd": 384,
            "n_params": 33212160,
            "size": 36685152,
        },
    }


def test_another_file_under_the_same_name_is_told_apart(
    server: EndpointServer, facts: Callable[[], ServerFacts]
) -> None:
    """llama.cpp's --alias lists any file as org/m."""
    server.models = [{"id": "org/m", "meta": {"size": 36685152}}]
    one = facts().served
    server.models = [{"id": "org/m", "meta": {"size": 67108864}}]
    assert one == {"meta": {"size": 36685152}}
    assert facts().served == {"meta": {"size": 67108864}}


@pytest.mark.parametrize("meta", [None, {}, [], "text", {"owner": "me"}])
def test_meta_of_another_kind_is_left_out(
    meta: Any, server: EndpointServer, facts: Callable[[], ServerFacts]
) -> None:
    """Other programs put there what they like."""
    server.models = [{"id": "x", "meta": meta}]
    assert facts().served == {"id": "x"}


def test_of_several_models_that_are_listed_none_is_guessed(
    server: EndpointServer, facts: Callable[[], ServerFacts]
) -> None:
    """Nobody says which of them answers."""
    server.models = [{"id": "a", "root": "a"}, {"id": "b", "root": "b"}]
    assert facts().served == {}
    assert facts().models == ["a", "b"]


@pytest.mark.parametrize("kind", [EndpointModel, EndpointCrossEncoder])
def test_the_identity_can_be_recorded(
    kind: type[EndpointModel] | type[EndpointCrossEncoder], server: EndpointServer
) -> None:
    """Where it was asked, and for what; JSON as it is."""
    server.models = [LLAMA_CPP]
    identity = kind(_meta(), Endpoint(server.url), name="org/m").identity
    assert set(identity) == {"endpoint", "served"}
    assert identity["endpoint"] == server.url
    assert identity["served"]["model"] == "org/m"
    assert identity["served"]["id"] == "/models/bge.Q8_0.gguf"
    assert json.loads(json.dumps(identity)) == identity


@pytest.mark.parametrize("kind", [EndpointModel, EndpointCrossEncoder])
@pytest.mark.parametrize(
    ("info", "dtype"),
    [
        (None, "as served"),
        ({"max_client_batch_size": 32}, "as served"),
        ({"max_client_batch_size": 32, "model_dtype": "float16"}, "float16"),
    ],
)
def test_the_dtype_is_what_the_server_says(
    info: dict[str, Any] | None,
    dtype: str,
    kind: type[EndpointModel] | type[EndpointCrossEncoder],
    server: EndpointServer,
) -> None:
    """That vectors come as float32 does not say in what they were computed."""
    server.info = info
    assert kind(_meta(), Endpoint(server.url), name="org/m").backend.dtype == dtype


@pytest.mark.parametrize("kind", [EndpointModel, EndpointCrossEncoder])
def test_how_requests_are_made_is_described(
    kind: type[EndpointModel] | type[EndpointCrossEncoder], server: EndpointServer
) -> None:
    """For the record, with the limit that the server has."""
    backend = kind(_meta(), Endpoint(server.url), name="org/m").backend
    assert backend.batches == "up to 64 inputs or 65,536 tokens a request, 8 at a time"
    server.info = {"max_client_batch_size": 4}
    backend = kind(_meta(), Endpoint(server.url, concurrency=2), name="org/m").backend
    assert backend.batches == "up to 4 inputs or 65,536 tokens a request, 2 at a time"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501, 505])
def test_a_server_that_only_encodes_is_asked_once_in_each_place(
    status: int,
    server: EndpointServer,
    facts: Callable[[], ServerFacts],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it would say of itself is not needed; 501: Python's http.server without do_GET."""
    server.models, server.unknown = None, Reply({}, status)
    assert facts() == ServerFacts("org/m", [], {}, None, False, {})
    assert server.asked == ["/info", "/v1/models", "/models"]
    assert caplog.text == ""


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_gateway_that_fails_at_unknown_paths_is_asked_a_few_times(
    status: int,
    server: EndpointServer,
    facts: Callable[[], ServerFacts],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it does know counts; that the rest may have been a failure is said."""
    server.unknown = Reply({"error": "no route"}, status)
    server.models = [{"id": "org/m", "root": "org/m"}]
    assert facts().served == {"root": "org/m"}
    assert server.asked == ["/info"] * 3 + ["/v1/models"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"/info: {status} " in caplog.text
    assert "no route; what the server says there is left out" in caplog.text


def test_a_busy_server_is_waited_for_before_its_facts_are_left_out(server: EndpointServer) -> None:
    """A rate limit says nothing about the route; five pauses of 100 s are within patience."""
    server.unknown = Reply({}, 429, {"Retry-After": "100"})
    times = [0.0]
    endpoint = Endpoint(server.url, sleep=times.append, clock=lambda: sum(times))
    assert facts_of(endpoint, "org/m").models == ["test-model"]
    assert server.asked == ["/info"] * 6 + ["/v1/models"]
