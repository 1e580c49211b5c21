"""
One process with a model: shards of texts to vectors in the store, and work where vectors are.

A Worker is the class of a Ray actor that serves several calls at a time: while the model has one
shard, the next is tokenised. Nothing of Ray is in it. An error that any worker would meet is an
answer (Failed); what a call raises is this worker's own trouble.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.encoding.batch_encoder import BatchEncoder, Shard
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.form_loading import free_memory
from granite_bench.engine.forms import Form
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import Reranker, RerankerOfMteb
from granite_bench.engine.search.similarity import NotANumber
from granite_bench.engine.sparse_retriever import SparseRetriever
from granite_bench.engine.vectors.vector_store import text_keys
from granite_bench.engine.vectors.vectors import OfPart, Vectors
from granite_bench.errors import GraniteBenchError, StorageError, TaskError
from granite_bench.files.local import Place
from granite_bench.files.locations import WHAT_TO_CHECK, reason, stamp_of
from granite_bench.provenance import hardware, package_versions

KEPT_PARTS = 2
"""Parts of corpora whose vectors are kept for the next variant: queries and documents."""

Kind = Literal["dense", "sparse", "reranker", "whole"]

LoadForm = Callable[["Place | None", "str | None"], Form]
"""Loads a model that keeps its vectors at a place, on a device; sent to the workers."""


@dataclass(frozen=True)
class Facts:
    """
    What the driver must know of a loaded model, whose weights it does not have.

    Attributes:
        kind: how it is evaluated; "whole" where a search of its own cannot be shared out.
        backend: name, dtype, max_length and the other attributes of its backend.
        identity, sparse, longest_first, token_budget: as for Encoder.
        prefixes: put before queries and documents by a reranker.
        tokenizer: of a reranker, to cut queries by.
        hardware: of the worker, as provenance.hardware.
        packages: versions, as provenance.package_versions.
        load_seconds: what loading took.
    """

    kind: Kind
    backend: Mapping[str, Any]
    identity: Mapping[str, Any]
    sparse: bool
    longest_first: bool
    token_budget: int
    prefixes: tuple[str, str]
    tokenizer: Any
    hardware: Mapping[str, Any]
    packages: Mapping[str, str]
    load_seconds: float


@dataclass(frozen=True)
class ShardDone:
    """
    A shard that was encoded.

    Attributes:
        token_counts: int32 (n_texts,), before truncation; 0 where not stored.
        stored: bool (n_texts,).
        bad: rows whose vectors are not finite.
        dim: of the vectors.
        cost: what it took.
        token_budget, budget_cuts: as for BatchEncoder; those that came with this shard.
    """

    token_counts: npt.NDArray[np.int32]
    stored: npt.NDArray[np.bool_]
    bad: npt.NDArray[np.intp]
    dim: int
    cost: EncodingCost
    token_budget: int
    budget_cuts: Sequence[int]


@dataclass(frozen=True)
class Computed:
    """What a function gave."""

    value: Any


@dataclass(frozen=True)
class Lost:
    """
    Nothing was computed: vectors are not where they should be.

    Attributes:
        rows: intp, of which texts.
        broken: names of shards that were found broken.
    """

    rows: npt.NDArray[np.intp]
    broken: Sequence[str]


@dataclass(frozen=True)
class Failed:
    """An error that every worker would meet, or one of loading, which is not tried again."""

    error: Exception


class Worker:
    """
    A model and its vectors in one process.

    Args:
        device: torch's name; None is the best there is.
        threads: of torch, on a processor; None leaves torch's choice.
    """

    def __init__(self, device: str | None = None, threads: int | None = None) -> None:
        self.device = device
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._computing = threading.Lock()
        self._form: Any = None
        self._free_since = 0.0
        self._parts: dict[tuple[Instruction, str], Vectors[Any]] = {}
        self._own_folder: Path | None = None

    def load(self, load: LoadForm, store: Place | None, marker: str | None) -> Facts | Failed:
        """
        Load a model instead of the one before.

        Args:
            load: called with the place of its vectors and the device.
            store: where all workers keep them; None: this one keeps its own, as long as it lives.
            marker: the name of a file that the driver wrote into *store*.
        """
        with self._computing:
            if self._form is not None:
                self._form = None
                self._parts.clear()
                free_memory()
            self.close()  # vectors of the last model
            if store is None:
                self._own_folder = _folder_of_this_process()
            elif marker is not None:
                try:
                    stamp_of(store / marker)
                except OSError as error:
                    return Failed(_another_store(store, error))
            started = time.perf_counter()
            try:
                form = load(store or self._own_folder, self.device)
            except Exception as error:  # noqa: BLE001 (the driver says of it what it says of its own)
                return Failed(_portable(error))
            facts = _facts(form, time.perf_counter() - started)
            if facts.kind != "whole":
                self._form = form
            return facts

    def encode(self, texts: list[str], instruction: Instruction) -> ShardDone | Failed:
        """Make the vectors of a shard and store them."""
        began = time.perf_counter()
        encoder = self._form.encoder
        batches: BatchEncoder[Any] = encoder.shard_encoder
        tokens = encoder.backend.tokenize(texts, instruction)
        with self._computing:
            places = encoder.places(instruction, text_keys(texts), look=False)
            cost, n_cuts = EncodingCost(), len(batches.budget_cuts)
            shard = Shard(np.arange(len(texts)), texts, instruction, places, cost)
            # Since then the model had nothing to do but wait for these tokens.
            started = max(began, self._free_since)
            try:
                bad = batches.encode_tokens(shard, tokens, _Unseen(), started)
            except TaskError as error:
                return Failed(_portable(error))
            finally:
                self._free_since = time.perf_counter()
            dims = [store.dim for store in places.stores if store.dim is not None]
            return ShardDone(
                places.counts, places.store_of >= 0, bad, dims[0] if dims else 0, cost,
                batches.token_budget, batches.budget_cuts[n_cuts:],
            )  # fmt: skip

    def compute(
        self,
        function: OfPart[Any],
        instruction: Instruction,
        keys: npt.NDArray[np.uint64],
        per_vector: npt.NDArray[Any] | None,
        keep: bool,
    ) -> Computed | Lost | Failed:
        """
        Call a function with the vectors of some texts.

        Args:
            function, per_vector: as for Vectors.map_parts.
            keys: text_keys of the texts.
            keep: whether the next call is likely to be for the same texts.
        """
        with self._computing:
            name = instruction, hashlib.sha256(keys.tobytes()).hexdigest()
            vectors = self._parts.pop(name, None)
            if vectors is None:
                encoder = self._form.encoder
                places = encoder.places(instruction, keys)
                lost = np.flatnonzero(places.store_of < 0)
                if len(lost):
                    broken = list(encoder.repaired_shards)
                    encoder.repaired_shards.clear()
                    return Lost(lost, broken)
                vectors = encoder.shard_encoder.vectors(places, instruction, None)
            if keep:
                while len(self._parts) >= KEPT_PARTS:
                    del self._parts[next(iter(self._parts))]
                self._parts[name] = vectors
            try:
                return Computed(function(vectors, per_vector, self._form.encoder.backend.device))
            except (NotANumber, ValueError, TaskError) as error:
                return Failed(_portable(error))
            except StorageError:  # the next call looks where the vectors are now
                self._parts.pop(name, None)
                raise

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the model's backend that needs no device; Failed where it says why."""
        try:
            return getattr(self._form.encoder.backend, method)(*arguments)
        except GraniteBenchError as error:
            return Failed(_portable(error))

    def ping(self) -> None:
        """Nothing; that it answers says that there is room for this process."""

    def close(self) -> None:
        """Remove what this process kept on its own disk."""
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
            self._own_folder = None


