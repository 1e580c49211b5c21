"""What pydantic finds wrong with the content of a file, in our words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from granite_bench.errors import Fault

_LONGEST = 80


def in_words(details: Any) -> str:
    """
    What is wrong, and the value that was found, where it is one.

    Args:
        details: one of ValidationError.errors().
    """
    if details["type"] == "missing":
        return "is missing"
    message = str(details["msg"])
    return message[:1].lower() + message[1:] + _found(details["input"])


def faults_of(error: ValidationError, path: Path, mend: str) -> list[Fault]:
    """All that is wrong, each with its place in the file: path: runs.0.date."""
    return [
        Fault(_where(path, details["loc"]), in_words(details), mend) for details in error.errors()
    ]


def _where(path: Path, location: Sequence[int | str]) -> str:
    return f"{path}: {'.'.join(map(str, location))}" if location else str(path)


def _found(value: Any) -> str:
    if not isinstance(value, str | int | float):
        return ""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return " (found a number of thousands of digits)"
    return f" (found {text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'})"
