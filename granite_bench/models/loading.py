"""How a model is loaded and asked: what all variants of it in a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from granite_bench.devices import BackendName


@dataclass(frozen=True)
class Loading:
    """
    Attributes:
        dtype: torch's name of the weights' type; None is what mteb's loader chooses.
        backend: what computes, sentence-transformers' word for it.
        backend_file: the file of the exported model, such as onnx/model_qint8_avx2.onnx, in the
            model's folder; None is the file that has no suffix. Only with onnx and openvino.
        prompt_query, prompt_document: put before every query or document instead of the prompt
            that mteb's metadata choose; "" puts none; None leaves the choice to mteb.
        endpoint: the base URL of a server that computes instead of this machine, without
            credentials.
        trusted: "name@revision" of models whose own code may run (see remote_code).
    """

    dtype: str | None = None
    backend: BackendName = "torch"
    backend_file: str | None = None
    prompt_query: str | None = None
    prompt_document: str | None = None
    endpoint: str | None = None
    trusted: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """What makes results differ from those of the published model, without what does not."""
        settings = {
            "dtype": self.dtype,
            "backend": None if self.backend == "torch" else self.backend,
            "backend_file": self.backend_file,
            "prompt_query": self.prompt_query,
            "prompt_document": self.prompt_document,
            "endpoint": self.endpoint,
        }
        return {name: value for name, value in settings.items() if value is not None}

    @property
    def prompts(self) -> Mapping[str, str]:
        """The prompts that are not left to mteb, by role: query and document."""
        prompts = {"query": self.prompt_query, "document": self.prompt_document}
        return {role: prompt for role, prompt in prompts.items() if prompt is not None}


AS_PUBLISHED = Loading()
"""As mteb loads and asks a model when nothing else is said."""
