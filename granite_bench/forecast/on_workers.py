"""The forecast of a run on the workers that are there, in the few lines that come before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from granite_bench.cluster.session import Seat
from granite_bench.errors import BadInput
from granite_bench.forecast.devices import Device, find_kind, this_device
from granite_bench.forecast.forecast import forecast_of
from granite_bench.planning.plan import Plan


def forecast_lines(
    plan: Plan,
    seats: Sequence[Seat],
    *,
    gpus_per_worker: float,
    results: Path,
    stored: bool,
    token_budget: int | None,
) -> list[str]:
    """
    Time, hours of devices, gigabytes and the bottleneck, or why there is no forecast.

    Args:
        seats: where the workers are, at least one; all are taken to be like the first.
        gpus_per_worker: in a cluster with GPUs.
        plan, results, stored, token_budget: as for forecast_of.
    """
    first = seats[0]
    try:
        device, n_devices = _devices(first, seats, gpus_per_worker)
    except BadInput:
        kind = f"'{first.kind}'" if first.kind else "not known"
        return [f"no forecast: the kind of the cluster's GPUs is {kind}; see granite-bench plan"]
    forecast = forecast_of(
        plan,
        device=device,
        n_devices=n_devices,
        n_workers=len(seats),
        results=results,
        stored=stored,
        token_budget=token_budget,
    )
    return forecast.lines()


def _devices(first: Seat, seats: Sequence[Seat], gpus_per_worker: float) -> tuple[Device, int]:
    if first.device is None:
        return find_kind(first.kind or ""), math.ceil(len(seats) * gpus_per_worker)
    # Workers on processors share their machine.
    different = {seat.machine if first.device == "cpu" else seat.device for seat in seats}
    return this_device(first.device), len(different)
