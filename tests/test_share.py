"""The division of shards among processes that know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens, counted
from granite_bench.engine.encoding.asked import AskedTexts
from granite_bench.engine.encoding.share import Share, sizes
from granite_bench.engine.vectors.vector_store import text_keys

PLAIN = Instruction(None, "")
TOKENS = np.random.default_rng(7).integers(1, 1000, 200).tolist()


def _takers(n_tokens: int, shares: Sequence[Share]) -> list[int]:
    return [share.number for share in shares if share.takes(n_tokens)]


@pytest.mark.parametrize("n_shares", [1, 3, 16])
def test_every_shard_is_in_exactly_one_share(n_shares: int) -> None:
    """Whatever the sizes are."""
    shares = [Share(number + 1, n_shares) for number in range(n_shares)]
    assert [len(_takers(n_tokens, shares)) for n_tokens in TOKENS] == [1] * len(TOKENS)


@pytest.mark.parametrize("n_shares", [2, 3, 16])
def test_no_two_shares_differ_by_more_than_a_shard(n_shares: int) -> None:
    """After each of 200 shards of 1 to 999 tokens."""
    shares = [Share(number + 1, n_shares) for number in range(n_shares)]
    for place, n_tokens in enumerate(TOKENS):
        _takers(n_tokens, shares)
        taken = [share.n_tokens for share in shares]
        assert max(taken) - min(taken) <= max(TOKENS[: place + 1])


def test_a_share_knows_its_tokens_and_those_of_all() -> None:
    """Of 5, 3 and 4 tokens the second of two takes the last two: it had fewer each time."""
    share = Share(2, 2)
    assert [share.takes(n_tokens) for n_tokens in (5, 3, 4)] == [False, True, True]
    assert (share.n_tokens, share.n_tokens_of_all) == (7, 12)


@pytest.mark.parametrize(("number", "n_shares"), [(0, 16), (17, 16), (1, 0)])
def test_a_number_outside_of_the_shares_is_refused(number: int, n_shares: int) -> None:
    """They are 1..n."""
    with pytest.raises(ValueError, match=f"share {number} of {n_shares}"):
        Share(number, n_shares)


def test_tokens_are_estimated_from_a_sample_of_the_first_shard() -> None:
    """Four characters a token there; later shards are not tokenised, and long texts are cut."""
    tokenized: list[Sequence[str]] = []

    def tokenize(texts: Sequence[str], instruction: Instruction) -> Tokens:
        tokenized.append(texts)
        return counted(texts, np.array([len(text) // 4 for text in texts], np.int32), None)

    size = sizes(tokenize, PLAIN, 100)
    assert size(["x" * 40] * 640) == 6400
    assert size(["x" * 80, "x" * 4000, ""]) == 20 + 100 + 2
    assert [len(texts) for texts in tokenized] == [64]


def test_a_text_is_new_once() -> None:
    """In any order, among others."""
    asked = AskedTexts()
    assert asked.add(text_keys(["b", "a"])).tolist() == [True, True]
    assert asked.add(text_keys(["c", "a", "d"])).tolist() == [True, False, True]
    assert asked.add(text_keys(["d", "b", "c", "e"])).tolist() == [False, False, False, True]
    assert asked.add(text_keys([])).tolist() == []
