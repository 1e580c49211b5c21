"""
What the store of embeddings holds, and whether it is whole.

    read_cache(folder)      a CachedConfiguration for each configuration
    check_shards(cached)    each shard of theirs against its checksum

Only folders named as the store names them, and in these only files that the store writes, are
looked at (or removed: see vector_prune). No model and no task is loaded for any of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from granite_bench.engine.vectors.shard import (
    LEFT_SECONDS,
    SUFFIX,
    BrokenShard,
    check,
    left_files,
    read_header,
)
from granite_bench.engine.vectors.vector_store import CONFIGURATION_FILE, FORMAT_VERSION, usual_dim
from granite_bench.errors import BadInput, Fault, StorageError
from granite_bench.files.local import Place
from granite_bench.files.locations import (
    WHAT_TO_CHECK,
    at_once,
    entries,
    open_parts,
    read,
    reason,
)

State = Literal["current", "older format", "newer format", "unreadable"]

_NO_FOLDER = (FileNotFoundError, NotADirectoryError)
_FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
_SHARD_NAME = re.compile(rf"\w+{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class CachedConfiguration:
    """
    A folder of vectors.

    Attributes:
        folder: its place.
        state: "current" where this version reads it; nothing is said of its shards' contents.
        configuration: what tells its vectors from others; empty where it cannot be read.
        shards: the files of vectors, by name.
        left: temporary files that killed writers left.
        n_texts: texts by the headers of its shards; one in two shards counts twice.
        n_bytes: of all its files.
        last_used: seconds since the epoch, of the last run that found or wrote a vector.
    """

    folder: Place
    state: State
    configuration: Mapping[str, Any]
    shards: Sequence[Place]
    left: Sequence[Place]
    n_texts: int
    n_bytes: int
    last_used: float

    @property
    def model(self) -> str:
        """The model's name; "-" where it is not known."""
        return str(self.configuration.get("model") or "-")


@dataclass(frozen=True)
class CheckedShard:
    """A shard that was read: its size in bytes, and why it is broken ("" where it is whole)."""

    path: Place
    n_bytes: int
    reason: str


def read_cache(folder: Place) -> list[CachedConfiguration]:
    """
    Every configuration in a folder of vectors, by model, then the last used first.

    Raises:
        BadInput: there is no such folder, or it cannot be read.
        StorageError: a URL stopped answering.
    """
    try:
        names = sorted(entry.name for entry in entries(folder, _FOLDER_NAME))
    except OSError as error:
        if not isinstance(folder, Path) and not isinstance(error, _NO_FOLDER):
            problem, hint = "cannot be listed", WHAT_TO_CHECK
        else:
            problem = "is no folder of vectors"
            hint = (
                "name the folder that `granite-bench run --vectors` was given, or none for the "
                "usual one"
            )
        raise BadInput(Fault(str(folder), f"{problem}: {reason(error)}", hint)) from None
    found = []
    for name in names:
        # A run that goes on, or another prune, may take a folder away meanwhile.
        with contextlib.suppress(*_NO_FOLDER), _answering(folder / name):
            cached = _read_configuration(folder / name)
            if cached is not None:
                found.append(cached)
    return sorted(found, key=lambda cached: (cached.model, -cached.last_used, cached.folder.name))


