"""A run that is killed or interrupted goes on where it was, and ends with the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from beir_folder import write_folder
from safetensors import safe_open

import granite_bench
from granite_bench.engine.encoding.encoder import TEXTS_PER_SHARD

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

MINILM = "quickstart/all-MiniLM-L6-v2"
N_DOCS = TEXTS_PER_SHARD + 800
N_QUERIES = 40
DEADLINE_SECONDS = 120

_THINGS = "otter kettle violin glacier lantern walnut compass harbour thimble meadow".split()
_COLOURS = "amber black crimson dusty emerald faded golden hazel ivory jade".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR-layout folder of documents of a few words, enough for two shards."""
    return write_folder(
        tmp_path_factory.mktemp("data") / "many",
        {f"d{n}": f"{_COLOURS[n % 10]} {_THINGS[n // 10 % 10]} {n // 100}" for n in range(N_DOCS)},
        {f"q{n}": f"{_THINGS[n // 10 % 10]}, {_COLOURS[n % 10]}" for n in range(N_QUERIES)},
        {f"q{n}": {f"d{n + 100 * k}": 1 for k in range(3)} for n in range(N_QUERIES)},
    )


def _start(folder: Path, base: Path) -> subprocess.Popen[str]:
    """The command, with the results and the vectors below *base*."""
    command = [sys.executable, "-m", "granite_bench", "run", "--task", str(folder)]
    command += ["--model", MINILM, "--device", "cpu", "--out", str(base / "results")]
    command += ["--vectors", str(base / "vectors")]
    environment = {**os.environ, "GRANITE_BENCH_CACHE": str(base / "cache")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    environment.pop("GRANITE_BENCH_MIRROR", None)
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _stop_after_first_shard(process: subprocess.Popen[str], base: Path, number: int) -> str:
    """Send the signal once a shard is there; what the process said on stderr until its end."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not list((base / "vectors").glob("*/*.safetensors")):
        assert process.poll() is None, f"ended before the first shard: {process.communicate()[1]}"
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail("no shard appeared")
        time.sleep(0.005)
    process.send_signal(number)
    return process.communicate()[1]


def _n_stored(base: Path) -> int:
    n_stored = 0
    for shard in (base / "vectors").glob("*/*.safetensors"):
        with safe_open(shard, framework="numpy") as content:
            n_stored += len(content.get_tensor("token_counts"))
    return n_stored


def _scores(base: Path) -> Mapping[str, Any]:
    [path] = (base / "results").glob("*/*/many.json")
    [scores] = json.loads(path.read_bytes())["scores"]["test"]
    return {key: value for key, value in scores.items() if isinstance(value, int | float)}


def _run_to_the_end(folder: Path, base: Path) -> None:
    """The same in this process."""
    [outcome] = granite_bench.run(
        models=[MINILM],
        tasks=[str(folder)],
        results=base / "results",
        vectors=base / "vectors",
        device="cpu",
    )
    assert outcome.status == "ran", outcome.cause


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run from start to end, into stores of its own."""
    base = tmp_path_factory.mktemp("undisturbed")
    _run_to_the_end(folder, base)
    return base


@pytest.fixture(scope="module")
def killed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Killed after its first shard, then run to the end; where, and the texts stored between."""
    base = tmp_path_factory.mktemp("killed")
    process = _start(folder, base)
    _stop_after_first_shard(process, base, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not list((base / "results").rglob("*.json"))
    n_stored = _n_stored(base)
    _run_to_the_end(folder, base)
    return base, n_stored


def test_killed_run_ends_with_the_same_scores(killed: tuple[Path, int], undisturbed: Path) -> None:
    """To the last digit, every metric."""
    base, _ = killed
    scores = _scores(base)
    assert len(scores) > 30
    # str: NaN equals NaN.
    assert str(scores) == str(_scores(undisturbed))


def test_killed_run_ends_with_the_same_rankings(
    killed: tuple[Path, int], undisturbed: Path
) -> None:
    """Per query, to the last bit of every score."""
    base, _ = killed
    [rows], [expected] = [list((b / "results").rglob("many.parquet")) for b in (base, undisturbed)]
    assert rows.read_bytes() == expected.read_bytes()


def test_killed_run_encodes_what_was_not_stored_and_no_more(killed: tuple[Path, int]) -> None:
    """Whole shards survived; the record of the second run counts the rest."""
    base, n_stored = killed
    [record] = (base / "results").rglob("records/many.json")
    [run] = json.loads(record.read_bytes())["runs"]
    docs = run["evaluations"][0]["docs"]
    assert TEXTS_PER_SHARD <= n_stored < N_DOCS
    assert (docs["n_texts"], docs["n_encoded"]) == (N_DOCS, N_DOCS - n_stored)
    assert run["repaired_shards"] == []


def test_killed_run_leaves_no_file_that_is_taken_for_a_shard(
    killed: tuple[Path, int], undisturbed: Path
) -> None:
    """The stores of both runs hold the same shards in the end."""
    base, _ = killed
    stores = [
        {str(path.relative_to(b)): path.read_bytes() for path in b.glob("vectors/*/*.safetensors")}
        for b in (base, undisturbed)
    ]
    assert stores[0] == stores[1]


def test_interrupted_run_says_so_and_exits_with_130(folder: Path, tmp_path: Path) -> None:
    """Ctrl-C: one clear line, no traceback, and what is encoded is kept."""
    process = _start(folder, tmp_path)
    said = _stop_after_first_shard(process, tmp_path, signal.SIGINT)
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "interrupted; what is finished is stored, the same command goes on"
    )
    assert "Traceback" not in said
    assert _n_stored(tmp_path) >= TEXTS_PER_SHARD
    assert not list((tmp_path / "results").rglob("*.json"))
