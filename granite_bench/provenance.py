"""Where a number comes from: code, packages and hardware, as plain dictionaries."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "granite-bench", "mteb", "torch", "sentence-transformers", "transformers", "tokenizers",
    "datasets", "numpy", "numba", "pytrec-eval-terrier", "bm25s", "onnxruntime", "openvino",
)  # fmt: skip


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a score, where installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@cache
def code_revision() -> str | None:
    """The commit of this checkout, with "+changes" when it was edited; None in a wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "granite_bench")
    except (OSError, subprocess.SubprocessError):  # no git, one that refuses, one that hangs
        return None
    return f"{commit}+changes" if changed else commit


def hardware(device: str) -> dict[str, Any]:
    """
    The machine and the device that encoded.

    Args:
        device: torch's name of it: cpu, cuda:0, mps.

    Returns:
        cpu (its model name), cores (that this process may use), memory_gib, device, and for an
        NVIDIA device its name and memory.
    """
    described: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "device": device,
    }
    if device.startswith("cuda"):
        import torch

        properties = torch.cuda.get_device_properties(device)
        described["device_name"] = properties.name
        described["device_memory_gib"] = round(properties.total_memory / 2**30, 1)
    return described


def usable_cores() -> int | None:
    """Of the machine, those that this process may use; None where nobody knows."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
