"""
Tokens a second of a model on a device, and where the figure is from.

In this order: records of granite-bench speed of this model on such a device; what earlier runs of
it took there; and, where nobody has measured it, arithmetic: the floating-point operations of a
token over what the device computes at most, of which a share is assumed that the forecast prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from granite_bench.forecast.devices import Device
from granite_bench.forecast.estimate import Estimate
from granite_bench.forecast.reader import Reader
from granite_bench.models import ModelSource
from granite_bench.results.speed_columns import device_label
from granite_bench.results.speed_records import SpeedRecord, read_speed_records
from granite_bench.results.tree import Result, read_results, results_root
from granite_bench.speed.geometry import flops

UTILISATION = {
    "gpu": {
        "bfloat16": Estimate(0.03, 0.1, 0.4),
        "float16": Estimate(0.03, 0.1, 0.4),
        "float32": Estimate(0.2, 0.5, 0.8),
    },
    "cpu": {
        "bfloat16": Estimate(0.3, 0.6, 0.85),
        "float16": Estimate(0.3, 0.6, 0.85),
        "float32": Estimate(0.5, 0.75, 0.85),
    },
}
"""
Of the peak, while a model encodes. On a CPU benchmarks/RESULTS.md measured 0.52 to 0.85 in float32.
On a GPU in half precision the least is what the documents a second of the Granite R2 paper's table
4 come to on an H100 (0.03 for the small model, 0.08 for the base one, precision not stated); the
rest is assumed.
"""

LEAST_SECONDS = 1.0
"""Of encoding, for the rate of one task of an earlier run to count by itself."""


@dataclass(frozen=True)
class Rate:
    """
    How fast a model is.

    Attributes:
        tokens_per_second: without padding, tokenisation included.
        basis: what kind of figure it is.
        source: where it is from, for people.
    """

    tokens_per_second: Estimate
    basis: Literal["speed record", "earlier runs", "arithmetic"]
    source: str


class Rates:
    """
    What is known of speeds on a device.

    Args:
        results: the folder of results and of speed records; need not exist.
    """

    def __init__(self, device: Device, results: Path) -> None:
        self.device = device
        there = results_root(results).is_dir()
        self._speeds = read_speed_records(results) if there else []
        self._results = read_results(results) if there else []

    def of(self, reader: Reader, tokens_per_text: float) -> Rate | str:
        """
        The rate of a model, for texts of so many tokens in the mean; or why nobody knows.

        Args:
            reader: of the model.
        """
        source = reader.source
        if source.loading.endpoint is not None:
            return "a server computes it, whose speed is not known"
        if source.meta.n_parameters == 0:
            return "it searches by itself, without a rate of tokens"
        return (
            self._of_speed_records(reader, tokens_per_text)
            or self._of_earlier_runs(source)
            or self._of_arithmetic(reader, tokens_per_text)
        )

    def load_seconds(self, source: ModelSource) -> float | None:
        """What loading the model took in earlier runs on such a device, the most of them."""
        found = [
            float(run.get("seconds", {}).get("model_load") or 0)
            for result in self._results
            for run in self._runs(result, source)
        ]
        return max(found, default=0.0) or None

    def _of_speed_records(self, reader: Reader, tokens_per_text: float) -> Rate | None:
        source = reader.source
        fitting = [
            record
            for record in self._speeds
            if self.device.is_like(record.conditions.device)
            and record.conditions.dtype == reader.dtype[0]
            and record.is_of(
                source.meta.name or "", source.revision or "", source.settings, reader.max_length
            )
            and _tokens(record) is not None
        ]
        if not fitting:
            return None
        best = min(fitting, key=lambda record: _merit(record, tokens_per_text))
        rate, measured_at = _tokens(best) or (Estimate.exactly(0), 0.0)
        what = f"granite-bench speed, {best.conditions.protocol}, {best.date:%Y-%m-%d}"
        what += f": {rate.likely:,.0f} tokens/s at {measured_at:,.0f} tokens a text"
        if "batches" in best.settings:
            what += f", in batches of {best.settings['batches']}"
        if reader.geometry is not None and tokens_per_text:
            of_measured = _flops_per_token(reader, measured_at)
            of_these = _flops_per_token(reader, tokens_per_text)
            if of_measured and of_these:
                rate = rate.times(of_measured / of_these)
        if best.spoilt:
            what += " (throttled, shared or noisy)"
        return Rate(rate, "speed record", what)

    def _of_earlier_runs(self, source: ModelSource) -> Rate | None:
        n_tokens, seconds, each = 0, 0.0, []
        for result in self._results:
            for run in self._runs(result, source):
                tokens_here, seconds_here = _encoded(run["evaluations"])
                n_tokens, seconds = n_tokens + tokens_here, seconds + seconds_here
                if seconds_here >= LEAST_SECONDS:
                    each.append(tokens_here / seconds_here)
        if not n_tokens or not seconds:
            return None
        mean = n_tokens / seconds
        rate = Estimate(min([*each, mean]), mean, max([*each, mean]))
        what = f"earlier runs on {self.device.label}: {n_tokens:,} tokens in {seconds:,.1f} s"
        return Rate(rate, "earlier runs", what)

    def _runs(self, result: Result, source: ModelSource) -> list[Mapping[str, Any]]:
        """Runs of this loaded model on such a device, in any dimension and precision."""
        if result.meta.get("name") != source.meta.name or result.revision != source.revision:
            return []
        if _loaded(result.settings) != _loaded(source.settings):
            return []
        return [
            run
            for run in result.record.get("runs", ())
            if self.device.is_like(device_label(run["hardware"]))
        ]

    def _of_arithmetic(self, reader: Reader, tokens_per_text: float) -> Rate | str:
        operations = _flops_per_token(reader, tokens_per_text)
        if operations is None:
            return "its parameters are not known, so its arithmetic is not either"
        dtype, who = reader.dtype
        peak = self.device.peak_flops(dtype)
        if peak is None:
            return f"{self.device.label} is not known to compute in {dtype} ({who})"
        per_second, source = peak
        share = UTILISATION["gpu" if self.device.is_gpu else "cpu"][dtype]
        shape = ""
        if reader.geometry is None:
            shape = " (2 a parameter without embeddings; attention not counted)"
            if not reader.source.meta.n_active_parameters:
                shape = " (2 a parameter, embeddings among them; attention not counted)"
        what = (
            f"arithmetic: {operations / 1e6:,.0f} MFLOP a token{shape}, {share.low:.0%} to "
            f"{share.high:.0%} (assumed) of {per_second / 1e12:,.3g} TFLOP/s in {dtype} ({who}; "
            f"{source})"
        )
        return Rate(share.times(per_second / operations), "arithmetic", what)


def _tokens(record: SpeedRecord) -> tuple[Estimate, float] | None:
    """Tokens a second of a record, and tokens a text that it was measured with."""
    summary = record.content.get("summary") or {}
    spread = summary.get("tokens_per_second")
    passes = record.content.get("passes") or [{}]
    n_tokens, n_texts = passes[0].get("n_tokens"), passes[0].get("n_chunks")
    if not spread or not n_tokens or not n_texts:
        return None
    rate = Estimate(spread["least"], spread["median"], spread["most"])
    return rate, n_tokens / n_texts


def _merit(record: SpeedRecord, tokens_per_text: float) -> tuple[bool, float, float]:
    """Unspoilt ones first, then those of texts of like length, then the last."""
    measured_at = (_tokens(record) or (None, 1.0))[1]
    apart = abs(math.log(measured_at / max(tokens_per_text, 1.0)))
    return record.spoilt, round(apart, 1), -record.date.timestamp()


def _encoded(evaluations: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """Tokens that were encoded, and the seconds that took."""
    n_tokens, seconds = 0, 0.0
    for entry in evaluations:
        for role in ("docs", "queries"):
            cost = entry.get(role) or {}
            n_tokens += cost.get("n_tokens_encoded") or 0
            seconds += cost.get("encode_seconds") or 0.0
        pairs = entry.get("pairs") or {}
        n_tokens += pairs.get("n_tokens") or 0
        seconds += pairs.get("score_seconds") or 0.0
    return n_tokens, seconds


def _loaded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a variant's settings changes how the model is loaded and computes."""
    names = ("dtype", "backend", "backend_file", "endpoint")
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _flops_per_token(reader: Reader, tokens_per_text: float) -> float | None:
    """
    Of texts that are all of this length; without attention where the shape is not known, and with
    the embeddings, which multiply nothing, where their number is not known either.
    """
    length = max(1, round(tokens_per_text))
    if reader.geometry is not None:
        return flops(reader.geometry, [length]) / length
    meta = reader.source.meta
    n_parameters = meta.n_active_parameters or meta.n_parameters
    return 2.0 * n_parameters if n_parameters else None
