"""The store of embeddings: content-addressed, checksummed, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from granite_bench.engine.vectors import VectorStore, default_folder, text_key
from granite_bench.errors import StorageError

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


def keys_of(*texts: str) -> list[bytes]:
    """The keys of the texts."""
    return [text_key(text) for text in texts]


def vectors_of(*numbers: int) -> npt.NDArray[np.float32]:
    """A vector for each number, different in every value."""
    return np.array(
        [[number + column / 7 for column in range(DIM)] for number in numbers], dtype=np.float32
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


def shard_of(store: VectorStore, *texts: str) -> Path:
    """The file of the shard that holds exactly these texts."""
    [shard] = [
        path
        for path in store.folder.glob("*.safetensors")
        if b"".join(keys_of(*texts)) in path.read_bytes()
    ]
    return shard


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


def test_what_was_put_is_found_to_the_last_bit(tmp_path: Path) -> None:
    """Vectors and token counts come back in the order that was asked for, from both shards."""
    stored = filled(tmp_path).get(keys_of("e", "a", "c", "a"))
    assert stored.found.tolist() == [True, True, True, True]
    assert stored.vectors.dtype == np.float32
    assert stored.vectors.tobytes() == vectors_of(5, 1, 3, 1).tobytes()
    assert stored.token_counts.tolist() == [50, 10, 30, 10]


def test_unknown_texts_are_not_found(tmp_path: Path) -> None:
    """Known and unknown ones in one question: each has its own answer."""
    stored = filled(tmp_path).get(keys_of("x", "b", "y", "d"))
    assert stored.found.tolist() == [False, True, False, True]
    assert stored.vectors[stored.found].tobytes() == vectors_of(2, 4).tobytes()
    assert stored.token_counts.tolist() == [0, 20, 0, 40]


def test_an_empty_store_finds_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """The folder is made by the first shard, not by a question."""
    stored = VectorStore(tmp_path / "store", CONFIGURATION).get(keys_of("a"))
    assert stored.found.tolist() == [False]
    assert stored.vectors.shape == (1, 0)
    assert not (tmp_path / "store").exists()


def test_the_key_of_a_text_is_the_sha256_of_its_utf8() -> None:
    """FIPS 180-2's example; and a letter outside ASCII is two bytes of UTF-8."""
    assert text_key("abc").hex() == SHA256_OF_ABC
    # printf '\\303\\251' | sha256sum
    assert text_key("é").hex() == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"


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
    assert store.get(keys_of(text)).found.tolist() == [True]
    assert store.get(keys_of("another", text + " ")).found.tolist() == [False, False]


def test_different_texts_have_different_keys() -> None:
    """A tokenizer may tell é from e + combining accent, and two broken texts are still two."""
    texts = ["é", "e\u0301", "\ud800", "\ud801", "?", "\ufffd", "", " "]
    assert len(set(keys_of(*texts))) == len(texts)


def test_a_store_opened_later_finds_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    """Same folder, same configuration; the order of its items does not matter."""
    filled(tmp_path)
    later = VectorStore(tmp_path, dict(reversed(CONFIGURATION.items())))
    stored = later.get(keys_of("a", "e"))
    assert stored.found.tolist() == [True, True]
    assert stored.vectors.tobytes() == vectors_of(1, 5).tobytes()


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
    assert other.get(keys_of("a", "d")).found.tolist() == [False, False]


def test_two_configurations_share_a_folder_without_meeting(tmp_path: Path) -> None:
    """The same text under two prompts has two vectors."""
    query = VectorStore(tmp_path, CONFIGURATION)
    passage = VectorStore(tmp_path, {**CONFIGURATION, "prompt": "passage: "})
    query.put(keys_of("a"), vectors_of(1), counts_of(1))
    passage.put(keys_of("a"), vectors_of(2), counts_of(1))
    for store, number in ((query, 1), (passage, 2)):
        assert store.get(keys_of("a")).vectors.tobytes() == vectors_of(number).tobytes()


def test_the_folder_says_which_configuration_it_is_for(tmp_path: Path) -> None:
    """A person can see what fills the disk."""
    described = json.loads((filled(tmp_path).folder / "configuration.json").read_bytes())
    assert described == {"format": 1, **CONFIGURATION}


