"""
What the engine asks of a model: texts to vectors, with the prompt that mteb would use.

A backend drives the model itself, so that the prompt, the maximum length and the tokenizer are
known and can be part of a vector's address. Models whose code prepares its own inputs (API
clients, wrappers that read titles or subsets) have no backend: mteb's own search runs them.

    dense_backend     sentence-transformers' dense models
    sparse_backend    its sparse ones
    cross_encoder     its cross-encoders: of a pair, a score
    endpoint          what a server computes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType

from granite_bench.engine.backends.tokens import Tokens


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
    """
    Encodes texts.

    Attributes:
        name, dtype, max_length: parts of a vector's address.
        device, attention: where and how the model runs, for the record.
        similarity_name: sentence-transformers' word for how vectors compare: cosine, dot, ...
    """

    name: str
    max_length: int | None
    dtype: str
    device: str
    attention: str | None
    similarity_name: str | None

    @property
    def pads(self) -> bool:
        """Whether the shorter texts of a batch are padded."""

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The instruction in force for this task and role: mteb's choice."""

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Whether the counts of tokenize are what the model reads, or an estimate."""

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The texts as the model will read them; any thread may ask, also while encode runs."""

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One batch, the texts *rows* of *tokens*, to float32 (n_rows, dim), as the model gives."""

    def release_memory(self) -> None:
        """Give back what the last batch left allocated; called after running out of memory."""


UNLIMITED = 1 << 31
"""A tokenizer without a maximum length says a number beyond this."""


def max_length_of(model: Any) -> int | None:
    """Tokens that a sentence-transformers model reads of a text at most; None where it has no
    limit: static embeddings say infinity, and a tokenizer without a maximum 10**30."""
    length = model.max_seq_length
    return length if length and length < UNLIMITED else None


def empty_device_cache(device: str) -> None:
    """Give back the memory of a device (torch's name) that torch holds and does not use."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.startswith("mps"):
        torch.mps.empty_cache()


def wait_for_device(device: str) -> None:
    """Return when a device (torch's name) has done what it was given; one that has a queue."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was short; torch has a class for GPUs, none for CPUs."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
        or "alloc_failed" in text  # cuBLAS
    )
