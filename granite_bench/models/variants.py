"""A model in the variants that a run asks for: lengths, dimensions, precisions, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mteb.models import ModelMeta
from mteb.types import OutputDType

from granite_bench.errors import BadInput, Fault
from granite_bench.exported import find_all
from granite_bench.exported.files import default_file
from granite_bench.models.folder import own_dims, own_max_length
from granite_bench.models.loading import AS_PUBLISHED, Loading
from granite_bench.models.lookup import look_up
from granite_bench.models.source import ModelSource

UNTRAINED = "untrained:"
"""Before the name of a geometry (see speed.geometry_table), which no evaluation takes."""


def find_model(
    name: str,
    *,
    mirror: Path | None = None,
    max_length: int | None = None,
    loading: Loading = AS_PUBLISHED,
) -> ModelSource:
    """
    Find an embedding model by id or folder, with all of its dimensions, without loading it.

    Args:
        name: an id or a path, as in the docstring of this package.
        mirror: where `org/name` models lie on disk.
        max_length: cut texts to this many tokens; nothing changes where the model's own
            maximum is as short.
        loading: how it is loaded and asked.

    Raises:
        BadInput: no such model, with the nearest names.
    """
    meta, folder = _find_embedding_model(name, mirror, loading)
    return _variant(meta, folder, loading, max_length, None, "float32")


def _find_embedding_model(
    name: str, mirror: Path | None, loading: Loading
) -> tuple[ModelMeta, Path | None]:
    if name.startswith(UNTRAINED):
        problem = f"'{name}' has random weights: a speed, and no quality"
        raise BadInput(Fault("--model", problem, f"granite-bench speed --model {name}"))
    meta, folder = look_up(name, mirror, served=loading.endpoint is not None)
    if meta.is_cross_encoder:
        problem = "is a cross-encoder: it scores pairs and cannot search a corpus by itself"
        hint = f"give it as --reranker {name}, behind a --first-stage"
        raise BadInput(Fault(f"model {name}", problem, hint))
    return meta, folder


def _variant(
    meta: ModelMeta,
    folder: Path | None,
    loading: Loading,
    max_length: int | None,
    dim: int | None,
    precision: str,
) -> ModelSource:
    """A model that was found, with settings that change nothing left out."""
    loading = _without_default_file(meta, folder, loading)
    own = own_max_length(folder) or meta.max_tokens
    if max_length is not None and own is not None and max_length >= own:
        max_length = None
    dims = listed_dims(meta) or own_dims(folder)
    if dims and dim == max(dims):
        dim = None
    # The names under which mteb keeps such variants: embed_dim is what its load_model takes,
    # output_dtypes what its CompressionWrapper writes.
    settings = {
        **loading.settings,
        "max_length": max_length,
        "embed_dim": dim,
        "output_dtypes": None if precision == "float32" else precision,
    }
    changed = {key: value for key, value in settings.items() if value is not None}
    # mteb's own way to keep variants of a model apart: results/<model>/<revision>/experiments.
    if changed:
        meta = meta.model_copy(update={"experiment_kwargs": changed, **_vector_facts(settings)})
    source = ModelSource(meta, folder, loading, max_length, dim, precision)
    _ = source.exported  # a file that is missing is found out before anything is loaded
    return source


def _without_default_file(meta: ModelMeta, folder: Path | None, loading: Loading) -> Loading:
    """A file that is taken where none is named is not named: its results have one place."""
    if loading.backend_file is None:
        return loading
    folders = ModelSource(meta, folder, loading).export_folders
    default = default_file(find_all(folders, loading.backend))
    if default is None or default.name != loading.backend_file:
        return loading
    return replace(loading, backend_file=None)


def find_variants(
    name: str,
    *,
    mirror: Path | None = None,
    loading: Loading = AS_PUBLISHED,
    max_lengths: Sequence[int] = (),
    dims: Sequence[int] | Literal["listed"] = (),
    precisions: Sequence[str] = (),
) -> list[ModelSource]:
    """
    A model in all variants of a sweep, each once.

    Args:
        name, mirror, loading: as for find_model.
        max_lengths: tokens per text; none is the model's own maximum alone.
        dims: dimensions to search with besides the model's own; larger ones than it has are left
            out. "listed": those that mteb's metadata lists.
        precisions: of the vectors that searches see, besides float32.

    Returns:
        For each length, every precision with every dimension. The model as it is comes first: it
        is what the others are compared with, and one encoding serves them all.

    Raises:
        BadInput: no such model, or nothing of *dims* applies to it.
    """
    # Once for all variants: every byte of a folder is read, or the hub is asked.
    meta, folder = _find_embedding_model(name, mirror, loading)
    listed = listed_dims(meta)
    own = listed or own_dims(folder)
    if dims == "listed":
        if len(listed) < 2:
            problem = "mteb's metadata lists no smaller dimensions of it"
            raise BadInput(Fault(f"model {name}", problem, "name them, such as --dims 256,128"))
        dims = listed
    wanted = [dim for dim in dims if not own or dim <= max(own)]
    if dims and not wanted:
        problem = f"has {max(own)} dimensions, fewer than any of --dims"
        raise BadInput(Fault(f"model {name}", problem, "name smaller ones"))
    sources = [
        _variant(meta, folder, loading, length, dim, precision)
        for length in list[int | None](max_lengths) or [None]
        for precision in ["float32", *precisions]
        for dim in [None, *wanted]
    ]
    return list({source.name: source for source in sources}.values())


def listed_dims(meta: ModelMeta) -> list[int]:
    """The dimensions that mteb's metadata lists for a model, largest first; empty if none."""
    if meta.embed_dim is None:
        return []
    listed = [meta.embed_dim] if isinstance(meta.embed_dim, int) else meta.embed_dim
    return sorted(listed, reverse=True)


def _vector_facts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What settings change of a model's metadata, as mteb changes it."""
    facts: dict[str, Any] = {}
    if settings["embed_dim"] is not None:
        facts["embed_dim"] = settings["embed_dim"]
    if settings["output_dtypes"] is not None:
        facts["output_dtypes"] = [OutputDType.from_str(settings["output_dtypes"])]
    return facts
