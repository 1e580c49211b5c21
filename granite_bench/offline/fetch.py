"""
Fill an offline mirror with what a plan names (fetch_plan.py), every file checked.

Bytes come over the hub client's plain HTTP download and not over hf_hub_download, because that
one (huggingface_hub 2.4) throws the part of a file that it has away when the line breaks.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from huggingface_hub import hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError, see fetch_plan
    HfHubHTTPError,
    HTTPError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazy export

from granite_bench.errors import BadInput, Fault, StorageError, first_line
from granite_bench.files.local import free_bytes, size_text
from granite_bench.offline.fetch_plan import (
    FetchPlan,
    PlannedFile,
    PlannedRepo,
    has_size,
    hub_fault,
)
from granite_bench.offline.mirror import MirrorFile, MirrorRepo, read_manifest

Progress = Callable[[str, str, int], None]
"""Called with repository, path, and the bytes that are ready since the last call (may be < 0)."""

_BLOCK_BYTES = 1 << 20
_PARTS = ".parts"
_HEX = re.compile(r"[0-9a-f]{40,64}")


def fetch(plan: FetchPlan, to: Path, progress: Progress | None = None) -> None:
    """
    Download what the mirror *to* lacks of *plan*, and check every file.

    What is there with the right content is kept, and read once for that. After a cut-off the same
    call goes on at the byte where the line broke. A repository's files of an earlier revision
    are removed; files that no fetch has put there are left alone.

    Args:
        progress: see Progress; over a whole fetch its bytes add up to plan.n_bytes.

    Raises:
        BadInput: not enough room on the disk (found before anything is downloaded), no access to
            a gated repository, or a broken manifest.
        StorageError: a download broke off, came out wrong, or could not be written.
    """
    _check_room(plan, to)
    for repo in plan.repos:
        _fetch_repo(repo, plan.endpoint, to, progress or _say_nothing)
    with contextlib.suppress(OSError):  # parts of other files may be waiting in it
        (to / _PARTS).rmdir()


def _fetch_repo(repo: PlannedRepo, endpoint: str | None, to: Path, progress: Progress) -> None:
    folder = to / repo.name
    entry = read_manifest(to).repos.get(repo.name)
    if entry is None or not entry.complete or entry.revision != repo.revision:
        # Not complete from here on, so that nobody reads half a repository; and the files of
        # earlier fetches stay known, so that they can be removed after any number of cut-offs.
        planned = {file.path: MirrorFile(size=file.size, sha256="") for file in repo.files}
        earlier = dict(entry.files) if entry else {}
        _record(repo, to, {**earlier, **planned}, complete=False)
        for path in sorted(earlier.keys() - planned.keys()):
            (folder / path).unlink(missing_ok=True)
    files = {}
    for file in repo.files:
        sha256 = _sha256_if_right(folder / file.path, file)
        if sha256 is None:
            sha256 = _download(repo, file, endpoint, to, progress)
        else:
            progress(repo.name, file.path, file.size)
        files[file.path] = MirrorFile(size=file.size, sha256=sha256)
    _record(repo, to, files, complete=True)


def _record(repo: PlannedRepo, to: Path, files: dict[str, MirrorFile], *, complete: bool) -> None:
    entry = MirrorRepo(
        kind=repo.kind,
        revision=repo.revision,
        asked=repo.asked,
        complete=complete,
        files=files,
        left_out=repo.left_out,
    )
    # Read anew each time: another fetch may fill the same mirror with other repositories.
    read_manifest(to).with_repo(repo.name, entry).write(to)


def _download(
    repo: PlannedRepo, file: PlannedFile, endpoint: str | None, to: Path, progress: Progress
) -> str:
    """Put one file in its place, and return its sha256; what is already in .parts is not asked."""
    part = to / _PARTS / _part_name(repo, file)
    url = hf_hub_url(
        repo.name, file.path, repo_type=repo.kind, revision=repo.revision, endpoint=endpoint
    )
    where = f"{repo.name}: {file.path}"
    # A compressed answer has no byte positions to go on from.
    headers = {**build_hf_headers(library_name="granite-bench"), "Accept-Encoding": "identity"}
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            if out.tell() > file.size:
                out.seek(0)
                out.truncate()
            progress(repo.name, file.path, out.tell())
            http_get(
                url,
                out,
                resume_size=out.tell(),
                headers=headers,
                expected_size=file.size,
                tqdm_class=_bar(lambda n_bytes: progress(repo.name, file.path, n_bytes)),
            )
        sha256 = _sha256_if_right(part, file)
        if sha256 is None:
            part.unlink()
            raise StorageError(
                f"{where}: what came is not what the hub announced, and was thrown away\n"
                "  run the same command again; if it stays so, look for a proxy in between"
            )
        target = to / repo.name / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    except (HTTPError, OSError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403, 404):
            raise BadInput(hub_fault(where, repo.kind, repo.revision, error)) from error
        n_bytes = part.stat().st_size if part.is_file() else 0
        raise StorageError(
            f"{where}: stopped after {size_text(n_bytes)} of {size_text(file.size)}: "
            f"{first_line(error)}\n  run the same command again: it goes on from there"
        ) from error
    return sha256


def _bar(report: Callable[[int], None]) -> type[Any]:
    """A stand-in for tqdm, of which http_get calls these."""

    class Bar:
        def __init__(self, **_: Any) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, n_bytes: int) -> None:
            report(n_bytes)

    return Bar


def _sha256_if_right(path: Path, file: PlannedFile) -> str | None:
    """The sha256 of the file at *path*, or None when it is not the planned one."""
    if not has_size(path, file.size):
        return None
    sha256 = hashlib.sha256()
    # git names a blob by the sha1 of this header and the content.
    sha1 = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            sha256.update(block)
            if file.sha256 is None:
                sha1.update(block)
    if file.sha256 is not None:
        return file.sha256 if sha256.hexdigest() == file.sha256 else None
    if file.blob_id is not None and sha1.hexdigest() != file.blob_id:
        return None
    return sha256.hexdigest()


def _part_name(repo: PlannedRepo, file: PlannedFile) -> str:
    """The content's hash, so that files of one content share what has come; else the place's."""
    content = file.sha256 or file.blob_id or ""
    if _HEX.fullmatch(content):  # it comes from the hub, and is to be no path
        return content
    return hashlib.sha256(f"{repo.name}@{repo.revision}/{file.path}".encode()).hexdigest()


def _check_room(plan: FetchPlan, to: Path) -> None:
    free = free_bytes(to)
    if plan.bytes_to_come > free:
        what = f"needs {size_text(plan.bytes_to_come)} more, and {size_text(free)} are free"
        raise BadInput(Fault(str(to), what, "make room, or give --to a folder on a larger disk"))


def _say_nothing(repo: str, path: str, n_bytes: int) -> None:
    """The progress of a fetch that nobody watches."""
