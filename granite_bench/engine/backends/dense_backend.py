"""The backend of dense models: sentence-transformers' own, driven directly."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import get_prompt
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from sentence_transformers.util import batch_to_device, truncate_embeddings

from granite_bench.engine.backends.backend import Instruction, empty_device_cache, max_length_of
from granite_bench.engine.backends.model_inputs import ModelInputs, inputs_from_ids, probe_texts
from granite_bench.engine.backends.tokens import FastTokenizer, Tokens, counted_by, estimated
from granite_bench.engine.backends.unpadded import UnpaddedSentenceTransformer, disagreement
from granite_bench.exported import exported_transformer

logger = logging.getLogger(__name__)

DIRECT_WRAPPERS = (SentenceTransformerEncoderWrapper, InstructSentenceTransformerModel)


class SentenceTransformersBackend:
    """
    A sentence-transformers model, driven directly.

    Where the model's first step is an ordinary tokenizer, texts are tokenised by the shard and
    the modules are called on the ids; that the ids are the right ones is checked once for each
    prompt, on probes, against sentence-transformers' own. Models for which they are not (chat
    templates, routers, flattened inputs) go through its encode_query and encode_document.

    Without padding, texts are read end to end (see unpadded); that this gives the vectors of the
    padded model is checked once for each prompt, on probes, and where it does not, the padded
    model runs and a warning is logged.

    A model whose transformer is an exported file (see exported) is driven alike; its texts are
    padded, and that file is part of the vectors' address.

    Args:
        wrapper: mteb's wrapper of the model; it holds the prompts.
        padding: False leaves it out wherever the model allows it, True never does. None: on a
            GPU on which torch's variable-length attention runs (so in half precision).
        compile: torch.compile for the layers of the unpadded model; its first batches take long.
    """

    def __init__(
        self,
        wrapper: SentenceTransformerEncoderWrapper | InstructSentenceTransformerModel,
        *,
        padding: bool | None = None,
        compile: bool = False,
    ) -> None:
        self._wrapper = wrapper
        self._model = wrapper.model
        self.max_length = max_length_of(self._model)
        self._exported = exported_transformer(self._model)
        self.name = "sentence-transformers"
        if self._exported is None:
            parameter = next(self._model.parameters(), torch.empty(0))
            self.dtype = str(parameter.dtype).removeprefix("torch.")
        else:
            file = self._exported.file
            self.name += f", {file.backend} file {file.name}, sha256 {file.sha256[:16]}"
            self.dtype = self._exported.weights_dtype
        self.device = str(self._model.device)
        config = getattr(self._model.transformers_model, "config", None)
        self._padded_attention: str | None = getattr(config, "_attn_implementation", None)
        if self._exported is not None:
            self._padded_attention = None  # the file has its own
        self._unpadded = self._without_padding(padding, compile)
        self._compile = compile
        self._agrees: dict[Instruction, bool] = {}
        self.attention = self._attention()
        self.similarity_name: str | None = self._model.similarity_fn_name
        declared = getattr(wrapper.mteb_model_meta, "similarity_fn_name", None)
        if isinstance(wrapper, InstructSentenceTransformerModel) and declared is not None:
            self.similarity_name = declared.value  # this wrapper asks the metadata first
        tokenizer = getattr(self._model, "tokenizer", None)
        # A copy: it counts in another thread while the model's own is at work.
        self._tokenizer = copy.deepcopy(tokenizer) if callable(tokenizer) else None
        # transformers sets truncation and padding on a tokenizer before each use: one thread at a
        # time. Two would not be done sooner with ids either, which take all cores.
        self._tokenizing, self._own_tokenizer = threading.Lock(), threading.Lock()
        self._inputs: dict[Instruction, ModelInputs[FastTokenizer] | None] = {}

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

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Whether texts are tokenised here; a chat template, for one, adds tokens of its own."""
        return self._inputs_for(instruction) is not None

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The texts as the model will read them; only counted where it tokenises by itself."""
        inputs = self._inputs_for(instruction)
        with self._tokenizing:
            if inputs is not None:
                return inputs.tokenizer.tokenize(texts, instruction.prompt)
            if self._tokenizer is None:
                return estimated(texts, instruction.prompt, self.max_length)
            prompted = [f"{instruction.prompt}{text}" for text in texts]
            return counted_by(self._tokenizer, texts, [prompted], self.max_length)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One batch to float32 (n_rows, dim), as the model returns them."""
        if tokens.ids is not None:
            # A text without a token has no vector of its own, only what padding makes of it.
            if self._runs_unpadded(instruction) and (tokens.lengths[rows] > 0).all():
                assert self._unpadded is not None
                vectors = self._unpadded.encode(tokens, rows)
                self.attention = self._attention()
                return vectors
            return self._forward(tokens, rows, instruction)
        if self._unpadded is not None and instruction not in self._agrees:
            self._agrees[instruction] = False  # sentence-transformers pads
            self.attention = self._attention()
        return _on_host(self.encode_texts(tokens, rows, instruction))

    def encode_texts(
        self,
        tokens: Tokens,
        rows: npt.NDArray[np.intp],
        instruction: Instruction,
        **options: Any,
    ) -> torch.Tensor:
        """One batch by sentence-transformers' own encode; (n_rows, dim) on the device."""
        encode = {
            "query": self._model.encode_query,
            "document": self._model.encode_document,
        }.get(instruction.role or "", self._model.encode)
        with self._own_tokenizer:
            vectors: torch.Tensor = encode(
                [tokens.texts[row] for row in rows],
                prompt=instruction.prompt,
                batch_size=len(rows),
                show_progress_bar=False,
                convert_to_tensor=True,
                **options,
            )
        return vectors

    def release_memory(self) -> None:
        """Empty torch's cache of the device's memory; exported files keep none."""
        empty_device_cache(self.device)

    def _forward(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        vectors = self.forward(tokens, rows, instruction)
        if self._model.truncate_dim is not None:
            vectors = truncate_embeddings(vectors, self._model.truncate_dim)
        return _on_host(vectors)

    @torch.inference_mode()
    def forward(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction, **told: Any
    ) -> torch.Tensor:
        """
        What the modules make of token ids, padded; (n_rows, dim) on the device.

        Args:
            tokens: with ids, of tokenize for the same instruction.
            told: what the modules are told besides the role.
        """
        inputs = self._inputs_for(instruction)
        if inputs is None:
            raise ValueError("these tokens were made for another instruction")
        self._model.eval()
        features = batch_to_device(inputs.of(tokens, rows), self._model.device)
        vectors: torch.Tensor = self._model(features, **_task(instruction), **told)[
            "sentence_embedding"
        ]
        return vectors

    @property
    def pads(self) -> bool:
        """Whether the shorter texts of a batch are padded; with some prompt, if not with all."""
        return self._unpadded is None or not all(self._agrees.values())

    @property
    def compiled(self) -> bool:
        """Whether torch.compile made the layers that run, with every prompt."""
        return self._compile and not self.pads

    def _without_padding(
        self, padding: bool | None, compile: bool
    ) -> UnpaddedSentenceTransformer | None:
        if padding or (padding is None and not self.device.startswith("cuda")):
            return None
        reason: str | None = "an exported file reads padded texts"
        if self._exported is None:
            reason = UnpaddedSentenceTransformer.supports(self._model)
        if reason is None:
            unpadded = UnpaddedSentenceTransformer(self._model, compile=compile)
            if padding is False or unpadded.has_kernel:
                return unpadded
            reason = f"torch's variable-length attention does not run in {self.dtype} here"
        logger.info("texts are padded: %s", reason)
        return None

    def _runs_unpadded(self, instruction: Instruction) -> bool:
        if self._unpadded is None:
            return False
        if instruction not in self._agrees:
            reason = self._unpadded_disagrees(self._unpadded, instruction)
            self._agrees[instruction] = reason is None
            if reason is not None:
                logger.warning("texts are padded, as without padding: %s", reason)
                self.attention = self._attention()
        return self._agrees[instruction]

    def _unpadded_disagrees(
        self, unpadded: UnpaddedSentenceTransformer, instruction: Instruction
    ) -> str | None:
        """Why texts with this prompt must be padded, from probes; None if they need not be."""
        reason = unpadded.supports(self._model, instruction.prompt)
        if reason is not None:
            return reason
        # Long enough for any local window; six padded texts of 32,768 tokens would not fit.
        tokens = self.tokenize(probe_texts(min(self.max_length or 512, 512)), instruction)
        rows = np.flatnonzero(tokens.lengths)
        try:
            padded = self._forward(tokens, rows, instruction)
            dtype = getattr(torch, self.dtype)
            return disagreement(padded, unpadded.encode(tokens, rows), dtype)
        except Exception as error:  # noqa: BLE001 (kernels and compilers raise what they like)
            self.release_memory()
            return f"{type(error).__name__}: {error}"

    def _attention(self) -> str | None:
        """What ran, for the record; before anything ran, what will."""
        if self._unpadded is None:
            return self._padded_attention
        ran = {
            self._unpadded.attention if agrees else f"{self._padded_attention} (padded)"
            for agrees in (self._agrees.values() or [True])
        }
        return " and ".join(sorted(ran))

    def _inputs_for(self, instruction: Instruction) -> ModelInputs[FastTokenizer] | None:
        """What makes the inputs of texts with this prompt; None where the model does it itself."""
        if instruction not in self._inputs:
            with self._own_tokenizer:
                if instruction not in self._inputs:  # another thread may have asked meanwhile
                    made = inputs_of_texts(self._model, self.max_length, instruction)
                    if made is None:
                        logger.info("%s: tokenised by itself, batch by batch", self._model)
                    self._inputs[instruction] = made
        return self._inputs[instruction]


def inputs_of_texts(
    model: Any, max_length: int | None, instruction: Instruction
) -> ModelInputs[FastTokenizer] | None:
    """
    How a model's inputs are made from ids; None where its texts are left to sentence-transformers.

    Args:
        model: a SentenceTransformer; its tokenizer is used.
        max_length: tokens that it reads of a text; None: all.
        instruction: the prompt in force.
    """
    probes = probe_texts(max_length)
    try:
        expected = model.preprocess(probes, prompt=instruction.prompt or None, **_task(instruction))
        tokenizer = FastTokenizer(model.tokenizer, max_length)
        return inputs_from_ids(expected, tokenizer, tokenizer.tokenize(probes, instruction.prompt))
    except Exception as error:  # noqa: BLE001 (any tokenizer or input module may be in there)
        logger.debug("texts are tokenised by the model: %s", error)
        return None


def _on_host(vectors: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


def _task(instruction: Instruction) -> dict[str, str]:
    """What encode_query and encode_document tell the modules of a model."""
    return {} if instruction.role is None else {"task": instruction.role}


def has_backend(model: object) -> bool:
    """Whether SentenceTransformersBackend may drive this model instead of mteb's wrapper."""
    # The exact classes: a subclass may prepare its inputs in its own way.
    return type(model) in DIRECT_WRAPPERS
