"""
What the machine did while something ran: CPU time, memory, and on an NVIDIA GPU power and clocks.

    with sample("cuda:0") as sampler:
        encode(texts)
        torch.cuda.synchronize()
    counters = sampler.counters()
    warnings(counters)  # ["throttled: power cap in 40 % of the samples; ..."]

A thread takes the readings. A reading that fails is None; nothing here raises into the block. GPU
readings come from NVML through pynvml (package nvidia-ml-py), imported only for a CUDA device;
where it or the driver is missing, Counters.nvml_error says so and the other counters remain.
"""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, TypeVar

from granite_bench.provenance import hardware
from granite_bench.speed import process
from granite_bench.speed.nvml import Gpu, Reading, throttle_reasons

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.05
SLOW_INTERVAL_SECONDS = 1.0
"""Readings that change slowly or cost more: memory and its clock, temperature, processes."""

SAMPLING_SHARE_OF_A_CORE = 0.01
"""The thread pauses longer where its readings would cost more CPU time than this."""

SHARED_OF_CORES, LEAST_SHARED_CORES = 0.02, 0.2
"""
Others' use, on average, from which on a measurement counts as shared: a share of the machine's
cores, and at least so many of them. What others take costs a measurement on all cores at most that
share, so 2% is well within the 5% that passes may differ by and still be called steady. A machine's
own services grow with it; on one of few cores they and rounding take up to a fifth of a core.
"""

OTHERS_SECONDS = 0.5
"""Shorter blocks say nothing about others: the kernel's book-keeping is in steps of 10 ms."""

ENERGY_COUNTER_SECONDS = 1.0
"""Shorter blocks integrate power: the energy counter advances in steps of up to 0.1 s."""

