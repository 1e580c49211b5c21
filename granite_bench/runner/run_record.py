"""What a run leaves beside mteb's result: how each number came about, as plain dictionaries."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

import pyarrow as pa
import torch
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.cluster.forms import BackendOfWorkers
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.engine.backends.texts import DOCUMENT_TEMPLATE
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.endpoint.client import Usage
from granite_bench.engine.endpoint.embeddings import EndpointModel
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder
from granite_bench.engine.forms import Form
from granite_bench.engine.observation import Observation
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import Reranker, RerankerOfMteb
from granite_bench.models import ModelSource
from granite_bench.planning.plan import data_source
from granite_bench.provenance import code_revision, hardware, package_versions
from granite_bench.rankings.first_stage import describe
from granite_bench.rankings.per_query import query_rows, with_candidate_columns
from granite_bench.rankings.ranking import Candidates
from granite_bench.tasks import Evaluation

SPEED_PROTOCOL = "suite-run/1"
"""
Figures as they fall out of a run: documents per second over the texts encoded (tokenisation
included, store and search not), and seconds from one query's text to its ranking, one at a time.
"""


def describe_run(
    source: ModelSource,
    task: AbsTask,
    form: Form,
    *,
    date: datetime.datetime | None,
    seconds: Mapping[str, float],
    repaired_shards: Sequence[str],
    ranking_depth: int,
    usage: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """
    One run of one model on one task, for ResultStore.save.

    Args:
        seconds: total, model_load and data_load.
        repaired_shards: vector shards that were found broken and encoded again.
        ranking_depth: documents per query that are kept on disk; 0 for none.
        usage: from added_up().
        evaluations: from observed(), one entry per split and subset.
    """
    reranked = {"first_stage": describe(source.reranking)} if source.reranking else {}
    return {
        "date": date.isoformat() if date else None,
        **reranked,
        "model": {
            "name": source.meta.name,
            "revision": source.meta.revision,
            "folder": str(source.folder) if source.folder is not None else None,
            "content_sha256": source.content_sha256,
            "exported_sha256": source.exported.sha256 if source.exported is not None else None,
            "own_code": source.runs_own_code,
        },
        "data": data_source(task),
        "settings": _settings(form),
        "packages": package_versions(),
        "code_revision": code_revision(),
        "hardware": _hardware(form),
        "speed_protocol": SPEED_PROTOCOL,
        "seconds": dict(seconds),
        "repaired_shards": list(repaired_shards),
        "ranking_depth": ranking_depth,
        **({"usage": dict(usage)} if usage else {}),
        **_server(form),
        **_workers(form),
        "evaluations": list(evaluations),
    }


def added_up(usages: Sequence[Usage], price_per_million_tokens: float | None) -> dict[str, Any]:
    """What requests to a server took and cost; empty where there is no server."""
    if not usages:
        return {}
    total = Usage(*map(sum, zip(*map(astuple, usages), strict=True)))
    cost = None if price_per_million_tokens is None else total.price(price_per_million_tokens)
    prices = {"price_per_million_tokens": price_per_million_tokens, "cost": cost}
    return asdict(total) | prices


def observed(
    observations: Sequence[Observation],
    task: AbsTask,
    part: Sequence[Evaluation],
    candidates: Mapping[Evaluation, Candidates],
) -> tuple[list[dict[str, Any]], list[pa.Table]]:
    """
    The record's entries and the per-query rows of one part.

    Args:
        candidates: what was reordered; empty where nothing was.
    """
    if not isinstance(task, AbsTaskRetrieval):
        return [_encoded_only(observations, split, subset) for split, subset in part], []
    entries, tables = [], []
    for seen in observations:
        data = task.dataset[seen.subset][seen.split]
        scored_as = {
            "ignore_identical_ids": task.ignore_identical_ids,
            "skip_first_result": task.skip_first_result,
        }
        qrels = data["relevant_docs"]
        rows = query_rows(qrels, seen.run, split=seen.split, subset=seen.subset, **scored_as)
        entry = _entry(seen)
        reordered = candidates.get((seen.split, seen.subset))
        if reordered is not None:
            rows = with_candidate_columns(rows, qrels, reordered.by_query, **scored_as)
            entry["candidates_sha256"] = reordered.sha256
        tables.append(rows)
        entry["content_sha256"] = _content_hash(data)
        entries.append(entry)
    return entries, tables


def _entry(seen: Observation) -> dict[str, Any]:
    return {
        "split": seen.split,
        "subset": seen.subset,
        "n_docs": seen.n_docs,
        "n_queries": seen.n_queries,
        "prompts": seen.prompts,
        "docs": asdict(seen.docs) if seen.docs else None,
        "queries": asdict(seen.queries) if seen.queries else None,
        "index_seconds": seen.index_seconds,
        "search_seconds": seen.search_seconds,
        "rank_seconds": seen.rank_seconds,
        "query_seconds": seen.query_seconds,
        **({"pairs": asdict(seen.pairs)} if seen.pairs else {}),
        **({"sparsity": asdict(seen.sparsity)} if seen.sparsity else {}),
    }


def _encoded_only(observations: Sequence[Observation], split: str, subset: str) -> dict[str, Any]:
    """One entry for a task that only encodes: mteb calls encode several times per subset."""
    together = Observation(split, subset, n_docs=0, docs=EncodingCost())
    for seen in observations:
        if (seen.split, seen.subset) == (split, subset) and seen.docs and together.docs:
            together.n_docs += seen.n_docs
            together.index_seconds += seen.index_seconds
            together.prompts |= seen.prompts
            together.docs.add(seen.docs)
    return _entry(together)


def _content_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 over ids and texts of documents and queries, and the judgements, in their order."""
    digest = hashlib.sha256()
    for name in ("corpus", "queries"):
        for column in ("id", "title", "text"):
            if column in data[name].column_names:
                for value in data[name][column]:
                    digest.update(f"{value}\0".encode("utf-8", "surrogatepass"))
    for query in sorted(data["relevant_docs"]):
        digest.update(f"{query}{sorted(data['relevant_docs'][query].items())}\0".encode())
    return digest.hexdigest()


