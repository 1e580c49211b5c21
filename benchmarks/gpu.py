"""
What a GPU gives, in one call of a few minutes: ours beside SentenceTransformer.encode.

    python benchmarks/gpu.py [--device cuda:0] [--texts 8192] [--repeats 3] [--only MODEL,...]

Two models of random weights in the shapes of granite-embedding-97m- and -311m-multilingual-r2, in
bfloat16, each as a folder that sentence-transformers loads, with a tokenizer whose tokens are words
(faster than a real one; what a real one takes is in benchmarks/memory.py --tokenize). Two kinds of
texts: chunks of 512 tokens, and lengths from 16 to 2,048 (log-uniform), which padding costs more.

    encode, default       SentenceTransformer.encode as it comes: float32, batches of 32
    encode, bfloat16, N   the same in bfloat16 with SDPA, batches of N; the best of them counts
    ours, padded          our batches and tokenisation ahead of the model, with padding
    ours                  texts end to end, without padding
    ours, compiled        the same, its layers compiled

Ways take turns, once to warm up and then --repeats times; medians are printed as Markdown, with the
share of the measured peak of a matrix product in the same dtype (the best of before and after), and
energy where NVML knows it. A second table has the parts of a pass of "ours", each alone, and which
is longest (see gpu_parts.py). Vectors without padding are compared with those of the padded float32
model, and a real model's nDCG@10 in bfloat16 without padding with that in float32 with it. Out of
memory leaves a way out.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_parts import PLAIN, measure_parts, print_parts

from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.provenance import hardware
from granite_bench.speed.chunks import WORD_SPECIAL_TOKENS
from granite_bench.speed.counters import sample, warnings
from granite_bench.speed.geometry import Geometry, flops
from granite_bench.speed.geometry_table import find_geometry
from granite_bench.speed.measure import matrix_product_peak
from granite_bench.speed.prose import VOCABULARY, words
from granite_bench.speed.untrained import UntrainedBackend

MODELS = "granite-embedding-97m-multilingual-r2,granite-embedding-311m-multilingual-r2"
BATCH_SIZES = (32, 128, 512)
TOKEN_BUDGET = 131_072
QUICKSTART = "quickstart/all-MiniLM-L6-v2"
WHOLE = "ours"
"""The way whose parts are measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--texts", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=MODELS, help="geometries, or paths of a config.json")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(f"{hardware(options.device)}; torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(","):
            _measure_model(find_geometry(name), Path(folder) / Path(name).name, options)
            gc.collect()  # models are cycles of modules
            torch.cuda.empty_cache()
    _compare_scores(options.device)


def _measure_model(geometry: Geometry, folder: Path, options: argparse.Namespace) -> None:
    _save(geometry, folder)
    single = _load(folder, options.device, torch.float32)
    half = _load(folder, options.device, torch.bfloat16)
    for kind, lengths in _lengths(options.texts).items():
        texts = [
            " ".join(words(f"{kind}:{number}", n - WORD_SPECIAL_TOKENS, list(VOCABULARY)))
            for number, n in enumerate(lengths)
        ]
        what = f"{len(texts):,} texts, {lengths.sum():,} tokens"
        print(f"## {geometry.name}, {kind}\n\n{what}\n", flush=True)
        _check_vectors(single, half, texts[:64])
        before = matrix_product_peak(options.device, "bfloat16")
        counted = _take_turns(_ways(single, half, texts), options)
        peak = max(before, matrix_product_peak(options.device, "bfloat16"))
        print(f"peak of the matrix product: {peak / 1e12:,.1f} TFLOP/s\n")
        n_flops = flops(geometry, lengths)
        seconds = _print_ways(counted, lengths, n_flops, peak)
        if WHOLE in seconds:
            parts = measure_parts(
                half, _backend(half, padding=False), texts, TOKEN_BUDGET, options.repeats
            )
            print_parts(
                parts,
                whole_seconds=seconds[WHOLE],
                n_texts=len(texts),
                bound_seconds=n_flops / peak,
            )


def _ways(single: Any, half: Any, texts: list[str]) -> dict[str, Callable[[], object]]:
    ways: dict[str, Callable[[], object]] = {"encode, default": partial(single.encode, texts)}
    for size in BATCH_SIZES:
        ways[f"encode, bfloat16, {size}"] = partial(half.encode, texts, batch_size=size)
    ways["ours, padded"] = _ours(half, texts, padding=True)
    ways[WHOLE] = _ours(half, texts, padding=False)
    ways["ours, compiled"] = _ours(half, texts, padding=False, compile=True)
    return ways


