"""The lines of a file of texts: documents and queries, judgements, runs."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from granite_bench.errors import Fault

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")


def lines_of(path: Path, faults: list[Fault]) -> Iterator[tuple[int, bytes]]:
    """
    (line number, line) of the lines that are not blank, unpacked where the file is gzipped.

    Args:
        faults: what keeps the file from being read to its end is added.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                bare = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if bare.strip():
                    yield number, bare
    except (OSError, EOFError, zlib.error) as error:
        where = f"{path}:{number + 1}" if number else str(path)
        reason = getattr(error, "strerror", None) or error
        faults.append(Fault(where, f"cannot be read: {reason}"))


def json_lines(path: Path, faults: list[Fault]) -> Iterator[tuple[int, dict[str, Any]]]:
    """
    (line number, object) of the lines that hold one.

    Args:
        faults: of the other lines are added.
    """
    for number, line in lines_of(path, faults):
        where = f"{path}:{number}"
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            faults.append(Fault(where, f"not valid JSON: {error}"))
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            faults.append(Fault(where, "must be a JSON object"))


def has_surrogate(text: str) -> bool:
    r"""Whether a text cannot be written as UTF-8: JSON may say "\ud83d" without its other half."""
    return _SURROGATE.search(text) is not None
