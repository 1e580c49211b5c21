"""
suites/speed.yaml -> Protocol: what a speed measurement encodes, and so which figures compare.

Published speeds of one model differ twentyfold because nobody says what a document is. Here a
protocol has a name, a version and an identity: a hash of every setting that changes what is
measured. Figures of different identity are never put side by side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files.yaml_file import read_document
from granite_bench.results.speed_columns import FOR_HOW_LONG
from granite_bench.speed.corpus import check_documents_path
from granite_bench.suite.shipped import SPEED_PROTOCOLS, suite_names, suites_folder
from granite_bench.suite.suite import load_suite

FORMAT_VERSION = 1

TASK_PREFIX, FILE_PREFIX = "suite:", "file:"
_OF_TASKS, _OF_FILES = "documents", "chunks-512"
"""The shipped protocols that suite:TASK and file:PATH have their settings from."""

_SIZES = ("n_documents_cpu", "n_documents_gpu")
_BATCHES = ("batch_size", "token_budget")
"""At least one of them, where there are batches."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "chunks": ("chunk_tokens", "overlap_tokens", *_SIZES),
    "fixed": ("text_tokens", *_SIZES),
    "queries": ("n_queries", "n_documents_searched"),
    "documents": (),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "chunks": (*_BATCHES, "seed"),
    "fixed": (*_BATCHES, "seed"),
    "queries": ("seed",),
    "documents": (*_BATCHES, *_SIZES),
}
"""Kind -> the settings that it must, and may have; every kind has those of FOR_HOW_LONG too."""

