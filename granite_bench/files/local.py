"""
Where our own files go, how one is written whole or not at all, how one of others is read without
waiting or filling the memory, and how sizes are said.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from granite_bench.errors import BadInput, Fault, StorageError

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"
"""A path on this machine, or a URL; locations.py has what is done with either."""


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_LONGEST_START = 200  # bytes; most file systems allow 255 in a name


def cache_folder() -> Path:
    """What can be made again (vectors, logs): $GRANITE_BENCH_CACHE, else ~/.cache/granite-bench."""
    named = os.environ.get("GRANITE_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "granite-bench"


def free_bytes(folder: Path) -> int:
    """What the disk has room for on which a folder is, or will be made."""
    there = next(each for each in (folder, *folder.absolute().parents) if is_folder(each))
    return shutil.disk_usage(there).free


def size_text(n_bytes: int) -> str:
    """A size in decimal units, as the hub shows it: 999 B, 1.5 kB, 16.1 GB."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def is_file(path: Path) -> bool:
    """Whether there is a file; not where nobody may look, or no path can be so long."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_at_most(path: Path, n_bytes: int) -> bytes:
    """
    A whole file that somebody else may have put there, such as one of a downloaded tree.

    Raises:
        OSError: it cannot be read, has more than *n_bytes*, or is no regular file.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > n_bytes:
            raise OSError(f"has more than {size_text(n_bytes)}")
        return file.readall()


def open_regular(path: Path) -> io.FileIO:
    """
    A file to read, unbuffered.

    Raises:
        OSError: it cannot be read, or is no regular file: to open a named pipe would wait for
            whoever writes to it, and a device may never end.
    """
    file = io.FileIO(path, opener=_without_waiting)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path}: is no regular file")
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_url(path: Path) -> None:
    """
    Raises BadInput for what was meant as a URL. Of that pathlib leaves one slash, and it would be a
    folder here, named after whatever is in it: s3:/key:secret@bucket.
    """
    match = _URL.match(str(path))
    if match is not None:
        what = f"the URL {match[1]}://... is no place on this machine"
        raise BadInput(Fault("", what, "name a file or a folder; --vectors alone may be a URL"))


def as_one_name(text: str) -> str:
    """A name as that of one file or folder: whatever it holds, it stays in the folder above."""
    name = text.replace("/", "__").replace("\0", "_")
    return f"_{name}" if name in ("", ".", "..") else name


def write_atomically(path: Path, content: bytes) -> None:
    """
    Put *content* at *path* through a temporary file beside it, so that a reader, a crash or a
    full disk never meets half a file. Missing folders are made.

    Raises:
        BadInput: it is a URL.
        StorageError: the disk is full, or the place cannot be written; what stood at *path*
            still stands.
    """
    refuse_url(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name may be as long as the file system allows, and this one is longer.
        start = os.fsdecode(os.fsencode(path.name)[:_LONGEST_START])
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{start}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError | ValueError):  # Ctrl-C
            raise
        # ValueError: no path has a NUL in it.
        raise StorageError(
            f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}\n"
            "  what stood there before is unchanged; make room or choose another folder, "
            "then run the same command again"
        ) from error
