"""
What can go wrong, and which exit code says so.

    GraniteBenchError
    ├── BadInput            exit 2   the user can mend it: a file, a name, an option
    ├── TaskError           exit 3   one task failed; the others go on
    │   └── NonFiniteVectors         the model returned NaN or infinity
    └── StorageError        exit 3   a file could not be written (disk full, no permission)

Exit codes: 0 fine, 1 the gate failed, 2 bad input, 3 some task failed or is incomplete,
4 a bug of ours, 130 interrupted. Every message says where, what, what would be right, and
the next step.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

logger = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """What the process tells its caller."""

    FINE = 0
    GATE_FAILED = 1
    BAD_INPUT = 2
    INCOMPLETE = 3
    BUG = 4
    INTERRUPTED = 130


# A file's name that is no UTF-8 has lone surrogates, which cannot be written.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(text: str) -> str:
    """A text without control characters, which a terminal would obey; on one line."""
    return _CONTROL.sub("�", text)


def plain_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(plain, text.split("\n")))


# What stands before the last @ of a URL; pathlib leaves one of its slashes. A secret may have more.
_PASSWORD = re.compile(r"(:/{1,2})\S*@")


def without_passwords(text: str) -> str:
    """A text without the user names and passwords of the URLs in it: s3://...@bucket."""
    return _PASSWORD.sub(r"\1...@", text)


class GraniteBenchError(Exception):
    """The base of every error this package raises on purpose."""

    exit_code = ExitCode.BUG


@dataclass(frozen=True)
class Fault:
    """
    One thing that is wrong with an input, and what would be right.

    It repeats no password of a URL, and as a text has no control characters, whatever it names.
    """

    where: str
    what: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("where", "what", "hint"):
            object.__setattr__(self, name, without_passwords(getattr(self, name)))

    def __str__(self) -> str:
        what = plain_lines(self.what)
        text = f"{plain(self.where)}: {what}" if self.where else what
        return f"{text}\n  {plain_lines(self.hint)}" if self.hint else text


class BadInput(GraniteBenchError):
    """
    Something the user gave is wrong; *faults* names all of it, not just the first.

    Args:
        faults: one Fault per thing that is wrong, in the order of the file.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: Sequence[Fault] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[Any, ...]:  # else made of its message when it is unpickled
        return type(self), (self.faults,)


class TaskError(GraniteBenchError):
    """One (model, task) could not be finished; nothing was saved for it."""

    exit_code = ExitCode.INCOMPLETE


class NonFiniteVectors(TaskError):
    """
    A model returned NaN or infinite values.

    Args:
        rows: positions of the bad texts in the list that was given to the encoder.
        n_texts: length of that list.
    """

    def __init__(self, rows: Sequence[int], n_texts: int) -> None:
        self.rows = list(rows)
        self.n_texts = n_texts
        super().__init__(f"{len(self.rows)} of {n_texts} embeddings contain NaN or infinity")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rows, self.n_texts)


class StorageError(GraniteBenchError):
    """A file could not be written; what was there before is still there."""

    exit_code = ExitCode.INCOMPLETE


MOST_FAULTS_SHOWN = 20
"""Of one file: a broken export repeats one fault on every line."""


def shortened(faults: Sequence[Fault], where: str) -> list[Fault]:
    """The first MOST_FAULTS_SHOWN faults of *where*, and how many more there are."""
    hidden = len(faults) - MOST_FAULTS_SHOWN
    if hidden <= 0:
        return list(faults)
    return [*faults[:MOST_FAULTS_SHOWN], Fault(where, f"and {hidden} more faults")]


Item = TypeVar("Item")
Made = TypeVar("Made")


def gathered(
    items: Iterable[Item], make: Callable[[Item], Made], faults: list[Fault]
) -> list[Made]:
    """What *make* makes of each item; the faults of those that it refuses go to *faults*."""
    made = []
    for item in items:
        try:
            made.append(make(item))
        except BadInput as error:
            faults += error.faults
    return made


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    A suggestion for a misspelt *name*, or an empty string when nothing is close.

    Case is ignored, and a name that is a part of a known one counts as close.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    close += [lower for lower in by_lower if name.lower() in lower and lower not in close]
    if not close:
        return ""
    quoted = [f"'{by_lower[lower]}'" for lower in close[:3]]
    return f"did you mean {' or '.join(quoted)}?"


def near_or_all(name: str, known: Collection[str]) -> str:
    """A suggestion for a misspelt *name*, or all the *known* ones where nothing is close."""
    return did_you_mean(name, known) or f"there are: {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its class where it says nothing."""
    lines = without_passwords(str(error)).strip().splitlines()
    return next(iter(lines), type(error).__name__)


def cause_of(error: Exception, what: str) -> str:
    """
    Why something failed, for people; what we did not raise goes to the log whole.

    Args:
        what: was being done, for the log.
    """
    if isinstance(error, GraniteBenchError):
        return str(error)
    logger.error("%s failed", what, exc_info=error)
    text = without_passwords(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
