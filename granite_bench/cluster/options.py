"""What the command line says of workers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from granite_bench.errors import Fault

AUTO = "auto"
"""The Ray cluster that this machine is part of."""


@dataclass(frozen=True)
class ClusterOptions:
    """
    Which workers encode and search.

    Attributes:
        address: of a Ray cluster: AUTO, host:port, or ray://host:port; None: workers on this
            machine alone, one on each of *devices*.
        devices: torch's names; cpu may be named several times.
        gpus_per_worker: of a cluster with GPUs; 0 leaves them alone.
    """

    address: str | None = None
    devices: Sequence[str] = ()
    gpus_per_worker: float = 1.0


def cluster_faults(
    address: str | None, devices: Sequence[str], device: str | None, endpoint: str | None
) -> list[Fault]:
    """What is wrong with --ray and --devices, beside the names of the devices."""
    if address is None and not devices:
        return []
    option = "--ray" if address is not None else "--devices"
    faults = []
    if importlib.util.find_spec("ray") is None:
        problem = "needs Ray, which is not installed"
        faults.append(Fault(option, problem, "pip install 'granite-bench[ray]'"))
    if address is not None and devices:
        problem = "are devices of this machine, and --ray names a cluster"
        faults.append(Fault("--devices", problem, "give one of the two"))
    if address is not None and "@" in address:
        problem = "has a user name or a password in it"
        faults.append(Fault("--ray", problem, f"{AUTO}, host:port or ray://host:port"))
    others = {"--device": device, "--endpoint": endpoint}
    for name, value in others.items():
        if value is not None:
            problem = f"says where models are computed, and so does {option}"
            faults.append(Fault(name, problem, "give one of the two"))
    return faults
