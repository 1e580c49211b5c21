"""The backend of sparse models: sentence-transformers' SparseEncoder, driven as the dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper
from mteb.types import PromptType
from sentence_transformers.util import select_max_active_dims

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.vectors.sparse_rows import SparseRows


class SparseEncoderBackend:
    """
    As SentenceTransformersBackend, which has the prompts and makes the inputs; batches are padded.

    Only what is not zero leaves the device. Models whose queries and documents take different
    ways (a Router: documents by a masked language model, queries by a table) and whose inputs
    are not a tokenizer's go through sentence-transformers' encode_query and encode_document.

    Args:
        wrapper: mteb's wrapper of the model; it holds the prompts.

    Attributes:
        vocabulary_size: scores that a masked language model makes for each token.
        max_active_dims: what the model keeps of a vector, the largest; None: all.
    """

    pads = True

    def __init__(self, wrapper: SparseEncoderWrapper) -> None:
        self._model = wrapper.model
        as_dense: Any = wrapper  # it has all that is asked of a dense model's wrapper
        self._texts = SentenceTransformersBackend(as_dense, padding=True)
        self.name = f"{self._texts.name} (sparse)"
        self.dtype = self._texts.dtype
        self.max_length = self._texts.max_length
        self.device = self._texts.device
        self.attention = self._texts.attention
        self.similarity_name: str | None = self._model.similarity_fn_name
        self.max_active_dims = self._model.max_active_dims
        config = getattr(self._model.transformers_model, "config", None)
        self.vocabulary_size: int = getattr(config, "vocab_size", 1)

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The instruction that mteb's wrapper would use, spelt out."""
        return self._texts.instruction(task, prompt_type)

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Whether texts are tokenised here."""
        return self._texts.knows_tokens(instruction)

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The texts as the model will read them; only counted where it tokenises by itself."""
        return self._texts.tokenize(texts, instruction)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> SparseRows:
        """One batch, the texts *rows* of *tokens*, as the model gives them."""
        if tokens.ids is not None:
            limit = self.max_active_dims
            told = {} if limit is None else {"max_active_dims": limit}
            vectors = self._texts.forward(tokens, rows, instruction, **told)
            return _sparse(select_max_active_dims(vectors, limit))
        return _sparse(
            self._texts.encode_texts(tokens, rows, instruction, convert_to_sparse_tensor=False)
        )

    def release_memory(self) -> None:
        """Empty torch's cache of the device's memory."""
        self._texts.release_memory()


def _sparse(vectors: torch.Tensor) -> SparseRows:
    """Dense vectors on any device without their zeros; NaN is none."""
    active = vectors != 0
    n_active = active.sum(dim=1).cpu().numpy()
    indices = active.nonzero()[:, 1].to("cpu", torch.int32).numpy()
    values = vectors[active].to("cpu", torch.float32).numpy()
    indptr = np.concatenate([[0], np.cumsum(n_active)]).astype(np.int64)
    return SparseRows(indptr, indices, values, vectors.shape[1])
