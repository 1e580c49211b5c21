"""
How long exact search takes, beside the plain matrix product and other ways to search.

    python benchmarks/search.py [--docs 200000] [--queries 2000] [--dim 384] [--top-k 1000]
        [--data gaussian,clustered,topics,ties] [--repeats 5] [--threads 2] [--without mteb,faiss]

Vectors have norm 1 and lie in memory; nothing is encoded. All ways run in one process with the
same number of threads and take turns, once to warm up and then --repeats times; medians are
printed as Markdown, with their ratios to the matrix product of the same run. Every way's scores
are compared with ours before its time counts.

    gaussian   no structure
    clustered  1,000 centres, documents and queries near them, in no order
    topics     the same, all documents of a centre side by side in the corpus
    ties       gaussian, each number one of -1, 0, 1: few different scores, and large ties

With --scoring, search and mteb's scoring together, from vectors to nDCG (see _with_scoring).
--memory prints how far one of our searches raises the peak memory of a new process that holds
the vectors (Linux).

OPENBLAS_CORETYPE=SkylakeX is set for faiss, whose OpenBLAS does not know newer processors of
AMD; it only fits processors with AVX-512, and is left out elsewhere.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

CPU_INFO = Path("/proc/cpuinfo")
DATA = ["gaussian", "clustered", "topics", "ties"]
WAYS = ["product", "ours", "ours-cosine", "faiss", "torch", "sentence-transformers", "mteb"]
BLOCK = 4_096


def main() -> None:
    options = _arguments()
    _restart_with_settings(options.threads)
    if options.one:
        _one_search(options)
        return
    print(f"{_cpu()}, {os.cpu_count()} cores, {options.threads} threads; {_versions()}")
    print(f"load average {os.getloadavg()[0]:.1f} before; medians of {options.repeats}\n")
    print(f"{options.docs:,} documents x {options.queries:,} queries x {options.dim}, ", end="")
    print(f"top {options.top_k:,}\n")
    print("| data | way | seconds | least | to the product |")
    print("| :--- | :--- | ---: | ---: | ---: |")
    for data in options.data:
        _compare(data, options)
    if options.memory:
        print(f"\npeak memory of ours over the vectors: {_memory(options):.0f} MiB")
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--top-k", type=int, default=1_000)
    parser.add_argument("--data", type=lambda text: text.split(","), default=DATA)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--without", type=lambda text: text.split(","), default=[])
    parser.add_argument("--scoring", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, known in (("data", DATA), ("without", WAYS)):
        unknown = set(getattr(options, name)) - set(known)
        if unknown:
            parser.error(f"--{name}: unknown {', '.join(sorted(unknown))}; there is {known}")
    return options


def _restart_with_settings(threads: int) -> None:
    """Libraries read these once, when they are loaded."""
    settings = {
        name: str(threads)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
    if CPU_INFO.exists() and "avx512f" in CPU_INFO.read_text():
        settings["OPENBLAS_CORETYPE"] = "SkylakeX"
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.environ.update(settings)
        os.execv(sys.executable, [sys.executable, *sys.argv])


class Setting:
    """Vectors of one kind, with what every way needs before its time counts."""

    def __init__(self, data: str, options: argparse.Namespace) -> None:
        from datasets import Dataset

        from granite_bench.engine.search.run import Documents

        self.top_k = options.top_k
        self.docs, self.queries = _vectors(data, options)
        self.doc_ids = [f"d{number}" for number in range(options.docs)]
        self.query_ids = [f"q{number}" for number in range(options.queries)]
        self.documents = Documents(self.doc_ids)
        self.doc_data = Dataset.from_dict({"id": self.doc_ids, "text": self.doc_ids})
        self.query_data = Dataset.from_dict({"id": self.query_ids, "text": self.query_ids})


def _vectors(data: str, options: argparse.Namespace) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)

    def normal(rows: int) -> Any:
        return rng.standard_normal((rows, options.dim), dtype=np.float32)

    docs, queries = normal(options.docs), normal(options.queries)
    if data in ("clustered", "topics"):
        centres = normal(1_000)
        of_docs = rng.integers(0, 1_000, options.docs)
        if data == "topics":
            of_docs.sort()
        docs = centres[of_docs] + docs / 2
        queries = centres[rng.integers(0, 1_000, options.queries)] + queries / 2
    if data == "ties":
        return np.rint(docs).clip(-1, 1), np.rint(queries).clip(-1, 1)
    docs /= np.linalg.norm(docs, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return docs, queries


def _compare(data: str, options: argparse.Namespace) -> None:
    setting = Setting(data, options)
    ways = {name: way for name, way in _ways(setting).items() if name not in options.without}
    if options.scoring:
        ways = {**ways, **_with_scoring(setting, ways)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    ours = None
    for turn in range(options.repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            found = way()
            elapsed = time.perf_counter() - started
            if turn:
                seconds[name].append(elapsed)
                continue
            if name == "ours":
                ours = found.scores
            elif name in ("faiss", "torch"):
                _require_close(name, found, ours)
            del found
    base = seconds.get("product")
    for name, times in seconds.items():
        ratio = f"{statistics.median(times) / statistics.median(base):.2f}" if base else ""
        print(f"| {data} | {name} | {statistics.median(times):.2f} | {min(times):.2f} | {ratio} |")
    sys.stdout.flush()


def _require_close(name: str, theirs: Any, ours: Any) -> None:
    import numpy as np

    if ours is not None and not np.allclose(theirs, ours, atol=1e-5):
        raise SystemExit(f"{name}: other scores than ours")


def _ways(setting: Setting) -> dict[str, Callable[[], Any]]:
    return {
        "product": lambda: _product(setting),
        "ours": lambda: _ours(setting, "dot"),
        "ours-cosine": lambda: _ours(setting, "cosine"),
        "faiss": _faiss(setting),
        "torch": lambda: _torch(setting),
        "sentence-transformers": lambda: _sentence_transformers(setting),
        "mteb": _mteb(setting),
    }


def _product(setting: Setting) -> None:
    """The matrix product alone, in blocks whose scores stay in the cache."""
    import numpy as np

    out = np.empty((len(setting.queries), BLOCK), np.float32)
    for start in range(0, len(setting.docs), BLOCK):
        block = setting.docs[start : start + BLOCK]
        np.matmul(setting.queries, block.T, out=out if len(block) == BLOCK else None)


def _ours(setting: Setting, name: str) -> Any:
    from sentence_transformers.util import dot_score

    from granite_bench.engine.search.search import search_exact
    from granite_bench.engine.search.similarity import similarity_of
    from granite_bench.engine.vectors.vectors import ResidentVectors

    return search_exact(
        setting.queries, ResidentVectors(setting.docs), setting.query_ids, setting.documents,
        top_k=setting.top_k, similarity=similarity_of(name, dot_score),
    )  # fmt: skip


def _faiss(setting: Setting) -> Callable[[], Any]:
    """Scores and positions; IndexFlatIP copies the vectors, before its time counts."""
    index = None

    def search() -> Any:
        nonlocal index
        import faiss

        if index is None:
            index = faiss.IndexFlatIP(setting.docs.shape[1])
            index.add(setting.docs)
        return index.search(setting.queries, setting.top_k)[0]

    return search


def _torch(setting: Setting) -> Any:
    """torch.topk of every block, and of what was kept with what the block has."""
    import torch

    queries, docs = torch.from_numpy(setting.queries), torch.from_numpy(setting.docs)
    kept = torch.empty((len(queries), 0))
    places = torch.empty((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(docs), 4 * BLOCK):
        scores = queries @ docs[start : start + 4 * BLOCK].T
        best = torch.topk(scores, min(setting.top_k, scores.shape[1]), dim=1)
        both = torch.cat([kept, best.values], dim=1)
        both_places = torch.cat([places, best.indices + start], dim=1)
        kept, order = torch.topk(both, min(setting.top_k, both.shape[1]), dim=1)
        places = both_places.gather(1, order)
    return kept.numpy()


def _sentence_transformers(setting: Setting) -> Any:
    """Its semantic_search; a list of dictionaries for every query."""
    import torch
    from sentence_transformers.util import dot_score, semantic_search

    return semantic_search(
        torch.from_numpy(setting.queries), torch.from_numpy(setting.docs),
        top_k=setting.top_k, score_function=dot_score,
    )  # fmt: skip


def _mteb(setting: Setting) -> Callable[[], Any]:
    """
    mteb's SearchEncoderWrapper over an encoder that hands out slices of the vectors; making
    data loaders of the texts, which nobody reads here, is left out of its time.
    """

    class Precomputed:
        def __init__(self) -> None:
            from mteb.models import ModelMeta
            from mteb.similarity_functions import dot_score

            self.mteb_model_meta = ModelMeta.create_empty(
                overwrites={"name": "benchmark/precomputed", "revision": "1"}
            )
            self.similarity = dot_score
            self.place = 0

        def encode(self, inputs: Any, *, prompt_type: Any = None, **kwargs: Any) -> Any:
            if prompt_type == "query":
                return setting.queries
            first, self.place = self.place, self.place + len(inputs)
            return setting.docs[first : self.place]

    def search() -> Any:
        from mteb.models import SearchEncoderWrapper, search_wrappers

        search_wrappers.create_dataloader = lambda dataset, **kwargs: dataset
        where = {
            "task_metadata": _task(), "hf_split": "test", "hf_subset": "default",
            "encode_kwargs": {"show_progress_bar": False, "batch_size": 32}, "num_proc": None,
        }  # fmt: skip
        wrapper = SearchEncoderWrapper(Precomputed())
        wrapper.index(setting.doc_data, **where)
        return wrapper.search(setting.query_data, top_k=setting.top_k, **where)

    return search


def _task() -> Any:
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name="Benchmark",
        description="vectors made up here",
        dataset={"path": "benchmarks/search", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )


def _with_scoring(
    setting: Setting, ways: dict[str, Callable[[], Any]]
) -> dict[str, Callable[[], Any]]:
    """
    Search and scoring together: from vectors to every metric that mteb computes.

    One judged document a query; ours over arrays, mteb's over the dictionaries of its search.
    """
    qrels = {
        query_id: {setting.doc_ids[(997 * number) % len(setting.doc_ids)]: 1}
        for number, query_id in enumerate(setting.query_ids)
    }

    cut_offs = [1, 3, 5, 10, 20, 100, 1000]

    def scored_by_mteb() -> Any:
        from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

        found = {query_id: dict(scores) for query_id, scores in ways["mteb"]().items()}
        return calculate_retrieval_scores(found, qrels, cut_offs)

    def scored_by_us() -> Any:
        from granite_bench.engine.scoring import retrieval_scores

        return retrieval_scores(
            ways["ours"](), qrels, cut_offs, ignore_identical_ids=False, skip_first_result=False
        )

    both = {"ours": scored_by_us, "mteb": scored_by_mteb}
    return {f"{name}, scored": way for name, way in both.items() if name in ways}


def _one_search(options: argparse.Namespace) -> None:
    """In a process of its own: how far one search raises the peak of memory, in MiB."""
    small = argparse.Namespace(**{**vars(options), "docs": 10_000, "queries": 10})
    _ours(Setting("gaussian", small), "dot")  # loads what searching loads
    setting = Setting("gaussian", options)
    Path("/proc/self/clear_refs").write_text("5")  # making the vectors had a peak of its own
    before = _peak_kib()
    found = _ours(setting, "dot")
    print(found.docs.shape, (_peak_kib() - before) / 1024)


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _memory(options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--one"]
    for name in ("docs", "queries", "dim", "top_k", "threads"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _cpu() -> str:
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine()
    lines: Iterator[str] = iter(CPU_INFO.read_text().splitlines())
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def _versions() -> str:
    names = ["numpy", "numba", "torch", "faiss-cpu", "sentence-transformers", "mteb"]
    return f"Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in names
    )


if __name__ == "__main__":
    main()
