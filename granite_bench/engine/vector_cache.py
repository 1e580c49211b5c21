"""
What the store of embeddings holds on disk, whether it is whole, and what may go.

    read_cache(folder)      a CachedConfiguration for each configuration
    check_shards(cached)    each shard of theirs against its checksum
    plan_prune(cached, ..)  what would be removed
    remove(plan)            removes it

Only folders named as the store names them, and in these only files that the store writes, are
looked at or removed. No model and no task is loaded for any of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from granite_bench.engine.shard import (
    LEFT_SECONDS,
    SUFFIX,
    BrokenShard,
    check,
    left_files,
    read_header,
)
from granite_bench.engine.vector_store import CONFIGURATION_FILE, FORMAT_VERSION, usual_dim
from granite_bench.errors import BadInput, Fault, did_you_mean

State = Literal["current", "older format", "newer format", "unreadable"]

_FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


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

    folder: Path
    state: State
    configuration: Mapping[str, Any]
    shards: Sequence[Path]
    left: Sequence[Path]
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

    path: Path
    n_bytes: int
    reason: str


@dataclass(frozen=True)
class Prune:
    """
    What goes: configurations that were chosen, useless ones, and files left by killed writers.

    Attributes:
        chosen: the least recently used first.
        useless: of an older format, or unreadable.
        left: temporary files of the configurations that stay.
    """

    chosen: Sequence[CachedConfiguration] = ()
    useless: Sequence[CachedConfiguration] = ()
    left: Sequence[Path] = ()


@dataclass
class Removed:
    """
    What removing did.

    Attributes:
        n_bytes: the room it made.
        kept: files that could not be removed, with the reason.
    """

    n_bytes: int = 0
    kept: list[tuple[Path, str]] = field(default_factory=list)


def read_cache(folder: Path) -> list[CachedConfiguration]:
    """
    Every configuration in a folder of vectors, by model, then the last used first.

    Raises:
        BadInput: there is no such folder, or it cannot be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if _FOLDER_NAME.fullmatch(path.name))
    except OSError as error:
        raise BadInput(
            Fault(
                str(folder),
                f"is no folder of vectors: {error.strerror or error}",
                "name the folder that `granite-bench run --vectors` was given, or none for the "
                "usual one",
            )
        ) from None
    found = []
    for name in names:
        # A run that goes on, or another prune, may take a folder away meanwhile.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
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
        headers = (_header_or_none(shard) for shard in configuration.shards)
        usual = usual_dim((dim, n_texts) for n_texts, dim in filter(None, headers))
        for path in configuration.shards:
            reason, n_bytes = "", 0
            try:
                header, (n_bytes, _) = check(path)
                if header.dim != usual:
                    reason = f"it has vectors of dimension {header.dim}, its folder {usual}"
            except FileNotFoundError:  # pruned or repaired meanwhile
                continue
            except BrokenShard as error:
                reason = str(error)
            except OSError as error:
                reason = f"cannot be read: {error.strerror or error}"
            yield CheckedShard(path, n_bytes, reason)


def plan_prune(
    cached: Sequence[CachedConfiguration],
    *,
    models: Sequence[str] = (),
    unused_seconds: float | None = None,
    max_bytes: int | None = None,
    now: float | None = None,
) -> Prune:
    """
    What a prune removes; nothing is removed here. Each argument narrows the choice.

    Args:
        cached: as read_cache gives them.
        models: names; none means all models.
        unused_seconds: choose what was not used for at least as long.
        max_bytes: of what the others choose, keep so much, the last used first.
        now: seconds since the epoch.

    Raises:
        BadInput: no vectors of one of *models* are kept.
    """
    kept = [one for one in cached if one.state in ("current", "newer format")]
    known = {one.model for one in kept}
    faults = [
        Fault(
            "--model",
            f"no vectors of '{name}' are kept",
            did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}",
        )
        for name in models
        if name not in known
    ]
    if faults:
        raise BadInput(faults)
    limit = (time.time() if now is None else now) - (unused_seconds or 0.0)
    chosen = [
        one
        for one in kept
        if (not models or one.model in models)
        and (unused_seconds is None or one.last_used <= limit)
    ]
    chosen.sort(key=lambda one: (one.last_used, one.folder.name))
    if max_bytes is not None:
        rest = sum(one.n_bytes for one in chosen)
        n_gone = 0
        while rest > max_bytes:
            rest -= chosen[n_gone].n_bytes
            n_gone += 1
        chosen = chosen[:n_gone]
    gone = {one.folder for one in chosen}
    return Prune(
        chosen,
        [one for one in cached if one.state in ("older format", "unreadable")],
        [path for one in kept if one.folder not in gone for path in one.left],
    )


