"""A Parquet file that stands beside a result -> its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import open_regular

if TYPE_CHECKING:
    import pyarrow as pa


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
        BadInput: as column_names, or a column has another type than *schema* says.
    """
    import pyarrow.parquet as pq

    with _faults_of(path, mend):
        table = pq.read_table(path, columns=columns, schema=schema, filters=filters)
        table.validate(full=True)  # or a text that is none would be met where it is used
        return table


@contextmanager
def _faults_of(path: Path, mend: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        open_regular(path).close()  # pyarrow would wait at a named pipe
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(Fault(str(path), f"is no Parquet file: {reason}", mend)) from None
