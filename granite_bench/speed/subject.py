"""What is measured: a model that is loaded, with the settings it runs under."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backends.backend import Backend
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend, has_backend
from granite_bench.errors import BadInput, Fault
from granite_bench.models import UNTRAINED, Loading, find_model
from granite_bench.speed.geometry import Geometry, flops, geometry_of
from granite_bench.speed.geometry_table import find_geometry
from granite_bench.speed.settings import Settings
from granite_bench.speed.untrained import UntrainedBackend


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
        load_seconds: from its files to the device; None for untrained models, which have none.
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
    load_seconds: float | None

    @property
    def is_untrained(self) -> bool:
        """Whether its weights are random."""
        return self.name.startswith(UNTRAINED)

    def flops(self, lengths: npt.NDArray[np.int32]) -> float | None:
        """Floating-point operations for texts of these lengths; None where nobody knows."""
        return None if self.geometry is None else flops(self.geometry, lengths)


def load_subject(
    name: str,
    settings: Settings,
    *,
    label: str,
    mirror: Path | None = None,
    trusted: tuple[str, ...] = (),
) -> Subject:
    """
    Load a model for measuring.

    Args:
        name: as for models.find_model, or untrained: with a name of geometry_table.
        trusted: "name@revision" of models whose own code may run.

    Raises:
        BadInput: there is no such model, or our engine does not drive it.
    """
    if name.startswith(UNTRAINED):
        return _untrained(name.removeprefix(UNTRAINED), settings, label)
    return _trained(name, settings, label, mirror, trusted)


def _untrained(name: str, settings: Settings, label: str) -> Subject:
    geometry = find_geometry(name)
    backend = UntrainedBackend(
        geometry,
        device=settings.device,
        dtype=settings.dtype or "float32",
        max_length=settings.max_length,
        padding=settings.padding,
        compile=settings.compile,
    )
    return Subject(
        label=label,
        name=f"{UNTRAINED}{geometry.name}",
        revision=None,
        content_sha256=None,
        settings=settings,
        backend=backend,
        tokenizer=None,
        n_parameters=backend.n_parameters,
        geometry=geometry,
        load_seconds=None,
    )


def _trained(
    name: str, settings: Settings, label: str, mirror: Path | None, trusted: tuple[str, ...]
) -> Subject:
    loading = Loading(dtype=settings.dtype, trusted=trusted)
    source = find_model(name, mirror=mirror, loading=loading, max_length=settings.max_length)
    # Not timed: the first of its kind imports code, may be downloaded, and wakes the device.
    if not has_backend(source.load(settings.device)):
        problem = "is not an encoder that our engine drives; its speed cannot be measured"
        hint = "dense sentence-transformers models can be, and untrained: geometries"
        raise BadInput(Fault(f"model {name}", problem, hint))
    gc.collect()  # two of it may not fit the device
    started = time.perf_counter()
    model = source.load(settings.device)
    load_seconds = time.perf_counter() - started
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
        load_seconds=load_seconds,
    )
