"""
What workers cost and what they bring: one worker against this process, then 1, 2 and 4 nodes.

    python benchmarks/cluster.py [--texts 2048] [--turns 3] [--nodes 1 2 4] [--rate 20000]

The overhead is measured with a real model: all-MiniLM-L6-v2 encodes the same texts in this process
and through one worker of a local Ray, in turns, both with one torch thread; start-up is told apart.
How throughput grows with nodes is measured with a backend that sleeps as long as a model of --rate
tokens per second would take, since this machine's cores would be the limit of a real one: each
node is a Ray node of its own on loopback. What sleeps says how the hand-out of work scales, not
how fast a model is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from granite_bench.cluster.options import ClusterOptions
from granite_bench.cluster.pool import Pool
from granite_bench.cluster.session import Seat, connected
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens, estimated
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.form_loading import EngineOptions, load_form
from granite_bench.models import find_model
from granite_bench.tasks import find_task

DIM = 384
INSTRUCTION = Instruction("document", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--texts", type=int, default=2048, help="0 leaves the overhead out")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rate", type=float, default=20_000, help="tokens per second that sleep")
    parser.add_argument("--shards-per-node", type=int, default=12)
    options = parser.parse_args()
    texts = _texts()
    if options.texts:
        _overhead(texts[: options.texts], options.turns)
    _scaling(texts, options)


def _texts() -> list[str]:
    """Documents of the standard-library code task, in their order."""
    task = find_task("PythonStdlibRetrieval")
    task.load_data()
    [splits] = task.dataset.values()
    [data] = splits.values()
    return list(data["corpus"]["text"])


def _overhead(texts: Sequence[str], turns: int) -> None:
    """Seconds for the same texts, in this process and through one worker."""
    torch.set_num_threads(1)
    source = find_model("quickstart/all-MiniLM-L6-v2")
    here = load_form(source, EngineOptions(device="cpu"))
    ratios, seconds = [], []
    started = time.perf_counter()
    with connected(ClusterOptions(devices=["cpu"])) as seats, _pool(seats) as pool:
        ray_seconds = time.perf_counter() - started
        facts = pool.load(partial(_load_real, source), None)
        ready_seconds = time.perf_counter() - started
        for turn in range(-1, turns):
            fresh = [f"{text} {turn}" for text in texts]
            local = _seconds(partial(_encode_here, here.encoder, fresh))
            through = _seconds(partial(_encode_there, pool, facts, fresh))
            if turn >= 0:  # the first turn warms up both
                ratios.append(through / local)
                seconds.append((local, through))
    print(f"start-up: Ray {ray_seconds:.1f} s, worker with its model {ready_seconds:.1f} s")
    for local, through in seconds:
        print(f"{len(texts)} texts: {local:.2f} s here, {through:.2f} s through one worker")
    print(f"ratio: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def _scaling(texts: Sequence[str], options: argparse.Namespace) -> None:
    """Texts per second of a sleeping backend on more and more nodes."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(max(options.nodes) - 1):
        cluster.add_node(**node)
    rates: dict[int, list[float]] = {n: [] for n in options.nodes}
    try:
        with connected(ClusterOptions(address=cluster.address)) as seats:
            # A share of a core each: what sleeps needs none, and all nodes are on this machine.
            seats = [replace(seat, options={**seat.options, "num_cpus": 0.5}) for seat in seats]
            for turn in range(options.turns):
                for n_nodes in options.nodes:
                    with _pool(seats[:n_nodes]) as pool:
                        facts = pool.load(partial(_load_sleeping, options.rate), None)
                        pool.wait(n_nodes)
                        n_texts = 1024 * options.shards_per_node * n_nodes
                        many = [f"{texts[i % len(texts)]} {i} {turn}" for i in range(n_texts)]
                        took = _seconds(partial(_encode_there, pool, facts, many))
                        rates[n_nodes].append(n_texts / took)
                        print(f"{n_nodes} nodes: {n_texts:,} texts in {took:.1f} s", flush=True)
    finally:
        cluster.shutdown()
    first = statistics.median(rates[options.nodes[0]]) / options.nodes[0]
    for n_nodes, found in rates.items():
        rate = statistics.median(found)
        print(
            f"{n_nodes} nodes: {rate:,.0f} texts/s (median of {len(found)}), "
            f"{rate / (n_nodes * first):.0%} of {n_nodes} times one"
        )


@contextmanager
def _pool(seats: list[Seat]) -> Iterator[Pool]:
    pool = Pool(seats)
    try:
        yield pool
    finally:
        pool.close()


def _seconds(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _encode_here(encoder: Encoder[Any], texts: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # a worker stores what it encodes, so does this
        own = Encoder(
            encoder.backend, encoder.identity, store_folder=Path(folder),
            token_budget=encoder.token_budget,
        )  # fmt: skip
        own.encode([texts], INSTRUCTION, EncodingCost(), label="texts")


def _encode_there(pool: Pool, facts: Any, texts: Sequence[str]) -> None:
    backend: Any = SimpleNamespace(
        **{**facts.backend, "knows_tokens": lambda instruction: True}, hardware={}
    )
    encoder: Encoder[Any] = Encoder(
        backend, facts.identity, store_folder=None, token_budget=facts.token_budget,
        elsewhere=PoolEncoder(pool, facts),
    )  # fmt: skip
    encoder.encode([texts], INSTRUCTION, EncodingCost(), label="texts")


def _load_real(source: Any, vectors: Any, device: str | None) -> Any:
    torch.set_num_threads(1)
    return load_form(source, EngineOptions(device=device, vectors=vectors))


def _load_sleeping(rate: float, vectors: Any, device: str | None) -> Any:
    backend: Any = _SleepingBackend(rate)
    encoder: Encoder[Any] = Encoder(
        backend, {"model": "sleeping", "rate": rate}, store_folder=vectors, token_budget=1 << 20
    )
    model = SimpleNamespace(mteb_model_meta=None, similarity=None)
    return DenseRetriever(model, encoder=encoder)  # type: ignore[arg-type]


class _SleepingBackend:
    """Takes the time of a model of so many tokens per second, and gives random vectors."""

    name, max_length, dtype, device = "sleeping", None, "float32", "cpu"
    attention, similarity_name, pads = None, "cosine", False

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def knows_tokens(self, instruction: Instruction) -> bool:
        return True

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        return estimated(texts, "", None)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        time.sleep(float(tokens.lengths[rows].sum()) / self._rate)
        return np.random.default_rng(0).random((len(rows), DIM), dtype=np.float32)

    def release_memory(self) -> None:
        pass


if __name__ == "__main__":
    main()
