"""
The backend: what turns a list of texts into vectors, with the prompt that mteb would use.

A backend drives the model itself, so that the prompt, the maximum length and the tokenizer are
known and can be part of a vector's address. Models whose code prepares its own inputs (API
clients, wrappers that read titles or subsets) have no backend: mteb's own search runs them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import get_prompt
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType

CHARACTERS_PER_TOKEN = 4
"""Where no tokenizer can be asked; only the size of batches depends on it, never a vector."""


@dataclass(frozen=True)
class Instruction:
    """
    How texts of one kind are given to the model.

    Attributes:
        role: *query* or *document* where the task makes a difference, else None.
        prompt: the text put before every input; empty for none.
    """

    role: str | None
    prompt: str


class Backend(Protocol):
    """Encodes texts; everything that changes a vector is in *configuration*."""

    name: str
    max_length: int | None
    dtype: str
    device: str
    attention: str | None

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The instruction in force for this task and role: mteb's choice."""

    def count_tokens(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.int32]:
        """Tokens of each text with its prompt, before truncation; int32 (n_texts,)."""

    def encode(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.float32]:
        """One batch of texts to float32 (n_texts, dim), as the model returns them."""


DIRECT_WRAPPERS = (SentenceTransformerEncoderWrapper, InstructSentenceTransformerModel)


class SentenceTransformersBackend:
    """
    A sentence-transformers model, driven directly.

    Args:
        wrapper: mteb's wrapper of the model; it holds the prompts.
    """

    name = "sentence-transformers"

    def __init__(
        self, wrapper: SentenceTransformerEncoderWrapper | InstructSentenceTransformerModel
    ) -> None:
        self._wrapper = wrapper
        self._model = wrapper.model
        length = self._model.max_seq_length
        # Static embeddings read any length, and say infinity.
        self.max_length: int | None = length if length and math.isfinite(length) else None
        parameter = next(self._model.parameters(), torch.empty(0))
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self.device = str(self._model.device)
        config = getattr(self._model.transformers_model, "config", None)
        self.attention: str | None = getattr(config, "_attn_implementation", None)
        tokenizer = getattr(self._model, "tokenizer", None)
        self._tokenizer = tokenizer if callable(tokenizer) else None

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The instruction that mteb's wrapper would use, spelt out."""
        if isinstance(self._wrapper, InstructSentenceTransformerModel):
            plain = (
                prompt_type == PromptType.document
                and not self._wrapper.apply_instruction_to_passages
            )
            # These wrappers call encode for both roles, so the role changes nothing else.
            text = None if plain else self._wrapper.get_task_instruction(task, prompt_type)
            return Instruction(None, self._default_prompt() if text is None else text)
        role = prompt_type.value if prompt_type else None
        prompt = get_prompt(self._wrapper.model_prompts, task, prompt_type)
        if prompt is None and role is not None:
            # What encode_query and encode_document of sentence-transformers fall back to.
            names = ("query",) if role == "query" else ("document", "passage", "corpus")
            prompt = next(
                (self._model.prompts[name] for name in names if name in self._model.prompts), None
            )
        return Instruction(role, self._default_prompt() if prompt is None else prompt)

    def _default_prompt(self) -> str:
        name = self._model.default_prompt_name
        return (self._model.prompts.get(name) if name else None) or ""

    def count_tokens(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.int32]:
        """Tokens of each text with its prompt, before truncation; int32 (n_texts,)."""
        prompted = [f"{instruction.prompt}{text}" for text in texts]
        if self._tokenizer is None:
            return _estimated_tokens(prompted)
        encoded = self._tokenizer(
            prompted, truncation=False, padding=False, return_attention_mask=False, verbose=False
        )
        return np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int32)

    def encode(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.float32]:
        """One batch of texts to float32 (n_texts, dim), as the model returns them."""
        encode = {
            "query": self._model.encode_query,
            "document": self._model.encode_document,
        }.get(instruction.role or "", self._model.encode)
        vectors = encode(
            list(texts),
            prompt=instruction.prompt,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_tensor=True,
        )
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


def has_backend(model: object) -> bool:
    """Whether SentenceTransformersBackend may drive this model instead of mteb's wrapper."""
    # The exact classes: a subclass may prepare its inputs in its own way.
    return type(model) in DIRECT_WRAPPERS


def loaded_from(meta: Any) -> str:
    """A hash of how mteb loads a model: its loader and the arguments, prompts among them."""
    loader = getattr(meta.loader, "__name__", str(meta.loader))
    described = json.dumps([loader, meta.loader_kwargs], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _estimated_tokens(texts: Sequence[str]) -> npt.NDArray[np.int32]:
    return np.array([len(text) // CHARACTERS_PER_TOKEN + 1 for text in texts], dtype=np.int32)
