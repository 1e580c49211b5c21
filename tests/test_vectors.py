"""The store of embeddings: content-addressed, checksummed, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from granite_bench.engine.vectors.shard import shard_bytes, shard_name
from granite_bench.engine.vectors.vector_index import KEYS_AT_ONCE
from granite_bench.engine.vectors.vector_store import (
    KEY_BYTES,
    VectorStore,
    default_folder,
    text_keys,
)
from granite_bench.engine.vectors.vectors import ResidentVectors, StoredVectors, Vectors
from granite_bench.errors import StorageError
from granite_bench.files import locations

CONFIGURATION = {
    "model": "org/model",
    "revision": "abc",
    "dtype": "float32",
    "max_length": 512,
    "prompt": "query: ",
    "role": "query",
}

# The SHA-256 of "abc", from FIPS 180-2, appendix B.1.
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

DIM = 4

LONG_AGO = time.time() - 2 * 3600


def keys_of(*texts: str) -> npt.NDArray[np.uint64]:
    """The keys of the texts."""
    return text_keys(texts)


def vectors_of(*numbers: int, dim: int = DIM) -> npt.NDArray[np.float32]:
    """A vector for each number, different in every value."""
    return np.array(
        [[number + column / 7 for column in range(dim)] for number in numbers], dtype=np.float32
    )


def counts_of(*numbers: int) -> npt.NDArray[np.int32]:
    """Token counts."""
    return np.array(numbers, dtype=np.int32)


def filled(folder: Path) -> VectorStore:
    """A store with two shards: a, b, c and d, e."""
    store = VectorStore(folder, CONFIGURATION)
    store.put(keys_of("a", "b", "c"), vectors_of(1, 2, 3), counts_of(10, 20, 30))
    store.put(keys_of("d", "e"), vectors_of(4, 5), counts_of(40, 50))
    return store


def found_in(store: VectorStore, *texts: str) -> list[bool]:
    """Whether each text is found."""
    return (store.find(keys_of(*texts)).shards >= 0).tolist()


def stored(store: VectorStore, *texts: str) -> npt.NDArray[np.float32]:
    """The vectors of texts that are all found."""
    found = store.find(keys_of(*texts))
    assert store.dim is not None
    vectors = StoredVectors(store.paths, found.shards, found.rows, store.dim)
    return vectors.gather(np.arange(len(texts)))


def shard_of(store: VectorStore, *texts: str) -> Path:
    """The file of the shard that holds exactly these texts."""
    return store.folder / shard_name(keys_of(*texts))


def place_of(shard: Path, tensor: str) -> int:
    """The offset of a tensor's first byte: 8 bytes of length, the JSON header, the data."""
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    begin: int = json.loads(content[8 : 8 + length])[tensor]["data_offsets"][0]
    return 8 + length + begin


def flip_bit(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


# Keys


def test_a_key_is_the_first_half_of_the_sha256_of_the_utf8() -> None:
    """FIPS 180-2's example; and a letter outside ASCII is two bytes of UTF-8."""
    keys = text_keys(["abc", "é"])
    assert (keys.dtype, keys.shape) == (np.uint64, (2, 2))
    assert KEY_BYTES == 16
    assert keys[0].astype("<u8").tobytes().hex() == SHA256_OF_ABC[:32]
    # printf '\\303\\251' | sha256sum
    assert keys[1].astype("<u8").tobytes().hex() == "4a99557e4033c3539de2eb65472017ca"


def test_no_texts_have_no_keys() -> None:
    """The shape stays that of keys."""
    assert text_keys([]).shape == (0, 2)


def test_different_texts_have_different_keys() -> None:
    """A tokenizer may tell é from e + combining accent, and two broken texts are still two."""
    texts = ["é", "e\u0301", "\ud800", "\ud801", "?", "\ufffd", "", " "]
    assert len(np.unique(text_keys(texts), axis=0)) == len(texts)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("a\udfffb", id="a lone surrogate inside"),
        pytest.param("", id="empty"),
        pytest.param("\0", id="a zero byte"),
        pytest.param("🪨", id="four bytes of UTF-8"),
        pytest.param("a" * 10**6, id="a million letters"),
    ],
)
def test_any_text_has_a_place(tmp_path: Path, text: str) -> None:
    """Also what no encoder of UTF-8 takes, and none is taken for another."""
    store = VectorStore(tmp_path, CONFIGURATION)
    store.put(keys_of(text), vectors_of(7), counts_of(1))
    assert found_in(store, text, "another", text + " ") == [True, False, False]


def test_a_prompt_with_a_lone_surrogate_has_a_store(tmp_path: Path) -> None:
    """A broken setting is a setting."""
    store = VectorStore(tmp_path, {**CONFIGURATION, "prompt": "\ud800"})
    store.put(keys_of("a"), vectors_of(7), counts_of(1))
    assert found_in(store, "a") == [True]


# Finding


