"""
How long exact search in sparse vectors takes, beside scipy's product and sentence-transformers.

    python benchmarks/sparse.py [--docs 200000] [--queries 500] [--top-k 1000] [--repeats 3]
        [--without scipy,sentence-transformers]

Made up: dimensions are those of BERT's vocabulary, drawn from a Zipf law; about 115 of a document
and 30 of a query are active. Vectors lie in memory; nothing is encoded. All ways run in one
process with torch's number of threads and take turns, once to warm up and then --repeats times;
medians are printed as Markdown, with their ratios to scipy's product of the same run. Every way's
scores are compared with ours before its time counts.

    scipy                  the product alone, 100 queries at a time: no ranking; one thread
    ours                   search_sparse over a corpus that is listed by dimension already
    ours-disk              the same, listed anew for the search, as for a corpus on the disk
    sentence-transformers  semantic_search with the inner product
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse
import torch
from sentence_transformers.util import dot_score, semantic_search

from granite_bench.engine.search.run import Documents
from granite_bench.engine.search.sparse_search import SparseIndex, search_sparse
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import ResidentSparseVectors

DIM = 30_522
QUERIES_AT_ONCE = 100
OTHERS = ["scipy", "sentence-transformers"]


def main() -> None:
    options = _arguments()
    rng = np.random.default_rng(0)
    docs, queries = _vectors(rng, options.docs, 120), _vectors(rng, options.queries, 30)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "scipy", "torch"))
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; {packages}")
    print(f"load average {os.getloadavg()[0]:.1f} before; medians of {options.repeats}\n")
    flops = _shares(queries) @ _shares(docs)
    print(
        f"{options.docs:,} documents of {docs.n_active.mean():.0f} active dimensions x "
        f"{options.queries:,} queries of {queries.n_active.mean():.0f}, {flops:.2f} "
        f"multiplications a pair, top {options.top_k:,}\n"
    )
    ways = {
        name: make
        for name, make in _ways(docs, queries, options.top_k).items()
        if name not in options.without
    }
    seconds = _timed(ways, options.repeats)
    print("| way | seconds | least | to scipy's product |")
    print("| :--- | ---: | ---: | ---: |")
    product = statistics.median(seconds["scipy"]) if "scipy" in seconds else None
    for name, of_way in seconds.items():
        median = statistics.median(of_way)
        ratio = f"{median / product:.2f}" if product else "-"
        print(f"| {name} | {median:.2f} | {min(of_way):.2f} | {ratio} |")
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--top-k", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", type=lambda text: text.split(","), default=[])
    options = parser.parse_args()
    unknown = set(options.without) - set(OTHERS)
    if unknown:
        parser.error(f"--without: unknown {', '.join(sorted(unknown))}; there is {OTHERS}")
    return options


def _vectors(rng: np.random.Generator, n: int, n_drawn: int) -> SparseRows:
    """Dimensions drawn n_drawn times each, the frequent ones more than once; values of 0.01..1."""
    weights = 1 / (np.arange(DIM) + 30.0)
    places = rng.choice(DIM, size=(n, n_drawn), p=weights / weights.sum())
    drawn = np.sort(np.random.default_rng(1).permutation(DIM)[places], axis=1)
    new = np.ones(drawn.shape, np.bool_)
    new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(new.sum(axis=1))]).astype(np.int64)
    values = rng.uniform(0.01, 1, int(indptr[-1])).astype(np.float32)
    return SparseRows(indptr, drawn[new].astype(np.int32), values, DIM)


def _shares(vectors: SparseRows) -> Any:
    return np.bincount(vectors.indices, minlength=DIM) / len(vectors)


def _ways(
    docs: SparseRows, queries: SparseRows, top_k: int
) -> dict[str, Callable[[], Iterator[Any]]]:
    """Each yields the best scores of some queries after the other, or for scipy all scores."""
    documents = Documents([f"d{number}" for number in range(len(docs))])
    _ = documents.by_rank, documents.text_ranks
    query_ids = [f"q{number}" for number in range(len(queries))]
    resident = ResidentSparseVectors(docs)
    kept = SparseIndex(resident, cosine=False, in_memory=True)
    anew = SparseIndex(resident, cosine=False, in_memory=False)
    of_scipy = [
        scipy.sparse.csr_array((each.values, each.indices, each.indptr), shape=each.shape)
        for each in (docs, queries)
    ]
    docs_by_dimension = of_scipy[0].T.tocsr()
    of_torch = [
        torch.sparse_coo_tensor(
            np.array([np.repeat(np.arange(len(each)), each.n_active), each.indices]),
            each.values,
            each.shape,
            check_invariants=False,
        ).coalesce()
        for each in (docs, queries)
    ]

    def scipys() -> Iterator[Any]:
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            yield of_scipy[1][start : start + QUERIES_AT_ONCE] @ docs_by_dimension

    def ours(index: SparseIndex) -> Iterator[Any]:
        yield search_sparse(queries, index, query_ids, documents, top_k=top_k).scores

    def sentence_transformers() -> Iterator[Any]:
        hits = semantic_search(of_torch[1], of_torch[0], top_k=top_k, score_function=dot_score)
        yield np.array([[hit["score"] for hit in of_query] for of_query in hits], np.float32)

    return {
        "scipy": scipys,
        "ours": lambda: ours(kept),
        "ours-disk": lambda: ours(anew),
        "sentence-transformers": sentence_transformers,
    }


def _timed(ways: dict[str, Callable[[], Iterator[Any]]], repeats: int) -> dict[str, list[float]]:
    expected = next(ways["ours"]())
    for name, way in ways.items():
        first = next(way())
        if name == "scipy":
            first = -np.sort(-first.toarray(), axis=1)[:, : expected.shape[1]]
        np.testing.assert_allclose(first, expected[: len(first)], rtol=1e-4, err_msg=name)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            for _part in way():
                pass
            seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
