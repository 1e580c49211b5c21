"""Where the exported files of a model lie, and which one is meant."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from granite_bench.devices import BackendName
from granite_bench.errors import BadInput, Fault
from granite_bench.files import cache_folder

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
        beside = (
            self.path.with_suffix(".bin"),
            self.path.with_name(f"{self.path.name}_data"),
            self.path.with_name(f"{self.path.name}.data"),
        )
        return [self.path, *(path for path in beside if path.is_file())]

    @property
    def n_bytes(self) -> int:
        """Of all its parts."""
        return sum(path.stat().st_size for path in self.parts)

    @cached_property
    def sha256(self) -> str:
        """Over the content of its parts; part of the address of every vector it makes."""
        digest = hashlib.sha256()
        for path in self.parts:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def exports_folder(model: str, revision: str | None) -> Path:
    """
    Where exports of a model go that must not change its own folder, or that has none to change:
    the hub's cache, a mirror, an installed package.

    Args:
        model: its name, org/name.
    """
    return cache_folder() / "exports" / model / (revision or "no_revision_available")


def find_all(folders: Sequence[Path], backend: BackendName) -> list[ExportedFile]:
    """Every exported file in *folders*; of those with one name, that of the first folder."""
    found: dict[str, ExportedFile] = {}
    for folder in folders:
        for path in sorted(folder.rglob(PATTERNS[backend])):
            name = path.relative_to(folder).as_posix()
            found.setdefault(name, ExportedFile(backend, name, path))
    return list(found.values())


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
    for candidate in DEFAULT_NAMES[backend] if name is None else (name,):
        if candidate in by_name:
            return by_name[candidate]
    where, missing = f"model {model}", name or DEFAULT_NAMES[backend][0]
    if not by_name:
        hint = f"make one with: granite-bench export {model} --backend {backend}"
        raise BadInput(Fault(where, f"has no file exported to {backend}", hint))
    hint = f"there are: {', '.join(by_name)}; name one with --backend-file"
    raise BadInput(Fault(where, f"has no file {missing}", hint))
