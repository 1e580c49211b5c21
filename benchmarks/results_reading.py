"""
How long the overview table takes to read a results tree, beside mteb's own reader.

    python benchmarks/results_reading.py RESULTS_FOLDER [--repeats 3] [--synthetic 100000]

RESULTS_FOLDER is a clone of mteb's public results (the folder that holds results/). Each
measurement runs in a process of its own, so that its time includes the imports it needs and its
peak memory is its own; the ways alternate, and medians over the repeats are printed as a Markdown
table. "Cold" is a new index, "warm" the second call with the same index; the files themselves are
in the system's page cache for every way, since one reading goes before all measurements.

With --synthetic N, the same over a tree of N small result files, made in a temporary folder:
models of 100 tasks each, among them the tasks of the overview.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TASKS_PER_MODEL = 100


def main() -> None:
    options = _arguments()
    if options.one:
        print(json.dumps(_one(options.one, options.folder)))
        return
    print(f"{_cpu()}, {os.cpu_count()} cores; Python {platform.python_version()}; {_versions()}")
    print(f"medians of {options.repeats} runs, each in a process of its own\n")
    print("| tree | files | reader | seconds | CPU seconds | peak memory (MiB) | results |")
    print("| :--- | ---: | :--- | ---: | ---: | ---: | ---: |")
    _measure("as given", options.folder, options.repeats)
    if options.synthetic:
        with tempfile.TemporaryDirectory() as folder:
            _make_tree(Path(folder), options.synthetic)
            _measure("synthetic", Path(folder), options.repeats)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--synthetic", type=int, default=0, metavar="N")
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(label: str, folder: Path, repeats: int) -> None:
    n_files = sum(path.name != "model_meta.json" for path in folder.rglob("*.json"))
    with tempfile.TemporaryDirectory() as caches:
        _child("overview", folder, Path(caches) / "first")  # the page cache, and mteb's registry
        registry = next((Path(caches) / "first").glob("models-*.json"))
        figures: dict[str, list[dict[str, float]]] = {}
        for number in range(repeats):
            cache = Path(caches) / str(number)
            cache.mkdir()
            (cache / registry.name).write_bytes(registry.read_bytes())
            for way, reader in (
                ("granite-bench, cold", "overview"),
                ("granite-bench, warm", "overview"),
                ("mteb load_results", "mteb"),
            ):
                figures.setdefault(way, []).append(_child(reader, folder, cache))
    for way, runs in figures.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {label} | {n_files:,} | {way} | {middle['seconds']:.2f} | {middle['cpu']:.2f} "
            f"| {middle['mib']:.0f} | {middle['results']:,.0f} |",
            flush=True,
        )


def _child(reader: str, folder: Path, cache: Path) -> dict[str, float]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, str(folder.resolve()), "--one", reader],
        env={**os.environ, "GRANITE_BENCH_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": time.perf_counter() - started, **told}


def _one(reader: str, folder: Path) -> dict[str, float]:
    n_results = WAYS[reader](folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "results": n_results,
        "cpu": used.ru_utime + used.ru_stime,
        "mib": used.ru_maxrss / per_mib,
    }


def _overview(folder: Path) -> int:
    """The whole table, Markdown included; the number of results that stand behind it."""
    from granite_bench.report.layout import lay_out
    from granite_bench.report.text import as_markdown
    from granite_bench.suite.overview import load_overview
    from granite_bench.tables.overview import make_overview
    from granite_bench.tables.table import Options

    table = make_overview(load_overview("overview"), [folder], Options(facts=True))
    as_markdown(lay_out(table))
    return len(
        {
            source.path
            for row in table.rows
            for cell in row.cells.values()
            for source in cell.sources
        }
    )


def _mteb(folder: Path) -> int:
    """mteb's reader over the same tasks; no table is made of it."""
    import mteb

    results = mteb.ResultCache(folder).load_results(
        tasks=sorted(_overview_tasks()),
        require_model_meta=False,
        include_remote=False,
        load_experiments="no_experiments",
    )
    return sum(len(model.task_results) for model in results.model_results)


WAYS: dict[str, Callable[[Path], int]] = {"overview": _overview, "mteb": _mteb}


def _overview_tasks() -> set[str]:
    from granite_bench.suite.overview import load_overview
    from granite_bench.suite.suite import load_suite

    tasks = [
        task for each in load_overview("overview").suites for task in load_suite(each.suite).tasks
    ]
    return {name for task in tasks for name in (task.name, *task.parts)}


def _make_tree(folder: Path, n_files: int) -> None:
    from granite_bench.suite.overview import load_overview
    from granite_bench.suite.suite import load_suite

    wanted = {
        task.name: task
        for each in load_overview("overview").suites
        for task in load_suite(each.suite).tasks
    }
    names = [*wanted, *(f"Other{number}" for number in range(TASKS_PER_MODEL))][:TASKS_PER_MODEL]
    contents = {name: json.dumps(_result(name, wanted.get(name))) for name in names}
    for number in range(n_files // TASKS_PER_MODEL):
        model = folder / "results" / f"org__model-{number}" / "revision"
        model.mkdir(parents=True)
        meta = {"name": f"org/model-{number}", "revision": "revision"}
        (model / "model_meta.json").write_text(json.dumps(meta))
        for name, content in contents.items():
            (model / f"{name}.json").write_text(content)


def _result(name: str, task: Any) -> dict[str, Any]:
    splits = task.splits if task else ("test",)
    subsets = task.subsets if task else ("default",)
    metric = task.metric if task else "ndcg_at_10"
    entries = [
        {
            "hf_subset": subset,
            "languages": ["eng-Latn"],
            "main_score": 0.5,
            metric: 0.5,
            "ndcg_at_100": 0.5,
        }
        for subset in subsets
    ]
    return {
        "dataset_revision": "1",
        "task_name": name,
        "mteb_version": "2.0.0",
        "evaluation_time": 1.0,
        "kg_co2_emissions": None,
        "scores": dict.fromkeys(splits, entries),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("mteb", "pydantic"))


if __name__ == "__main__":
    main()
