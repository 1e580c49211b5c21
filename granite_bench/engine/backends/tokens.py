"""
Texts as a model reads them: token ids, truncated, all from one pass of the tokenizer.

sentence-transformers tokenises batch by batch, between two steps of the model. Here a shard is
tokenised whole and ahead of time, so that its lengths are known before batches are cut, and the
model never waits. A tokenizer is trusted with that only after its ids were compared with what
sentence-transformers makes of the same texts (see model_inputs).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

CHARACTERS_PER_TOKEN = 4
"""Where no tokenizer can be asked; only the size of batches depends on it, never a vector."""

CUT_CHARACTERS_PER_TOKEN = 8
"""Texts are cut to this many characters per token of the maximum length before they are tokenised;
English has 4 to 5, so one cut is nearly always enough."""

CUT_MARGIN_TOKENS = 64
"""A cut text must have so many tokens beyond the maximum length, or the cut moves out. Texts are
cut between words; should a tokenizer look further, what the model reads ends well before."""

_PROBE_TOKENS = 512
_PROBES = (
    "The quick brown fox jumps over the lazy dog, twice. ",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏",
    "def f(x):\n    return {'a': [x ** 2, None]}  # 0x1F\n\n",
    "aaaaaaaaab0123456789",
)
"""With spaces and without, in several scripts: does the beginning depend on where a cut is?"""


@dataclass(frozen=True)
class Tokens:
    """
    Texts, counted and perhaps tokenised.

    Attributes:
        texts: n_texts strings, without the prompt.
        counts: int32 (n_texts,), tokens with prompt and special tokens, before truncation. For a
            text that was cut by characters it is what the cut has, which is above the maximum.
        lengths: int32 (n_texts,), tokens that the model reads.
        ids: int32, the token ids of all texts behind each other, truncated; None where the model
            tokenises by itself.
        starts: int64 (n_texts + 1,): text i has ids[starts[i]:starts[i + 1]].
    """

    texts: Sequence[str]
    counts: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int32] | None
    starts: npt.NDArray[np.int64]

    def padded(
        self, rows: Sequence[int] | npt.NDArray[np.intp], pad_id: int, *, side: str = "right"
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids of *rows* and their attention mask, padded; int64 (n_rows, longest)."""
        flat = self.flat(rows)
        lengths = self.lengths[rows]
        mask = np.arange(int(lengths.max(initial=1))) < lengths[:, None]
        if side == "left":
            mask = mask[:, ::-1]
        ids = np.full(mask.shape, pad_id, dtype=np.int64)
        ids[mask] = flat
        return ids, mask.astype(np.int64)

    def flat(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> npt.NDArray[np.int32]:
        """The ids of *rows* behind each other; int32 (the sum of their lengths,)."""
        if self.ids is None:
            raise ValueError("these texts are not tokenised")
        parts = [self.ids[self.starts[row] : self.starts[row + 1]] for row in rows]
        return np.concatenate([np.empty(0, np.int32), *parts])


class FastTokenizer:
    """
    A Rust tokenizer, driven for whole shards.

    Args:
        tokenizer: transformers' fast tokenizer. A copy is driven: in another thread the model
            may be using its own, whose truncation and padding transformers sets on each call.
        max_length: tokens per text, special ones included; None truncates nothing.

    Raises:
        ValueError: the tokenizer puts special tokens elsewhere than around the text, or
            *max_length* leaves no room for others.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        self._rust = copy.deepcopy(tokenizer.backend_tokenizer)
        self._rust.no_truncation()
        self._rust.no_padding()
        self.max_length = max_length
        self.pad_id: int = tokenizer.pad_token_id or 0
        self.pad_type: int = tokenizer.pad_token_type_id
        self.padding_side: str = tokenizer.padding_side
        self._n_before, self._n_after = self._special_tokens()
        if max_length is not None and max_length <= self._n_before + self._n_after:
            raise ValueError(f"{max_length} tokens are no more than the special ones")

    def tokenize(self, texts: Sequence[str], prompt: str) -> Tokens:
        """
        Token ids of *prompt* + each text, truncated to *max_length* as transformers does: the
        special tokens stay, the end of the text goes.
        """
        prompted = [prompt + text for text in texts] if prompt else list(texts)
        all_ids = self._all_ids(prompted)
        counts = np.fromiter(map(len, all_ids), dtype=np.int32, count=len(all_ids))
        lengths = counts
        if self.max_length is not None:
            lengths = np.minimum(counts, np.int32(self.max_length))
            for row in np.flatnonzero(counts > self.max_length):
                all_ids[row] = self._truncated(all_ids[row], self.max_length)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        ids = np.fromiter(chain.from_iterable(all_ids), dtype=np.int32, count=int(starts[-1]))
        return Tokens(texts, counts, lengths, ids, starts)

    def _all_ids(self, texts: list[str]) -> list[list[int]]:
        """Ids with special tokens; those of overlong texts only as far as they matter."""
        characters = (self.max_length or 0) * CUT_CHARACTERS_PER_TOKEN
        is_long = any(len(text) > characters for text in texts)
        if self.max_length is None or not is_long or not self._may_cut:
            return self._encode(texts)
        found: list[list[int]] = [[]] * len(texts)
        rows = list(range(len(texts)))
        while rows:
            cuts = [_cut(texts[row], characters) for row in rows]
            again = []
            for row, cut, ids in zip(rows, cuts, self._encode(cuts), strict=True):
                is_cut = len(cut) < len(texts[row])
                if is_cut and len(ids) < self.max_length + CUT_MARGIN_TOKENS:
                    again.append(row)
                found[row] = ids
            rows, characters = again, 4 * characters
        return found

    @cached_property
    def _may_cut(self) -> bool:
        """Whether the first tokens of a text stay the same when its end is cut off, on probes."""
        characters = _PROBE_TOKENS * CUT_CHARACTERS_PER_TOKEN
        whole = [probe * (4 * characters // len(probe)) for probe in _PROBES]
        pairs = zip(self._encode(whole), self._encode([t[:characters] for t in whole]), strict=True)
        for of_whole, of_cut in pairs:
            n_sure = min(len(of_cut) - self._n_after - CUT_MARGIN_TOKENS, _PROBE_TOKENS)
            if of_whole[: max(n_sure, 0)] != of_cut[: max(n_sure, 0)]:
                return False
        return True

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._rust.encode_batch_fast(texts)]

    def _truncated(self, ids: list[int], length: int) -> list[int]:
        n_text = max(length - self._n_before - self._n_after, 0)
        ending = ids[len(ids) - self._n_after :] if self._n_after else []
        return ids[: self._n_before + n_text] + ending

    def _special_tokens(self) -> tuple[int, int]:
        """How many special tokens stand before and behind a text."""
        mask = self._rust.encode("a").special_tokens_mask
        content = [place for place, special in enumerate(mask) if not special]
        if not content or sum(mask) != len(mask) - (content[-1] + 1 - content[0]):
            raise ValueError("special tokens stand between those of the text")
        return content[0], len(mask) - 1 - content[-1]


def _cut(text: str, characters: int) -> str:
    """
    The text as far as a border between words at or before that many characters.

    Inside a word even the first tokens may depend on the last letters (WordPiece has one [UNK]
    for a word that is too long, Unigram many ways to tile a run of dashes), so where the second
    half of the allowance has no border, the text stays whole.
    """
    if len(text) <= characters:
        return text
    half = characters // 2
    before, *last_word = text[half:characters].rsplit(None, 1) or [""]
    return text[: half + len(before)] if last_word else text


def estimated(texts: Sequence[str], prompt: str, max_length: int | None) -> Tokens:
    """Texts of a model that tokenises by itself, their tokens guessed from their characters."""
    counts = np.array(
        [(len(prompt) + len(text)) // CHARACTERS_PER_TOKEN + 1 for text in texts], dtype=np.int32
    )
    return counted(texts, counts, max_length)


def counted_by(
    tokenizer: Any, texts: Sequence[str], inputs: Sequence[Sequence[str]], max_length: int | None
) -> Tokens:
    """
    Texts of a model that tokenises by itself, counted by its tokenizer.

    Args:
        inputs: what the tokenizer is given for *texts*: their own words, or the two sides of pairs.
    """
    encoded = tokenizer(
        *map(list, inputs),
        truncation=False,
        padding=False,
        return_attention_mask=False,
        verbose=False,
    )
    counts = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int32)
    return counted(texts, counts, max_length)


def counted(texts: Sequence[str], counts: npt.NDArray[np.int32], max_length: int | None) -> Tokens:
    """Texts of a model that tokenises by itself, with their tokens counted before."""
    lengths = counts if max_length is None else np.minimum(counts, np.int32(max_length))
    return Tokens(texts, counts, lengths, None, np.zeros(1, dtype=np.int64))
