"""
The memory and the time of everything that is not the model, for a large corpus.

    python benchmarks/memory.py [--docs 5000000] [--queries 1000] [--dim 384] [--top-k 100]
        [--folder FOLDER] [--tokenize]

A made-up corpus of short documents (twelve words of a vocabulary; one in a hundred stands twice)
goes through what an evaluation goes through: the corpus as mteb hands it over, addresses, batches,
the vector store on the disk, exact search, and then once more with every vector found in the
store. A stand-in makes the vectors, out of two rows of a table; its own time is measured and
taken off. --tokenize has the tokenizer of all-MiniLM-L6-v2 read every document as well.

Printed are microseconds a document, and the peak of the process's own memory (Linux: RssAnon,
sampled; pages of files that the kernel may drop at any time are not in it), above what it held
when everything was imported. The store needs 4 bytes per dimension and document on the disk, in
a temporary folder below --folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.backends.tokens import Tokens, estimated
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU
from granite_bench.models import find_model

WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("ato", "eru", "ilo", "uma")]
TABLE_ROWS = 1 << 16


class StandIn:
    """A backend whose vectors cost next to nothing: two rows of a table, chosen by a checksum."""

    name, dtype, device, attention, similarity_name = "stand-in", "float32", "cpu", None, "cosine"
    pads = False

    def __init__(self, dim: int, tokenizer: SentenceTransformersBackend | None) -> None:
        self.max_length = None if tokenizer is None else tokenizer.max_length
        self.seconds = 0.0
        self._tokenizer = tokenizer
        self._table = np.random.default_rng(0).standard_normal((TABLE_ROWS, dim), dtype=np.float32)

    def instruction(self, task: Any, prompt_type: Any) -> Instruction:
        """None at all."""
        return Instruction(None, "")

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Where there is a tokenizer."""
        return self._tokenizer is not None

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """By the tokenizer, or guessed from the characters."""
        if self._tokenizer is None:
            return estimated(texts, "", self.max_length)
        return self._tokenizer.tokenize(texts, instruction)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One vector a text; its time is taken off."""
        started = time.perf_counter()
        sums = np.array([zlib.crc32(tokens.texts[row].encode()) for row in rows], np.uint32)
        found: npt.NDArray[np.float32] = self._table[sums % TABLE_ROWS]
        found += self._table[sums // TABLE_ROWS]
        self.seconds += time.perf_counter() - started
        return found

    def release_memory(self) -> None:
        """Nothing to release."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--docs", type=int, default=5_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tokenize", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        _measure(options, Path(folder))


def _measure(options: argparse.Namespace, folder: Path) -> None:
    from datasets import Dataset

    corpus = Dataset.from_generator(
        _rows, gen_kwargs={"count": options.docs}, cache_dir=str(folder / "corpus")
    )
    queries = Dataset.from_list(list(_rows(options.queries)))
    _search_a_little(options, folder)
    print(
        f"{options.docs:,} documents, {options.queries:,} queries, {options.dim} dimensions, ",
        end="",
    )
    print(f"top {options.top_k}; {'tokenised' if options.tokenize else 'not tokenised'}\n")
    print("| step | seconds | µs a document | peak memory, MiB |\n| :--- | ---: | ---: | ---: |")
    base = _own_memory()
    for turn in ("encoded", "found in the store"):
        backend, retriever = _retriever(options, folder / "store")
        with _Peak() as peak:
            started = time.perf_counter()
            retriever.index(corpus, **_where())
            seconds = time.perf_counter() - started - backend.seconds
        _print_row(f"corpus, {turn}", seconds, options.docs, peak.most - base)
        with _Peak() as peak:
            started = time.perf_counter()
            retriever.search(queries, top_k=options.top_k, **_where())
            seconds = time.perf_counter() - started - backend.seconds
        _print_row("search", seconds, options.docs, peak.most - base)


def _search_a_little(options: argparse.Namespace, folder: Path) -> None:
    """Loads and compiles everything."""
    from datasets import Dataset

    small = Dataset.from_list(list(_rows(10)))
    _, retriever = _retriever(options, folder / "small")
    retriever.index(small, **_where())
    retriever.search(small, top_k=5, **_where())


def _retriever(options: argparse.Namespace, store: Path) -> tuple[StandIn, DenseRetriever]:
    tokenizer = None
    model: Any = SimpleNamespace(mteb_model_meta=None, similarity=None)
    if options.tokenize:
        loaded = find_model("quickstart/all-MiniLM-L6-v2").load("cpu")
        tokenizer = SentenceTransformersBackend(loaded)
    backend = StandIn(options.dim, tokenizer)
    encoder = Encoder(
        backend, {"model": "stand-in"}, store_folder=store, token_budget=TOKEN_BUDGET_CPU
    )
    retriever = DenseRetriever(model, encoder=encoder)
    retriever.as_arrays = True
    return backend, retriever


def _rows(count: int) -> Iterator[dict[str, str]]:
    rng = np.random.default_rng(1)
    for first in range(0, count, 10_000):
        for number, row in enumerate(rng.integers(0, len(WORDS), (10_000, 12)).tolist()):
            if first + number >= count:
                return
            if number % 100 or number == 0:
                text = " ".join([WORDS[word] for word in row])
            yield {"id": f"d{first + number}", "title": "", "text": text}


def _where() -> dict[str, Any]:
    return {
        "task_metadata": None, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}
    }  # fmt: skip


def _own_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


class _Peak:
    """The largest RssAnon while the block runs, in bytes, seen every 20 ms."""

    def __enter__(self) -> _Peak:
        self.most = _own_memory()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, _own_memory())


def _print_row(step: str, seconds: float, n_docs: int, peak: int) -> None:
    print(f"| {step} | {seconds:.1f} | {seconds / n_docs * 1e6:.1f} | {peak / 2**20:,.0f} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
