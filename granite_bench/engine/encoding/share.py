"""One of n shares of all shards, of about as many tokens as each of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens

SAMPLED_TEXTS = 64
"""Texts of a request's first shard that are tokenised, to know its characters per token."""


class Share:
    """
    Which shards one of several processes encodes, that know nothing of each other.

    Each shard goes to the share with the fewest tokens so far. Every process sees the same shards
    in the same order and counts the same tokens, so all come to the same division; no two shares
    differ by more than a shard.

    Args:
        number: 1..n_shares.
        n_shares: 1 or more.

    Attributes:
        number, n_shares: as given.
    """

    def __init__(self, number: int, n_shares: int) -> None:
        if not 1 <= number <= n_shares:
            raise ValueError(f"share {number} of {n_shares}")
        self.number, self.n_shares = number, n_shares
        self._tokens = np.zeros(n_shares, np.int64)

    @property
    def n_tokens(self) -> int:
        """Tokens of the shards that this share has taken so far."""
        return int(self._tokens[self.number - 1])

    @property
    def n_tokens_of_all(self) -> int:
        """Tokens of all shards so far, whosesoever they are."""
        return int(self._tokens.sum())

    def takes(self, n_tokens: int) -> bool:
        """Whether the next shard, of so many tokens, is in this share."""
        whose = int(self._tokens.argmin())
        self._tokens[whose] += n_tokens
        return whose == self.number - 1


def sizes(
    tokenize: Callable[[Sequence[str], Instruction], Tokens],
    instruction: Instruction,
    max_length: int | None,
) -> Callable[[Sequence[str]], int]:
    """
    What estimates the tokens of the shards of one request, in their order.

    Every process tokenises a sample of the first shard; all of the others would take as long as
    the tokenisation of the whole corpus in each process.

    Args:
        tokenize: the backend's.
        instruction: the prompt in force.
        max_length: tokens of a text that the model reads at most.
    """
    characters_per_token = 0.0

    def size(texts: Sequence[str]) -> int:
        nonlocal characters_per_token
        if not characters_per_token:
            every = max(1, len(texts) // SAMPLED_TEXTS)
            sample = texts[::every]
            counts = tokenize(sample, instruction).counts
            characters_per_token = max(1, sum(map(len, sample))) / max(1, int(counts.sum()))
        lengths = np.array([len(text) for text in texts]) / characters_per_token
        # Every text has a special token or two, and no more tokens than the model reads.
        return int(np.clip(lengths, 2, max_length or np.inf).sum())

    return size
