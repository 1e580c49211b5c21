"""The rooms of the house: what imports what, and what must stay out of the reading side."""

from __future__ import annotations

import ast
import graphlib
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
    {"api"},
    {"console", "report"},
    {"gate"},
    {"comparison", "audit", "parity"},
    {"runner"},
    {"tables"},
    {"forecast"},
    {"speed"},
    {"cluster"},
    {"planning"},
    {"rankings"},
    {"engine"},
    {"engine.encoding"},
    {"engine.endpoint"},
    {"engine.backends"},
    {"engine.search"},
    {"engine.vectors"},
    {"tasks"},
    {"models"},
    {"exported"},
    {"results"},
    {"suite", "offline"},
    {"arguments", "devices", "mteb_registry", "printed", "provenance"},
    {"files"},
    {"stats"},
    {"errors"},
]


def _room(module: str) -> str:
    """The longest package or module that has a floor; the first name where none has."""
    parts = module.split(".")
    nested = ".".join(parts[:2])
    return nested if any(nested in rooms for rooms in FLOORS) else parts[0]


def _imports(path: Path) -> set[str]:
    """The modules of ours that one imports anywhere in it, below the package."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("granite_bench"):
            module = (node.module or "").removeprefix("granite_bench").lstrip(".")
            within = PACKAGE.joinpath(*module.split("."))
            for alias in node.names:
                submodule = within / alias.name
                if submodule.is_dir() or submodule.with_suffix(".py").exists():
                    modules.add(f"{module}.{alias.name}".lstrip("."))
                elif module:
                    modules.add(module)
    return modules


def _sources() -> list[tuple[str, Path]]:
    return [(_room(_module(path)), path) for path in sorted(PACKAGE.rglob("*.py"))]


def _module(path: Path) -> str:
    names = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 1 else names)


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
    assert not set(map(_room, _imports(path))) & above


def test_no_modules_import_each_other() -> None:
    """Neither where they begin, nor in a function, nor for types alone."""
    modules = {_module(path): _imports(path) for path in PACKAGE.rglob("*.py")}
    graphlib.TopologicalSorter(modules).prepare()


@pytest.mark.parametrize(
    "module",
    [
        "__init__",
        "cli",
        "suite.suite",
        "results.tree",
        "results.speed_records",
        "tables.table",
        "tables.overview",
        "tables.curves",
        "tables.reranking",
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


@pytest.mark.parametrize(
    "package",
    [
        "cluster",
        "engine",
        "engine/backends",
        "engine/encoding",
        "engine/search",
        "engine/vectors",
        "files",
        "offline",
        "planning",
        "rankings",
        "results",
        "runner",
        "stats",
        "suite",
        "tables",
    ],
)
def test_the_index_of_a_package_names_every_module(package: str) -> None:
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
