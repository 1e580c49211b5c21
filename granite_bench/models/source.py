"""A model that was found, in one variant, how it is loaded, and what it reranks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from mteb.models import ModelMeta

from granite_bench.errors import BadInput, Fault, first_line
from granite_bench.exported import ExportedFile, exports_folder, find_exported, run_exported
from granite_bench.models.loading import AS_PUBLISHED, Loading
from granite_bench.models.remote_code import asks_for_code, code_arguments, is_trusted, needs_code
from granite_bench.models.run_file import RunFile
from granite_bench.offline.mirror import model_hash
from granite_bench.results.tree import settings_text


@dataclass(frozen=True)
class ModelSource:
    """
    A model that was found, not loaded yet.

    Attributes:
        meta: mteb's metadata; name, revision and experiment_kwargs are where results go.
        folder: where its files lie; None when the hub or its cache has them.
        loading: how it is loaded and asked.
        max_length: tokens per text; None is the model's own maximum.
        dim: dimensions that searches see; None is all of the model's.
        precision: of the vectors that searches see (see engine.variants).
        reranking: what it reorders; None where it searches itself.
    """

    meta: ModelMeta
    folder: Path | None
    loading: Loading = AS_PUBLISHED
    max_length: int | None = None
    dim: int | None = None
    precision: str = "float32"
    reranking: Reranking | None = None

    @property
    def name(self) -> str:
        """The model's name with what makes this variant differ from the published model."""
        name = self.meta.name or ""
        return f"{name} ({settings_text(self.settings)})" if self.settings else name

    @property
    def settings(self) -> Mapping[str, Any]:
        """What makes this variant differ from the published model; empty for that itself."""
        return self.meta.experiment_kwargs or {}

    @property
    def revision(self) -> str | None:
        """The model's, or that of its folder's content."""
        return self.meta.revision

    @property
    def argument(self) -> str:
        """What names the model on the command line: its id, or the folder of a local one."""
        name = self.meta.name or ""
        return str(self.folder) if self.folder and name.startswith("local/") else name

    @property
    def runs_own_code(self) -> bool:
        """Whether code that comes with the model may run."""
        return is_trusted(self.meta, self.loading.trusted)

    @property
    def served_name(self) -> str:
        """What a server calls the model."""
        return (self.meta.name or "").removeprefix("endpoint/")

    @property
    def loaded_as(self) -> tuple[Any, ...]:
        """What two variants share when one loaded model serves both."""
        return self.meta.name, self.meta.revision, self.folder, self.max_length, self.loading

    @property
    def changes_vectors(self) -> bool:
        """Whether searches see other vectors than the model returns."""
        return self.dim is not None or self.precision != "float32"

    @cached_property
    def files(self) -> Path | None:
        """The folder of the model's files on this machine: its own, or the hub cache's."""
        if self.folder is not None or self.loading.endpoint is not None:
            return self.folder
        found = try_to_load_from_cache(
            self.meta.name or "", "config.json", revision=self.meta.revision
        )
        return Path(found).parent if isinstance(found, str) else None

    @property
    def export_folders(self) -> list[Path]:
        """Where exported files of the model may lie: with its other files, and in our cache."""
        own = [self.files] if self.files is not None else []
        return [*own, exports_folder(self.meta.name or "", self.meta.revision)]

    @cached_property
    def exported(self) -> ExportedFile | None:
        """
        The exported file that computes; None where torch does.

        Raises:
            BadInput: there is none such, with those that there are.
        """
        backend, file = self.loading.backend, self.loading.backend_file
        if backend == "torch":
            return None
        return find_exported(self.argument, self.export_folders, backend, file)

    @property
    def on_disk(self) -> bool:
        """Whether loading needs no download; models without weights (BM25, APIs) need none."""
        served = self.loading.endpoint is not None
        return served or self.files is not None or not self.meta.n_parameters

    @cached_property
    def content_sha256(self) -> str | None:
        """The identity of the model's files (see mirror.model_hash); None without files."""
        return model_hash(self.files) if self.files is not None else None

    def load(self, device: str | None = None) -> Any:
        """
        The model as mteb loads it, on *device* (None lets sentence-transformers choose).

        Raises:
            BadInput: this kind of model has nothing that an option sets, a package that it needs
                is not installed, or it needs code of its own that is not allowed.
        """
        exported = self.exported
        if exported is not None and device is None:
            device = "cpu"  # where exported files run
        meta = self.meta.model_copy(update={"experiment_kwargs": None})
        arguments: dict[str, Any] = code_arguments(self.meta, self.loading.trusted)
        if self.folder is not None:
            # The folder has one revision, so none is asked for.
            meta = meta.model_copy(update={"name": str(self.folder), "revision": None})
        if self.loading.dtype is not None:
            own = {**meta.loader_kwargs, **arguments}.get("model_kwargs", {})
            arguments["model_kwargs"] = {**own, "dtype": self.loading.dtype}
        try:
            model: Any = meta.load_model(device=device, **arguments)
        except ImportError as error:
            raise BadInput(Fault(f"model {self.meta.name}", first_line(error))) from error
        except (ValueError, OSError) as error:
            if asks_for_code(error):
                raise needs_code(self.meta) from error
            raise
        self._refuse_settings_without_effect(model)
        if self.max_length is not None:
            own = model.model.max_seq_length
            if self.max_length > own:
                problem = f"reads {own:,} tokens at most, fewer than --max-length"
                raise BadInput(Fault(f"model {self.meta.name}", problem, "leave it out for it"))
            model.model.max_seq_length = self.max_length
        model.mteb_model_meta = self.described(model)
        if exported is not None:
            run_exported(model.model, exported)
        return model

    def _refuse_settings_without_effect(self, model: Any) -> None:
        options = {
            "--dtype": self.loading.dtype,
            "--max-length": self.max_length,
            "--backend": None if self.loading.backend == "torch" else self.loading.backend,
        }
        set_in_vain = [option for option, value in options.items() if value is not None]
        if set_in_vain and not _is_transformer(model):
            named = " or ".join(set_in_vain)
            problem = f"has nothing that {named} could set"
            raise BadInput(Fault(f"model {self.meta.name}", problem, f"leave {named} out for it"))

    def described(self, model: Any) -> ModelMeta:
        """The metadata, with what that of a folder cannot know before its model is loaded."""
        if self.meta.n_parameters is not None or not _is_transformer(model):
            return self.meta
        if self.meta.is_cross_encoder:
            read_off = ModelMeta.from_cross_encoder(model.model)
        elif "sparse" in self.meta.model_type:
            read_off = ModelMeta.from_sparse_encoder_model(model.model)
        else:
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


@dataclass(frozen=True)
class Reranking:
    """
    Attributes:
        first_stage: a model, whose own ranking is made where it is missing; or a run's file.
        top_k: documents per query that are scored.
        query_tokens: queries are cut to so many of the reranker's tokens; None leaves them.
    """

    first_stage: ModelSource | RunFile
    top_k: int
    query_tokens: int | None = None

    @property
    def settings(self) -> dict[str, str | int]:
        """What makes results differ from those behind another first stage."""
        settings: dict[str, str | int] = {
            "first_stage": self.first_stage.name,
            "top_k": self.top_k,
        }
        if self.query_tokens is not None:
            settings["query_tokens"] = self.query_tokens
        return settings
