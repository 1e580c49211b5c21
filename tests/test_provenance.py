"""Where a number comes from: the commit of the code, versions of packages, the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from granite_bench import provenance
from granite_bench.provenance import hardware, package_versions

code_revision: Callable[[], str | None] = provenance.code_revision.__wrapped__


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, whose package the module under test believes to be in."""
    module = tmp_path / "granite_bench" / "provenance.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(module))
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    _git(tmp_path, *who, "commit", "--quiet", "-m", "one")
    return tmp_path


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_is_named_by_its_commit(checkout: Path) -> None:
    """What lies beside the package changes no score."""
    (checkout / "notes.txt").write_text("beside")
    assert code_revision() == _git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["provenance.py", "new.py"])
def test_an_edited_package_is_no_commit_of_anybody(checkout: Path, name: str) -> None:
    """Changed files, and new ones."""
    (checkout / "granite_bench" / name).write_text("edited = True")
    assert code_revision() == f"{_git(checkout, 'rev-parse', 'HEAD')}+changes"


def test_a_wheel_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No repository is around it."""
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "granite_bench" / "provenance.py"))
    assert code_revision() is None


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("git"),
        subprocess.CalledProcessError(128, "git"),  # a repository of another user
        subprocess.TimeoutExpired("git", 10),  # a checkout on a file system that hangs
    ],
    ids=["absent", "refuses", "hangs"],
)
def test_a_git_that_does_not_answer_costs_no_run(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The commit is then not known."""

    def run(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    assert code_revision() is None


def test_versions_are_of_what_is_installed() -> None:
    """Packages that are not there are left out."""
    found = package_versions()
    assert found["mteb"] == version("mteb")
    assert found["python"].count(".") == 2
    assert None not in found.values()


def test_the_machine_has_the_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a machine of many, a job may have three."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 7}, raising=False)
    found = hardware("cpu")
    assert (found["cores"], found["device"]) == (3, "cpu")
    assert found["cpu"]
    assert "device_name" not in found