def test_what_was_put_is_found_to_the_last_bit(tmp_path: Path) -> None:
    """Vectors and token counts come back in the order that was asked for, from both shards."""
    store = filled(tmp_path)
    found = store.find(keys_of("e", "a", "c", "a"))
    assert found.token_counts.tolist() == [50, 10, 30, 10]
    assert found.rows.tolist() == [1, 0, 2, 0]
    assert {array.dtype for array in vars(found).values()} == {np.dtype(np.int32)}
    vectors = stored(store, "e", "a", "c", "a")
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == vectors_of(5, 1, 3, 1).tobytes()


def test_unknown_texts_are_not_found(tmp_path: Path) -> None:
    """Known and unknown ones in one question: each has its own answer."""
    found = filled(tmp_path).find(keys_of("x", "b", "y", "d"))
    assert (found.shards >= 0).tolist() == [False, True, False, True]
    assert found.token_counts.tolist() == [0, 20, 0, 40]


def test_an_empty_store_finds_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """The folder is made by the first shard, not by a question."""
    store = VectorStore(tmp_path / "store", CONFIGURATION)
    assert found_in(store, "a") == [False]
    assert store.dim is None
    assert not (tmp_path / "store").exists()


def test_no_keys_find_nothing(tmp_path: Path) -> None:
    """A task without texts is no error here."""
    assert len(filled(tmp_path).find(text_keys([])).shards) == 0


def test_random_lookups_agree_with_a_dictionary(tmp_path: Path) -> None:
    """Shards of all sizes, put, reopened and put again, half of the questions unknown."""
    random = np.random.default_rng(7)
    texts = [f"text {number}" for number in range(3000)]
    known: dict[str, tuple[bytes, int]] = {}
    store = VectorStore(tmp_path, CONFIGURATION)
    start = 0
    while start < 1500:
        some = texts[start : start + int(random.integers(1, 120))]
        vectors = random.standard_normal((len(some), DIM), dtype=np.float32)
        counts = random.integers(1, 9999, len(some), dtype=np.int32)
        store.put(text_keys(some), vectors, counts)
        known |= {
            text: (vector.tobytes(), int(count))
            for text, vector, count in zip(some, vectors, counts, strict=True)
        }
        start += len(some)
        if random.random() < 0.2:
            store = VectorStore(tmp_path, CONFIGURATION)
    asked = random.choice(texts, 1000).tolist()
    found = store.find(text_keys(asked))
    assert (found.shards >= 0).tolist() == [text in known for text in asked]
    hits = [text for text in asked if text in known]
    assert len(hits) > 300
    assert [v.tobytes() for v in stored(store, *hits)] == [known[text][0] for text in hits]
    assert found.token_counts.tolist() == [known.get(text, (b"", 0))[1] for text in asked]


def test_more_keys_than_are_looked_up_at_once_are_all_answered(tmp_path: Path) -> None:
    """The last of the first part, the first of the next, and the very last."""
    keys = np.zeros((KEYS_AT_ONCE + 10, 2), dtype=np.uint64)
    known = [KEYS_AT_ONCE - 1, KEYS_AT_ONCE, KEYS_AT_ONCE + 9]
    keys[known] = keys_of("a", "d", "e")
    found = filled(tmp_path).find(keys)
    assert np.flatnonzero(found.shards >= 0).tolist() == known
    assert found.token_counts[known].tolist() == [10, 40, 50]


def test_texts_that_share_half_a_key_are_told_apart(tmp_path: Path) -> None:
    """Nobody has such texts; a wrong hit has to be impossible all the same."""
    store = VectorStore(tmp_path, CONFIGURATION)
    keys = np.array([[5, 1], [5, 2], [5, 3], [6, 1]], dtype=np.uint64)
    store.put(keys[:3], vectors_of(1, 2, 3), counts_of(1, 2, 3))
    store.put(keys[3:], vectors_of(4), counts_of(4))
    asked = np.array([[5, 3], [5, 9], [6, 1], [5, 2], [6, 2], [7, 1], [0, 1]], dtype=np.uint64)
    assert store.find(asked).token_counts.tolist() == [3, 0, 4, 2, 0, 0, 0]


@pytest.mark.parametrize("reversed_order", [True, False])
def test_a_text_in_two_shards_is_found_in_the_one_with_the_lower_name(
    tmp_path: Path, reversed_order: bool
) -> None:
    """Whichever was written first, and after reopening as well."""
    shards = sorted((["a", "b"], ["a", "c"]), key=lambda texts: shard_name(keys_of(*texts)))
    store = VectorStore(tmp_path, CONFIGURATION)
    for texts in sorted(shards, reverse=reversed_order):
        store.put(keys_of(*texts), vectors_of(1, 2), counts_of(1, 2))
    for either in (store, VectorStore(tmp_path, CONFIGURATION)):
        [number] = either.find(keys_of("a")).shards
        assert either.paths[number] == shard_of(either, *shards[0])


