"""Sparse vectors: in rows, in the store, and back to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from sparse_store import CONFIGURATION, DIM, counts, filled, keys_of, random_vectors, sparse, stored

from granite_bench.__main__ import main
from granite_bench.engine.vectors.rows import not_finite, placed
from granite_bench.engine.vectors.shard import shard_bytes
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.engine.vectors.sparse_vectors import (
    ResidentSparseVectors,
    SparseVectors,
)
from granite_bench.engine.vectors.vector_cache import read_cache
from granite_bench.engine.vectors.vector_store import VectorStore
from granite_bench.engine.vectors.vectors import StoredVectors
from granite_bench.errors import StorageError


@pytest.fixture(params=["resident", "stored"])
def sixty(request: pytest.FixtureRequest, tmp_path: Path) -> SparseVectors:
    """random_vectors(60), in memory or in shards of 9."""
    if request.param == "resident":
        return ResidentSparseVectors(sparse(random_vectors(60)))
    return stored(filled(tmp_path, random_vectors(60)), range(60))


# rows


@pytest.mark.parametrize(
    "chosen",
    [
        np.array([3, 3, 0, 19, 7]),
        np.array([], np.intp),
        slice(0, 20),
        slice(4, 9),
        slice(15, 99),
        slice(7, 8),
        slice(5, 5),
        slice(9, 4),
    ],
    ids=str,
)
def test_chosen_rows_are_those_of_the_array(chosen: Any) -> None:
    """By position, twice as well, and by slice; empty vectors among them."""
    vectors = random_vectors(20)
    rows = sparse(vectors)[chosen]
    assert rows.shape == vectors[chosen].shape
    assert rows.to_dense().tobytes() == vectors[chosen].tobytes()
    again = sparse(vectors[chosen]) if len(rows) else SparseRows.empty(DIM)
    assert rows.indices.tolist() == again.indices.tolist()
    assert rows.indptr.tolist() == again.indptr.tolist()


def test_parts_go_to_their_places() -> None:
    """Parts of different length in any order, one without a value."""
    vectors = random_vectors(20)
    order = np.random.default_rng(1).permutation(20)
    order = np.concatenate([order[order % 7 != 0], order[order % 7 == 0]])
    cuts = [order[:5], order[5:6], order[6:17], order[17:]]
    assert not vectors[cuts[3]].any()
    rows = placed([(cut, sparse(vectors[cut])) for cut in cuts], 20)
    assert rows.to_dense().tobytes() == vectors.tobytes()
    assert rows.indices.tolist() == sparse(vectors).indices.tolist()


def test_vectors_with_a_value_that_is_not_finite_are_named() -> None:
    """Each once, and none of the empty ones beside them."""
    nan, inf = float("nan"), float("inf")
    rows = sparse([[0, 0], [nan, inf], [0, 0], [1, 2], [0, -inf], [0, 0]])
    assert not_finite(rows).tolist() == [1, 4]
    assert not_finite(sparse(random_vectors(9))).tolist() == []


# the store


def test_what_was_put_is_found_to_the_last_bit(tmp_path: Path) -> None:
    """Also by a store that is opened later; empty vectors are vectors."""
    vectors = random_vectors(60)
    filled(tmp_path, vectors)
    store = VectorStore(tmp_path, CONFIGURATION)
    found = store.find(keys_of(range(60)))
    assert found.token_counts.tolist() == list(range(60))
    assert store.dim == DIM
    assert stored(store, range(60)).gather(np.arange(60)).to_dense().tobytes() == vectors.tobytes()


def test_a_shard_of_empty_vectors_is_a_shard(tmp_path: Path) -> None:
    """Nothing in it but the texts' keys and the dimension."""
    store = filled(tmp_path, np.zeros((3, DIM), np.float32))
    rows = stored(VectorStore(tmp_path, CONFIGURATION), range(3)).gather(np.array([2, 0]))
    assert (rows.shape, rows.n_active.tolist()) == ((2, DIM), [0, 0])
    assert store.repaired_shards == []


