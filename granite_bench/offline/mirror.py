"""
The offline mirror: a folder DIR where the hub repository org/name lies at DIR/org/name.

Data sets and models alike; DIR/manifest.json says what is in it, at which revision, and with
which content. `granite-bench fetch` fills a mirror; a folder that was filled by hand needs no
manifest. This is the reading side: no hub client, no mteb, no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault
from granite_bench.files.json_file import read_object
from granite_bench.files.local import refuse_url, write_atomically
from granite_bench.files.validation import faults_of

MIRROR_VARIABLE = "GRANITE_BENCH_MIRROR"
MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
NO_REVISION = "no_revision_available"
"""What mteb calls the revision of a model that it has pinned to none."""

_EXPORT_FOLDERS = ("", "onnx", "openvino")
_EXPORTS = ("*.onnx", "*.onnx_data*", "*.onnx.data*", "openvino*.xml", "openvino*.bin")
"""Files beside a model's own weights that ONNX Runtime and OpenVINO run (see exported)."""

_REPO_NAME = re.compile(r"([A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MirrorFile(_Strict):
    """One file of a repository: its size in bytes, and the sha256 of its content in hex."""

    size: int = Field(ge=0)
    sha256: str
    """Empty while the repository is not complete and nobody knows it yet."""


class MirrorRepo(_Strict):
    """
    One repository of the mirror.

    Attributes:
        revision: the commit that lies in the mirror.
        asked: what the task or model named (a commit, tag or branch); None is the hub's default.
        complete: False from the start of a fetch until its last file is there and checked.
        files: path inside the repository, with forward slashes -> the file.
        left_out: paths that the hub has and the mirror does not want (other weight formats).
    """

    kind: Literal["dataset", "model"]
    revision: str
    asked: str | None
    complete: bool
    files: Mapping[str, MirrorFile]
    left_out: tuple[str, ...] = ()

    @field_validator("files")
    @classmethod
    def _inside(cls, files: Mapping[str, MirrorFile]) -> Mapping[str, MirrorFile]:
        outside = [path for path in files if not stays_inside(path)]
        if outside:
            raise PydanticCustomError("outside", f"paths outside the repository: {outside}")
        return files


class Manifest(_Strict):
    """What a mirror holds: repository name -> its revision and files."""

    version: int = FORMAT_VERSION
    repos: Mapping[str, MirrorRepo] = {}

    @field_validator("repos")
    @classmethod
    def _named(cls, repos: Mapping[str, MirrorRepo]) -> Mapping[str, MirrorRepo]:
        others = [name for name in repos if not is_repo_name(name)]
        if others:
            raise PydanticCustomError("name", f"no names of repositories: {others}")
        return repos

    def with_repo(self, name: str, repo: MirrorRepo) -> Manifest:
        """A manifest in which *name* is *repo*, the others unchanged."""
        return Manifest(repos={**self.repos, name: repo})

    def write(self, folder: Path) -> None:
        """
        Put the manifest at folder/manifest.json, whole or not at all.

        Raises:
            StorageError: it cannot be written; the old one is still there.
        """
        content = self.model_dump(mode="json")
        content["repos"] = dict(sorted(content["repos"].items()))
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / MANIFEST_NAME, text.encode("utf-8"))


def is_repo_name(text: str) -> bool:
    """Whether *text* can name a hub repository (org/name, or an old bare name)."""
    return _REPO_NAME.fullmatch(text) is not None


