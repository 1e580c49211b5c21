"""Where the exported files of a model lie, and which one is meant."""

from __future__ import annotations

import functools
import glob
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from granite_bench.devices import BackendName
from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import as_one_name, cache_folder
from granite_bench.offline.mirror import files_under

PATTERNS: dict[BackendName, str] = {"onnx": "*.onnx", "openvino": "openvino*.xml"}
"""sentence-transformers' own; the names that are taken when none is asked for are below."""

DEFAULT_NAMES: dict[BackendName, tuple[str, ...]] = {
    "onnx": ("onnx/model.onnx", "model.onnx"),
    "openvino": ("openvino/openvino_model.xml", "openvino_model.xml"),
}


@dataclass(frozen=True)
class ExportedFile:
    """
    One exported model.

    Attributes:
        backend: what runs it.
        name: its path in the model's folder, with forward slashes.
        path: where it lies.
    """

    backend: BackendName
    name: str
    path: Path

    @property
    def parts(self) -> list[Path]:
        """The file, and those beside it that hold its weights."""
        # Of ONNX files over 2 GB; what others wrote may have several, _data, _data_1, ...
        data = self.path.parent.glob(f"{glob.escape(self.path.name)}[._]data*")
        beside = [self.path.with_suffix(".bin"), *sorted(data)]
        return [self.path, *(path for path in beside if path.is_file())]

    @property
    def n_bytes(self) -> int:
        """Of all its parts."""
        return sum(path.stat().st_size for path in self.parts)

    @property
    def sha256(self) -> str:
        """
        Over the content of its parts, in hex; part of the address of every vector it makes.

        A part is read again only once its size or its time of change is another.
        """
        digest = hashlib.sha256()
        for path in self.parts:
            stamp = path.stat()
            digest.update(_digest(path, stamp.st_size, stamp.st_mtime_ns))
        return digest.hexdigest()


@functools.cache
def _digest(path: Path, n_bytes: int, changed_ns: int) -> bytes:
    """Of a file's content, once for each state of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def exports_folder(model: str, revision: str | None) -> Path:
    """
    Where exports of a model go that must not change its own folder, or that has none to change:
    the hub's cache, a mirror, an installed package.

    Args:
        model: its name, org/name.
    """
    names = [*model.split("/"), revision or "no_revision_available"]
    return cache_folder().joinpath("exports", *map(as_one_name, names))


def find_all(folders: Sequence[Path], backend: BackendName) -> list[ExportedFile]:
    """Every exported file in *folders*; of those with one name, that of the first folder."""
    found: dict[str, ExportedFile] = {}
    for folder in folders:
        # Hidden folders do not count: an export that is being written lies in one.
        for name in files_under(folder) if folder.is_dir() else ():
            if fnmatchcase(name.rpartition("/")[2], PATTERNS[backend]):
                found.setdefault(name, ExportedFile(backend, name, folder / name))
    return list(found.values())


def default_file(files: Iterable[ExportedFile]) -> ExportedFile | None:
    """The one that is meant when none is named, of one backend: that without quantisation."""
    by_name = {each.name: each for each in files}
    names = (name for of_backend in DEFAULT_NAMES.values() for name in of_backend)
    return next((by_name[name] for name in names if name in by_name), None)


def find_exported(
    model: str, folders: Sequence[Path], backend: BackendName, name: str | None = None
) -> ExportedFile:
    """
    The exported file that is meant; nothing is ever exported by the way.

    Args:
        model: as the user named it, for the message.
        folders: the model's own, and its exports_folder.
        backend: onnx or openvino.
        name: its path in the folder; None is the one that an export has without quantisation.

    Raises:
        BadInput: there is none, with those that there are.
    """
    by_name = {each.name: each for each in find_all(folders, backend)}
    found = default_file(by_name.values()) if name is None else by_name.get(name)
    if found is not None:
        return found
    where, missing = f"model {model}", name or DEFAULT_NAMES[backend][0]
    if not by_name:
        hint = f"make one with: granite-bench export {model} --backend {backend}"
        raise BadInput(Fault(where, f"has no file exported to {backend}", hint))
    hint = f"there are: {', '.join(by_name)}; name one with --backend-file"
    raise BadInput(Fault(where, f"has no file {missing}", hint))
