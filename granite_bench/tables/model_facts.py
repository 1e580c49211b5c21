"""
What mteb knows of models: parameters, dimension, maximum length, what they were trained on.

A model that mteb does not know has what its model_meta.json says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from granite_bench.mteb_registry import kept_registry
from granite_bench.tables.variant_settings import whole_number

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
        meta: its model_meta.json, for models that mteb's registry does not have. What is no
            number there is not known.
    """
    known = _registry().get(model)
    if known is not None:
        trained_on = known["trained_on"]
        return ModelFacts(
            **{**known, "trained_on": None if trained_on is None else frozenset(trained_on)}
        )
    n_parameters = whole_number(meta.get("n_parameters"))
    n_embedding = whole_number(meta.get("n_embedding_parameters"), least=0)
    n_active = whole_number(meta.get("n_active_parameters_override"), least=0)
    if n_active is None and n_parameters is not None and n_embedding is not None:
        n_active = n_parameters - n_embedding
    return ModelFacts(
        n_parameters=n_parameters,
        n_active_parameters=n_active,
        dimension=whole_number(meta.get("embed_dim")),
        max_length=whole_number(meta.get("max_tokens")),
    )


@cache
def _registry() -> dict[str, dict[str, Any]]:
    return kept_registry("models", FORMAT_VERSION, _read_registry)


def _read_registry() -> dict[str, dict[str, Any]]:
    from mteb.models.model_implementations import MODEL_REGISTRY

    registry = {}
    for name, meta in MODEL_REGISTRY.items():
        trained_on = meta.get_training_datasets()
        registry[name] = {
            "n_parameters": meta.n_parameters,
            "n_active_parameters": meta.n_active_parameters,
            "dimension": whole_number(meta.embed_dim),
            "max_length": whole_number(meta.max_tokens),
            "trained_on": None if trained_on is None else sorted(trained_on),
        }
    return registry
