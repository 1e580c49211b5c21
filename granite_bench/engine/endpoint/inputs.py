"""Many inputs for a server, in requests of a size that it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.errors import Refused

logger = logging.getLogger(__name__)

MOST_INPUTS = 64
"""Per request. OpenAI takes 2,048; a server on a CPU would need minutes for them."""

MOST_TOKENS = 65_536
"""Per request, estimated. OpenAI takes 300,000, counted; a script with a token for every
character has four times the estimate."""

Positions = npt.NDArray[np.intp]


class InputRequests:
    """
    Cuts inputs into requests, sends them, and learns how much the server takes at once.

    A request that is refused is sent in two halves, and no later one is as large. So an input
    that is refused for itself is found, in as many requests as halving takes.

    Args:
        endpoint: the server.
        most_inputs: per request; MOST_INPUTS where the server does not say.
    """

    def __init__(self, endpoint: Endpoint, most_inputs: int | None = None) -> None:
        self._endpoint = endpoint
        self.most_inputs = min(most_inputs or MOST_INPUTS, MOST_INPUTS)

    @property
    def described(self) -> str:
        """How inputs share requests, for the record; the number of inputs as learnt so far."""
        return (
            f"up to {self.most_inputs} inputs or {MOST_TOKENS:,} tokens a request, "
            f"{self._endpoint.concurrency} at a time"
        )

    def send(
        self,
        groups: Iterable[Positions],
        n_tokens: npt.NDArray[np.int32],
        ask: Callable[[Positions], object],
    ) -> None:
        """
        Ask for all rows of all groups.

        Args:
            groups: rows that may share a request.
            n_tokens: of each row.
            ask: one request for some rows, which keeps the answer; called from several threads.

        Raises:
            Refused: with the row that the server does not take even alone.
            EndpointError: as Endpoint.post.
        """
        pieces = [piece for rows in groups for piece in self._cut(rows, n_tokens)]
        self._endpoint.in_flight(lambda rows: self._ask(rows, ask), pieces)

    def _cut(self, rows: Positions, n_tokens: npt.NDArray[np.int32]) -> Iterator[Positions]:
        start, total = 0, 0
        for end, tokens in enumerate(n_tokens[rows].tolist()):
            if end > start and (end - start == self.most_inputs or total + tokens > MOST_TOKENS):
                yield rows[start:end]
                start, total = end, 0
            total += tokens
        yield rows[start:]

    def _ask(self, rows: Positions, ask: Callable[[Positions], object]) -> None:
        if len(rows) <= self.most_inputs:
            try:
                ask(rows)
                return
            except Refused as error:
                if len(rows) == 1:
                    error.row = int(rows[0])
                    raise
                logger.info("%s; from now on %d inputs a request", error, len(rows) // 2)
                self.most_inputs = min(self.most_inputs, len(rows) // 2)
        half = len(rows) // 2
        self._ask(rows[:half], ask)
        self._ask(rows[half:], ask)
