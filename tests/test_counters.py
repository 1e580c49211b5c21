"""Counters of one block: CPU and memory for real, the GPU through a stand-in for NVML."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from granite_bench.speed import process
from granite_bench.speed.counters import Counters, Sampler, _pause, sample, warnings
from granite_bench.speed.nvml import throttle_reasons

MIB = 2**20
NO_THREAD = 3600.0
"""An interval at which the thread takes no sample: the test takes them."""

ADDRESSES = ["00000000:1b:00.0", "00000000:43:00.0", "00000001:9a:00.0"]
UUIDS = [f"{number}{number}{number}00000-aaaa-bbbb-cccc-0123456789ab" for number in "012"]
OURS, SM, MEMORY = os.getpid(), 1, 2


class NvmlError(Exception):
    """As pynvml.NVMLError: an exception with NVML's words."""


class Card:
    """What one GPU answers, in watts, joules, MHz, percent, bytes and degrees."""

    def __init__(self) -> None:
        self.watts = 300.0
        self.joules = 5000.0
        self.clocks = {SM: 1980, MEMORY: 3201}
        self.bits = 0
        self.pids = [OURS]
        self.memory_bytes = 1000 * MIB
        self.temperature_c = 40
        self.utilisation = 100


QUERIES: dict[str, Callable[..., Any]] = {
    "EnforcedPowerLimit": lambda card: 700_000,
    "MaxClockInfo": lambda card, kind: {SM: 1980, MEMORY: 3201}[kind],
    "ClockInfo": lambda card, kind: card.clocks[kind],
    "PowerUsage": lambda card: round(card.watts * 1000),
    "TotalEnergyConsumption": lambda card: round(card.joules * 1000),
    "UtilizationRates": lambda card: SimpleNamespace(gpu=card.utilisation, memory=1),
    "MemoryInfo": lambda card: SimpleNamespace(used=card.memory_bytes, total=140_000 * MIB),
    "Temperature": lambda card, sensor: card.temperature_c,
    "CurrentClocksEventReasons": lambda card: card.bits,
    "CurrentClocksThrottleReasons": lambda card: card.bits,
    "ComputeRunningProcesses": lambda card: [SimpleNamespace(pid=pid) for pid in card.pids],
}
"""After nvmlDeviceGet; units are NVML's: milliwatts, millijoules, MHz, percent."""


class Nvml(ModuleType):
    """
    A stand-in for the module pynvml with three GPUs.

    Attributes:
        refused: names without nvmlDeviceGet of the queries that raise.
        calls: such names, in the order in which they were asked.
        n_open: how often it was opened and not closed.
    """

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.cards = [Card(), Card(), Card()]
        self.refused: set[str] = set()
        self.calls: list[str] = []
        self.n_open = 0
        self.uuid_prefix = "GPU-"
        self.nvmlInit = self._opened
        self.nvmlShutdown = self._closed
        self.nvmlDeviceGetHandleByUUID = self._by_uuid
        self.nvmlDeviceGetHandleByPciBusId = dict(
            zip(ADDRESSES, self.cards, strict=True)
        ).__getitem__
        for name, query in QUERIES.items():
            setattr(self, f"nvmlDeviceGet{name}", functools.partial(self._answer, name, query))

    def _answer(self, name: str, query: Callable[..., Any], *arguments: Any) -> Any:
        self.calls.append(name)
        if name in self.refused:
            raise NvmlError("Not Supported")
        return query(*arguments)

    def _opened(self) -> None:
        if "Init" in self.refused:
            raise NvmlError("Driver Not Loaded")
        self.n_open += 1

    def _closed(self) -> None:
        self.n_open -= 1

    def _by_uuid(self, uuid: str) -> Card:
        for card, known in zip(self.cards, UUIDS, strict=True):
            if uuid == self.uuid_prefix + known:
                return card
        raise NvmlError("Not Found")


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def read(self) -> float:
        """Seconds."""
        return self.now