def stays_inside(path: str) -> bool:
    """Whether a path of a repository's file, joined to a folder, stays in that folder."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def mirror_folder(option: str | os.PathLike[str] | None) -> Path | None:
    """
    The mirror to read from: *option*, else the variable GRANITE_BENCH_MIRROR, else None.

    Raises:
        BadInput: the folder that was named does not exist.
    """
    from_environment = os.environ.get(MIRROR_VARIABLE)
    named = os.fspath(option) if option is not None else from_environment or None
    if named is None:
        return None
    folder = Path(named)
    refuse_url(folder)
    if not folder.is_dir():
        where = "--mirror" if option is not None else MIRROR_VARIABLE
        hint = f"make one with: granite-bench fetch SUITE --to {named}"
        raise BadInput(Fault(where, f"no such folder: '{named}'", hint))
    return folder


def locate(mirror: Path | None, repo: str, revision: str | None) -> Path | None:
    """
    The folder of the hub repository *repo* in *mirror*, or None when it is not there.

    A folder that the manifest does not mention was filled by hand and is taken as it is. What is
    not a repository's name (a path, say) is never looked up.

    Args:
        revision: the revision that is needed; None accepts any.

    Raises:
        BadInput: the mirror has another revision of it, or a part of it only (a fetch that was
            cut off), or the manifest cannot be read.
    """
    if mirror is None or not is_repo_name(repo):
        return None
    folder = mirror / repo
    if not folder.is_dir():
        return None
    entry = read_manifest(mirror).repos.get(repo)
    if entry is None:
        # A bare name such as "mteb" may also be an organisation's folder, with folders alone in it.
        is_repo = "/" in repo or any(path.is_file() for path in folder.iterdir())
        return folder if is_repo else None
    again = f"granite-bench fetch SUITE --to {mirror}"
    again += f" --model {repo}" if entry.kind == "model" else ""
    if revision not in (None, NO_REVISION, entry.revision, entry.asked):
        what = f"the mirror has revision {entry.revision}, but {revision} is needed"
        raise BadInput(Fault(str(folder), what, f"fetch it with: {again}"))
    if not entry.complete:
        what = "the mirror has a part of it only: a fetch was cut off"
        raise BadInput(Fault(str(folder), what, f"go on with: {again}"))
    return folder


def read_manifest(folder: Path) -> Manifest:
    """
    What the manifest of the mirror *folder* says; an empty one when there is none.

    Raises:
        BadInput: it is not readable, not JSON, not of this shape, or of a newer format.
    """
    path = folder / MANIFEST_NAME
    again = "move it away and run granite-bench fetch again: files that are right are kept"
    refuse_url(folder)
    if folder.is_file():
        raise BadInput(Fault(str(folder), "is a file, and a mirror is a folder"))
    if not path.exists():
        return Manifest()
    raw = read_object(path, again)
    version = raw.get("version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        what = f"format {version} is newer than this release, which reads {FORMAT_VERSION}"
        raise BadInput(Fault(str(path), what, "update granite-bench"))
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise BadInput(faults_of(error, path, again)) from None


def content_hash(folder: Path) -> str:
    """
    The identity of what a folder holds: a sha256 in hex over path, size and sha256 of every file.

    Hidden folders (.git, .cache) do not count; links count as what they point to. Every byte is
    read, at the speed of the disk.

    Raises:
        BadInput: no such folder, no file in it, or a file that cannot be read.
    """
    return _hash_of(folder, files_under(folder))


def model_hash(folder: Path) -> str:
    """
    content_hash of a model's folder without the files that were exported from it: whether they
    are there or not, it is the same model.

    Raises:
        BadInput: as content_hash.
    """
    return _hash_of(folder, [path for path in files_under(folder) if not is_export(path)])


def is_export(path: str) -> bool:
    """Whether a path in a model's repository is an exported file, which torch never reads."""
    folder, _, name = path.rpartition("/")
    # By name too: code in these folders is part of the model.
    return folder in _EXPORT_FOLDERS and any(fnmatchcase(name, each) for each in _EXPORTS)


def _hash_of(folder: Path, paths: Sequence[str]) -> str:
    if not paths:
        raise BadInput(Fault(str(folder), "holds no file"))
    digest = hashlib.sha256()
    for path in paths:
        file = folder / path
        try:
            row = [path, file.stat().st_size, sha256_of(file)]
        except OSError as error:
            raise BadInput(Fault(str(file), f"cannot be read: {error.strerror}")) from None
        digest.update(json.dumps(row).encode("utf-8") + b"\n")
    return digest.hexdigest()


def verify(folder: Path) -> list[Fault]:
    """
    Compare every file of the mirror *folder* with its manifest; every byte is read.

    Returns:
        All that is wrong: files that are missing, of another size or of another content, files
        of a listed repository that the manifest does not know (but for files exported from a
        model), and fetches that were cut off.
        Folders of repositories that the manifest does not list are not looked at.

    Raises:
        BadInput: the manifest cannot be read.
    """
    manifest = read_manifest(folder)
    if not manifest.repos:
        hint = f"fill the mirror with: granite-bench fetch SUITE --to {folder}"
        return [Fault(str(folder / MANIFEST_NAME), "lists nothing to verify", hint)]
    again = f"fetch it again: granite-bench fetch SUITE --to {folder}"
    faults = []
    for name, repo in sorted(manifest.repos.items()):
        if not repo.complete:
            faults.append(Fault(str(folder / name), "not complete: a fetch was cut off", again))
            continue
        for path, wanted in sorted(repo.files.items()):
            what = _difference(folder / name / path, wanted)
            if what:
                faults.append(Fault(str(folder / name / path), what, again))
        for path in files_under(folder / name) if (folder / name).is_dir() else ():
            exported = repo.kind == "model" and is_export(path)
            if path not in repo.files and not exported:
                what = "is not in the manifest, and changes what is loaded from this folder"
                faults.append(Fault(str(folder / name / path), what, "move it away"))
    return faults


def files_under(folder: Path) -> list[str]:
    """
    Relative paths of all files under *folder*, with forward slashes, sorted.

    Hidden folders do not count; links count as what they point to.

    Raises:
        BadInput: a folder that is missing or cannot be read.
    """
    return sorted(_walk(folder))


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path) -> Iterator[str]:
    left: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(folder, "", frozenset())]
    while left:
        folder, prefix, above = left.pop()
        try:
            found = folder.stat()
            entries = list(os.scandir(folder))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            raise BadInput(Fault(str(folder), problem)) from None
        identity = (found.st_dev, found.st_ino)
        if identity in above:  # a link that leads back up would never end
            continue
        for entry in entries:
            try:
                is_file, is_folder = entry.is_file(), entry.is_dir()
            except OSError:  # a link to itself
                continue
            if is_file:
                yield prefix + entry.name
            elif is_folder and not entry.name.startswith("."):
                below = f"{prefix}{entry.name}/"
                left.append((Path(entry.path), below, above | {identity}))


def _difference(path: Path, wanted: MirrorFile) -> str:
    try:
        size = path.stat().st_size
        if size != wanted.size:
            return f"has {size} bytes, the manifest says {wanted.size}"
        found = sha256_of(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if found != wanted.sha256:
        return f"has another content: sha256 {found[:12]}, the manifest says {wanted.sha256[:12]}"
    return ""
