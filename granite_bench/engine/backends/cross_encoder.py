"""
The backend of a cross-encoder: pairs in, one score each.

It makes of a pair what CrossEncoder.predict of sentence-transformers makes of it, over ids that
are tokenised by the shard; where its ids would be others, predict itself runs.
"""

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
from mteb.models import CrossEncoderWrapper
from mteb.types import PromptType
from sentence_transformers.util import batch_to_device, fullname

from granite_bench.engine.backends.backend import Instruction, empty_device_cache, max_length_of
from granite_bench.engine.backends.model_inputs import ModelInputs, inputs_from_ids, probe_pairs
from granite_bench.engine.backends.pair_tokens import PairTokenizer
from granite_bench.engine.backends.pairs import ROLE, pair_of, pair_text
from granite_bench.engine.backends.tokens import Tokens, counted_by, estimated
from granite_bench.errors import TaskError

logger = logging.getLogger(__name__)


class CrossEncoderBackend:
    """
    A CrossEncoder as Encoder wants it: the text of a pair is its pair_text, the vector its score.

    Scores are float32 and went through the model's activation function, as predict's do; in half
    precision the scoring head runs in float32, as mteb's wrapper arranges it.

    Args:
        wrapper: mteb's wrapper of the model.

    Attributes:
        activation: the name of the activation function; part of a score's identity.
        tokenizer: a copy of the model's, to cut queries by; None where it has none.

    Raises:
        TaskError: the model gives more than one score per pair.
    """

    pads = True
    similarity_name: str | None = None

    def __init__(self, wrapper: CrossEncoderWrapper) -> None:
        self._model = wrapper.model
        if self._model.num_labels != 1:
            raise TaskError(
                f"this cross-encoder gives {self._model.num_labels} numbers for a pair, and a "
                "ranking needs one\n  choose a reranker: a model with num_labels=1"
            )
        backend = self._model.get_backend()
        self.name = "cross-encoder" if backend == "torch" else f"cross-encoder, {backend}"
        self.max_length = max_length_of(self._model)
        parameter = next(self._model.parameters(), torch.empty(0))
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self.device = str(self._model.device)
        config = getattr(self._model.transformers_model, "config", None)
        self.attention: str | None = getattr(config, "_attn_implementation", None)
        self.activation: str = fullname(self._model.activation_fn)
        name = self._model.default_prompt_name
        self._instruction = Instruction(ROLE, (self._model.prompts.get(name) if name else "") or "")
        own = getattr(self._model, "tokenizer", None)
        self.tokenizer = copy.deepcopy(own) if callable(own) else None
        # One more: it counts in another thread while queries are cut and the model is at work.
        self._counting = copy.deepcopy(self.tokenizer)
        self._tokenizing = threading.Lock()
        self._inputs = self._inputs_of_pairs()

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The model's own prompt; tasks and roles have none."""
        return self._instruction

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Whether pairs are tokenised here."""
        return self._inputs is not None

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The pairs as the model will read them; only counted where it tokenises by itself."""
        with self._tokenizing:  # one thread at a time, as in the dense backend
            if self._inputs is not None:
                return self._inputs.tokenizer.tokenize(texts)
            if self._counting is None:
                return estimated(texts, instruction.prompt, self.max_length)
            sides = list(zip(*map(pair_of, texts), strict=True))
            return counted_by(self._counting, texts, sides, self.max_length)

    @torch.inference_mode()
    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One batch to its scores, float32 (n_rows, 1)."""
        if tokens.ids is not None and self._inputs is not None:
            self._model.eval()
            features = batch_to_device(self._inputs.of(tokens, rows), self._model.device)
            scores = self._model.activation_fn(self._model(features)["scores"].float())
        else:
            scores = self._model.predict(
                [pair_of(tokens.texts[row]) for row in rows],
                batch_size=len(rows),
                show_progress_bar=False,
                convert_to_tensor=True,
            )
        scores = scores.float().reshape(len(rows), 1)
        return np.asarray(scores.cpu().numpy(), dtype=np.float32)

    def release_memory(self) -> None:
        """Empty torch's cache of the device's memory."""
        empty_device_cache(self.device)

    def _inputs_of_pairs(self) -> ModelInputs[PairTokenizer] | None:
        """How inputs are made from ids; None where pairs are left to sentence-transformers."""
        if self._instruction.prompt:  # before the query in one model, in a chat template in another
            return None
        probes = probe_pairs(self.max_length)
        inputs = None
        try:
            expected: dict[str, Any] = self._model.preprocess([list(pair) for pair in probes])
            tokenizer = PairTokenizer(self._model.tokenizer, self.max_length)
            tokens = tokenizer.tokenize([pair_text(*pair) for pair in probes])
            inputs = inputs_from_ids(expected, tokenizer, tokens)
        except Exception as error:  # noqa: BLE001 (any tokenizer or input module may be in there)
            logger.debug("pairs are tokenised by the model: %s", error)
        if inputs is None:
            logger.info("%s: pairs are tokenised by itself, batch by batch", self._model)
        return inputs