class Cuda:
    """What torch says of its one device, of all the GPUs of the machine."""

    def __init__(self) -> None:
        self.properties = SimpleNamespace(
            uuid=UUIDS[0], pci_domain_id=0, pci_bus_id=0x1B, pci_device_id=0
        )
        self.allocated_peak = 0
        self.reserved = 0
        self.reset: list[int] = []


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """torch.cuda as on a machine with a GPU, as far as the counters ask it."""
    stand_in = Cuda()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: stand_in.properties)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", stand_in.reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: stand_in.allocated_peak)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: stand_in.reserved)
    return stand_in


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, cuda: Cuda) -> Nvml:
    """The stand-in, where `import pynvml` finds it."""
    stand_in = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    return stand_in


def watched(*steps: tuple[float, Callable[[], object]], device: str = "cuda:0") -> Counters:
    """
    Counters of a block in which the clock reaches each step's time and its change then happens.

    The last step's time is the end of the block; before it a sample is taken at every step.
    """
    clock = Clock()
    with sample(device, NO_THREAD, clock=clock.read) as sampler:
        for number, (at, change) in enumerate(steps, start=1):
            clock.now = at
            change()
            if number < len(steps):
                sampler.take()
    return sampler.counters()


def gives(card: Card, **values: Any) -> Callable[[], object]:
    """From now on the card answers so."""
    return lambda: card.__dict__.update(values)


def nothing() -> None:
    """No change."""


# Energy and power


def test_energy_is_what_the_gpus_own_counter_advanced(nvml: Nvml) -> None:
    """5,000 J before, 6,200 J after: 1,200 J in 4 s are 300 W."""
    counters = watched((4.0, gives(nvml.cards[0], joules=6200.0)))
    assert (counters.energy_joules, counters.energy_source) == (1200.0, "counter")
    assert counters.power_watts_mean == 300.0


def test_power_is_integrated_by_the_trapezoid_rule_without_a_counter(nvml: Nvml) -> None:
    """
    100 W at 0 s, 300 W at 1 s, 500 W at 3 s, 500 W at 4 s.

    (100+300)/2 × 1 + (300+500)/2 × 2 + (500+500)/2 × 1 = 200 + 800 + 500 = 1,500 J.
    """
    nvml.refused.add("TotalEnergyConsumption")
    card = nvml.cards[0]
    card.watts = 100.0
    counters = watched(
        (1.0, gives(card, watts=300.0)), (3.0, gives(card, watts=500.0)), (4.0, nothing)
    )
    assert (counters.energy_joules, counters.energy_source) == (1500.0, "integrated power")
    assert counters.power_watts_mean == 375.0
    assert counters.power_watts_max == 500.0


@pytest.mark.parametrize("joules", [5000.0, 3.0], ids=["stood still", "set back"])
def test_a_counter_that_did_not_advance_gives_way_to_power(nvml: Nvml, joules: float) -> None:
    """300 W for 2 s are 600 J, not nothing and not less."""
    counters = watched((2.0, gives(nvml.cards[0], joules=joules)))
    assert (counters.energy_joules, counters.energy_source) == (600.0, "integrated power")


def test_a_block_shorter_than_the_counters_steps_integrates_power(nvml: Nvml) -> None:
    """One step of the counter, here 30 J of the last 0.1 s, would be 600 W over 0.05 s."""
    counters = watched((0.05, gives(nvml.cards[0], joules=5030.0)))
    assert counters.energy_joules == pytest.approx(15.0)
    assert counters.energy_source == "integrated power"


def test_a_moment_without_a_power_reading_is_bridged(nvml: Nvml) -> None:
    """100 W at 0 s and 300 W at 2 s are 400 J, whatever was not said at 1 s."""
    query = "PowerUsage"
    nvml.refused.add("TotalEnergyConsumption")
    card = nvml.cards[0]
    card.watts = 100.0

    def back() -> None:
        nvml.refused.discard(query)
        card.watts = 300.0

    assert watched((1.0, lambda: nvml.refused.add(query)), (2.0, back)).energy_joules == 400.0


# Other readings of the GPU


