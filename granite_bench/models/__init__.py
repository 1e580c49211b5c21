"""
Models: found by id or folder, in the variants that a run asks for, and how to load them.

    org/name                     mteb's registry (prompts, revision, dimensions), else the hub
    path/to/folder               a sentence-transformers folder; its content is its revision
    quickstart/all-MiniLM-L6-v2  the weights that the extra "quickstart" installs, no download
    mteb/baseline-bm25s          mteb's BM25
"""

from granite_bench.models.loading import Loading
from granite_bench.models.lookup import QUICKSTART_MODEL, search_models
from granite_bench.models.rerankers import find_reranker
from granite_bench.models.run_file import RunFile, is_run
from granite_bench.models.source import ModelSource, Reranking
from granite_bench.models.variants import UNTRAINED, find_model, find_variants, listed_dims

__all__ = [
    "QUICKSTART_MODEL",
    "UNTRAINED",
    "Loading",
    "ModelSource",
    "Reranking",
    "RunFile",
    "find_model",
    "find_reranker",
    "find_variants",
    "is_run",
    "listed_dims",
    "search_models",
]
