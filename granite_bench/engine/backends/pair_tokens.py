"""
Pairs as a cross-encoder reads them: the token ids of both texts, truncated together.

A document is the candidate of many queries and a query has many candidates, so each is tokenised
once for all pairs of a shard that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backends.pairs import pair_of
from granite_bench.engine.backends.tokens import FastTokenizer, Tokens

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PairTokens(Tokens):
    """
    Tokens of pairs.

    Attributes:
        types: int32, the token type (segment) of each of *ids*.
    """

    types: Int32s

    def padded_types(
        self, rows: npt.NDArray[np.intp], pad_type: int, *, side: str = "right"
    ) -> npt.NDArray[np.int64]:
        """The token types of *rows*, padded as their ids are; int64 (n_rows, longest)."""
        return replace(self, ids=self.types).padded(rows, pad_type, side=side)[0]


class PairTokenizer:
    """
    A Rust tokenizer, driven for whole shards of pairs.

    Args:
        tokenizer: transformers' fast tokenizer, as for FastTokenizer.
        max_length: tokens per pair, special ones included; None truncates nothing.

    Raises:
        ValueError: as FastTokenizer, or a pair has special tokens inside one of its texts, or
            none less than a single text.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        self._texts = FastTokenizer(tokenizer, max_length)
        self._uncut = FastTokenizer(tokenizer, None)
        self.max_length = max_length
        self.pad_id = self._texts.pad_id
        self.pad_type = self._texts.pad_type
        self.padding_side = self._texts.padding_side
        rust = tokenizer.backend_tokenizer
        rust.no_truncation()
        rust.no_padding()
        single = rust.encode("a")
        self._n_before, behind = _places(single.sequence_ids, [0])
        self._n_special = len(single.ids) - (behind - self._n_before)
        pair = rust.encode("a", "b")
        ids, types = np.array(pair.ids, np.int32), np.array(pair.type_ids, np.int32)
        first, behind_first, second, behind_second = _places(pair.sequence_ids, [0, 1])
        # What stands before, between and behind the two texts.
        self._around = ids[:first], ids[behind_first:second], ids[behind_second:]
        self._types_around = types[:first], types[behind_first:second], types[behind_second:]
        self._types = types[first], types[second]
        self._n_around = sum(map(len, self._around))
        if self._n_around < self._n_special:
            raise ValueError("a pair has fewer special tokens than one text")
        if max_length is not None and max_length <= self._n_around:
            raise ValueError(f"{max_length} tokens are no more than the special ones")

    def tokenize(self, texts: Sequence[str]) -> PairTokens:
        """
        Token ids of pairs, truncated to *max_length* as transformers' "longest_first" does.

        Args:
            texts: pair_text of each.
        """
        pairs = [pair_of(text) for text in texts]
        queries, query_of = _tokenized([query for query, _ in pairs], self._texts)
        documents, document_of = _tokenized([document for _, document in pairs], self._texts)
        # Tokens of the texts alone.
        firsts = queries.counts[query_of] - np.int32(self._n_special)
        seconds = documents.counts[document_of] - np.int32(self._n_special)
        if self.max_length is not None:
            # Where both are long, which of them is longer decides about one token, and the counts
            # of texts that were cut by characters are no more than lower bounds.
            for row in np.flatnonzero(np.minimum(firsts, seconds) > self.max_length):
                uncut = self._uncut.tokenize(pairs[row], "").counts - np.int32(self._n_special)
                firsts[row], seconds[row] = uncut
        counts = firsts + seconds + np.int32(self._n_around)
        lengths = counts
        if self.max_length is not None:
            lengths = np.minimum(counts, np.int32(self.max_length))
            for row in np.flatnonzero(counts > self.max_length):
                room = self.max_length - self._n_around
                firsts[row], seconds[row] = _longest_first(
                    int(firsts[row]), int(seconds[row]), room
                )
        empty = np.empty(0, np.int32)
        ids, types = [empty], [empty]
        for pair in range(len(texts)):
            first = queries.flat([query_of[pair]])[self._n_before :][: firsts[pair]]
            second = documents.flat([document_of[pair]])[self._n_before :][: seconds[pair]]
            ids += _between(self._around, first, second)
            types += _between(
                self._types_around,
                np.full(firsts[pair], self._types[0]),
                np.full(seconds[pair], self._types[1]),
            )
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return PairTokens(
            texts, counts, lengths, np.concatenate(ids), starts, types=np.concatenate(types)
        )


def _between(around: tuple[Int32s, Int32s, Int32s], first: Int32s, second: Int32s) -> list[Int32s]:
    return [around[0], first, around[1], second, around[2]]


def _tokenized(texts: list[str], tokenizer: FastTokenizer) -> tuple[Tokens, npt.NDArray[np.intp]]:
    """The different texts, tokenised, and which of them each text is."""
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    rows = np.array([number_of[text] for text in texts], dtype=np.intp)
    return tokenizer.tokenize(list(number_of), ""), rows


def _longest_first(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """
    Tokens that are left of two texts that do not fit: the longer one loses all it can, then
    both have half, and the longer one (the second of equals) the odd token.

    As truncate_encodings of huggingface/tokenizers does it (src/utils/truncation.rs).
    """
    shorter, longer = sorted((n_first, n_second))
    if shorter + shorter <= room:
        longer = room - shorter
    else:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if n_first > n_second else (shorter, longer)


def _places(sequence_ids: Sequence[int | None], texts: Sequence[int]) -> list[int]:
    """
    Where each text begins and ends (behind its last token), in order.

    Raises:
        ValueError: a text is not there, or not in one piece.
    """
    places = list[int]()
    for text in texts:
        own = [place for place, sequence in enumerate(sequence_ids) if sequence == text]
        if not own or own != list(range(own[0], own[-1] + 1)):
            raise ValueError("special tokens stand between those of the text")
        places += [own[0], own[-1] + 1]
    if places != sorted(places):
        raise ValueError("the second text comes first")
    return places