def test_clocks_and_utilisation_leave_out_what_was_before_the_block(nvml: Nvml) -> None:
    """Idle at the beginning (345 MHz, 0 %), then 1,800 and 1,600 MHz, 100 and 60 %."""
    card = nvml.cards[0]
    card.clocks, card.utilisation = {SM: 345, MEMORY: 3201}, 0
    counters = watched(
        (1.0, gives(card, clocks={SM: 1800, MEMORY: 3201}, utilisation=100)),
        (2.0, gives(card, clocks={SM: 1600, MEMORY: 3201}, utilisation=60)),
    )
    assert (counters.sm_clock_mhz_mean, counters.sm_clock_mhz_min) == (1700.0, 1600)
    assert counters.utilisation_mean == pytest.approx(0.8)
    assert counters.sm_clock_mhz_max_supported == 1980
    assert counters.memory_clock_mhz_mean == counters.memory_clock_mhz_max_supported == 3201
    assert counters.power_watts_limit == 700.0


def test_memory_and_temperature_are_those_of_the_highest_reading(nvml: Nvml) -> None:
    """At most once a second: 9,000 MiB at 0.5 s are not read, 5,000 MiB at 1.5 s are."""
    card = nvml.cards[0]
    counters = watched(
        (0.5, gives(card, memory_bytes=9000 * MIB, temperature_c=99)),
        (1.5, gives(card, memory_bytes=5000 * MIB, temperature_c=71)),
        (1.6, gives(card, memory_bytes=2000 * MIB, temperature_c=70)),
    )
    assert (counters.memory_bytes_peak, counters.temperature_c_max) == (5000 * MIB, 71)


def test_the_allocators_peak_is_set_back_and_read(nvml: Nvml, cuda: Cuda) -> None:
    """Of the device that was asked for."""
    counters = watched((1.0, lambda: setattr(cuda, "allocated_peak", 123)), device="cuda:2")
    assert cuda.reset == [2]
    assert counters.allocator_bytes_peak == 123


def test_the_current_device_is_meant_by_a_name_without_number(nvml: Nvml, cuda: Cuda) -> None:
    """As torch understands "cuda"."""
    watched((1.0, nothing), device="cuda")
    assert cuda.reset == [0]


# Throttling

# NVML API Reference Guide, group nvmlClocksEventReasons (the same in nvml.h).
REASONS = {
    "SwPowerCap": (0x4, "power cap"),
    "HwSlowdown": (0x8, "hardware slowdown"),
    "SyncBoost": (0x10, "sync boost"),
    "SwThermalSlowdown": (0x20, "thermal slowdown by software"),
    "HwThermalSlowdown": (0x40, "thermal slowdown by hardware"),
    "HwPowerBrakeSlowdown": (0x80, "power brake"),
}
NOT_THROTTLING = {"GpuIdle": 0x1, "ApplicationsClocksSetting": 0x2, "DisplayClockSetting": 0x100}


@pytest.mark.parametrize(("bit", "word"), REASONS.values(), ids=REASONS)
def test_each_reason_has_its_word(bit: int, word: str) -> None:
    """Alone, whatever else is set that is no throttling."""
    assert throttle_reasons(bit) == throttle_reasons(bit | 0x103) == (word,)


@pytest.mark.parametrize("bit", NOT_THROTTLING.values(), ids=NOT_THROTTLING)
def test_idling_and_clocks_that_someone_set_are_no_throttling(bit: int) -> None:
    """Nor is no bit at all."""
    assert throttle_reasons(bit) == throttle_reasons(0) == ()


def test_several_reasons_and_unknown_ones_are_all_named() -> None:
    """A thermal slowdown by hardware sets two bits; bit 40 has no meaning yet."""
    assert throttle_reasons(0x48 | 1 << 40) == (
        "hardware slowdown",
        "thermal slowdown by hardware",
        "unknown reason 0x10000000000",
    )


def test_the_bits_are_those_of_the_installed_nvml_module() -> None:
    """The figures above, against nvidia-ml-py."""
    pynvml = pytest.importorskip("pynvml")
    for name, (bit, _) in REASONS.items():
        assert getattr(pynvml, f"nvmlClocksEventReason{name}") == bit
    for name, bit in NOT_THROTTLING.items():
        assert getattr(pynvml, f"nvmlClocksEventReason{name}") == bit
    assert (pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM) == (SM, MEMORY)
    assert pynvml.NVML_TEMPERATURE_GPU == 0


