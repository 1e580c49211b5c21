"""
A model behind a real server, and the same model loaded here: vectors and scores.

    python benchmarks/endpoint.py --model-folder DIR --model NAME --url URL [--task TASK]
        [--server COMMAND] [--reranker-folder DIR --reranker NAME [--reranker-url URL]]

    --model-folder   a sentence-transformers folder, which the server serves too
    --model          what the server calls it
    --server         starts the server; {folder} and {reranker_folder} in it are replaced. Left
                     out, it runs already
    --task           a task's name or a BEIR-layout folder; the built-in stdlib task by default
    --reranker...    a cross-encoder folder, to compare the scores of the first ten queries with
                     all documents

Printed as Markdown: nDCG@10 by mteb's own search both ways, the cosines of the two vectors of each
text, requests, tokens and seconds. The engine over an endpoint is compared by running granite-bench
run twice, with and without --endpoint. A server that serves a folder on a CPU, from the registry,
in an environment of its own:

    pip install "infinity-emb[torch,server]==0.0.78" "transformers<4.49"
    infinity_emb v2 --model-id {folder} --served-model-name NAME --engine torch --device cpu
        --dtype float32 --no-bettertransformer --url-prefix /v1 --host 127.0.0.1 --port 7997
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STARTUP_SECONDS = 180


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-folder", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--server")
    parser.add_argument("--task", default="PythonStdlibRetrieval")
    parser.add_argument("--reranker-folder", type=Path)
    parser.add_argument("--reranker")
    parser.add_argument("--reranker-url")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with _server(options):
        _embeddings(options)
        if options.reranker:
            _scores(options)


def _embeddings(options: argparse.Namespace) -> None:
    import mteb
    import numpy as np

    from granite_bench.engine.endpoint.client import Endpoint
    from granite_bench.engine.endpoint.embeddings import EndpointModel
    from granite_bench.models import find_model
    from granite_bench.tasks import find_task

    task = find_task(options.task)
    task.load_data()
    source = find_model(str(options.model_folder))
    here = source.load("cpu")
    there = EndpointModel(source.meta, Endpoint(options.url), name=options.model)
    print("| | nDCG@10 | seconds |\n|---|---|---|")
    for name, model in (("here", here), ("there", there)):
        started = time.perf_counter()
        results = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
        seconds = time.perf_counter() - started
        scores = [s for split in results.task_results[0].scores.values() for s in split]
        print(f"| {name} | {np.mean([s['ndcg_at_10'] for s in scores]):.5f} | {seconds:.1f} |")
    usage = there.backend.endpoint.usage
    print(f"\n{there.identity}\n{usage}")
    texts = _texts(task)
    asked = {"task_metadata": task.metadata, "hf_split": "", "hf_subset": ""}
    own = here.model.encode(texts, normalize_embeddings=True)
    other = there.encode([{"text": texts}], **asked)
    cosines = (own * other).sum(axis=1) / np.linalg.norm(other, axis=1)
    middle = np.median(cosines)
    print(f"cosine of {len(texts)} texts: least {cosines.min():.7f}, median {middle:.7f}")


def _scores(options: argparse.Namespace) -> None:
    import numpy as np
    from mteb.models import ModelMeta
    from sentence_transformers import CrossEncoder

    from granite_bench.engine.backends.pairs import pair_text
    from granite_bench.engine.endpoint.client import Endpoint
    from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder
    from granite_bench.tasks import find_task

    task = find_task(options.task)
    task.load_data()
    documents = _texts(task, "corpus")
    queries = _texts(task, "queries")[:10]
    meta = ModelMeta.create_empty(overwrites={"name": "local/reranker", "revision": "1"})
    endpoint = Endpoint(options.reranker_url or options.url)
    there = EndpointCrossEncoder(meta, endpoint, name=options.reranker).backend
    here = CrossEncoder(str(options.reranker_folder), device="cpu")
    no_prompt = there.instruction()
    differences, same = [], 0
    for query in queries:
        own = here.predict([(query, document) for document in documents])
        pairs = there.tokenize([pair_text(query, document) for document in documents], no_prompt)
        other = there.encode(pairs, np.arange(len(documents)), no_prompt)[:, 0]
        differences.append(np.abs(own - other).max())
        same += int(np.array_equal(np.argsort(-own)[:10], np.argsort(-other)[:10]))
    print(
        f"\nreranker, {len(queries)} queries x {len(documents)} documents: largest difference "
        f"{max(differences):.2e}, the same ten best for {same} queries; {endpoint.usage}"
    )


def _texts(task: Any, kind: str = "corpus") -> list[str]:
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    subset = next(iter(task.dataset.values()))
    rows = next(iter(subset.values()))[kind]
    return [
        f"{row['title']} {row['text']}".strip() if row.get("title") else row["text"] for row in rows
    ]


@contextlib.contextmanager
def _server(options: argparse.Namespace) -> Iterator[None]:
    if options.server is None:
        yield
        return
    command = options.server.format(
        folder=options.model_folder, reranker_folder=options.reranker_folder
    )
    process = subprocess.Popen(
        shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"{options.url.rstrip('/')}/models", process)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(STARTUP_SECONDS):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        time.sleep(1)
    raise SystemExit(f"nothing answers at {address} after {STARTUP_SECONDS} s")


if __name__ == "__main__":
    main()
