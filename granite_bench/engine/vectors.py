"""
The store of embeddings: each text once per configuration, in checksummed shards on disk.

A configuration (model, revision, dtype, maximum length, prompt, ...) has a folder named after
its hash; inside, shards hold the SHA-256 of each text, its vector and its token count. A text
is found by its content alone, whatever task, subset or suite it came from, and a wrong hit is
impossible because everything that changes a vector is part of its address.

    <folder>/<hash of the configuration>/configuration.json
    <folder>/<hash of the configuration>/<hash of the texts>.safetensors
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from granite_bench.files import cache_folder, write_atomically

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
KEY_BYTES = 32


def text_key(text: str) -> bytes:
    """The address of a text inside a configuration: the SHA-256 of its UTF-8 bytes."""
    # surrogatepass: a lone surrogate from a broken data set still has an address.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Stored:
    """
    What the store knows of a list of texts.

    Attributes:
        found: bool (n_texts,); False where the text was never encoded or its shard is broken.
        vectors: float32 (n_texts, dim); rows that were not found are undefined. dim is 0 when
            nothing was found.
        token_counts: int32 (n_texts,); tokens before truncation, 0 where not found.
    """

    found: npt.NDArray[np.bool_]
    vectors: npt.NDArray[np.float32]
    token_counts: npt.NDArray[np.int32]


class VectorStore:
    """
    The vectors of one configuration.

    Args:
        folder: where all configurations live; made when the first shard is written.
        configuration: everything that changes a vector, JSON-serialisable.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self._configuration = json.dumps(
            {"format": FORMAT_VERSION, **configuration}, sort_keys=True, ensure_ascii=False
        )
        address = hashlib.sha256(self._configuration.encode()).hexdigest()[:32]
        self.folder = folder / address
        self.repaired_shards: list[str] = []
        self._rows: dict[bytes, tuple[Path, int]] = {}
        for shard in sorted(self.folder.glob("*.safetensors")):
            self._index(shard)

    def get(self, keys: Sequence[bytes]) -> Stored:
        """
        The stored vectors of the texts with these keys.

        A shard whose checksum is wrong is removed, named in *repaired_shards* and logged; its
        texts count as not found, so the caller encodes them again.
        """
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            if key in self._rows:
                shard, row = self._rows[key]
                wanted.setdefault(shard, []).append((position, row))
        found = np.zeros(len(keys), dtype=np.bool_)
        token_counts = np.zeros(len(keys), dtype=np.int32)
        vectors = np.empty((len(keys), 0), dtype=np.float32)
        for shard, places in wanted.items():
            content = self._read(shard)
            if content is None:
                continue
            shard_vectors, shard_counts = content
            if vectors.shape[1] == 0:
                vectors = np.empty((len(keys), shard_vectors.shape[1]), dtype=np.float32)
            positions, rows = np.array(places, dtype=np.intp).T
            vectors[positions] = shard_vectors[rows]
            token_counts[positions] = shard_counts[rows]
            found[positions] = True
        return Stored(found, vectors, token_counts)

    def put(
        self,
        keys: Sequence[bytes],
        vectors: npt.NDArray[np.float32],
        token_counts: npt.NDArray[np.int32],
    ) -> None:
        """
        Write one shard, whole or not at all.

        Args:
            keys: text_key of each text, no two the same.
            vectors: float32 (n_texts, dim), finite.
            token_counts: int32 (n_texts,), before truncation.

        Raises:
            StorageError: the shard could not be written; the store is as before.
        """
        tensors: dict[str, npt.NDArray[Any]] = {
            "keys": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), KEY_BYTES),
            "token_counts": np.ascontiguousarray(token_counts, dtype=np.int32),
            "vectors": np.ascontiguousarray(vectors, dtype=np.float32),
        }
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:32]
        shard = self.folder / f"{name}.safetensors"
        described = self.folder / "configuration.json"
        if not described.exists():
            write_atomically(described, self._configuration.encode())
        write_atomically(shard, save(tensors, metadata={"sha256": _checksum(tensors)}))
        self._rows.update((key, (shard, row)) for row, key in enumerate(keys))

    def _index(self, shard: Path) -> None:
        try:
            with safe_open(shard, framework="numpy") as content:
                keys = content.get_tensor("keys")
        except (OSError, SafetensorError, ValueError) as error:
            self._discard(shard, str(error))
            return
        self._rows.update((row.tobytes(), (shard, number)) for number, row in enumerate(keys))

    def _read(self, shard: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]] | None:
        try:
            with safe_open(shard, framework="numpy") as content:
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (no mapping)
                expected = (content.metadata() or {}).get("sha256")
        except (OSError, SafetensorError, ValueError) as error:
            self._discard(shard, str(error))
            return None
        if _checksum(tensors) != expected:
            self._discard(shard, "its checksum is wrong")
            return None
        return tensors["vectors"], tensors["token_counts"]

    def _discard(self, shard: Path, reason: str) -> None:
        logger.warning("vector shard %s is broken (%s); its texts are encoded again", shard, reason)
        self.repaired_shards.append(shard.name)
        self._rows = {key: place for key, place in self._rows.items() if place[0] != shard}
        with contextlib.suppress(OSError):  # a store that may only be read
            shard.unlink(missing_ok=True)


def default_folder() -> Path:
    """Where vectors are kept when no folder is named."""
    return cache_folder() / "vectors"


def _checksum(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()