_JOIN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Counters:
    """
    What happened during one block; None where unknown or, for GPU figures, without a GPU.

    Attributes:
        seconds: length of the block.
        n_samples: readings taken, those at its beginning and its end included.
        cpu_seconds: of this process in all its threads; child processes are not in it.
        cpu_share: cpu_seconds as a share of all cores that the process may use, 0..1.
        resident_bytes_peak: resident memory of the process at its highest.
        resident_source: "this block" (Linux) or "since the process began" (the system tells no
            more, as on macOS).
        other_cpu_cores: cores that everything else on the machine kept busy, on average: other
            processes, our own children, the kernel, other guests of the host (Linux only).
        machine_cores: logical cores of the whole machine, of which the process may use fewer.
        nvml_error: why there are no readings of a GPU; None where there are, or none is used.
        energy_joules: of the whole GPU, other processes on it included.
        energy_source: "counter" (the GPU's own) or "integrated power" (trapezoid rule over the
            samples; since Ampere, GA100 apart, each is itself a mean over the second before it).
        power_watts_mean: energy_joules / seconds.
        power_watts_max, power_watts_limit: highest reading, and the limit that is enforced.
        utilisation_mean: share of the time in which any kernel ran, 0..1.
        sm_clock_mhz_mean, sm_clock_mhz_min, sm_clock_mhz_max_supported: of the multiprocessors.
        memory_clock_mhz_mean, memory_clock_mhz_max_supported: of the GPU's memory.
        memory_bytes_peak: GPU memory in use by all processes, at its highest reading.
        allocator_bytes_peak: most bytes in torch's tensors on this GPU; exact, not sampled.
        temperature_c_max: of the GPU, degrees Celsius.
        throttle_reasons: what held the clocks down, in words; empty where nothing did.
        throttled_share: share of the samples with such a reason, 0..1.
        other_processes: most other compute processes seen on the GPU at once.
    """

    seconds: float
    n_samples: int
    cpu_seconds: float
    cpu_share: float | None = None
    resident_bytes_peak: int | None = None
    resident_source: Literal["this block", "since the process began"] | None = None
    other_cpu_cores: float | None = None
    machine_cores: int | None = None
    nvml_error: str | None = None
    energy_joules: float | None = None
    energy_source: Literal["counter", "integrated power"] | None = None
    power_watts_mean: float | None = None
    power_watts_max: float | None = None
    power_watts_limit: float | None = None
    utilisation_mean: float | None = None
    sm_clock_mhz_mean: float | None = None
    sm_clock_mhz_min: int | None = None
    sm_clock_mhz_max_supported: int | None = None
    memory_clock_mhz_mean: float | None = None
    memory_clock_mhz_max_supported: int | None = None
    memory_bytes_peak: int | None = None
    allocator_bytes_peak: int | None = None
    temperature_c_max: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    throttled_share: float | None = None
    other_processes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON; throttle_reasons is a list."""
        reasons = self.throttle_reasons
        return {**asdict(self), "throttle_reasons": None if reasons is None else list(reasons)}


def warnings(counters: Counters) -> list[str]:
    """What keeps a measurement from being compared with others: "throttled: ", "shared: "."""
    said = []
    if counters.throttle_reasons:
        text = f"throttled: {', '.join(counters.throttle_reasons)}"
        if counters.throttled_share is not None:
            text += f" in {100 * counters.throttled_share:.0f} % of the samples"
        if counters.sm_clock_mhz_mean is not None:
            text += f"; SM clock {counters.sm_clock_mhz_mean:,.0f} MHz on average"
            if counters.sm_clock_mhz_max_supported is not None:
                text += f" of at most {counters.sm_clock_mhz_max_supported:,} MHz"
        said.append(text)
    if counters.other_processes:
        one = counters.other_processes == 1
        were = "other process was" if one else "other processes were"
        said.append(f"shared: {counters.other_processes} {were} on the GPU")
    most = max(LEAST_SHARED_CORES, SHARED_OF_CORES * (counters.machine_cores or 0))
    if counters.other_cpu_cores is not None and counters.other_cpu_cores > most:
        said.append(
            f"shared: others used {counters.other_cpu_cores:.2f} cores on average"
            f" (more than {most:.2g})"
        )
    return said


def sample(
    device: str,
    interval_seconds: float = INTERVAL_SECONDS,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sampler:
    """
    Count what happens on *device* during a with block.

    One block at a time per GPU, since the allocator's peak is set back at its beginning. The
    block should end with a synchronisation, or the GPU's work is not all in it.

    Args:
        device: torch's name of it: cpu, cuda, cuda:1, mps.
        interval_seconds: between two samples; longer where sampling would cost too much
            (SAMPLING_SHARE_OF_A_CORE).
        clock: seconds from any origin.
    """
    return Sampler(device, interval_seconds, clock)


class Sampler:
    """The readings of one block; see sample()."""

    def __init__(self, device: str, interval_seconds: float, clock: Callable[[], float]) -> None:
        self._device = device
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._gpu: Gpu | None = None
        self._samples: list[_Sample] = []
        self._slow_at: float | None = None
        self._begin: _Totals | None = None
        self._end: _Totals | None = None
        self._allocator_bytes_peak: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counters", daemon=True)

    def __enter__(self) -> Sampler:
        if self._device.startswith("cuda"):
            self._gpu = Gpu(self._device)
        self.take(everything=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads: the readings at both ends remain
            logger.debug("no thread for the counters", exc_info=True)
        self._begin = self._totals()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end = self._totals()
        self._over.set()
        self.take(everything=True)
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)
        if self._gpu is not None:
            self._allocator_bytes_peak = self._gpu.allocator_bytes_peak()
            self._gpu.close()

    def take(self, *, everything: bool = False) -> None:
        """One more sample, now; *everything* reads also what is read once a second otherwise."""
        now = self._clock()
        slow = everything or self._slow_at is None or now - self._slow_at >= SLOW_INTERVAL_SECONDS
        if slow:
            self._slow_at = now
        gpu = Reading() if self._gpu is None else self._gpu.read(everything=slow)
        self._samples.append(_Sample(now, process.resident_bytes(), gpu))

    def counters(self) -> Counters:
        """
        What happened between the beginning and the end of the block.

        Raises:
            RuntimeError: when the block has not ended.
        """
        begin, end = self._begin, self._end
        if begin is None or end is None:
            raise RuntimeError("counters are complete only after the with block")
        samples = sorted(self._samples, key=lambda each: each.at)
        seconds = end.at - begin.at
        cpu_seconds = end.cpu_seconds - begin.cpu_seconds
        cores = hardware("cpu")["cores"]
        resident, resident_source = _resident_peak(samples, begin, end)
        return Counters(
            seconds=seconds,
            n_samples=len(samples),
            cpu_seconds=cpu_seconds,
            cpu_share=cpu_seconds / seconds / cores if seconds > 0 and cores else None,
            resident_bytes_peak=resident,
            resident_source=resident_source,
            other_cpu_cores=_other_cores(begin, end),
            machine_cores=os.cpu_count(),
            allocator_bytes_peak=self._allocator_bytes_peak,
            **({} if self._gpu is None else _gpu_counters(self._gpu, samples, begin, end)),
        )

    def _run(self) -> None:
        began = time.perf_counter()
        pause = self._interval_seconds
        while not self._over.wait(pause):
            self.take()
            pause = _pause(self._interval_seconds, time.thread_time(), time.perf_counter() - began)

    def _totals(self) -> _Totals:
        return _Totals(
            at=self._clock(),
            cpu_seconds=time.process_time(),
            energy_joules=None if self._gpu is None else self._gpu.energy_joules(),
            busy_seconds=process.busy_seconds(),
            resident_bytes_peak=process.resident_bytes_peak(),
        )


@dataclass(frozen=True)
class _Sample:
    at: float
    resident_bytes: int | None
    gpu: Reading


@dataclass(frozen=True)
class _Totals:
    """What only grows, read at the beginning and at the end."""

    at: float
    cpu_seconds: float
    energy_joules: float | None
    busy_seconds: float | None
    resident_bytes_peak: int | None


def _gpu_counters(
    gpu: Gpu, samples: Sequence[_Sample], begin: _Totals, end: _Totals
) -> dict[str, Any]:
    readings = [each.gpu for each in samples]
    during = readings[1:]  # what the first says of clocks and power is of the time before
    seconds = end.at - begin.at
    joules, source = _energy(samples, begin, end)
    clocks = [each.sm_clock_mhz for each in during if each.sm_clock_mhz is not None]
    bits = [each.throttle_bits for each in during if each.throttle_bits is not None]
    words = [throttle_reasons(each) for each in bits]
    return {
        "nvml_error": gpu.error,
        "energy_joules": joules,
        "energy_source": source,
        "power_watts_mean": joules / seconds if joules is not None and seconds > 0 else None,
        "power_watts_max": _most(each.watts for each in during),
        "power_watts_limit": gpu.watts_limit,
        "utilisation_mean": _mean(each.utilisation for each in during),
        "sm_clock_mhz_mean": _mean(clocks),
        "sm_clock_mhz_min": min(clocks, default=None),
        "sm_clock_mhz_max_supported": gpu.sm_clock_mhz_max,
        "memory_clock_mhz_mean": _mean(each.memory_clock_mhz for each in during),
        "memory_clock_mhz_max_supported": gpu.memory_clock_mhz_max,
        "memory_bytes_peak": _most(each.memory_bytes for each in readings),
        "temperature_c_max": _most(each.temperature_c for each in readings),
        "throttle_reasons": tuple(dict.fromkeys(word for each in words for word in each))
        if bits
        else None,
        "throttled_share": sum(map(bool, words)) / len(words) if words else None,
        "other_processes": _most(each.other_processes for each in readings),
    }


def _energy(
    samples: Sequence[_Sample], begin: _Totals, end: _Totals
) -> tuple[float | None, Literal["counter", "integrated power"] | None]:
    """Joules and where they are from; a counter that stood still or was set back says nothing."""
    if begin.energy_joules is not None and end.energy_joules is not None:
        counted = end.energy_joules - begin.energy_joules
        if counted > 0 and end.at - begin.at >= ENERGY_COUNTER_SECONDS:
            return counted, "counter"
    powers = [(each.at, each.gpu.watts) for each in samples if each.gpu.watts is not None]
    if len(powers) < 2:
        return None, None
    steps = pairwise(powers)
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in steps), "integrated power"


def _resident_peak(
    samples: Sequence[_Sample], begin: _Totals, end: _Totals
) -> tuple[int | None, Literal["this block", "since the process began"] | None]:
    """
    The peak of this block, where the system tells a process's present size.

    Its high-water mark is of the whole life of the process, but where it rose in this block it
    is exact, and has what happened between two samples.
    """
    peak = _most(each.resident_bytes for each in samples)
    if peak is None:
        peak = end.resident_bytes_peak
        return peak, None if peak is None else "since the process began"
    before, after = begin.resident_bytes_peak, end.resident_bytes_peak
    if before is not None and after is not None and after > before:
        peak = max(peak, after)
    return peak, "this block"


def _other_cores(begin: _Totals, end: _Totals) -> float | None:
    seconds = end.at - begin.at
    if begin.busy_seconds is None or end.busy_seconds is None or seconds < OTHERS_SECONDS:
        return None
    busy = end.busy_seconds - begin.busy_seconds
    return max(0.0, busy - (end.cpu_seconds - begin.cpu_seconds)) / seconds


def _pause(interval_seconds: float, cpu_seconds: float, seconds: float) -> float:
    """How long to wait so that *cpu_seconds* of sampling stay a small share of a core."""
    return max(interval_seconds, cpu_seconds / SAMPLING_SHARE_OF_A_CORE - seconds)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


_Number = TypeVar("_Number", int, float)


def _most(values: Iterable[_Number | None]) -> _Number | None:
    return max((value for value in values if value is not None), default=None)
