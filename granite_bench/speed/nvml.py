"""One GPU as NVML (the module pynvml of nvidia-ml-py) and torch's allocator see it."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

# NVML API Reference Guide, group nvmlClocksEventReasons: the bits that hold clocks down. Not
# among them: idle (0x1), application clocks (0x2) and display clocks (0x100), which someone set.
THROTTLES = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal slowdown by software",
    0x040: "thermal slowdown by hardware",
    0x080: "power brake",
    0x200: "board limit",
    0x400: "reliability",
}
_NO_THROTTLE = 0x001 | 0x002 | 0x100

# nvml.h: nvmlClockType_t and nvmlTemperatureSensors_t.
_CLOCK_SM, _CLOCK_MEMORY, _TEMPERATURE_GPU = 1, 2, 0


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """What holds the clocks down, in words; bits without a known meaning as their number."""
    words = [word for bit, word in THROTTLES.items() if bits & bit]
    unknown = bits & ~(sum(THROTTLES) | _NO_THROTTLE)
    return (*words, f"unknown reason {unknown:#x}") if unknown else tuple(words)


@dataclass(frozen=True)
class Reading:
    """
    What NVML says at one moment, None where it does not.

    The last four may be left out, since they change slowly or cost more. Units are in the names;
    utilisation is a share, 0..1; throttle_bits are those of throttle_reasons().
    """

    watts: float | None = None
    utilisation: float | None = None
    sm_clock_mhz: int | None = None
    throttle_bits: int | None = None
    memory_clock_mhz: int | None = None
    memory_bytes: int | None = None
    temperature_c: int | None = None
    other_processes: int | None = None


class Gpu:
    """
    The readings of one GPU; none of its methods raises.

    Making one sets the peak of torch's allocator back.

    Args:
        device: torch's name of it. CUDA_VISIBLE_DEVICES renumbers torch's devices and not
            NVML's, so the two are matched by UUID or PCI address.

    Attributes:
        error: why NVML cannot be asked; None where it can.
        watts_limit, sm_clock_mhz_max, memory_clock_mhz_max: what the GPU is allowed or built for.
    """

    def __init__(self, device: str) -> None:
        self.error: str | None = None
        self._failed: set[str] = set()
        self._cuda: Any = None
        self._index = 0
        self._nvml: Any = None
        self._handle: Any = None
        try:
            import torch

            self._cuda = torch.cuda
            index = torch.device(device).index
            self._index = torch.cuda.current_device() if index is None else index
            properties = torch.cuda.get_device_properties(self._index)
            torch.cuda.reset_peak_memory_stats(self._index)
            self._open(properties)
        except ImportError:
            self.error = "the module pynvml (package nvidia-ml-py) is not installed"
        except Exception as error:  # noqa: BLE001 (a measurement goes on without its counters)
            self.error = f"{type(error).__name__}: {error}"
        if self.error is not None:
            logger.debug("no readings of %s: %s", device, self.error)
        self.watts_limit = _thousandth(self._ask("nvmlDeviceGetEnforcedPowerLimit"))
        self.sm_clock_mhz_max = _whole(self._ask("nvmlDeviceGetMaxClockInfo", _CLOCK_SM))
        self.memory_clock_mhz_max = _whole(self._ask("nvmlDeviceGetMaxClockInfo", _CLOCK_MEMORY))

    def read(self, *, everything: bool) -> Reading:
        """The readings of this moment: the first four, or *everything*."""
        utilisation = self._ask("nvmlDeviceGetUtilizationRates")
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:  # what older drivers call it
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        memory = self._ask("nvmlDeviceGetMemoryInfo") if everything else None
        return Reading(
            watts=_thousandth(self._ask("nvmlDeviceGetPowerUsage")),
            utilisation=None if utilisation is None else utilisation.gpu / 100,
            sm_clock_mhz=_whole(self._ask("nvmlDeviceGetClockInfo", _CLOCK_SM)),
            throttle_bits=_whole(bits),
            memory_clock_mhz=_whole(self._ask("nvmlDeviceGetClockInfo", _CLOCK_MEMORY))
            if everything
            else None,
            memory_bytes=None if memory is None else int(memory.used),
            temperature_c=_whole(self._ask("nvmlDeviceGetTemperature", _TEMPERATURE_GPU))
            if everything
            else None,
            other_processes=self._other_processes() if everything else None,
        )

    def energy_joules(self) -> float | None:
        """Used since the driver was loaded (Volta or later); advances in steps of up to 0.1 s."""
        return _thousandth(self._ask("nvmlDeviceGetTotalEnergyConsumption"))

    def allocator_bytes_peak(self) -> int | None:
        """Most bytes in torch's tensors since this object was made."""
        return self._bytes_of_torch("max_memory_allocated")

    def close(self) -> None:
        """Hand NVML back; every reading is None from here on."""
        if self._nvml is not None:
            try:
                self._nvml.nvmlShutdown()
            except Exception as error:  # noqa: BLE001 (nothing is lost)
                logger.debug("nvmlShutdown: %s", error)
        self._nvml = self._handle = None

    def _open(self, properties: Any) -> None:
        """Find the handle of the GPU that torch describes so; raises NVML's own errors."""
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        self._nvml = nvml
        # torch prints the UUID bare; a slice of a GPU (MIG) has one of its own.
        uuid = str(getattr(properties, "uuid", "")).removeprefix("GPU-")
        for name in (f"GPU-{uuid}", f"MIG-{uuid}"):
            try:
                self._handle = nvml.nvmlDeviceGetHandleByUUID(name)
                return
            except Exception as error:  # noqa: BLE001 (the PCI address is left)
                logger.debug("NVML knows no %s: %s", name, error)
        address = (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
        self._handle = nvml.nvmlDeviceGetHandleByPciBusId("{:08x}:{:02x}:{:02x}.0".format(*address))

    def _ask(self, name: str, *arguments: int) -> Any:
        """One query of NVML; None where the GPU or the driver does not answer it."""
        nvml, handle = self._nvml, self._handle
        if handle is None:
            return None
        try:
            return getattr(nvml, name)(handle, *arguments)
        except Exception as error:  # noqa: BLE001 (a measurement goes on without this reading)
            if name not in self._failed:
                self._failed.add(name)
                logger.debug("%s: %s", name, error)
            return None

    def _other_processes(self) -> int | None:
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if processes is None:
            return None
        pids = {process.pid for process in processes}
        # In a container NVML lists processes by the host's numbers: then one is ours under a
        # number that we do not know, if we use the GPU at all.
        are_we_there = os.getpid() in pids or bool(self._bytes_of_torch("memory_reserved"))
        return max(0, len(pids) - are_we_there)

    def _bytes_of_torch(self, name: str) -> int | None:
        try:
            return int(getattr(self._cuda, name)(self._index))
        except Exception as error:  # noqa: BLE001 (a measurement goes on without this figure)
            logger.debug("torch.cuda.%s: %s", name, error)
            return None


def _thousandth(value: Any) -> float | None:
    """NVML counts in milliwatts and millijoules."""
    return None if value is None else value / 1000


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