def differing(cached: Iterable[CachedConfiguration]) -> list[str]:
    """
    The settings that tell configurations of one model apart, in alphabetical order.

    "format" and "model" are never among them.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for one in cached:
        if one.configuration:
            by_model.setdefault(one.model, []).append(one.configuration)
    names = set()
    for configurations in by_model.values():
        for name in set().union(*configurations) - {"format", "model"}:
            if len({json.dumps(c.get(name), sort_keys=True) for c in configurations}) > 1:
                names.add(name)
    return sorted(names)


def check_shards(cached: Iterable[CachedConfiguration]) -> Iterator[CheckedShard]:
    """Read every shard of this format and compare it with its checksum, one after the other."""
    for configuration in cached:
        if configuration.state != "current":
            continue
        folder, shards = configuration.folder, configuration.shards
        headers = at_once(_header_or_none, shards, folder)
        usual = usual_dim((dim, n_texts) for n_texts, dim in filter(None, headers))
        checked = at_once(partial(_checked, usual=usual), shards, folder)
        yield from (shard for shard in checked if shard is not None)


def _checked(path: Place, *, usual: int | None) -> CheckedShard | None:
    """A shard that was compared with its checksum; None where it is gone."""
    try:
        with _answering(path):
            header, (n_bytes, _) = check(path)
    except FileNotFoundError:  # pruned or repaired meanwhile
        return None
    except BrokenShard as error:
        return CheckedShard(path, 0, str(error))
    except OSError as error:
        return CheckedShard(path, 0, f"cannot be read: {reason(error)}")
    if header.dim != usual:
        other = f"it has vectors of dimension {header.dim}, its folder {usual}"
        return CheckedShard(path, n_bytes, other)
    return CheckedShard(path, n_bytes, "")


def _read_configuration(folder: Place) -> CachedConfiguration | None:
    """None for a folder that holds nothing of the store's and is not an empty one of it."""
    configuration, state = _configuration_in(folder)
    try:
        found = sorted(entries(folder), key=lambda entry: entry.name)
        left = left_files(folder)
    except PermissionError:
        changed = _changed(folder)
        return CachedConfiguration(folder, "unreadable", {}, (), (), 0, 0, changed)
    names = {path.name for path in left} | {CONFIGURATION_FILE}
    shards = [entry for entry in found if _SHARD_NAME.fullmatch(entry.name)]
    names |= {entry.name for entry in shards}
    ours = [entry for entry in found if entry.is_file and entry.name in names]
    if not ours:
        # A run makes the folder a moment before its first file.
        fresh = _changed(folder) > time.time() - LEFT_SECONDS
        if found or fresh:
            return None
    readable = shards if state == "current" else []
    headers = at_once(
        lambda entry: _header_or_none(folder / entry.name, entry.n_bytes), readable, folder
    )
    return CachedConfiguration(
        folder,
        state,
        configuration if state != "unreadable" else {},
        [folder / entry.name for entry in shards],
        left,
        n_texts=sum(header[0] for header in headers if header),
        n_bytes=sum(entry.n_bytes for entry in ours),
        last_used=max((entry.changed or 0.0 for entry in ours), default=_changed(folder)),
    )


def _configuration_in(folder: Place) -> tuple[Any, State]:
    try:
        configuration = json.loads(read(folder / CONFIGURATION_FILE)[0])
        return configuration, _state(configuration)
    except OSError as error:
        # What is called unreadable is pruned: a network that is away for a moment is not enough.
        if not isinstance(folder, Path) and not isinstance(error, FileNotFoundError):
            raise
    except (ValueError, RecursionError):
        pass
    return {}, "unreadable"


def _changed(folder: Place) -> float:
    """Seconds since 1970 of a folder's last change; object stores have no folders to tell it."""
    return folder.stat().st_mtime if isinstance(folder, Path) else 0.0


def _state(configuration: Any) -> State:
    version = configuration.get("format") if isinstance(configuration, dict) else None
    if type(version) is not int:
        return "unreadable"
    if version == FORMAT_VERSION:
        return "current"
    return "older format" if version < FORMAT_VERSION else "newer format"


def _header_or_none(path: Place, n_bytes: int | None = None) -> tuple[int, int] | None:
    """(n_texts, dim); None where the file cannot be read so far."""
    try:
        with open_parts(path, n_bytes) as file:
            header = read_header(file)
    except (OSError, BrokenShard):
        return None
    return header.n_texts, header.dim


@contextlib.contextmanager
def _answering(path: Place) -> Iterator[None]:
    """StorageError for a URL that does not answer: that says nothing of what is there."""
    try:
        yield
    except OSError as error:
        if isinstance(path, Path) or isinstance(error, _NO_FOLDER):
            raise
        raise StorageError(f"{path}: cannot be read: {reason(error)}\n  {WHAT_TO_CHECK}") from error
