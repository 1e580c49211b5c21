"""
transformers encoders over texts laid end to end: the tokens of all texts form one sequence.

A padded batch computes every text at the length of its longest. Here positions restart with each
text and attention stays within its bounds (see unpadded_attention), so a text costs its own
tokens and no more.

The padded model is never touched, during a call neither: changing the attention of a loaded model
would change it for whoever else uses it, so a copy of its modules is made, with the same weights.
"""

from __future__ import annotations

import copy
import logging
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.engine.backends.unpadded_attention import (
    HALF_PRECISION,
    PER_SEQUENCE,
    REGISTERED,
    VARLEN,
    Attention,
    varlen_refusal,
)

logger = logging.getLogger(__name__)

_ROBERTA = ("RobertaModel", "XLMRobertaModel")
_BERT_LIKE = ("BertModel", *_ROBERTA)
ARCHITECTURES = (*_BERT_LIKE, "ModernBertModel")
"""Classes of transformers in which nothing but attention and positions joins tokens."""

_RECOMPILE_LIMIT = 64
"""Versions of a layer that torch.compile keeps, all models of a process together; a model has up
to 6. Beyond its own limit of 8 it would stop compiling."""


class UnpaddedTransformer:
    """
    A transformers encoder that reads texts laid end to end.

    Args:
        model: an encoder as AutoModel loads it, of a class in ARCHITECTURES, on any device. Its
            weights are used, its modules and configuration are copied. Once it was moved or cast,
            a new instance is needed.
        attention: VARLEN or PER_SEQUENCE; None takes VARLEN wherever it can run.
        compile: run the layers through torch.compile. That fuses what stands between the matrix
            products: norms, activations, and the rotary embedding of ModernBERT, which
            transformers computes step by step in float32. Where compiling fails,
            the layers run as they are, and a warning is logged.

    Raises:
        ValueError: the model is not supported; the message is what supports returns.
    """

    def __init__(
        self, model: Any, *, attention: Attention | None = None, compile: bool = False
    ) -> None:
        reason = self.supports(model)
        if reason is not None:
            raise ValueError(reason)
        self._weight = next(model.parameters())
        self.device, self.dtype = self._weight.device, self._weight.dtype
        if attention is None:
            head_dim = model.config.hidden_size // model.config.num_attention_heads
            refusal = varlen_refusal(self.device, self.dtype, head_dim)
            attention = VARLEN if refusal is None else PER_SEQUENCE
        self._attention: Attention = attention
        name = type(model).__name__
        self._has_token_types = name in _BERT_LIKE
        self._padding_id = model.embeddings.padding_idx if name in _ROBERTA else None
        self.max_length = _max_length(model)
        self._model = _with_attention(model, attention)
        self._compiled: Any = None
        self._compiles = compile

    @staticmethod
    def supports(model: Any) -> str | None:
        """Why a loaded transformers model cannot run unpadded; None if it can."""
        name, config = type(model).__name__, getattr(model, "config", None)
        # The exact classes: a subclass may compute something else.
        if name not in ARCHITECTURES or not type(model).__module__.startswith("transformers."):
            return f"{name} is none of {', '.join(ARCHITECTURES)}"
        parameters = list(model.parameters())
        dtypes = {parameter.dtype for parameter in parameters}
        position_type = getattr(config, "position_embedding_type", "absolute")
        reasons = {
            "it has adapters": getattr(model, "_hf_peft_config_loaded", False),
            "it is a decoder": getattr(config, "is_decoder", False),
            f"its positions are {position_type}": position_type != "absolute",
            "it cuts its feed-forward layers": getattr(config, "chunk_size_feed_forward", 0) != 0,
            "its weights are of several types": len(dtypes) != 1,
            f"its weights are {', '.join(map(str, dtypes))}": not (
                dtypes <= {torch.float32, *HALF_PRECISION}
            ),
            "it is on several devices": len({parameter.device for parameter in parameters}) != 1,
            "its forward was replaced": any("forward" in vars(part) for part in model.modules()),
        }
        return next((reason for reason, applies in reasons.items() if applies), None)

    @property
    def has_kernel(self) -> bool:
        """Whether torch's variable-length attention runs, the fast one."""
        return self._attention == VARLEN

    @property
    def attention(self) -> str:
        """What runs, for the record: the attention, and whether the layers are compiled."""
        return f"{self._attention}, compiled" if self._compiles else self._attention

    @torch.inference_mode()
    def token_states(
        self, ids: npt.NDArray[np.int32] | torch.Tensor, lengths: npt.NDArray[np.int32]
    ) -> torch.Tensor:
        """
        The last hidden states of all tokens.

        Args:
            ids: int (n_tokens,), the ids of all texts behind each other, special tokens included.
                A numpy array goes to a GPU through pinned memory, without waiting.
            lengths: int (n_texts,), tokens of each text, each >= 1, together n_tokens. In any
                order; PER_SEQUENCE is faster where equal lengths stand together.

        Returns:
            (n_tokens, hidden) in the model's dtype, on its device.

        Raises:
            ValueError: a text is empty or longer than the model has positions, *lengths* do not
                add up to n_tokens, or the model was moved or cast since this was made.
        """
        lengths = np.asarray(lengths)
        self._check(ids, lengths)
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        if isinstance(ids, torch.Tensor):
            flat, cu_seq_lens = ids.to(self.device), to_device(bounds, self.device)
        else:
            # One copy. The bounds come first, so that they are aligned as a tensor of their own.
            both = to_device(np.concatenate([bounds, ids], dtype=np.int32), self.device)
            cu_seq_lens, flat = both[: len(bounds)], both[len(bounds) :]
        longest = int(lengths.max())
        inputs = {
            "input_ids": flat[None],
            "position_ids": _positions(flat, cu_seq_lens, self._padding_id)[None],
            "cu_seq_lens_q": cu_seq_lens,
            "cu_seq_lens_k": cu_seq_lens,
            "max_length_q": longest,
            "max_length_k": longest,
        }
        if self._has_token_types:
            inputs["token_type_ids"] = torch.zeros_like(flat)[None]
        return self._forward(inputs)

    def _check(
        self, ids: npt.NDArray[np.int32] | torch.Tensor, lengths: npt.NDArray[np.int32]
    ) -> None:
        if len(lengths) == 0 or lengths.min() < 1:
            raise ValueError("there must be texts, and a token in each")
        if int(lengths.sum()) != len(ids):
            raise ValueError(f"the lengths add up to {lengths.sum()}, but there are {len(ids)} ids")
        # On a GPU, a position out of range would leave the device unusable for the process.
        if self.max_length is not None and lengths.max() > self.max_length:
            raise ValueError(f"{lengths.max()} tokens are more than {self.max_length} positions")
        if (self._weight.device, self._weight.dtype) != (self.device, self.dtype):
            raise ValueError("the model was moved or cast: make a new UnpaddedTransformer of it")

    def _forward(self, inputs: dict[str, Any]) -> torch.Tensor:
        if not self._compiles:
            return _states(self._model, inputs)
        try:
            if self._compiled is None:
                self._compiled = _with_compiled_layers(self._model)
            return _states(self._compiled, inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (compilers raise whatever they like)
            states = _states(self._model, inputs)  # what is wrong with the inputs is raised here
            self._compiles, self._compiled = False, None
            logger.warning("the layers run without torch.compile, which failed: %s", error)
            return states


def _states(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    states: torch.Tensor = model(**inputs).last_hidden_state[0]
    return states


def _copied(model: Any) -> Any:
    """The modules of a model once more, over the same weights."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def _with_attention(model: Any, attention: Attention) -> Any:
    """A copy of a model, over the same weights, with an attention of ours and without dropout."""
    copied = _copied(model).eval()
    for module in copied.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = REGISTERED[attention]
    return copied


def _with_compiled_layers(model: Any) -> Any:
    """A copy of a model, over the same weights, whose layers compile when they first run."""
    config = torch._dynamo.config
    if hasattr(config, "recompile_limit"):
        config.recompile_limit = max(config.recompile_limit, _RECOMPILE_LIMIT)
    copied = _copied(model)
    # Layer by layer: layers of one kind share what is compiled, so 22 cost no more than 3.
    for layer in copied.layers if hasattr(copied, "layers") else copied.encoder.layer:
        layer.compile(dynamic=True)
    return copied


def _max_length(model: Any) -> int | None:
    """The tokens of the longest text that a model has positions for; None if it computes them."""
    name = type(model).__name__
    if name not in _BERT_LIKE:
        return None
    rows: int = model.config.max_position_embeddings
    return rows - model.embeddings.padding_idx - 1 if name in _ROBERTA else rows


def to_device(array: npt.NDArray[np.int32], device: torch.device) -> torch.Tensor:
    """A copy on the device; a GPU is not waited for."""
    if device.type != "cuda":
        return torch.tensor(array, device=device)
    pinned = torch.empty(array.shape, dtype=torch.int32, pin_memory=True)
    pinned.numpy()[...] = array
    # torch lends the pinned memory to no one else before the copy is done.
    return pinned.to(device, non_blocking=True)


def _positions(
    ids: torch.Tensor, cu_seq_lens: torch.Tensor, padding_id: int | None
) -> torch.Tensor:
    """
    The position of each token in its text: int64 (n_tokens,), from 0.

    With a *padding_id*, as RoBERTa has them: only other tokens are counted, from padding_id + 1,
    and a padding token inside a text stands at padding_id.
    """
    if padding_id is None:
        counts, before = torch.arange(len(ids), device=ids.device), cu_seq_lens[:-1].long()
    else:
        is_counted = (ids != padding_id).long()
        counts = is_counted.cumsum(0)
        before = (counts - is_counted)[cu_seq_lens[:-1].long()]
    # With the size given, a GPU is not asked for the sum of the lengths.
    positions = counts - before.repeat_interleave(cu_seq_lens.diff(), output_size=len(ids))
    return positions if padding_id is None else positions * is_counted + padding_id
