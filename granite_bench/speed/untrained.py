"""
A backend with random weights of a model's shape: what the model costs, without the model.

It needs no tokenizer either: each word is one token. How long a real tokenizer takes is measured
with a real one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType
from transformers import AutoModel

from granite_bench.devices import DTYPES
from granite_bench.engine.backends.backend import Instruction, empty_device_cache
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.backends.unpadded import pooled
from granite_bench.engine.backends.unpadded_transformer import UnpaddedTransformer
from granite_bench.errors import BadInput, Fault
from granite_bench.speed.geometry import (
    END_ID,
    N_SPECIAL,
    PAD_ID,
    START_ID,
    Geometry,
    transformers_config,
)
from granite_bench.speed.settings import LEAST_LENGTH


class UntrainedBackend:
    """
    A model of some geometry, its weights random.

    A token is a word: whatever stands between white space gets the id that its letters hash to.
    A special token stands before the words of a text and one behind them.

    Args:
        geometry: the shape.
        device, dtype: torch's names of where the model runs and of its weights' type.
        max_length: tokens per text, special ones included; None is the geometry's own maximum.
        padding, compile: as for SentenceTransformersBackend; there is nothing to check itself
            against, since no text has a right vector.
        seed: the same seed and geometry have the same weights, on every device; those of
            another dtype are the float32 ones, rounded.

    Attributes:
        model: transformers' model, in evaluation mode.
        n_parameters: of the model, embeddings and pooler included.

    Raises:
        BadInput: no such dtype, or a maximum length that the geometry has no positions for.
    """

    name = "untrained"

    def __init__(
        self,
        geometry: Geometry,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        max_length: int | None = None,
        padding: bool | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        length = geometry.max_length if max_length is None else max_length
        faults = []
        if dtype not in DTYPES:
            known = ", ".join(DTYPES)
            faults.append(Fault("--dtype", f"unknown type '{dtype}'", f"known: {known}"))
        if not LEAST_LENGTH <= length <= geometry.longest:
            problem = f"{length:,} tokens, where {geometry.name} reads"
            problem += f" {LEAST_LENGTH} to {geometry.longest:,}"
            faults.append(Fault("--max-length", problem))
        if faults:
            raise BadInput(faults)
        self.geometry = geometry
        self.max_length: int | None = length
        self._ids = _WordIds(geometry.vocab_size - N_SPECIAL)
        self.dtype = dtype
        self.similarity_name: str | None = "cosine"
        self.model = _build(geometry, device, getattr(torch, dtype), seed)
        self.device = str(self.model.device)
        self._unpadded: UnpaddedTransformer | None = None
        if padding is False or (padding is None and self.device.startswith("cuda")):
            unpadded = UnpaddedTransformer(self.model, compile=compile)
            if padding is False or unpadded.has_kernel:
                self._unpadded = unpadded
        unpadded_attention = self._unpadded and self._unpadded.attention
        self.attention: str | None = unpadded_attention or "sdpa"
        self.n_parameters = sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def pads(self) -> bool:
        """Whether the shorter texts of a batch are padded."""
        return self._unpadded is None

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """None at all: a prompt is a number of words more, which a protocol may add itself."""
        return Instruction(None, "")

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Always: a token is a word."""
        return True

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The words as ids, truncated; a text without words has the two special tokens."""
        n_kept = (self.max_length or self.geometry.longest) - 2
        ids: list[int] = []
        counts = np.empty(len(texts), dtype=np.int32)
        for row, text in enumerate(texts):
            words = (instruction.prompt + text).split()
            counts[row] = len(words) + 2
            ids.append(START_ID)
            ids.extend(map(self._ids.__getitem__, words[:n_kept]))
            ids.append(END_ID)
        lengths = np.minimum(counts, np.int32(n_kept + 2))
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Tokens(texts, counts, lengths, np.array(ids, dtype=np.int32), starts)

    @torch.inference_mode()
    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One batch to float32 (n_rows, hidden size), rows of L2 norm 1."""
        if self._unpadded is not None:
            lengths = tokens.lengths[rows]
            states = self._unpadded.token_states(tokens.flat(rows), lengths)
            self.attention = self._unpadded.attention  # compiling may have failed
            return _with_norm_1(pooled(states, lengths, self.geometry.pooling))
        ids, mask = (
            torch.from_numpy(array).to(self.device) for array in tokens.padded(rows, PAD_ID)
        )
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.geometry.pooling == "cls":
            vectors = hidden[:, 0].float()
        else:
            inside = mask.unsqueeze(-1).to(hidden.dtype)
            # In float32: a sum of thousands of bfloat16 values would lose most of them.
            vectors = (hidden * inside).sum(1, dtype=torch.float32) / mask.sum(1, keepdim=True)
        return _with_norm_1(vectors)

    def release_memory(self) -> None:
        """Empty torch's cache of the device's memory."""
        empty_device_cache(self.device)


class _WordIds(dict[str, int]):
    """
    Word -> id. Kept, since a hash a word, one after the other, would be slower than a GPU reads.
    """

    def __init__(self, n_words: int) -> None:
        super().__init__()
        self._n_words = n_words

    def __missing__(self, word: str) -> int:
        # A lone surrogate, which JSON allows, is no reason to stop.
        number = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        self[word] = found = number % self._n_words + N_SPECIAL
        return found


def _with_norm_1(vectors: torch.Tensor) -> npt.NDArray[np.float32]:
    normal = torch.nn.functional.normalize(vectors, dim=-1)
    return np.asarray(normal.cpu().numpy(), dtype=np.float32)


def _build(geometry: Geometry, device: str, dtype: torch.dtype, seed: int) -> Any:
    build: Any = AutoModel.from_config  # has no type annotations
    with torch.random.fork_rng(devices=[]):
        # The CPU's alone, which is where weights are drawn: torch.manual_seed would change the
        # GPU's for good.
        torch.default_generator.manual_seed(seed)
        model = build(
            transformers_config(geometry), attn_implementation="sdpa", dtype=torch.float32
        )
    model.eval().to(device)
    # Weights alone, as when a checkpoint is loaded: the frequencies of rotary embeddings stay
    # float32 there, and bfloat16 would confuse positions beyond the first few hundred.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model