def test_two_stores_that_write_the_same_shard_leave_one(tmp_path: Path) -> None:
    """Two processes on one corpus: the second replaces the first's file by an equal one."""
    first, second = VectorStore(tmp_path, CONFIGURATION), VectorStore(tmp_path, CONFIGURATION)
    for store in (first, second):
        store.put(keys_of("a", "b"), vectors_of(1, 2), counts_of(10, 20))
    assert len(list(first.folder.glob("*.safetensors"))) == 1
    for store in (first, second, VectorStore(tmp_path, CONFIGURATION)):
        stored = store.get(keys_of("b", "a"))
        assert stored.found.tolist() == [True, True]
        assert stored.vectors.tobytes() == vectors_of(2, 1).tobytes()


def test_two_stores_that_write_different_shards_keep_both(tmp_path: Path) -> None:
    """Neither overwrites what the other one wrote meanwhile."""
    first, second = VectorStore(tmp_path, CONFIGURATION), VectorStore(tmp_path, CONFIGURATION)
    first.put(keys_of("a"), vectors_of(1), counts_of(1))
    second.put(keys_of("b"), vectors_of(2), counts_of(2))
    stored = VectorStore(tmp_path, CONFIGURATION).get(keys_of("a", "b"))
    assert stored.found.tolist() == [True, True]


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
    assert store.get(keys_of("f", "a")).found.tolist() == [False, True]


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
    assert VectorStore(tmp_path, CONFIGURATION).get(keys_of("f")).found.tolist() == [False]


@pytest.mark.parametrize("tensor", ["keys", "vectors", "token_counts"])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_flipped_bit_is_found_and_only_its_shard_is_lost(
    tmp_path: Path, tensor: str, reopened: bool
) -> None:
    """The shard is removed and named; the texts of the other one are still there."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    flip_bit(shard, place_of(shard, tensor))
    if reopened:
        store = VectorStore(tmp_path, CONFIGURATION)
    stored = store.get(keys_of("a", "b", "c", "d", "e"))
    assert stored.found.tolist() == [False, False, False, True, True]
    assert stored.vectors[stored.found].tobytes() == vectors_of(4, 5).tobytes()
    assert store.repaired_shards == [shard.name]
    assert not shard.exists()


def test_no_flipped_bit_of_a_header_gives_a_wrong_vector(tmp_path: Path) -> None:
    """Shapes, types, offsets, names and the checksum itself; the bit moves from byte to byte."""
    shard = shard_of(filled(tmp_path), "a", "b", "c")
    whole = shard.read_bytes()
    header_bytes = place_of(shard, "keys")
    assert header_bytes > 300
    for offset in range(header_bytes):
        shard.write_bytes(whole)
        flip_bit(shard, offset, bit=offset % 8)
        store = VectorStore(tmp_path, CONFIGURATION)
        stored = store.get(keys_of("a", "b", "c", "d"))
        assert stored.found.tolist() == [False, False, False, True], offset
        assert store.repaired_shards == [shard.name], offset
        assert not shard.exists(), offset


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_shard_is_found_and_only_it_is_lost(tmp_path: Path, kept: int) -> None:
    """Nothing left, less than a header, half a header, one byte short."""
    shard = shard_of(filled(tmp_path), "a", "b", "c")
    shard.write_bytes(shard.read_bytes()[:kept])
    store = VectorStore(tmp_path, CONFIGURATION)
    stored = store.get(keys_of("a", "b", "c", "d", "e"))
    assert stored.found.tolist() == [False, False, False, True, True]
    assert store.repaired_shards == [shard.name]
    assert not shard.exists()


def test_a_shard_that_vanished_is_a_shard_to_encode_again(tmp_path: Path) -> None:
    """Somebody cleared the cache while a run was on."""
    store = filled(tmp_path)
    shard_of(store, "d", "e").unlink()
    assert store.get(keys_of("a", "d")).found.tolist() == [True, False]


def test_a_repaired_shard_can_be_written_again(tmp_path: Path) -> None:
    """The texts are found once more, with nothing to repair."""
    store = filled(tmp_path)
    shard = shard_of(store, "a", "b", "c")
    flip_bit(shard, place_of(shard, "vectors"))
    store.get(keys_of("a"))
    store.put(keys_of("a", "b", "c"), vectors_of(1, 2, 3), counts_of(10, 20, 30))
    later = VectorStore(tmp_path, CONFIGURATION)
    assert later.get(keys_of("c")).vectors.tobytes() == vectors_of(3).tobytes()
    assert later.repaired_shards == []


def test_vectors_lie_in_the_cache_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$GRANITE_BENCH_CACHE, else the user's cache."""
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "vectors"
    monkeypatch.delenv("GRANITE_BENCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home/.cache/granite-bench/vectors"
