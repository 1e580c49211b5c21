"""
The store of embeddings: each text once per configuration, in checksummed shards on disk.

A configuration (model, revision, dtype, maximum length, prompt, ...) has a folder named after
its hash; inside, shards (shard.py) hold the key of each text, its vector and its token count. A
text is found by its content alone, whatever task, subset or suite it came from, and a wrong hit
is impossible because everything that changes a vector is part of its address.

    <folder>/<hash of the configuration>/configuration.json   changed when last used
    <folder>/<hash of the configuration>/<hash of the texts>.safetensors

In memory a text takes the 28 bytes of its place in the index; vectors stay on disk until
search asks for a block of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.rows import Rows
from granite_bench.engine.shard import (
    SUFFIX,
    BrokenShard,
    Keys,
    Stamp,
    check,
    left_files,
    read_keys,
    shard_bytes,
    shard_name,
    stamp_of,
)
from granite_bench.engine.vector_index import Found, VectorIndex
from granite_bench.errors import StorageError
from granite_bench.files import cache_folder, write_atomically

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
KEY_BYTES = 16
CONFIGURATION_FILE = "configuration.json"


def text_keys(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """
    The addresses of texts inside a configuration.

    Returns:
        uint64 (n_texts, 2): the first 128 bits of the SHA-256 of each text's UTF-8 bytes.
    """
    digests = bytearray()
    for text in texts:
        # surrogatepass: a lone surrogate from a broken data set still has an address.
        digests += hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
    return np.frombuffer(digests, dtype="<u8").reshape(len(texts), 2).astype(np.uint64, copy=False)


class VectorStore:
    """
    The vectors of one configuration; several processes may use one store at once.

    Args:
        folder: where all configurations live; made when the first shard is written.
        configuration: everything that changes a vector, JSON-serialisable.

    Attributes:
        folder: the configuration's own folder.
        paths: shard number -> file; it only grows.
        repaired_shards: names of files that were found broken; their texts are not found.

    Raises:
        StorageError: the folder is there and cannot be read.

    Memory: 28 bytes a text, twice that while shards are taken into the index.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self._configuration = json.dumps(
            {"format": FORMAT_VERSION, **configuration}, sort_keys=True, ensure_ascii=False
        ).encode("utf-8", "surrogatepass")
        self.folder = folder / hashlib.sha256(self._configuration).hexdigest()[:32]
        self.repaired_shards: list[str] = []
        self.paths: list[Path] = []
        self._number_of: dict[str, int] = {}
        self._names: list[str] = []
        self._indexed: set[int] = set()
        self._index = VectorIndex()
        self._dim: int | None = None
        self._checked: dict[int, Stamp] = {}
        self._ignored: dict[str, Stamp | None] = {}
        self._marked = False
        # A store that may only be read keeps what was left in it.
        with contextlib.suppress(OSError):
            for left in left_files(self.folder):
                left.unlink(missing_ok=True)
        self._look()

    @property
    def dim(self) -> int | None:
        """The dimension of the vectors; None while there are none."""
        return self._dim

    def find(self, keys: npt.NDArray[np.uint64]) -> Found:
        """
        Where the texts with these keys are, shards of other processes included.

        The first time a shard has a hit, and again when the file has changed, it is compared
        with its checksum. A broken one is removed, logged and named in *repaired_shards*, and
        its texts are not found, so the caller encodes them again. A text in two shards is found
        in the one with the lower file name.

        Args:
            keys: text_keys of any texts, uint64 (n_texts, 2).

        Raises:
            StorageError: the folder cannot be read.
        """
        self._look()
        while True:
            found = self._index.find(keys, self._ranks())
            has_hit = np.zeros(len(self.paths) + 1, dtype=np.bool_)
            has_hit[found.shards] = True  # the last is for -1, not found
            hit = np.flatnonzero(has_hit[:-1]).tolist()
            lost = [number for number in hit if not self._is_whole(number)]
            if not lost:
                break
            self._forget(lost)
        if hit:
            self._mark_as_used()
        return found

    def n_bytes(self, numbers: Iterable[int]) -> int:
        """The size of the files of shards that find or put named."""
        return sum(self._checked[number][0] for number in numbers if number in self._checked)

    def put(
        self,
        keys: npt.NDArray[np.uint64],
        vectors: Rows,
        token_counts: npt.NDArray[np.int32],
    ) -> int:
        """
        Write one shard, whole or not at all; find sees it at once.

        Args:
            keys: text_keys of at least one text, uint64 (n_texts, 2), no two the same.
            vectors: of n_texts texts, finite; always dense or always sparse.
            token_counts: int32 (n_texts,), before truncation.

        Returns:
            The shard's number; that of an earlier shard when it replaces a broken one.

        Raises:
            StorageError: the shard could not be written, or the store has vectors of another
                dimension; the store is as before.
        """
        n_texts, dim = vectors.shape
        if not n_texts or keys.shape != (n_texts, 2) or token_counts.shape != (n_texts,):
            raise ValueError(f"{keys.shape}, {vectors.shape} and {token_counts.shape} do not agree")
        if self._dim not in (None, dim):
            raise StorageError(
                f"{self.folder}: holds vectors of dimension {self._dim}, this one has {dim}\n"
                "  the model has changed under its name; remove that folder, then run the same "
                "command again"
            )
        name = shard_name(keys)
        path = self.folder / name
        self._describe()
        write_atomically(path, shard_bytes(keys, vectors, token_counts))
        number = self._number(name)
        self._forget([number])
        self._ignored.pop(name, None)
        # The index keeps what it is given; the caller may go on with its arrays.
        self._take({number: Keys(keys.copy(), token_counts.astype(np.int32), dim)})
        with contextlib.suppress(OSError):  # it is checked by find then
            self._checked[number] = stamp_of(path)
        return number

    def _look(self) -> None:
        """Take up shards that appeared, forget those that vanished."""
        names = self._shard_names()
        self._forget([n for n in self._indexed if self._names[n] not in names])
        # Passed on without a name: _take empties it to make room before it sorts.
        self._take(self._read_new(sorted(names)))

    def _read_new(self, names: Iterable[str]) -> dict[int, Keys]:
        """Shard number -> keys, for those of *names* that are whole as far as is read here."""
        new: dict[str, Keys] = {}
        for name in names:
            if self._number_of.get(name) in self._indexed or self._is_ignored(name):
                continue
            try:
                new[name] = read_keys(self.folder / name)
            except FileNotFoundError:
                continue
            except (BrokenShard, OSError) as error:
                self._discard(self.folder / name, error)
        dim = self._dim or usual_dim((shard.dim, len(shard.keys)) for shard in new.values())
        for name in [name for name, shard in new.items() if shard.dim != dim]:
            self._discard(self.folder / name, _other_dim(new.pop(name).dim, dim))
        return {self._number(name): shard for name, shard in new.items()}

    def _take(self, shards: dict[int, Keys]) -> None:
        self._dim = next((shard.dim for shard in shards.values()), self._dim)
        self._indexed.update(shards)
        self._index.add(shards, self._ranks())

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = self._indexed.intersection(numbers)
        if gone:
            self._indexed -= gone
            self._index.remove(gone)
            for number in gone:
                self._checked.pop(number, None)
            if not self._indexed:
                self._dim = None

    def _number(self, name: str) -> int:
        if name not in self._number_of:
            self._number_of[name] = len(self.paths)
            self.paths.append(self.folder / name)
            self._names.append(name)
        return self._number_of[name]

    def _ranks(self) -> npt.NDArray[np.int32]:
        """The place of each shard in the order of file names."""
        order = sorted(range(len(self._names)), key=self._names.__getitem__)
        ranks = np.empty(len(order), dtype=np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ranks

    def _is_whole(self, number: int) -> bool:
        path = self.paths[number]
        try:
            if self._checked.get(number) != stamp_of(path):
                header, stamp = check(path)
                if header.dim != self._dim:
                    raise _other_dim(header.dim, self._dim)
                self._checked[number] = stamp
        except FileNotFoundError:  # pruned meanwhile, which is no damage
            return False
        except (BrokenShard, OSError) as error:
            self._discard(path, error)
            return False
        return True

    def _discard(self, path: Path, reason: Exception) -> None:
        logger.warning("vector shard %s is broken (%s); its texts are encoded again", path, reason)
        self.repaired_shards.append(path.name)
        if isinstance(reason, BrokenShard):  # a disk that cannot be read now may be read later
            with contextlib.suppress(OSError):  # a store that may only be read
                path.unlink(missing_ok=True)
        self._ignored[path.name] = _stamp_or_none(path)

    def _is_ignored(self, name: str) -> bool:
        return name in self._ignored and self._ignored[name] == _stamp_or_none(self.folder / name)

    def _shard_names(self) -> set[str]:
        try:
            with os.scandir(self.folder) as entries:
                return {
                    entry.name
                    for entry in entries
                    if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
                }
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise StorageError(
                f"{self.folder}: cannot be read: {error.strerror or error}\n"
                "  make it readable or choose another folder with --vectors, then run the same "
                "command again"
            ) from error

    def _describe(self) -> None:
        """Say in the folder which configuration it is for, where that is not said already."""
        path = self.folder / CONFIGURATION_FILE
        try:
            described = path.read_bytes()
        except OSError:
            described = b""
        if described != self._configuration:
            write_atomically(path, self._configuration)

    def _mark_as_used(self) -> None:
        """Once: the time that `granite-bench cache` shows and removes by."""
        if not self._marked:
            self._marked = True
            with contextlib.suppress(OSError, StorageError):  # a store that may only be read
                self._describe()
                os.utime(self.folder / CONFIGURATION_FILE)


def default_folder() -> Path:
    """Where vectors are kept when no folder is named."""
    return cache_folder() / "vectors"


def usual_dim(shards: Iterable[tuple[int, int]]) -> int | None:
    """
    The dimension that most texts of a folder have; the first of equals, None for no shards.

    Args:
        shards: (dim, n_texts) of each, in the order of file names.
    """
    n_texts: Counter[int] = Counter()
    for dim, count in shards:
        n_texts[dim] += count
    return max(n_texts, key=lambda dim: n_texts[dim], default=None)


def _other_dim(dim: int, usual: int | None) -> BrokenShard:
    return BrokenShard(f"it has vectors of dimension {dim}, the folder {usual}")


def _stamp_or_none(path: Path) -> Stamp | None:
    try:
        return stamp_of(path)
    except OSError:
        return None
