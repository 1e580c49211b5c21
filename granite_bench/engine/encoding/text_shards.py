"""
Which texts are encoded and stored together: windows of a corpus, cut into shards.

A window is what is in memory and sorted by length at once. Its longest texts make the first
shard, so that texts of like length meet in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Limits:
    """Texts and characters that are together at most; a single text may have more characters."""

    n_texts: int
    n_characters: int


@dataclass(frozen=True)
class Window:
    """Consecutive different texts, and the number of the first."""

    first: int
    texts: list[str]


def selected(blocks: Iterable[Sequence[str]], positions: npt.NDArray[np.intp]) -> Iterator[str]:
    """The texts at these positions, which ascend."""
    start = 0
    for block in blocks:
        inside = positions[slice(*np.searchsorted(positions, [start, start + len(block)]))]
        yield from (block[position - start] for position in inside)
        start += len(block)


def windows(texts: Iterable[str], limits: Limits) -> Iterator[Window]:
    """Texts in their order, cut where a window has enough of them."""
    first, window, n_characters = 0, list[str](), 0
    for text in texts:
        full = len(window) == limits.n_texts or n_characters + len(text) > limits.n_characters
        if window and full:
            yield Window(first, window)
            first, window, n_characters = first + len(window), [], 0
        window.append(text)
        n_characters += len(text)
    if window:
        yield Window(first, window)


def shards(
    window: Window, limits: Limits, *, step: int, longest_first: bool = True
) -> Iterator[tuple[npt.NDArray[np.intp], list[str]]]:
    """
    Numbers and texts, longest first or in their order, cut where a shard has enough of them, behind
    a multiple of *step* texts.
    """
    lengths = np.array([len(text) for text in window.texts], dtype=np.int64)
    order = np.argsort(-lengths if longest_first else np.zeros_like(lengths), kind="stable")
    start, n_characters = 0, 0
    for end, length in enumerate(lengths[order].tolist()):
        n_texts = end - start
        full = n_texts >= limits.n_texts or n_characters + length > limits.n_characters
        if n_texts and full and n_texts % step == 0:
            yield order[start:end] + window.first, [window.texts[i] for i in order[start:end]]
            start, n_characters = end, 0
        n_characters += length
    yield order[start:] + window.first, [window.texts[i] for i in order[start:]]
