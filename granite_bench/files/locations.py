"""
What is done with a Place: the same words for a path on this machine and for a URL.

A local path is treated as pathlib treats it. Of a URL, whatever a backend of fsspec raises
(botocore's errors, aiohttp's, paramiko's) becomes an OSError here, so that callers know one kind.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

from granite_bench.errors import StorageError
from granite_bench.files.local import Place, open_regular, write_atomically
from granite_bench.files.urls import BUCKETS

if TYPE_CHECKING:
    from upath import UPath

Stamp: TypeAlias = "tuple[int, int | str]"
"""Size in bytes, and the entity tag or the nanosecond of the last change: the file it was."""

READ_AHEAD = 1 << 18
"""A request takes about as long as the transfer of so many bytes, so none asks for fewer."""

REQUESTS_AT_ONCE = 8

WHAT_TO_CHECK = (
    "check the address, the credentials (in the environment or the service's profile) and the "
    "network, then run the same command again"
)
"""The next step after an error of a URL."""

_PUTS_WHOLE = (*BUCKETS, "memory")
_TAGS = ("ETag", "etag", "md5Hash")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "modify", "created")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Entry:
    """
    What a listing says of one thing in a folder.

    Attributes:
        changed: seconds since 1970; None where the place does not tell.
    """

    name: str
    is_file: bool
    n_bytes: int
    changed: float | None
    stamp: Stamp


def entries(folder: Place, names: re.Pattern[str] | None = None) -> list[Entry]:
    """
    What is in a folder now, whatever fsspec remembers of it.

    Args:
        names: only what has such a name in full.

    Raises:
        OSError: there is no such folder (FileNotFoundError), or it cannot be listed.
    """
    if not isinstance(folder, Path):
        listed = [_entry(info) for info in _listed(folder)]
        return [entry for entry in listed if names is None or names.fullmatch(entry.name)]
    found = []
    with os.scandir(folder) as scanned:
        for each in scanned:
            if names is None or names.fullmatch(each.name):
                try:
                    stat = each.stat()
                except FileNotFoundError:  # removed meanwhile
                    continue
                changed, is_file = stat.st_mtime, each.is_file()
                found.append(Entry(each.name, is_file, stat.st_size, changed, _stamp(stat)))
    return found


def stamp_of(path: Place) -> Stamp:
    """The stamp of a file; raises OSError."""
    if isinstance(path, Path):
        return _stamp(path.stat())
    with _filesystem(path) as (fs, place):
        fs.invalidate_cache()
        return _entry(fs.info(place)).stamp


def read(path: Place) -> tuple[bytes, Stamp]:
    """A whole file, and its stamp from before it was read; raises OSError."""
    if isinstance(path, Path):
        with open_regular(path) as file:
            local = os.fstat(file.fileno())
            return file.read(local.st_size), _stamp(local)
    stamp = stamp_of(path)
    with _filesystem(path) as (fs, place):
        return bytes(fs.cat_file(place)), stamp


def open_parts(path: Place, n_bytes: int | None = None) -> IO[bytes] | io.RawIOBase:
    """
    A file to seek and read in, unbuffered.

    Args:
        n_bytes: its size, where a listing has told it.

    Raises:
        OSError: there is no such file (FileNotFoundError), or it cannot be read.
    """
    if isinstance(path, Path):
        return open_regular(path)
    return _Parts(path, stamp_of(path)[0] if n_bytes is None else n_bytes)


def write(path: Place, content: bytes) -> None:
    """
    Write a file so that nobody reads half of it; what stood there is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    if isinstance(path, Path):
        write_atomically(path, content)
        return
    try:
        _put(path, content)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {reason(error)}\n  {WHAT_TO_CHECK}"
        ) from error


