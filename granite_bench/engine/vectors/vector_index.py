"""Where each text's vector is: keys to shards and rows, in arrays of 28 bytes a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.vectors.shard import Keys

KEYS_AT_ONCE = 1 << 18
"""A question of any length needs room for this many keys beside its answer."""


@dataclass(frozen=True)
class Found:
    """
    Where the store has texts.

    Attributes:
        shards: int32 (n_texts,); the number of the shard, -1 where a text is not found.
        rows: int32 (n_texts,); the row in the shard.
        token_counts: int32 (n_texts,); tokens before truncation, 0 where not found.
    """

    shards: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    token_counts: npt.NDArray[np.int32]


class VectorIndex:
    """
    Keys to places, in sorted runs.

    A run is at least twice as long as the next, so a store that grows shard by shard is sorted
    O(log n) times over, and a question is put to O(log n) runs.

    Memory: 28 bytes a text, about twice that while texts are added.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, shards: dict[int, Keys], ranks: npt.NDArray[np.int32]) -> None:
        """
        Take in the texts of shards.

        Args:
            shards: number -> keys; emptied, to make room before they are sorted.
            ranks: int32 (n_shards,); the order of all shards, these included.
        """
        if not shards:
            return
        run = _Run.of(shards)
        shards.clear()
        run.sort(ranks)
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2].first) < 2 * len(self._runs[-1].first):
            last = self._runs.pop()
            self._runs[-1].append(last)
            self._runs[-1].sort(ranks)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget all texts of these shards."""
        gone = np.array(sorted(numbers), dtype=np.int32)
        for run in self._runs:
            run.choose(~np.isin(run.shards, gone))
        self._runs = [run for run in self._runs if len(run.first)]

    def find(self, keys: npt.NDArray[np.uint64], ranks: npt.NDArray[np.int32]) -> Found:
        """
        Where texts are; of several places the one in the shard of the lowest rank.

        Args:
            keys: uint64 (n_texts, 2).
            ranks: as for add.
        """
        found = Found(
            np.full(len(keys), -1, dtype=np.int32),
            np.zeros(len(keys), dtype=np.int32),
            np.zeros(len(keys), dtype=np.int32),
        )
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            # In ascending order a search goes through a run's memory once.
            order = np.argsort(some[:, 0])
            for run in self._runs:
                run.find(some[order], start + order, found, ranks)
        return found


@dataclass
class _Run:
    """Texts by the first half of their keys, those with the same by the rank of their shard."""

    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]
    shards: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    token_counts: npt.NDArray[np.int32]

    @classmethod
    def of(cls, shards: dict[int, Keys]) -> _Run:
        """All texts of the shards, in no order."""
        lengths = [len(shard.keys) for shard in shards.values()]
        return cls(
            np.concatenate([shard.keys[:, 0] for shard in shards.values()]),
            np.concatenate([shard.keys[:, 1] for shard in shards.values()]),
            np.repeat(np.fromiter(shards, dtype=np.int32, count=len(shards)), lengths),
            np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
            np.concatenate([shard.token_counts for shard in shards.values()]),
        )

    def append(self, other: _Run) -> None:
        """Put the texts of *other*, which is used up, behind these."""
        # Column by column, so that the room for a second copy of one column is enough.
        for column in fields(self):
            both: list[Any] = [getattr(self, column.name), getattr(other, column.name)]
            delattr(other, column.name)
            setattr(self, column.name, np.concatenate(both))

    def sort(self, ranks: npt.NDArray[np.int32]) -> None:
        """Restore the order of the class after texts came in."""
        self.choose(np.lexsort((ranks[self.shards], self.first)))

    def choose(self, chosen: npt.NDArray[Any]) -> None:
        """Keep these texts: positions in a new order, or a mask."""
        for column in fields(self):
            setattr(self, column.name, getattr(self, column.name)[chosen])

    def find(
        self,
        keys: npt.NDArray[np.uint64],
        positions: npt.NDArray[np.intp],
        found: Found,
        ranks: npt.NDArray[np.int32],
    ) -> None:
        """Enter in *found*, at *positions*, the places of *keys* that are here and rank lower."""
        first, second = keys[:, 0], keys[:, 1]
        at = np.searchsorted(self.first, first)
        left = self._candidates(at, first, np.arange(len(keys)))
        while len(left):
            same = self.second[at[left]] == second[left]
            hits, places = positions[left[same]], at[left[same]]
            known = found.shards[hits]
            better = (known < 0) | (ranks[self.shards[places]] < ranks[known])
            hits, places = hits[better], places[better]
            found.shards[hits] = self.shards[places]
            found.rows[hits] = self.rows[places]
            found.token_counts[hits] = self.token_counts[places]
            # Two texts may share the first half of a key; then the next place may be it.
            left = left[~same]
            at[left] += 1
            left = self._candidates(at, first, left)

    def _candidates(
        self,
        at: npt.NDArray[np.intp],
        first: npt.NDArray[np.uint64],
        asked: npt.NDArray[np.intp],
    ) -> npt.NDArray[np.intp]:
        """Those of *asked* whose place has the first half of their key."""
        asked = asked[at[asked] < len(self.first)]
        same: npt.NDArray[np.bool_] = self.first[at[asked]] == first[asked]
        return asked[same]
