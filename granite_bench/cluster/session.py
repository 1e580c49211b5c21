"""Ray: a cluster that is joined or started on this machine, and its nodes as places for workers."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from granite_bench.cluster.options import AUTO, ClusterOptions
from granite_bench.errors import BadInput, Fault, first_line
from granite_bench.provenance import usable_cores

STORE_BYTES = 512 * 2**20
"""Ray's memory for what calls carry, on a machine where we start it: shards of texts, rankings."""


@dataclass(frozen=True)
class Seat:
    """
    Room for one worker.

    Attributes:
        name: for people: the device here, or the node's address.
        device: torch's name; None is the best that Ray shows the worker.
        threads: of torch; None leaves torch's choice.
        machine: what tells the machines of several seats apart.
        kind: what Ray calls the node's GPUs, such as H100; None where it has none, or does not say.
        options: of Ray's actor.
    """

    name: str
    device: str | None
    threads: int | None
    machine: str = ""
    kind: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def connected(options: ClusterOptions) -> Iterator[list[Seat]]:
    """
    Ray as long as the block runs, and the room that it has for workers.

    Whatever ends the block, nothing that was started here goes on afterwards.

    Raises:
        BadInput: there is no such cluster, or it has no room.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Otherwise a worker without a GPU of its own sees none, and --devices could not name any.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if options.address is None:
            ray.init(
                address="local", num_cpus=len(options.devices), num_gpus=0,
                include_dashboard=False, object_store_memory=STORE_BYTES, **quiet,
            )  # fmt: skip
        else:
            ray.init(address=options.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise BadInput(_unreachable(options, error)) from None
    try:
        yield _here(options) if options.address is None else _of_nodes(options, ray.nodes())  # type: ignore[no-untyped-call]  # its own
    finally:
        ray.shutdown()


def _here(options: ClusterOptions) -> list[Seat]:
    cores = usable_cores() or 1
    n_on_cpu = sum(device == "cpu" for device in options.devices)
    return [
        Seat(
            f"worker {number} ({device})",
            device,
            max(1, cores // n_on_cpu) if device == "cpu" else None,
            options={"num_cpus": 1, "num_gpus": 0},
        )
        for number, device in enumerate(options.devices, 1)
    ]


def _of_nodes(options: ClusterOptions, nodes: list[dict[str, Any]]) -> list[Seat]:
    """A seat for each so many GPUs; in a cluster without, one on each node for all its cores."""
    there = [node for node in nodes if node["Alive"]]
    has_gpus = any(node["Resources"].get("GPU", 0) for node in there)
    seats: list[Seat] = []
    for node in sorted(there, key=lambda node: (node["NodeManagerAddress"], node["NodeID"])):
        n_cpus = int(node["Resources"].get("CPU", 0))
        n_gpus = node["Resources"].get("GPU", 0)
        if has_gpus and options.gpus_per_worker:
            wanted = {"num_gpus": options.gpus_per_worker, "num_cpus": 0}
            n_seats, device, threads = int(n_gpus / options.gpus_per_worker), None, None
        else:
            wanted = {"num_cpus": n_cpus, "num_gpus": 0}
            n_seats, device, threads = int(n_cpus >= 1), "cpu", n_cpus
        for _ in range(n_seats):
            name = f"worker {len(seats) + 1} (node {node['NodeManagerAddress']})"
            seats.append(
                Seat(
                    name, device, threads, node["NodeID"], None if device else _kind(node),
                    {**wanted, **_on_node(node)},
                )
            )  # fmt: skip
    if not seats:
        problem = (
            f"has {len(there)} nodes, and none has {options.gpus_per_worker:g} GPUs for a worker"
            if has_gpus and options.gpus_per_worker
            else f"has {len(there)} nodes, and none has a core for a worker"
        )
        hint = "give a smaller --gpus-per-worker, or add nodes with ray start"
        raise BadInput(Fault("--ray", problem, hint))
    return seats


def _kind(node: dict[str, Any]) -> str | None:
    prefix = "accelerator_type:"
    named = (each for each in node["Resources"] if each.startswith(prefix))
    return next((each.removeprefix(prefix) for each in named), None)


def _on_node(node: dict[str, Any]) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Soft: what replaces a worker of a node that died may be elsewhere.
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)}


def _unreachable(options: ClusterOptions, error: Exception) -> Fault:
    said = first_line(error)
    if options.address is None:
        return Fault("--devices", f"Ray did not start on this machine: {said}", "see its message")
    if options.address == AUTO:
        problem = "found no Ray cluster on this machine"
        hint = (
            "start one with `ray start --head`, give an address, or use --devices cuda:0,cuda:1 "
            "for this machine alone"
        )
        return Fault("--ray", problem, hint)
    problem = f"no Ray cluster answers at '{options.address}': {said}"
    return Fault("--ray", problem, "give host:port as `ray start --head` prints it")