def _put(path: UPath, content: bytes) -> None:
    with _filesystem(path) as (fs, place):
        if path.protocol in _PUTS_WHOLE:
            # An object appears whole, when its last byte has arrived; renaming would copy it.
            fs.pipe_file(place, content)
            return
        # Elsewhere others see a file grow, and would take it for a broken one. A rename is
        # either atomic there, or it is a copy that the checksum of a shard guards.
        fs.makedirs(path.parent.path, exist_ok=True)
        folder, _, name = place.rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}"
        try:
            fs.pipe_file(temporary, content)
            renamed = False
            with contextlib.suppress(Exception):
                fs.mv(temporary, place)
                renamed = True
            if not renamed:  # some do not rename over a file that is there
                fs.rm_file(place)
                fs.mv(temporary, place)
        except BaseException:
            with contextlib.suppress(Exception):
                fs.rm_file(temporary)
            raise


def remove(path: Place) -> None:
    """Remove a file; raises OSError, or FileNotFoundError where the place says that of it."""
    if isinstance(path, Path):
        path.unlink()
        return
    with _filesystem(path) as (fs, place):
        fs.rm_file(place)


def remove_folder(folder: Place) -> None:
    """Remove an empty folder, where folders are more than names; raises OSError."""
    if isinstance(folder, Path):
        folder.rmdir()
    elif folder.protocol not in _PUTS_WHOLE:
        with _filesystem(folder) as (fs, place):
            fs.invalidate_cache()
            if fs.ls(place, detail=False):
                raise OSError(f"{folder}: not empty")
            fs.rmdir(place)


def at_once(
    function: Callable[[_Item], _Result], items: Iterable[_Item], place: Place
) -> Iterator[_Result]:
    """*function* of each item, in order; several at a time where *place* answers several."""
    if isinstance(place, Path):
        yield from map(function, items)
        return
    with _filesystem(place) as (fs, _):
        answers_several = fs.async_impl
    if not answers_several:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="requests") as threads:
        yield from threads.map(function, items)


def reason(error: OSError) -> str:
    """What an OSError says, in one line."""
    return " ".join(str(error.strerror or error).split()) or type(error).__name__


class _Parts(io.RawIOBase):
    """A file behind a URL: a request for each part that is read, and some of what follows it."""

    def __init__(self, path: UPath, n_bytes: int) -> None:
        self._path = path
        self._n_bytes = n_bytes
        self._at = 0
        self._start = 0
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._n_bytes}
        self._at = origins[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._n_bytes)
        if end <= self._at:
            return 0
        if not self._start <= self._at < end <= self._start + len(self._ahead):
            stop = min(max(end, self._at + READ_AHEAD), self._n_bytes)
            with _filesystem(self._path) as (fs, place):
                self._ahead = fs.cat_file(place, start=self._at, end=stop)
            self._start = self._at
        part = memoryview(self._ahead)[self._at - self._start : end - self._start]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


@contextlib.contextmanager
def _filesystem(path: UPath) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the place in it; all that it raises is an OSError."""
    try:
        yield path.fs, path.path
    except FileNotFoundError as error:
        if str(error).strip("/") in ("", path.path.strip("/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        raise
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _listed(folder: UPath) -> list[dict[str, Any]]:
    with _filesystem(folder) as (fs, place):
        fs.invalidate_cache()  # or shards of other processes stay unseen
        found: list[dict[str, Any]] = fs.ls(place, detail=True)
    at = place.rstrip("/")
    if any(info["type"] != "directory" and info["name"].rstrip("/") == at for info in found):
        raise NotADirectoryError(f"{folder}: is a file")
    return [info for info in found if info["name"].rstrip("/") != at]


def _entry(info: dict[str, Any]) -> Entry:
    """From what a file system of fsspec says; each has names of its own for the same."""
    name = info["name"].rstrip("/").rpartition("/")[2]
    n_bytes = int(info.get("size") or 0)
    changed = next((_seconds(info[key]) for key in _TIMES if info.get(key)), None)
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), None)
    stamp = n_bytes, int((changed or 0) * 1e9) if tag is None else tag
    return Entry(name, info["type"] == "file", n_bytes, changed, stamp)


def _seconds(time: Any) -> float | None:
    """Of a datetime, a number or a text in ISO 8601; None for anything else."""
    with contextlib.suppress(TypeError, ValueError):
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        return time.timestamp() if isinstance(time, datetime) else float(time)
    return None


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns
