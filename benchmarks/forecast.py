"""
The forecast of granite-bench plan against real runs on this machine, with all-MiniLM-L6-v2.

    python benchmarks/forecast.py [--repeats 3] [--task NAME ...] [--subset NAME ...]
                                  [--mirror FOLDER] [--protocol fixed-128] [--documents 128]

Each turn measures the speed anew (granite-bench speed, the protocol named, in batches of as many
tokens as a run has), forecasts the run from that record, and runs it: the model is loaded, nothing
is in the vector store, results go to a new folder. A small run before all of them imports and
compiles what is done once. From the second turn on there is another forecast, from the record of
the run before. Printed are seconds of the wall clock, and what was forecast to what it was; without
--task, of the three tasks of the quickstart suite.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

MINILM = "quickstart/all-MiniLM-L6-v2"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", dest="tasks", action="append", default=[])
    parser.add_argument("--subset", dest="subsets", action="append", default=[])
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--protocol", default="fixed-128")
    parser.add_argument("--documents", type=int, default=128)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = Path(tempfile.mkdtemp())
    os.environ["GRANITE_BENCH_CACHE"] = str(folder / "cache")
    print(f"load average {os.getloadavg()[0]:.1f} before", flush=True)
    _run_once_before(folder)
    turns = [_turn(number, folder, options) for number in range(options.repeats)]
    print("| turn | forecast, s | run, s | forecast / run | from the run before, s | / run |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for number, (forecast, before, real) in enumerate(turns, start=1):
        second = f"{before:.1f} | {before / real:.2f}" if before is not None else "- | -"
        print(f"| {number} | {forecast:.1f} | {real:.1f} | {forecast / real:.2f} | {second} |")
    print(f"\nmedian of forecast / run: {_median([f / real for f, _, real in turns]):.2f}", end="")
    again = [before / real for _, before, real in turns if before is not None]
    if again:
        print(f"; from the run before: {_median(again):.2f}", end="")
    print(f"\nload average {os.getloadavg()[0]:.1f} after")


def _run_once_before(folder: Path) -> None:
    """A small run for what only a first one does: imports, and compiling the search."""
    from granite_bench.runner.preparation import prepare

    prepare(
        tasks=["ParallelFactsRetrieval"],
        subsets=["en"],
        models=[MINILM],
        results=folder / "before",
        vectors=None,
    ).start()


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _turn(number: int, folder: Path, options: Any) -> tuple[float, float | None, float]:
    """Seconds: forecast from a speed record, forecast from the run before, and taken."""
    from granite_bench.forecast.forecast import forecast_of
    from granite_bench.runner.preparation import prepare

    results = folder / f"turn-{number}"
    _measure_speed(results / "speeds", options)
    prepared = prepare(
        None if options.tasks else "quickstart",
        tasks=options.tasks,
        subsets=options.subsets,
        mirror=options.mirror,
        models=[MINILM],
        results=results,
        vectors=folder / f"vectors-{number}",
    )
    forecast = forecast_of(prepared.plan, results=results / "speeds")
    print(f"turn {number + 1}: {'; '.join(forecast.lines())}", flush=True)
    _print_stages("forecast", forecast.likely.stages)
    before = None
    if number:
        earlier = forecast_of(prepared.plan, results=folder / f"turn-{number - 1}")
        before = earlier.seconds.likely
    started = time.perf_counter()
    outcomes = prepared.start(say=lambda line: None)
    seconds = time.perf_counter() - started
    failed = [outcome.cause for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise SystemExit(f"the run failed: {failed[0]}")
    _print_stages("run", _stages(results, seconds))
    return forecast.seconds.likely, before, seconds


def _measure_speed(results: Path, options: Any) -> None:
    from granite_bench.devices import best_device
    from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU, TOKEN_BUDGET_GPU
    from granite_bench.speed.protocol import find_protocol
    from granite_bench.speed.session import measure_speed
    from granite_bench.speed.settings import vary

    protocol = find_protocol(options.protocol).changed(n_documents=options.documents)
    budgets = (TOKEN_BUDGET_GPU,) if best_device() != "cpu" else (TOKEN_BUDGET_CPU,)
    settings = vary(best_device(), token_budgets=budgets)
    measure_speed([MINILM], protocol, settings, out=results)


def _stages(results: Path, seconds: float) -> dict[str, float]:
    """Where the time of a run went, from its records."""
    from granite_bench.results.tree import read_results

    stages = {"load": 0.0, "encode": 0.0, "search": 0.0}
    for result in read_results(results):
        for run in result.record["runs"]:
            stages["load"] += run["seconds"]["model_load"]
            for entry in run["evaluations"]:
                for role in ("docs", "queries"):
                    cost = entry[role] or {}
                    stages["encode"] += cost.get("encode_seconds", 0.0)
                    stages["encode"] += cost.get("store_seconds", 0.0)
                stages["search"] += entry["rank_seconds"] + sum(entry["query_seconds"])
    return {**stages, "rest": seconds - sum(stages.values())}


def _print_stages(what: str, stages: dict[str, float]) -> None:
    print(f"  {what}: " + ", ".join(f"{k} {v:.1f} s" for k, v in stages.items()), flush=True)


if __name__ == "__main__":
    main()
