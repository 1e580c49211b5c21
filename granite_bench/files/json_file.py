"""A JSON file that another program may have written -> the object in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import read_at_most

LARGEST = 64 * 2**20
"""
Bytes: 25 times as many as the largest of mteb's public results has (BelebeleRetrieval, 2.6 MB).
Parsed, a file takes about ten times its size in memory.
"""

_PairsHook: TypeAlias = Callable[[list[tuple[str, Any]]], dict[str, Any]]

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_object(path: Path, mend: str) -> dict[str, Any]:
    """
    The object in a file; NaN and infinities are numbers, as Python writes them.

    Args:
        mend: the next step where it is broken.

    Raises:
        BadInput: it cannot be read, is larger than LARGEST, is no JSON in UTF-8 or no object.
    """
    return parse_object(read_json_text(path, mend), path, mend)


def read_json_text(path: Path, mend: str) -> str:
    """The text of a JSON file; what it raises is as for read_object."""
    try:
        return read_at_most(path, LARGEST).decode("utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        problem = f"cannot be read as JSON: it is no UTF-8 ({error.reason} at byte {error.start})"
    raise BadInput(Fault(str(path), problem, mend))


def parse_object(
    text: str, path: Path, mend: str, *, pairs_hook: _PairsHook | None = None
) -> dict[str, Any]:
    """
    The object that the *text* of a file says.

    Args:
        pairs_hook: makes objects of their keys and values, as json.loads takes it.

    Raises:
        BadInput: as read_object.
    """
    try:
        content = json.loads(text, object_pairs_hook=pairs_hook)
        # JSON may say "\ud83d" without its other half, and no file that we write could hold it.
        if _ESCAPED_SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = "has half of a surrogate pair, which is no character"
    except (ValueError, RecursionError) as error:
        problem = f"cannot be read as JSON: {error}"
    else:
        if isinstance(content, dict):
            return content
        problem = "must be a JSON object"
    raise BadInput(Fault(str(path), problem, mend))
