"""Gigabytes of a run: vectors, weights to download, memory of the driver and of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from granite_bench.engine.encoding.batch_encoder import RESIDENT_BYTES
from granite_bench.forecast.reader import Reader
from granite_bench.forecast.work import ModelLoad, n_found
from granite_bench.planning.disk_space import stored_bytes

BYTES_PER_DOCUMENT = 60
"""Of the driver, for addresses and places (see engine.encoder)."""

BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Sizes:
    """
    Bytes.

    Attributes:
        vectors: of all models, on the disk.
        weights: of models that are not on this machine; None where of one nobody knows.
        data: characters of the tasks that are not on this machine; their files have other sizes.
        driver: memory for the largest task, beside the program itself.
        worker: memory on the device for the largest model: weights, and the activations of one
            layer for a batch where its shape is known; None where nobody knows its weights.
    """

    vectors: int
    weights: float | None
    data: float
    driver: float
    worker: float | None


def sizes_of(loads: Sequence[ModelLoad], readers: Sequence[Reader], *, token_budget: int) -> Sizes:
    """
    The gigabytes of a run.

    Args:
        readers: one for each of *loads*.
        token_budget: tokens of a batch.
    """
    pairs = list(zip(loads, readers, strict=True))
    missing = [(load, reader) for load, reader in pairs if not load.jobs[0].source.on_disk]
    weights = [_weights(reader) for _, reader in missing]
    of_workers = [each for _, reader in pairs if (each := _on_device(reader, token_budget))]
    return Sizes(
        vectors=sum(vector_bytes(load) for load in loads),
        weights=None if None in weights else sum(each or 0 for each in weights),
        data=_characters_to_come(loads),
        driver=max(map(_of_driver, loads), default=0.0),
        worker=max(of_workers, default=None),
    )


def vector_bytes(load: ModelLoad) -> int:
    """Of one model's vectors, all variants together; 0 where their dimension is not known."""
    if load.n_dims is None or load.is_reranker:
        return 0
    n_texts = sum(
        part.docs.n_different + part.queries.n_different
        for reading in load.readings.values()
        for part in reading.parts.values()
    )
    return stored_bytes(n_texts, load.n_dims)


def _weights(reader: Reader) -> float | None:
    """In the type that they are loaded as; files may have another."""
    n_parameters = reader.source.meta.n_parameters
    return None if n_parameters is None else float(n_parameters) * BYTES_OF[reader.dtype[0]]


def _on_device(reader: Reader, token_budget: int) -> float | None:
    weights, geometry = _weights(reader), reader.geometry
    if weights is None or geometry is None:
        return weights
    width = 6 * geometry.hidden_size + (2 if geometry.is_gated else 1) * geometry.intermediate_size
    return weights + float(token_budget) * width * BYTES_OF[reader.dtype[0]]


def _of_driver(load: ModelLoad) -> float:
    """The task that takes the most: queries, what is found for them, and every document's place."""
    needed = [0.0]
    for reading in load.readings.values():
        for part in reading.parts.values():
            n_queries, n_docs = part.queries.n_texts, part.docs.n_texts
            n_bytes = 4.0 * n_queries * (load.n_dims or 0)
            n_bytes += 8.0 * n_found(part) + float(BYTES_PER_DOCUMENT) * n_docs
            kept = 4.0 * n_docs * (load.n_dims or 0)
            needed.append(n_bytes + (kept if kept <= RESIDENT_BYTES else 0.0))
    return max(needed)


def _characters_to_come(loads: Sequence[ModelLoad]) -> float:
    by_task = {}
    for load in loads:
        for job in load.jobs:
            if any(each.endswith("(data)") for each in job.downloads):
                by_task[job.task_name] = sum(
                    part.docs.n_characters + part.queries.n_characters
                    for part in load.readings[job.task_name].parts.values()
                )
    return float(sum(by_task.values()))
