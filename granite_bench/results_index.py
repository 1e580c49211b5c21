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

from granite_bench.files import cache_folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
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
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """
        (path, content) of each path, in order, from the index or from *read*.

        Args:
            paths: files that exist.
            read: what makes the content of a file, JSON-serialisable; may raise, and then
                nothing is kept for that file.
        """
        with self._opened() as database:
            for start in range(0, len(paths), _PATHS_PER_QUERY):
                chunk = paths[start : start + _PATHS_PER_QUERY]
                kept = _kept(database, chunk)
                new = []
                for path in chunk:
                    found = path.stat()
                    size, changed, content = kept.get(str(path), (None, None, b""))
                    if (size, changed) == (found.st_size, found.st_mtime_ns):
                        yield path, json.loads(zlib.decompress(content))
                        continue
                    made = read(path)
                    packed = zlib.compress(json.dumps(made).encode(), level=1)
                    new.append((str(path), found.st_size, found.st_mtime_ns, packed))
                    yield path, made
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
        database = sqlite3.connect(":memory:")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=5)
    try:
        database.execute(
            "CREATE TABLE IF NOT EXISTS files "
            "(path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, content BLOB)"
        )
    except sqlite3.DatabaseError:
        database.close()
        if path is None or not path.exists():
            raise
        path.unlink()  # not a database, or a broken one
        return _connect(path)
    return database


def _kept(
    database: sqlite3.Connection, paths: Sequence[Path]
) -> dict[str, tuple[int | None, int | None, bytes]]:
    marks = ",".join("?" * len(paths))
    rows = database.execute(
        f"SELECT path, size, changed, content FROM files WHERE path IN ({marks})",
        [str(path) for path in paths],
    )
    return {path: (size, changed, content) for path, size, changed, content in rows}


def _keep(database: sqlite3.Connection, rows: Sequence[tuple[str, int, int, bytes]]) -> None:
    if not rows:
        return
    try:
        with database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
    except sqlite3.Error as error:  # another process writes, or the disk is full
        logger.warning("the index of results was not updated: %s", error)
