"""Folders of vectors in several kinds of places, and a file system that behaves as remote ones."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from granite_bench.files.local import Place
from granite_bench.files.urls import parse_place

KINDS = ("path", "file", "memory", "listing")
"""A local path; the same as a URL; an object store; a store that remembers what it listed."""

_number = itertools.count()


class ListingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """
    Files in memory behind remembered listings, as many a backend has; it is no object store.

    Attributes:
        calls: how often each of its methods was asked.
        failure: raised by every call, where it is not None.
    """

    protocol = "listing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls: ClassVar[Counter[str]] = Counter()
    failure: ClassVar[Exception | None] = None

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        stripped: str = super()._strip_protocol(str(path).removeprefix("listing://"))
        return stripped

    def _asked(self, method: str) -> None:
        self.calls[method] += 1
        if ListingFileSystem.failure is not None:
            raise ListingFileSystem.failure

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """The first answer, until the cache is invalidated."""
        place = self._strip_protocol(path)
        if place not in self.dircache:
            self._asked("ls")
            self.dircache[place] = super().ls(path, detail=True, **kwargs)
        found = self.dircache[place]
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **kwargs: Any) -> Any:
        """From the listing of the folder, where there is one."""
        place = self._strip_protocol(path)
        for info in self.dircache.get(self._parent(place), []):
            if info["name"] == place:
                return info
        self._asked("info")
        return super().info(path, **kwargs)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget what was listed."""
        self.dircache.clear()
        super().invalidate_cache(path)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        """A whole file or a part of it."""
        self._asked("cat_file")
        return super().cat_file(path, start, end, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file."""
        self._asked("pipe_file")
        super().pipe_file(path, value, mode, **kwargs)


fsspec.register_implementation("listing", ListingFileSystem, clobber=True)


def folder_of(kind: str, tmp_path: Path) -> Place:
    """A folder that nobody else has."""
    name = f"vectors-{next(_number)}"
    urls = {"file": f"file://{tmp_path}/{name}", "path": f"{tmp_path}/{name}"}
    return parse_place(urls.get(kind, f"{kind}://bucket/{name}"))
