"""
The best of many scores: compiled loops over keys whose order is trec_eval's order.

A key is a uint64. Its high half is an image of the float32 score that keeps the order of scores;
its low half is 2**32 - 1 - rank, where the rank of a document is its place by id, descending.
Keys are never equal, and descending keys are descending scores, equal scores by descending id:
whatever selects the largest keys breaks ties exactly. No key of a number is 0.

Importing this module loads numba, and compiles where no earlier process left its cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Keys = npt.NDArray[np.uint64]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(signature: str) -> Callable[[_Function], _Function]:
    """Compile to machine code that runs without the interpreter's lock."""

    def compile_(function: _Function) -> _Function:
        try:
            return cast(_Function, njit(signature, nogil=True, cache=True)(function))
        except (RuntimeError, OSError):  # no folder for the cache can be written
            return cast(_Function, njit(signature, nogil=True)(function))

    return compile_


# numba takes .view of a number only from a call of its type.
# A float32's bits order like the number when it is positive, against it when it is negative.
@compiled("uint64(float32, uint32)")
def key_of(score: np.float32, low: np.uint32) -> np.uint64:
    """The key of one score."""
    bits = np.float32(score).view(np.uint32) if score != 0 else np.uint32(0)  # -0.0 is 0.0
    image = ~bits if bits >> np.uint32(31) else bits | np.uint32(0x80000000)
    return (np.uint64(image) << np.uint64(32)) | np.uint64(low)


@compiled("float32(uint64)")
def score_of(key: np.uint64) -> np.float32:
    """The score of one key."""
    image = np.uint32(key >> np.uint64(32))
    bits = image & np.uint32(0x7FFFFFFF) if image >> np.uint32(31) else ~image
    return np.uint32(bits).view(np.float32)


@compiled("void(uint64[::1], int64, int64)")
def put_largest_first(keys: Keys, n_keys: int, top_k: int) -> None:
    """Reorder keys[:n_keys] so that its *top_k* largest come first, the least of them last."""
    # Quickselect with the median of three as pivot; the keys all differ.
    first, last, wanted = 0, n_keys - 1, top_k - 1
    while first < last:
        middle = (first + last) // 2
        if keys[middle] > keys[first]:
            keys[first], keys[middle] = keys[middle], keys[first]
        if keys[last] > keys[first]:
            keys[first], keys[last] = keys[last], keys[first]
        if keys[last] > keys[middle]:
            keys[middle], keys[last] = keys[last], keys[middle]
        pivot = keys[middle]
        left, right = first, last
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if wanted <= right:
            last = right
        elif wanted >= left:
            first = left
        else:
            return


@compiled("int64(float32[:, ::1], uint32[::1], int64, uint64[:, ::1], int64[::1], uint64[::1])")
def keep_best(
    scores: npt.NDArray[np.float32],
    lows: npt.NDArray[np.uint32],
    top_k: int,
    kept: Keys,
    n_kept: npt.NDArray[np.int64],
    floors: Keys,
) -> int:
    """
    Add a block of scores to what is kept of each query.

    Args:
        scores: float32 (n_queries, n).
        lows: uint32 (n,), the low halves of the keys.
        top_k: keys that must survive when *kept* is full; less than its capacity.
        kept: uint64 (n_queries, capacity), a query's keys in no order, 0 behind them.
        n_kept: int64 (n_queries,), how many there are.
        floors: uint64 (n_queries,); a smaller key is not kept. A floor rises to the top_k-th
            largest key when a query's row of *kept* is full.

    Returns:
        The first row with a score that is not a number, or -1.
    """
    n, capacity = len(lows), kept.shape[1]
    columns = np.empty(n, np.int32)
    for row in range(len(n_kept)):
        floor, count = floors[row], n_kept[row]
        least = score_of(floor)
        # Without a branch: about one cycle a score, however many pass. The comparison lets NaN
        # pass, and everything when the floor is 0, whose score is NaN.
        n_passed = 0
        for column in range(n):
            columns[n_passed] = column
            n_passed += not (scores[row, column] < least)
        for column in columns[:n_passed]:
            score = scores[row, column]
            if np.isnan(score):
                return row
            key = key_of(score, lows[column])
            if key < floor:
                continue
            kept[row, count] = key
            count += 1
            if count == capacity:
                put_largest_first(kept[row], count, top_k)
                kept[row, top_k:] = 0
                count = top_k
                floor = kept[row, top_k - 1]
        floors[row], n_kept[row] = floor, count
    return -1


@compiled(
    "void(uint64[:, ::1], int32[::1], int64[::1], int64[::1], int64[::1], uint32[::1],"
    "uint64[:, ::1])"
)
def spread_to_copies(
    best: Keys,
    by_rank: npt.NDArray[np.int32],
    texts: npt.NDArray[np.int64],
    docs: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    ranks: npt.NDArray[np.uint32],
    spread: Keys,
) -> None:
    """
    From the best texts of each query to its best documents.

    Args:
        best: uint64 (n_queries, n_best), keys with the rank of a text's first document,
            descending, 0 where a query has fewer.
        by_rank, texts, ranks: those of Documents.
        docs, starts: Documents.by_text.
        spread: uint64 (n_queries, top_k), filled with the largest keys of documents in no order,
            0 where there are fewer.
    """
    top_k = spread.shape[1]
    found = np.empty(2 * top_k, np.uint64)
    for row in range(len(best)):
        count, floor = 0, np.uint64(0)
        for key in best[row]:
            # Keys of later texts are smaller, and so are those of a text's later copies.
            if key < floor or key == 0:
                break
            text = texts[by_rank[0xFFFFFFFF - (key & np.uint64(0xFFFFFFFF))]]
            high = key & np.uint64(0xFFFFFFFF00000000)
            for place in range(starts[text], starts[text + 1]):
                copy = high | np.uint64(0xFFFFFFFF - ranks[docs[place]])
                if copy < floor:
                    break
                found[count] = copy
                count += 1
                if count == 2 * top_k:
                    put_largest_first(found, count, top_k)
                    count = top_k
                    floor = found[top_k - 1]
        if count > top_k:
            put_largest_first(found, count, top_k)
            count = top_k
        spread[row, :count] = found[:count]
        spread[row, count:] = 0
