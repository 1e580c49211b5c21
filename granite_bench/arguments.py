"""Values that a caller from Python got wrong; on the command line click refuses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from granite_bench.errors import Fault, near_or_all


def list_faults(given: Mapping[str, Any]) -> list[Fault]:
    """Arguments, by name, that are one text where several are taken."""
    return [
        Fault(name, f"is the text {value!r}", f"give a list: {name}=[{value!r}]")
        for name, value in given.items()
        if isinstance(value, str)
    ]


def number_faults(given: Mapping[str, Any], *, least: int = 1) -> list[Fault]:
    """Arguments, by name, that are no whole number from *least*, or have one that is none."""
    faults = []
    for name, value in given.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None and (type(each) is not int or each < least):
                faults.append(Fault(name, f"{each!r} is no whole number from {least}"))
    return faults


def choice_faults(given: Mapping[str, tuple[Any, Sequence[str]]]) -> list[Fault]:
    """Arguments, by name, and what they may be: those that are, or have, something else."""
    faults = []
    for name, (value, known) in given.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None and each not in known:
                hint = near_or_all(str(each), known)
                faults.append(Fault(name, f"unknown {each!r}", hint))
    return faults