def _lengths(n_texts: int) -> dict[str, Any]:
    """Tokens of each text, special ones included."""
    drawn = np.random.default_rng(0).uniform(math.log(16), math.log(2048), n_texts // 2)
    return {
        "chunks of 512": np.full(n_texts, 512, np.int32),
        "mixed lengths": np.exp(drawn).astype(np.int32),
    }


def _save(geometry: Geometry, folder: Path) -> None:
    """The untrained model as a folder of sentence-transformers, its tokenizer one of words."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    ids = {"[CLS]": 0, "[PAD]": 1, "[SEP]": 2, "[UNK]": 3}
    ids |= {word: number for number, word in enumerate(VOCABULARY, start=len(ids))}
    rust = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    rust.pre_tokenizer = WhitespaceSplit()
    rust.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=rust, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        unk_token="[UNK]", model_max_length=geometry.max_length,
    )  # fmt: skip
    inner = folder / "transformer"
    UntrainedBackend(geometry).model.save_pretrained(inner)
    tokenizer.save_pretrained(inner)
    transformer = Transformer(str(inner), max_seq_length=min(geometry.max_length, 8192))
    pooling = Pooling(geometry.hidden_size, pooling_mode=geometry.pooling)
    SentenceTransformer(modules=[transformer, pooling, Normalize()]).save(str(folder / "model"))


def _load(folder: Path, device: str, dtype: torch.dtype) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        str(folder / "model"),
        device=device,
        model_kwargs={"dtype": dtype, "attn_implementation": "sdpa"},
    )


def _backend(model: Any, **options: bool) -> SentenceTransformersBackend:
    from mteb.models import ModelMeta
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    wrapper = SentenceTransformerEncoderWrapper(model)
    wrapper.mteb_model_meta = ModelMeta.create_empty(
        overwrites={"name": "benchmark/untrained", "revision": "1"}
    )
    return SentenceTransformersBackend(wrapper, **options)


def _ours(model: Any, texts: list[str], **options: bool) -> Callable[[], object]:
    backend = _backend(model, **options)

    def encode() -> object:
        encoder = Encoder(backend, {}, store_folder=None, token_budget=TOKEN_BUDGET)
        return encoder.encode([texts], PLAIN, EncodingCost(), label="texts")

    return encode


def _check_vectors(single: Any, half: Any, texts: list[str]) -> None:
    backend = _backend(half, padding=False)
    tokens = backend.tokenize(texts, PLAIN)
    ours = backend.encode(tokens, np.arange(len(texts)), PLAIN)
    theirs = single.encode(texts, batch_size=8)
    least = float((ours * theirs).sum(axis=1).min())
    print(f"attention: {backend.attention}; least cosine to float32, padded: {least:.6f}\n")


def _take_turns(
    ways: dict[str, Callable[[], object]], options: argparse.Namespace
) -> dict[str, list[Any]]:
    """Way -> the counters of each turn; none where the memory was too small."""
    found: dict[str, list[Any]] = {name: [] for name in ways}
    for turn in range(options.repeats + 1):
        for name, way in list(ways.items()):
            try:
                with sample(options.device) as sampler:
                    way()
            except torch.OutOfMemoryError:
                del ways[name]
                found[name].clear()
                torch.cuda.empty_cache()
                continue
            if turn:
                found[name].append(sampler.counters())
    return found


def _print_ways(
    found: dict[str, list[Any]], lengths: Any, n_flops: float, peak: float
) -> dict[str, float]:
    """Prints the table of the ways; their median seconds."""
    print("| way | texts/s | tokens/s | share of peak | J per million tokens |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    seconds = {}
    for name, counted in found.items():
        if not counted:
            print(f"| {name} | out of memory | | | |")
            continue
        seconds[name] = statistics.median(each.seconds for each in counted)
        joules = [each.energy_joules for each in counted if each.energy_joules is not None]
        energy = f"{statistics.median(joules) / lengths.sum() * 1e6:,.1f}" if joules else ""
        speeds = [f"{count / seconds[name]:,.0f}" for count in (len(lengths), lengths.sum())]
        share = n_flops / seconds[name] / peak
        print(f"| {name} | {' | '.join(speeds)} | {share:.0%} | {energy} |")
    theirs = [value for name, value in seconds.items() if name.startswith("encode, bf")]
    ours = [value for name, value in seconds.items() if name.startswith("ours")]
    if theirs and ours:
        print(f"\nour best to encode's best: {min(theirs) / min(ours):.2f} times")
    said: dict[str, str] = {}  # of each kind the first: every turn words it with its own figures
    for each in (each for counted in found.values() for each in counted):
        for text in warnings(each):
            said.setdefault(text.partition(":")[0], text)
    print("\n".join(["", *said.values(), ""]), flush=True)
    return seconds


def _compare_scores(device: str) -> None:
    """nDCG@10 of a real model on the built-in code task, in float32 padded and bfloat16 not."""
    import granite_bench

    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype, padding in (("float32", True), ("bfloat16", False)):
            out = Path(folder) / dtype
            granite_bench.run(
                tasks=["PythonStdlibRetrieval"], models=[QUICKSTART], device=device, dtype=dtype,
                padding=padding, vectors=None, results=out,
            )  # fmt: skip
            found = granite_bench.load_results(out)
            scores.append(float(found[found.metric == "ndcg_at_10"].value.iloc[0]))
    print(f"{QUICKSTART} on PythonStdlibRetrieval, nDCG@10: {scores[0]:.5f} in float32, ", end="")
    print(f"{scores[1]:.5f} in bfloat16 without padding")


if __name__ == "__main__":
    main()
