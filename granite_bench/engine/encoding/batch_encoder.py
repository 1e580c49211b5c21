"""
Shards of texts to vectors, on the device of this process: tokens ahead, batches that fit.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from granite_bench.engine.backends.backend import Backend, Instruction, is_out_of_memory
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.encoding.batching import token_budget_batches
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.endpoint.errors import PartlyEncoded
from granite_bench.engine.vectors.places import Places
from granite_bench.engine.vectors.rows import Rows, not_finite, placed
from granite_bench.engine.vectors.vectors import Vectors
from granite_bench.errors import TaskError

logger = logging.getLogger(__name__)

RESIDENT_BYTES = 1 << 30
"""Vectors of a corpus up to this size are read once and kept; larger ones stay on the disk."""


class Progress(Protocol):
    """What is told how many texts are done."""

    def update(self, n: int) -> object:
        """So many more."""


@dataclass(frozen=True)
class Shard(Generic[Rows]):
    """
    Texts that are encoded and stored together.

    Attributes:
        positions: intp (n_texts,), where they stand among the texts of *places*.
        texts: n_texts strings.
        instruction: the prompt in force.
        places: where their vectors go.
        cost: where the numbers are added.
    """

    positions: npt.NDArray[np.intp]
    texts: list[str]
    instruction: Instruction
    places: Places[Rows]
    cost: EncodingCost


class BatchEncoder(Generic[Rows]):
    """
    A backend, a token budget, and what was learnt of the memory.

    Args:
        backend: the model.
        token_budget: padded tokens per batch; halved when the memory is too small for it.
        batch_size: texts per batch at most; None sets no limit.

    Attributes:
        budget_cuts: every token budget that was too much for the memory, in turn.
        verifies: vectors that the store has are read here, so it compares them with checksums.
    """

    verifies = True

    def __init__(
        self, backend: Backend, *, token_budget: int, batch_size: int | None = None
    ) -> None:
        self.token_budget = token_budget
        self.batch_size = batch_size
        self.budget_cuts: list[int] = []
        self._backend = backend

    def encode_shards(
        self, shards: Iterable[Shard[Rows]], progress: tqdm[Any]
    ) -> Iterator[tuple[Shard[Rows], npt.NDArray[np.intp]]]:
        """
        Make the vectors of shards, one after the other, and put them into their places.

        Args:
            shards: read one ahead, to be tokenised in another thread.
            progress: told how many texts are done.

        Yields:
            Each shard when it is done, and the positions of its texts whose vectors are not
            finite; of the texts that are stored with these, none is.

        Raises:
            TaskError: the memory is too small for a single text.
            StorageError: the disk is full.
        """
        waiting = time.perf_counter()
        for shard, tokens in self._tokenized_ahead(shards):
            yield shard, self.encode_tokens(shard, tokens, progress, waiting)
            waiting = time.perf_counter()

    def encode_tokens(
        self, shard: Shard[Rows], tokens: Tokens, progress: Progress, started: float
    ) -> npt.NDArray[np.intp]:
        """
        Encode one shard; as encode_shards.

        Args:
            tokens: of its texts.
            started: perf_counter() when the model began to wait for them.
        """
        cost = shard.cost
        for number, group in enumerate(_groups(tokens, shard.places.limit)):
            if len(group) == 0:
                continue
            try:
                vectors = self._encode_group(tokens, group, shard, progress)
            except PartlyEncoded as error:
                _keep(error, shard, tokens, group, number)
                raise
            encoded = time.perf_counter()
            not_numbers = not_finite(vectors)
            if len(not_numbers):
                return shard.positions[group][not_numbers]
            shard.places.put(shard.positions[group], vectors, tokens.counts[group], number)
            cost.n_encoded += len(group)
            cost.n_tokens_encoded += int(tokens.lengths[group].sum())
            cost.encode_seconds += encoded - started
            started = time.perf_counter()
            cost.store_seconds += started - encoded
        return np.empty(0, np.intp)

    def vectors(
        self, places: Places[Rows], instruction: Instruction, restore: object
    ) -> Vectors[Rows]:
        """All vectors of *places*, which has them."""
        return places.vectors(RESIDENT_BYTES)

    def _tokenized_ahead(
        self, shards: Iterable[Shard[Rows]]
    ) -> Iterator[tuple[Shard[Rows], Tokens]]:
        """Each shard tokenised, the next one in another thread while the model has this one."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer") as thread:
            ahead: tuple[Shard[Rows], Future[Tokens]] | None = None
            for shard in shards:
                future = thread.submit(self._backend.tokenize, shard.texts, shard.instruction)
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = shard, future
            if ahead is not None:
                yield ahead[0], ahead[1].result()

    def _encode_group(
        self,
        tokens: Tokens,
        group: npt.NDArray[np.intp],
        shard: Shard[Rows],
        progress: Progress,
    ) -> Rows:
        """The vectors of the texts *group* of *tokens*, batch by batch."""
        lengths = tokens.lengths[group]
        done: list[tuple[npt.NDArray[np.intp], Rows]] = []
        pending: deque[npt.NDArray[np.intp]] = deque(self._batches(lengths))
        while pending:
            batch = pending.popleft()
            n_padded = int(lengths[batch].max()) * len(batch)
            shortage = None
            try:
                new: Any = self._backend.encode(tokens, group[batch], shard.instruction)
            except PartlyEncoded as error:
                rows = np.concatenate([*(rows for rows, _ in done), batch[error.rows]])
                vectors = np.concatenate([*(cast("Any", each) for _, each in done), error.vectors])
                raise PartlyEncoded(str(error), rows, vectors) from error
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # Its frames hold what the batch allocated, and must be gone before it is retried.
                shortage = error.with_traceback(None)
            if shortage is not None:
                self._halve_budget(n_padded, len(batch), shortage)
                left = np.concatenate([batch, *pending])
                pending = deque(left[smaller] for smaller in self._batches(lengths[left]))
                continue
            done.append((batch, new))
            pads = self._backend.pads
            shard.cost.n_tokens_padded += n_padded if pads else int(lengths[batch].sum())
            progress.update(len(batch))
        return placed(done, len(group))

    def _batches(self, lengths: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.intp]]:
        return token_budget_batches(
            lengths, token_budget=self.token_budget, most_texts=self.batch_size
        )

    def _halve_budget(self, n_tokens: int, n_texts: int, error: Exception) -> None:
        """After a batch of so many padded tokens was too much; for all batches from now on."""
        self._backend.release_memory()
        if n_texts == 1:
            raise TaskError(
                f"one text of {n_tokens:,} tokens does not fit the memory of "
                f"{self._backend.device}\n  try --max-length, or --dtype bfloat16"
            ) from error
        self.budget_cuts.append(self.token_budget)
        self.token_budget = max(1, min(self.token_budget, n_tokens) // 2)
        logger.warning(
            "a batch of %d tokens did not fit the memory of %s; from now on %d a batch",
            n_tokens, self._backend.device, self.token_budget,
        )  # fmt: skip


def _keep(
    error: PartlyEncoded,
    shard: Shard[Rows],
    tokens: Tokens,
    group: npt.NDArray[np.intp],
    number: int,
) -> None:
    """Store what a server answered before it failed: it is paid for."""
    finite = np.setdiff1d(np.arange(len(error.rows)), not_finite(error.vectors))
    kept = group[error.rows[finite]]
    if len(kept):
        vectors: Any = error.vectors[finite]
        shard.places.put(shard.positions[kept], vectors, tokens.counts[kept], number)


def _groups(tokens: Tokens, limit: int | None) -> list[npt.NDArray[np.intp]]:
    """
    The texts of a shard that the model reads whole, and those that it reads truncated.

    They go to different stores, so they are encoded apart: whatever part of a shard a crash
    leaves to be done, it is done in the same batches.
    """
    if limit is None:
        return [np.arange(len(tokens.counts))]
    truncated = tokens.counts > limit
    return [np.flatnonzero(~truncated), np.flatnonzero(truncated)]
