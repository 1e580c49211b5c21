"""A server on loopback with OpenAI's /embeddings and /rerank, which misbehaves when told to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIM = 8


@dataclass
class Reply:
    """
    What the server sends.

    Attributes:
        body: JSON, or bytes as they are.
        n_bytes: the Content-Length it claims; None is the true one.
        drops: close the connection without a word.
        waits: seconds before the answer, cut short when the server closes.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    n_bytes: int | None = None
    drops: bool = False
    waits: float = 0.0


Behaviour = Callable[["EndpointServer", Mapping[str, Any]], Reply]


def vector_of(text: str) -> list[float]:
    """The vector that the server gives a text."""
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:DIM]]


def score_of(query: str, document: str) -> float:
    """The score that the server gives a pair."""
    return vector_of(f"{query}|{document}")[0]


def well(server: EndpointServer, body: Mapping[str, Any]) -> Reply:
    """The right answer, or the refusal of a server with limits."""
    inputs = body.get("input", body.get("documents", body.get("texts", [])))
    if server.most_inputs is not None and len(inputs) > server.most_inputs:
        message = f"batch size {len(inputs)} > maximum allowed batch size {server.most_inputs}"
        return Reply({"error": message, "error_type": "Validation"}, 413)
    refused = [text for text in inputs if server.refuses(text)]
    if refused:
        return Reply({"error": {"message": "an input is empty or too long"}}, 400)
    if "query" in body:
        return Reply(server.scores(body["query"], inputs, form="texts" in body))
    return Reply(embeddings(inputs))


def embeddings(texts: Sequence[str]) -> dict[str, Any]:
    """OpenAI's answer for these texts; a word is a token."""
    data = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
    n_tokens = sum(len(text.split()) for text in texts)
    return {"data": data, "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens}}


class EndpointServer:
    """
    The server while it runs.

    Attributes:
        bodies: of the POST requests that came, in their order; headers and paths likewise.
        asked: the paths of the GET requests that came, in their order.
        models: what it lists; None where it has no such route.
        unknown: what a GET request for a path that it does not have gets.
        most_in_flight: POST requests that were answered at the same time, at most.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.route = "/v1"
        self.asked: list[str] = []
        self.models: list[dict[str, Any]] | None = [{"id": "test-model"}]
        self.unknown = Reply({"detail": "Not Found"}, 404)
        self.info: dict[str, Any] | None = None
        self.most_inputs: int | None = None
        self.refuses: Callable[[str], bool] = lambda text: False
        self.most_in_flight = 0
        self.closing = threading.Event()
        self._behaviours: deque[Behaviour] = deque()
        self._always: Behaviour = well
        self._in_flight = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"{self.root}/v1"

    @property
    def texts(self) -> list[str]:
        """All texts of all requests for embeddings."""
        return [text for body in self.bodies for text in body["input"]]

    def then(self, *behaviours: Behaviour | Reply) -> None:
        """Answer the next POST requests so, and those after them as always."""
        for each in behaviours:
            self._behaviours.append((lambda _, __, r=each: r) if isinstance(each, Reply) else each)

    def always(self, behaviour: Behaviour | Reply) -> None:
        """Answer every POST request so that has no other behaviour."""
        fixed = behaviour
        self._always = (lambda _, __: fixed) if isinstance(fixed, Reply) else fixed

    def scores(self, query: str, documents: Sequence[str], *, form: bool) -> Any:
        """The answer of /rerank, best first; *form*: as text-embeddings-inference has it."""
        name = "score" if form else "relevance_score"
        found = [{"index": i, name: score_of(query, text)} for i, text in enumerate(documents)]
        found.sort(key=lambda each: -each[name])
        return found if form else {"results": found, "usage": {"total_tokens": len(documents)}}

    @contextmanager
    def running(self) -> Iterator[EndpointServer]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def reply(self, path: str, headers: Mapping[str, str], body: dict[str, Any]) -> Reply:
        """What a POST request gets."""
        routes = [f"{self.route}/embeddings", f"{self.route}/rerank"]
        routes += ["/rerank"] if self.info is not None else []
        if path not in routes:
            return Reply({"detail": "Not Found"}, 404)
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(headers))
            self.paths.append(path)
            behaviour = self._behaviours.popleft() if self._behaviours else self._always
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            reply = behaviour(self, body)
            self.closing.wait(reply.waits)
            return reply
        finally:
            with self._lock:
                self._in_flight -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # header and body together: apart, they wait for each other

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path == f"{server.route}/models" and server.models is not None:
                    self._send(Reply({"object": "list", "data": server.models}))
                elif self.path == "/info" and server.info is not None:
                    self._send(Reply(server.info))
                else:
                    self._send(server.unknown)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                self._send(server.reply(self.path, self.headers, body))

            def _send(self, reply: Reply) -> None:
                if reply.drops:
                    self.close_connection = True
                    return
                body = reply.body
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                try:
                    self.send_response(reply.status)
                    kinds = {"Content-Type": "application/json"} | dict(reply.headers)
                    n_bytes = len(content) if reply.n_bytes is None else reply.n_bytes
                    for name, value in {**kinds, "Content-Length": str(n_bytes)}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                    if n_bytes != len(content):
                        self.close_connection = True
                except OSError:
                    self.close_connection = True  # the client has gone

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet: pytest shows what failed."""

        return Handler
