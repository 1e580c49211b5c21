"""
A model's inputs made from token ids, where sentence-transformers would make the same ones.

Whether it would is found out on probes: a model whose code changes texts, adds tokens or has
inputs that are not known here gives other ids for them, and tokenises by itself then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.engine.backends.pair_tokens import PairTokenizer, PairTokens
from granite_bench.engine.backends.tokens import FastTokenizer, Tokens

_WORDS = "Each of the grey harbours freezes in a cold January , says Überseequartier's old pilot . "

Tokenizer = TypeVar("Tokenizer", FastTokenizer, PairTokenizer)


@dataclass(frozen=True)
class ModelInputs(Generic[Tokenizer]):
    """
    Makes of token ids what sentence-transformers' preprocess makes of the texts.

    Attributes:
        tokenizer: what made the ids.
        tensors: the inputs that are tensors: ids, attention mask and token types as the tokens
            have them, zeros for any other.
        others: what is no tensor: the modality, the length of the prompt.
    """

    tokenizer: Tokenizer
    tensors: Sequence[str]
    others: Mapping[str, Any]

    def of(self, tokens: Tokens, rows: npt.NDArray[np.intp]) -> dict[str, Any]:
        """The inputs for the texts *rows* of *tokens*; tensors are int64 (n_rows, longest)."""
        side = self.tokenizer.padding_side
        ids, mask = tokens.padded(rows, self.tokenizer.pad_id, side=side)
        made = {"input_ids": ids, "attention_mask": mask}
        if isinstance(tokens, PairTokens):
            pad_type = self.tokenizer.pad_type
            made["token_type_ids"] = tokens.padded_types(rows, pad_type, side=side)
        arrays = {name: made.get(name, np.zeros_like(ids)) for name in self.tensors}
        return {name: torch.from_numpy(array) for name, array in arrays.items()} | dict(self.others)


def inputs_from_ids(
    expected: Mapping[str, Any], tokenizer: Tokenizer, probes: Tokens
) -> ModelInputs[Tokenizer] | None:
    """
    How a model's inputs are made from ids; None where they would be others.

    Args:
        expected: what the model's preprocess makes of the probes.
        tokenizer: the model's, driven here.
        probes: as *tokenizer* reads them.
    """
    tensors = [name for name, value in expected.items() if isinstance(value, torch.Tensor)]
    others = {name: value for name, value in expected.items() if name not in tensors}
    inputs = ModelInputs(tokenizer, tensors, others)
    made = inputs.of(probes, np.arange(len(probes.texts)))
    return inputs if all(torch.equal(made[name], expected[name]) for name in tensors) else None


def probe_texts(max_length: int | None) -> list[str]:
    """An empty text, one word, spaces around a text, several scripts, and one that is longer than
    the model reads."""
    return ["", "a", "  two words\t", "日本語 и кириллица, عربي", _WORDS, _long(max_length)]


def probe_pairs(max_length: int | None) -> list[tuple[str, str]]:
    """Pairs with an empty text, of several scripts, and beyond the maximum length on each side."""
    long = _long(max_length)
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


def _long(max_length: int | None) -> str:
    return _WORDS * (2 + (max_length or 64) // 8)
