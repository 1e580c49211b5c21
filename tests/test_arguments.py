"""Arguments from Python that are of the wrong kind: said at once, before anything is looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import granite_bench
from granite_bench.errors import BadInput, Fault


def faults_of(**arguments: Any) -> list[Fault]:
    """What a run with them is refused for."""
    with pytest.raises(BadInput) as caught:
        granite_bench.run("quickstart", **arguments)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    "name",
    ["models", "first_stages", "rerankers", "tasks", "subsets", "devices", "trusted", "precisions"],
)
def test_a_text_where_a_list_is_taken_is_no_list_of_letters(name: str) -> None:
    """The hint is the argument to give."""
    first = faults_of(**{name: "int8"})[0]
    assert (first.where, first.hint) == (name, f"give a list: {name}=['int8']")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("top_k", 0, "0"),
        ("query_tokens", -1, "-1"),
        ("max_length", [512, 0], "0"),
        ("max_length", "512", "'512'"),
        ("dims", (256, 2.5), "2.5"),
        ("token_budget", True, "True"),
        ("concurrency", float("nan"), "nan"),
    ],
)
def test_a_number_that_is_none_is_refused(name: str, value: Any, shown: str) -> None:
    """Whole numbers above zero, each of several."""
    [fault] = faults_of(**{name: value})
    assert str(fault) == f"{name}: {shown} is no whole number from 1"


def test_a_choice_that_there_is_not_has_a_suggestion() -> None:
    """As on the command line."""
    faults = faults_of(dtype="bfoat16", backend="onyx", precisions=["int9"])
    assert [str(fault).replace("\n  ", "; ") for fault in faults] == [
        "dtype: unknown 'bfoat16'; did you mean 'bfloat16' or 'float16'?",
        "backend: unknown 'onyx'; did you mean 'onnx'?",
        "precisions: unknown 'int9'; did you mean 'int8'?",
    ]


def test_a_panel_that_there_is_not_is_said_with_all_else(tmp_path: Path) -> None:
    """And not that no model is named, since one would be."""
    faults = faults_of(panel="sparce", device="gpu", results=tmp_path)
    assert [str(fault).splitlines()[0] for fault in faults] == [
        "unknown panel 'sparce'",
        "--device: unknown device 'gpu'",
    ]


def test_all_wrong_arguments_are_said_at_once() -> None:
    """Not the first alone."""
    faults = faults_of(models="org/m", top_k=0, dtype="int8")
    assert [fault.where for fault in faults] == ["models", "top_k", "dtype"]
