"""
What the fuzz tests have in common: how much is tried, what is done to a good file, what is claimed.

A test tries the same inputs on every run. To look for new ones:

    FUZZ_EXAMPLES=5000 python -m pytest tests/test_fuzz_results.py
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from granite_bench.__main__ import main
from granite_bench.errors import BadInput, plain_lines

Read = TypeVar("Read")

WANTED = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzz(n_examples: int) -> settings:
    """A decorator: so many generated inputs, always the same unless FUZZ_EXAMPLES asks for more."""
    return settings(
        max_examples=WANTED or n_examples,
        derandomize=not WANTED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- inputs -----------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"

TEXTS = st.one_of(
    st.text(st.characters(), max_size=8),  # with lone surrogates, NUL and other control characters
    st.sampled_from(
        [
            "",
            " ",
            "../../x",
            "/etc/passwd",
            "a\\b",
            "\x1b[2J",
            "a\nb",
            "x" * 300,
            EVIL,
            "nan",
            "Inf",
        ]
    ),
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**400, -(10**400), 1e308, float("nan"), float("inf"), -0.0]),
    st.floats(),
    TEXTS,
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
"""Whatever JSON can say."""


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(mapping or list, key or position) of everything in a document."""
    if isinstance(document, dict | list):
        for key in list(document) if isinstance(document, dict) else range(len(document)):
            yield document, key
            yield from _places(document[key])


@st.composite
def mutated(draw: Callable[[Any], Any], document: Any) -> Any:
    """A document of mappings, lists and values, in which one to three things are strange."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            break
        # Equal shares for shallow and deep places, of which there are more.
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "nest", "rename"])):
            case "replace":
                holder[key] = draw(VALUES)
            case "remove":
                del holder[key]
            case "nest":
                holder[key] = draw(st.sampled_from([[holder[key]], {"x": holder[key]}]))
            case "add" if isinstance(holder, dict):
                holder[draw(TEXTS)] = draw(VALUES)
            case "rename" if isinstance(holder, dict):
                holder[draw(TEXTS)] = holder.pop(key)
            case _:
                holder.append(draw(VALUES)) if isinstance(holder, list) else None
    return document


_BYTES = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\n\n", b"\t", b"\x1b[2J",
    b"{", b"[", b"]", b'"', b"'", b",", b";", b":", b"-", b"&a ", b"*a", b"!!int ", b"<<: ",
    b"\\ud800", b"\xed\xa0\x80", b"\xe2\x88\x92", b"1e999", b"NaN", b"9" * 5000, b"[" * 5000,
]  # fmt: skip


@st.composite
def damaged(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """The bytes of a good file, cut, with others put in, or in another encoding."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["cut", "insert", "insert", "drop", "repeat", "encode"])):
            case "cut":
                content = content[:place]
            case "insert":
                content = content[:place] + draw(st.sampled_from(_BYTES)) + content[place:]
            case "drop":
                content = content[:place] + content[place + draw(st.integers(1, 9)) :]
            case "repeat":
                content = content[:place] + content[place : place + 40] + content[place:]
            case "encode":
                text = content.decode(errors="replace")
                encoding = draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "cp500"]))
                content = text.encode(encoding, errors="replace")
    return content


def json_files(document: Any) -> st.SearchStrategy[bytes]:
    """Files that hold almost this document, or almost JSON."""
    whole = json.dumps(document, indent=1).encode()
    return st.one_of(
        mutated(document).map(lambda strange: json.dumps(strange).encode()),
        VALUES.map(lambda value: json.dumps(value).encode()),
        damaged(whole),
        st.binary(max_size=30),
    )


def lines_of_json(rows: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Files of almost these objects, one a line."""

    def lines(strange: Any) -> bytes:
        listed = strange if isinstance(strange, list) else [strange]
        return "".join(f"{json.dumps(row)}\n" for row in listed).encode()

    return st.one_of(mutated(rows).map(lines), damaged(lines(rows)), st.binary(max_size=30))


# --- claims -----------------------------------------------------------------------------------


def read_or_refused(read: Callable[[], Read], path: Path) -> Read | None:
    """
    What is read, or None for what is refused in words that name the file and obey no terminal.

    Whatever else is raised fails the test.
    """
    try:
        return read()
    except BadInput as error:
        said = str(error)
        assert path.name in said
        assert said == plain_lines(said)
        return None


def run_main(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """
    The command line's exit code and what it said on stderr: no bug, no traceback, no escapes.
    """
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    assert "a bug of granite-bench" not in err, err
    assert "Traceback" not in err, err
    assert "\x1b" not in out + err
    if code == 2:
        assert err.startswith(("error: ", "Usage: ", "Error: ")), err
    return code, err
