"""
What the engine saves, beside mteb and sentence-transformers, with all-MiniLM-L6-v2.

    python benchmarks/engine.py [--repeats 3] [--only sweep,plain,encode,start] [--mirror FOLDER]

    sweep   five dimensions on one task (the code task, or XQuAD en with --mirror): one run of
            ours, and five of mteb.evaluate with the model's truncate_dim
    plain   one evaluation, from texts to scores: texts of mixed length (the code task), and XQuAD
            en and de where --mirror names a mirror that has mteb/XQuADRetrieval
    encode  500 texts of 20 to 300 tokens: ours, and SentenceTransformer.encode at several batch
            sizes; tokens per second, and the share of the measured peak of the matrix product.
            Three kinds of texts: code (the built-in code task), languages (all twelve of XQuAD,
            with --mirror) and words (drawn from the vocabulary: characters tell tokens, so that
            sorting by characters wastes next to nothing)
    start   CPU seconds of a process: --help, and a table

Ways take turns in one process, once to warm up and then --repeats times; medians are printed as
Markdown. No vectors are kept. The padding factor is padded tokens over tokens. Search alone is
in benchmarks/search.py, and benchmarks/all.py runs both.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

MINILM = "quickstart/all-MiniLM-L6-v2"
DIMS = (384, 256, 192, 128, 64)
BATCH_SIZES = (8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MEASURES))
    parser.add_argument("--mirror", type=Path)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRANITE_BENCH_CACHE"] = tempfile.mkdtemp()
    packages = ("torch", "mteb", "sentence-transformers", "numpy", "numba")
    print(f"{_cpu()}, {os.cpu_count()} cores; Python {platform.python_version()}, ", end="")
    print(", ".join(f"{package} {version(package)}" for package in packages))
    print(f"medians of {options.repeats}; load average {os.getloadavg()[0]:.1f} before")
    for name in options.only:
        print(f"\n{name}\n", flush=True)
        MEASURES[name](options)
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


def _sweep(options: argparse.Namespace) -> None:
    from granite_bench.tasks import find_task, restrict

    model = _model()
    task = find_task("PythonStdlibRetrieval")
    if options.mirror:
        task = restrict(find_task("XQuADRetrieval", mirror=options.mirror), subsets=["en"])
    print(f"{task.metadata.name}, {', '.join(task.hf_subsets)}\n")
    _keep_data(task)

    def five_runs() -> None:
        for dim in DIMS:
            model.model.truncate_dim = dim
            try:
                _by_mteb(model, task)
            finally:
                model.model.truncate_dim = None

    def one_run() -> None:
        retriever = _retriever(model)
        _ours(retriever, task, dims=DIMS)

    _print_ratio(_in_turns({"mteb": five_runs, "ours": one_run}, options.repeats))


def _plain(options: argparse.Namespace) -> None:
    from granite_bench.tasks import find_task, restrict

    model = _model()
    tasks = {"PythonStdlibRetrieval": find_task("PythonStdlibRetrieval")}
    if options.mirror:
        found = find_task("XQuADRetrieval", mirror=options.mirror)
        tasks["XQuADRetrieval en, de"] = restrict(found, subsets=["en", "de"])
    for name, task in tasks.items():
        _keep_data(task)
        retriever = _retriever(model)
        ways = {
            "mteb": lambda task=task: _by_mteb(model, task),
            "ours": lambda task=task: _ours(_retriever(model), task),
        }
        print(f"{name}: ", end="")
        _ours(retriever, task)
        costs = [cost for seen in retriever.observations for cost in (seen.docs, seen.queries)]
        padded = sum(cost.n_tokens_padded for cost in costs)
        factor = padded / sum(cost.n_tokens_encoded for cost in costs)
        print(f"padding factor of ours {factor:.2f}")
        _print_ratio(_in_turns(ways, options.repeats))


def _encode(options: argparse.Namespace) -> None:
    model = _model()
    for name, texts in _texts_to_encode(model.model.tokenizer, options.mirror).items():
        print(f"{name}\n")
        _encode_texts(model, texts, options.repeats)


def _texts_to_encode(tokenizer: Any, mirror: Path | None) -> dict[str, list[str]]:
    from datasets import load_dataset

    from granite_bench.tasks import find_task

    rng = random.Random(0)
    code = find_task("PythonStdlibRetrieval")
    code.load_data()
    kinds = {"code": [row["text"] for row in code.dataset["default"]["test"]["corpus"]]}
    if mirror:
        folder = mirror / "mteb" / "XQuADRetrieval"
        files = [str(file) for file in sorted(folder.glob("*-corpus/*.parquet"))]
        rows = load_dataset("parquet", data_files=files, split="train")
        kinds["languages"] = list(rows["text"])
    words = [word for word in sorted(tokenizer.get_vocab()) if word.isalpha() and word.isascii()]
    kinds["words"] = [" ".join(rng.choices(words, k=rng.randint(18, 298))) for _ in range(500)]
    for name, texts in kinds.items():
        counts = map(len, tokenizer(texts)["input_ids"])
        fitting = [text for text, n in zip(texts, counts, strict=True) if 20 <= n <= 300]
        kinds[name] = rng.sample(fitting, 500) if len(fitting) > 500 else fitting
    return kinds


def _encode_texts(model: Any, texts: list[str], repeats: int) -> None:
    import numpy as np
    import torch

    from granite_bench.engine.backends.backend import Instruction
    from granite_bench.engine.encoding.encoding_cost import EncodingCost

    found: dict[str, Any] = {}

    def ours() -> None:
        cost = EncodingCost()
        encoder = _retriever(model).encoder
        found["ours"] = encoder.encode([texts], Instruction(None, ""), cost, label="").array()
        found["tokens"], found["padded"] = cost.n_tokens_encoded, cost.n_tokens_padded

    def theirs(batch_size: int) -> None:
        found["theirs"] = model.model.encode(texts, batch_size=batch_size)

    # The peak is that of a product in float32 with shapes like the model's, in the same turns:
    # a machine that others use as well is not as fast all the time.
    left, right = torch.randn(4096, 1536), torch.randn(1536, 1536)
    ways = {f"encode, batches of {n}": lambda n=n: theirs(n) for n in BATCH_SIZES}
    ways |= {"ours": ours, "product": lambda: [torch.mm(left, right) for _ in range(10)]}
    seconds = _in_turns(ways, repeats)
    peak = 10 * 2 * left.numel() * right.shape[1] / seconds.pop("product")
    cosines = (found["ours"] * found["theirs"]).sum(axis=1)
    # Two operations a weight and token, and the attention's two products over the length.
    config = model.model[0].auto_model.config
    layers, hidden, inner = (
        config.num_hidden_layers, config.hidden_size, config.intermediate_size,
    )  # fmt: skip
    all_ids = model.model.tokenizer(texts, truncation=False)["input_ids"]
    lengths = np.minimum([len(ids) for ids in all_ids], model.model.max_seq_length)
    flops = layers * (
        2 * lengths.sum() * (4 * hidden**2 + 2 * hidden * inner) + 4 * (lengths**2).sum() * hidden
    )
    by_characters = lengths[np.argsort([-len(text) for text in texts], kind="stable")]
    padding = {f"encode, batches of {n}": _padding(by_characters, n) for n in BATCH_SIZES}
    padding["ours"] = found["padded"] / found["tokens"]
    print("| way | seconds | tokens/s | padding factor | share of peak |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    for name, value in seconds.items():
        share = flops / value / peak
        print(f"| {name} | {value:.2f} | {found['tokens'] / value:,.0f} ", end="")
        print(f"| {padding[name]:.2f} | {share:.0%} |")
    best = min(value for name, value in seconds.items() if name != "ours")
    print(f"\nto batches of 32: {seconds['encode, batches of 32'] / seconds['ours']:.2f} times; ")
    print(f"to the best batch: {best / seconds['ours']:.2f} times; ", end="")
    print(f"smallest cosine 1 - {1 - cosines.min():.1e}; ", end="")
    print(f"peak {peak / 1e9:.0f} GFLOP/s\n", flush=True)


def _padding(lengths: Any, batch_size: int) -> float:
    batches = [lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)]
    return float(sum(batch.max() * len(batch) for batch in batches) / lengths.sum())


def _start(options: argparse.Namespace) -> None:
    print("| command | CPU seconds |\n| :--- | ---: |")
    for arguments in (["--help"], ["suites"], ["cache", "list"]):
        seconds = []
        for _ in range(options.repeats):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "granite_bench", *arguments]
            subprocess.run(command, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        print(f"| {' '.join(arguments)} | {statistics.median(seconds):.2f} |")


def _model() -> Any:
    from granite_bench.models import find_model

    return find_model(MINILM).load("cpu")


def _retriever(model: Any) -> Any:
    from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU
    from granite_bench.engine.forms import form_of

    encoding = {"store_folder": None, "token_budget": TOKEN_BUDGET_CPU}
    return form_of(model, encoder_options=encoding)


def _ours(retriever: Any, task: Any, dims: tuple[int, ...] = (384,)) -> None:
    import mteb

    from granite_bench.engine.scoring import needs_dictionaries, scored_over_arrays
    from granite_bench.engine.variants import Variant

    retriever.as_arrays = not needs_dictionaries(task)
    subsets = task.hf_subsets
    with scored_over_arrays():
        for subset in subsets:
            task.hf_subsets = [subset]
            for dim in dims:
                retriever.variant = Variant(None if dim == DIMS[0] else dim)
                mteb.evaluate(
                    retriever, task, cache=None, co2_tracker=False, show_progress_bar=False
                )
    task.hf_subsets = subsets


def _keep_data(task: Any) -> None:
    """mteb unloads data after each evaluation; kept, loading them is in nobody's time."""
    task.load_data()
    task.unload_data = lambda: None


def _by_mteb(model: Any, task: Any) -> None:
    import mteb

    mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)


def _in_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _print_ratio(seconds: dict[str, float]) -> None:
    ratio = seconds["mteb"] / seconds["ours"]
    print("| mteb, s | ours, s | times as fast |\n| ---: | ---: | ---: |")
    print(f"| {seconds['mteb']:.1f} | {seconds['ours']:.1f} | {ratio:.2f} |", flush=True)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if "model name" in line), "unknown")


MEASURES: dict[str, Callable[[argparse.Namespace], None]] = {
    "encode": _encode,
    "sweep": _sweep,
    "plain": _plain,
    "start": _start,
}

if __name__ == "__main__":
    main()
