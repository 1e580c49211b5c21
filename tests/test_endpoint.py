"""Endpoints: every way in which a server misbehaves is mended or explained, and nothing is lost."""

from __future__ import annotations

import base64
import logging
import struct
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from endpoint_server import (
    DIM,
    EndpointServer,
    Reply,
    embeddings,
    vector_of,
    well,
)
from mteb.models import ModelMeta
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.endpoint.address import endpoint_faults, key_for
from granite_bench.engine.endpoint.client import Endpoint, Usage
from granite_bench.engine.endpoint.embeddings import EndpointModel
from granite_bench.engine.endpoint.errors import EndpointError, PartlyEncoded
from granite_bench.engine.endpoint.retry import MOST_FAILURES, pause_seconds, retry_after
from granite_bench.errors import BadInput, NonFiniteVectors

TEXTS = ["one", "two words", "three words here", "and four of them"]
PLAIN = Instruction(None, "")


class Clock:
    """A time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """A server that behaves until told otherwise."""
    with EndpointServer().running() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """The time of the client."""
    return Clock()


@pytest.fixture
def model_for(server: EndpointServer, clock: Clock) -> Callable[..., EndpointModel]:
    """Makes a model behind the server; requests come one after the other."""

    def make(name: str = "test-model", meta: ModelMeta | None = None, **options: Any) -> Any:
        options = {"concurrency": 1, "url": server.url} | options
        endpoint = Endpoint(
            options.pop("url"), sleep=clock.sleep, clock=lambda: clock.now, **options
        )
        return EndpointModel(meta or _meta(), endpoint, name=name)

    return make


def _meta(**fields: Any) -> ModelMeta:
    known = {"name": "test/model", "revision": "1", "use_instructions": False}
    return ModelMeta.create_empty(overwrites=known | fields)


def _encode(model: EndpointModel, texts: Sequence[str] = TEXTS) -> Any:
    tokens = model.backend.tokenize(texts, PLAIN)
    return model.backend.encode(tokens, np.arange(len(texts)), PLAIN)


def _expected(texts: Sequence[str] = TEXTS) -> Any:
    return np.array([vector_of(text) for text in texts], dtype=np.float32)


def _answer(change: Callable[[dict[str, Any]], object]) -> Callable[..., Reply]:
    """The right answer, changed."""

    def behave(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
        answer = embeddings(body["input"])
        change(answer)
        return Reply(answer)

    return behave


def _cut(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
    content = str(embeddings(body["input"])).encode()[:-20]
    return Reply(content)


def _lost(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
    content = str(embeddings(body["input"])).encode()
    return Reply(content[:-20], n_bytes=len(content))


fewer = _answer(lambda answer: answer["data"].pop())
twice = _answer(lambda answer: answer["data"][0].update(index=1))
without_index = _answer(lambda answer: answer["data"][0].pop("index"))
shorter = _answer(lambda answer: [item["embedding"].pop() for item in answer["data"]])
ragged = _answer(lambda answer: answer["data"][0]["embedding"].pop())
words = _answer(lambda answer: answer["data"][0].update(embedding=["a"]))
empty = _answer(lambda answer: answer.clear())

MENDED = {
    "500": Reply({"error": "oops"}, 500),
    "502 from a gateway": Reply(b"<html>Bad Gateway</html>", 502, {"Content-Type": "text/html"}),
    "424, an inference that failed": Reply({"error": "backend", "error_type": "Backend"}, 424),
    "429 without Retry-After": Reply({"error": "slow down"}, 429),
    "429 with a Retry-After that is none": Reply({}, 429, {"Retry-After": "soon"}),
    "a dropped connection": Reply(drops=True),
    "JSON cut short": _cut,
    "a connection lost within the answer": _lost,
    "an embedding missing": fewer,
    "an index twice": twice,
    "an index missing": without_index,
    "one vector of another dimension": ragged,
    "words for numbers": words,
    "no data": empty,
    "no answer in time": Reply({}, waits=5),
}


@pytest.mark.parametrize("trouble", MENDED.values(), ids=MENDED)
def test_a_request_is_repeated_and_nothing_lost(
    trouble: Any, server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """One failure costs one more request and one pause, whatever it is."""
    model = model_for(timeout_seconds=0.2)
    server.then(trouble)
    np.testing.assert_array_equal(_encode(model), _expected())
    assert len(server.bodies) == 2
    assert len(clock.slept) == 1
    assert 0.25 <= clock.slept[0] <= 0.5
    assert model.backend.endpoint.usage.n_repeated == 1


def test_retry_after_in_seconds_is_waited_for(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """A pause that the server asks for replaces ours."""
    server.then(Reply({}, 429, {"Retry-After": "7"}))
    _encode(model_for())
    assert len(server.bodies) == 2
    assert 7 <= sum(clock.slept) <= 7.6


def test_retry_after_as_a_date_is_waited_for(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """RFC 9110, 10.2.3: a date is as good as a number."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.then(Reply({}, 503, {"Retry-After": date}))
    _encode(model_for())
    assert len(server.bodies) == 2
    assert 28 <= sum(clock.slept) <= 31


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0.5", 0.5),
        ("-3", 0),
        ("Sat, 21 Nov 2026 10:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0),
        ("Sat, 21 Nov 2026 10:00:30", 30),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    """A time that has gone by is no pause, and nonsense is as good as nothing."""
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert retry_after({"retry-after": value}, now) == seconds


def test_pauses_double_up_to_a_minute() -> None:
    """Half a second, one, two, and so on, less up to a half."""
    longest = [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    for n_failures, seconds in enumerate(longest, start=1):
        assert seconds / 2 <= pause_seconds(n_failures, None) <= seconds


def test_a_huge_retry_after_is_explained_at_once(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """Nobody waits for an hour before a terminal; the command can be given again."""
    server.always(Reply({"error": {"message": "daily limit"}}, 429, {"Retry-After": "3600"}))
    with pytest.raises(
        EndpointError, match=r"429 .*: daily limit; it asks to wait 3,600 s\n.*kept"
    ):
        _encode(model_for())
    assert len(server.bodies) == 1
    assert clock.slept == []


def test_a_busy_server_is_asked_until_patience_ends(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """A rate limit is no failure: it is waited for longer than the tries of a failure take."""
    server.always(Reply({}, 429, {"Retry-After": "20"}))
    with pytest.raises(EndpointError, match="429"):
        _encode(model_for(patience_seconds=400))
    assert len(server.bodies) == pytest.approx(20, abs=1)
    assert len(server.bodies) > MOST_FAILURES
    assert sum(clock.slept) <= 400


def test_a_server_that_stays_down_is_explained(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """Address, status, the server's words, what was tried, and the next step."""
    model = model_for()
    server.always(Reply({"message": "loading the model"}, 503))
    with pytest.raises(EndpointError) as raised:
        _encode(model)
    message = str(raised.value)
    assert f"POST {server.url}/embeddings: 503 Service Unavailable: loading the model" in message
    assert f"after asking {MOST_FAILURES} times" in message
    assert "the same command goes on" in message
    assert len(server.bodies) == MOST_FAILURES
    assert sum(clock.slept) < 64


@pytest.mark.parametrize(
    ("trouble", "words_of_it"),
    [
        (fewer, "3 embeddings for 4 texts"),
        (twice, "indices are not 0 to 3, each once"),
        (ragged, "vectors have 7 and 8 dimensions"),
        (_cut, "it is no JSON"),
        (empty, "no list of embeddings"),
    ],
)
def test_answers_that_stay_wrong_are_explained(
    trouble: Any, words_of_it: str, server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Each may have to be paid for, so three are enough."""
    server.always(trouble)
    with pytest.raises(EndpointError, match=words_of_it):
        _encode(model_for())
    assert len(server.bodies) == 3


def test_a_dimension_that_changes_between_answers_is_refused(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Once wrong is repeated, always wrong is explained with both dimensions."""
    model = model_for()
    _encode(model)
    server.then(shorter)
    np.testing.assert_array_equal(_encode(model), _expected())
    server.always(shorter)
    with pytest.raises(EndpointError, match="have 7 dimensions, those before had 8"):
        _encode(model)


def test_answers_that_differ_from_a_wrong_first_one_are_not_kept(
    server: EndpointServer, model_for: Callable[..., EndpointModel], tmp_path: Path
) -> None:
    """Nothing says which dimension is right, so nothing is stored, and the next try begins anew."""
    texts = [f"text {number:03}" for number in range(64 * 3)]
    model = model_for()
    encoder = _encoder(model, tmp_path)
    server.then(shorter)
    with pytest.raises(EndpointError, match=r"first answers had 7 and 8 dimensions.*none of them"):
        encoder.encode([texts], PLAIN, EncodingCost(), label="texts")
    assert model.backend.dim is None
    server.bodies.clear()
    encoded = encoder.encode([texts], PLAIN, EncodingCost(), label="texts")
    np.testing.assert_array_equal(encoded.array(), _expected(texts))
    assert len(server.texts) == len(texts)


def test_answers_of_a_known_dimension_are_kept_though_later_ones_differ(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """After a whole batch the dimension is known, and what has it is right and paid for."""
    texts = [f"text {number:03}" for number in range(64 * 2)]
    model = model_for()
    _encode(model)
    server.then(well)
    server.always(shorter)
    with pytest.raises(PartlyEncoded) as raised:
        _encode(model, texts)
    np.testing.assert_array_equal(raised.value.vectors, _expected(texts[:64]))
    assert model.backend.dim == DIM


def test_answers_in_another_order_are_put_right(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """The index says where a vector belongs, not its place."""
    server.then(_answer(lambda answer: answer["data"].reverse()))
    np.testing.assert_array_equal(_encode(model_for()), _expected())
    assert len(server.bodies) == 1


def test_base64_is_read(server: EndpointServer, model_for: Callable[..., EndpointModel]) -> None:
    """Some servers pack vectors whatever was asked for."""

    def packed(answer: dict[str, Any]) -> None:
        for item in answer["data"]:
            content = struct.pack(f"<{DIM}f", *item["embedding"])
            item["embedding"] = base64.b64encode(content).decode()

    server.always(_answer(packed))
    np.testing.assert_array_equal(_encode(model_for()), _expected())


def test_a_server_that_refuses_the_encoding_is_asked_without(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """One request finds it out, and it is remembered."""

    def strict(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
        if "encoding_format" in body:
            return Reply({"error": {"message": "Unknown parameter: encoding_format"}}, 400)
        return well(server, body)

    server.always(strict)
    model = model_for()
    for _ in range(2):
        np.testing.assert_array_equal(_encode(model), _expected())
    assert ["encoding_format" in body for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize("bad", [float("nan"), None], ids=["NaN", "null"])
def test_numbers_that_are_none_name_their_texts(
    bad: float | None,
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    tmp_path: Path,
) -> None:
    """NaN goes to the encoder, which knows the texts; llama.cpp writes it as null."""
    server.always(_answer(lambda answer: answer["data"][0]["embedding"].__setitem__(2, bad)))
    encoder = _encoder(model_for(), tmp_path)
    with pytest.raises(NonFiniteVectors) as raised:
        encoder.encode([TEXTS], PLAIN, EncodingCost(), label="texts")
    # Longest first, so the first of the request is the third text.
    assert raised.value.rows == [TEXTS.index(server.texts[0])]


@pytest.mark.parametrize(
    ("reply", "words_of_it"),
    [
        (
            Reply({"error": {"message": "bad key"}}, 401),
            "401 Unauthorized: bad key\n  no key was sent",
        ),
        (Reply({"detail": "no access"}, 403), "403 Forbidden: no access"),
        (
            Reply(b"<html>Welcome</html>", 200, {"Content-Type": "text/html"}),
            "a web page came back",
        ),
        (Reply({}, 301, {"Location": "https://example.org/v1"}), "points to https://example.org"),
        (Reply({"error": {"code": "insufficient_quota"}}, 429), "no more to spend"),
        (Reply({"error": "not implemented"}, 501), "501"),
    ],
)
def test_what_no_repetition_mends_is_asked_once(
    reply: Reply,
    words_of_it: str,
    server: EndpointServer,
    clock: Clock,
    model_for: Callable[..., EndpointModel],
) -> None:
    """And says what would."""
    server.always(reply)
    with pytest.raises(EndpointError, match=words_of_it):
        _encode(model_for())
    assert len(server.bodies) == 1
    assert clock.slept == []


def test_a_model_that_is_not_there_brings_the_list(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """404 for the model, not the route."""
    server.models = [{"id": "bge-m3"}, {"id": "e5"}]
    server.always(Reply({"error": {"message": "The model `other` does not exist."}}, 404))
    with pytest.raises(EndpointError, match=r"does not exist.\n.*'other'; it lists bge-m3, e5"):
        _encode(model_for("other"))
    assert len(server.bodies) == 1


def test_a_server_that_is_not_there_is_explained_soon(clock: Clock) -> None:
    """A wrong port is found out in three tries."""
    with EndpointServer().running() as gone:
        url = gone.url
    endpoint = Endpoint(url, sleep=clock.sleep, clock=lambda: clock.now)
    with pytest.raises(
        EndpointError, match=r"the connection failed.*\n.*3 times.*is the server run"
    ):
        EndpointModel(_meta(), endpoint, name="test-model")
    assert endpoint.usage.n_requests == 3


def test_a_batch_that_is_too_big_is_halved_and_remembered(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """16 is refused, 8 too, 4 is taken; the next batch of 16 is asked for in fours at once."""
    server.most_inputs = 4
    texts = [f"text {number}" for number in range(16)]
    model = model_for()
    np.testing.assert_array_equal(_encode(model, texts), _expected(texts))
    assert [len(body["input"]) for body in server.bodies] == [16, 8, 4, 4, 4, 4]
    _encode(model, texts)
    assert [len(body["input"]) for body in server.bodies[6:]] == [4, 4, 4, 4]


def test_a_server_too_slow_for_a_batch_gets_halves(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """After two timeouts of the same request."""

    def slow(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
        reply = well(server, body)
        reply.waits = 5 if len(body["input"]) > 2 else 0
        return reply

    server.always(slow)
    np.testing.assert_array_equal(_encode(model_for(timeout_seconds=0.2)), _expected())
    assert [len(body["input"]) for body in server.bodies] == [4, 4, 2, 2]


def test_a_text_that_is_too_long_is_named(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Halving finds it, and the message says which it is; the others are not lost."""
    server.refuses = lambda text: len(text) > 1000
    texts = [*TEXTS, "long " * 300]
    with pytest.raises(PartlyEncoded, match=r"1,500 characters is refused: 'long long") as raised:
        _encode(model_for(), texts)
    assert [len(body["input"]) for body in server.bodies] == [5, 2, 1, 2, 1, 1]
    assert raised.value.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(raised.value.vectors, _expected())


def test_empty_texts_that_a_server_refuses_are_zeros(
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As in mteb's client for OpenAI; a warning says so, and later ones are not sent."""
    server.refuses = lambda text: not text.strip()
    model = model_for()
    texts = ["one", " ", "two"]
    vectors = _encode(model, texts)
    np.testing.assert_array_equal(vectors[[0, 2]], _expected(["one", "two"]))
    np.testing.assert_array_equal(vectors[1], np.zeros(DIM))
    assert caplog.text.count("refuses empty texts") == 1
    np.testing.assert_array_equal(_encode(model, ["", ""]), np.zeros((2, DIM)))
    assert [body["input"] for body in server.bodies] == [texts, [" "], ["one", "two"]]


def test_empty_texts_that_a_server_takes_are_its_own(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """A batch that is refused for its size is no reason to make its empty text zeros."""
    server.most_inputs = 2
    texts = ["one", "", "two"]
    np.testing.assert_array_equal(_encode(model_for(), texts), _expected(texts))


def test_so_many_requests_are_in_flight_and_no_more(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """The concurrency is a limit, and is used."""

    def leisurely(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
        reply = well(server, body)
        reply.waits = 0.05
        return reply

    server.always(leisurely)
    model = model_for(concurrency=3)
    texts = [f"text {number}" for number in range(64 * 9)]
    np.testing.assert_array_equal(_encode(model, texts), _expected(texts))
    assert len(server.bodies) == 9
    assert server.most_in_flight == 3


def test_after_a_failure_no_further_request_is_sent(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """What is on its way is kept, what waits is dropped."""
    texts = [f"text {number}" for number in range(64 * 9)]
    server.then(well, Reply({}, 401))
    with pytest.raises(PartlyEncoded) as raised:
        _encode(model_for(), texts)
    assert len(server.bodies) == 2
    assert raised.value.rows.tolist() == list(range(64))


def test_a_pause_holds_for_all_requests(
    server: EndpointServer, clock: Clock, model_for: Callable[..., EndpointModel]
) -> None:
    """A server that asked one request to wait is not asked by another meanwhile."""
    model = model_for()
    endpoint = model.backend.endpoint
    endpoint._pause_until = 12.0  # what another thread was told
    _encode(model)
    assert clock.slept == [12.0]


def test_tokens_are_counted_as_the_server_counts(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Ten words are ten tokens here; the price is per million."""
    model = model_for()
    before = model.backend.endpoint.usage
    _encode(model)
    used = model.backend.endpoint.usage.since(before)
    assert used == Usage(n_requests=1, n_tokens=10)
    assert used.price(0.02) == pytest.approx(10 * 0.02 / 1e6)


def test_a_server_that_counts_no_tokens_has_no_price(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """A cost of nothing would be a guess."""
    server.always(_answer(lambda answer: answer.pop("usage")))
    model = model_for()
    _encode(model)
    assert model.backend.endpoint.usage.n_uncounted == 1
    assert model.backend.endpoint.usage.price(0.02) is None


# The encoder over an endpoint: the store, and going on after a failure.


def _encoder(model: EndpointModel, folder: Path) -> Encoder[Any]:
    identity = {"model": "test/model", **model.identity}
    return Encoder(model.backend, identity, store_folder=folder, token_budget=1 << 24)


def test_a_run_goes_on_where_the_server_failed(
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finished shards are not asked for again, and all vectors are right in the end."""
    monkeypatch.setattr("granite_bench.engine.encoding.encoder.TEXTS_PER_SHARD", 10)
    texts = [f"text {number:02}" for number in range(40)]
    server.then(well, well, Reply({}, 401))
    with pytest.raises(EndpointError):
        _encoder(model_for(), tmp_path).encode([texts], PLAIN, EncodingCost(), label="texts")
    done = set(server.bodies[0]["input"]) | set(server.bodies[1]["input"])
    server.bodies.clear()
    cost = EncodingCost()
    encoded = _encoder(model_for(), tmp_path).encode([texts], PLAIN, cost, label="texts")
    np.testing.assert_array_equal(encoded.array(), _expected(texts))
    assert sorted(server.texts) == sorted(set(texts) - done)
    assert cost.n_encoded == 20


def test_what_was_answered_before_a_failure_is_not_paid_for_twice(
    server: EndpointServer, model_for: Callable[..., EndpointModel], tmp_path: Path
) -> None:
    """Within a shard too: of five requests two were answered, so three are left to be sent."""
    texts = [f"text {number:03}" for number in range(64 * 5)]
    server.then(well, well, Reply({}, 401))
    with pytest.raises(EndpointError):
        _encoder(model_for(), tmp_path).encode([texts], PLAIN, EncodingCost(), label="texts")
    done = set(server.bodies[0]["input"]) | set(server.bodies[1]["input"])
    server.bodies.clear()
    encoded = _encoder(model_for(), tmp_path).encode([texts], PLAIN, EncodingCost(), label="texts")
    np.testing.assert_array_equal(encoded.array(), _expected(texts))
    assert len(server.bodies) == 3
    assert sorted(server.texts) == sorted(set(texts) - done)


def test_what_is_stored_is_not_asked_for_again(
    server: EndpointServer, model_for: Callable[..., EndpointModel], tmp_path: Path
) -> None:
    """The same server and model find their vectors; another model does not."""
    for name, n_requests in [("test-model", 1), ("test-model", 1), ("other", 2)]:
        encoder = _encoder(model_for(name), tmp_path)
        encoder.encode([TEXTS], PLAIN, EncodingCost(), label="texts")
        assert len(server.bodies) == n_requests


def test_another_model_at_the_same_address_is_asked_again(
    server: EndpointServer, model_for: Callable[..., EndpointModel], tmp_path: Path
) -> None:
    """llama.cpp answers any name with the one file it was started with."""
    for file, n_requests in [("a.gguf", 1), ("a.gguf", 1), ("b.gguf", 2)]:
        server.models = [{"id": file}]
        encoder = _encoder(model_for("org/m"), tmp_path)
        encoder.encode([TEXTS], PLAIN, EncodingCost(), label="texts")
        assert len(server.bodies) == n_requests


# What a server says of itself.


def test_text_embeddings_inference_says_what_it_serves(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Its model's revision is part of the identity, its batch limit is kept from the start."""
    server.info = {
        "model_id": "org/m",
        "model_sha": "abc",
        "max_client_batch_size": 2,
        "version": "1",
    }
    server.models = []
    model = model_for("org/m")
    assert model.identity["served"] == {"model": "org/m", "model_id": "org/m", "model_sha": "abc"}
    _encode(model)
    assert [len(body["input"]) for body in server.bodies] == [2, 2]


def test_vllm_is_told_to_cut_long_texts(
    server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """It refuses them otherwise, where the model itself would cut them."""
    entry = {"id": "org/m", "owned_by": "vllm", "root": "org/m", "max_model_len": 512, "created": 1}
    server.models = [entry]
    model = model_for("org/m")
    _encode(model)
    assert server.bodies[0]["truncate_prompt_tokens"] == -1
    assert model.identity["served"] == {"model": "org/m", "root": "org/m", "max_model_len": 512}


def test_another_model_than_the_one_asked_for_is_a_warning(
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """text-embeddings-inference answers whatever name it is called by."""
    server.info = {"model_id": "org/other", "max_client_batch_size": 32}
    model_for("org/m")
    assert "asked for org/m, the server says that it serves org/other" in caplog.text
    server.info = None
    model_for("org/m")
    assert "asked for org/m, the server lists test-model" in caplog.text


@pytest.mark.parametrize(("listed", "asked"), [("m", "m"), ("org/m", "org/m"), ("other", "org/m")])
def test_a_server_is_asked_by_the_name_it_lists(
    listed: str, asked: str, server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """openai/text-embedding-3-small is text-embedding-3-small to OpenAI."""
    server.models = [{"id": listed}]
    _encode(model_for("org/m"))
    assert server.bodies[0]["model"] == asked


@pytest.mark.parametrize("route", ["/v1", ""])
@pytest.mark.parametrize("given", ["/v1", "", "/v1/", "/"])
def test_the_base_is_given_with_or_without_its_version(
    route: str, given: str, server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """Servers differ in what stands under /v1, and people in what they copy."""
    server.route = route
    np.testing.assert_array_equal(_encode(model_for(url=server.root + given)), _expected())


# Prompts.


@pytest.mark.parametrize(
    "name", ["intfloat/multilingual-e5-small", "intfloat/e5-mistral-7b-instruct"]
)
@pytest.mark.parametrize("role", list(PromptType))
def test_prompts_are_those_of_mteb(
    name: str, role: PromptType, server: EndpointServer, model_for: Callable[..., EndpointModel]
) -> None:
    """The text that is sent begins with what mteb's metadata put before it."""
    task = mteb.get_task("SciFact").metadata
    model = model_for(name, mteb.get_model_meta(name))
    model.encode([{"text": ["a"]}], task_metadata=task, hf_split="", hf_subset="", prompt_type=role)
    expected = {
        ("intfloat/multilingual-e5-small", PromptType.query): "query: a",
        ("intfloat/multilingual-e5-small", PromptType.document): "passage: a",
        ("intfloat/e5-mistral-7b-instruct", PromptType.query): (
            "Instruct: Given a scientific claim, retrieve documents that support or refute the "
            "claim\nQuery: a"
        ),
        ("intfloat/e5-mistral-7b-instruct", PromptType.document): "a",
    }
    assert server.texts == [expected[name, role]]


def test_a_model_whose_prompts_nobody_knows_is_a_warning(
    model_for: Callable[..., EndpointModel], caplog: pytest.LogCaptureFixture
) -> None:
    """A missing prompt costs points and looks like a weak model."""
    model_for()
    assert "--prompt-query" not in caplog.text
    model_for(meta=_meta(use_instructions=None))
    assert "--prompt-query" in caplog.text


# The key.

KEY = "sk-very-secret-0123456789"


def test_the_key_is_sent_and_shown_nowhere(
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in a log of any level, an error, a traceback, a repr, an identity or a stored file,
    though the server quotes it."""
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    model = model_for(key_variable="MY_KEY")
    encoder = _encoder(model, tmp_path)
    server.then(
        Reply({"error": f"busy, {KEY}"}, 429), well, Reply({"error": f"bad key {KEY}"}, 401)
    )
    encoder.encode([TEXTS], PLAIN, EncodingCost(), label="texts")
    with pytest.raises(EndpointError, match=r"bad key \[key\]\n.*MY_KEY was sent") as raised:
        encoder.encode([["another"]], PLAIN, EncodingCost(), label="texts")
    assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {KEY}"] * 3
    endpoint = model.backend.endpoint
    shown = [
        caplog.text,
        "".join(capfd.readouterr()),
        "".join(traceback.format_exception(raised.value)),
        *map(repr, (endpoint, endpoint._client.headers, model.backend, encoder, model.identity)),
        *(path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*.*")),
    ]
    assert "busy, [key]" in caplog.text
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("n_before", range(270, 305, 5))
def test_a_key_where_a_long_message_is_cut_is_masked_whole(
    n_before: int,
    server: EndpointServer,
    model_for: Callable[..., EndpointModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part of it would be found by nobody's search and by everybody's eye."""
    monkeypatch.setenv("MY_KEY", KEY)
    server.always(Reply({"error": "x" * n_before + KEY + " is not right"}, 401))
    with pytest.raises(EndpointError, match=r"x{270,300}") as raised:
        _encode(model_for(key_variable="MY_KEY"))
    assert KEY[:3] not in str(raised.value)


@pytest.mark.parametrize("key", ["sk-a key", 'sk-"a"', "sk-\\a", "sk-\u00e9"])
def test_a_key_that_could_not_be_masked_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON writes these characters in another way, so a quoted key would not be found."""
    monkeypatch.setenv("MY_KEY", key)
    faults = endpoint_faults("https://example.org", "MY_KEY")
    assert [fault.what for fault in faults] == ["the key has characters that no key has"]


@pytest.mark.parametrize(
    ("url", "variable", "sent"),
    [
        ("https://api.openai.com/v1", None, True),
        ("http://127.0.0.1:8000", None, True),
        ("http://localhost:8000", None, True),
        ("http://gpu-box:8000", None, False),
        ("http://gpu-box:8000", "OPENAI_API_KEY", True),
    ],
)
def test_a_key_goes_in_clear_only_where_the_user_says_so(
    url: str, variable: str | None, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key for OpenAI is in many environments; a measured server is not meant to get it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert (key_for(url, variable) == KEY) is sent


@pytest.mark.parametrize(
    ("url", "words_of_it"),
    [
        (f"https://user:{KEY}@example.org/v1", "has a user name or a password in it"),
        (f"https://{KEY}@example.org/v1", "has a user name or a password in it"),
        (f"https://example.org/v1?api-key={KEY}", "has a query or a fragment"),
        ("ftp://example.org", "no http or https address"),
        ("api.openai.com/v1", "no http or https address"),
        ("http://", "no http or https address"),
        ("http://exa mple.org:port", "is no URL"),
    ],
)
def test_an_address_with_a_secret_or_without_a_host_is_refused(url: str, words_of_it: str) -> None:
    """It would stand in every record; what is secret in it is not repeated."""
    with pytest.raises(BadInput, match=words_of_it) as raised:
        Endpoint(url)
    assert KEY not in str(raised.value)


def test_all_faults_of_the_options_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a key given for the name of its variable is not shown."""
    monkeypatch.delenv("UNSET", raising=False)
    assert [fault.where for fault in endpoint_faults("ftp://x", "UNSET")] == [
        "--endpoint",
        "--api-key-env",
    ]
    faults = [*endpoint_faults("http://x", KEY), *endpoint_faults("http://x", "sk0123456789")]
    assert len(faults) == 2
    assert "0123456789" not in str(faults)
