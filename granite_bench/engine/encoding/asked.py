"""Which texts earlier requests have asked for: each is encoded once, for the first of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class AskedTexts:
    """
    The addresses of texts so far, by their first halves.

    One pair of texts in 10**19 has the same half, and the second is then taken for the first: it
    is not encoded ahead, but by the evaluation, which finds it missing.

    Memory: 8 bytes a text.
    """

    def __init__(self) -> None:
        self._halves = np.empty(0, np.uint64)

    def add(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """
        Take in texts.

        Args:
            keys: text_keys of different texts, uint64 (n_texts, 2).

        Returns:
            bool (n_texts,): which of them were not asked for before.
        """
        halves = keys[:, 0]
        new: npt.NDArray[np.bool_] = np.ones(len(halves), np.bool_)
        if len(self._halves):
            at = np.minimum(np.searchsorted(self._halves, halves), len(self._halves) - 1)
            new = self._halves[at] != halves
        # Two sorted runs: a stable sort merges them.
        self._halves = np.sort(np.concatenate([self._halves, np.sort(halves[new])]), kind="stable")
        return new
