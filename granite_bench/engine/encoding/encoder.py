"""
Texts to vectors through the store: each text is encoded once, in shards that survive a crash.

Texts come in blocks and are read twice, once for their addresses and once, those that the store
lacks, for the model; what stays in memory is some 60 bytes a text, and one window of texts.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from granite_bench.engine.backends.backend import Backend, Instruction
from granite_bench.engine.encoding.asked import AskedTexts
from granite_bench.engine.encoding.batch_encoder import BatchEncoder, Shard
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.encoding.model_stores import ModelStores
from granite_bench.engine.encoding.share import Share, sizes
from granite_bench.engine.encoding.text_shards import Limits, selected, shards, windows
from granite_bench.engine.vectors.places import Places, different
from granite_bench.engine.vectors.rows import Rows
from granite_bench.engine.vectors.vector_store import text_keys
from granite_bench.engine.vectors.vectors import Vectors
from granite_bench.errors import NonFiniteVectors
from granite_bench.files.local import Place

TEXTS_PER_SHARD = 1024
CHARACTERS_PER_SHARD = 4_000_000
"""A crash costs one shard; long documents must not make that an hour."""

TEXTS_PER_WINDOW = 128 * TEXTS_PER_SHARD
CHARACTERS_PER_WINDOW = 64_000_000
"""Texts that are sorted by length together, and all that are in memory at once."""


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


@dataclass(frozen=True)
class Request:
    """
    Texts to encode.

    Attributes:
        texts: blocks of strings; read more than once, the same each time. Equal strings are
            encoded once.
        instruction: the prompt in force.
    """

    texts: Iterable[Sequence[str]]
    instruction: Instruction


@dataclass
class EncodedAhead:
    """
    What came of encode_ahead.

    Attributes:
        cost: what it took in all; of texts, n_encoded alone.
        n_not_finite: texts whose vectors have NaN or infinity, which are not stored.
        first_not_finite: the first of these texts; empty where there is none.
    """

    cost: EncodingCost = field(default_factory=EncodingCost)
    n_not_finite: int = 0
    first_not_finite: str = ""


Restore = Callable[[npt.NDArray[np.intp], Sequence[str]], None]
"""Encodes texts whose vectors were lost again: their positions, and the names of broken shards."""


class ShardEncoder(Protocol[Rows]):
    """
    What makes the vectors of shards: this process (BatchEncoder), or the workers of a cluster.

    Attributes:
        token_budget: padded tokens per batch.
        budget_cuts: every token budget that was too much for the memory, in turn.
        verifies: whether vectors that the store has are read in this process, which then compares
            them with their checksums; otherwise whoever reads them does.
    """

    token_budget: int
    batch_size: int | None
    budget_cuts: list[int]
    verifies: bool

    def encode_shards(
        self, shards: Iterable[Shard[Rows]], progress: tqdm[Any]
    ) -> Iterator[tuple[Shard[Rows], npt.NDArray[np.intp]]]:
        """As BatchEncoder.encode_shards; shards may be done in any order."""

    def vectors(
        self, places: Places[Rows], instruction: Instruction, restore: Restore
    ) -> Vectors[Rows]:
        """Where search reads the vectors of all texts of *places*, which has them."""


class Encoder(Generic[Rows]):
    """
    A model's vectors, from the store where they are there, from the model otherwise.

    Args:
        backend: the model.
        identity: what tells this model from others: name, revision, how it was loaded.
        store_folder: where vectors are kept; None keeps those of the last texts, in memory.
        token_budget, batch_size: as for BatchEncoder.
        elsewhere: what encodes; None: a BatchEncoder in this process.
        sparse: whether the backend's vectors are SparseRows.
        longest_first: whether texts of like length share a shard; else neighbours do, as the pairs
            of a query must where a server scores them in one request.
    """

    def __init__(
        self,
        backend: Backend,
        identity: Mapping[str, Any],
        *,
        store_folder: Place | None,
        token_budget: int,
        batch_size: int | None = None,
        elsewhere: ShardEncoder[Rows] | None = None,
        sparse: bool = False,
        longest_first: bool = True,
    ) -> None:
        self.backend = backend
        self.identity = dict(identity)
        self.sparse = sparse
        self.longest_first = longest_first
        self.shard_encoder: ShardEncoder[Rows] = elsewhere or BatchEncoder(
            backend, token_budget=token_budget, batch_size=batch_size
        )
        self._keeps_nothing = store_folder is None
        self._stores: ModelStores[Rows] = ModelStores(
            backend, self.identity, store_folder, sparse=sparse
        )
        self._last: dict[Instruction, _Last[Rows]] = {}
        self._ahead: dict[tuple[Instruction, str], EncodingCost] = {}

    @property
    def repaired_shards(self) -> list[str]:
        """Shards that were found broken and encoded again; the caller's to clear."""
        return self._stores.repaired_shards

    @property
    def token_budget(self) -> int:
        """Padded tokens per batch, as long as nothing ran out of memory again."""
        return self.shard_encoder.token_budget

    @property
    def budget_cuts(self) -> list[int]:
        """Every token budget that was too much for the memory, in turn."""
        return self.shard_encoder.budget_cuts

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
            texts, instruction: as for Request.
            cost: where the numbers of this call are added.
            label: what the progress bar calls the texts.

        Raises:
            NonFiniteVectors: with the positions in *texts* of the bad ones; shards finished
                before are kept, the one with bad vectors is not written.
            TaskError: the memory is too small for a single text.
            StorageError: the disk is full, or a shard went missing.
        """
        started = time.perf_counter()
        request = Request(texts, instruction)
        keys = _keys(texts)
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
        places = self.places(instruction, keys[first])
        cost.add(self._ahead.pop((instruction, _digest(keys)), EncodingCost()))
        cost.store_seconds += time.perf_counter() - started
        cost.n_unique += len(first)

        def fill() -> None:
            missing = self._missing(self._shards(request, first), instruction, places, cost)
            bad = self._fill(missing, label, places.n_missing)
            if len(bad):
                raise NonFiniteVectors(np.flatnonzero(np.isin(rows, bad)).tolist(), len(rows))

        def restore(lost: npt.NDArray[np.intp], broken: Sequence[str]) -> None:
            self.repaired_shards.extend(broken)
            places.forget(lost)
            fill()

        fill()
        if places.n_missing:
            raise ValueError("texts were not the same when they were read again")
        n_truncated = 0
        if self.backend.max_length is not None:
            n_truncated = int((places.counts > self.backend.max_length).sum())
        cost.n_truncated += n_truncated
        started = time.perf_counter()
        encoded = Encoded(self.shard_encoder.vectors(places, instruction, restore), rows)
        self._last[instruction] = _Last(keys, encoded, n_truncated)
        cost.store_seconds += time.perf_counter() - started
        return encoded

    def encode_ahead(
        self, requests: Iterable[Request], *, share: Share | None = None
    ) -> EncodedAhead:
        """
        Fill the store with the vectors that later calls of encode will ask for.

        What it takes is counted by the call of encode for the same texts. Texts whose vectors are
        not finite are left to that call, which raises.

        Args:
            requests: read one by one, each when the shards of the one before are cut.
            share: encode a part of all shards only; which one depends on the requests alone, not
                on what is stored.

        Raises:
            TaskError, StorageError: as encode.
        """
        costs: list[EncodingCost] = []
        asked: dict[Instruction, AskedTexts] = defaultdict(AskedTexts)

        def missing(progress: tqdm[Any]) -> Iterator[Shard[Rows]]:
            for request in requests:
                keys = _keys(request.texts)
                first, _ = different(keys)
                # What an earlier request asked for may be on its way to the store.
                new = asked[request.instruction].add(keys[first])
                places = self.places(request.instruction, keys[first])
                n_missing = int(np.count_nonzero(new & (places.store_of < 0)))
                if not new.any() or (share is None and not n_missing):
                    continue
                if share is None and progress.total is not None:
                    progress.total += n_missing
                    progress.refresh()
                cost = EncodingCost()
                costs.append(cost)
                self._ahead.setdefault((request.instruction, _digest(keys)), cost)
                cut = self._shards(request, first, new)
                yield from self._missing(
                    cut if share is None else self._taken(cut, request.instruction, share),
                    request.instruction,
                    places,
                    cost,
                )

        ahead = EncodedAhead()
        with _progress("texts", 0) as progress:
            for shard, bad in self.shard_encoder.encode_shards(missing(progress), progress):
                if len(bad) and not ahead.n_not_finite:
                    ahead.first_not_finite = shard.texts[shard.positions.tolist().index(bad[0])]
                ahead.n_not_finite += len(bad)
        for cost in costs:
            ahead.cost.add(cost)
        return ahead

    def encode_uncached(self, texts: Sequence[str], instruction: Instruction) -> None:
        """Encode one batch for its time alone; nothing is looked up or kept."""
        tokens = self.backend.tokenize(texts, instruction)
        self.backend.encode(tokens, np.arange(len(texts)), instruction)

    def places(
        self, instruction: Instruction, keys: npt.NDArray[np.uint64], *, look: bool = True
    ) -> Places[Rows]:
        """Where the vectors of texts are: see ModelStores.places."""
        verify = self.shard_encoder.verifies
        return self._stores.places(instruction, keys, look=look, verify=verify)

    def _shards(
        self,
        request: Request,
        first: npt.NDArray[np.intp],
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[tuple[npt.NDArray[np.intp], list[str]]]:
        """
        The shards of a request: numbers of different texts, and the texts.

        Shards are cut from all texts, found or not: after a crash the same texts meet in the same
        batches, so the vectors are the same to the last bit.

        Args:
            first: the positions of the different texts.
            wanted: which of these; None are all.
        """
        for window in windows(
            selected(request.texts, first), Limits(TEXTS_PER_WINDOW, CHARACTERS_PER_WINDOW)
        ):
            for numbers, texts in shards(
                window,
                Limits(TEXTS_PER_SHARD, CHARACTERS_PER_SHARD),
                step=self._texts_in_step,
                longest_first=self.longest_first,
            ):
                if wanted is None or wanted[numbers].all():
                    yield numbers, texts
                elif wanted[numbers].any():
                    at = np.flatnonzero(wanted[numbers])
                    yield numbers[at], [texts[place] for place in at]

    def _taken(
        self,
        cut: Iterator[tuple[npt.NDArray[np.intp], list[str]]],
        instruction: Instruction,
        share: Share,
    ) -> Iterator[tuple[npt.NDArray[np.intp], list[str]]]:
        """The shards that are in a share."""
        size = sizes(self.backend.tokenize, instruction, self.backend.max_length)
        return (shard for shard in cut if share.takes(size(shard[1])))

    def _missing(
        self,
        cut: Iterator[tuple[npt.NDArray[np.intp], list[str]]],
        instruction: Instruction,
        places: Places[Rows],
        cost: EncodingCost,
    ) -> Iterator[Shard[Rows]]:
        """Shards without the texts that *places* has."""
        for numbers, texts in cut:
            missing, texts = places.missing_of(numbers, texts)
            if texts:
                yield Shard(missing, texts, instruction, places, cost)

    def _fill(
        self, missing: Iterator[Shard[Rows]], label: str, n_missing: int
    ) -> npt.NDArray[np.intp]:
        """Encode shards until one has vectors that are not finite; the positions of these."""
        if n_missing:
            with _progress(label, n_missing) as progress:
                for _, bad in self.shard_encoder.encode_shards(missing, progress):
                    if len(bad):
                        return bad
        return np.empty(0, np.intp)

    @property
    def _texts_in_step(self) -> int:
        """
        A shard ends behind a multiple of so many texts: without a store, nothing is lost with a
        longer shard, and batches of a given size are all of that size but the last.
        """
        batch_size = self.shard_encoder.batch_size
        return batch_size if batch_size and self._keeps_nothing else 1


@dataclass(frozen=True)
class _Last(Generic[Rows]):
    """The last answer for an instruction: variants of a model ask for it again and again."""

    keys: npt.NDArray[np.uint64]
    encoded: Encoded[Rows]
    n_truncated: int


def _keys(texts: Iterable[Sequence[str]]) -> npt.NDArray[np.uint64]:
    return np.concatenate([np.empty((0, 2), np.uint64), *map(text_keys, texts)])


def _digest(keys: npt.NDArray[np.uint64]) -> str:
    return hashlib.sha256(keys.data).hexdigest()


def _progress(label: str, n_texts: int) -> tqdm[Any]:
    return tqdm(total=n_texts, desc=label, unit=" texts", disable=None, leave=False)
