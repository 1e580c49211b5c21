"""Where our own files go, how one is written whole or not at all, and how sizes are said."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from granite_bench.errors import StorageError

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"
"""A path on this machine, or a URL; locations.py has what is done with either."""


def cache_folder() -> Path:
    """What can be made again (vectors, logs): $GRANITE_BENCH_CACHE, else ~/.cache/granite-bench."""
    named = os.environ.get("GRANITE_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "granite-bench"


def size_text(n_bytes: int) -> str:
    """A size in decimal units, as the hub shows it: 999 B, 1.5 kB, 16.1 GB."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def write_atomically(path: Path, content: bytes) -> None:
    """
    Put *content* at *path* through a temporary file beside it, so that a reader, a crash or a
    full disk never meets half a file. Missing folders are made.

    Raises:
        StorageError: the disk is full, or the place cannot be written; what stood at *path*
            still stands.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):  # Ctrl-C
            raise
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}\n"
            "  what stood there before is unchanged; make room or choose another folder, "
            "then run the same command again"
        ) from error
