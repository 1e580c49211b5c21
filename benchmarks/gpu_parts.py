"""
Where the time of a pass goes: its parts, each alone, for the last table of gpu.py.

In a pass tokenisation runs ahead in a thread, so parts on the host and on the device overlap, and
the longest of them is what limits the pass. Parts of the device are between events on its stream
(on a CPU, between looks at the clock); what attention takes is what is saved when it is left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

from granite_bench.engine.backends.backend import Instruction, wait_for_device
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.backends.unpadded import pooled
from granite_bench.engine.backends.unpadded_attention import REGISTERED
from granite_bench.engine.backends.unpadded_transformer import UnpaddedTransformer, to_device
from granite_bench.engine.encoding.batching import token_budget_batches

PLAIN = Instruction(None, "")

LAUNCH_BOUND = 0.9
"""Asking for kernels takes this share of running them, or more: the device waits for the host."""


@dataclass(frozen=True)
class Parts:
    """
    Seconds of one pass over some texts, part by part, the median of several.

    Attributes:
        host: part -> seconds; of these, tokenising runs ahead of the rest.
        device: part -> seconds of batches whose inputs lie on the device: *forward*, *pooling*
            and *copying back*, and *waiting* for the host between batches.
        attention: of *forward*.
        compiled: *forward* with compiled layers.
        launching: until the host has asked for *forward*; None on a CPU, which computes at once.
    """

    host: Mapping[str, float]
    device: Mapping[str, float]
    attention: float
    compiled: float
    launching: float | None

    @property
    def limit(self) -> str:
        """What takes longest of what runs side by side."""
        ahead, launching = self.host["tokenising"], self.launching or 0.0
        waits = launching >= LAUNCH_BOUND * self.device["forward"]
        sides = {
            "tokenisation": ahead,
            "the host, between batches": sum(self.host.values()) - ahead,
            "launching kernels" if waits else "the device": sum(self.device.values()),
        }
        return max(sides, key=lambda side: sides[side])


def measure_parts(
    model: Any, backend: SentenceTransformersBackend, texts: list[str], budget: int, repeats: int
) -> Parts:
    """
    The parts of encoding *texts* without padding.

    Args:
        model: a SentenceTransformer of Transformer, Pooling and Normalize.
        backend: of that model, for its tokenizer.
        budget: tokens per batch.
        repeats: measurements of each part, after one that is not counted.
    """
    tokens = backend.tokenize(texts, PLAIN)
    batches = list(token_budget_batches(tokens.lengths, token_budget=budget))
    lengths = [tokens.lengths[rows] for rows in batches]
    on_host = [tokens.flat(rows) for rows in batches]
    device = torch.device(backend.device)
    inputs = [(to_device(ids, device), n) for ids, n in zip(on_host, lengths, strict=True)]

    def prepare() -> None:
        for rows in token_budget_batches(tokens.lengths, token_budget=budget):
            tokens.flat(rows)

    def copy_in() -> None:
        for ids in on_host:
            to_device(ids, device)

    host = {
        "tokenising": _median(lambda: backend.tokenize(texts, PLAIN), device, repeats),
        "cutting batches, gathering ids": _median(prepare, device, repeats),
        "copying ids to the device": _median(copy_in, device, repeats),
    }
    plain = UnpaddedTransformer(model[0].auto_model)
    on_device = _device_parts(model, plain, inputs, repeats)
    with _attention_left_out():
        without = _device_parts(model, plain, inputs, repeats)["forward"]
    compiled = UnpaddedTransformer(model[0].auto_model, compile=True)
    return Parts(
        host=host,
        device=on_device,
        attention=on_device["forward"] - without,
        compiled=_device_parts(model, compiled, inputs, repeats)["forward"],
        launching=_launching(plain, inputs, repeats) if device.type == "cuda" else None,
    )


def _device_parts(
    model: Any, transformer: UnpaddedTransformer, inputs: Sequence[Any], repeats: int
) -> dict[str, float]:
    """As a pass has them: the vectors of a batch are on the host before the next one begins."""
    every = [_device_pass(model, transformer, inputs) for _ in range(repeats + 1)][1:]
    return {part: statistics.median(each[part] for each in every) for part in every[0]}


@torch.inference_mode()
def _device_pass(
    model: Any, transformer: UnpaddedTransformer, inputs: Sequence[Any]
) -> dict[str, float]:
    mode, device = model[1].pooling_mode, transformer.device
    laps = []
    wait_for_device(str(device))
    started = time.perf_counter()
    for ids, lengths in inputs:
        begin = _mark(device)
        states = transformer.token_states(ids, lengths)
        read = _mark(device)
        features = {"sentence_embedding": pooled(states, lengths, mode)}
        for module in list(model)[2:]:
            features = module(features)
        made = _mark(device)
        features["sentence_embedding"].cpu()
        laps.append((begin, read, made, _mark(device)))
    wait_for_device(str(device))
    seconds = time.perf_counter() - started
    names = "forward", "pooling", "copying back"
    found = {
        name: sum(_between(lap[place], lap[place + 1]) for lap in laps)
        for place, name in enumerate(names)
    }
    return {**found, "waiting": max(0.0, seconds - sum(found.values()))}


def _launching(transformer: UnpaddedTransformer, inputs: Sequence[Any], repeats: int) -> float:
    """Batch by batch from an idle device: a full queue would make the host wait for kernels."""
    every = []
    for _ in range(repeats + 1):
        seconds = 0.0
        for ids, lengths in inputs:
            wait_for_device(str(transformer.device))
            started = time.perf_counter()
            transformer.token_states(ids, lengths)
            seconds += time.perf_counter() - started
        every.append(seconds)
    wait_for_device(str(transformer.device))
    return statistics.median(every[1:])


@contextmanager
def _attention_left_out() -> Iterator[None]:
    """Attention returns its values as they are; all else is computed as before."""

    def values_alone(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, None]:
        return value.transpose(1, 2).contiguous(), None

    registered = AttentionInterface()
    usual = {name: registered[name] for name in REGISTERED.values()}
    try:
        for name in usual:
            AttentionInterface.register(name, values_alone)
        yield
    finally:
        for name, function in usual.items():
            AttentionInterface.register(name, function)


def _median(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    every = []
    for _ in range(repeats + 1):
        wait_for_device(str(device))
        started = time.perf_counter()
        work()
        wait_for_device(str(device))
        every.append(time.perf_counter() - started)
    return statistics.median(every[1:])


def _mark(device: torch.device) -> torch.cuda.Event | float:
    """A place in the device's work."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _between(begin: Any, end: Any) -> float:
    """Seconds; events must have happened."""
    return end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1000


def print_parts(parts: Parts, *, whole_seconds: float, n_texts: int, bound_seconds: float) -> None:
    """
    One table in Markdown, and what is longest.

    Args:
        whole_seconds: of a pass end to end.
        bound_seconds: of the same operations at the measured peak of the matrix product.
    """
    rows: list[tuple[str, str, float]] = [("a pass, end to end", "both", whole_seconds)]
    rows += [(name, "host", seconds) for name, seconds in parts.host.items()]
    rows += [(name, "device", seconds) for name, seconds in parts.device.items()]
    rows.append(("attention, of forward", "device", parts.attention))
    rows.append(("forward, compiled", "device", parts.compiled))
    rows.append(("forward, at the peak of the matrix product", "device", bound_seconds))
    if parts.launching is not None:
        rows.append(("launching forward", "host", parts.launching))
    print("| part | where | s | texts/s | of a pass |")
    print("| :--- | :--- | ---: | ---: | ---: |")
    for name, where, seconds in rows:
        speed = f"{n_texts / seconds:,.0f}" if seconds > 0 else ""
        print(f"| {name} | {where} | {seconds:.4f} | {speed} | {seconds / whole_seconds:.0%} |")
    print(f"\nlongest: {parts.limit}\n", flush=True)