def test_a_throttled_block_says_by_what_how_often_and_at_which_clock(nvml: Nvml) -> None:
    """Power cap in one of the four samples after the first, 1,500 MHz in all of them."""
    card = nvml.cards[0]
    card.clocks = {SM: 1500, MEMORY: 3201}
    counters = watched(
        (1.0, nothing), (2.0, gives(card, bits=0x4)), (3.0, gives(card, bits=0x1)), (4.0, nothing)
    )
    assert counters.throttle_reasons == ("power cap",)
    assert counters.throttled_share == 0.25
    assert warnings(counters) == [
        "throttled: power cap in 25 % of the samples;"
        " SM clock 1,500 MHz on average of at most 1,980 MHz"
    ]


def test_throttling_before_the_block_is_not_the_blocks(nvml: Nvml) -> None:
    """The first reading still has the power cap of what ran before."""
    nvml.cards[0].bits = 0x4
    counters = watched((1.0, gives(nvml.cards[0], bits=0)))
    assert counters.throttle_reasons == ()
    assert warnings(counters) == []


def test_older_drivers_name_the_query_differently(nvml: Nvml) -> None:
    """Clocks event reasons were clocks throttle reasons."""
    nvml.refused.add("CurrentClocksEventReasons")
    nvml.cards[0].bits = 0x80
    assert watched((1.0, nothing)).throttle_reasons == ("power brake",)


# Other processes on the GPU


@pytest.mark.parametrize(
    ("pids", "reserved", "count"),
    [
        ([OURS], 0, 0),
        ([OURS, OURS], 0, 0),
        ([OURS, OURS + 1, OURS + 2], 0, 2),
        ([OURS + 1], 0, 1),
        ([], 0, 0),
        ([], MIB, 0),
        ([OURS + 1], MIB, 0),
        ([OURS + 1, OURS + 2], MIB, 1),
    ],
    ids=[
        "we alone", "we twice", "two others", "another before we use it", "nobody",
        "a container that shows nobody", "we under the host's number", "and another",
    ],
)  # fmt: skip
def test_other_processes_are_those_that_are_not_ours(
    nvml: Nvml, cuda: Cuda, pids: list[int], reserved: int, count: int
) -> None:
    """In a container ours has a number that it does not know itself."""
    nvml.cards[0].pids, cuda.reserved = pids, reserved
    assert watched((1.0, nothing)).other_processes == count


def test_a_shared_gpu_is_warned_of(nvml: Nvml) -> None:
    """Also where the other one was gone at the end."""
    card = nvml.cards[0]
    card.pids = [OURS, OURS + 1]
    counters = watched((1.0, gives(card, pids=[OURS])))
    assert warnings(counters) == ["shared: 1 other process was on the GPU"]


# Which GPU, and what is missing


def test_torchs_device_is_found_by_its_uuid(nvml: Nvml, cuda: Cuda) -> None:
    """CUDA_VISIBLE_DEVICES=2: torch's cuda:0 is the machine's third GPU, with 77 W."""
    cuda.properties.uuid = UUIDS[2]
    nvml.cards[2].watts = 77.0
    assert watched((1.0, nothing)).power_watts_max == 77.0


def test_a_slice_of_a_gpu_is_found_by_its_own_uuid(nvml: Nvml, cuda: Cuda) -> None:
    """With MIG, NVML's name of it begins otherwise."""
    nvml.uuid_prefix = "MIG-"
    cuda.properties.uuid = UUIDS[1]
    nvml.cards[1].watts = 55.0
    assert watched((1.0, nothing)).power_watts_max == 55.0


def test_torchs_device_is_found_by_its_pci_address_without_a_uuid(nvml: Nvml, cuda: Cuda) -> None:
    """Domain 1, bus 154, device 0 is 00000001:9a:00.0: the third."""
    cuda.properties = SimpleNamespace(pci_domain_id=1, pci_bus_id=154, pci_device_id=0)
    nvml.cards[2].watts = 77.0
    assert watched((1.0, nothing)).power_watts_max == 77.0


