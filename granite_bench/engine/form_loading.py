"""From a model that was found to the form in which it is evaluated: on this machine, or served."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from granite_bench.engine.endpoint.backend import EndpointBackend
from granite_bench.engine.endpoint.client import Endpoint, Usage
from granite_bench.engine.endpoint.embeddings import EndpointModel
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder
from granite_bench.engine.forms import Form, form_of
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import RerankerOfMteb
from granite_bench.files.local import Place
from granite_bench.models import ModelSource

TOKEN_BUDGET_CPU = 2048
TOKEN_BUDGET_GPU = 131_072
"""Padded tokens per batch. A CPU's caches overflow beyond a few thousand; a GPU wants many."""


@dataclass(frozen=True)
class EndpointOptions:
    """
    How to talk to a server.

    Attributes:
        key_variable: the environment variable that holds the key; None is OPENAI_API_KEY.
        concurrency: requests at a time; None is the client's choice.
        price_per_million_tokens: what the server charges; None where nobody said.
    """

    key_variable: str | None = None
    concurrency: int | None = None
    price_per_million_tokens: float | None = None


@dataclass(frozen=True)
class EngineOptions:
    """
    How to encode; nothing here is meant to change a score.

    Attributes:
        device: torch's name, None lets sentence-transformers choose.
        token_budget: padded tokens per batch; None chooses by device.
        vectors: the folder or URL of the vector store; None keeps no vectors.
        padding: False leaves it out where the model allows it; None chooses by device.
        compile: torch.compile for the layers of a model that reads texts without padding.
        endpoint: how to talk to a server, for models that one computes.
    """

    device: str | None = None
    token_budget: int | None = None
    vectors: Place | None = None
    padding: bool | None = None
    compile: bool = False
    endpoint: EndpointOptions = EndpointOptions()


def load_form(source: ModelSource, options: EngineOptions) -> Form:
    """
    Load a model, or find the server that computes it, in the form in which it is evaluated.

    Raises:
        BadInput, TaskError: see ModelSource.load, form_of and Endpoint.
    """
    if source.loading.endpoint is not None:
        return _served(source, source.loading.endpoint, options)
    model = source.load(options.device)
    device = str(getattr(getattr(model, "model", None), "device", options.device or "cpu"))
    budget = options.token_budget or (TOKEN_BUDGET_CPU if device == "cpu" else TOKEN_BUDGET_GPU)
    return form_of(
        model,
        encoder_options={"store_folder": options.vectors, "token_budget": budget},
        padding=options.padding,
        compile=options.compile,
        prompts=source.loading.prompts,
        query_tokens=source.reranking.query_tokens if source.reranking else None,
        content_sha256=source.content_sha256 if source.folder is not None else None,
        own_code=source.runs_own_code,
    )


def free_memory() -> None:
    """Give back what a model held that nobody refers to any more, before the next one comes."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _served(source: ModelSource, url: str, options: EngineOptions) -> Form:
    """A model, or a reranker, that a server computes."""
    server = Endpoint(
        url,
        key_variable=options.endpoint.key_variable,
        concurrency=options.endpoint.concurrency,
    )
    served = EndpointCrossEncoder if source.meta.is_cross_encoder else EndpointModel
    return form_of(
        served(source.meta, server, name=source.served_name),
        encoder_options={"store_folder": options.vectors},
        prompts=source.loading.prompts,
    )


def usage_of(form: Form) -> Usage | None:
    """What requests to a server took so far; None where the model is on this machine."""
    if isinstance(form, ObservedSearch | RerankerOfMteb):
        return None
    backend = form.encoder.backend
    return backend.endpoint.usage if isinstance(backend, EndpointBackend) else None
