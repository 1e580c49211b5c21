"""
What mteb knows of models: parameters, dimension, maximum length, what they were trained on.

Importing mteb takes seconds, so its registry is read once per version of mteb and kept in the
cache; tables then need no mteb. A model that mteb does not know has what its model_meta.json says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from granite_bench.errors import StorageError
from granite_bench.files import cache_folder, write_atomically

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelFacts:
    """
    One model; None where nobody says.

    Attributes:
        n_parameters, n_active_parameters: all, and without the embedding table.
        dimension: of the embeddings; the largest where there are several.
        max_length: tokens.
        trained_on: names of mteb's tasks among the training data, similar ones included.
    """

    n_parameters: int | None = None
    n_active_parameters: int | None = None
    dimension: int | None = None
    max_length: int | None = None
    trained_on: frozenset[str] | None = None

    def zero_shot_share(self, tasks: Collection[str]) -> float | None:
        """The share of *tasks* (a fraction) that the model was not trained on; None if unknown."""
        if self.trained_on is None or not tasks:
            return None
        return 1 - len(self.trained_on & set(tasks)) / len(set(tasks))


def facts_of(model: str, meta: Mapping[str, Any]) -> ModelFacts:
    """
    What is known of a model.

    Args:
        model: its name, without a variant's settings.
        meta: its model_meta.json, for models that mteb's registry does not have.
    """
    known = _registry().get(model)
    if known is not None:
        trained_on = known["trained_on"]
        return ModelFacts(
            **{**known, "trained_on": None if trained_on is None else frozenset(trained_on)}
        )
    n_parameters, n_embedding = meta.get("n_parameters"), meta.get("n_embedding_parameters")
    n_active = meta.get("n_active_parameters_override")
    if n_active is None and n_parameters is not None and n_embedding is not None:
        n_active = n_parameters - n_embedding
    return ModelFacts(
        n_parameters=n_parameters,
        n_active_parameters=n_active,
        dimension=_largest(meta.get("embed_dim")),
        max_length=_whole(meta.get("max_tokens")),
    )


@cache
def _registry() -> dict[str, dict[str, Any]]:
    path = cache_folder() / f"models-{FORMAT_VERSION}-mteb-{version('mteb')}.json"
    try:
        kept: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = _read_registry()
        try:
            write_atomically(path, json.dumps(kept).encode())
        except StorageError as error:
            logger.warning("%s", error)
    return kept


def _read_registry() -> dict[str, dict[str, Any]]:
    from mteb.models.model_implementations import MODEL_REGISTRY

    registry = {}
    for name, meta in MODEL_REGISTRY.items():
        trained_on = meta.get_training_datasets()
        registry[name] = {
            "n_parameters": meta.n_parameters,
            "n_active_parameters": meta.n_active_parameters,
            "dimension": _largest(meta.embed_dim),
            "max_length": _whole(meta.max_tokens),
            "trained_on": None if trained_on is None else sorted(trained_on),
        }
    return registry


def _largest(dimension: Any) -> int | None:
    largest: int | None = max(dimension) if isinstance(dimension, list | tuple) else dimension
    return largest


def _whole(number: float | None) -> int | None:
    return None if number is None or number == float("inf") else int(number)
