"""What can go wrong between us and a server, and what it says then."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt

from granite_bench.errors import TaskError

LONGEST_MESSAGE = 300
"""Characters of a server's words that a message shows."""


class EndpointError(TaskError):
    """
    A server did not give what was asked for; the message says what it said and what was tried.

    Args:
        status: of its last answer; None where there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class NotThere(EndpointError):
    """The server has no such route, or no such model: 404 and 405."""


class Refused(EndpointError):
    """
    The server does not take the request as it is; a smaller one may pass.

    Attributes:
        row: the input that is to blame, once that is known.
    """

    row: int | None = None


class PartlyEncoded(EndpointError):
    """
    The server failed within a batch; what it had answered by then is here, and paid for.

    Args:
        rows: intp (n_answered,), positions in the batch.
        vectors: float32 (n_answered, dim).
    """

    def __init__(
        self, message: str, rows: npt.NDArray[np.intp], vectors: npt.NDArray[np.float32]
    ) -> None:
        self.rows = rows
        self.vectors = vectors
        super().__init__(message)


class Unreadable(Exception):
    """An answer with status 200 that is not what was asked for; the message says why."""


def message_of(response: httpx2.Response) -> str:
    """What a server says of an error, whole and in one line; each has its own form."""
    said: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        said = response.json()
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    if said is None:
        said = "(a web page)" if response.text[:1] == "<" else response.text
    return " ".join((said if isinstance(said, str) else json.dumps(said)).split())


def quoted(text: str, key: str | None) -> str:
    """
    A server's words as a message may show them.

    Args:
        key: what was sent to it, which it may repeat; replaced by [key].
    """
    # Before the cut, which could leave a part of the key that is found nowhere.
    text = text.replace(key, "[key]") if key else text
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."


def is_out_of_quota(response: httpx2.Response) -> bool:
    """OpenAI's 429 for an account without credit, which no pause mends."""
    return response.status_code == 429 and "insufficient_quota" in response.text
