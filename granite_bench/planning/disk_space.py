"""Whether the vectors of a run fit the disk: said before it starts, not after hours."""

from __future__ import annotations

import contextlib
from pathlib import Path

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import Place, free_bytes, size_text
from granite_bench.files.locations import remove, write
from granite_bench.models import listed_dims
from granite_bench.planning.plan import Plan

PROBE = ".granite-bench"


def stored_bytes(n_texts: int, n_dims: int) -> int:
    """
    What texts take in the store: vectors of float32, and for each 24 bytes for its address, its
    token count and its part of a header.
    """
    return n_texts * (4 * n_dims + 24)


def most_vector_bytes(plan: Plan) -> int:
    """
    Bytes of the vectors that the jobs of *plan* may add to the store, at most.

    Texts that are stored already, and copies of a text, are counted too; jobs whose number of
    documents or dimension is not known before a download are not. Variants of a model share
    their vectors.
    """
    by_vectors: dict[tuple[object, ...], int] = {}
    for job in plan.to_run:
        dims = listed_dims(job.source.meta)
        if job.n_docs is None or job.n_queries is None or not dims:
            continue
        n_bytes = stored_bytes(job.n_docs + job.n_queries, max(dims))
        key = (job.source.loaded_as, job.task_name)
        by_vectors[key] = max(n_bytes, by_vectors.get(key, 0))
    return sum(by_vectors.values())


def require_room_for_vectors(plan: Plan, folder: Place) -> None:
    """
    Raises BadInput when the vectors of *plan* do not fit the disk of *folder*.

    What the store holds is counted as room: in the worst case it holds other texts, and then the
    run ends with an error that keeps what was done. A URL does not tell its room; it is written
    to, once, and StorageError says what is wrong with its address or the rights there.
    """
    if not isinstance(folder, Path):
        probe = folder / PROBE
        write(probe, b"granite-bench may write here\n")
        with contextlib.suppress(OSError):  # who may write need not be one who may remove
            remove(probe)
        return
    stored = sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))
    needed, free = most_vector_bytes(plan), free_bytes(folder)
    if needed > free + stored:
        problem = (
            f"has {size_text(free)} free, and the vectors of this run take up to "
            f"{size_text(needed)}"
        )
        hint = (
            "choose another disk with --vectors, make room with granite-bench cache prune, or "
            "keep none with --no-vectors; nothing was run"
        )
        raise BadInput(Fault(str(folder), problem, hint))