@pytest.mark.parametrize("lower", ["the long one", "the short one"])
def test_a_text_in_two_shards_is_found_in_the_lower_name_however_the_index_grew(
    tmp_path: Path, lower: str
) -> None:
    """A short shard after a long one is kept apart from it, in a part of the index of its own."""
    long = keys_of("a", *map(str, range(20)))
    short = next(
        keys
        for keys in (keys_of("a", str(number)) for number in range(99))
        if (shard_name(long) < shard_name(keys)) == (lower == "the long one")
    )
    store = VectorStore(tmp_path, CONFIGURATION)
    for keys in (long, short):
        store.put(keys, np.ones((len(keys), DIM), np.float32), np.ones(len(keys), np.int32))
    [number] = store.find(keys_of("a")).shards
    assert store.paths[number].name == min(shard_name(long), shard_name(short))


def test_a_text_in_two_shards_survives_the_loss_of_one(tmp_path: Path) -> None:
    """The other one answers."""
    store = VectorStore(tmp_path, CONFIGURATION)
    store.put(keys_of("a", "b"), vectors_of(1, 2), counts_of(1, 2))
    store.put(keys_of("a", "c"), vectors_of(1, 3), counts_of(1, 3))
    [number] = store.find(keys_of("a")).shards
    flip_bit(store.paths[number], place_of(store.paths[number], "vectors"))
    assert stored(store, "a").tobytes() == vectors_of(1).tobytes()
    assert store.repaired_shards == [store.paths[number].name]


def test_a_store_opened_later_finds_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    """Same folder, same configuration; the order of its items does not matter."""
    filled(tmp_path)
    later = VectorStore(tmp_path, dict(reversed(CONFIGURATION.items())))
    assert later.dim == DIM
    assert stored(later, "a", "e").tobytes() == vectors_of(1, 5).tobytes()


def test_shards_of_another_process_are_found_without_opening_again(tmp_path: Path) -> None:
    """Two runs share what each encodes."""
    first, second = VectorStore(tmp_path, CONFIGURATION), VectorStore(tmp_path, CONFIGURATION)
    assert found_in(second, "a") == [False]
    first.put(keys_of("a"), vectors_of(1), counts_of(1))
    assert second.dim is None
    assert stored(second, "a").tobytes() == vectors_of(1).tobytes()
    assert second.dim == DIM


def test_shard_numbers_keep_their_meaning(tmp_path: Path) -> None:
    """While shards come and go, what find said before stays readable."""
    store = filled(tmp_path)
    found = store.find(keys_of("d"))
    vectors = StoredVectors(store.paths, found.shards, found.rows, DIM)
    shard_of(store, "a", "b", "c").unlink()
    store.put(keys_of("f"), vectors_of(6), counts_of(60))
    assert found_in(store, "a", "d", "f") == [False, True, True]
    assert vectors.gather(np.array([0])).tobytes() == vectors_of(4).tobytes()


# Configurations


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("model", "org/other"),
        ("revision", "abd"),
        ("revision", None),
        ("dtype", "bfloat16"),
        ("max_length", 511),
        ("max_length", None),
        ("prompt", "query:"),
        ("prompt", ""),
        ("prompt", None),
        ("role", "document"),
        ("role", None),
        ("a setting of a later version", True),
    ],
)
def test_nothing_is_found_under_another_configuration(
    tmp_path: Path, item: str, value: Any
) -> None:
    """Everything that changes a vector is part of its address."""
    filled(tmp_path)
    other = VectorStore(tmp_path, {**CONFIGURATION, item: value})
    assert found_in(other, "a", "d") == [False, False]


def test_two_configurations_share_a_folder_without_meeting(tmp_path: Path) -> None:
    """The same text under two prompts has two vectors."""
    query = VectorStore(tmp_path, CONFIGURATION)
    passage = VectorStore(tmp_path, {**CONFIGURATION, "prompt": "passage: "})
    query.put(keys_of("a"), vectors_of(1), counts_of(1))
    passage.put(keys_of("a"), vectors_of(2), counts_of(1))
    assert stored(query, "a").tobytes() == vectors_of(1).tobytes()
    assert stored(passage, "a").tobytes() == vectors_of(2).tobytes()


def test_the_folder_says_which_configuration_it_is_for(tmp_path: Path) -> None:
    """A person can see what fills the disk."""
    described = json.loads((filled(tmp_path).folder / "configuration.json").read_bytes())
    assert described == {"format": 2, **CONFIGURATION}


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_a_lost_description_is_written_again(tmp_path: Path, content: bytes | None) -> None:
    """By the next shard, and by a run that finds everything."""
    for use in (
        lambda store: found_in(store, "a"),
        lambda store: store.put(keys_of("f"), vectors_of(6), counts_of(6)),
    ):
        store = filled(tmp_path)
        described = store.folder / "configuration.json"
        described.unlink() if content is None else described.write_bytes(content)
        use(store)
        assert json.loads(described.read_bytes())["model"] == "org/model"


def test_a_hit_marks_the_configuration_as_used(tmp_path: Path) -> None:
    """Which is what `granite-bench cache prune` goes by; a question without a hit does not."""
    described = filled(tmp_path).folder / "configuration.json"
    os.utime(described, (LONG_AGO, LONG_AGO))
    store = VectorStore(tmp_path, CONFIGURATION)
    found_in(store, "x")
    assert described.stat().st_mtime == pytest.approx(LONG_AGO, abs=1)
    found_in(store, "a")
    assert described.stat().st_mtime > LONG_AGO + 3600