def test_a_shard_is_a_file_that_safetensors_reads(tmp_path: Path) -> None:
    """The tensors that its docstring lists, under the checksum of dense shards."""
    store = filled(tmp_path, np.array([[0, 1.5, 0], [0, 0, 0], [-2, 0, 3]], np.float32))
    [path] = store.paths
    tensors = load_file(path)
    assert {
        name: (str(of.dtype), of.tolist()) for name, of in tensors.items() if name != "keys"
    } == {
        "token_counts": ("int32", [0, 1, 2]),
        "indptr": ("int64", [0, 1, 1, 3]),
        "indices": ("int32", [1, 0, 2]),
        "values": ("float32", [1.5, -2, 3]),
        "dim": ("int32", [3]),
    }
    with safe_open(path, "numpy") as file:
        assert list(file.metadata()) == ["xxh3_128"]


def test_equal_vectors_make_equal_shards() -> None:
    """Whoever writes a text's shard writes the same bytes."""
    rows = sparse(random_vectors(8))
    contents = {shard_bytes(keys_of(range(8)), rows, counts(range(8))) for _ in range(2)}
    assert len(contents) == 1


@pytest.mark.parametrize(
    "tensor", ["keys", "token_counts", "indptr", "indices", "values", "dim", "header"]
)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_flipped_bit_is_found_and_only_its_shard_is_lost(
    tmp_path: Path, tensor: str, reopened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Every byte of a shard counts; its texts are not found, those of others are."""
    store = filled(tmp_path, random_vectors(18))
    path = store.paths[1]
    content = bytearray(path.read_bytes())
    content[_first_byte(path, tensor)] ^= 1
    path.write_bytes(content)
    if reopened:
        store = VectorStore(tmp_path, CONFIGURATION)
    found = store.find(keys_of(range(18)))
    assert (found.shards >= 0).tolist() == [True] * 9 + [False] * 9
    assert store.repaired_shards == [path.name]
    assert "is broken" in caplog.text


def _first_byte(path: Path, tensor: str) -> int:
    """Where a tensor begins in the file."""
    if tensor == "header":
        return 30
    content = path.read_bytes()
    value = load_file(path)[tensor].tobytes()
    return content.rindex(value)


@pytest.mark.parametrize("n_lost", [1, 8, 300])
def test_a_truncated_shard_is_not_found(tmp_path: Path, n_lost: int) -> None:
    """Cut in the values, or before."""
    store = filled(tmp_path, random_vectors(9))
    content = store.paths[0].read_bytes()
    store.paths[0].write_bytes(content[:-n_lost])
    assert (VectorStore(tmp_path, CONFIGURATION).find(keys_of(range(9))).shards < 0).all()


def test_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    """The model has another vocabulary under its name."""
    store = filled(tmp_path, random_vectors(9))
    with pytest.raises(StorageError, match=f"dimension {DIM}, this one has 5"):
        store.put(keys_of([77]), sparse(np.ones((1, 5), np.float32)), counts([1]))


def test_dimensions_that_there_are_not_are_no_vectors(tmp_path: Path) -> None:
    """A file that changes while it is in use gives an error, not a wrong place in memory."""
    store = filled(tmp_path, random_vectors(9))
    vectors = stored(store, range(9))
    path = store.paths[0]
    content = bytearray(path.read_bytes())
    indices = load_file(path)["indices"]
    at = content.rindex(indices.tobytes())
    content[at : at + 4] = np.int32(DIM).tobytes()
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"changed while it was in use[^\n]*\n  run the same"):
        vectors.gather(np.arange(9))


def test_places_outside_of_the_shard_are_no_vectors(tmp_path: Path) -> None:
    """As above, for where a vector begins and ends."""
    store = filled(tmp_path, random_vectors(9))
    vectors = stored(store, range(9))
    path = store.paths[0]
    content = bytearray(path.read_bytes())
    indptr = load_file(path)["indptr"]
    at = content.rindex(indptr.tobytes()) + 8 * 9
    content[at : at + 8] = np.int64(10**6).tobytes()
    path.write_bytes(content)
    with pytest.raises(StorageError, match="lie outside of it"):
        vectors.gather(np.arange(9))


def test_a_sparse_shard_is_not_read_as_a_dense_one(tmp_path: Path) -> None:
    """Nor the other way round."""
    store = filled(tmp_path, random_vectors(9))
    found = store.find(keys_of(range(9)))
    dense = StoredVectors(store.paths, found.shards, found.rows, DIM)
    with pytest.raises(StorageError, match="it holds other vectors"):
        dense.gather(np.arange(9))
    other = VectorStore(tmp_path, {"model": "org/dense"})
    other.put(keys_of(range(9)), random_vectors(9), counts(range(9)))
    with pytest.raises(StorageError, match="it holds other vectors"):
        stored(other, range(9)).gather(np.arange(9))


def test_two_stores_that_write_the_same_texts_agree(tmp_path: Path) -> None:
    """Each finds what the other wrote."""
    vectors = random_vectors(30)
    one, other = (VectorStore(tmp_path, CONFIGURATION) for _ in range(2))
    one.put(keys_of(range(20)), sparse(vectors[:20]), counts(range(20)))
    other.put(keys_of(range(10, 30)), sparse(vectors[10:]), counts(range(10, 30)))
    for store in (one, other):
        rows = stored(store, range(30)).gather(np.arange(30))
        assert rows.to_dense().tobytes() == vectors.tobytes()


# what search reads


@pytest.mark.parametrize("n_rows", [1, 7, 60, 1000])
def test_blocks_have_every_vector_once(sixty: SparseVectors, n_rows: int) -> None:
    """In any order, each at its position."""
    vectors = random_vectors(60)
    seen = []
    for positions, rows in sixty.blocks(n_rows):
        assert 1 <= len(rows) <= n_rows
        assert rows.to_dense().tobytes() == vectors[positions].tobytes()
        seen += positions.tolist()
    assert sorted(seen) == list(range(60))


@pytest.mark.parametrize("positions", [[5], [0, 59], [7, 7, 7], list(range(59, -1, -3)), []])
def test_gathered_vectors_are_those_of_the_positions(
    sixty: SparseVectors, positions: list[int]
) -> None:
    """In their order, twice as well."""
    rows = sixty.gather(np.array(positions, np.intp))
    assert rows.shape == (len(positions), DIM)
    assert rows.to_dense().tobytes() == random_vectors(60)[positions].tobytes()


@pytest.mark.parametrize("position", [-1, 60])
def test_a_position_that_there_is_not_is_an_error(sixty: SparseVectors, position: int) -> None:
    """Positions are 0..n_vectors - 1."""
    with pytest.raises(IndexError):
        sixty.gather(np.array([position]))


def test_a_block_of_no_rows_is_an_error(sixty: SparseVectors) -> None:
    """Not an endless loop."""
    with pytest.raises(ValueError, match="at least one row"):
        next(iter(sixty.blocks(0)))


# the cache verb


def test_the_cache_verb_lists_checks_and_repairs_sparse_vectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As dense ones."""
    store = filled(tmp_path, random_vectors(18))
    assert [one.n_texts for one in read_cache(tmp_path)] == [18]
    assert main(["cache", "verify", "--vectors", str(tmp_path)]) == 0
    content = bytearray(store.paths[0].read_bytes())
    content[-1] ^= 1
    store.paths[0].write_bytes(content)
    assert main(["cache", "verify", "--vectors", str(tmp_path)]) == 3
    assert "its checksum is wrong" in capsys.readouterr().out
    assert main(["cache", "verify", "--repair", "--vectors", str(tmp_path)]) == 0
    assert [one.n_texts for one in read_cache(tmp_path)] == [9]
    assert main(["cache", "prune", "--all", "--vectors", str(tmp_path)]) == 0
    assert read_cache(tmp_path) == []
