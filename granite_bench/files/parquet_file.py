"""A Parquet file that stands beside a result -> its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import open_regular, size_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


UNPACKED_TIMES = 200
"""
A file that says of itself that it unpacks to more than so many times its size, or that a column
has more values than the file has bytes, is refused before it fills the memory. Rows of the built-in
tasks unpack to 1.7 times their size; scores differ, so that each takes bytes.
"""

ALWAYS_READ = 64 * 2**20
"""Bytes that any file may unpack to, and 64 times the values that any column may have."""


def column_names(path: Path, mend: str) -> list[str]:
    """
    The names of a file's columns.

    Args:
        mend: the next step where it is broken.

    Raises:
        BadInput: it cannot be read, or is no Parquet file.
    """
    import pyarrow.parquet as pq

    with _faults_of(path, mend):
        names: list[str] = pq.read_schema(path).names
        return names


def read_rows(
    path: Path,
    mend: str,
    *,
    columns: Sequence[str] | None = None,
    schema: pa.Schema | None = None,
    filters: Sequence[tuple[str, str, object]] | None = None,
) -> pa.Table:
    """
    The rows of a file; their texts are UTF-8.

    Args:
        columns: these alone; all when None.
        schema: what types they are to have; nulls stand for a column that the file lacks.
        filters: what must be true of a row, as pyarrow takes it.

    Raises:
        BadInput: as column_names; a column has another type than *schema* says; or the file is
            one that unpacks to far more than it is.
    """
    import pyarrow.parquet as pq

    with _faults_of(path, mend):
        _refuse_bomb(path, pq.read_metadata(path), mend)
        table = pq.read_table(path, columns=columns, schema=schema, filters=filters)
        table.validate(full=True)  # or a text that is none would be met where it is used
        return table


def _refuse_bomb(path: Path, metadata: pq.FileMetaData, mend: str) -> None:
    n_bytes = path.stat().st_size
    groups = list(map(metadata.row_group, range(metadata.num_row_groups)))
    unpacked = sum(group.total_byte_size for group in groups)
    of_columns = (
        sum(group.column(column).num_values for group in groups)
        for column in range(metadata.num_columns)
    )
    n_values = max(of_columns, default=0)
    if unpacked > max(UNPACKED_TIMES * n_bytes, ALWAYS_READ):
        what = f"would unpack from {size_text(n_bytes)} to {size_text(unpacked)}"
    elif n_values > max(n_bytes, ALWAYS_READ // 64):
        what = f"has {n_values:,} values of a column in {size_text(n_bytes)}"
    else:
        return
    raise BadInput(Fault(str(path), f"{what}: that is none of ours", mend))


@contextmanager
def _faults_of(path: Path, mend: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        open_regular(path).close()  # pyarrow would wait at a named pipe
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(Fault(str(path), f"is no Parquet file: {reason}", mend)) from None