def remove(plan: Prune) -> Removed:
    """
    Remove what the plan names.

    A run that uses a configuration meanwhile encodes again what it misses, or says which file
    was removed and to be started again. An interrupted removal leaves fewer shards, all whole:
    the file that says what they are goes last.
    """
    removed = Removed()
    for one in (*plan.chosen, *plan.useless):
        for path in (*one.shards, *one.left, one.folder / CONFIGURATION_FILE):
            _remove_file(path, removed)
        with contextlib.suppress(OSError):  # another's file, or one that a run has just written
            one.folder.rmdir()
    for path in plan.left:
        _remove_file(path, removed)
    return removed


def remove_broken(shards: Iterable[CheckedShard]) -> Removed:
    """Remove the broken shards among those that were checked; their texts are encoded again."""
    removed = Removed()
    for shard in shards:
        if shard.reason:
            _remove_file(shard.path, removed)
    return removed


def parse_age(text: str) -> float:
    """
    Seconds of an age such as 12h, 30d or 8w; raises BadInput.
    """
    match = re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower())
    if match is None:
        raise BadInput(
            Fault(
                "--older-than",
                f"'{text}' is no age",
                "a whole number of hours, days or weeks: 12h, 30d, 8w",
            )
        )
    return int(match[1]) * _HOURS[match[2]] * 3600.0


def parse_size(text: str) -> int:
    """
    Bytes of a size such as 500MB, 1.5 GB or 20GiB; raises BadInput.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgt]?i?b)", text.strip().lower())
    if match is None or match[2] not in _BYTES:
        raise BadInput(
            Fault(
                "--max-size",
                f"'{text}' is no size",
                "a number and a unit, kB, MB, GB or TB: 500MB, 1.5GB",
            )
        )
    return int(float(match[1]) * _BYTES[match[2]])


def _read_configuration(folder: Path) -> CachedConfiguration | None:
    """None for a folder that holds nothing of the store's and is not an empty one of it."""
    described = folder / CONFIGURATION_FILE
    try:
        configuration = json.loads(described.read_bytes())
        state = _state(configuration)
    except (OSError, ValueError, RecursionError):
        configuration, state = {}, "unreadable"
    try:
        names = sorted(path.name for path in folder.iterdir())
        left = left_files(folder)
    except PermissionError:
        return CachedConfiguration(folder, "unreadable", {}, (), (), 0, 0, folder.stat().st_mtime)
    shards = [folder / name for name in names if re.fullmatch(rf"\w+{re.escape(SUFFIX)}", name)]
    ours = [path for path in (*shards, *left, described) if path.is_file()]
    if not ours:
        # A run makes the folder a moment before its first file.
        fresh = folder.stat().st_mtime > time.time() - LEFT_SECONDS
        if names or fresh:
            return None
    sizes, times = [], []
    for path in ours:
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            sizes.append(found.st_size)
            times.append(found.st_mtime)
    headers = [_header_or_none(shard) for shard in shards] if state == "current" else []
    return CachedConfiguration(
        folder,
        state,
        configuration if state != "unreadable" else {},
        shards,
        left,
        n_texts=sum(header[0] for header in headers if header),
        n_bytes=sum(sizes),
        last_used=max(times, default=folder.stat().st_mtime),
    )


def _state(configuration: Any) -> State:
    version = configuration.get("format") if isinstance(configuration, dict) else None
    if type(version) is not int:
        return "unreadable"
    if version == FORMAT_VERSION:
        return "current"
    return "older format" if version < FORMAT_VERSION else "newer format"


def _header_or_none(path: Path) -> tuple[int, int] | None:
    """(n_texts, dim); None where the file cannot be read so far."""
    try:
        with path.open("rb", buffering=0) as file:
            header = read_header(file)
    except (OSError, BrokenShard):
        return None
    return header.n_texts, header.dim


def _remove_file(path: Path, removed: Removed) -> None:
    try:
        n_bytes = path.stat().st_size
        path.unlink()
        removed.n_bytes += n_bytes
    except FileNotFoundError:
        pass
    except OSError as error:
        removed.kept.append((path, error.strerror or str(error)))
