"""
Where and by what a model is computed, and what its numbers are: devices as torch names them,
backends, types of weights and of vectors.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from granite_bench.errors import Fault

BackendName: TypeAlias = Literal["torch", "onnx", "openvino"]
"""sentence-transformers' words for what computes."""
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

DTYPES = ("float32", "bfloat16", "float16")
"""Types that weights can be loaded as, torch's names."""

Precision: TypeAlias = Literal["float32", "float16", "int8", "binary"]
"""What a value of a vector is searched as."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def best_device() -> str:
    """The first GPU where torch finds one, else the CPU."""
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def device_faults(device: str | None, option: str = "--device") -> list[Fault]:
    """What is wrong with a device that an option names; None is the best there is."""
    if device is None:
        return []
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        return [Fault(option, f"unknown device '{device}'", "such as cpu, cuda:0 or mps")]
    n_devices = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind in n_devices and (torch.device(device).index or 0) >= n_devices[kind]:
        what = f"'{device}': torch finds {n_devices[kind]} such devices on this machine"
        return [Fault(option, what, "leave it out to use the best there is")]
    return []
