"""The index of result files: what it saves, what it notices, and what it survives."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from results_tree import count_reads, write_result

from granite_bench.errors import BadInput
from granite_bench.files import json_file
from granite_bench.files.local import cache_folder
from granite_bench.results import index as results_index
from granite_bench.results.index import ResultIndex, default_index
from granite_bench.results.tree import read_results


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def half(value: float = 0.5) -> dict[str, dict[str, float]]:
    """One split, one subset."""
    return {"test": {"default": value}}


def values(root: Path, index: ResultIndex | None = None) -> list[float]:
    """The scores that are read, in the order of the files."""
    results = read_results(root, index=index)
    return [result.scores["test"]["default"]["ndcg_at_10"] for result in results]


def index_file() -> Path:
    """The file of the default index."""
    (path,) = cache_folder().glob("results-*.sqlite")
    return path


def put(path: Path, value: float, *, changed_ns: int) -> None:
    """Another score into a result, and its time of change."""
    content = json.loads(path.read_text())
    content["scores"]["test"][0]["ndcg_at_10"] = value
    path.write_text(json.dumps(content))
    os.utime(path, ns=(changed_ns, changed_ns))


def test_a_second_look_opens_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither results nor metadata, and the answer is the same."""
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/a", task, half())
    first = read_results(root)
    opened = count_reads(monkeypatch)
    assert read_results(root) == first
    assert opened == []


def test_a_file_of_another_size_is_read_again(root: Path) -> None:
    """Though its time of change is the same."""
    path = write_result(root, "org/a", "TaskA", half(0.5))
    changed = path.stat().st_mtime_ns
    assert values(root) == [0.5]
    put(path, 0.12345, changed_ns=changed)
    assert values(root) == [0.12345]


def test_a_file_of_another_time_is_read_again(root: Path) -> None:
    """Though its size is the same."""
    path = write_result(root, "org/a", "TaskA", half(0.5))
    size, changed = path.stat().st_size, path.stat().st_mtime_ns
    assert values(root) == [0.5]
    put(path, 0.7, changed_ns=changed + 1)
    assert path.stat().st_size == size
    assert values(root) == [0.7]


def test_only_the_file_that_changed_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others come from the index."""
    paths = [write_result(root, "org/a", task, half()) for task in ("TaskA", "TaskB", "TaskC")]
    read_results(root)
    put(paths[1], 0.25, changed_ns=1)
    opened = count_reads(monkeypatch)
    assert values(root) == [0.5, 0.25, 0.5]
    assert opened == [paths[1]]


def test_changed_metadata_of_a_model_is_read_again(root: Path) -> None:
    """It says the model's name."""
    path = write_result(root, "org/a", "TaskA", half())
    read_results(root)
    (path.parent / "model_meta.json").write_text(json.dumps({"name": "org/renamed"}))
    assert [result.model for result in read_results(root)] == ["org/renamed"]


def test_a_file_that_went_away_is_not_seen(root: Path) -> None:
    """The index keeps it, and nobody asks for it."""
    path = write_result(root, "org/a", "TaskA", half(0.5))
    write_result(root, "org/a", "TaskB", half(0.25))
    assert values(root) == [0.5, 0.25]
    path.unlink()
    assert values(root) == [0.25]


