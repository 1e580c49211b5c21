"""
Texts to vectors through the store: each text is encoded once, in shards that survive a crash.

Texts come in blocks and are read twice, once for their addresses and once, those that the store
lacks, for the model; what stays in memory is some 60 bytes a text, and one window of texts.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from granite_bench.engine.backend import Backend, Instruction, is_out_of_memory
from granite_bench.engine.batching import token_budget_batches
from granite_bench.engine.endpoint.errors import PartlyEncoded
from granite_bench.engine.places import Places, different
from granite_bench.engine.rows import Rows, not_finite, placed
from granite_bench.engine.text_shards import Limits, selected, shards, windows
from granite_bench.engine.texts import DOCUMENT_TEMPLATE
from granite_bench.engine.tokens import Tokens
from granite_bench.engine.vector_store import VectorStore, text_keys
from granite_bench.engine.vectors import Vectors
from granite_bench.errors import NonFiniteVectors, TaskError

logger = logging.getLogger(__name__)

TEXTS_PER_SHARD = 1024
CHARACTERS_PER_SHARD = 4_000_000
"""A crash costs one shard; long documents must not make that an hour."""

TEXTS_PER_WINDOW = 128 * TEXTS_PER_SHARD
CHARACTERS_PER_WINDOW = 64_000_000
"""Texts that are sorted by length together, and all that are in memory at once."""

RESIDENT_BYTES = 1 << 30
"""Vectors of a corpus up to this size are read once and kept; larger ones stay on the disk."""


@dataclass
class EncodingCost:
    """
    What encoding took, added up over calls.

    Attributes:
        n_texts: texts asked for.
        n_unique: different texts among them, per call.
        n_encoded: of these, encoded now; the others came from the store.
        n_truncated: of n_unique, longer than the model's maximum length.
        n_tokens_encoded: tokens of the texts encoded now, truncated, without padding.
        n_tokens_padded: the same with the padding of their batches.
        encode_seconds: model, and waiting for the tokenizer, for the texts encoded now.
        store_seconds: reading and writing vectors.
    """

    n_texts: int = 0
    n_unique: int = 0
    n_encoded: int = 0
    n_truncated: int = 0
    n_tokens_encoded: int = 0
    n_tokens_padded: int = 0
    encode_seconds: float = 0.0
    store_seconds: float = 0.0


@dataclass(frozen=True)
class Encoded(Generic[Rows]):
    """
    The vectors of a list of texts.

    Attributes:
        vectors: one for each different text, in the order of first occurrence, as the model
            returns them (not normalised here).
        rows: intp (n_texts,); the vector of text i is vectors[rows[i]].
    """

    vectors: Vectors[Rows]
    rows: npt.NDArray[np.intp]

    def array(self) -> Rows:
        """The vectors of all texts in memory; dense ones are float32 (n_texts, dim)."""
        return self.vectors.gather(self.rows)


class Encoder(Generic[Rows]):
    """
    A model's vectors, from the store where they are there, from the backend otherwise.

    Args:
        backend: the model.
        identity: what tells this model from others: name, revision, how it was loaded.
        store_folder: where vectors are kept; None keeps those of the last texts, in memory.
        token_budget: padded tokens per batch; halved when the memory is too small for it.
        batch_size: texts per batch at most; None sets no limit.
        sparse: whether the backend's vectors are SparseRows.
        longest_first: whether texts of like length share a shard; else neighbours do, as the pairs
            of a query must where a server scores them in one request.

    Attributes:
        repaired_shards: shards that were found broken and encoded again.
        budget_cuts: every token budget that was too much for the memory, in turn.
    """

    def __init__(
        self,
        backend: Backend,
        identity: Mapping[str, Any],
        *,
        store_folder: Path | None,
        token_budget: int,
        batch_size: int | None = None,
        sparse: bool = False,
        longest_first: bool = True,
    ) -> None:
        self.backend = backend
        self.token_budget = token_budget
        self.batch_size = batch_size
        self.repaired_shards: list[str] = []
        self.budget_cuts: list[int] = []
        self._identity = dict(identity)
        self._sparse = sparse
        self._longest_first = longest_first
        self._store_folder = store_folder
        self._stores: dict[tuple[Instruction, int | None], VectorStore] = {}
        self._last: dict[Instruction, _Last[Rows]] = {}

    def encode(
        self,
        texts: Iterable[Sequence[str]],
        instruction: Instruction,
        cost: EncodingCost,
        *,
        label: str,
    ) -> Encoded[Rows]:
        """
        The vectors of the different texts among *texts*.

        Args:
            texts: blocks of strings; read more than once, the same each time. Equal strings are
                encoded once.
            instruction: the prompt in force.
            cost: where the numbers of this call are added.
            label: what the progress bar calls the texts.

        Raises:
            NonFiniteVectors: with the positions in *texts* of the bad ones; shards finished
                before are kept, the one with bad vectors is not written.
            TaskError: the memory is too small for a single text.
            StorageError: the disk is full, or a shard went missing.
        """
        started = time.perf_counter()
        keys = np.concatenate([np.empty((0, 2), np.uint64), *map(text_keys, texts)])
        cost.n_texts += len(keys)
        last = self._last.pop(instruction, None)
        if last is not None and np.array_equal(last.keys, keys):
            # Another variant of the same corpus.
            self._last[instruction] = last
            cost.n_unique += last.encoded.vectors.n_vectors
            cost.n_truncated += last.n_truncated
            cost.store_seconds += time.perf_counter() - started
            return last.encoded
        # One corpus goes before the next one comes; queries and documents stay side by side.
        del last
        while len(self._last) > 1:
            del self._last[next(iter(self._last))]
        first, rows = different(keys)
        places = self._places(instruction, keys[first])
        cost.store_seconds += time.perf_counter() - started
        cost.n_unique += len(first)
        missing = np.flatnonzero(places.store_of < 0)
        if len(missing):
            unique = selected(texts, first)
            with tqdm(
                total=len(missing), desc=label, unit=" texts", disable=None, leave=False
            ) as progress:
                try:
                    self._encode_missing(unique, instruction, places, cost, progress)
                except _BadVectors as error:
                    bad = np.isin(rows, error.positions)
                    raise NonFiniteVectors(np.flatnonzero(bad).tolist(), len(rows)) from None
        if (places.store_of < 0).any():
            raise ValueError("texts were not the same when they were read again")
        n_truncated = 0
        if self.backend.max_length is not None:
            n_truncated = int((places.counts > self.backend.max_length).sum())
        cost.n_truncated += n_truncated
        started = time.perf_counter()
        encoded = Encoded(places.vectors(RESIDENT_BYTES), rows)
        self._last[instruction] = _Last(keys, encoded, n_truncated)
        cost.store_seconds += time.perf_counter() - started
        return encoded

    def encode_uncached(self, texts: Sequence[str], instruction: Instruction) -> None:
        """Encode one batch for its time alone; nothing is looked up or kept."""
        tokens = self.backend.tokenize(texts, instruction)
        self.backend.encode(tokens, np.arange(len(texts)), instruction)

    def _places(self, instruction: Instruction, keys: npt.NDArray[np.uint64]) -> Places[Rows]:
        """
        Where the vectors of these texts are.

        A text that the model reads whole has the same vector under every maximum length, so it
        lies in a store without one; only truncated texts lie in a store of their length. Where
        the model tokenises by itself nobody knows which these are, and all lie in the latter.
        """
        limit = self.backend.max_length
        if limit is not None and not self.backend.knows_tokens(instruction):
            limits: list[int | None] = [limit]
        else:
            limits = [None] if limit is None else [None, limit]
        stores = [self._store(instruction, each) for each in limits]
        # Without a store there is nothing to keep apart.
        split_at = limit if len(limits) == 2 and self._store_folder is not None else None
        found = [store for store in stores if store is not None]
        places: Places[Rows] = Places(keys, found, split_at, sparse=self._sparse)
        for number, store in enumerate(found):
            places.find(number)
            self.repaired_shards += store.repaired_shards
            store.repaired_shards.clear()
        return places

    def _encode_missing(
        self,
        unique: Iterator[str],
        instruction: Instruction,
        places: Places[Rows],
        cost: EncodingCost,
        progress: tqdm[Any],
    ) -> None:
        window_limits = Limits(TEXTS_PER_WINDOW, CHARACTERS_PER_WINDOW)
        shard_limits = Limits(TEXTS_PER_SHARD, CHARACTERS_PER_SHARD)
        missing = (
            (positions, texts)
            for window in windows(unique, window_limits)
            for positions, texts in shards(
                window, shard_limits, step=self._texts_in_step, longest_first=self._longest_first
            )
            # Shards are cut from all texts, found or not: after a crash the same texts meet in
            # the same batches, so the vectors are the same to the last bit.
            for positions, texts in [places.missing_of(positions, texts)]
            if texts
        )
        waiting = time.perf_counter()
        for positions, tokens in self._tokenized_ahead(missing, instruction):
            for number, group in enumerate(_groups(tokens, places.limit)):
                if len(group) == 0:
                    continue
                try:
                    vectors = self._encode_group(tokens, group, instruction, cost, progress)
                except PartlyEncoded as error:
                    self._keep(error, positions, tokens, group, places, number)
                    raise
                encoded = time.perf_counter()
                bad = not_finite(vectors)
                if len(bad):
                    raise _BadVectors(positions[group][bad])
                places.put(positions[group], vectors, tokens.counts[group], number)
                cost.n_encoded += len(group)
                cost.n_tokens_encoded += int(tokens.lengths[group].sum())
                cost.encode_seconds += encoded - waiting
                waiting = time.perf_counter()
                cost.store_seconds += waiting - encoded

    def _keep(
        self,
        error: PartlyEncoded,
        positions: npt.NDArray[np.intp],
        tokens: Tokens,
        group: npt.NDArray[np.intp],
        places: Places[Rows],
        number: int,
    ) -> None:
        """Store what a server answered before it failed: it is paid for."""
        finite = np.setdiff1d(np.arange(len(error.rows)), not_finite(error.vectors))
        kept = group[error.rows[finite]]
        if len(kept):
            vectors: Any = error.vectors[finite]
            places.put(positions[kept], vectors, tokens.counts[kept], number)

    def _tokenized_ahead(
        self,
        shards: Iterable[tuple[npt.NDArray[np.intp], list[str]]],
        instruction: Instruction,
    ) -> Iterator[tuple[npt.NDArray[np.intp], Tokens]]:
        """Each shard tokenised, the next one in another thread while the model has this one."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer") as thread:
            ahead: tuple[npt.NDArray[np.intp], Future[Tokens]] | None = None
            for positions, texts in shards:
                future = thread.submit(self.backend.tokenize, texts, instruction)
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = positions, future
            if ahead is not None:
                yield ahead[0], ahead[1].result()

    def _encode_group(
        self,
        tokens: Tokens,
        group: npt.NDArray[np.intp],
        instruction: Instruction,
        cost: EncodingCost,
        progress: tqdm[Any],
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
                new: Any = self.backend.encode(tokens, group[batch], instruction)
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
            cost.n_tokens_padded += n_padded if self.backend.pads else int(lengths[batch].sum())
            progress.update(len(batch))
        return placed(done, len(group))

    @property
    def _texts_in_step(self) -> int:
        """
        A shard ends behind a multiple of so many texts: without a store, nothing is lost with a
        longer shard, and batches of a given size are all of that size but the last.
        """
        return self.batch_size if self.batch_size and self._store_folder is None else 1

    def _batches(self, lengths: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.intp]]:
        return token_budget_batches(
            lengths, token_budget=self.token_budget, most_texts=self.batch_size
        )

    def _halve_budget(self, n_tokens: int, n_texts: int, error: Exception) -> None:
        """After a batch of so many padded tokens was too much; for all batches from now on."""
        self.backend.release_memory()
        if n_texts == 1:
            raise TaskError(
                f"one text of {n_tokens:,} tokens does not fit the memory of "
                f"{self.backend.device}\n  try --max-length, or --dtype bfloat16"
            ) from error
        self.budget_cuts.append(self.token_budget)
        self.token_budget = max(1, min(self.token_budget, n_tokens) // 2)
        logger.warning(
            "a batch of %d tokens did not fit the memory of %s; from now on %d a batch",
            n_tokens, self.backend.device, self.token_budget,
        )  # fmt: skip

    def _store(self, instruction: Instruction, max_length: int | None) -> VectorStore | None:
        if self._store_folder is None:
            return None
        if (instruction, max_length) not in self._stores:
            self._stores[instruction, max_length] = VectorStore(
                self._store_folder,
                {
                    **self._identity,
                    "backend": self.backend.name,
                    "dtype": self.backend.dtype,
                    "truncated_to": max_length,
                    "prompt": instruction.prompt,
                    "role": instruction.role,
                    "document_template": DOCUMENT_TEMPLATE,
                },
            )
        return self._stores[instruction, max_length]


@dataclass(frozen=True)
class _Last(Generic[Rows]):
    """The last answer for an instruction: variants of a model ask for it again and again."""

    keys: npt.NDArray[np.uint64]
    encoded: Encoded[Rows]
    n_truncated: int


class _BadVectors(Exception):
    """Vectors that are not finite, by the positions of their texts among the different ones."""

    def __init__(self, positions: npt.NDArray[np.intp]) -> None:
        super().__init__()
        self.positions = positions


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
