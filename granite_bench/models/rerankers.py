"""Rerankers by id or folder: what scores pairs of a query and a document."""

from __future__ import annotations

from pathlib import Path

from granite_bench.errors import BadInput, Fault
from granite_bench.models.loading import AS_PUBLISHED, Loading
from granite_bench.models.lookup import look_up
from granite_bench.models.source import ModelSource, Reranking


def find_reranker(
    name: str,
    reranking: Reranking | None,
    *,
    mirror: Path | None = None,
    loading: Loading = AS_PUBLISHED,
) -> ModelSource:
    """
    Find a cross-encoder by id or folder, without loading it.

    Args:
        name: an id or a path, as in the docstring of this package.
        reranking: what it reorders; None is the candidates that a reranking task of mteb brings.
        mirror: where `org/name` models lie on disk.
        loading: how it is loaded.

    Raises:
        BadInput: no such model, with the nearest names; or it is no cross-encoder.
    """
    served = loading.endpoint is not None
    meta, folder = look_up(name, mirror, served=served, cross_encoder=True)
    if not meta.is_cross_encoder:
        problem = "is no cross-encoder: it makes embeddings, and scores no pairs"
        raise BadInput(Fault(f"model {name}", problem, f"give it as --model {name}"))
    settings = {**loading.settings, **(reranking.settings if reranking is not None else {})}
    if settings:
        meta = meta.model_copy(update={"experiment_kwargs": settings})
    return ModelSource(meta, folder, loading, reranking=reranking)
