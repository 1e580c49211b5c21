"""The rooms of the house: what imports what, and what must stay out of the reading side."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import granite_bench

PACKAGE = Path(granite_bench.__file__).parent

# From the top floor down; a module may import from its own floor's list only what stands below.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"api", "console"},
    {"report"},
    {"gate"},
    {"preparation", "comparison"},
    {"curves", "overview", "reranking", "run_command"},
    {"table", "audit"},
    {"selection", "weights"},
    {"scores", "model_facts", "task_facts", "parity"},
    {"variant_settings"},
    {"forecast"},
    {"disk_space", "option_faults", "runner", "trec_export"},
    {"speed"},
    {"encoding_ahead"},
    {"run_record", "task_scores"},
    {"plan", "per_query", "run_spec"},
    {"first_stage"},
    {"ranking"},
    {"cluster"},
    {"form_loading"},
    {"engine", "fetch"},
    {"fetch_plan"},
    {"models", "tasks", "trec"},
    {"exported"},
    {"store"},
    {"speed_records"},
    {"speed_columns", "speed_comparison"},
    {"results"},
    {"suite", "mirror", "provenance", "result_files", "results_index"},
    {"json_file", "parquet_file", "text_lines", "yaml_file", "devices", "printed", "mteb_registry"},
    {"arguments", "locations", "validation"},
    {"urls"},
    {"files"},
    {"significance"},
    {"errors", "stats", "pareto"},
]


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("granite_bench"):
            module = node.module or ""
            if module == "granite_bench":
                rooms |= {
                    alias.name for alias in node.names if (PACKAGE / f"{alias.name}.py").exists()
                }
            else:
                rooms.add(_room(module))
    return rooms


def _sources() -> list[tuple[str, Path]]:
    sources = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        room = relative.parts[0] if len(relative.parts) > 1 else relative.stem
        sources.append((room, path))
    return sources


def test_every_module_has_its_floor() -> None:
    """A new module is put on a floor here before anything may import it."""
    known = set().union(*FLOORS) | {"__init__"}
    assert {room for room, _ in _sources()} == known


@pytest.mark.parametrize(
    ("room", "path"), _sources(), ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_imports_point_down(room: str, path: Path) -> None:
    """A module imports only from its own package or from floors below it."""
    if room == "__init__":
        return
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    above = {name for rooms in FLOORS[: floor + 1] for name in rooms} - {room}
    assert not _imports(path) & above


@pytest.mark.parametrize(
    "module",
    [
        "__init__",
        "cli",
        "suite",
        "results",
        "speed_records",
        "table",
        "overview",
        "curves",
        "reranking",
        "comparison.side_by_side",
        "gate.checking",
        "report",
    ],
)
def test_reading_side_names_no_heavy_import_at_module_level(module: str) -> None:
    """Importing the reading side loads neither torch nor transformers nor mteb nor pandas."""
    name = "granite_bench" if module == "__init__" else f"granite_bench.{module}"
    heavy = {"torch", "transformers", "mteb", "pandas", "matplotlib", "numba"}
    code = f"import sys, {name}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["engine", "cluster"])
def test_the_index_of_a_large_package_names_every_module(package: str) -> None:
    """So that a reader of its docstring has seen all that there is."""
    index = (PACKAGE / package / "__init__.py").read_text(encoding="utf-8")
    modules = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
    assert [name for name in sorted(modules) if not re.search(rf"\b{name}\b", index)] == []


def test_public_names() -> None:
    """The public surface is pinned; a change of it is a decision."""
    assert sorted(granite_bench.__all__) == [
        "BadInput",
        "GraniteBenchError",
        "StorageError",
        "TaskError",
        "load_results",
        "run",
    ]
