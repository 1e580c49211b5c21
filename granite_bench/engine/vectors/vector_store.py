"""
The store of embeddings: each text once per configuration, in checksummed shards of a folder.

A configuration (model, revision, dtype, maximum length, prompt, ...) has a folder named after
its hash; inside, shards (shard.py) hold the key of each text, its vector and its token count. A
text is found by its content alone, whatever task, subset or suite it came from, and a wrong hit
is impossible because everything that changes a vector is part of its address.

    <folder>/<hash of the configuration>/configuration.json   changed when last used
    <folder>/<hash of the configuration>/<hash of the texts>.safetensors

In memory a text takes the 28 bytes of its place in the index; vectors stay in their files until
search asks for a block of them. The folder is on this machine or behind a URL (s3://, gs://, ...).
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

from granite_bench.engine.vectors.rows import Rows
from granite_bench.engine.vectors.shard import (
    SUFFIX,
    BrokenShard,
    Keys,
    check,
    left_files,
    read_keys,
    shard_bytes,
    shard_name,
)
from granite_bench.engine.vectors.vector_index import Found, VectorIndex
from granite_bench.errors import StorageError
from granite_bench.files.local import Place, cache_folder
from granite_bench.files.locations import (
    WHAT_TO_CHECK,
    Stamp,
    at_once,
    entries,
    read,
    reason,
    remove,
    stamp_of,
    write,
)

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
        folder: where all configurations live; made when the first shard is written. A path, or
            a URL as parse_place gives it.
        configuration: everything that changes a vector, JSON-serialisable.

    Attributes:
        folder: the configuration's own folder.
        paths: shard number -> file; it only grows.
        repaired_shards: names of files that were found broken; their texts are not found.

    Raises:
        StorageError: the folder is there and cannot be read.

    Memory: 28 bytes a text, twice that while shards are taken into the index.
    """

    def __init__(self, folder: Place, configuration: Mapping[str, Any]) -> None:
        self._configuration = json.dumps(
            {"format": FORMAT_VERSION, **configuration}, sort_keys=True, ensure_ascii=False
        ).encode("utf-8", "surrogatepass")
        self.folder = folder / hashlib.sha256(self._configuration).hexdigest()[:32]
        self.repaired_shards: list[str] = []
        self.paths: list[Place] = []
        self._number_of: dict[str, int] = {}
        self._names: list[str] = []
        self._indexed: set[int] = set()
        self._index = VectorIndex()
        self._dim: int | None = None
        self._checked: dict[int, Stamp] = {}
        self._ignored: dict[str, Stamp | None] = {}
        self._listed: dict[str, Stamp] = {}
        self._marked = False
        self._is_described = False
        # A store that may only be read keeps what was left in it.
        with contextlib.suppress(OSError):
            for left in left_files(self.folder):
                with contextlib.suppress(FileNotFoundError):
                    remove(left)
        self._look()

    @property
    def dim(self) -> int | None:
        """The dimension of the vectors; None while there are none."""
        return self._dim

    def find(self, keys: npt.NDArray[np.uint64], *, verify: bool = True) -> Found:
        """
        Where the texts with these keys are, shards of other processes included.

        The first time a shard has a hit, and again when the file has changed, it is compared
        with its checksum. A broken one is removed, logged and named in *repaired_shards*, and
        its texts are not found, so the caller encodes them again. A text in two shards is found
        in the one with the lower file name.

        Args:
            keys: text_keys of any texts, uint64 (n_texts, 2).
            verify: False leaves the comparison to whoever reads the vectors.

        Raises:
            StorageError: the folder cannot be read.
        """
        self._look()
        while True:
            found = self._index.find(keys, self._ranks())
            has_hit = np.zeros(len(self.paths) + 1, dtype=np.bool_)
            has_hit[found.shards] = True  # the last is for -1, not found
            hit = np.flatnonzero(has_hit[:-1]).tolist()
            lost = self._broken(hit) if verify else []
            if not lost:
                break
            self._forget(lost)
        if hit:
            self._mark_as_used()
        return found

    def n_bytes(self, numbers: Iterable[int]) -> int:
        """The size of the files of shards that find or put named."""
        sizes = 0
        for number in numbers:
            with contextlib.suppress(OSError):  # whoever reads it says so
                sizes += (self._checked.get(number) or self._stamp(self.paths[number]))[0]
        return sizes

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
        write(path, shard_bytes(keys, vectors, token_counts))
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
        names = self._list()
        self._forget([n for n in self._indexed if self._names[n] not in names])
        # Passed on without a name: _take empties it to make room before it sorts.
        self._take(self._read_new(sorted(names)))

    def _read_new(self, names: Iterable[str]) -> dict[int, Keys]:
        """Shard number -> keys, for those of *names* that are whole as far as is read here."""
        unread = (
            name
            for name in names
            if self._number_of.get(name) not in self._indexed and not self._is_ignored(name)
        )
        new: dict[str, Keys] = {}
        for name, keys in at_once(self._keys_or_error, unread, self.folder):
            if isinstance(keys, Keys):
                new[name] = keys
            elif not isinstance(keys, FileNotFoundError):
                self._discard(self.folder / name, keys)
        dim = self._dim or usual_dim((shard.dim, len(shard.keys)) for shard in new.values())
        for name in [name for name, shard in new.items() if shard.dim != dim]:
            self._discard(self.folder / name, _other_dim(new.pop(name).dim, dim))
        return {self._number(name): shard for name, shard in new.items()}

    def _keys_or_error(self, name: str) -> tuple[str, Keys | BrokenShard | OSError]:
        size = self._listed[name][0] if name in self._listed else None
        try:
            return name, read_keys(self.folder / name, size)
        except (BrokenShard, OSError) as error:
            return name, error

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

    def _broken(self, numbers: Iterable[int]) -> list[int]:
        """Those that are not whole; compared with their checksums, where that was not done."""
        lost = []
        for number, error in at_once(self._error_of, numbers, self.folder):
            if error is not None:
                lost.append(number)
                if not isinstance(error, FileNotFoundError):  # pruned meanwhile is no damage
                    self._discard(self.paths[number], error)
        return lost

    def _error_of(self, number: int) -> tuple[int, BrokenShard | OSError | None]:
        path = self.paths[number]
        try:
            if self._checked.get(number) != self._stamp(path):
                header, stamp = check(path)
                if header.dim != self._dim:
                    raise _other_dim(header.dim, self._dim)
                # Of a later change the next listing tells; it may word its stamps in another way.
                self._checked[number] = self._listed.get(path.name, stamp)
        except (BrokenShard, OSError) as error:
            return number, error
        return number, None

    def _discard(self, path: Place, error: BrokenShard | OSError) -> None:
        logger.warning("vector shard %s is broken (%s); its texts are encoded again", path, error)
        self.repaired_shards.append(path.name)
        if isinstance(error, BrokenShard):  # a disk that cannot be read now may be read later
            with contextlib.suppress(OSError):  # a store that may only be read
                remove(path)
        self._ignored[path.name] = self._stamp_or_none(path.name)

    def _is_ignored(self, name: str) -> bool:
        return name in self._ignored and self._ignored[name] == self._stamp_or_none(name)

    def _stamp(self, path: Place) -> Stamp:
        listed = None if isinstance(path, Path) else self._listed.get(path.name)
        return listed or stamp_of(path)

    def _stamp_or_none(self, name: str) -> Stamp | None:
        try:
            return self._stamp(self.folder / name)
        except OSError:
            return None

    def _list(self) -> set[str]:
        """The names of all shards; a URL tells their stamps as well, for no request more."""
        try:
            if isinstance(self.folder, Path):
                with os.scandir(self.folder) as scanned:
                    return {entry.name for entry in scanned if _is_shard(entry.name)}
            self._listed = {
                entry.name: entry.stamp
                for entry in entries(self.folder)
                if entry.is_file and _is_shard(entry.name)
            }
            return set(self._listed)
        except FileNotFoundError:
            self._listed = {}
            return set()
        except OSError as error:
            right = "make it readable or choose another folder with --vectors, then run the same "
            hint = f"{right}command again" if isinstance(self.folder, Path) else WHAT_TO_CHECK
            raise StorageError(
                f"{self.folder}: cannot be read: {reason(error)}\n  {hint}"
            ) from error

    def _describe(self) -> None:
        """Say in the folder which configuration it is for, where that is not said already."""
        path = self.folder / CONFIGURATION_FILE
        if self._is_described and not isinstance(path, Path):  # each look is a request
            return
        try:
            described = read(path)[0]
        except OSError:
            described = b""
        if described != self._configuration:
            write(path, self._configuration)
        self._is_described = True

    def _mark_as_used(self) -> None:
        """Once: the time that `granite-bench cache` shows and removes by."""
        if not self._marked:
            self._marked = True
            with contextlib.suppress(OSError, StorageError):  # a store that may only be read
                path = self.folder / CONFIGURATION_FILE
                if isinstance(path, Path):
                    self._describe()
                    os.utime(path)
                else:  # the time of a change is that of writing
                    write(path, self._configuration)


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


def _is_shard(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")