# Writing


def test_a_shard_is_the_same_to_the_last_byte_whoever_writes_it(tmp_path: Path) -> None:
    """In another folder and in another process, whose hashes of strings differ."""
    code = (
        "import sys; from tests_test_vectors import filled; from pathlib import Path;"
        "filled(Path(sys.argv[1]))"
    )
    folder = tmp_path / "code"
    folder.mkdir()
    shutil.copy(__file__, folder / "tests_test_vectors.py")
    run_python(code, tmp_path / "other", PYTHONHASHSEED="12345", path=folder)
    one, other = filled(tmp_path / "one"), VectorStore(tmp_path / "other", CONFIGURATION)
    for texts in (("a", "b", "c"), ("d", "e")):
        assert shard_of(one, *texts).read_bytes() == shard_of(other, *texts).read_bytes()


def test_a_shard_is_a_file_that_safetensors_reads(tmp_path: Path) -> None:
    """Nobody needs this package to get at vectors."""
    tensors = load_file(shard_of(filled(tmp_path), "d", "e"))
    assert tensors["vectors"].tobytes() == vectors_of(4, 5).tobytes()
    assert tensors["keys"].tobytes() == keys_of("d", "e").tobytes()
    assert tensors["token_counts"].tolist() == [40, 50]


def test_arrays_of_any_layout_are_written_as_their_values(tmp_path: Path) -> None:
    """A column-major array and a slice have other bytes in memory."""
    store = VectorStore(tmp_path, CONFIGURATION)
    keys = np.repeat(keys_of("a", "b"), 2, axis=0)[::2]
    store.put(keys, np.asfortranarray(vectors_of(1, 2)), counts_of(10, 0, 20, 0)[::2])
    later = VectorStore(tmp_path, CONFIGURATION)
    assert stored(later, "a", "b").tobytes() == vectors_of(1, 2).tobytes()
    assert later.find(keys_of("b", "a")).token_counts.tolist() == [20, 10]


def test_the_caller_may_go_on_with_its_arrays(tmp_path: Path) -> None:
    """The index does not look into them later."""
    store = VectorStore(tmp_path, CONFIGURATION)
    keys, counts = keys_of("a"), counts_of(10)
    store.put(keys, vectors_of(1), counts)
    keys[:], counts[:] = 0, 0
    assert store.find(keys_of("a")).token_counts.tolist() == [10]


def test_two_stores_that_write_the_same_shard_leave_one(tmp_path: Path) -> None:
    """Two processes on one corpus: the second replaces the first's file by an equal one."""
    first, second = VectorStore(tmp_path, CONFIGURATION), VectorStore(tmp_path, CONFIGURATION)
    for store in (first, second):
        store.put(keys_of("a", "b"), vectors_of(1, 2), counts_of(10, 20))
    assert len(list(first.folder.glob("*.safetensors"))) == 1
    for store in (first, second, VectorStore(tmp_path, CONFIGURATION)):
        assert stored(store, "b", "a").tobytes() == vectors_of(2, 1).tobytes()
        assert store.repaired_shards == []


def test_a_shard_may_be_put_twice(tmp_path: Path) -> None:
    """By one store; the texts are in the index once, with the counts of the second time."""
    store = VectorStore(tmp_path, CONFIGURATION)
    for count in (10, 11):
        store.put(keys_of("a"), vectors_of(1), counts_of(count))
    assert store.find(keys_of("a")).token_counts.tolist() == [11]
    assert len(store.paths) == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from granite_bench.engine.vectors.vector_store import VectorStore, text_keys
from granite_bench.engine.vectors.vectors import StoredVectors

store = VectorStore(Path(sys.argv[1]), {"model": "org/model"})
for shard in range(20):
    # Neighbours overlap: the two processes cut the same texts differently.
    numbers = range(shard * 50, shard * 50 + int(sys.argv[2]))
    texts = text_keys([str(number) for number in numbers])
    store.put(
        texts,
        np.array([[number, -number] for number in numbers], dtype=np.float32),
        np.array(numbers, dtype=np.int32),
    )
    found = store.find(texts)
    assert found.token_counts.tolist() == list(numbers)
    vectors = StoredVectors(store.paths, found.shards, found.rows, 2).gather(np.arange(len(texts)))
    assert vectors[:, 0].tolist() == list(numbers)
assert store.repaired_shards == []
"""


def test_two_processes_write_one_store_at_once(tmp_path: Path) -> None:
    """Each reads what it wrote, the other's shards among its own; everything is there after."""
    writers = [start_python(WRITER, tmp_path, "60"), start_python(WRITER, tmp_path, "70")]
    assert [(process.wait(60), process.communicate()[1]) for process in writers] == [(0, b"")] * 2
    store = VectorStore(tmp_path, {"model": "org/model"})
    found = store.find(text_keys([str(number) for number in range(1100)]))
    assert found.token_counts[:1020].tolist() == list(range(1020))
    assert (found.shards[1020:] == -1).all()
    assert len(list(store.folder.iterdir())) == 41


