"""
Kinds of devices: what they compute at most.

Peaks are of dense matrix products in TFLOP/s, as the vendors' data sheets have them: without
structured sparsity, which NVIDIA's sheets of Ampere, Ada and Hopper count in with a factor of two.
float32 is that of the ordinary units: torch does not use TF32 unless it is told to. A dtype that
the device has no units for is not in the table.

Sources: NVIDIA's data sheets of H100 (SXM5 and PCIe), H200 (SXM), A100 (SXM4, 40 and 80 GB), L40S,
L4, T4, V100 (SXM2); AMD's of Instinct MI300X and MI250X, whose two chips are a device each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.results.speed_columns import device_label


@dataclass(frozen=True)
class Kind:
    """
    A kind of device.

    Attributes:
        name: as --kind takes it.
        label: for people.
        named: what torch's name of such a device has in it, in capitals.
        peak_tflops: dtype -> dense matrix products.
        memory_gb: decimal.
        memory_gb_per_second: bandwidth of that memory.
    """

    name: str
    label: str
    named: str
    peak_tflops: Mapping[str, float]
    memory_gb: float
    memory_gb_per_second: float


def _halves(both: float, float32: float) -> dict[str, float]:
    return {"bfloat16": both, "float16": both, "float32": float32}


KINDS = (
    Kind("h200", "NVIDIA H200", "H200", _halves(989.4, 66.9), 141, 4800),
    # Before the other, which its name has in it.
    Kind("h100-pcie", "NVIDIA H100 PCIe", "H100 PCIE", _halves(756, 51), 80, 2000),
    Kind("h100", "NVIDIA H100 SXM", "H100", _halves(989.4, 66.9), 80, 3350),
    Kind("a100-40gb", "NVIDIA A100 40 GB", "A100-SXM4-40GB", _halves(312, 19.5), 40, 1555),
    Kind("a100", "NVIDIA A100 80 GB", "A100", _halves(312, 19.5), 80, 2039),
    Kind("l40s", "NVIDIA L40S", "L40S", _halves(362, 91.6), 48, 864),
    Kind("l4", "NVIDIA L4", "L4", _halves(121, 30.3), 24, 300),
    Kind("t4", "NVIDIA T4", "T4", {"float16": 65, "float32": 8.1}, 16, 320),
    Kind("v100", "NVIDIA V100", "V100", {"float16": 125, "float32": 15.7}, 32, 900),
    Kind("mi300x", "AMD Instinct MI300X", "MI300X", _halves(1307.4, 163.4), 192, 5300),
    Kind("mi250x", "AMD Instinct MI250X, one of two", "MI250X", _halves(191.5, 47.9), 64, 1600),
)


@dataclass(frozen=True)
class Device:
    """
    Where a model is to run.

    Attributes:
        label: for people; of this machine's device, as records of speed name it.
        kind: what is known of it on paper; None for a CPU and for what the table lacks.
        here: torch's name of it where it is this machine's; None on paper.
        machine: the label without the threads that compute, as records of runs have it.
    """

    label: str
    kind: Kind | None
    here: str | None = None
    machine: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.kind is not None or (self.here is not None and not self.here.startswith("cpu"))

    def is_like(self, label: str) -> bool:
        """Whether figures that were measured on a device of this label are of such a device."""
        if self.here is not None and label in (self.label, self.machine):
            return True
        return self.kind is not None and kind_of(label) == self.kind

    def peak_flops(self, dtype: str) -> tuple[float, str] | None:
        """Floating-point operations a second, and where the figure is from; None if not known."""
        if self.kind is not None:
            peak = self.kind.peak_tflops.get(dtype)
            return None if peak is None else (peak * 1e12, f"{self.kind.label}'s data sheet")
        if self.here is None:
            return None
        return _measured_peak(self.here, dtype), "a matrix product measured now"


@cache
def _measured_peak(device: str, dtype: str) -> float:
    from granite_bench.speed.measure import matrix_product_peak

    return matrix_product_peak(device, dtype, n_products=4)


def kind_of(label: str) -> Kind | None:
    """The kind whose name is in torch's name of a device; None for others."""
    words = label.upper()
    spaced = words.replace("-", " ").split()
    for kind in KINDS:
        # L4 is in L40S: names without a space or hyphen are whole words.
        simple = kind.named.isalnum()
        if kind.named in spaced if simple else kind.named in words:
            return kind
    return None


def find_kind(name: str) -> Device:
    """
    A kind by its name.

    Raises:
        BadInput: there is no such kind, with the nearest ones.
    """
    for kind in KINDS:
        if kind.name == name.lower():
            return Device(kind.label, kind)
    known = f"known: {', '.join(sorted(kind.name for kind in KINDS))}"
    close = did_you_mean(name, (kind.name for kind in KINDS))
    hint = f"{close}\n  {known}" if close else f"{known}; leave it out for this machine"
    raise BadInput(Fault("--kind", f"unknown kind of device '{name}'", hint))


def this_device(device: str | None = None) -> Device:
    """This machine's device: torch's name of it, or the best there is."""
    import torch

    from granite_bench.devices import best_device
    from granite_bench.provenance import hardware

    here = device or best_device()
    threads = torch.get_num_threads() if here.startswith("cpu") else None
    described = hardware(here)
    label = device_label(described, threads)
    kind = None if here.startswith("cpu") else kind_of(label)
    return Device(label, kind, here, device_label(described))
