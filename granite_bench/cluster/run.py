"""A run on workers: Ray as long as it takes, models loaded there, texts encoded ahead."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from granite_bench.cluster.forms import form_of_workers
from granite_bench.cluster.options import ClusterOptions
from granite_bench.cluster.pool import Pool
from granite_bench.cluster.session import Seat, connected
from granite_bench.engine.encoding.encoder import Request
from granite_bench.engine.form_loading import EngineOptions, load_form
from granite_bench.engine.forms import Form
from granite_bench.errors import StorageError
from granite_bench.files.local import Place
from granite_bench.files.locations import remove, write
from granite_bench.models import ModelSource

Say = Callable[[str], None]


class Cluster:
    """
    The workers of a run, as the runner uses them.

    Args:
        pool: they.
        seats: where they are.
        say: told one line per event.
    """

    def __init__(self, pool: Pool, seats: Sequence[Seat], say: Say) -> None:
        self.pool = pool
        self.seats = seats
        self._say = say
        self._marker = contextlib.ExitStack()

    def load_form(self, source: ModelSource, options: EngineOptions) -> Form:
        """
        As form_loading.load_form, with the model on the workers.

        A model that searches by itself cannot be shared out; the driver loads and runs it.
        """
        # It stays while the model does: workers that come later look for it as well.
        self._marker.close()
        marker = self._marker.enter_context(_marked(options.vectors))
        facts = self.pool.load(_Loading(source, options), options.vectors, marker)
        if facts.kind == "whole":
            self._say(f"{source.name} searches by itself; this process runs it, not the workers")
            return load_form(source, options)
        return form_of_workers(self.pool, facts, source, options)

    def encode_ahead(self, form: Form, requests: Iterable[Request]) -> None:
        """
        Fill the store with what evaluations will ask for, so that no worker waits for the next.

        Where workers keep their own vectors, only the call that asked for them knows which has
        what, so for these nothing is encoded ahead.
        """
        encoder = getattr(form, "encoder", None)
        if self.pool.store is not None and encoder is not None:
            encoder.encode_ahead(requests)

    def close(self) -> None:
        """End the workers, and leave nothing of them in the store."""
        self.pool.close()
        self._marker.close()


@contextlib.contextmanager
def cluster(options: ClusterOptions, say: Say) -> Iterator[Cluster]:
    """
    Workers for a run; none of them outlives the block.

    Raises:
        BadInput: Ray does not answer, or has no room for a worker.
    """
    with connected(options) as seats:
        say("to encode and search: " + ", ".join(seat.name for seat in seats))
        workers = Cluster(Pool(seats, say), seats, say)
        try:
            yield workers
        finally:
            workers.close()


@dataclass(frozen=True)
class _Loading:
    """Loads a model on a worker, with its own place for vectors."""

    source: ModelSource
    options: EngineOptions

    def __call__(self, vectors: Place | None, device: str | None) -> Form:
        return load_form(self.source, replace(self.options, vectors=vectors, device=device))


@contextlib.contextmanager
def _marked(store: Place | None) -> Iterator[str | None]:
    """A file in the store, by which a worker knows that it sees the same one."""
    if store is None:
        yield None
        return
    name = f".driver-{uuid.uuid4().hex}"
    try:
        write(store / name, b"")
    except StorageError:  # a store that may only be read; whoever writes to it says so
        yield None
        return
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            remove(store / name)
