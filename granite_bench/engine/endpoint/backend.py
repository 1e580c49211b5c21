"""What the backends of a server have in common: how they are described, and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens, estimated
from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.errors import EndpointError, NotThere, Refused
from granite_bench.engine.endpoint.facts import ServerFacts
from granite_bench.engine.endpoint.inputs import InputRequests

BEGINNING_CHARACTERS = 60
"""Of a text in a message."""


class EndpointBackend:
    """
    A server as Encoder wants it (see backend.Backend).

    A batch is sent in several requests, many of them at once, so batches should be large.

    Args:
        endpoint: the server.
        facts: what it says of itself.

    Attributes:
        dtype: what the server says that it computes in, else facts.AS_SERVED.
    """

    max_length: int | None = None
    device = "remote"
    attention: str | None = None
    pads = False

    def __init__(self, endpoint: Endpoint, facts: ServerFacts) -> None:
        self.endpoint = endpoint
        self.facts = facts
        self.dtype = facts.dtype
        self._requests = InputRequests(endpoint, facts.most_inputs)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells its answers from those of other models and servers."""
        served = {"model": self.facts.model, **self.facts.served}
        return {"endpoint": self.endpoint.url, "served": served}

    @property
    def batches(self) -> str:
        """How requests are made, for the record."""
        return self._requests.described

    def knows_tokens(self, instruction: Instruction) -> bool:
        """They are counted by the server, and guessed here."""
        return False

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The texts with a guess of their tokens."""
        return estimated(texts, instruction.prompt, None)

    def release_memory(self) -> None:
        """Nothing of the model is in this machine's memory."""

    def _explained(self, error: EndpointError, texts: Sequence[str]) -> str:
        """The error's message with what would be right: another model, or a shorter text."""
        message, facts = str(error), self.facts
        if isinstance(error, NotThere) or (facts.models and facts.model not in facts.models):
            message += f"\n  the server was asked for the model '{facts.model}'"
            if facts.models:
                message += f"; it lists {', '.join(facts.models[:10])}"
        elif isinstance(error, Refused) and error.row is not None:
            text = texts[error.row]
            message += (
                f"\n  this text of {len(text):,} characters is refused: "
                f"{text[:BEGINNING_CHARACTERS]!r}\n"
                "  if it is too long, let the server cut texts (text-embeddings-inference: "
                "--auto-truncate)"
            )
        return message
