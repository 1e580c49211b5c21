"""
The form in which a loaded model is evaluated: what of it our engine drives, and what mteb does.

    dense sentence-transformers models   DenseRetriever: our batches, store and search
    sparse sentence-transformers models  SparseRetriever: the same over sparse vectors
    cross-encoders                       Reranker: our batches and store of scores
    models behind an endpoint            DenseRetriever or Reranker over its answers
    BM25, models with code of their own  ObservedSearch: mteb's search, timed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from mteb.models import ModelMeta, SearchEncoderWrapper, SearchProtocol

from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend, has_backend
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.endpoint.embeddings import EndpointModel
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import Reranker, RerankerOfMteb, is_reranker, reranker_for
from granite_bench.engine.sparse_retriever import SparseRetriever, is_sparse, sparse_retriever
from granite_bench.errors import BadInput, Fault

Form: TypeAlias = DenseRetriever | SparseRetriever | Reranker | RerankerOfMteb | ObservedSearch
"""All keep *observations*, one per split and subset, and have *mteb_model_meta* and *model*."""


SERVED_TOKEN_BUDGET = 1 << 24
"""A whole shard: the endpoint's client makes the requests of it, many at a time."""


def form_of(
    model: Any,
    *,
    encoder_options: Mapping[str, Any],
    padding: bool | None = None,
    compile: bool = False,
    prompts: Mapping[str, str] | None = None,
    query_tokens: int | None = None,
    content_sha256: str | None = None,
    own_code: bool = False,
) -> Form:
    """
    The form in which a loaded model is evaluated.

    Args:
        model: what mteb's metadata loaded, with its *mteb_model_meta*.
        encoder_options: store_folder and token_budget of Encoder, where our engine drives it.
        padding, compile: as for SentenceTransformersBackend.
        prompts: as for DenseRetriever.
        query_tokens: as for Reranker.
        content_sha256: of the model's files, where they lie in a folder that may change.
        own_code: whether code that comes with the model may have run.

    Raises:
        BadInput: *prompts* for a model that makes its inputs itself.
    """
    meta: ModelMeta = model.mteb_model_meta
    identity = {"model": meta.name, "revision": meta.revision, "content": content_sha256}
    if isinstance(model, EndpointModel | EndpointCrossEncoder):
        encoder = Encoder(
            model.backend,
            {**identity, **model.identity},
            store_folder=encoder_options["store_folder"],
            token_budget=SERVED_TOKEN_BUDGET,
            longest_first=isinstance(model, EndpointModel),  # the pairs of a query are one request
        )
        if isinstance(model, EndpointModel):
            return DenseRetriever(model, encoder=encoder, prompts=prompts)
        return Reranker(model, encoder=encoder)
    identity["loaded"] = loaded_from(meta)
    if own_code:
        identity["own_code"] = "ran"
    driven = {"identity": identity, "encoder_options": encoder_options}
    if is_reranker(model):
        return reranker_for(model, query_tokens=query_tokens, **driven)
    if is_sparse(model):
        return sparse_retriever(model, prompts=prompts, **driven)
    if has_backend(model):
        backend = SentenceTransformersBackend(model, padding=padding, compile=compile)
        encoder = Encoder(backend, identity, **encoder_options)
        return DenseRetriever(model, encoder=encoder, prompts=prompts)
    if prompts:
        problem = "puts its prompts by itself; --prompt-query and --prompt-doc change nothing"
        raise BadInput(Fault(f"model {meta.name}", problem, "leave them out for it"))
    if isinstance(model, SearchProtocol):
        return ObservedSearch(model, meta)
    # Multi-vector embeddings have no place in the store, and wrappers with code of their own may
    # want titles, splits or subsets: mteb's search gives their scores.
    return ObservedSearch(SearchEncoderWrapper(model), meta)


def loaded_from(meta: ModelMeta) -> str:
    """A hash of how mteb loads a model: its loader and the arguments, prompts among them."""
    loader = getattr(meta.loader, "__name__", str(meta.loader))
    described = json.dumps([loader, meta.loader_kwargs], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:16]
