"""Token-budget batches."""

from __future__ import annotations

import numpy as np
import pytest

from granite_bench.engine.encoding.batching import token_budget_batches

# 300 lengths between 1 and 600 tokens, with many equal ones among them.
LENGTHS = np.random.default_rng(7).geometric(0.02, size=300).clip(1, 600)


def batches(lengths: list[int], budget: int) -> list[list[int]]:
    """The batches as plain lists."""
    return [batch.tolist() for batch in token_budget_batches(lengths, token_budget=budget)]


def test_a_small_case_worked_by_hand() -> None:
    """Longest first: 10 alone; 5 + 5 are 10; then 3 and 1, padded to 3 each, are 6."""
    assert batches([3, 10, 5, 5, 1], 10) == [[1], [2, 3], [0, 4]]


@pytest.mark.parametrize("budget", [600, 1000, 4096])
def test_no_padded_batch_exceeds_the_token_budget(budget: int) -> None:
    """A batch costs its longest text times its size."""
    for batch in batches(LENGTHS.tolist(), budget):
        assert max(LENGTHS[batch]) * len(batch) <= budget


def test_a_batch_takes_as_many_texts_as_the_budget_allows() -> None:
    """One more text of the batch's greatest length would not fit, but for the last batch."""
    for batch in batches(LENGTHS.tolist(), 1000)[:-1]:
        assert max(LENGTHS[batch]) * (len(batch) + 1) > 1000


def test_a_text_longer_than_the_budget_is_alone() -> None:
    """It cannot be split, so it is a batch of its own; the others keep to the budget."""
    assert batches([4, 50, 3, 60], 8) == [[3], [1], [0, 2]]


@pytest.mark.parametrize("budget", [1, 17, 4096, 10**9])
def test_every_text_is_in_exactly_one_batch(budget: int) -> None:
    """The batches together are a permutation."""
    flat = [position for batch in batches(LENGTHS.tolist(), budget) for position in batch]
    assert sorted(flat) == list(range(len(LENGTHS)))


def test_texts_are_taken_longest_first() -> None:
    """What runs out of memory does so at once."""
    flat = [position for batch in batches(LENGTHS.tolist(), 1000) for position in batch]
    assert LENGTHS[flat].tolist() == sorted(LENGTHS.tolist(), reverse=True)


def test_equal_lengths_keep_their_order() -> None:
    """The same texts always make the same batches: Python's stable sort says how."""
    flat = [position for batch in batches(LENGTHS.tolist(), 1000) for position in batch]
    assert len(set(LENGTHS.tolist())) < len(LENGTHS)
    assert flat == sorted(range(len(LENGTHS)), key=lambda position: -LENGTHS[position])


def test_empty_texts_count_as_one_token() -> None:
    """A count of 0 must neither divide by zero nor make an endless batch."""
    assert batches([0, 0, 0], 2) == [[0, 1], [2]]


def test_no_texts_make_no_batches() -> None:
    """An empty list is fine."""
    assert batches([], 10) == []


def test_a_batch_has_at_most_so_many_texts() -> None:
    """The budget would take four of length 1; a text of the budget's length is alone anyway."""
    found = token_budget_batches([1, 4, 1, 1, 1, 1], token_budget=4, most_texts=2)
    assert [batch.tolist() for batch in found] == [[1], [0, 2], [3, 4], [5]]


def test_fewer_than_one_text_is_refused() -> None:
    """It would make endless empty batches."""
    with pytest.raises(ValueError, match="most_texts must be at least 1, not 0"):
        list(token_budget_batches([1], token_budget=4, most_texts=0))


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_below_one_is_refused(budget: int) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match=f"at least 1, not {budget}"):
        list(token_budget_batches([1, 2], token_budget=budget))
