"""
An embedding model behind an endpoint: OpenAI's /embeddings.

Texts are sent with the prompt in force before them, and the server cuts those that are too long.
Fewer dimensions are cut here, as for a local model, so one encoding serves all of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder, PromptSource, get_prompt
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.endpoint.answers import embeddings_of
from granite_bench.engine.endpoint.backend import EndpointBackend
from granite_bench.engine.endpoint.client import Endpoint
from granite_bench.engine.endpoint.errors import (
    EndpointError,
    PartlyEncoded,
    Refused,
    Unreadable,
)
from granite_bench.engine.endpoint.facts import ServerFacts, facts_of

logger = logging.getLogger(__name__)

ROUTE = "/embeddings"


class EndpointModel(AbsEncoder):
    """
    An embedding model behind an endpoint, as mteb's EncoderProtocol.

    Args:
        meta: mteb's metadata of the model: where results go, its prompts and similarity.
        endpoint: the server.
        name: what the server is asked for (see facts.facts_of).

    Attributes:
        backend: what makes its vectors.
        identity: what tells its vectors from those of other models and servers.

    Raises:
        EndpointError: the server cannot be reached.
    """

    def __init__(self, meta: ModelMeta, endpoint: Endpoint, *, name: str) -> None:
        self.mteb_model_meta: ModelMeta = meta
        arguments = meta.loader_kwargs
        loader: object = meta.loader
        self._instructs = loader is InstructSentenceTransformerModel
        self._instructs_documents = arguments.get("apply_instruction_to_passages", True)
        self.model_prompts = arguments.get("model_prompts")
        self.prompts_dict = arguments.get("prompts_dict")
        self.instruction_template = arguments.get("instruction_template")
        if arguments.get("prompt_priority"):
            priority = arguments["prompt_priority"]
            self.prompt_priority = [PromptSource.from_str(source) for source in priority]
        self.backend = EmbeddingsBackend(self, endpoint, facts_of(endpoint, name))
        self.identity = self.backend.identity
        has_prompts = self._instructs or bool(self.model_prompts)
        if not has_prompts and meta.use_instructions is not False:
            # A missing prompt costs points and looks like a weak model.
            logger.warning(
                "mteb's metadata give no prompt for %s that could be sent; where it needs one, "
                "--prompt-query and --prompt-doc give it",
                name,
            )

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> npt.NDArray[np.float32]:
        """Encode the texts of mteb's data loader; float32 (n_texts, dim)."""
        texts = [text for batch in inputs for text in batch["text"]]
        instruction = self.backend.instruction(task_metadata, prompt_type)
        tokens = self.backend.tokenize(texts, instruction)
        return self.backend.encode(tokens, np.arange(len(texts)), instruction)

    def prompt(self, task: TaskMetadata, prompt_type: PromptType | None) -> str:
        """What mteb's metadata put before the texts of a task."""
        if not self._instructs:
            return get_prompt(self.model_prompts, task, prompt_type) or ""
        if prompt_type == PromptType.document and not self._instructs_documents:
            return ""
        return self.get_task_instruction(task, prompt_type)


class EmbeddingsBackend(EndpointBackend):
    """
    A server's vectors.

    Args:
        model: whose prompts are sent.
        endpoint, facts: as for EndpointBackend.

    Attributes:
        dim: of the vectors; None before the first answer.
    """

    name = "endpoint"

    def __init__(self, model: EndpointModel, endpoint: Endpoint, facts: ServerFacts) -> None:
        super().__init__(endpoint, facts)
        self.dim: int | None = None
        declared = model.mteb_model_meta.similarity_fn_name
        self.similarity_name: str | None = "cosine" if declared is None else declared.value
        self._model = model
        self._encoding = {"encoding_format": "float"}
        self._refuses_blank = False
        self._dims_of_batch: set[int] = set()
        self._lock = threading.Lock()

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The prompt of mteb's metadata; the server is not told the role."""
        return Instruction(None, self._model.prompt(task, prompt_type))

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """
        One batch to float32 (n_rows, dim), as the server returns them.

        Raises:
            PartlyEncoded: the server failed or refused a text; with what it had answered.
            EndpointError: it failed, and its first answers differ in dimension; the wrong one may
                have come first, so none is kept.
        """
        is_first = self.dim is None
        self._dims_of_batch = set()
        texts = [instruction.prompt + tokens.texts[row] for row in rows]
        answers: list[npt.NDArray[np.float32] | None] = [None] * len(texts)

        def ask(positions: npt.NDArray[np.intp]) -> None:
            vectors = self._vectors([texts[position] for position in positions])
            for position, vector in zip(positions, vectors, strict=True):
                answers[position] = vector

        try:
            self._requests.send([np.arange(len(texts))], tokens.lengths[rows], ask)
        except EndpointError as error:
            message = self._explained(error, texts)
            if is_first and len(self._dims_of_batch) > 1:
                self.dim = None
                dims = " and ".join(map(str, sorted(self._dims_of_batch)))
                raise EndpointError(
                    f"{message}\n  its first answers had {dims} dimensions, and nobody can tell "
                    "which are right: none of them is kept",
                    error.status,
                ) from error
            answered = np.array([i for i, each in enumerate(answers) if each is not None], np.intp)
            vectors = [each for each in answers if each is not None]
            raise PartlyEncoded(
                message,
                answered,
                np.stack(vectors) if vectors else np.empty((0, self.dim or 0), np.float32),
            ) from error
        return np.stack([each for each in answers if each is not None])

    def _vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One request. Texts without a character to read are zeros where the server refuses them,
        as in mteb's client for OpenAI."""
        is_blank = np.array([not text.strip() for text in texts])
        if not is_blank.any():
            return self._request(texts)
        if not self._refuses_blank:
            try:
                return self._request(texts)
            except Refused:
                if not self._refuses([text for text in texts if not text.strip()]):
                    raise
                self._refuses_blank = True
                logger.warning("the server refuses empty texts; their vectors are zeros")
        others = [text for text in texts if text.strip()]
        found = self._request(others) if others else None
        if self.dim is None:
            raise Refused("the server refuses empty texts, and no other text told the dimension")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if found is not None:
            vectors[~is_blank] = found
        return vectors

    def _refuses(self, texts: Sequence[str]) -> bool:
        try:
            self._request(texts)
        except Refused:
            return True
        return False

    def _request(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        encoding = self._encoding
        body = {"model": self.facts.model, "input": list(texts), **encoding, **self.facts.extra}

        def read(answer: Any) -> npt.NDArray[np.float32]:
            return self._of_known_dim(embeddings_of(answer, len(texts)))

        try:
            return self.endpoint.post(ROUTE, body, read, divisible=len(texts) > 1)
        except Refused as error:
            if not encoding or "encoding_format" not in str(error):
                raise
            self._encoding = {}
            return self._request(texts)

    def _of_known_dim(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        dim = vectors.shape[1]
        with self._lock:
            self._dims_of_batch.add(dim)
            if self.dim is None:
                self.dim = dim
        if dim != self.dim:
            raise Unreadable(f"its vectors have {dim} dimensions, those before had {self.dim}")
        return vectors
