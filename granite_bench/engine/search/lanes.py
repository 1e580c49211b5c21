"""
Work in lanes: a share of the queries, or of every block, that one thread at a time has.

Blocks of documents go through all lanes one after the other, and the next one is read and
prepared while the lanes work on the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

_L = TypeVar("_L")

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""map, or that of a pool of threads."""


@contextmanager
def map_of(n_threads: int) -> Iterator[Map]:
    """The calling thread alone, or a pool of *n_threads* for as long as the context is open."""
    if n_threads == 1:
        yield map
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield pool.map


def shares(count: int, n_shares: int) -> list[slice]:
    """0..count in *n_shares* parts that differ by one at most."""
    borders = [count * share // n_shares for share in range(n_shares + 1)]
    return [slice(start, stop) for start, stop in pairwise(borders)]


def scan(run: Map, blocks: Iterable[Callable[[_L], None]], lanes: Sequence[_L]) -> None:
    """
    Give every block to every lane.

    Args:
        run: see map_of.
        blocks: what a lane does with each; made one at a time.
    """
    working: Iterator[None] = iter(())
    for block in blocks:
        for _ in working:
            pass
        working = run(block, lanes)
    for _ in working:
        pass
