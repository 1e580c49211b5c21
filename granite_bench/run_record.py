"""What a run leaves beside mteb's result: how each number came about, as plain dictionaries."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval
from sentence_transformers import SentenceTransformer

from granite_bench.engine.encoder import EncodingCost
from granite_bench.engine.retriever import DenseRetriever, Observation, ObservedSearch
from granite_bench.engine.texts import DOCUMENT_TEMPLATE
from granite_bench.models import ModelSource
from granite_bench.per_query import query_rows
from granite_bench.plan import data_source
from granite_bench.provenance import code_revision, hardware, package_versions
from granite_bench.tasks import Evaluation

SPEED_PROTOCOL = "suite-run/1"
"""
Figures as they fall out of a run: documents per second over the texts encoded (tokenisation
included, store and search not), and seconds from one query's text to its ranking, one at a time.
"""


def describe_run(
    source: ModelSource,
    task: AbsTask,
    retriever: DenseRetriever | ObservedSearch,
    *,
    date: datetime.datetime | None,
    seconds: Mapping[str, float],
    repaired_shards: Sequence[str],
    evaluations: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """
    One run of one model on one task, for ResultStore.save.

    Args:
        seconds: total, model_load and data_load.
        repaired_shards: vector shards that were found broken and encoded again.
        evaluations: from observed(), one entry per split and subset.
    """
    return {
        "date": date.isoformat() if date else None,
        "model": {
            "name": source.meta.name,
            "revision": source.meta.revision,
            "folder": str(source.folder) if source.folder is not None else None,
            "content_sha256": source.content_sha256,
        },
        "data": data_source(task),
        "settings": _settings(retriever),
        "packages": package_versions(),
        "code_revision": code_revision(),
        "hardware": hardware(_device(retriever)),
        "speed_protocol": SPEED_PROTOCOL,
        "seconds": dict(seconds),
        "repaired_shards": list(repaired_shards),
        "evaluations": list(evaluations),
    }


def observed(
    observations: Sequence[Observation], task: AbsTask, part: Sequence[Evaluation]
) -> tuple[list[dict[str, Any]], list[pa.Table]]:
    """The record's entries and the per-query rows of one part."""
    if not isinstance(task, AbsTaskRetrieval):
        return [_encoded_only(observations, split, subset) for split, subset in part], []
    entries, tables = [], []
    for seen in observations:
        data = task.dataset[seen.subset][seen.split]
        tables.append(
            query_rows(
                data["relevant_docs"],
                seen.run,
                split=seen.split,
                subset=seen.subset,
                ignore_identical_ids=task.ignore_identical_ids,
                skip_first_result=task.skip_first_result,
            )
        )
        entry = _entry(seen)
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
    }


def _encoded_only(observations: Sequence[Observation], split: str, subset: str) -> dict[str, Any]:
    """One entry for a task that only encodes: mteb calls encode several times per subset."""
    together = Observation(split, subset, n_docs=0, docs=EncodingCost())
    for seen in observations:
        if (seen.split, seen.subset) == (split, subset) and seen.docs and together.docs:
            together.n_docs += seen.n_docs
            together.index_seconds += seen.index_seconds
            together.prompts |= seen.prompts
            added = {
                key: value + getattr(seen.docs, key) for key, value in asdict(together.docs).items()
            }
            together.docs = EncodingCost(**added)
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


def _settings(retriever: DenseRetriever | ObservedSearch) -> dict[str, Any]:
    if isinstance(retriever, ObservedSearch):
        inner = _transformer(retriever)
        settings: dict[str, Any] = {"engine": "mteb's own search"}
        if inner is not None:
            settings["dtype"] = str(next(inner.parameters()).dtype).removeprefix("torch.")
            settings["max_length"] = inner.max_seq_length
        return settings
    backend = retriever.encoder.backend
    return {
        "engine": "granite-bench exact search",
        "backend": backend.name,
        "dtype": backend.dtype,
        "max_length": backend.max_length,
        "attention": backend.attention,
        "batches": f"up to {retriever.encoder.token_budget} padded tokens, longest first",
        "budgets_too_large": list(retriever.encoder.budget_cuts),
        "dim": retriever.variant.dim,
        "precision": retriever.variant.precision,
        "document_template": DOCUMENT_TEMPLATE,
    }


def _device(retriever: DenseRetriever | ObservedSearch) -> str:
    if isinstance(retriever, DenseRetriever):
        return retriever.encoder.backend.device
    inner = _transformer(retriever)
    return "cpu" if inner is None else str(inner.device)


def _transformer(retriever: ObservedSearch) -> SentenceTransformer | None:
    """The sentence-transformers model under mteb's search and wrapper, where there is one."""
    wrapper = getattr(retriever.model, "model", None)
    inner = getattr(wrapper, "model", None)
    return inner if isinstance(inner, SentenceTransformer) else None