def test_a_full_disk_leaves_the_store_as_it_was(
    tmp_path: Path, full_disk: Callable[[], None], files_below: Callable[[], list[str]]
) -> None:
    """StorageError; no half shard, no temporary file, and the texts count as not found."""
    store = filled(tmp_path)
    before = files_below()
    full_disk()
    with pytest.raises(StorageError, match="No space left on device"):
        store.put(keys_of("f"), vectors_of(6), counts_of(60))
    assert files_below() == before
    assert found_in(store, "f", "a") == [False, True]


def test_a_shard_that_cannot_get_its_name_is_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_below: Callable[[], list[str]]
) -> None:
    """The same for the last step of writing."""

    def refuse(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    store = filled(tmp_path)
    before = files_below()
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        store.put(keys_of("f"), vectors_of(6), counts_of(60))
    assert files_below() == before
    assert found_in(VectorStore(tmp_path, CONFIGURATION), "f") == [False]


def test_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    """The model has changed under its name; what is there stays."""
    store = filled(tmp_path)
    with pytest.raises(StorageError, match="of dimension 4, this one has 3"):
        store.put(keys_of("f"), vectors_of(6, dim=3), counts_of(60))
    assert found_in(store, "a", "f") == [True, False]


@pytest.mark.parametrize(("n_keys", "n_counts", "n_vectors"), [(2, 1, 1), (1, 2, 1), (0, 0, 0)])
def test_arrays_that_do_not_agree_are_refused(
    tmp_path: Path, n_keys: int, n_counts: int, n_vectors: int
) -> None:
    """A shard of them would be broken, and one without texts has no dimension."""
    store = VectorStore(tmp_path, CONFIGURATION)
    with pytest.raises(ValueError, match="do not agree"):
        store.put(
            text_keys(["a", "b"][:n_keys]),
            np.ones((n_vectors, DIM), dtype=np.float32),
            counts_of(1, 2)[:n_counts],
        )


def test_files_that_killed_writers_left_are_removed_when_they_are_old(tmp_path: Path) -> None:
    """Young ones may be being written; a file of another name is not ours."""
    folder = filled(tmp_path).folder
    shard = shard_name(keys_of("x"))
    names = [f".{shard}.old", ".configuration.json.old", f".{shard}.young", ".else.old"]
    for name in names:
        (folder / name).write_bytes(b"half")
        if name.endswith("old"):
            os.utime(folder / name, (LONG_AGO, LONG_AGO))
    VectorStore(tmp_path, CONFIGURATION)
    assert [name for name in names if (folder / name).exists()] == [f".{shard}.young", ".else.old"]


# Damage


@pytest.mark.parametrize("tensor", ["keys", "vectors", "token_counts"])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_flipped_bit_is_found_and_only_its_shard_is_lost(
    tmp_path: Path, tensor: str, reopened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The shard is removed, named and logged; the texts of the other one are still there."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    flip_bit(shard, place_of(shard, tensor))
    if reopened:
        store = VectorStore(tmp_path, CONFIGURATION)
    assert found_in(store, "a", "b", "c", "d", "e") == [False, False, False, True, True]
    assert stored(store, "d", "e").tobytes() == vectors_of(4, 5).tobytes()
    assert store.repaired_shards == [shard.name]
    assert f"{shard} is broken (its checksum is wrong)" in caplog.text
    assert not shard.exists()


def test_no_flipped_bit_of_a_header_gives_a_wrong_vector(tmp_path: Path) -> None:
    """Shapes, types, offsets, names and the checksum itself; each bit of each byte."""
    shard = shard_of(filled(tmp_path), "a", "b", "c")
    whole = shard.read_bytes()
    header_bytes = place_of(shard, "keys")
    assert header_bytes > 200
    for offset in range(header_bytes):
        for bit in range(8):
            shard.write_bytes(whole)
            flip_bit(shard, offset, bit)
            store = VectorStore(tmp_path, CONFIGURATION)
            assert found_in(store, "a", "b", "c", "d") == [False, False, False, True], offset
            assert store.repaired_shards == [shard.name], offset
            assert not shard.exists(), offset


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_truncated_shard_is_found_and_only_it_is_lost(
    tmp_path: Path, kept: int, reopened: bool
) -> None:
    """Nothing left, less than a length, a length alone, half a header, one byte short."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    shard.write_bytes(shard.read_bytes()[:kept])
    if reopened:
        store = VectorStore(tmp_path, CONFIGURATION)
    assert found_in(store, "a", "b", "c", "d", "e") == [False, False, False, True, True]
    assert store.repaired_shards == [shard.name]
    assert not shard.exists()


GOOD = {"keys": keys_of("x"), "token_counts": counts_of(1), "vectors": vectors_of(1)}


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param({**GOOD, "keys": np.zeros((1, 32), np.uint8)}, id="keys of format 1"),
        pytest.param({**GOOD, "keys": keys_of("x", "y")}, id="more keys than vectors"),
        pytest.param({**GOOD, "vectors": vectors_of(1).astype(np.float16)}, id="half precision"),
        pytest.param({**GOOD, "vectors": np.ones(1, np.float32)}, id="one dimension"),
        pytest.param({**GOOD, "vectors": np.ones((1, 0), np.float32)}, id="no dimension"),
        pytest.param({**GOOD, "token_counts": np.ones(1, np.int64)}, id="wide counts"),
        pytest.param({**GOOD, "more": np.ones(1)}, id="one tensor more"),
        pytest.param({"vectors": vectors_of(1)}, id="vectors alone"),
        pytest.param({name: array[:0] for name, array in GOOD.items()}, id="no texts"),
        pytest.param(GOOD, id="no checksum"),
    ],
)
def test_a_file_of_other_tensors_is_no_shard(tmp_path: Path, tensors: dict[str, Any]) -> None:
    """Whoever wrote it: it is removed and named, and nothing of it is found."""
    store = filled(tmp_path)
    shard = shard_of(store, "x")
    save_file(tensors, shard)
    assert found_in(store, "x", "a") == [False, True]
    assert store.repaired_shards == [shard.name]
    assert not shard.exists()


@pytest.mark.parametrize(
    "content", [b"\xff" * 64, b"\x08" + b"\0" * 7 + b"nonsense", (10**5).to_bytes(8, "little")
    + b"[" * 10**5],
)  # fmt: skip
def test_a_file_of_noise_is_no_shard(tmp_path: Path, content: bytes) -> None:
    """A header of impossible length, one that is no JSON, one of a hundred thousand brackets."""
    store = filled(tmp_path)
    shard_of(store, "x").write_bytes(content)
    assert found_in(store, "x", "a") == [False, True]
    assert store.repaired_shards == [shard_of(store, "x").name]


@pytest.mark.parametrize("text", ["f", "g", "h", "i"])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_shard_of_another_dimension_than_its_folder_is_broken(
    tmp_path: Path, text: str, reopened: bool
) -> None:
    """Most texts are right: five of dimension 4 against one of 3, wherever its name sorts."""
    store = filled(tmp_path)
    odd = shard_of(store, text)
    odd.write_bytes(shard_bytes(keys_of(text), vectors_of(6, dim=3), counts_of(60)))
    if reopened:
        store = VectorStore(tmp_path, CONFIGURATION)
    assert found_in(store, text, "a", "d") == [False, True, True]
    assert store.dim == DIM
    assert store.repaired_shards == [odd.name]
    assert not odd.exists()


def test_a_shard_under_the_name_of_another_is_broken(tmp_path: Path) -> None:
    """A copy by hand, or a disk that mixed up two files; the checksum alone would not see it."""
    store = filled(tmp_path)
    name = shard_of(store, "x")
    shutil.copy(shard_of(store, "d", "e"), name)
    shard_of(store, "d", "e").unlink()
    assert found_in(store, "d", "a") == [False, True]
    assert store.repaired_shards == [name.name]


def test_a_shard_is_checked_again_when_it_has_changed(tmp_path: Path) -> None:
    """The disk went bad after the first question."""
    store = filled(tmp_path)
    assert found_in(store, "a", "d") == [True, True]
    shard = shard_of(store, "a", "b", "c")
    flip_bit(shard, place_of(shard, "vectors"))
    os.utime(shard, (LONG_AGO, LONG_AGO))  # a clock that is too coarse to show the change
    assert found_in(store, "a", "d") == [False, True]


def test_a_shard_is_read_once_however_often_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own shards not at all."""
    checked: list[str] = []
    from granite_bench.engine.vectors import vector_store

    check = vector_store.check
    monkeypatch.setattr(
        vector_store, "check", lambda path: checked.append(path.name) or check(path)
    )
    writer = filled(tmp_path)
    found_in(writer, "a", "d")
    assert checked == []
    reader = VectorStore(tmp_path, CONFIGURATION)
    for _ in range(3):
        found_in(reader, "a", "b")
    assert checked == [shard_of(reader, "a", "b", "c").name]


def test_a_shard_that_vanished_is_a_shard_to_encode_again(tmp_path: Path) -> None:
    """Somebody cleared the cache while a run was on; that is no damage."""
    store = filled(tmp_path)
    shard_of(store, "d", "e").unlink()
    assert found_in(store, "a", "d") == [True, False]
    assert store.repaired_shards == []


def test_a_shard_that_came_back_is_found(tmp_path: Path) -> None:
    """Another run encoded it meanwhile."""
    store = filled(tmp_path)
    shard = shard_of(store, "d", "e")
    content = shard.read_bytes()
    shard.unlink()
    assert found_in(store, "d") == [False]
    shard.write_bytes(content)
    assert stored(store, "d", "e").tobytes() == vectors_of(4, 5).tobytes()


def test_a_folder_may_be_removed_between_two_calls(tmp_path: Path) -> None:
    """Nothing is found then, and the store fills again, also with another dimension."""
    store = filled(tmp_path)
    shutil.rmtree(tmp_path)
    assert found_in(store, "a", "d") == [False, False]
    assert store.dim is None
    store.put(keys_of("a"), vectors_of(9, dim=3), counts_of(90))
    assert stored(store, "a").tobytes() == vectors_of(9, dim=3).tobytes()
    assert (store.folder / "configuration.json").exists()


def test_a_repaired_shard_can_be_written_again(tmp_path: Path) -> None:
    """The texts are found once more, with nothing to repair."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    flip_bit(shard, place_of(shard, "vectors"))
    found_in(store, "a")
    store.put(keys_of("a", "b", "c"), vectors_of(1, 2, 3), counts_of(10, 20, 30))
    assert found_in(store, "a") == [True]
    later = VectorStore(tmp_path, CONFIGURATION)
    assert stored(later, "c").tobytes() == vectors_of(3).tobytes()
    assert later.repaired_shards == []


def test_a_broken_shard_that_cannot_be_removed_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that may only be read; named once, and believed again when it is mended."""
    filled(tmp_path)
    store = VectorStore(tmp_path, CONFIGURATION)
    shard = shard_of(store, "a", "b", "c")
    whole = shard.read_bytes()
    flip_bit(shard, place_of(shard, "vectors"))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(2):
        assert found_in(store, "a", "d") == [False, True]
    assert store.repaired_shards == [shard.name]
    shard.write_bytes(whole)
    os.utime(shard, (LONG_AGO, LONG_AGO))
    assert found_in(store, "a", "d") == [True, True]


def test_a_shard_that_cannot_be_read_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's file, or a network folder that is away: not found, named, and kept."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    open_regular = locations.open_regular

    def refuse(path: Path) -> Any:
        if path == shard:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_regular(path)

    monkeypatch.setattr(locations, "open_regular", refuse)
    store = VectorStore(tmp_path, CONFIGURATION)
    assert found_in(store, "a", "d") == [False, True]
    assert store.repaired_shards == [shard.name]
    assert shard.exists()


def test_a_folder_that_cannot_be_read_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder, the reason and what to do; also while a run is on."""
    store = filled(tmp_path)

    def refuse(path: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    said = rf"{store.folder}: cannot be read: Permission denied\n  .*--vectors"
    with pytest.raises(StorageError, match=said):
        store.find(keys_of("a"))
    with pytest.raises(StorageError, match=said):
        VectorStore(tmp_path, CONFIGURATION)


def test_a_file_in_the_place_of_the_folder_is_a_storage_error(tmp_path: Path) -> None:
    """--vectors named a file."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be read: Not a directory"):
        VectorStore(tmp_path / "file", CONFIGURATION)


# Vectors that search reads

NUMBERS = np.random.default_rng(3).permutation(90)[:60]


@pytest.fixture(params=["resident", "stored"])
def sixty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vectors]:
    """The vectors of NUMBERS in that order; stored ones in shards of 7 with others between."""
    if request.param == "resident":
        yield ResidentVectors(vectors_of(*NUMBERS))
        return
    store = VectorStore(tmp_path, CONFIGURATION)
    for start in range(0, 90, 7):
        some = range(start, min(start + 7, 90))
        store.put(keys_of(*map(str, some)), vectors_of(*some), counts_of(*some))
    found = store.find(keys_of(*map(str, NUMBERS)))
    yield StoredVectors(store.paths, found.shards, found.rows, DIM)