def _settings(form: Form) -> dict[str, Any]:
    if isinstance(form, ObservedSearch | RerankerOfMteb):
        settings: dict[str, Any] = {"engine": "mteb's own search"}
        inner = _torch_model(form)
        if inner is not None:
            settings["dtype"] = str(next(inner.parameters()).dtype).removeprefix("torch.")
            settings["max_length"] = getattr(inner, "max_seq_length", None)
        return settings
    backend = form.encoder.backend
    settings = {
        "engine": "granite-bench exact search",
        "backend": backend.name,
        "dtype": backend.dtype,
        "max_length": backend.max_length,
        "attention": backend.attention,
        "padding": backend.pads,
        "compile": getattr(backend, "compiled", False),
        "batches": getattr(backend, "batches", None)
        or f"up to {form.encoder.token_budget} padded tokens, longest first",
        "budgets_too_large": list(form.encoder.budget_cuts),
        "document_template": DOCUMENT_TEMPLATE,
    }
    if isinstance(form, Reranker):
        return settings | {"engine": "granite-bench reranking"}
    return settings | {"dim": form.variant.dim, "precision": form.variant.precision}


def _hardware(form: Form) -> dict[str, Any]:
    """Where the model ran; figures of a server are of that server and the way to it."""
    backend = getattr(getattr(form, "encoder", None), "backend", None)
    if isinstance(backend, BackendOfWorkers):
        return dict(backend.hardware)
    found = hardware(_device(form))
    if server := _server(form):
        return {**found, "device_name": f"server {server['server']['endpoint']}"}
    return found


def _server(form: Form) -> dict[str, Any]:
    """What a server that computes says of itself; empty without one."""
    if isinstance(form.model, EndpointModel | EndpointCrossEncoder):
        return {"server": dict(form.model.identity)}
    return {}


def _workers(form: Form) -> dict[str, Any]:
    """What each worker did since the model was loaded; empty where this process encodes."""
    shard_encoder = getattr(getattr(form, "encoder", None), "shard_encoder", None)
    return (
        {"workers": shard_encoder.pool.described()}
        if isinstance(shard_encoder, PoolEncoder)
        else {}
    )


def _device(form: Form) -> str:
    if not isinstance(form, ObservedSearch | RerankerOfMteb):
        return form.encoder.backend.device
    inner = _torch_model(form)
    return "cpu" if inner is None else str(next(inner.parameters()).device)


def _torch_model(form: ObservedSearch | RerankerOfMteb) -> torch.nn.Module | None:
    """The model under mteb's search and wrapper, where there is one and it has weights."""
    wrapper = form.model if isinstance(form, RerankerOfMteb) else getattr(form.model, "model", None)
    inner = getattr(wrapper, "model", None)
    has_weights = isinstance(inner, torch.nn.Module) and any(True for _ in inner.parameters())
    return inner if has_weights else None
