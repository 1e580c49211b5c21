"""What is measured: a model that is loaded, with the settings it runs under."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backend import Backend, SentenceTransformersBackend, has_backend
from granite_bench.errors import BadInput, Fault
from granite_bench.models import UNTRAINED, find_model
from granite_bench.speed.geometry import Geometry, flops, geometry_of
from granite_bench.speed.geometry_table import find_untrained, is_untrained
from granite_bench.speed.untrained import UntrainedBackend


@dataclass(frozen=True)
class Settings:
    """
    How a model runs; None leaves a choice to the model, for batches to the protocol.

    Attributes:
        device: torch's name.
        dtype: of the weights, torch's name.
        max_length: tokens per text.
        batch_size: texts per batch.
        token_budget: padded tokens per batch.
        padding, compile: as for SentenceTransformersBackend.
    """

    device: str
    dtype: str | None = None
    max_length: int | None = None
    batch_size: int | None = None
    token_budget: int | None = None
    padding: bool | None = None
    compile: bool = False


@dataclass(frozen=True)
class Subject:
    """
    A loaded model.

    Attributes:
        label: name and settings, as tables show it; different for every subject of a measurement.
        name, revision, content_sha256: its identity; the latter two None for untrained models.
        backend: what encodes.
        tokenizer: transformers' fast tokenizer; None where words are the tokens.
        n_parameters: counted on the loaded model.
        geometry: its shape; None where the architecture is not known.
        load_seconds: from nothing to the loaded model.
    """

    label: str
    name: str
    revision: str | None
    content_sha256: str | None
    settings: Settings
    backend: Backend
    tokenizer: Any
    n_parameters: int | None
    geometry: Geometry | None
    load_seconds: float

    @property
    def is_untrained(self) -> bool:
        """Whether its weights are random."""
        return is_untrained(self.name)

    def flops(self, lengths: npt.NDArray[np.int32]) -> float | None:
        """Floating-point operations for texts of these lengths; None where nobody knows."""
        return None if self.geometry is None else flops(self.geometry, lengths)


def load_subject(
    name: str, settings: Settings, *, label: str, mirror: Path | None = None
) -> Subject:
    """
    Load a model for measuring.

    Args:
        name: as for models.find_model, or untrained: with the name of a geometry.

    Raises:
        BadInput: there is no such model, or our engine does not drive it.
    """
    load = _load_untrained if is_untrained(name) else _load_trained
    started = time.perf_counter()
    return load(name, settings, label, mirror, lambda: time.perf_counter() - started)


def _load_untrained(
    name: str, settings: Settings, label: str, mirror: Path | None, seconds: Callable[[], float]
) -> Subject:
    geometry = find_untrained(name)
    backend = UntrainedBackend(
        geometry,
        device=settings.device,
        dtype=settings.dtype or "float32",
        max_length=settings.max_length,
        padding=settings.padding,
        compile=settings.compile,
    )
    return Subject(
        label, f"{UNTRAINED}{geometry.name}", None, None, settings, backend, None,
        backend.n_parameters, geometry, seconds(),
    )  # fmt: skip


def _load_trained(
    name: str, settings: Settings, label: str, mirror: Path | None, seconds: Callable[[], float]
) -> Subject:
    source = find_model(name, mirror=mirror, dtype=settings.dtype, max_length=settings.max_length)
    model = source.load(settings.device)
    if not has_backend(model):
        problem = "is not an encoder that our engine drives; its speed cannot be measured"
        hint = "dense sentence-transformers models can be, and untrained: geometries"
        raise BadInput(Fault(f"model {name}", problem, hint))
    inner = model.model
    config = getattr(inner.transformers_model, "config", None)
    return Subject(
        label=label,
        name=source.meta.name or name,
        revision=source.meta.revision,
        content_sha256=source.content_sha256,
        settings=settings,
        backend=SentenceTransformersBackend(
            model, padding=settings.padding, compile=settings.compile
        ),
        tokenizer=getattr(inner, "tokenizer", None),
        n_parameters=sum(each.numel() for each in inner.parameters()),
        geometry=None if config is None else geometry_of(config),
        load_seconds=seconds(),
    )