class _Unseen:
    """A progress bar that nobody sees: the driver has the one for all workers."""

    def update(self, n: int) -> None:
        """Ignored."""


def _another_store(store: Place, error: OSError) -> StorageError:
    """Why this machine cannot keep vectors where the driver looks for them."""
    here = f"{store} on {socket.gethostname()}"
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return StorageError(f"{here} cannot be read: {reason(error)}\n  {WHAT_TO_CHECK}")
    return StorageError(
        f"{here} is not what the driver sees there\n"
        "  name a folder that all nodes share with --vectors, or a URL such as "
        "s3://bucket/vectors; with --no-vectors each worker keeps its own"
    )


def _facts(form: Form, load_seconds: float) -> Facts:
    if isinstance(form, ObservedSearch | RerankerOfMteb):
        return Facts(
            "whole", {}, {}, False, True, 0, ("", ""), None, {}, package_versions(), load_seconds
        )
    encoder, prefixes, tokenizer = form.encoder, ("", ""), None
    kind: Kind = "dense"
    if isinstance(form, Reranker):
        kind, prefixes, tokenizer = "reranker", form.prefixes, form.tokenizer
    elif isinstance(form, SparseRetriever):
        kind = "sparse"
    backend = encoder.backend
    described = {
        "name": backend.name,
        "max_length": backend.max_length,
        "dtype": backend.dtype,
        "device": backend.device,
        "attention": backend.attention,
        "similarity_name": backend.similarity_name,
        "pads": backend.pads,
        "compiled": getattr(backend, "compiled", False),
    }
    return Facts(
        kind, described, encoder.identity, encoder.sparse, encoder.longest_first,
        encoder.token_budget, prefixes, tokenizer, hardware(backend.device), package_versions(),
        load_seconds,
    )  # fmt: skip


def _portable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 (libraries' errors fail in ways of their own)
        return TaskError(f"{type(error).__name__}: {error}")
    return error


_FOLDER = "granite-bench-worker-"


def _folder_of_this_process() -> Path:
    """A new folder; those of processes of this machine that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = left.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
