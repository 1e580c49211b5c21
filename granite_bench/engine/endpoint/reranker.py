"""A reranker behind an endpoint: one request for a query and its documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.pairs import ROLE, pair_of
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.endpoint.answers import scores_of
from granite_bench.engine.endpoint.backend import EndpointBackend
from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.errors import EndpointError, PartlyEncoded
from granite_bench.engine.endpoint.facts import facts_of

ROUTE = "/rerank"


class EndpointCrossEncoder:
    """
    A reranker behind an endpoint.

    Args:
        meta: mteb's metadata of the model: where results go.
        endpoint: the server.
        name: what the server is asked for (see facts.facts_of).

    Attributes:
        backend: what scores pairs, as Encoder wants it.
        identity: what tells its scores from those of other models and servers.

    Raises:
        EndpointError: the server cannot be reached.
    """

    def __init__(self, meta: ModelMeta, endpoint: Endpoint, *, name: str) -> None:
        self.mteb_model_meta = meta
        self.backend = RerankBackend(endpoint, facts_of(endpoint, name))
        self.identity = self.backend.identity


class RerankBackend(EndpointBackend):
    """A server's scores: the text of a pair is its pairs.pair_text, the vector its score."""

    name = "endpoint rerank"
    similarity_name: str | None = None

    def instruction(
        self, task: TaskMetadata | None = None, prompt_type: PromptType | None = None
    ) -> Instruction:
        """No prompt: the server puts a pair together."""
        return Instruction(ROLE, "")

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """
        The scores of one batch, float32 (n_rows, 1): a request for each query in it, or more
        where it has more documents than the server takes at once.

        Raises:
            PartlyEncoded: the server failed or refused a document; with what it had answered.
        """
        pairs = [pair_of(tokens.texts[row]) for row in rows]
        of_query: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(pairs):
            of_query.setdefault(query, []).append(position)
        scores = np.zeros((len(pairs), 1), dtype=np.float32)
        answered = np.zeros(len(pairs), dtype=np.bool_)

        def ask(positions: npt.NDArray[np.intp]) -> None:
            query = pairs[positions[0]][0]
            documents = [pairs[position][1] for position in positions]
            scores[positions, 0] = self._request(query, documents)
            answered[positions] = True

        groups = [np.array(positions, dtype=np.intp) for positions in of_query.values()]
        try:
            self._requests.send(groups, tokens.lengths[rows], ask)
        except EndpointError as error:
            message = self._explained(error, [document for _, document in pairs])
            done = np.flatnonzero(answered)
            raise PartlyEncoded(message, done, scores[done]) from error
        return scores

    def _request(self, query: str, documents: Sequence[str]) -> npt.NDArray[np.float32]:
        body: dict[str, Any] = {"query": query, **self.facts.extra}
        if self.facts.is_tei:
            # Raw scores: after a sigmoid, good documents come near 1 and are told apart less well.
            body |= {"texts": list(documents), "raw_scores": True, "truncate": True}
        else:
            body |= {
                "model": self.facts.model,
                "documents": list(documents),
                "top_n": len(documents),
                "return_documents": False,
            }

        def read(answer: Any) -> npt.NDArray[np.float32]:
            return scores_of(answer, len(documents))

        return self.endpoint.post(ROUTE, body, read, divisible=len(documents) > 1)
