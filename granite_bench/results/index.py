"""
The index of result files: what a table needs of each, kept so that a second look is quick.

A clone of the public results has over 100,000 files, some of megabytes. The index holds the
scores that tables and audits read (not mteb's nAUC, nine tenths of the bytes) under the file's
path, size and time of change; a file that changed is read again, one that went away is not seen.
Losing the index loses nothing but time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from granite_bench.files.local import cache_folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
_PATHS_PER_QUERY = 500


class ResultIndex:
    """
    Contents of files, by path, as long as size and time of change are the same.

    Args:
        path: the SQLite file; made, or made anew, when it is missing or broken. None keeps
            nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def contents(
        self, paths: Sequence[Path], read: Callable[[Path], dict[str, Any]]
    ) -> Iterator[tuple[Path, dict[str, Any] | Exception]]:
        """
        (path, content) of each path, in order, from the index or from *read*.

        Args:
            paths: of files.
            read: what makes the content of a file, JSON-serialisable. What it raises comes in
                place of the content, and nothing is kept for that file.
        """
        with self._opened() as database:
            for start in range(0, len(paths), _PATHS_PER_QUERY):
                chunk = paths[start : start + _PATHS_PER_QUERY]
                kept = _kept(database, chunk)
                new = []
                for path in chunk:
                    try:
                        key, found = _key(path), path.stat()
                        stamp = (found.st_size, found.st_mtime_ns)
                        content = _unpacked(kept.get(key), stamp)
                        if content is None:
                            content = read(path)
                            packed = zlib.compress(json.dumps(content).encode(), level=1)
                            new.append((key, *stamp, packed))
                    except Exception as error:  # noqa: BLE001 (handed to the caller as it is)
                        yield path, error
                    else:
                        yield path, content
                _keep(database, new)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            database = _connect(self._path)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the index of results cannot be used (%s); reading files", error)
            database = _connect(None)
        try:
            yield database
        finally:
            database.close()


def default_index() -> ResultIndex:
    """The index in the cache folder; a new format has a file of its own."""
    return ResultIndex(cache_folder() / f"results-{FORMAT_VERSION}.sqlite")


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _with_table(sqlite3.connect(":memory:"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _with_table(sqlite3.connect(path, timeout=5))
    except sqlite3.OperationalError:  # locked, or may not be written: somebody else's, not broken
        raise
    except sqlite3.DatabaseError:
        path.unlink()  # not a database, or a broken one
        return _with_table(sqlite3.connect(path, timeout=5))


def _with_table(database: sqlite3.Connection) -> sqlite3.Connection:
    """The database, with its table; raises what SQLite raises when the file is damaged."""
    try:
        database.execute(
            "CREATE TABLE IF NOT EXISTS files "
            "(path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, content BLOB)"
        )
    except sqlite3.Error:
        database.close()
        raise
    return database


def _kept(database: sqlite3.Connection, paths: Sequence[Path]) -> dict[str, tuple[int, int, bytes]]:
    marks = ",".join("?" * len(paths))
    query = f"SELECT path, size, changed, content FROM files WHERE path IN ({marks})"
    try:
        rows = database.execute(query, list(map(_key, paths))).fetchall()
    except sqlite3.Error as error:  # damaged pages, or a table of another shape
        logger.warning("the index of results cannot be read (%s); reading files", error)
        return {}
    return {path: (size, changed, content) for path, size, changed, content in rows}


def _key(path: Path) -> str:
    """Of a path that is no UTF-8, which SQLite does not take, its bytes as escapes."""
    return str(path.absolute()).encode(errors="backslashreplace").decode()


def _unpacked(kept: tuple[int, int, bytes] | None, stamp: tuple[int, int]) -> dict[str, Any] | None:
    """What was kept of a file that is still the same; None when there is nothing of use."""
    if kept is None or kept[:2] != stamp:
        return None
    try:
        content: dict[str, Any] = json.loads(zlib.decompress(kept[2]))
    except (zlib.error, ValueError, TypeError):
        return None
    return content


def _keep(database: sqlite3.Connection, rows: Sequence[tuple[str, int, int, bytes]]) -> None:
    if not rows:
        return
    try:
        with database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
    except sqlite3.Error as error:  # another process writes, the disk is full, the file damaged
        logger.warning("the index of results was not updated: %s", error)