_Count: TypeAlias = Annotated[StrictInt, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProtocolEntry(_Strict):
    """
    A protocol as it stands in a file.

    Attributes:
        kind: *chunks* cuts documents into overlapping pieces, *fixed* makes texts of one length,
            *queries* times one query at a time, *documents* takes them as they are.
        source: who measured so, and what is not known of it.
        chunk_tokens, overlap_tokens, text_tokens: with special tokens and the model's prompt (see
            speed.chunks).
        batch_size: texts per batch at most.
        token_budget: padded tokens per batch at most.
        n_documents_cpu, n_documents_gpu: documents, or texts of a fixed length, by the kind of
            the device; where they are somebody's own, at most so many, and all when left out.
        n_documents_searched: vectors that the best of each query are found in.
        seed: of what is synthetic.
        warm_up_seconds: after so long it is over, even if the speed is not steady.
        repeats: passes that are measured.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: _Count
    title: str
    kind: Literal["chunks", "fixed", "queries", "documents"]
    source: str | None = None
    chunk_tokens: Annotated[StrictInt, Field(ge=16)] | None = None
    overlap_tokens: Annotated[StrictInt, Field(ge=0)] | None = None
    text_tokens: Annotated[StrictInt, Field(ge=16)] | None = None
    batch_size: _Count | None = None
    token_budget: _Count | None = None
    n_documents_cpu: _Count | None = None
    n_documents_gpu: _Count | None = None
    n_queries: Annotated[StrictInt, Field(ge=100)] | None = None  # for a 99th percentile
    n_documents_searched: _Count | None = None
    seed: Annotated[StrictInt, Field(ge=0)] = 0
    warm_up_seconds: Annotated[StrictInt | StrictFloat, Field(ge=0, allow_inf_nan=False)] = 120
    repeats: Annotated[StrictInt, Field(ge=3)] = 3

    @field_validator("overlap_tokens")
    @classmethod
    def _at_most_half(cls, overlap: int | None, info: ValidationInfo) -> int | None:
        """With more, tokens would stand in three chunks, and special tokens could fill one."""
        size = info.data.get("chunk_tokens")
        if overlap is not None and size is not None and 2 * overlap > size:
            raise PydanticCustomError("overlap", f"must be at most half of chunk_tokens ({size})")
        return overlap


class Protocol(ProtocolEntry):
    """
    What a measurement encodes.

    Attributes:
        task: whose documents they are: a name or a folder, as tasks.find_task takes it.
        path: the user's own file of documents.
        corpus_sha256: of the documents of *task* or *path*, once they are read (see of_corpus).
    """

    task: str | None = None
    path: Path | None = None
    corpus_sha256: str | None = None

    @property
    def is_synthetic(self) -> bool:
        """Whether the protocol itself says what the texts are."""
        return self.task is None and self.path is None

    def n_documents(self, device: str) -> int | None:
        """Documents (or texts) for this device, torch's name; None for all there are."""
        is_cpu = device.partition(":")[0] == "cpu"
        return self.n_documents_cpu if is_cpu else self.n_documents_gpu

    def settings(self) -> dict[str, Any]:
        """The settings that its kind has, JSON-serialisable; without those that are not set."""
        names = [*_REQUIRED[self.kind], *_OPTIONAL[self.kind], *FOR_HOW_LONG]
        if not self.is_synthetic and "seed" in names:
            names.remove("seed")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def identity(self) -> str:
        """
        "name/version:hash", equal only for protocols under which figures may be compared: the
        kind and all settings but those of how long is measured, and the documents where they
        are somebody's own.

        Raises:
            ValueError: these documents were not read yet (see of_corpus).
        """
        if not self.is_synthetic and self.corpus_sha256 is None:
            raise ValueError(f"{self.name}: the identity has the documents in it; read them first")
        measured = {name: v for name, v in self.settings().items() if name not in FOR_HOW_LONG}
        measured |= {"kind": self.kind, "corpus_sha256": self.corpus_sha256}
        canonical = json.dumps(measured, sort_keys=True, separators=(",", ":"))
        return f"{self.name}/{self.version}:{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"

    def of_corpus(self, sha256: str) -> Protocol:
        """The protocol over these documents (see corpus.corpus_sha256); as it is if synthetic."""
        return self if self.is_synthetic else self.model_copy(update={"corpus_sha256": sha256})

    def with_batches(self, batch_size: int | None, token_budget: int | None) -> Protocol:
        """With these batches instead of its own, where either is given, and where it has any."""
        if (batch_size, token_budget) == (None, None) or self.kind == "queries":
            return self
        return self.changed(batch_size=batch_size, token_budget=token_budget)

    def changed(self, **settings: int | float | None) -> Protocol:
        """
        With other settings, and so with another identity; n_documents is for every device.

        Raises:
            BadInput: settings that this kind does not have. Values are not checked.
        """
        known = {*_REQUIRED[self.kind], *_OPTIONAL[self.kind], *FOR_HOW_LONG}
        if known.issuperset(_SIZES) and "n_documents" in settings:
            settings |= dict.fromkeys(_SIZES, settings.pop("n_documents"))
        stray = sorted(settings.keys() - known)
        if stray:
            hint = f"it has: {', '.join(self.settings())}"
            where = f"protocol {self.name}"
            raise BadInput([Fault(where, f"has no setting {name}", hint) for name in stray])
        return self.model_copy(update=settings)


class _ProtocolFile(_Strict):
    version: StrictInt
    protocols: tuple[ProtocolEntry, ...] = Field(min_length=1)

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise PydanticCustomError(
                "version", f"format {version} is not known; this release reads {FORMAT_VERSION}"
            )
        return version


def load_protocols(path: str | Path | None = None) -> dict[str, Protocol]:
    """
    Name -> protocol, in the order of the file; the one that comes with the package when None.

    Raises:
        BadInput: a file with faults (all of them named).
    """
    return dict(_shipped()) if path is None else _load(Path(path))


def find_protocol(name: str, path: str | Path | None = None) -> Protocol:
    """
    A protocol by its name, or for documents of a task or a file.

    Args:
        name: a name from load_protocols(path); suite:TASK for the documents of a task as they
            are, where TASK is what tasks.find_task takes (not looked up here); or file:PATH for
            the user's own (see corpus.read_documents), all of them, cut as chunks-512 does.
            The protocol of a path is named by the last part of it.
        path: the file of protocols, as for load_protocols.

    Raises:
        BadInput: no such protocol or documents, or a file with faults.
    """
    if name.startswith(TASK_PREFIX):
        return _of_task(name.removeprefix(TASK_PREFIX))
    if name.startswith(FILE_PREFIX):
        return _of_file(name.removeprefix(FILE_PREFIX))
    # A protocol of documents needs a task to be one.
    known = {each.name: each for each in load_protocols(path).values() if each.kind != "documents"}
    if name in known:
        return known[name]
    forms = f"or {TASK_PREFIX}TASK, {FILE_PREFIX}PATH"
    hint = did_you_mean(name, known) or f"there are: {', '.join(known)}; {forms}"
    raise BadInput(Fault("", f"unknown protocol '{name}'", hint))


def _of_task(task: str) -> Protocol:
    if not task:
        raise BadInput(Fault("", f"protocol {TASK_PREFIX} lacks a task", f"{TASK_PREFIX}SciFact"))
    if task in suite_names():
        some = ", ".join(each.name for each in load_suite(task).tasks[:5])
        what = f"protocol {TASK_PREFIX}{task} is of a whole suite"
        raise BadInput(Fault("", what, f"it takes one task, such as {some}"))
    name = f"{TASK_PREFIX}{Path(task).name or task}"
    return load_protocols()[_OF_TASKS].model_copy(update={"name": name, "task": task})


def _of_file(file: str) -> Protocol:
    if not file:
        hint = f"{FILE_PREFIX}corpus.jsonl"
        raise BadInput(Fault("", f"protocol {FILE_PREFIX} lacks a path", hint))
    path = check_documents_path(file)
    changes: dict[str, Any] = {"name": f"{FILE_PREFIX}{path.name}", "path": path}
    changes |= dict.fromkeys(_SIZES)
    return load_protocols()[_OF_FILES].model_copy(update=changes)


@cache
def _shipped() -> Mapping[str, Protocol]:
    return _load(suites_folder() / SPEED_PROTOCOLS)


def _load(path: Path) -> dict[str, Protocol]:
    file, raw, faults = read_document(_ProtocolFile, path, {"protocols": ProtocolEntry})
    faults += _entry_faults(raw, path)
    if faults or file is None:
        raise BadInput(faults)
    entries = [Protocol(**entry.model_dump()) for entry in file.protocols]
    return {entry.name: entry for entry in entries}


def _entry_faults(raw: Any, path: Path) -> list[Fault]:
    """Settings that a kind lacks, or that belong to another, and names that stand there twice."""
    protocols = raw.get("protocols")
    first: dict[str, int] = {}
    faults = []
    for position, entry in enumerate(protocols if isinstance(protocols, list) else []):
        if not isinstance(entry, dict):
            continue
        where = f"{path}: protocols[{position}]"
        name, kind = entry.get("name"), entry.get("kind")
        if isinstance(name, str) and first.setdefault(name, position) != position:
            hint = f"it is protocols[{first[name]}] too; rename one of the two"
            faults.append(Fault(f"{where}.name", f"protocol '{name}' is listed twice", hint))
        if not isinstance(kind, str) or kind not in _REQUIRED:
            continue
        faults += [
            Fault(f"{where}.{key}", f"is missing; kind {kind} needs it")
            for key in _REQUIRED[kind]
            if entry.get(key) is None
        ]
        of_kind = (*_REQUIRED[kind], *_OPTIONAL[kind])
        if kind != "queries" and all(entry.get(key) is None for key in _BATCHES):
            faults.append(Fault(where, f"kind {kind} needs {' or '.join(_BATCHES)}"))
        of_others = {key for keys in (*_REQUIRED.values(), *_OPTIONAL.values()) for key in keys}
        faults += [
            Fault(
                f"{where}.{key}", f"is no setting of kind {kind}", f"it has: {', '.join(of_kind)}"
            )
            for key in entry
            if key in of_others and key not in of_kind
        ]
    return faults