def test_a_device_that_nvml_does_not_know_is_said(nvml: Nvml, cuda: Cuda) -> None:
    """Neither by UUID nor, on older versions of torch, by PCI address."""
    cuda.properties = SimpleNamespace(uuid="ffffffff")
    counters = watched((1.0, nothing))
    assert "pci_domain_id" in (counters.nvml_error or "")
    assert counters.energy_joules is None


def gpu_figures(counters: Counters) -> dict[str, Any]:
    """All that NVML answers."""
    of_process = {
        "seconds", "n_samples", "cpu_seconds", "cpu_share", "resident_bytes_peak",
        "resident_source", "other_cpu_cores", "machine_cores", "nvml_error", "allocator_bytes_peak",
    }  # fmt: skip
    return {key: value for key, value in counters.as_dict().items() if key not in of_process}


def test_without_the_module_the_counters_say_so(
    monkeypatch: pytest.MonkeyPatch, cuda: Cuda
) -> None:
    """torch's own figure and those of the process remain."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    cuda.allocated_peak = 123
    counters = watched((1.0, nothing))
    assert counters.nvml_error == "the module pynvml (package nvidia-ml-py) is not installed"
    assert set(gpu_figures(counters).values()) == {None}
    assert counters.allocator_bytes_peak == 123
    assert counters.seconds == 1.0


def test_without_the_driver_the_counters_say_so(nvml: Nvml) -> None:
    """In NVML's words; it is not closed, for it was not opened."""
    nvml.refused.add("Init")
    counters = watched((1.0, nothing))
    assert counters.nvml_error == "NvmlError: Driver Not Loaded"
    assert set(gpu_figures(counters).values()) == {None}
    assert nvml.n_open == 0


def test_without_the_device_the_counters_say_so(
    nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch raises where it has no such GPU; the block runs all the same."""

    def refuse(index: int) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "get_device_properties", refuse)
    error = watched((1.0, nothing)).nvml_error
    assert error == "AssertionError: Torch not compiled with CUDA enabled"


def test_what_the_gpu_does_not_support_is_none_and_logged_once(
    nvml: Nvml, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten samples, one line a query; what is supported is read."""
    nvml.refused |= {"UtilizationRates", "MemoryInfo"}
    with caplog.at_level(logging.DEBUG, logger="granite_bench.speed.nvml"):
        counters = watched(*[(float(at), nothing) for at in range(1, 9)])
    assert (counters.n_samples, nvml.calls.count("UtilizationRates")) == (9, 9)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "nvmlDeviceGetMemoryInfo: Not Supported",
        "nvmlDeviceGetUtilizationRates: Not Supported",
    ]
    missing = {key for key, value in gpu_figures(counters).items() if value is None}
    assert missing == {"utilisation_mean", "memory_bytes_peak"}


def test_a_gpu_that_answers_nothing_stops_nothing(nvml: Nvml) -> None:
    """Every query of the handle fails; the counters hold what the process knows."""
    nvml.refused |= set(QUERIES)
    counters = watched((1.0, nothing))
    assert set(gpu_figures(counters).values()) == {None}
    assert counters.nvml_error is None
    assert warnings(counters) == []


# The block and its thread


