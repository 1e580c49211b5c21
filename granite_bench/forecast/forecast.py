"""
A plan on paper: what a run takes, on how many devices of which kind, and what it is known from.

    forecast_of(plan, device=find_kind("h100"), n_devices=8).lines()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU, TOKEN_BUDGET_GPU
from granite_bench.files.local import size_text
from granite_bench.forecast.devices import Device, this_device
from granite_bench.forecast.estimate import NOTHING, Estimate
from granite_bench.forecast.languages import bases_text
from granite_bench.forecast.rates import Rate, Rates
from granite_bench.forecast.reader import Reader
from granite_bench.forecast.simulation import Cluster, Simulated, simulate
from granite_bench.forecast.sizes import Sizes, sizes_of, vector_bytes
from granite_bench.forecast.texts import Reading, TaskTexts
from granite_bench.forecast.work import ModelLoad, assumptions, dims_of, model_work
from granite_bench.models import ModelSource
from granite_bench.planning.plan import Job, Plan, by_task
from granite_bench.printed import some

STORE_BYTES_PER_SECOND = 500e6
"""Assumed, of a store that all workers write to; --store-mb-per-second says another."""

LOADED_BYTES_PER_SECOND = 500e6
LOADING_SECONDS = 1.0
"""Assumed, for weights from a disk to a device, and for a model without any."""

STARTING_SECONDS = 20.0
"""Assumed, for the processes of several workers: their imports, and the start of their devices."""


@dataclass(frozen=True)
class ModelForecast:
    """
    One model's part of a forecast.

    Attributes:
        name: with what makes the first of its variants differ (*settings*).
        tasks: names of those that are counted.
        n_docs, n_queries: texts of these, all parts.
        n_tokens: that the model reads.
        seconds: wall time, on all workers together.
        held_seconds: of all workers.
        vector_bytes: that its vectors take.
        rate: how fast it is, and where that is from.
    """

    name: str
    settings: Mapping[str, Any]
    tasks: Sequence[str]
    n_docs: int
    n_queries: int
    n_tokens: Estimate
    seconds: Estimate
    held_seconds: Estimate
    vector_bytes: int
    rate: Rate


@dataclass(frozen=True)
class Unknown:
    """A job that is left out of a forecast, and why."""

    model: str
    task: str
    why: str


@dataclass(frozen=True)
class Forecast:
    """
    A run on paper.

    Attributes:
        device, n_devices, n_workers: where.
        models: in the order in which they run.
        unknown: jobs that the totals are without.
        low, likely, high: the run simulated with the shortest, likely and longest times.
        sizes: gigabytes.
        assumptions: what the figures rest on, each with its source.
    """

    device: Device
    n_devices: int
    n_workers: int
    models: Sequence[ModelForecast]
    unknown: Sequence[Unknown]
    low: Simulated
    likely: Simulated
    high: Simulated
    sizes: Sizes
    assumptions: Sequence[str]

    @property
    def seconds(self) -> Estimate:
        """Wall time."""
        return Estimate(self.low.seconds, self.likely.seconds, self.high.seconds)

    @property
    def device_seconds(self) -> Estimate:
        """Of all devices, for as long as they are held."""
        return self.seconds.times(self.n_devices)

    @property
    def busy_share(self) -> float:
        """Of the workers, in the likely run."""
        return self.likely.busy_seconds / (self.likely.held_seconds or 1.0)

    def lines(self) -> list[str]:
        """The forecast in a few lines, for before a run."""
        if not self.models:
            return [*_left_out(self.unknown), "nothing of this run can be forecast"]
        where = f"{self.n_workers} {'worker' if self.n_workers == 1 else 'workers'}"
        hours = f"{hours_text(self.device_seconds)} of {'GPUs' if self.device.is_gpu else 'CPU'}"
        bases = sorted({each.rate.basis for each in self.models})
        return [
            f"forecast: {duration_text(self.seconds)} on {where} ({self.device.label}), {hours}, "
            f"{size_text(self.sizes.vectors)} of vectors",
            f"speed from: {', '.join(bases)}; bottleneck: {self.likely.bottleneck}",
            *_left_out(self.unknown),
        ]


def forecast_of(
    plan: Plan,
    *,
    device: Device | None = None,
    n_devices: int = 1,
    n_workers: int | None = None,
    results: Path = Path("results"),
    stored: bool = True,
    store_bytes_per_second: float = STORE_BYTES_PER_SECOND,
    token_budget: int | None = None,
) -> Forecast:
    """
    What the jobs of *plan* that are not done take. Loads no model and asks no network.

    Args:
        device: of each worker; None is this machine's best.
        n_devices: alike; of a CPU, machines.
        n_workers: processes that encode; one per device when None. More share the devices.
        results: where speed records and earlier runs are looked for.
        stored: whether vectors are kept.
        store_bytes_per_second: that the store takes from all workers together.
        token_budget: tokens of a batch, for the memory; None is the device's.

    Raises:
        BadInput: speed records or results that cannot be read.
    """
    device = device or this_device()
    n_workers = n_workers or n_devices
    rates = Rates(device, results)
    texts: dict[str, TaskTexts] = {}
    loads: list[ModelLoad] = []
    readers: list[Reader] = []
    unknown: list[Unknown] = []
    for jobs in plan.by_loaded_model:
        waiting = [job for job in jobs if not job.done]
        if not waiting:
            continue
        reader = Reader(waiting[0].source)
        load = _load(waiting, reader, rates, texts, unknown, stored=stored)
        if load is not None:
            loads.append(load)
            readers.append(reader)
    starting = STARTING_SECONDS if n_workers > 1 else 0.0
    cluster = Cluster(n_workers, store_bytes_per_second, starting)
    low, likely, high = (
        simulate(
            [
                model_work(
                    load,
                    device,
                    scenario,
                    workers_per_device=max(1.0, n_workers / n_devices),
                    stored=stored,
                    n_workers=n_workers,
                )
                for load in loads
            ],
            cluster,
        )
        for scenario in ("low", "likely", "high")
    )
    budget = token_budget or (TOKEN_BUDGET_GPU if device.is_gpu else TOKEN_BUDGET_CPU)
    models = [_model(load, low, likely, high, n_workers) for load in loads]
    return Forecast(
        device, n_devices, n_workers, models, unknown, low, likely, high,
        sizes_of(loads, readers, token_budget=budget),
        _assumptions(loads, device, n_workers, store_bytes_per_second if stored else None),
    )  # fmt: skip


def _load(
    jobs: Sequence[Job],
    reader: Reader,
    rates: Rates,
    texts: dict[str, TaskTexts],
    unknown: list[Unknown],
    *,
    stored: bool,
) -> ModelLoad | None:
    """What one loaded model reads; jobs that nobody knows go to *unknown*."""
    readings: dict[str, Reading] = {}
    for name, variants in by_task(jobs).items():
        of_task = texts.setdefault(name, TaskTexts(variants[0].task))
        parts = list(dict.fromkeys(part for job in variants for part in job.missing))
        found = of_task.reading(parts, reader, stored=stored)
        if not isinstance(found, str) and _brings_unknown_candidates(variants[0], found):
            found = "its candidates come with the task, and how many is not known"
        if isinstance(found, str):
            unknown += [Unknown(job.source.name, name, found) for job in variants]
        else:
            readings[name] = found
    n_texts, n_tokens = _totals(readings)
    rate = rates.of(reader, n_tokens.likely / n_texts if n_texts else 0.0)
    known = [job for job in jobs if job.task_name in readings]
    if isinstance(rate, str):
        unknown += [Unknown(job.source.name, job.task_name, rate) for job in known]
        return None
    if not known:
        return None
    source = jobs[0].source
    hidden = reader.geometry.hidden_size if reader.geometry is not None else None
    return ModelLoad(
        source.name,
        known,
        readings,
        rate,
        dims_of(known[0], hidden),
        rates.load_seconds(source) or _loading(source, reader),
    )


def _brings_unknown_candidates(job: Job, reading: Reading) -> bool:
    """Whether a reranker without a first stage scores nobody knows how many pairs."""
    if not job.source.meta.is_cross_encoder or job.source.reranking is not None:
        return False
    return any(part.n_candidates is None for part in reading.parts.values())


def _loading(source: ModelSource, reader: Reader) -> float:
    n_bytes = (source.meta.n_parameters or 0) * (4 if reader.dtype[0] == "float32" else 2)
    return LOADING_SECONDS + n_bytes / LOADED_BYTES_PER_SECOND


def _totals(readings: dict[str, Reading]) -> tuple[int, Estimate]:
    """Different texts, and their tokens."""
    loads = [
        load
        for reading in readings.values()
        for part in reading.parts.values()
        for load in (part.docs, part.queries)
    ]
    return sum(load.n_different for load in loads), sum((load.n_tokens for load in loads), NOTHING)


def _model(
    load: ModelLoad, low: Simulated, likely: Simulated, high: Simulated, n_workers: int
) -> ModelForecast:
    parts = [part for reading in load.readings.values() for part in reading.parts.values()]
    encoded = [texts for task in load.readings for _, each in load.encoded(task) for texts in each]
    seconds = Estimate(low.models[load.name], likely.models[load.name], high.models[load.name])
    return ModelForecast(
        load.name,
        load.jobs[0].source.settings,
        list(load.readings),
        sum(part.docs.n_texts for part in parts),
        sum(part.queries.n_texts for part in parts),
        sum((texts.n_tokens for texts in encoded), NOTHING),
        seconds,
        seconds.times(n_workers),
        vector_bytes(load),
        load.rate,
    )


def _assumptions(
    loads: Sequence[ModelLoad], device: Device, n_workers: int, store: float | None
) -> list[str]:
    """What the figures rest on, each with its source; nothing where there are no figures."""
    if not loads:
        return []
    said = [f"speed of {load.name}: {load.rate.source}" for load in loads]
    tokens: dict[str, list[str]] = {}
    for load in loads:
        bases = bases_text(basis for each in load.readings.values() for basis in each.basis)
        tokens.setdefault(bases, []).append(load.name)
    said += [f"tokens of {some(names)}: {bases}" for bases, names in tokens.items()]
    said.append(
        f"loading, where no earlier run says: {LOADING_SECONDS:.0f} s and "
        f"{size_text(round(LOADED_BYTES_PER_SECOND))} a second (assumed)"
    )
    if n_workers > 1:
        said.append(f"start of the workers: {STARTING_SECONDS:.0f} s (assumed)")
    said += assumptions(device, n_workers)
    if store is not None:
        said.append(f"the store takes {size_text(round(store))} a second (assumed)")
    if any(not part.ranks for x in loads for r in x.readings.values() for part in r.parts.values()):
        said.append(
            "tasks without a search: texts of the evaluated splits; training texts and the fits "
            "on them are not counted"
        )
    if any("sparse" in (load.jobs[0].source.meta.model_type or []) for load in loads):
        said.append("sparse vectors: neither their size nor their search is counted")
    said.append("vectors that the store has already are not looked for, and cost as new ones")
    return said


def unknown_texts(unknown: Sequence[Unknown]) -> list[str]:
    """What is left out, what has one reason together: "A, B on Task: why"."""
    by_model: dict[tuple[str, str], list[str]] = {}
    for each in unknown:
        by_model.setdefault((each.model, each.why), []).append(each.task)
    together: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (model, why), tasks in by_model.items():
        together.setdefault((tuple(tasks), why), []).append(model)
    return [
        f"{some(models, 3)} on {some(tasks)}: {why}" for (tasks, why), models in together.items()
    ]


def _left_out(unknown: Sequence[Unknown]) -> list[str]:
    if not unknown:
        return []
    jobs = "1 job" if len(unknown) == 1 else f"{len(unknown)} jobs"
    return [f"without {jobs}: " + "; ".join(unknown_texts(unknown))]


def duration_text(seconds: Estimate) -> str:
    """The range of a time, in the unit that suits its end: "2–5 min"."""
    for unit, size in (("days", 86_400 * 2), ("h", 3_600 * 1.5), ("min", 90), ("s", 0)):
        if seconds.high >= size:
            length = {"days": 86_400, "h": 3_600, "min": 60, "s": 1}[unit]
            low, high = _figure(seconds.low / length), _figure(seconds.high / length)
            return f"{low} {unit}" if low == high else f"{low}–{high} {unit}"
    raise ValueError("a time is not negative")


def hours_text(seconds: Estimate) -> str:
    """The range in hours: "0.2–1.4 h"."""
    low, high = _figure(seconds.low / 3_600), _figure(seconds.high / 3_600)
    return f"{low} h" if low == high else f"{low}–{high} h"


def _figure(value: float) -> str:
    if value >= 10:
        return f"{value:,.0f}"
    if value >= 0.1 or value == 0:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "under 0.01"