@pytest.mark.parametrize("n_rows", [1, 6, 7, 8, 59, 60, 1000])
def test_blocks_have_every_vector_once(sixty: Vectors, n_rows: int) -> None:
    """None longer than was asked for, all but the last full, and each vector its own."""
    blocks = list(sixty.blocks(n_rows))
    lengths = [len(positions) for positions, _ in blocks]
    assert lengths == [n_rows] * (60 // n_rows) + [60 % n_rows] * (60 % n_rows > 0)
    assert sorted(np.concatenate([positions for positions, _ in blocks]).tolist()) == [*range(60)]
    for positions, vectors in blocks:
        assert (positions.dtype, vectors.dtype) == (np.intp, np.float32)
        assert vectors.tobytes() == vectors_of(*NUMBERS[positions]).tobytes()


def test_blocks_may_be_overwritten(sixty: Vectors) -> None:
    """Search normalises in place; the next one reads the same vectors as before."""
    for _ in range(2):
        for positions, vectors in sixty.blocks(16):
            assert vectors.flags.c_contiguous
            assert vectors.tobytes() == vectors_of(*NUMBERS[positions]).tobytes()
            vectors[:] = 0
            positions[:] = 0


@pytest.mark.parametrize(
    "positions",
    [[], [59], [0, 1, 2], [31, 4, 4, 58, 0, 31], list(range(59, -1, -1)), list(range(0, 60, 13))],
)
def test_gathered_vectors_are_those_of_the_positions(sixty: Vectors, positions: list[int]) -> None:
    """In their order, repeated ones repeated, none at all included."""
    gathered = sixty.gather(np.array(positions, dtype=np.intp))
    assert (gathered.dtype, gathered.shape) == (np.float32, (len(positions), DIM))
    expected = [vectors_of(number) for number in NUMBERS[np.array(positions, dtype=np.intp)]]
    assert gathered.tobytes() == b"".join(vector.tobytes() for vector in expected)


def test_gathered_vectors_may_be_overwritten(sixty: Vectors) -> None:
    """They are a copy."""
    positions = np.arange(60)
    sixty.gather(positions)[:] = 0
    assert sixty.gather(positions).tobytes() == vectors_of(*NUMBERS).tobytes()


@pytest.mark.parametrize("position", [-1, 60])
def test_a_position_that_there_is_not_is_an_error(sixty: Vectors, position: int) -> None:
    """No vector from the other end."""
    with pytest.raises(IndexError, match=r"0\.\.59"):
        sixty.gather(np.array([position]))


def test_a_block_of_no_rows_is_an_error(sixty: Vectors) -> None:
    """It would go on for ever."""
    with pytest.raises(ValueError, match="at least one row"):
        next(sixty.blocks(0))


def test_vectors_know_how_many_and_how_wide_they_are(sixty: Vectors) -> None:
    """Without reading one."""
    assert (sixty.n_vectors, sixty.dim) == (60, DIM)


@pytest.mark.parametrize("n_rows", [1, 3, 100, 999])
def test_few_and_many_rows_of_a_large_shard_are_the_same_vectors(
    tmp_path: Path, n_rows: int
) -> None:
    """Single rows are sought one by one, many are read with those between."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((1000, DIM), dtype=np.float32)
    keys = text_keys([str(number) for number in range(1000)])
    store = VectorStore(tmp_path, CONFIGURATION)
    store.put(keys, vectors, np.ones(1000, dtype=np.int32))
    rows = random.choice(1000, n_rows, replace=False)
    found = store.find(keys[rows])
    read = StoredVectors(store.paths, found.shards, found.rows, DIM)
    assert read.gather(np.arange(n_rows)).tobytes() == vectors[rows].tobytes()


def all_of(store: VectorStore) -> StoredVectors:
    """The five vectors of a filled store."""
    found = store.find(keys_of("a", "b", "c", "d", "e"))
    return StoredVectors(store.paths, found.shards, found.rows, DIM)


def test_a_text_that_was_not_found_has_no_vector(tmp_path: Path) -> None:
    """Shard -1 is not the last one."""
    store = filled(tmp_path)
    found = store.find(keys_of("a", "x"))
    with pytest.raises(ValueError, match="was not found"):
        StoredVectors(store.paths, found.shards, found.rows, DIM)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        pytest.param(Path.unlink, "was removed while it was in use", id="removed"),
        pytest.param(lambda shard: os.truncate(shard, 0), "cut short", id="emptied"),
        pytest.param(
            lambda shard: os.truncate(shard, shard.stat().st_size - 1), "cut short", id="cut"
        ),
        pytest.param(
            lambda shard: shard.write_bytes(shard_bytes(keys_of("d"), vectors_of(4), counts_of(1))),
            "it holds other vectors",
            id="fewer rows",
        ),
        pytest.param(
            lambda shard: shard.write_bytes(
                shard_bytes(keys_of("d", "e"), vectors_of(4, 5, dim=3), counts_of(1, 2))
            ),
            "it holds other vectors",
            id="another dimension",
        ),
    ],
)
def test_a_shard_that_is_lost_meanwhile_is_a_storage_error(
    tmp_path: Path, damage: Callable[[Path], Any], what: str
) -> None:
    """Which file, what happened, and that the same command goes on; from blocks and gather."""
    store = filled(tmp_path)
    vectors, shard = all_of(store), shard_of(store, "d", "e")
    damage(shard)
    said = rf"(?s){shard}: this vector shard .*{what}.*run the same command again"
    with pytest.raises(StorageError, match=said):
        list(vectors.blocks(2))
    with pytest.raises(StorageError, match=said):
        vectors.gather(np.array([4]))
    assert vectors.gather(np.array([0])).tobytes() == vectors_of(1).tobytes()


def test_a_disk_error_while_reading_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words of the system."""
    vectors = all_of(filled(tmp_path))

    def refuse(path: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(locations, "open_regular", refuse)
    with pytest.raises(StorageError, match="cannot be read: Input/output error"):
        vectors.gather(np.array([0]))


def test_vectors_lie_in_the_cache_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$GRANITE_BENCH_CACHE, else the user's cache."""
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "vectors"
    monkeypatch.delenv("GRANITE_BENCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home/.cache/granite-bench/vectors"


def start_python(code: str, *arguments: object, **environment: str) -> subprocess.Popen[bytes]:
    """Python code in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), environment.pop("path", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stderr=subprocess.PIPE,
    )


def run_python(code: str, *arguments: object, path: Path, **environment: str) -> None:
    """The same to its end, which must be good; *path* is where it finds modules."""
    process = start_python(code, *arguments, path=str(path), **environment)
    assert (process.communicate()[1], process.returncode) == (b"", 0)
