"""Texts to vectors through the store: each text is encoded once, in shards that survive a crash."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from granite_bench.engine.backend import Backend, Instruction
from granite_bench.engine.batching import token_budget_batches
from granite_bench.engine.texts import DOCUMENT_TEMPLATE
from granite_bench.engine.vectors import VectorStore, text_key
from granite_bench.errors import NonFiniteVectors

TEXTS_PER_SHARD = 1024
CHARACTERS_PER_SHARD = 4_000_000
"""A crash costs one shard; long documents must not make that an hour."""


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
        encode_seconds: tokenisation and model, for the texts encoded now.
        store_seconds: reading and writing vectors.
    """

    n_texts: int = 0
    n_unique: int = 0
    n_encoded: int = 0
    n_truncated: int = 0
    n_tokens_encoded: int = 0
    encode_seconds: float = 0.0
    store_seconds: float = 0.0


class Encoder:
    """
    A model's vectors, from the store where they are there, from the backend otherwise.

    Args:
        backend: the model.
        identity: what tells this model from others: name, revision, how it was loaded.
        store_folder: where vectors are kept; None keeps none.
        token_budget: padded tokens per batch.
    """

    def __init__(
        self,
        backend: Backend,
        identity: Mapping[str, Any],
        *,
        store_folder: Path | None,
        token_budget: int,
    ) -> None:
        self.backend = backend
        self.token_budget = token_budget
        self.repaired_shards: list[str] = []
        self._identity = dict(identity)
        self._store_folder = store_folder
        self._stores: dict[Instruction, VectorStore] = {}

    def encode(
        self, texts: Sequence[str], instruction: Instruction, cost: EncodingCost, *, label: str
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
        """
        The vectors of the different texts among *texts*.

        Args:
            texts: any number of strings; equal ones are encoded once.
            instruction: the prompt in force.
            cost: where the numbers of this call are added.
            label: what the progress bar calls the texts.

        Returns:
            (vectors, rows): float32 (n_different, dim), in the order of first occurrence and as
            the model returns them (not normalised here), and (n_texts,): the vector of texts[i]
            is vectors[rows[i]].

        Raises:
            NonFiniteVectors: with the positions in *texts* of the bad ones; shards finished
                before are kept, the one with bad vectors is not written.
        """
        position_of: dict[str, int] = {}
        rows = np.array(
            [position_of.setdefault(text, len(position_of)) for text in texts], dtype=np.intp
        )
        unique = list(position_of)
        vectors, token_counts = self._unique_vectors(unique, instruction, cost, label, rows)
        cost.n_texts += len(texts)
        cost.n_unique += len(unique)
        if self.backend.max_length is not None:
            cost.n_truncated += int((token_counts > self.backend.max_length).sum())
        return vectors, rows

    def encode_uncached(self, texts: Sequence[str], instruction: Instruction) -> None:
        """Encode one batch for its time alone; nothing is looked up or kept."""
        self.backend.encode(texts, instruction)

    def _unique_vectors(
        self,
        texts: list[str],
        instruction: Instruction,
        cost: EncodingCost,
        label: str,
        rows: npt.NDArray[np.intp],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        started = time.perf_counter()
        store = self._store(instruction)
        keys = [text_key(text) for text in texts]
        stored = store.get(keys) if store else None
        if store:
            self.repaired_shards += store.repaired_shards
            store.repaired_shards.clear()
        found = stored.found if stored else np.zeros(len(texts), dtype=np.bool_)
        vectors = stored.vectors if stored else np.empty((len(texts), 0), dtype=np.float32)
        token_counts = stored.token_counts if stored else np.zeros(len(texts), dtype=np.int32)
        cost.store_seconds += time.perf_counter() - started
        with tqdm(
            total=int((~found).sum()), desc=label, unit=" texts", disable=None, leave=False
        ) as progress:
            for shard in _shards(texts):
                # Shards are cut from all texts, found or not: after a crash the same texts
                # meet in the same batches, so the vectors are the same to the last bit.
                missing = shard[~found[shard]]
                if len(missing) == 0:
                    continue
                started = time.perf_counter()
                new, counts = self._encode_shard(
                    [texts[position] for position in missing], instruction, progress
                )
                encoded = time.perf_counter()
                bad = missing[~np.isfinite(new).all(axis=1)]
                if len(bad):
                    raise NonFiniteVectors(np.flatnonzero(np.isin(rows, bad)).tolist(), len(rows))
                if vectors.shape[1] == 0:
                    vectors = np.empty((len(texts), new.shape[1]), dtype=np.float32)
                vectors[missing], token_counts[missing] = new, counts
                if store:
                    store.put([keys[position] for position in missing], new, counts)
                cost.n_encoded += len(missing)
                cost.n_tokens_encoded += int(self._truncated(counts).sum())
                cost.encode_seconds += encoded - started
                cost.store_seconds += time.perf_counter() - encoded
        return vectors, token_counts

    def _encode_shard(
        self, texts: list[str], instruction: Instruction, progress: tqdm[Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        counts = self.backend.count_tokens(texts, instruction)
        vectors: npt.NDArray[np.float32] | None = None
        for batch in token_budget_batches(self._truncated(counts), token_budget=self.token_budget):
            new = self.backend.encode([texts[position] for position in batch], instruction)
            if vectors is None:
                vectors = np.empty((len(texts), new.shape[1]), dtype=np.float32)
            vectors[batch] = new
            progress.update(len(batch))
        if vectors is None:
            raise ValueError("a shard has at least one text")
        return vectors, counts

    def _truncated(self, counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        limit = self.backend.max_length
        return counts if limit is None else np.minimum(counts, limit)

    def _store(self, instruction: Instruction) -> VectorStore | None:
        if self._store_folder is None:
            return None
        if instruction not in self._stores:
            self._stores[instruction] = VectorStore(
                self._store_folder,
                {
                    **self._identity,
                    "backend": self.backend.name,
                    "dtype": self.backend.dtype,
                    "max_length": self.backend.max_length,
                    "prompt": instruction.prompt,
                    "role": instruction.role,
                    "document_template": DOCUMENT_TEMPLATE,
                },
            )
        return self._stores[instruction]


def _shards(texts: Sequence[str]) -> list[npt.NDArray[np.intp]]:
    """Positions of *texts*, longest first, cut where a shard has enough texts or characters."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    shards, start, characters = [], 0, 0
    for end, length in enumerate(lengths[order]):
        if end > start and (
            end - start == TEXTS_PER_SHARD or characters + length > CHARACTERS_PER_SHARD
        ):
            shards.append(order[start:end])
            start, characters = end, 0
        characters += int(length)
    if start < len(order):
        shards.append(order[start:])
    return shards
