"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from granite_bench.errors import StorageError
from granite_bench.files.local import size_text, write_atomically


def test_the_content_is_written_and_missing_folders_are_made(
    tmp_path: Path, files_below: Callable[[], list[str]]
) -> None:
    """The bytes arrive unchanged, and nothing else is left in the folder."""
    write_atomically(tmp_path / "a/b/file.bin", b"\x00\r\n\xff")
    assert (tmp_path / "a/b/file.bin").read_bytes() == b"\x00\r\n\xff"
    assert files_below() == ["a/b/file.bin"]


def test_a_file_that_is_there_is_replaced(
    tmp_path: Path, files_below: Callable[[], list[str]]
) -> None:
    """The shorter new content has no tail of the old one."""
    write_atomically(tmp_path / "file", b"a long content")
    write_atomically(tmp_path / "file", b"short")
    assert (tmp_path / "file").read_bytes() == b"short"
    assert files_below() == ["file"]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    """mkstemp makes files that only their owner can read; a shared folder needs more."""
    write_atomically(tmp_path / "file", b"content")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_reader_never_meets_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until everything is on disk, the old content stands at the path."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    seen = []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(path.read_bytes()))
    write_atomically(path, b"new")
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


def test_the_content_is_on_disk_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the renaming must not leave a shorter file under the final name."""
    steps: list[tuple[str, int]] = []
    replace = Path.replace

    def synced(descriptor: int) -> None:
        steps.append(("synced", os.fstat(descriptor).st_size))

    def renamed(path: Path, target: Path) -> None:
        steps.append(("renamed", path.stat().st_size))
        replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "file", b"content")
    assert steps == [("synced", 7), ("renamed", 7)]


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, full_disk: Callable[[], None], files_below: Callable[[], list[str]]
) -> None:
    """ENOSPC is a StorageError that names the path and the cause."""
    write_atomically(tmp_path / "file", b"old")
    full_disk()
    with pytest.raises(StorageError, match=r"file: cannot be written: No space left on device"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert files_below() == ["file"]


def test_a_failing_rename_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_below: Callable[[], list[str]]
) -> None:
    """The last step may fail as well: permission withdrawn, a network folder gone."""

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert files_below() == ["file"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """A file stands where a folder is needed."""
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / "taken/file", b"content")


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (16_100_000_000, "16.1 GB"),
        (10**13, "10.0 TB"),
    ],
)
def test_sizes_are_decimal_as_on_the_hub(n_bytes: int, shown: str) -> None:
    """1 GB is 10^9 bytes."""
    assert size_text(n_bytes) == shown