def test_a_thread_takes_samples_while_the_block_runs(
    nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is the beginning's; the block waits for two more; the last is the end's."""
    enough = threading.Event()

    def utilisation(card: Card) -> Any:
        if nvml.calls.count("UtilizationRates") >= 3:
            enough.set()
        return QUERIES["UtilizationRates"](card)

    monkeypatch.setattr(
        nvml,
        "nvmlDeviceGetUtilizationRates",
        functools.partial(nvml._answer, "UtilizationRates", utilisation),
    )
    with sample("cuda:0", interval_seconds=0.001) as sampler:
        assert enough.wait(timeout=30)
    assert sampler.counters().n_samples >= 4


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_shortest_block_has_a_sample_at_both_ends(nvml: Nvml, device: str) -> None:
    """Nothing runs in it at all."""
    with sample(device) as sampler:
        pass
    counters = sampler.counters()
    assert counters.n_samples >= 2
    assert counters.seconds >= 0
    assert counters.resident_bytes_peak


def test_what_the_block_raises_goes_through_and_the_thread_ends(nvml: Nvml) -> None:
    """And NVML is handed back."""

    def failing() -> Sampler:
        with sample("cuda:0", interval_seconds=0.001) as sampler:
            assert any(thread.name == "counters" for thread in threading.enumerate())
            assert nvml.n_open == 1
            raise ValueError("of the block")
        return sampler

    with pytest.raises(ValueError, match="of the block"):
        failing()
    assert not any(thread.name == "counters" for thread in threading.enumerate())
    assert nvml.n_open == 0


def test_without_a_thread_the_ends_are_sampled(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no more threads, 300 W at both ends are 600 J in 2 s."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    counters = watched((2.0, nothing))
    assert (counters.n_samples, counters.energy_joules) == (2, 600.0)


def test_counters_are_refused_before_the_end() -> None:
    """Half of them would look like all."""
    with (
        sample("cpu", NO_THREAD) as sampler,
        pytest.raises(RuntimeError, match="after the with block"),
    ):
        sampler.counters()


def test_dear_readings_are_taken_less_often() -> None:
    """2 ms of CPU in the first 0.1 s are 1 % of a core at 0.2 s; 0.1 ms are long within it."""
    assert _pause(0.05, cpu_seconds=0.002, seconds=0.1) == pytest.approx(0.1)
    assert _pause(0.05, cpu_seconds=0.0001, seconds=0.1) == 0.05


# The process and the machine


def test_memory_that_the_block_touched_is_in_its_peak() -> None:
    """64 MiB more than a block that touched none."""
    with sample("cpu", NO_THREAD) as without:
        pass
    with sample("cpu", NO_THREAD) as touched:
        block = bytearray(64 * MIB)
        block[::1024] = b"\1" * (len(block) // 1024)
        touched.take()
        del block
    before = without.counters().resident_bytes_peak
    after = touched.counters().resident_bytes_peak
    assert before is not None
    assert after is not None
    assert after - before >= 60 * MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no high-water mark")
def test_memory_between_two_samples_is_in_the_peak() -> None:
    """No sample has the 64 MiB; the high-water mark of a process of its own does."""
    code = f"""
from granite_bench.speed.counters import sample
with sample("cpu", {NO_THREAD}) as sampler:
    before = max(each.resident_bytes for each in sampler._samples)
    block = bytearray({64 * MIB})
    block[::1024] = b"1" * (len(block) // 1024)
    del block
print(sampler.counters().resident_bytes_peak - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) >= 60 * MIB


def test_cpu_seconds_are_those_of_the_process() -> None:
    """A block that computes until the process has used 20 ms more has at least those."""
    with sample("cpu") as sampler:
        # The finest clock of the process: those that count in ticks may be ahead of it.
        began = time.process_time()
        while time.process_time() - began < 0.02:
            math.factorial(500)
    counters = sampler.counters()
    assert counters.cpu_seconds >= 0.02
    assert counters.cpu_share is not None
    assert counters.cpu_share > 0


def stat(folder: Path, *, user: int, idle: int, steal: int) -> None:
    """A /proc/stat in which waiting for I/O grows as idling does, and guests are half of user."""
    # user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
    line = f"cpu  {user} 0 10 {idle} {idle} 0 0 {steal} {user // 2} 0"
    (folder / "stat").write_text(f"{line}\ncpu0 1 2 3\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc of the test's own, of four cores; the process has used no CPU time yet."""
    monkeypatch.setattr(process, "PROC", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    usual = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 100 if name == "SC_CLK_TCK" else usual(name))
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    return tmp_path


def test_others_used_what_the_machine_used_and_we_did_not(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    290 ticks more of user and 10 of steal are 3 s; 1 s of them was ours; 2 s of 4 are 0.5 cores.

    Idling and waiting for I/O is not use, and a guest's time is already in user.
    """
    stat(machine, user=1000, idle=5000, steal=0)

    def later() -> None:
        stat(machine, user=1290, idle=9000, steal=10)
        monkeypatch.setattr("time.process_time", lambda: 1.0)

    counters = watched((4.0, later), device="cpu")
    assert counters.other_cpu_cores == 0.5
    assert warnings(counters) == ["shared: others used 0.50 cores on average (more than 0.2)"]


@pytest.mark.parametrize(("ticks", "n_warnings"), [(76, 0), (84, 1)])
def test_more_than_a_fifth_of_a_core_is_shared(machine: Path, ticks: int, n_warnings: int) -> None:
    """76 ticks in 4 s are 0.19 cores, 84 are 0.21."""
    stat(machine, user=1000, idle=5000, steal=0)
    later = functools.partial(stat, machine, user=1000 + ticks, idle=5000, steal=0)
    counters = watched((4.0, later), device="cpu")
    assert counters.other_cpu_cores == pytest.approx(ticks / 400)
    assert len(warnings(counters)) == n_warnings


@pytest.mark.parametrize(("other_cores", "n_warnings"), [(1.2, 0), (1.3, 1)])
def test_on_64_cores_two_percent_of_them_are_shared(other_cores: float, n_warnings: int) -> None:
    """1.28 cores: a server's own services are no other measurement."""
    counters = Counters(
        seconds=9.0, n_samples=2, cpu_seconds=9.0, other_cpu_cores=other_cores, machine_cores=64
    )
    assert len(warnings(counters)) == n_warnings


def test_others_never_use_less_than_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks are coarser than our own time."""
    stat(machine, user=1000, idle=5000, steal=0)

    def later() -> None:
        monkeypatch.setattr("time.process_time", lambda: 1.0)

    assert watched((4.0, later), device="cpu").other_cpu_cores == 0.0


def test_a_short_block_says_nothing_about_others(machine: Path) -> None:
    """10 ticks in 0.4 s would be a quarter of a core, and may be rounding."""
    stat(machine, user=1000, idle=5000, steal=0)
    counters = watched((0.4, lambda: stat(machine, user=1010, idle=5000, steal=0)), device="cpu")
    assert counters.other_cpu_cores is None


@pytest.mark.parametrize("text", ["cpu  0 0 0 0 0 0 0 0 0 0\n", "", "cpu no numbers here\n"])
def test_a_sandbox_that_hides_the_machine_says_nothing(machine: Path, text: str) -> None:
    """Zeros are not an idle machine."""
    (machine / "stat").write_text(text)
    assert watched((4.0, nothing), device="cpu").other_cpu_cores is None


def test_resident_memory_is_the_second_field_of_statm(machine: Path) -> None:
    """700 pages at the beginning, 900 in between, 800 at the end: the peak is 900 pages."""
    (machine / "self").mkdir()
    (machine / "self/status").write_text("VmHWM:\t 4000 kB\n")
    (machine / "self/statm").write_text("5000 700 100 1 0 600 0\n")
    counters = watched(
        (1.0, lambda: (machine / "self/statm").write_text("5000 900 100 1 0 600 0\n")),
        (2.0, lambda: (machine / "self/statm").write_text("5000 800 100 1 0 600 0\n")),
        device="cpu",
    )
    assert counters.resident_bytes_peak == 900 * os.sysconf("SC_PAGE_SIZE")
    assert counters.resident_source == "this block"


def test_without_proc_memory_is_that_since_the_process_began(machine: Path) -> None:
    """As on macOS: nothing tells the present size, and the counters say which peak it is."""
    resource = pytest.importorskip("resource")
    counters = watched((1.0, nothing), device="cpu")
    assert counters.resident_source == "since the process began"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    assert counters.resident_bytes_peak == pytest.approx(peak * unit, rel=0.2)


# The record


def test_counters_survive_json(nvml: Nvml) -> None:
    """Every attribute is in the record, with reasons as a list."""
    nvml.cards[0].bits = 0xC
    counters = watched((1.0, nothing))
    record = counters.as_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert set(record) == {field.name for field in fields(Counters)}
    assert record["throttle_reasons"] == ["power cap", "hardware slowdown"]


def test_a_cpu_block_imports_neither_torch_nor_nvml() -> None:
    """The counters of a machine without a GPU ask neither."""
    code = """
import sys
from granite_bench.speed.counters import sample
with sample("cpu") as sampler: pass
assert sampler.counters().as_dict()["nvml_error"] is None
print(sorted({"torch", "pynvml"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
