"""
The backend of a cross-encoder: pairs in, one score each.

It makes of a pair what CrossEncoder.predict of sentence-transformers makes of it, over ids that
are tokenised by the shard; where its ids would be others, predict itself runs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CrossEncoderWrapper
from mteb.types import PromptType
from sentence_transformers.util import batch_to_device, fullname

from granite_bench.engine.backend import Instruction
from granite_bench.engine.pair_tokens import PairTokenizer, PairTokens
from granite_bench.engine.pairs import ROLE, pair_of, pair_text
from granite_bench.engine.tokens import Tokens, counted_by, estimated
from granite_bench.errors import TaskError

logger = logging.getLogger(__name__)

UNLIMITED = 1 << 31
"""A tokenizer without a maximum length says a number beyond this."""


class CrossEncoderBackend:
    """
    A CrossEncoder as Encoder wants it: the text of a pair is its pair_text, the vector its score.

    Scores are float32 and went through the model's activation function, as predict's do; in half
    precision the scoring head runs in float32, as mteb's wrapper arranges it.

    Args:
        wrapper: mteb's wrapper of the model.

    Attributes:
        activation: the name of the activation function; part of a score's identity.
        tokenizer: the model's own; None where it has none.

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
        length = self._model.max_seq_length
        self.max_length: int | None = length if length and length < UNLIMITED else None
        parameter = next(self._model.parameters(), torch.empty(0))
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self.device = str(self._model.device)
        config = getattr(self._model.transformers_model, "config", None)
        self.attention: str | None = getattr(config, "_attn_implementation", None)
        self.activation: str = fullname(self._model.activation_fn)
        name = self._model.default_prompt_name
        self._instruction = Instruction(ROLE, (self._model.prompts.get(name) if name else "") or "")
        tokenizer = getattr(self._model, "tokenizer", None)
        # A copy: it counts in another thread while the model's own is at work.
        self.tokenizer = copy.deepcopy(tokenizer) if callable(tokenizer) else None
        self._fast = self._fast_inputs()

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """The model's own prompt; tasks and roles have none."""
        return self._instruction

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Whether pairs are tokenised here."""
        return self._fast is not None

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """The pairs as the model will read them; only counted where it tokenises by itself."""
        if self._fast is not None:
            return self._fast.tokenizer.tokenize(texts)
        if self.tokenizer is None:
            return estimated(texts, instruction.prompt, self.max_length)
        sides = list(zip(*map(pair_of, texts), strict=True))
        return counted_by(self.tokenizer, texts, sides, self.max_length)

    @torch.inference_mode()
    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One batch to its scores, float32 (n_rows, 1)."""
        if isinstance(tokens, PairTokens) and self._fast is not None:
            self._model.eval()
            features = batch_to_device(self._fast.features(tokens, rows), self._model.device)
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
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        elif self.device.startswith("mps"):
            torch.mps.empty_cache()

    def _fast_inputs(self) -> _FastInputs | None:
        """What makes the inputs that predict makes, to the last token of _probes; else None."""
        if self._instruction.prompt:  # before the query in one model, in a chat template in another
            return None
        probes = _probes(self.max_length)
        try:
            expected: dict[str, Any] = self._model.preprocess([list(pair) for pair in probes])
            tensors = [name for name in expected if isinstance(expected[name], torch.Tensor)]
            others = {name: expected[name] for name in expected if name not in tensors}
            tokenizer = PairTokenizer(self._model.tokenizer, self.max_length)
            inputs = _FastInputs(tokenizer, tensors, others)
            tokens = tokenizer.tokenize([pair_text(*pair) for pair in probes])
            made = inputs.features(tokens, np.arange(len(probes)))
            same = all(torch.equal(made[name], expected[name]) for name in tensors)
        except Exception as error:  # noqa: BLE001 (any tokenizer or input module may be in there)
            logger.debug("no fast inputs: %s", error)
            same = False
        if not same:
            logger.info("%s: pairs are tokenised by sentence-transformers", self._model)
        return inputs if same else None


@dataclass(frozen=True)
class _FastInputs:
    """
    How a model's inputs are made from token ids.

    Attributes:
        tensors: the inputs of the model: input_ids, attention_mask, token_type_ids or some of them.
        others: what is no tensor: the modality.
    """

    tokenizer: PairTokenizer
    tensors: Sequence[str]
    others: Mapping[str, Any]

    def features(self, tokens: PairTokens, rows: npt.NDArray[np.intp]) -> dict[str, Any]:
        """
        What sentence-transformers' preprocess returns for these pairs.

        Raises:
            KeyError: the model has an input that is not made here.
        """
        side = self.tokenizer.padding_side
        ids, mask = tokens.padded(rows, self.tokenizer.pad_id, side=side)
        types = tokens.padded_types(rows, self.tokenizer.pad_type, side=side)
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return {name: torch.from_numpy(arrays[name]) for name in self.tensors} | dict(self.others)


def _probes(max_length: int | None) -> list[tuple[str, str]]:
    """Pairs with an empty text, of several scripts, and beyond the maximum length on each side."""
    long = _WORDS * (2 + (max_length or 64) // 8)
    longer = long + _WORDS
    return [
        ("", "a"),
        ("a", ""),
        ("  two words\t", "日本語 и кириллица, عربي"),
        (_WORDS, "a " + _WORDS),
        ("short", long),
        (long, "short"),
        (long, longer),
        (longer, long),
        (long, long),
    ]


_WORDS = "Each of the grey harbours freezes in a cold January , says Überseequartier's old pilot . "
