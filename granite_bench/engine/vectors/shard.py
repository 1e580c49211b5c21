"""
One file of vectors: texts' keys, token counts and vectors, under one checksum.

    keys          uint64 (n_texts, 2)     the first 128 bits of each text's SHA-256
    token_counts  int32 (n_texts,)        before truncation
    vectors       float32 (n_texts, dim)

Sparse vectors take the place of the last with what is not zero of them (see SparseRows):

    indptr        int64 (n_texts + 1,)
    indices       int32 (n_values,)
    values        float32 (n_values,)
    dim           int32 (1,)

The format is safetensors. Files are read with read(), not mapped: a mapped file that is cut
while it is read ends the process (SIGBUS), a read one is an error that says so; measured, both
take the same time. The header is parsed here because a reader of some rows needs no more of the
file than the place where the vectors begin, and a damaged header must never be half believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import xxhash
from safetensors.numpy import save

from granite_bench.engine.vectors.rows import Rows
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.files.local import Place
from granite_bench.files.locations import Stamp, entries, open_parts, read

SUFFIX = ".safetensors"

LEFT_SECONDS = 3600
"""A temporary file as old as this was left by a writer that was killed."""

_DENSE = 4
"""One row of this many wanted: reading the rows between as well is faster than seeking."""

_CHECKSUM = "xxh3_128"
_LONGEST_HEADER = 1_000_000
_LEFT_NAME = re.compile(rf"\.(configuration\.json|\w+{re.escape(SUFFIX)})\.\w+")


class BrokenShard(Exception):
    """A file is no whole shard; the message says why."""


@dataclass(frozen=True)
class Header:
    """
    What a shard says of itself.

    Attributes:
        n_texts, dim: the shape of the vectors.
        n_values: how many of their numbers are kept, where they are sparse; None: all.
        starts: tensor name -> offset of its first byte in the file.
        n_bytes: of the whole file.
        checksum: of the tensors, in hexadecimal.
    """

    n_texts: int
    dim: int
    n_values: int | None
    starts: Mapping[str, int]
    n_bytes: int
    checksum: str


@dataclass(frozen=True)
class Keys:
    """A shard without its vectors: uint64 (n_texts, 2), int32 (n_texts,), and the dimension."""

    keys: npt.NDArray[np.uint64]
    token_counts: npt.NDArray[np.int32]
    dim: int


def shard_name(keys: npt.NDArray[np.uint64]) -> str:
    """The file name of the shard with these keys, in this order."""
    return f"{hashlib.sha256(keys.astype('<u8').tobytes()).hexdigest()[:32]}{SUFFIX}"


def shard_bytes(
    keys: npt.NDArray[np.uint64],
    vectors: Rows,
    token_counts: npt.NDArray[np.int32],
) -> bytes:
    """The file of a shard; equal arguments give equal bytes."""
    n_texts, dim = vectors.shape
    given: dict[str, Any] = {"keys": keys, "token_counts": token_counts}
    n_values = None
    if isinstance(vectors, SparseRows):
        n_values = len(vectors.values)
        given |= {"indptr": vectors.indptr, "indices": vectors.indices, "values": vectors.values}
        given["dim"] = [dim]
    else:
        given["vectors"] = vectors
    tensors: dict[str, npt.NDArray[Any]] = {
        name: np.ascontiguousarray(given[name], dtype)
        for name, (_, dtype, _) in _tensors(n_texts, dim, n_values).items()
    }
    # One entry of metadata: safetensors writes several in an order that changes.
    content: bytes = save(tensors, metadata={_CHECKSUM: _checksum(tensors)})
    return content


def read_keys(path: Place, n_bytes: int | None = None) -> Keys:
    """
    The keys of a shard; its vectors are neither read nor checked.

    Args:
        n_bytes: the size of the file, where a listing has told it.

    Raises:
        BrokenShard: the header is damaged or the file has another length than it says.
        OSError: the file cannot be read.
    """
    with open_parts(path, n_bytes) as file:
        header = read_header(file)
        keys = np.empty((header.n_texts, 2), dtype=np.uint64)
        token_counts = np.empty(header.n_texts, dtype=np.int32)
        read_into(file, header.starts["keys"], keys)
        read_into(file, header.starts["token_counts"], token_counts)
    return Keys(keys, token_counts, header.dim)


def read_rows(path: Place, rows: npt.NDArray[np.int32], vectors: npt.NDArray[np.float32]) -> None:
    """
    Read some dense vectors of a shard; what is read is not checked.

    Args:
        rows: ascending, at least one.
        vectors: float32 (len(rows), dim), C-contiguous; filled.

    Raises:
        BrokenShard: the file has no such rows.
        OSError: the file cannot be read.
    """
    dim = vectors.shape[1]
    row_bytes = vectors.itemsize * dim
    first, last = int(rows[0]), int(rows[-1])
    span = last - first + 1
    # Behind a URL, a request for each row would take longer than one for all between as well.
    reads_between = span <= _DENSE * len(rows) or not isinstance(path, Path)
    with open_parts(path) as file:
        header = read_header(file)
        _require(header, rows, dim, sparse=False)
        start = header.starts["vectors"]
        if span == len(rows) and np.array_equal(rows, np.arange(first, last + 1)):
            read_into(file, start + first * row_bytes, vectors)
        elif reads_between:
            between = np.empty((span, dim), dtype=np.float32)
            read_into(file, start + first * row_bytes, between)
            vectors[:] = between[rows - first]
        else:
            for row, vector in zip(rows.tolist(), vectors, strict=True):
                read_into(file, start + row * row_bytes, vector)


def read_sparse_rows(path: Place, rows: npt.NDArray[np.int32], dim: int) -> SparseRows:
    """
    Read some sparse vectors of a shard; of what is read only the places are checked.

    Args:
        rows: ascending, at least one.

    Raises:
        BrokenShard: the file has no such rows.
        OSError: the file cannot be read.
    """
    with open_parts(path) as file:
        header = read_header(file)
        _require(header, rows, dim, sparse=True)
        first = int(rows[0])
        indptr = np.empty(int(rows[-1]) - first + 2, np.int64)
        read_into(file, header.starts["indptr"] + first * indptr.itemsize, indptr)
        before, after = int(indptr[0]), int(indptr[-1])
        if (np.diff(indptr) < 0).any() or before < 0 or after > (header.n_values or 0):
            raise BrokenShard("its vectors lie outside of it")
        n_read = after - before
        indices, values = np.empty(n_read, np.int32), np.empty(n_read, np.float32)
        read_into(file, header.starts["indices"] + before * indices.itemsize, indices)
        read_into(file, header.starts["values"] + before * values.itemsize, values)
    # What reads them has no other guard: it indexes arrays of this length in compiled code.
    if n_read and not 0 <= indices.min() <= indices.max() < dim:
        raise BrokenShard("its vectors have other dimensions")
    return SparseRows(indptr - before, indices, values, dim)[rows - first]


def check(path: Place) -> tuple[Header, Stamp]:
    """
    Read a whole shard and compare it with its checksum and its name.

    Returns:
        The header, and the stamp of the file that was checked.

    Raises:
        BrokenShard: a byte is not what was written, or the file bears another shard's name.
        OSError: the file cannot be read.
    """
    content, stamp = read(path)
    header = read_header(io.BytesIO(content))
    tensors = {
        name: np.frombuffer(
            content, dtype, int(np.prod(shape)), header.starts[name]
        ).reshape(shape)
        for name, (_, dtype, shape) in _tensors(
            header.n_texts, header.dim, header.n_values
        ).items()
    }  # fmt: skip
    if _checksum(tensors) != header.checksum:
        raise BrokenShard("its checksum is wrong")
    if shard_name(tensors["keys"]) != path.name:
        raise BrokenShard("its name is that of other texts")
    return header, stamp


def read_header(file: IO[bytes] | io.RawIOBase) -> Header:
    """
    The header of an open shard.

    Raises:
        BrokenShard: it does not describe exactly this file: names, types, shapes, places, length.
        OSError: the file cannot be read.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8) or b"", "little")
    if n_bytes < 8 or length > min(n_bytes - 8, _LONGEST_HEADER):
        raise BrokenShard("it is cut short" if n_bytes < 8 + length else "its header is damaged")
    try:
        described = json.loads(file.read(length) or b"")
        checksum = described.pop("__metadata__")[_CHECKSUM]
        n_texts, _ = described["keys"]["shape"]
        n_values, dim = None, 1
        if "vectors" in described:
            _, dim = described["vectors"]["shape"]
        else:  # their dimension is one of the tensors
            [n_values] = described["values"]["shape"]
        offsets = {name: described[name].pop("data_offsets") for name in described}
        places = sorted((begin, end, name) for name, (begin, end) in offsets.items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BrokenShard("its header is damaged") from None
    counts = [n_texts, dim] + ([] if n_values is None else [n_values])
    if not (all(map(_is_count, counts)) and n_texts and dim and isinstance(checksum, str)):
        raise BrokenShard("its header is damaged")
    expected = _tensors(n_texts, dim, n_values)
    if described != {
        name: {"dtype": code, "shape": list(shape)} for name, (code, _, shape) in expected.items()
    }:
        raise BrokenShard("it has other tensors, types or shapes than a shard has")
    at = 0
    for begin, end, name in places:
        _, dtype, shape = expected[name]
        if begin != at or end - begin != int(np.prod(shape, dtype=object)) * dtype.itemsize:
            raise BrokenShard("its header is damaged")
        at = end
    if n_bytes != 8 + length + at:
        raise BrokenShard("it is cut short" if n_bytes < 8 + length + at else "it is too long")
    starts = {name: 8 + length + begin for begin, _, name in places}
    if n_values is not None:
        found = np.empty(1, np.int32)
        read_into(file, starts["dim"], found)
        dim = int(found[0])
        if dim < 1:
            raise BrokenShard("its vectors have no dimensions")
    return Header(n_texts, dim, n_values, starts, n_bytes, checksum)


def read_into(file: IO[bytes] | io.RawIOBase, offset: int, array: npt.NDArray[Any]) -> None:
    """
    Fill a C-contiguous array, which has no axis of length 0 but its only one, from an unbuffered
    file.

    Raises:
        BrokenShard: the file ends before the array is full.
        OSError: the file cannot be read.
    """
    view = array.data.cast("B")
    file.seek(offset)
    while len(view):
        n_read = file.readinto(view) or 0  # type: ignore[union-attr]  # every binary file has it
        if n_read == 0:
            raise BrokenShard("it is cut short")
        view = view[n_read:]


def left_files(folder: Place) -> list[Place]:
    """Temporary files that killed writers left in a configuration's folder; raises OSError."""
    limit = time.time() - LEFT_SECONDS
    left = sorted(
        entry.name
        for entry in entries(folder, _LEFT_NAME)
        if entry.changed is not None and entry.changed < limit
    )
    return [folder / name for name in left]


def _tensors(
    n_texts: int, dim: int, n_values: int | None
) -> dict[str, tuple[str, np.dtype[Any], tuple[int, ...]]]:
    """Tensor name -> type in the header, type of numpy, shape."""
    of_texts: dict[str, tuple[str, np.dtype[Any], tuple[int, ...]]] = {
        "keys": ("U64", np.dtype("<u8"), (n_texts, 2)),
        "token_counts": ("I32", np.dtype("<i4"), (n_texts,)),
    }
    if n_values is None:
        return {**of_texts, "vectors": ("F32", np.dtype("<f4"), (n_texts, dim))}
    return {
        **of_texts,
        "indptr": ("I64", np.dtype("<i8"), (n_texts + 1,)),
        "indices": ("I32", np.dtype("<i4"), (n_values,)),
        "values": ("F32", np.dtype("<f4"), (n_values,)),
        "dim": ("I32", np.dtype("<i4"), (1,)),
    }


def _require(header: Header, rows: npt.NDArray[np.int32], dim: int, *, sparse: bool) -> None:
    """BrokenShard where these vectors are not in the shard."""
    in_it = 0 <= rows[0] <= rows[-1] < header.n_texts
    if header.dim != dim or (header.n_values is not None) != sparse or not in_it:
        raise BrokenShard("it holds other vectors")


def _checksum(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Guards against damage, not against attackers; ten times as fast as SHA-256."""
    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}".encode())
        digest.update(tensors[name].data)
    return digest.hexdigest()


def _is_count(number: Any) -> bool:
    return type(number) is int and number >= 0  # True is an int to isinstance
