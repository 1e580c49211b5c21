"""
Sentence embeddings without padding: a sentence-transformers model over flat token ids.

The encoder reads all texts of a batch end to end (see unpadded_transformer), pooling works on the
ragged rows, and what follows are the model's own modules.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.util import truncate_embeddings

from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.backends.unpadded_attention import HALF_PRECISION
from granite_bench.engine.backends.unpadded_transformer import UnpaddedTransformer, to_device

PoolingMode = Literal["cls", "mean", "lasttoken"]


@torch.inference_mode()
def pooled(states: torch.Tensor, lengths: npt.NDArray[np.int32], mode: PoolingMode) -> torch.Tensor:
    """
    One vector for each text.

    Args:
        states: (n_tokens, hidden), of texts behind each other.
        lengths: int (n_texts,), tokens of each text, each >= 1, together n_tokens.
        mode: the state of the first token, of the last, or the mean over all.

    Returns:
        float32 (n_texts, hidden), on the device of *states*; means are summed in float32.
    """
    lengths = np.asarray(lengths, dtype=np.int32)
    if mode == "mean":
        on_device = to_device(lengths, states.device)
        # "unsafe" leaves out a check of the lengths, for which a GPU would be waited for.
        return torch.segment_reduce(states.float(), "mean", lengths=on_device, unsafe=True)
    ends = np.cumsum(lengths, dtype=np.int32)
    rows = ends - lengths if mode == "cls" else ends - 1
    return states.index_select(0, to_device(rows, states.device)).float()


class UnpaddedSentenceTransformer:
    """
    A sentence-transformers model that reads flat token ids.

    Its modules are Transformer, Pooling (cls, mean or lasttoken), then any of Dense and Normalize.

    Args:
        model: a SentenceTransformer; as for UnpaddedTransformer, it stays as it is.
        compile: as for UnpaddedTransformer.

    Raises:
        ValueError: the model is not supported; the message is what supports returns.
    """

    def __init__(self, model: Any, *, compile: bool = False) -> None:
        reason = self.supports(model)
        if reason is not None:
            raise ValueError(reason)
        self._model = model
        self._transformer = UnpaddedTransformer(model[0].auto_model, compile=compile)

    @staticmethod
    def supports(model: Any, prompt: str = "") -> str | None:
        """Why a SentenceTransformer cannot run unpadded with this prompt; None if it can."""
        names = [_own_name(module) for module in model]
        if names[:2] != ["Transformer", "Pooling"] or not {*names[2:]} <= {"Dense", "Normalize"}:
            return f"its modules are {', '.join(names)}"
        transformer, pooling = model[0], model[1]
        text = getattr(transformer, "modality_config", {}).get("text", {})
        output = text.get("method_output_name")
        mode = getattr(pooling, "pooling_mode", None)
        renamed = [
            name
            for name, module in zip(names[2:], list(model)[2:], strict=True)
            for end in ("input", "output")
            if getattr(module, f"module_{end}_name", None) != "sentence_embedding"
        ]
        reasons = {
            "it does not return the last hidden states": (
                text.get("method") != "forward"
                or output not in ("last_hidden_state", ["last_hidden_state"])
                or transformer.module_output_name != "token_embeddings"
            ),
            "its queries are expanded": getattr(transformer, "query_expansion", None) is not None,
            f"its pooling is {mode}": mode not in ("cls", "mean", "lasttoken"),
            "its pooling leaves the prompt out": bool(prompt) and not pooling.include_prompt,
            f"its {', '.join(renamed)} is not for sentence embeddings": bool(renamed),
        }
        reason = next((reason for reason, applies in reasons.items() if applies), None)
        return reason or UnpaddedTransformer.supports(transformer.auto_model)

    @property
    def has_kernel(self) -> bool:
        """Whether torch's variable-length attention runs, the fast one."""
        return self._transformer.has_kernel

    @property
    def attention(self) -> str:
        """What runs, for the record: the attention, and whether the layers are compiled."""
        return self._transformer.attention

    @torch.inference_mode()
    def vectors(self, tokens: Tokens, rows: npt.NDArray[np.intp]) -> torch.Tensor:
        """
        The vectors of some texts, on the model's device; a GPU is not waited for.

        Args:
            tokens: texts with their ids.
            rows: which of them, each with a token at least; longest first is fastest.

        Returns:
            float32 (n_rows, dim), in the order of *rows*.

        Raises:
            ValueError: the texts are not tokenised, or as for UnpaddedTransformer.token_states.
        """
        lengths = tokens.lengths[rows]
        states = self._transformer.token_states(tokens.flat(rows), lengths)
        features = {"sentence_embedding": pooled(states, lengths, self._model[1].pooling_mode)}
        for module in list(self._model)[2:]:
            weight = next(module.parameters(), features["sentence_embedding"])
            features["sentence_embedding"] = features["sentence_embedding"].to(weight.dtype)
            features = module(features)
        vectors = features["sentence_embedding"]
        if self._model.truncate_dim is not None:
            vectors = truncate_embeddings(vectors, self._model.truncate_dim)
        return vectors.float()

    def encode(self, tokens: Tokens, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """What vectors returns, on the host."""
        return np.asarray(self.vectors(tokens, rows).cpu().numpy(), dtype=np.float32)


def _own_name(module: Any) -> str:
    """The class of a module if it is sentence-transformers' own; else with its module's name."""
    kind = type(module)
    is_own = kind.__module__.startswith("sentence_transformers.")
    return kind.__name__ if is_own else f"{kind.__module__}.{kind.__name__}"


def disagreement(
    padded: npt.NDArray[np.float32], unpadded: npt.NDArray[np.float32], dtype: torch.dtype
) -> str | None:
    """
    How vectors of the same texts differ by more than rounding explains; None if they do not.

    Args:
        padded, unpadded: float32 (n_texts, dim).
        dtype: what the model computes in. Cosines of at least 0.999 for half precision and
            1 - 1e-5 for float32 are required, and norms that differ by at most 1% and 0.01%.
    """
    is_half = dtype in HALF_PRECISION
    least_cosine, norm_tolerance = (0.999, 1e-2) if is_half else (1 - 1e-5, 1e-4)
    left, right = padded.astype(np.float64), unpadded.astype(np.float64)
    norms = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = float(np.min((left * right).sum(axis=1) / (norms[0] * norms[1])))
        ratio = float(np.max(np.abs(norms[1] / norms[0] - 1)))
    # Not the other way round: NaN compares as false.
    if cosine >= least_cosine and ratio <= norm_tolerance:
        return None
    return f"cosine {cosine:.6f} (at least {least_cosine}), norms {ratio:.2%} apart"
