"""
What goes from the store of embeddings, and how it is removed.

    plan_prune(cached, ..)  what would be removed of what read_cache has found
    remove(plan)            removes it
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from granite_bench.engine.vectors.vector_cache import CachedConfiguration, CheckedShard
from granite_bench.engine.vectors.vector_store import CONFIGURATION_FILE
from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files.local import Place
from granite_bench.files.locations import at_once, reason, remove_folder, stamp_of
from granite_bench.files.locations import remove as remove_file

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


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
    left: Sequence[Place] = ()


@dataclass
class Removed:
    """
    What removing did.

    Attributes:
        n_bytes: the room it made.
        kept: files that could not be removed, with the reason.
    """

    n_bytes: int = 0
    kept: list[tuple[Place, str]] = field(default_factory=list)


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
        _remove_files((*one.shards, *one.left), removed)
        _remove_files([one.folder / CONFIGURATION_FILE], removed)
        with contextlib.suppress(OSError):  # another's file, or one that a run has just written
            remove_folder(one.folder)
    _remove_files(plan.left, removed)
    return removed


def remove_broken(shards: Iterable[CheckedShard]) -> Removed:
    """Remove the broken shards among those that were checked; their texts are encoded again."""
    removed = Removed()
    _remove_files([shard.path for shard in shards if shard.reason], removed)
    return removed


def left_bytes(plan: Prune) -> int:
    """The size of the temporary files that a plan names, those that are still there."""
    n_bytes = 0
    for path in plan.left:
        with contextlib.suppress(OSError):
            n_bytes += stamp_of(path)[0]
    return n_bytes


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


def _remove_files(paths: Sequence[Place], removed: Removed) -> None:
    if paths:
        for path, n_bytes, error in at_once(_remove_one, paths, paths[0]):
            removed.n_bytes += n_bytes
            if error:
                removed.kept.append((path, error))


def _remove_one(path: Place) -> tuple[Place, int, str]:
    """(path, the bytes that are free now, why it is still there)."""
    try:
        n_bytes = stamp_of(path)[0]
        remove_file(path)
    except FileNotFoundError:
        return path, 0, ""
    except OSError as error:
        return path, 0, reason(error)
    return path, n_bytes, ""
