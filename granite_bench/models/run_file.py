"""A first stage that another program ran: rankings in files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import is_file, is_folder


@dataclass(frozen=True)
class RunFile:
    """
    A first stage that somebody else ran: a file in TREC's format for one task, or a folder of
    such files, named as `granite-bench export-run` names them.
    """

    path: Path

    @property
    def name(self) -> str:
        """
        A file's name with the hash of its content: another file is another first stage. Of a
        folder the name alone: what changed in it shows, task by task, in the candidates' hash.
        """
        if self.path.is_dir():
            return self.path.resolve().name
        return f"{self.path.name}@{self.sha256[:12]}"

    @property
    def argument(self) -> str:
        """What names it on the command line."""
        return str(self.path)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of whoever ran it are not known."""
        return {}

    @property
    def revision(self) -> str:
        """Its content."""
        return self.sha256

    def file_of(self, name: str) -> Path | None:
        """The run of one part of a task: the file itself, or that of this name in the folder."""
        if not self.path.is_dir():
            return self.path
        return next((each for each in self.files if each.name in (name, f"{name}.gz")), None)

    @property
    def files(self) -> list[Path]:
        """The runs: the file itself, or those in the folder."""
        return [self.path] if self.path.is_file() else _runs_in(self.path)

    @cached_property
    def sha256(self) -> str:
        """Of the names and contents of the files."""
        digest = hashlib.sha256()
        try:
            for file in self.files:
                digest.update(f"{file.name}\0".encode() + file.read_bytes())
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            raise BadInput(Fault(str(self.path), problem)) from error
        return digest.hexdigest()


def is_run(path: Path) -> bool:
    """Whether a path names a run and not a model: a file, or a folder of *.trec files."""
    return is_file(path) or (is_folder(path) and bool(_runs_in(path)))


def _runs_in(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.trec"), *folder.glob("*.trec.gz")])