def test_the_same_relative_path_in_another_folder_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two unpacked archives even size and time of change are the same."""
    for name, value in {"one": 0.5, "two": 0.7}.items():
        path = write_result(tmp_path / name / "results", "org/a", "TaskA", half(value))
        for each in (path, path.parent / "model_meta.json"):
            os.utime(each, ns=(0, 0))
    monkeypatch.chdir(tmp_path / "one")
    assert values(Path("results")) == [0.5]
    monkeypatch.chdir(tmp_path / "two")
    assert values(Path("results")) == [0.7]


def test_broken_files_are_named_on_every_look(root: Path) -> None:
    """What is wrong with a file is kept like its content."""
    path = write_result(root, "org/a", "TaskA", half())
    path.write_text("{broken")
    said = []
    for _ in range(2):
        with pytest.raises(BadInput) as caught:
            read_results(root)
        said.append([(fault.where, fault.what) for fault in caught.value.faults])
    assert said[0] == said[1]
    assert said[0][0][0] == str(path)


def test_a_mended_file_is_no_longer_named(root: Path) -> None:
    """Mending changes size or time."""
    path = write_result(root, "org/a", "TaskA", half())
    path.write_text("{broken")
    with pytest.raises(BadInput):
        read_results(root)
    write_result(root, "org/a", "TaskA", half(0.25))
    assert values(root) == [0.25]


def test_a_file_that_could_not_be_opened_is_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission changes neither size nor time of change, so a refusal must not be kept."""
    write_result(root, "org/a", "TaskA", half())

    def refuse(path: Path, n_bytes: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(json_file, "read_at_most", refuse)
        with pytest.raises(BadInput, match="Permission denied"):
            read_results(root)
    assert values(root) == [0.5]


def test_a_lost_index_loses_nothing(root: Path) -> None:
    """It is made anew."""
    write_result(root, "org/a", "TaskA", half())
    read_results(root)
    index_file().unlink()
    assert values(root) == [0.5]
    assert index_file().is_file()


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but text", b"SQLite format 3\x00" + b"\xff" * 4096]
)
def test_an_index_that_is_no_database_is_made_anew(
    content: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And serves from the next look on."""
    write_result(root, "org/a", "TaskA", half())
    cache_folder().mkdir(parents=True, exist_ok=True)
    read_results(root)
    index_file().write_bytes(content)
    assert values(root) == [0.5]
    opened = count_reads(monkeypatch)
    assert values(root) == [0.5]
    assert opened == []


def broken_pages(path: Path) -> None:
    """Every page after the first is overwritten: the schema can be read, the rows cannot."""
    with sqlite3.connect(path) as database:
        (page_size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    content = path.read_bytes()
    path.write_bytes(content[:page_size] + b"\xff" * (len(content) - page_size))


def other_columns(path: Path) -> None:
    """A table of the same name with other columns."""
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE files (name TEXT)")
    database.close()


def broken_rows(path: Path) -> None:
    """Contents that cannot be unpacked."""
    with sqlite3.connect(path) as database:
        database.execute("UPDATE files SET content = x'00'")
    database.close()


@pytest.mark.parametrize("damage", [broken_pages, other_columns, broken_rows])
def test_a_damaged_index_is_no_reason_to_fail(damage: Any, root: Path) -> None:
    """Losing the index loses nothing but time."""
    write_result(root, "org/a", "TaskA", half())
    read_results(root)
    damage(index_file())
    assert values(root) == [0.5]


def test_two_readers_at_once_read_the_same(root: Path) -> None:
    """Eight threads over one new index file."""
    for number in range(40):
        write_result(root, "org/a", f"Task{number:02}", half(number / 100))
    expected = [number / 100 for number in range(40)]
    start = threading.Barrier(8)
    seen: list[Any] = []

    def read() -> None:
        start.wait()
        try:
            seen.append(values(root))
        except BaseException as error:  # noqa: BLE001 (a thread's error is shown by the assert)
            seen.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 8


def test_an_index_that_another_process_writes_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked is not broken: the results are right, and the file with its rows is still there."""
    write_result(root, "org/a", "TaskA", half())
    read_results(root)
    connect = sqlite3.connect
    monkeypatch.setattr(  # without its five seconds of patience
        results_index.sqlite3, "connect", lambda path, **_: connect(path, timeout=0)
    )
    other = connect(index_file(), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        before = index_file().stat().st_ino
        assert values(root) == [0.5]
        assert index_file().stat().st_ino == before
        (kept,) = other.execute("SELECT count(*) FROM files").fetchone()
    finally:
        other.close()
    assert kept == 2


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite opens files for reading alone from here on, as on a read-only disk."""
    connect = sqlite3.connect

    def reading(path: Any, **options: Any) -> sqlite3.Connection:
        if path == ":memory:":
            return connect(path)
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(results_index.sqlite3, "connect", reading)


def test_a_read_only_index_still_serves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it is used, and what changed since is read from the files."""
    path = write_result(root, "org/a", "TaskA", half(0.5))
    write_result(root, "org/a", "TaskB", half(0.5))
    read_results(root)
    put(path, 0.25, changed_ns=1)
    read_only(monkeypatch)
    opened = count_reads(monkeypatch)
    assert values(root) == [0.25, 0.5]
    assert opened == [path]


def test_without_an_index_in_a_read_only_cache_files_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be kept, and nothing fails."""
    write_result(root, "org/a", "TaskA", half())
    read_only(monkeypatch)
    assert values(root) == [0.5]
    assert list(cache_folder().glob("results-*")) == []


def test_a_cache_folder_that_cannot_be_made_still_gives_results(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the folder should be."""
    write_result(root, "org/a", "TaskA", half())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert values(root) == [0.5]


def test_an_index_without_a_path_keeps_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look opens the files."""
    path = write_result(root, "org/a", "TaskA", half())
    index = ResultIndex(None)
    values(root, index)
    opened = count_reads(monkeypatch)
    assert values(root, index) == [0.5]
    assert path in opened


def test_nauc_is_not_in_the_index(root: Path) -> None:
    """Nine tenths of the bytes of mteb's retrieval results, and in no table."""
    scores = {"test": {"default": {"ndcg_at_10": 0.5, "nauc_ndcg_at_10_max": 0.123}}}
    write_result(root, "org/a", "TaskA", scores)
    for _ in range(2):
        (result,) = read_results(root)
        assert dict(result.scores["test"]["default"]) == {"ndcg_at_10": 0.5}


def test_the_default_index_is_in_the_cache_folder(root: Path) -> None:
    """Its name has the format's version, so that a new format never meets an old file."""
    write_result(root, "org/a", "TaskA", half())
    assert values(root, default_index()) == [0.5]
    assert index_file().name == f"results-{results_index.FORMAT_VERSION}.sqlite"
